"""SLSTM: snnTorch's numbers, PyTorch's LSTM, and a backward pass that autograd confirms."""

import copy
from typing import Any

import pytest
import snntorch
import torch
from reslif.sw.nn import SLSTM, LayerError, atan, fast_sigmoid
from snntorch_oracle import (
    RESETS,
    B,
    N,
    Trace,
    all_at_once,
    compare,
    drive,
    gradient_errors,
    gradients,
    heaviside,
    number,
    require_gradients,
    step_by_step,
)
from torch import Tensor, nn

STATES = ("syn", "mem")
MODES = ("single", "multi")
N_IN = 7


def currents(steps: int = 60, inputs: int = N, seed: int = 0) -> Tensor:
    return drive(seed, (steps, B, inputs), scale=1.0, offset=0.1)


def lively(neuron: Any, seed: int = 1) -> Any:
    """Float64 weights large enough for the gates to open and close."""
    generator = torch.Generator().manual_seed(seed)
    neuron.double()
    for weights in neuron.lstm_cell.parameters():
        noise = torch.randn(weights.shape, dtype=torch.float64, generator=generator)
        weights.data = noise * (0.7 if weights.dim() > 1 else 0.5)
    return neuron


def pair(mode: str, per_neuron: bool = True, **options: Any) -> tuple[Any, SLSTM]:
    """snnTorch's neuron, at rest in float64, and ours, with the same weights."""
    options = {"threshold": number(0.1, 0.3, per_neuron), **options}
    theirs = lively(snntorch.SLSTM(N, N, spike_grad=heaviside, **options))
    # Its own zeros are float32.
    theirs.syn, theirs.mem = torch.zeros(2, B, N, dtype=torch.float64)
    ours = SLSTM(N, N, multi_step=mode == "multi", output=mode == "multi", **options).double()
    ours.load_state_dict(theirs.state_dict())
    return theirs, ours


def learner(per_neuron: bool = True, **options: Any) -> SLSTM:
    """Ours with everything learnable, multi-step, of another size than its input."""
    torch.manual_seed(2)
    return lively(
        SLSTM(
            N_IN, N, threshold=number(0.1, 0.3, per_neuron), learn_threshold=True,
            graded_spikes_factor=number(0.7, 1.2, per_neuron), learn_graded_spikes_factor=True,
            multi_step=True, output=True, **{"spike_grad": fast_sigmoid(3.0), **options},
        )
    )  # fmt: skip


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("per_neuron", [False, True], ids=["scalar", "per-neuron"])
@pytest.mark.parametrize("reset", RESETS)
def test_the_numbers_are_snntorchs(reset: str, per_neuron: bool, mode: str) -> None:
    theirs, ours = pair(mode, per_neuron, reset_mechanism=reset)
    compare(theirs, ours, currents(), STATES).require()


@pytest.mark.parametrize("mode", MODES)
def test_state_quant_is_of_both_states_and_bias_may_be_left_out(mode: str) -> None:
    def coarse(state: Tensor) -> Tensor:
        return torch.floor(state * 64) / 64

    theirs, ours = pair(mode, state_quant=coarse, bias=False, reset_mechanism="subtract")
    compare(theirs, ours, currents(), STATES).require()


def test_a_fault_in_the_comparison_is_seen() -> None:
    theirs, ours = pair("multi")
    ours.lstm_cell.bias_hh.data[0] += 0.01
    assert min(compare(theirs, ours, currents(), STATES).errors.values()) > 1e-4


