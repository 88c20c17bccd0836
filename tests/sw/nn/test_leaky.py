"""Leaky against snnTorch 1.0.0, the plain equations and autograd."""

import pytest
import reslif.sw.nn as snn
import snntorch
import torch
from snntorch_oracle import (
    RESETS,
    SHORT,
    Trace,
    all_at_once,
    compare,
    difference,
    drive,
    gradient_errors,
    heaviside,
    number,
    require_gradients,
    step_by_step,
)
from torch import Tensor

NAMES = ("mem",)
per_neuron = pytest.mark.parametrize("per_neuron", [False, True], ids=["scalar", "per-neuron"])
reset = pytest.mark.parametrize("reset", RESETS)
delay = pytest.mark.parametrize("delay", [True, False], ids=["delayed", "immediate"])
multi_step = pytest.mark.parametrize("multi_step", [False, True], ids=["steps", "block"])


def numbers(per_neuron: bool) -> tuple[Tensor, Tensor]:
    return number(0.5, 1.0, per_neuron), number(0.4, 1.6, per_neuron)


def plain(current: Tensor, beta: Tensor, theta: Tensor, reset: str) -> Trace:
    """Immediate resets, written out: after firing m ← m − θ, or 0."""
    u = torch.zeros_like(current[0])
    spikes, membranes = [], []
    for step in current:
        v = beta * u + step
        s = heaviside(v - theta)
        u = {"subtract": v - s * theta, "zero": torch.where(s > 0, 0.0, v), "none": v}[reset]
        spikes.append(s)
        membranes.append(u)
    return Trace(torch.stack(spikes), {"mem": torch.stack(membranes)})


@per_neuron
@reset
@multi_step
def test_delayed_reset_equals_snntorch(multi_step: bool, reset: str, per_neuron: bool) -> None:
    beta, theta = numbers(per_neuron)
    factor = number(0.5, 1.5, per_neuron)
    theirs = snntorch.Leaky(
        beta, theta, spike_grad=heaviside, reset_mechanism=reset, graded_spikes_factor=factor
    )
    ours = snn.Leaky(
        beta, theta, reset_mechanism=reset, graded_spikes_factor=factor, multi_step=multi_step,
        output=True,
    )  # fmt: skip
    compare(theirs, ours, drive(), NAMES).require()


@per_neuron
@reset
@multi_step
def test_immediate_reset_is_the_plain_one(multi_step: bool, reset: str, per_neuron: bool) -> None:
    beta, theta = numbers(per_neuron)
    ours = snn.Leaky(
        beta, theta, reset_mechanism=reset, reset_delay=False, multi_step=multi_step, output=True
    )
    run = all_at_once if multi_step else step_by_step
    current = drive(1, scale=1.5)
    difference(run(ours, current, NAMES), plain(current, beta, theta, reset)).require()


def test_immediate_reset_differs_from_snntorch_where_the_rest_is_still_above_threshold() -> None:
    """snnTorch then adds θ back: a deliberate difference."""
    beta, theta = numbers(False)
    current = drive(1, scale=1.5)
    theirs = snntorch.Leaky(beta, theta, spike_grad=heaviside, reset_delay=False)
    ours = snn.Leaky(beta, theta, reset_delay=False)
    assert compare(theirs, ours, current, NAMES).different > 0

    # β = 3/4, θ = 1: 3 is left at 2, whose 3/4 is above θ again.
    two_steps = torch.tensor([[[3.0]], [[0.0]]], dtype=torch.float64)
    ours.reset_mem()
    assert [float(value) for x in two_steps for value in ours(x)] == [1, 2, 1, 0.5]
    assert [float(value) for x in two_steps for value in theirs(x)] == [1, 2, 0, 1.5]


@pytest.mark.parametrize(
    "fault",
    [
        {"beta": 0.76},
        {"threshold": 0.99},
        {"reset_mechanism": "zero"},
        {"reset_delay": False},
        {"graded_spikes_factor": 1.1},
        {"inhibition": True},
    ],
    ids=str,
)
def test_the_comparison_catches_a_fault(fault: dict[str, object]) -> None:
    theirs = snntorch.Leaky(*numbers(False), spike_grad=heaviside)
    sound = {"beta": number(0.5, 1.0, False), "threshold": number(0.4, 1.6, False)}
    compare(theirs, snn.Leaky(**sound), drive(), NAMES).require()
    theirs.reset_mem()
    with pytest.raises(AssertionError):
        compare(theirs, snn.Leaky(**{**sound, **fault}), drive(), NAMES).require()


@pytest.mark.parametrize("neuron", ["silent", "saturated"])
def test_a_run_that_proves_nothing_is_refused(neuron: str) -> None:
    theta = 1e9 if neuron == "silent" else 1e-9
    current = drive().abs() + 1
    theirs = snntorch.Leaky(0.9, theta, spike_grad=heaviside, reset_mechanism="none")
    with pytest.raises(AssertionError, match="proves nothing"):
        compare(theirs, snn.Leaky(0.9, theta, reset_mechanism="none"), current, NAMES).require()


