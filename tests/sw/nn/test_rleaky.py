"""RLeaky: snnTorch's numbers, and a backward pass that autograd confirms."""

import copy
from typing import Any

import pytest
import snntorch
import torch
from recurrent_cases import (
    CHANNELS,
    KINDS,
    currents,
    feedback,
    per_layer_or_neuron,
    with_the_same_weights,
)
from reslif.sw.nn import LayerError, Recurrence, RLeaky, atan, fast_sigmoid
from reslif.sw.nn.recurrent_function import RecurrentState, run_recurrent
from snntorch_oracle import (
    RESETS,
    N,
    all_at_once,
    compare,
    drive,
    gradient_errors,
    gradients,
    heaviside,
    require_gradients,
    step_by_step,
)
from torch import Tensor

MODES = ("single", "multi")


def numbers(kind: str, per_neuron: bool = True) -> dict[str, Tensor]:
    return {
        "beta": per_layer_or_neuron(0.6, 0.97, kind, per_neuron),
        "threshold": per_layer_or_neuron(0.5, 1.3, kind, per_neuron),
    }


def pair(kind: str, mode: str, per_neuron: bool = True, **options: Any) -> tuple[Any, RLeaky]:
    """snnTorch's neuron and ours, with the same weights by way of a state dict."""
    arguments = {**numbers(kind, per_neuron), **feedback(kind, per_neuron), **options}
    theirs = snntorch.RLeaky(**arguments, spike_grad=heaviside)
    ours = RLeaky(**arguments, multi_step=mode == "multi", output=mode == "multi")
    with_the_same_weights(theirs, ours)
    return theirs, ours


def learner(kind: str, per_neuron: bool = True, **options: Any) -> RLeaky:
    """Ours with everything learnable, multi-step."""
    torch.manual_seed(2)
    return RLeaky(
        **numbers(kind, per_neuron), **feedback(kind, per_neuron), learn_beta=True,
        learn_threshold=True, learn_graded_spikes_factor=True,
        graded_spikes_factor=per_layer_or_neuron(0.7, 1.2, kind, per_neuron),
        multi_step=True, output=True, **{"spike_grad": fast_sigmoid(3.0), **options},
    ).double()  # fmt: skip


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("per_neuron", [False, True], ids=["scalar", "per-neuron"])
@pytest.mark.parametrize("reset", RESETS)
@pytest.mark.parametrize("kind", KINDS)
def test_the_numbers_are_snntorchs(kind: str, reset: str, per_neuron: bool, mode: str) -> None:
    theirs, ours = pair(kind, mode, per_neuron, reset_mechanism=reset)
    compare(theirs, ours, currents(kind), ["mem"]).require()


@pytest.mark.parametrize("mode", MODES)
def test_inhibition_feeds_back_the_winner_alone(mode: str) -> None:
    with pytest.warns(UserWarning, match="unstable"):
        theirs, ours = pair("linear", mode, inhibition=True)
    compare(theirs, ours, currents("linear"), ["mem"]).require()


@pytest.mark.parametrize("mode", MODES)
def test_state_quant_is_applied_once_a_step(mode: str) -> None:
    def coarse(mem: Tensor) -> Tensor:
        return torch.floor(mem * 16) / 16

    theirs, ours = pair("linear", mode, state_quant=coarse)
    compare(theirs, ours, currents("linear"), ["mem"]).require()


def test_a_fault_in_the_comparison_is_seen() -> None:
    theirs, ours = pair("linear", "multi")
    ours.recurrent.bias.data[0] += 0.01
    assert max(compare(theirs, ours, currents("linear"), ["mem"]).errors.values()) > 1e-3


# An immediate reset: the plain one, m ← m − θ or 0 after firing.


