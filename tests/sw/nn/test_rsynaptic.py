"""RSynaptic: snnTorch's numbers, and a backward pass that autograd confirms."""

import copy
from typing import Any

import pytest
import snntorch
import torch
from recurrent_cases import (
    KINDS,
    currents,
    feedback,
    per_layer_or_neuron,
    with_the_same_weights,
)
from reslif.sw.nn import LayerError, RLeaky, RSynaptic, atan, fast_sigmoid
from snntorch_oracle import (
    RESETS,
    N,
    all_at_once,
    compare,
    drive,
    gradient_errors,
    gradients,
    require_gradients,
    step_by_step,
)
from torch import Tensor

STATES = ("syn", "mem")
MODES = ("single", "multi")


def numbers(kind: str, per_neuron: bool = True) -> dict[str, Tensor]:
    return {
        "alpha": per_layer_or_neuron(0.3, 0.9, kind, per_neuron),
        "beta": per_layer_or_neuron(0.6, 0.95, kind, per_neuron),
        "threshold": per_layer_or_neuron(0.7, 1.6, kind, per_neuron),
    }


def pair(kind: str, mode: str, per_neuron: bool = True, **options: Any) -> tuple[Any, RSynaptic]:
    """snnTorch's neuron and ours, with the same weights by way of a state dict."""
    arguments = {**numbers(kind, per_neuron), **feedback(kind, per_neuron), **options}
    theirs = snntorch.RSynaptic(**arguments, spike_grad=lambda x: (x > 0).to(x.dtype))
    ours = RSynaptic(**arguments, multi_step=mode == "multi", output=mode == "multi")
    with_the_same_weights(theirs, ours)
    return theirs, ours


def learner(kind: str, per_neuron: bool = True, **options: Any) -> RSynaptic:
    """Ours with everything learnable, multi-step."""
    torch.manual_seed(2)
    return RSynaptic(
        **numbers(kind, per_neuron), **feedback(kind, per_neuron), learn_alpha=True,
        learn_beta=True, learn_threshold=True, learn_graded_spikes_factor=True,
        graded_spikes_factor=per_layer_or_neuron(0.7, 1.2, kind, per_neuron),
        multi_step=True, output=True, **{"spike_grad": fast_sigmoid(3.0), **options},
    ).double()  # fmt: skip


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("per_neuron", [False, True], ids=["scalar", "per-neuron"])
@pytest.mark.parametrize("reset", RESETS)
@pytest.mark.parametrize("kind", KINDS)
def test_the_numbers_are_snntorchs(kind: str, reset: str, per_neuron: bool, mode: str) -> None:
    theirs, ours = pair(kind, mode, per_neuron, reset_mechanism=reset)
    compare(theirs, ours, currents(kind, scale=0.5, offset=0.05), STATES).require()


@pytest.mark.parametrize("mode", MODES)
def test_state_quant_is_of_both_states(mode: str) -> None:
    def coarse(state: Tensor) -> Tensor:
        return torch.floor(state * 16) / 16

    theirs, ours = pair("linear", mode, state_quant=coarse)
    compare(theirs, ours, currents("linear", scale=0.5, offset=0.05), STATES).require()


def test_a_fault_in_the_comparison_is_seen() -> None:
    theirs, ours = pair("linear", "multi")
    ours.alpha += 0.01
    assert min(compare(theirs, ours, currents("linear"), STATES).errors.values()) > 1e-3


# An immediate reset, with which snnTorch 1.0.0 raises.


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("reset", RESETS[:2])
def test_an_immediate_reset_works(reset: str, mode: str) -> None:
    theirs, ours = pair("linear", mode, reset_mechanism=reset, reset_delay=False)
    inputs = currents("linear", scale=0.9, offset=0.3)
    with pytest.raises(TypeError):
        theirs(inputs[0])
    run = all_at_once if mode == "multi" else step_by_step
    with torch.no_grad():
        trace = run(ours, inputs, STATES)
        sent = i = u = torch.zeros_like(inputs[0])
        for t, current in enumerate(inputs):
            i = ours.alpha * i + current + ours.recurrent(sent)
            v = ours.beta * u + i
            sent = (v > ours.threshold).double()
            u = v - sent * ours.threshold if reset == "subtract" else v * (sent == 0)
            assert torch.equal(trace.spikes[t], sent)
            assert (trace.states["syn"][t] - i).abs().max() <= 1e-9
            assert (trace.states["mem"][t] - u).abs().max() <= 1e-9
    assert 0.05 < trace.spikes.mean() < 0.95


def test_without_synaptic_memory_it_is_rleaky() -> None:
    arguments = {"beta": 0.8, "linear_features": N, "multi_step": True, "output": True}
    synaptic, plain = RSynaptic(0.0, **arguments), RLeaky(**arguments)
    plain.load_state_dict(
        {name: value for name, value in synaptic.state_dict().items() if name != "alpha"}
    )
    inputs = currents("linear").float()
    assert torch.equal(synaptic(inputs)[0], plain(inputs)[0])
    assert 0 < plain(inputs)[0].mean() < 1


