"""Adaptive against its equation in numpy, the contract's step on reals, and autograd."""

from typing import Any

import numpy as np
import pytest
import reslif.sw.nn as snn
import torch
from reslif.sw.formats import Format
from reslif.sw.graph import RealOps, neuron_step
from reslif.sw.network import Adaptive
from reslif.sw.nn import LayerError
from snntorch_oracle import (
    RESETS,
    SHORT,
    Trace,
    all_at_once,
    difference,
    drive,
    number,
    require_gradients,
    step_by_step,
)
from torch import Tensor

NAMES = ("fired", "adaptation", "mem")
per_neuron = pytest.mark.parametrize("per_neuron", [False, True], ids=["scalar", "per-neuron"])
reset = pytest.mark.parametrize("reset", RESETS)
delay = pytest.mark.parametrize("delay", [True, False], ids=["delayed", "immediate"])
multi_step = pytest.mark.parametrize("multi_step", [False, True], ids=["steps", "block"])
attached = pytest.mark.parametrize("detach", [True, False], ids=["detached", "attached"])


def numbers(per_neuron: bool) -> dict[str, Tensor]:
    return {
        "beta": number(0.7, 0.95, per_neuron),
        "adaptation_beta": number(0.6, 0.98, per_neuron),
        "increment": number(0.1, 0.4, per_neuron),
        "threshold": number(0.3, 0.9, per_neuron),
    }


def written_out(
    current: Tensor, constants: dict[str, Tensor], reset: str, delay: bool, **options: bool
) -> Trace:
    """The equation in numpy."""
    beta, rho, increment, theta = (value.numpy() for value in constants.values())
    x = current.numpy()
    f, b, u = (np.zeros_like(x[0]) for _ in range(3))
    rows = []
    for step in x:
        v = beta * u + step
        if delay and reset == "subtract":
            v = v - f * theta
        if delay and reset == "zero":
            v = np.where(f > 0, 0, v)
        f = (v > theta + b).astype(float) if options.get("strict", True) else 1.0 * (v >= theta + b)
        spikes = f
        if options.get("inhibition"):
            spikes = f * (np.arange(f.shape[1]) == (v - theta - b).argmax(1)[:, None])
        b = rho * b + increment * f
        u = v
        if not delay and reset == "subtract":
            u = v - f * theta
        if not delay and reset == "zero":
            u = np.where(f > 0, 0, v)
        rows.append([torch.as_tensor(value) for value in (spikes, f, b, u)])
    spikes, *states = (torch.stack(column) for column in zip(*rows, strict=True))
    return Trace(spikes, dict(zip(NAMES, states, strict=True)))


def contract(
    current: Tensor, constants: dict[str, Tensor], reset: Any, delay: bool, **options: bool
) -> Trace:
    """The integer neuron's own step, run on real numbers."""
    wide, zero, one = Format(40), np.array(0), np.array(1)
    node = Adaptive(
        "n", current.shape[-1], wide, Format(38, signed=False), zero, zero, 0, one, zero,
        reset, delay, **options,
    )  # fmt: skip
    names = {"beta": "leak", "adaptation_beta": "adaptation_leak"}
    reals = {names.get(name, name): value for name, value in constants.items()}
    memory: dict[str, Tensor] = {}
    rows = []
    for step in current:
        seen = neuron_step(node, RealOps(), reals, step, memory)
        rows.append((seen["spike"], memory["fired"], seen["adaptation"], seen["membrane"]))
    spikes, *states = (torch.stack(column) for column in zip(*rows, strict=True))
    return Trace(spikes, dict(zip(NAMES, states, strict=True)))


ORACLES = {"numpy": written_out, "contract": contract}
oracle = pytest.mark.parametrize("oracle", ORACLES)


def run(neuron: snn.Adaptive, current: Tensor) -> Trace:
    with torch.no_grad():
        return (all_at_once if neuron.multi_step else step_by_step)(neuron, current, NAMES)