@pytest.mark.parametrize("mode", MODES)
def test_without_reset_it_is_torchs_lstm_at_any_size(mode: str) -> None:
    """Also where input_size ≠ hidden_size, with which snnTorch forgets its state every step."""
    ours = learner()
    reference = nn.LSTM(N_IN, N, dtype=torch.float64)
    for name, weights in ours.lstm_cell.named_parameters():
        getattr(reference, f"{name}_l0").data = weights.detach()
    inputs = currents(inputs=N_IN)
    ours.multi_step = mode == "multi"
    run = all_at_once if mode == "multi" else step_by_step
    with torch.no_grad():
        trace = run(ours, inputs, STATES)
        hidden, (_, cell) = reference(inputs)
    assert 0 < trace.spikes.count_nonzero() < trace.spikes.numel()
    assert (trace.states["mem"] - hidden).abs().max() <= 1e-9
    assert (trace.states["syn"][-1] - cell[0]).abs().max() <= 1e-9
    forgetful = snntorch.SLSTM(N_IN, N)
    forgetful.lstm_cell.load_state_dict(ours.lstm_cell.float().state_dict())
    with torch.no_grad():
        membranes = torch.stack([forgetful(step.float())[2] for step in inputs])
    assert (membranes - hidden).abs().max() > 0.1


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("reset", RESETS[:2])
def test_an_immediate_reset_is_fed_back(reset: str, mode: str) -> None:
    ours = learner(reset_mechanism=reset, reset_delay=False)
    ours.multi_step = mode == "multi"
    inputs = currents(inputs=N_IN)
    run = all_at_once if mode == "multi" else step_by_step
    with torch.no_grad():
        trace = run(ours, inputs, STATES)
        c = u = torch.zeros(B, N, dtype=torch.float64)
        for t, current in enumerate(inputs):
            v, c = ours.lstm_cell(current, (u, c))
            fired = (v > ours.threshold).double()
            u = v - fired * ours.threshold if reset == "subtract" else v * (fired == 0)
            assert torch.equal(trace.spikes[t], fired * ours.graded_spikes_factor)
            assert (trace.states["syn"][t] - c).abs().max() <= 1e-9
            assert (trace.states["mem"][t] - u).abs().max() <= 1e-9
    assert 0 < trace.spikes.count_nonzero() < trace.spikes.numel()


@pytest.mark.parametrize("mode", MODES)
def test_inhibition_is_obeyed(mode: str) -> None:
    """snnTorch takes the argument and ignores it."""
    ours = learner(inhibition=True)
    ours.multi_step = mode == "multi"
    run = all_at_once if mode == "multi" else step_by_step
    with torch.no_grad():
        trace = run(ours, currents(inputs=N_IN), STATES)
    fired = trace.spikes.count_nonzero(dim=-1)
    assert fired.max() == 1
    winners = (trace.states["mem"] - ours.threshold).argmax(dim=-1)
    assert torch.equal(trace.spikes.argmax(dim=-1)[fired == 1], winners[fired == 1])


# The backward pass.


@pytest.mark.parametrize("reset", RESETS)
def test_gradients_are_snntorchs(reset: str) -> None:
    options: dict[str, Any] = {"learn_threshold": True, "reset_mechanism": reset}
    theirs, ours = pair("multi", **options)
    theirs.spike_grad = ours.spike_grad = atan(2.0)
    inputs = currents(20)
    by_hand = gradients(ours, inputs, STATES, all_at_once)
    reference = gradients(theirs, inputs, STATES, step_by_step)
    assert by_hand.keys() == reference.keys()
    assert len(reference) == 6
    for name, gradient in reference.items():
        assert gradient.abs().max() > 1e-3
        assert (by_hand[name] - gradient).abs().max() <= 1e-9, name


@pytest.mark.parametrize("detach", [True, False], ids=["detached", "attached"])
@pytest.mark.parametrize("delay", [True, False], ids=["delayed", "immediate"])
@pytest.mark.parametrize("reset", RESETS)
def test_backward_equals_autograd(reset: str, delay: bool, detach: bool) -> None:
    neuron = learner(reset_mechanism=reset, reset_delay=delay, detach_reset=detach)
    start = [drive(3, (B, N), scale=0.5), drive(4, (B, N), scale=0.3)]
    errors = gradient_errors(neuron, currents(20, N_IN), STATES, start)
    cell = {f"lstm_cell.{name}" for name, _ in neuron.lstm_cell.named_parameters()}
    names = {"input", "threshold", "graded_spikes_factor", "initial syn", "initial mem"}
    assert len(cell) == 4
    assert errors.keys() == names | cell
    assert max(errors.values()) <= 1e-9, str(errors)