def written_out(ours: RLeaky, inputs: Tensor) -> tuple[Tensor, Tensor]:
    """An immediate reset from the equations: spikes and stored membranes."""
    sent = u = torch.zeros_like(inputs[0])
    rows = []
    for current in inputs:
        v = ours.beta.clamp(0, 1) * u + current + ours.recurrent(sent)
        sent = (v > ours.threshold).to(v.dtype)
        if ours.reset_mechanism == "subtract":
            u = v - sent * ours.threshold
        else:
            u = torch.where(sent > 0, torch.zeros_like(v), v)
        rows.append((sent, u))
    return torch.stack([s for s, _ in rows]), torch.stack([u for _, u in rows])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("reset", RESETS[:2])
def test_an_immediate_reset_never_adds_the_threshold_back(reset: str, mode: str) -> None:
    theirs, ours = pair("linear", mode, reset_mechanism=reset, reset_delay=False)
    inputs = currents("linear", scale=1.5, offset=0.8)
    run = all_at_once if mode == "multi" else step_by_step
    with torch.no_grad():
        trace = run(ours, inputs, ["mem"])
        spikes, membranes = written_out(ours, inputs)
    assert 0.05 < spikes.mean() < 0.95
    assert torch.equal(trace.spikes, spikes)
    assert (trace.states["mem"] - membranes).abs().max() <= 1e-9
    if reset == "subtract":  # where a residue above θ is left, snnTorch takes the reset back
        assert compare(theirs, ours, inputs, ["mem"]).different > 0


# The backward pass.


def drops_its_own_spike(kind: str, reset: str, delay: bool = True) -> bool:
    """A delayed reset to zero also drops the neuron's own spike: V then changes nothing."""
    return (kind, reset, delay) == ("one_to_one", "zero", True)


def test_a_delayed_reset_to_zero_makes_v_useless() -> None:
    neuron = learner("one_to_one", reset_mechanism="zero")
    assert drops_its_own_spike("one_to_one", "zero")
    found = gradients(neuron, currents("one_to_one"), ["mem"], all_at_once)
    assert found["V"].abs().max() == 0
    assert found["beta"].abs().max() > 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("reset", RESETS)
def test_gradients_are_snntorchs(kind: str, reset: str) -> None:
    surrogate = atan(2.0)
    theirs = snntorch.RLeaky(
        **numbers(kind), **feedback(kind), learn_beta=True, learn_threshold=True,
        reset_mechanism=reset, spike_grad=surrogate,
    )  # fmt: skip
    ours = RLeaky(
        **numbers(kind), **feedback(kind), learn_beta=True, learn_threshold=True,
        reset_mechanism=reset, spike_grad=surrogate, multi_step=True, output=True,
    )  # fmt: skip
    with_the_same_weights(theirs, ours)
    inputs = currents(kind, steps=20)
    by_hand = gradients(ours, inputs, ["mem"], all_at_once)
    reference = gradients(theirs, inputs, ["mem"], step_by_step)
    assert by_hand.keys() == reference.keys()
    assert len(reference) == (4 if kind == "one_to_one" else 5)
    for name, gradient in reference.items():
        assert gradient.abs().max() > 1e-3 or (name == "V" and drops_its_own_spike(kind, reset))
        assert (by_hand[name] - gradient).abs().max() <= 1e-9, name


@pytest.mark.parametrize("detach", [True, False], ids=["detached", "attached"])
@pytest.mark.parametrize("delay", [True, False], ids=["delayed", "immediate"])
@pytest.mark.parametrize("reset", RESETS)
@pytest.mark.parametrize("kind", KINDS)
def test_backward_equals_autograd(kind: str, reset: str, delay: bool, detach: bool) -> None:
    useless = drops_its_own_spike(kind, reset, delay)
    neuron = learner(
        kind, reset_mechanism=reset, reset_delay=delay, detach_reset=detach, learn_V=not useless
    )
    errors = gradient_errors(neuron, currents(kind, steps=20), ["mem"])
    weights = {"V"} if kind == "one_to_one" else {"recurrent.weight", "recurrent.bias"}
    weights = set() if useless else weights
    assert errors.keys() == {"input", "beta", "threshold", "graded_spikes_factor"} | weights
    assert max(errors.values()) <= 1e-9, str(errors)