@oracle
@per_neuron
@reset
@delay
@multi_step
def test_it_is_the_equation(
    multi_step: bool, delay: bool, reset: str, per_neuron: bool, oracle: str
) -> None:
    constants = numbers(per_neuron)
    ours = snn.Adaptive(
        **constants, reset_mechanism=reset, reset_delay=delay, multi_step=multi_step, output=True
    )
    difference(run(ours, drive()), ORACLES[oracle](drive(), constants, reset, delay)).require()


@oracle
@multi_step
def test_inhibition_lets_the_farthest_above_its_own_level_emit(
    multi_step: bool, oracle: str
) -> None:
    constants = numbers(True)
    ours = snn.Adaptive(**constants, inhibition=True, multi_step=multi_step, output=True)
    found = run(ours, drive())
    difference(
        found, ORACLES[oracle](drive(), constants, "subtract", True, inhibition=True)
    ).require()
    assert (found.states["fired"].sum(2) > 1).any(), "one alone needs no inhibition"
    assert (found.spikes.sum(2) <= 1).all()


@oracle
@pytest.mark.parametrize("strict", [True, False])
def test_a_membrane_at_its_raised_level(strict: bool, oracle: str) -> None:
    """On a grid of eighths, where level and membrane meet exactly."""
    constants = {
        name: torch.tensor(value, dtype=torch.float64)
        for name, value in zip(numbers(False), (1.0, 1.0, 0.25, 1.0), strict=True)
    }
    current = (drive(2) * 8).round() / 8
    ours = snn.Adaptive(**constants, strict=strict, multi_step=True, output=True)
    found = run(ours, current)
    difference(found, ORACLES[oracle](current, constants, "subtract", True, strict=strict)).require(
        0
    )
    other = ORACLES[oracle](current, constants, "subtract", True, strict=not strict)
    assert difference(found, other).different > 0


@pytest.mark.parametrize(
    "fault",
    [
        {"beta": 0.83},
        {"adaptation_beta": 0.8},
        {"increment": 0.26},
        {"threshold": 0.61},
        {"reset_mechanism": "zero"},
        {"reset_delay": False},
        {"inhibition": True},
    ],
    ids=str,
)
@oracle
def test_the_comparison_catches_a_fault(oracle: str, fault: dict[str, Any]) -> None:
    reference = ORACLES[oracle](drive(), numbers(False), "subtract", True)
    sound: dict[str, Any] = {**numbers(False), "multi_step": True, "output": True}
    difference(run(snn.Adaptive(**sound), drive()), reference).require()
    with pytest.raises(AssertionError):
        difference(run(snn.Adaptive(**{**sound, **fault}), drive()), reference).require()


def test_the_adaptation_slows_a_constant_drive_down() -> None:
    current = torch.full((200, 1, 1), 0.5, dtype=torch.float64)

    def waits(increment: float) -> Tensor:
        return snn.Adaptive(0.9, 0.98, increment, multi_step=True)(current).nonzero()[:, 0].diff()

    slowing, steady = waits(0.2), waits(0.0)
    assert slowing[:5].tolist() == [3] * 5
    assert slowing[-10:].min() >= 4
    assert set(steady.tolist()) == {2, 3}


def test_without_an_increment_it_is_the_recurrent_form_of_the_leaky_neuron() -> None:
    for reset in RESETS:
        options: dict[str, Any] = {"reset_mechanism": reset, "multi_step": True}
        ours = snn.Adaptive(0.9, 0.9, 0.0, **options)
        theirs = snn.RLeaky(0.9, V=0.0, all_to_all=False, learn_recurrent=False, **options)
        spikes = ours(drive())
        assert 0 < spikes.mean() < 1
        assert torch.equal(spikes, theirs(drive()))


# Gradients.