@pytest.mark.parametrize(
    "options",
    [
        {"inhibition": True, "reset_mechanism": "subtract"},
        {"normalise_surrogate": True, "detach_reset": False, "reset_mechanism": "zero"},
        {"strict": False, "bias": False},
        {"per_neuron": False},
    ],
    ids=str,
)
def test_backward_equals_autograd_with_other_options(options: dict[str, Any]) -> None:
    require_gradients(learner(**options), currents(20, N_IN), STATES)


@pytest.mark.parametrize(
    "fault",
    [{"detach_reset": False}, {"normalise_surrogate": True}, {"reset_delay": False}],
    ids=str,
)
def test_the_gradient_comparison_catches_a_fault(fault: dict[str, Any]) -> None:
    inputs = currents(20, N_IN)
    sound = learner(reset_mechanism="subtract")
    faulty = learner(reset_mechanism="subtract", **fault)
    faulty.multi_step = False
    by_hand = gradients(sound, inputs, STATES, all_at_once)
    found = gradients(faulty, inputs, STATES, step_by_step)
    assert any((by_hand[name] - found[name]).abs().max() > 1e-3 for name in by_hand)


def test_a_loss_on_one_output_alone_has_its_gradient() -> None:
    for which in (0, 1, 2):
        neuron = learner(reset_mechanism="subtract")
        neuron(currents(5, N_IN))[which].sum().backward()
        grad = neuron.lstm_cell.weight_hh.grad
        assert grad is not None
        assert grad.abs().max() > 0


# State and calling convention.


def test_hidden_state_continues_over_blocks() -> None:
    inputs = currents(inputs=N_IN)
    whole = learner(init_hidden=True, reset_mechanism="zero")
    halves = copy.deepcopy(whole)
    with torch.no_grad():
        together = Trace(whole(inputs)[0], {})
        split = torch.cat((halves(inputs[:25])[0], halves(inputs[25:])[0]))
        forgot = torch.cat((halves(inputs[:25])[0], whole(inputs[25:])[0]))
    assert torch.equal(split, together.spikes)
    assert not torch.equal(forgot, together.spikes)


def test_documented_loops_run() -> None:
    neuron = SLSTM(N_IN, N, threshold=0.05)
    syn, mem = neuron.init_slstm()
    total = 0
    for current in currents(inputs=N_IN).float():
        spk, syn, mem = neuron(current, syn, mem)
        total += int(spk.sum())
    assert total > 0
    hidden = nn.Sequential(SLSTM(N_IN, 5, init_hidden=True), SLSTM(5, 3, init_hidden=True))
    assert hidden(torch.ones(2, N_IN)).shape == (2, 3)


def test_the_recurrence_is_described() -> None:
    neuron = learner()
    hidden = drive(0, (B, N))
    assert neuron.recurrence.kind == "linear"
    expected = hidden @ neuron.lstm_cell.weight_hh.T + neuron.lstm_cell.bias_hh
    assert (neuron.recurrence(hidden) - expected).abs().max() <= 1e-12
    assert SLSTM(2, 3, bias=False).recurrence.bias is None


def test_inputs_that_do_not_fit_are_named() -> None:
    with pytest.raises(LayerError, match=r"SLSTM: .* it must be \[B, 7\]"):
        SLSTM(N_IN, N)(torch.zeros(2, 6))
    neuron = SLSTM(N_IN, N)
    neuron(torch.zeros(2, N_IN))
    with pytest.raises(LayerError, match="reset the state"):
        neuron(torch.zeros(3, N_IN))
    with pytest.raises(LayerError, match="threshold has shape"):
        SLSTM(N_IN, N, threshold=torch.ones(5), multi_step=True)(torch.zeros(2, 3, N_IN))
    with pytest.raises(LayerError, match="threshold has shape"):
        SLSTM(N_IN, N, threshold=torch.ones(5), reset_mechanism="subtract")(torch.zeros(3, N_IN))