@pytest.mark.parametrize(
    "options",
    [
        {"inhibition": True},
        {"inhibition": True, "reset_delay": False},
        {"normalise_surrogate": True, "detach_reset": False},
        {"strict": False},
        {"per_neuron": False},
    ],
    ids=str,
)
def test_backward_equals_autograd_with_other_options(options: dict[str, Any]) -> None:
    require_gradients(learner("linear", **options), currents("linear", steps=20), ["mem"])


@pytest.mark.parametrize("detach", [True, False], ids=["detached", "attached"])
@pytest.mark.parametrize("delay", [True, False], ids=["delayed", "immediate"])
@pytest.mark.parametrize("reset", RESETS)
def test_first_states_have_their_gradient(reset: str, delay: bool, detach: bool) -> None:
    neuron = learner("linear", reset_mechanism=reset, reset_delay=delay, detach_reset=detach)
    inputs = currents("linear", steps=9)
    found = []
    for multi_step in (True, False):
        layer = copy.deepcopy(neuron)
        layer.multi_step = multi_step
        spk = (drive(3, inputs.shape[1:]) > 0.4).double().requires_grad_()
        mem = drive(4, inputs.shape[1:]).requires_grad_()
        if multi_step:
            spikes, membranes = layer(inputs, spk, mem)
        else:
            rows = [layer(inputs[0], spk, mem), *(layer(current) for current in inputs[1:])]
            spikes, membranes = (torch.stack(column) for column in zip(*rows, strict=True))
        loss = (spikes * drive(5, spikes.shape)).sum() + (membranes * drive(6, spikes.shape)).sum()
        leaves = [spk, mem, *layer.parameters()]
        found.append((spikes, membranes, *torch.autograd.grad(loss, leaves)))
    for by_hand, by_autograd in zip(*found, strict=True):
        assert by_autograd.abs().max() > 1e-6
        assert (by_hand - by_autograd).abs().max() <= 1e-9


@pytest.mark.parametrize(
    "fault",
    [
        {"detach_reset": False},
        {"normalise_surrogate": True},
        {"reset_delay": False},
        {"spike_grad": atan(3.0)},
    ],
    ids=str,
)
def test_the_gradient_comparison_catches_a_fault(fault: dict[str, Any]) -> None:
    inputs = currents("linear", steps=20)
    sound = gradients(learner("linear"), inputs, ["mem"], all_at_once)
    faulty = learner("linear", **fault)
    faulty.multi_step = False
    found = gradients(faulty, inputs, ["mem"], step_by_step)
    assert any((sound[name] - found[name]).abs().max() > 1e-3 for name in sound)


def test_one_loss_term_alone_has_its_gradient() -> None:
    for which in (0, 1):
        neuron = learner("linear")
        neuron(currents("linear", steps=5))[which].sum().backward()
        assert all(p.grad is not None and p.grad.abs().max() > 0 for p in neuron.parameters())


def test_a_foreign_spike_function_gives_the_same_numbers() -> None:
    ours, foreign = learner("linear"), learner("linear", spike_grad=lambda x: heaviside(x))
    with torch.no_grad():
        for mine, other in zip(ours(currents("linear")), foreign(currents("linear")), strict=True):
            assert (mine - other).abs().max() <= 1e-9


# State and calling convention.


def test_hidden_state_continues_over_calls_and_blocks() -> None:
    inputs = currents("linear")
    whole = learner("linear", init_hidden=True)
    halves = copy.deepcopy(whole)
    with torch.no_grad():
        spikes, mem = whole(inputs)
        first, second = halves(inputs[:25]), halves(inputs[25:])
    assert 0 < spikes.count_nonzero() < spikes.numel()
    assert torch.equal(torch.cat((first[0], second[0])), spikes)
    assert (torch.cat((first[1], second[1])) - mem).abs().max() <= 1e-9
    halves.reset_mem()
    with torch.no_grad():
        assert torch.equal(halves(inputs)[0], spikes)
    assert not torch.equal(halves(inputs)[0], spikes)  # without a reset it went on