def learning(per_neuron: bool, **options: Any) -> snn.Adaptive:
    return snn.Adaptive(
        **numbers(per_neuron), spike_grad=snn.fast_sigmoid(3.0), learn_beta=True,
        learn_adaptation=True, learn_increment=True, learn_threshold=True, multi_step=True,
        output=True, **options,
    )  # fmt: skip


@per_neuron
@reset
@delay
@attached
@pytest.mark.parametrize("normalise", [False, True], ids=["distance", "relative"])
@pytest.mark.parametrize("inhibition", [False, True], ids=["all", "winner"])
def test_backward_by_hand_equals_autograd(
    inhibition: bool, normalise: bool, detach: bool, delay: bool, reset: str, per_neuron: bool
) -> None:
    neuron = learning(
        per_neuron, reset_mechanism=reset, reset_delay=delay, inhibition=inhibition,
        detach_reset=detach, normalise_surrogate=normalise,
    )  # fmt: skip
    require_gradients(neuron, drive(shape=SHORT), NAMES)


@pytest.mark.parametrize("reset", ["subtract", "zero"])
def test_the_states_before_the_first_step_have_their_gradients(reset: str) -> None:
    """That of ``fired`` by way of an attached delayed reset alone."""
    neuron = learning(True, reset_mechanism=reset, detach_reset=False)
    fired = (drive(3)[0] > 0).double()
    require_gradients(neuron, drive(shape=SHORT), NAMES, [fired, drive(4)[0].abs(), drive(5)[0]])


def test_backward_with_a_learnt_graded_factor_equals_autograd() -> None:
    neuron = learning(
        False, graded_spikes_factor=number(0.5, 2, True), learn_graded_spikes_factor=True
    )
    require_gradients(neuron, drive(shape=SHORT), NAMES)


def test_only_what_is_learnt_gets_a_gradient_and_the_rest_is_unchanged() -> None:
    def gradient(**learn: bool) -> tuple[Tensor, snn.Adaptive]:
        neuron = snn.Adaptive(**numbers(True), multi_step=True, **learn)
        current = drive().requires_grad_()
        (drive(9) * neuron(current)).sum().backward()
        assert current.grad is not None
        return current.grad, neuron

    reference, _ = gradient(learn_beta=True, learn_threshold=True, learn_increment=True)
    for what in ("beta", "adaptation", "increment", "threshold"):
        found, neuron = gradient(**{f"learn_{what}": True})
        assert torch.equal(found, reference)
        (name,) = dict(neuron.named_parameters())
        assert name == {"adaptation": "adaptation_beta"}.get(what, what)
        grad = neuron.get_parameter(name).grad
        assert grad is not None
        assert grad.abs().min() > 0


def test_the_gradient_of_the_adaptation_flows_through_its_spikes() -> None:
    """Cut it there, and the input's gradient is another."""
    found = []
    for cut in (False, True):
        neuron = snn.Adaptive(**numbers(False), multi_step=False)
        current = drive().requires_grad_()
        spikes = []
        for step in current:
            spikes.append(neuron(step)[0])
            if cut:
                neuron.adaptation = neuron.adaptation.detach()
        (grad,) = torch.autograd.grad((drive(9) * torch.stack(spikes)).sum(), current)
        block = snn.Adaptive(**numbers(False), multi_step=True)(current)
        (by_hand,) = torch.autograd.grad((drive(9) * block).sum(), current)
        found.append(float((grad - by_hand).abs().max()))
    assert found[0] <= 1e-9
    assert found[1] > 1e-3


# The convention that all neurons share.


def test_four_ways_to_call_give_the_same_spikes() -> None:
    options = numbers(True)
    block, *trace = snn.Adaptive(**options, multi_step=True, output=True)(drive())
    assert 0 < block.mean() < 1

    neuron, spikes, states = snn.Adaptive(**options), [], neuron_at_rest()
    for step in drive():
        spike, *states = neuron(step, *states)
        spikes.append(spike)
    assert torch.equal(torch.stack(spikes), block)
    for state, last in zip(states, trace, strict=True):
        assert torch.equal(state, last[-1])

    hidden = snn.Adaptive(**options, init_hidden=True)
    assert torch.equal(torch.stack([hidden(step) for step in drive()]), block)
    halves = snn.Adaptive(**options, init_hidden=True, multi_step=True)
    assert torch.equal(torch.cat([halves(drive()[:25]), halves(drive()[25:])]), block)