# The backward pass.


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("reset", RESETS)
def test_gradients_are_snntorchs(kind: str, reset: str) -> None:
    options: dict[str, Any] = {
        **numbers(kind), **feedback(kind), "learn_alpha": True, "learn_beta": True,
        "learn_threshold": True, "reset_mechanism": reset, "spike_grad": atan(2.0),
    }  # fmt: skip
    theirs = snntorch.RSynaptic(**options)
    ours = RSynaptic(**options, multi_step=True, output=True)
    with_the_same_weights(theirs, ours)
    inputs = currents(kind, steps=20, scale=0.5, offset=0.05)
    by_hand = gradients(ours, inputs, STATES, all_at_once)
    reference = gradients(theirs, inputs, STATES, step_by_step)
    assert by_hand.keys() == reference.keys()
    assert len(reference) == (5 if kind == "one_to_one" else 6)
    for name, gradient in reference.items():
        assert gradient.abs().max() > 1e-3
        assert (by_hand[name] - gradient).abs().max() <= 1e-9, name


@pytest.mark.parametrize("detach", [True, False], ids=["detached", "attached"])
@pytest.mark.parametrize("delay", [True, False], ids=["delayed", "immediate"])
@pytest.mark.parametrize("reset", RESETS)
@pytest.mark.parametrize("kind", KINDS)
def test_backward_equals_autograd(kind: str, reset: str, delay: bool, detach: bool) -> None:
    neuron = learner(kind, reset_mechanism=reset, reset_delay=delay, detach_reset=detach)
    errors = gradient_errors(neuron, currents(kind, steps=20, scale=0.5, offset=0.05), STATES)
    weights = {"V"} if kind == "one_to_one" else {"recurrent.weight", "recurrent.bias"}
    names = {"input", "alpha", "beta", "threshold", "graded_spikes_factor"} | weights
    assert errors.keys() == names
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
    inputs = currents("linear", steps=20, scale=0.5, offset=0.05)
    require_gradients(learner("linear", **options), inputs, STATES)


@pytest.mark.parametrize("detach", [True, False], ids=["detached", "attached"])
@pytest.mark.parametrize("reset", RESETS)
def test_first_states_have_their_gradient(reset: str, detach: bool) -> None:
    neuron = learner("linear", reset_mechanism=reset, detach_reset=detach)
    inputs = currents("linear", steps=9)
    found = []
    for multi_step in (True, False):
        layer = copy.deepcopy(neuron)
        layer.multi_step = multi_step
        start = [
            (drive(3, inputs.shape[1:]) > 0.4).double().requires_grad_(),
            drive(4, inputs.shape[1:]).requires_grad_(),
            drive(5, inputs.shape[1:]).requires_grad_(),
        ]
        if multi_step:
            outputs = layer(inputs, *start)
        else:
            rows = [layer(inputs[0], *start), *(layer(current) for current in inputs[1:])]
            outputs = [torch.stack(column) for column in zip(*rows, strict=True)]
        loss = torch.stack([(out * drive(6, out.shape)).sum() for out in outputs]).sum()
        leaves = [*start, *layer.parameters()]
        found.append((*outputs, *torch.autograd.grad(loss, leaves)))
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
    sound = gradients(learner("linear"), inputs, STATES, all_at_once)
    faulty = learner("linear", **fault)
    faulty.multi_step = False
    found = gradients(faulty, inputs, STATES, step_by_step)
    assert any((sound[name] - found[name]).abs().max() > 1e-3 for name in sound)


def test_a_loss_on_one_output_alone_has_its_gradient() -> None:
    for which in (0, 1, 2):
        neuron = learner("linear")
        neuron(currents("linear", steps=5))[which].sum().backward()
        assert neuron.alpha.grad is not None
        assert neuron.alpha.grad.abs().max() > 0


# State and calling convention.


def test_hidden_state_continues_over_blocks() -> None:
    inputs = currents("linear", scale=0.5, offset=0.05)
    whole = learner("linear", init_hidden=True)
    halves = copy.deepcopy(whole)
    with torch.no_grad():
        spikes, syn, mem = whole(inputs)
        first, second = halves(inputs[:25]), halves(inputs[25:])
    assert 0 < spikes.count_nonzero() < spikes.numel()
    assert torch.equal(torch.cat((first[0], second[0])), spikes)
    assert (torch.cat((first[1], second[1])) - syn).abs().max() <= 1e-9
    assert (torch.cat((first[2], second[2])) - mem).abs().max() <= 1e-9


def test_documented_loops_run() -> None:
    neuron = RSynaptic(0.7, 0.8, linear_features=N)
    spk, syn, mem = neuron.init_rsynaptic()
    total = 0
    for current in currents("linear").float():
        spk, syn, mem = neuron(current, spk, syn, mem)
        total += int(spk.sum())
    assert total > 0
    one_to_one = RSynaptic(0.7, 0.8, V=0.5, all_to_all=False, init_hidden=True)
    assert one_to_one(torch.ones(3, N)).shape == (3, N)


def test_the_state_dict_is_snntorchs() -> None:
    for kind in KINDS:
        theirs = snntorch.RSynaptic(0.9, 0.8, **feedback(kind))
        ours = RSynaptic(0.9, 0.8, **feedback(kind))
        assert theirs.state_dict().keys() - ours.state_dict().keys() <= {"recurrent.V"}
        assert ours.state_dict().keys() <= theirs.state_dict().keys()


def test_numbers_are_used_clamped_and_checked() -> None:
    neuron = RSynaptic(1.5, torch.tensor([-0.5, 0.5]), linear_features=2)
    assert neuron.effective_alpha() == 1
    assert neuron.effective_beta().tolist() == [0, 0.5]
    with pytest.raises(LayerError, match="beta has shape"):
        RSynaptic(0.5, torch.rand(3), linear_features=2)(torch.zeros(1, 2))
    with pytest.raises(LayerError, match="RSynaptic: alpha is nan"):
        RSynaptic(float("nan"), 0.5, linear_features=2)