def test_documented_loops_run() -> None:
    neuron = RLeaky(0.9, linear_features=N)
    spk, mem = neuron.init_rleaky()
    total = 0
    for current in currents("linear").float():
        spk, mem = neuron(current, spk, mem)
        total += int(spk.sum())
    assert total > 0
    hidden = torch.nn.Sequential(
        torch.nn.Linear(7, N), RLeaky(0.9, all_to_all=False, init_hidden=True, output=True)
    )
    spk, mem = hidden(torch.ones(3, 7))
    assert spk.shape == mem.shape == (3, N)


def test_the_state_dict_is_snntorchs() -> None:
    for kind in KINDS:
        theirs = snntorch.RLeaky(0.9, **feedback(kind))
        ours = RLeaky(0.9, **feedback(kind))
        assert theirs.state_dict().keys() - ours.state_dict().keys() <= {"recurrent.V"}
        assert ours.state_dict().keys() <= theirs.state_dict().keys()


@pytest.mark.parametrize("name", ["learn_recurrent", "learn_V"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_feedback_is_learnable_unless_told(kind: str, name: str) -> None:
    assert sum(p.requires_grad for p in RLeaky(0.9, **feedback(kind)).parameters()) > 0
    fixed = RLeaky(0.9, **feedback(kind), **{name: False})
    assert not any(p.requires_grad for p in fixed.parameters())


def test_the_recurrence_is_described() -> None:
    for kind in KINDS:
        neuron = RLeaky(0.9, **feedback(kind)).double()
        recurrence = neuron.recurrence
        assert recurrence.kind == kind
        sent = currents(kind)[0]
        fed_back = neuron.V * sent if kind == "one_to_one" else neuron.recurrent(sent)
        assert (recurrence(sent) - fed_back).abs().max() <= 1e-12


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "either linear_features or"),
        ({"linear_features": 4, "kernel_size": 3}, "either linear_features or"),
        ({"conv2d_channels": 4}, "either linear_features or"),
        ({"conv2d_channels": 4, "kernel_size": 4}, "kernel_size is 4; it must be one odd"),
        ({"all_to_all": False, "linear_features": 4}, "by V alone"),
        ({"linear_features": 4, "threshold": 0.0}, "threshold is 0.0"),
    ],
    ids=str,
)
def test_bad_arguments_are_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(LayerError, match=message):
        RLeaky(0.9, **arguments)


def test_inputs_that_do_not_fit_are_named() -> None:
    with pytest.raises(LayerError, match="linear_features, 12"):
        RLeaky(0.9, linear_features=N)(torch.zeros(2, N + 1))
    with pytest.raises(LayerError, match="conv2d_channels"):
        RLeaky(0.9, **feedback("conv"))(torch.zeros(2, CHANNELS + 1, 4, 4))
    with pytest.raises(LayerError, match="V has shape"):
        RLeaky(0.9, **feedback("one_to_one"))(torch.zeros(2, N + 1))
    neuron = RLeaky(0.9, linear_features=N)
    neuron(torch.zeros(2, N))
    with pytest.raises(LayerError, match="reset the state"):
        neuron(torch.zeros(3, N))


def test_the_block_function_starts_where_it_is_told() -> None:
    """run_recurrent by itself: a bias counts in the first step, what was sent before it too."""
    zeros = torch.zeros(1, 2)
    recurrence = Recurrence("linear", torch.eye(2), torch.tensor([0.25, 0.0]))
    half, one = torch.tensor(0.5), torch.tensor(1.0)
    start = RecurrentState(torch.tensor([[0.0, 1.0]]), None, zeros)
    rule = RLeaky(0.5, all_to_all=False).rule()
    out = run_recurrent(zeros[None], start, recurrence, None, half, half, one, rule)
    assert out.membrane.tolist() == [[[0.25, 1.0]]]
    assert out.sent.tolist() == [[[0.0, 1.0]]]