def neuron_at_rest() -> list[Tensor]:
    states = snn.Adaptive(0.9, 0.9, 0.1).reset_mem()
    assert len(states) == 3
    return list(states)


def test_another_batch_size_under_a_kept_state_is_refused() -> None:
    neuron = snn.Adaptive(0.9, 0.9, 0.1, init_hidden=True)
    neuron(drive()[0])
    with pytest.raises(LayerError, match="Adaptive: a step of the input asks for states of shape"):
        neuron(drive()[0, :3])
    snn.utils.reset(torch.nn.Sequential(neuron))
    neuron(drive()[0, :3])


def test_a_callable_of_the_users_and_a_state_quant_go_step_by_step() -> None:
    def grid(x: Tensor) -> Tensor:
        return torch.floor(x * 8) / 8

    for options in ({"state_quant": grid}, {"spike_grad": lambda x: (x > 0).to(x.dtype)}):
        block = snn.Adaptive(**numbers(True), **options, multi_step=True, output=True)
        assert not block.runs_as_one_function()
        steps = snn.Adaptive(**numbers(True), **options, output=True)
        found = run(block, drive())
        difference(found, run(steps, drive())).require(0)
        if "state_quant" in options:
            for name in ("adaptation", "mem"):
                assert torch.equal(found.states[name], grid(found.states[name]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@multi_step
def test_the_dtype_of_the_input_is_kept(multi_step: bool, dtype: torch.dtype) -> None:
    neuron = snn.Adaptive(0.9, 0.9, 0.1, multi_step=multi_step, output=True)
    current = drive().to(dtype)
    assert {out.dtype for out in neuron(current if multi_step else current[0])} == {dtype}


def test_what_a_tracer_asks_for() -> None:
    neuron = snn.Adaptive(
        1.5, -0.5, 0.25, learn_adaptation=True, learn_increment=True, learn_threshold=True
    )
    assert neuron.effective_beta().item() == 1
    assert neuron.effective_adaptation_beta().item() == 0
    with torch.no_grad():
        neuron.increment.fill_(-1)
        neuron.threshold.fill_(-1)
    assert neuron.effective_increment().item() == 0
    assert neuron.effective_threshold().item() == pytest.approx(1e-3)
    assert neuron.reset_mechanism == "subtract"
    assert repr(neuron).startswith("Adaptive(")
    layered = snn.LayeredSNN(5, 3, "Adaptive", width=4)
    assert any(isinstance(layer, snn.Adaptive) for layer in layered.layers)
    assert layered(drive()[..., :5].float()).shape == (8, 3)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"increment": -0.1}, "Adaptive: increment is -0.1; it must be 0 or more"),
        ({"adaptation_beta": float("nan")}, "Adaptive: adaptation_beta is nan; it must be finite"),
        ({"threshold": 0.0}, "Adaptive: threshold is 0.0; it must be above 0"),
    ],
    ids=str,
)
def test_a_bad_argument_is_refused(options: dict[str, float], problem: str) -> None:
    with pytest.raises(LayerError) as caught:
        snn.Adaptive(**{"beta": 0.9, "adaptation_beta": 0.9, "increment": 0.1, **options})
    assert str(caught.value) == problem


def test_numbers_that_do_not_fit_the_input_are_refused() -> None:
    with pytest.raises(LayerError, match=r"increment has shape \[4\]; it must be a scalar or"):
        snn.Adaptive(0.9, 0.9, torch.full((4,), 0.1))(torch.zeros(2, 3))
