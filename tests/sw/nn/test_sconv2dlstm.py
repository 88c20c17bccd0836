"""SConv2dLSTM: snnTorch's numbers, and a backward pass that autograd confirms."""

import copy
from typing import Any

import pytest
import snntorch
import torch
from reslif.sw.nn import LayerError, SConv2dLSTM, atan, fast_sigmoid
from snntorch_oracle import (
    RESETS,
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
B, IN, OUT, HEIGHT, WIDTH = 3, 2, 4, 6, 4
POOLS: tuple[dict[str, Any], ...] = ({}, {"max_pool": 2}, {"avg_pool": 2})


def currents(steps: int = 30, seed: int = 0) -> Tensor:
    return drive(seed, (steps, B, IN, HEIGHT, WIDTH), scale=1.0, offset=0.1)


def lively(neuron: Any, seed: int = 1) -> Any:
    """Float64 weights large enough for the gates to open and close."""
    generator = torch.Generator().manual_seed(seed)
    neuron.double()
    for weights in neuron.conv.parameters():
        noise = torch.randn(weights.shape, dtype=torch.float64, generator=generator)
        weights.data = noise * 0.4
    return neuron


def threshold(per_channel: bool) -> Tensor:
    if per_channel:
        return number(0.05, 0.2, True, OUT)[:, None, None]
    return number(0.05, 0.2, False)


def pair(mode: str, per_channel: bool = True, **options: Any) -> tuple[Any, SConv2dLSTM]:
    """snnTorch's neuron, at rest in float64, and ours, with the same weights."""
    options = {"threshold": threshold(per_channel), "kernel_size": (3, 5), **options}
    theirs = lively(snntorch.SConv2dLSTM(IN, OUT, spike_grad=heaviside, **options))
    # Its own zeros are float32.
    theirs.syn, theirs.mem = torch.zeros(2, B, OUT, HEIGHT, WIDTH, dtype=torch.float64)
    ours = SConv2dLSTM(IN, OUT, multi_step=mode == "multi", output=mode == "multi", **options)
    ours.double().load_state_dict(theirs.state_dict())
    return theirs, ours


def learner(per_channel: bool = True, **options: Any) -> SConv2dLSTM:
    """Ours with everything learnable, multi-step."""
    torch.manual_seed(2)
    graded = number(0.7, 1.2, True, OUT)[:, None, None]
    options = {"spike_grad": fast_sigmoid(3.0), "kernel_size": 3, **options}
    return lively(
        SConv2dLSTM(
            IN, OUT, threshold=threshold(per_channel), learn_threshold=True,
            graded_spikes_factor=graded, learn_graded_spikes_factor=True,
            multi_step=True, output=True, **options,
        )
    )  # fmt: skip


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("pool", POOLS, ids=str)
@pytest.mark.parametrize("per_channel", [False, True], ids=["scalar", "per-channel"])
@pytest.mark.parametrize("reset", RESETS)
def test_the_numbers_are_snntorchs(
    reset: str, per_channel: bool, pool: dict[str, Any], mode: str
) -> None:
    theirs, ours = pair(mode, per_channel, reset_mechanism=reset, **pool)
    compare(theirs, ours, currents(), STATES).require()


@pytest.mark.parametrize("mode", MODES)
def test_state_quant_is_of_both_states_and_bias_may_be_left_out(mode: str) -> None:
    def coarse(state: Tensor) -> Tensor:
        return torch.floor(state * 64) / 64

    theirs, ours = pair(mode, state_quant=coarse, bias=False, reset_mechanism="subtract")
    compare(theirs, ours, currents(), STATES).require()


def test_a_fault_in_the_comparison_is_seen() -> None:
    theirs, ours = pair("multi")
    with torch.no_grad():  # the order of the gates is i, f, o, g and not SLSTM's i, f, g, o
        quarters = ours.conv.weight.chunk(4)
        ours.conv.weight.copy_(torch.cat([quarters[k] for k in (0, 1, 3, 2)]))
    assert min(compare(theirs, ours, currents(), STATES).errors.values()) > 1e-2


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("pool", POOLS, ids=str)
@pytest.mark.parametrize("reset", RESETS[:2])
def test_an_immediate_reset_is_decided_by_the_membrane(
    reset: str, pool: dict[str, Any], mode: str
) -> None:
    """The states of a neuron that pools are those of one that does not."""
    theta = threshold(True)
    ours = learner(reset_mechanism=reset, reset_delay=False, **pool)
    ours.multi_step = mode == "multi"
    inputs = currents()
    run = all_at_once if mode == "multi" else step_by_step
    with torch.no_grad():
        trace = run(ours, inputs, STATES)
        c = u = torch.zeros(B, OUT, HEIGHT, WIDTH, dtype=torch.float64)
        for t, current in enumerate(inputs):
            i, f, o, g = ours.conv(torch.cat((current, u), dim=1)).chunk(4, dim=1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            v = torch.sigmoid(o) * torch.tanh(c)
            fired = (v > theta).double()
            u = v - fired * theta if reset == "subtract" else v * (fired == 0)
            pooled = v
            if "max_pool" in pool:
                pooled = nn.functional.max_pool2d(v, 2)
            elif "avg_pool" in pool:
                pooled = nn.functional.avg_pool2d(v, 2)
            assert torch.equal(trace.spikes[t] > 0, pooled > theta)
            assert (trace.states["syn"][t] - c).abs().max() <= 1e-9
            assert (trace.states["mem"][t] - u).abs().max() <= 1e-9
    assert 0 < trace.spikes.count_nonzero() < trace.spikes.numel()


# The backward pass.


@pytest.mark.parametrize("pool", POOLS, ids=str)
@pytest.mark.parametrize("reset", RESETS)
def test_gradients_are_snntorchs(reset: str, pool: dict[str, Any]) -> None:
    theirs, ours = pair("multi", learn_threshold=True, reset_mechanism=reset, **pool)
    theirs.spike_grad = ours.spike_grad = atan(2.0)
    inputs = currents(12)
    by_hand = gradients(ours, inputs, STATES, all_at_once)
    reference = gradients(theirs, inputs, STATES, step_by_step)
    assert by_hand.keys() == reference.keys()
    assert reference.keys() == {"input", "threshold", "conv.weight", "conv.bias"}
    for name, gradient in reference.items():
        assert gradient.abs().max() > 1e-3
        assert (by_hand[name] - gradient).abs().max() <= 1e-9, name


@pytest.mark.parametrize("detach", [True, False], ids=["detached", "attached"])
@pytest.mark.parametrize("delay", [True, False], ids=["delayed", "immediate"])
@pytest.mark.parametrize("pool", POOLS, ids=str)
@pytest.mark.parametrize("reset", RESETS)
def test_backward_equals_autograd(
    reset: str, pool: dict[str, Any], delay: bool, detach: bool
) -> None:
    neuron = learner(reset_mechanism=reset, reset_delay=delay, detach_reset=detach, **pool)
    shape = (B, OUT, HEIGHT, WIDTH)
    start = [drive(3, shape, scale=0.5), drive(4, shape, scale=0.3)]
    errors = gradient_errors(neuron, currents(9), STATES, start)
    assert errors.keys() == {
        "input", "threshold", "graded_spikes_factor", "conv.weight", "conv.bias",
        "initial syn", "initial mem",
    }  # fmt: skip
    assert max(errors.values()) <= 1e-9, str(errors)


@pytest.mark.parametrize(
    "options",
    [
        {"normalise_surrogate": True, "detach_reset": False, "reset_mechanism": "zero"},
        {"strict": False, "bias": False},
        {"per_channel": False, "kernel_size": (1, 3)},
    ],
    ids=str,
)
def test_backward_equals_autograd_with_other_options(options: dict[str, Any]) -> None:
    require_gradients(learner(**options), currents(9), STATES)


def test_the_gradient_comparison_catches_a_fault() -> None:
    sound = learner(reset_mechanism="subtract")
    faulty = learner(reset_mechanism="subtract", detach_reset=False)
    faulty.multi_step = False
    by_hand = gradients(sound, currents(9), STATES, all_at_once)
    found = gradients(faulty, currents(9), STATES, step_by_step)
    assert any((by_hand[name] - found[name]).abs().max() > 1e-3 for name in by_hand)


# State and calling convention.


def test_hidden_state_continues_over_blocks() -> None:
    inputs = currents()
    whole = learner(init_hidden=True, reset_mechanism="zero", max_pool=2)
    halves = copy.deepcopy(whole)
    with torch.no_grad():
        spikes = whole(inputs)[0]
        assert torch.equal(torch.cat((halves(inputs[:11])[0], halves(inputs[11:])[0])), spikes)
    assert spikes.shape == (30, B, OUT, HEIGHT // 2, WIDTH // 2)


def test_documented_loops_run() -> None:
    first = SConv2dLSTM(1, 3, 3, threshold=0.02, max_pool=2)
    second = SConv2dLSTM(3, 2, 3, threshold=0.02)
    syn1, mem1 = first.init_sconv2dlstm()
    syn2, mem2 = second.reset_mem()
    total = 0
    for current in drive(0, (10, 2, 1, 8, 8)).float():
        spk, syn1, mem1 = first(current, syn1, mem1)
        spk, syn2, mem2 = second(spk, syn2, mem2)
        assert spk.shape == (2, 2, 4, 4)
        total += int(spk.sum())
    assert total > 0


def test_the_recurrence_is_described() -> None:
    neuron = learner()
    hidden = drive(0, (B, OUT, HEIGHT, WIDTH))
    nothing = torch.zeros(B, IN, HEIGHT, WIDTH, dtype=torch.float64)
    with_bias = neuron.conv(torch.cat((nothing, hidden), dim=1))
    bias = neuron.conv.bias
    assert bias is not None
    assert neuron.recurrence.kind == "conv"
    fed_back = neuron.recurrence(hidden) + bias[:, None, None]
    assert (fed_back - with_bias).abs().max() <= 1e-12


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kernel_size": 2}, "SConv2dLSTM: kernel_size is 2; it must be one odd"),
        ({"kernel_size": 3, "max_pool": 2, "avg_pool": 2}, "at most one"),
        ({"kernel_size": 3, "inhibition": True}, "inhibition is True"),
    ],
    ids=str,
)
def test_bad_arguments_are_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(LayerError, match=message):
        SConv2dLSTM(IN, OUT, **arguments)


def test_inputs_that_do_not_fit_are_named() -> None:
    with pytest.raises(LayerError, match=r"it must be \[B, 2, height, width\]"):
        SConv2dLSTM(IN, OUT, 3)(torch.zeros(1, IN + 1, 4, 4))
    neuron = SConv2dLSTM(IN, OUT, 3)
    neuron(torch.zeros(1, IN, 4, 4))
    with pytest.raises(LayerError, match="reset the state"):
        neuron(torch.zeros(1, IN, 4, 5))