@multi_step
def test_inhibition_lets_the_winner_alone_emit_and_scales_it(multi_step: bool) -> None:
    """snnTorch ignores the graded factor here: a deliberate difference."""
    theta = number(0.4, 1.6, True)
    theirs = snntorch.Leaky(
        number(0.5, 1.0, True), theta, spike_grad=heaviside, graded_spikes_factor=0.5
    )
    theirs.inhibition = True  # set late: the constructor warns
    ours = snn.Leaky(
        number(0.5, 1.0, True), theta, inhibition=True, graded_spikes_factor=0.5,
        multi_step=multi_step, output=True,
    )  # fmt: skip
    run = all_at_once if multi_step else step_by_step
    found, reference = run(ours, drive(), NAMES), step_by_step(theirs, drive(), NAMES)
    difference(Trace(found.spikes * 2, found.states), reference).require()
    assert set(found.spikes.unique().tolist()) == {0.0, 0.5}
    assert int((found.spikes > 0).sum(-1).max()) == 1


@per_neuron
@reset
@delay
@pytest.mark.parametrize("detach", [True, False], ids=["detached", "attached"])
@pytest.mark.parametrize("normalise", [False, True], ids=["distance", "relative"])
@pytest.mark.parametrize("inhibition", [False, True], ids=["all", "winner"])
def test_backward_by_hand_equals_autograd(
    inhibition: bool, normalise: bool, detach: bool, delay: bool, reset: str, per_neuron: bool
) -> None:
    beta, theta = number(0.5, 0.95, per_neuron), number(0.4, 1.6, per_neuron)
    neuron = snn.Leaky(
        beta, theta, spike_grad=snn.fast_sigmoid(3.0), learn_beta=True, learn_threshold=True,
        learn_graded_spikes_factor=True, graded_spikes_factor=number(0.8, 1.3, per_neuron),
        reset_mechanism=reset, reset_delay=delay, inhibition=inhibition, detach_reset=detach,
        normalise_surrogate=normalise, multi_step=True, output=True,
    )  # fmt: skip
    require_gradients(neuron, drive(shape=SHORT), NAMES)
    require_gradients(neuron, drive(shape=SHORT), NAMES, [drive(3, (8, 12), scale=1.5)])


@pytest.mark.parametrize(
    "fault", [{"detach_reset": False}, {"normalise_surrogate": True}, {"strict": False}], ids=str
)
def test_the_gradient_comparison_catches_a_fault(
    monkeypatch: pytest.MonkeyPatch, fault: dict[str, bool]
) -> None:
    """The block runs with another option than the steps."""
    neuron = snn.Leaky(
        0.75, torch.tensor(0.5, dtype=torch.float64), learn_beta=True, learn_threshold=True,
        spike_grad=snn.fast_sigmoid(3.0), multi_step=True, output=True,
    )  # fmt: skip
    current = (drive() * 2).round() / 4  # on a grid, so that v meets θ exactly
    assert max(gradient_errors(neuron, current, NAMES).values()) < 1e-4
    whole = snn.Leaky._over_time

    def faulty(self, *args):
        with pytest.MonkeyPatch.context() as patch:
            for name, value in fault.items():
                patch.setattr(self, name, value)
            return whole(self, *args)

    monkeypatch.setattr(snn.Leaky, "_over_time", faulty)
    assert max(gradient_errors(neuron, current, NAMES).values()) > 1e-3


def test_gradients_equal_snntorch_own() -> None:
    """Its reset is detached, its surrogate sees v − θ: our defaults."""
    surrogate = snn.atan(2.0)
    neurons = [
        library.Leaky(
            number(0.5, 0.95, True), number(0.4, 1.6, True), spike_grad=surrogate,
            learn_beta=True, learn_threshold=True,
        )
        for library in (snn, snntorch)
    ]  # fmt: skip
    found = []
    for neuron in neurons:
        current = drive().requires_grad_()
        spikes, mem = zip(*(neuron(step) for step in current), strict=True)
        weights = drive(7, (2, *current.shape))
        loss = (weights[0] * torch.stack(spikes)).sum() + (weights[1] * torch.stack(mem)).sum()
        found.append(torch.autograd.grad(loss, [current, neuron.beta, neuron.threshold]))
    for ours, theirs in zip(*found, strict=True):
        assert theirs.abs().max() > 1e-3
        assert (ours - theirs).abs().max() < 1e-9


def test_a_convolution_has_numbers_per_channel() -> None:
    beta, theta = number(0.5, 0.9, True, 3)[:, None, None], number(0.4, 1.6, True, 3)[:, None, None]
    current = drive(shape=(20, 2, 3, 4, 5))
    theirs = snntorch.Leaky(beta, theta, spike_grad=heaviside)
    ours = snn.Leaky(beta, theta, multi_step=True, output=True)
    compare(theirs, ours, current, NAMES).require()


def test_beta_is_clamped() -> None:
    current = drive()
    for beta, clamped in ((1.5, 1.0), (-0.5, 0.0)):
        loose, exact = (snn.Leaky(b, multi_step=True, output=True) for b in (beta, clamped))
        assert torch.equal(loose(current)[1], exact(current)[1])
        assert float(loose.effective_beta()) == clamped
