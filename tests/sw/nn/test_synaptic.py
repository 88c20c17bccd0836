"""Synaptic against snnTorch 1.0.0, the plain equations and autograd."""

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
    heaviside,
    number,
    require_gradients,
    step_by_step,
)
from torch import Tensor

NAMES = ("syn", "mem")
per_neuron = pytest.mark.parametrize("per_neuron", [False, True], ids=["scalar", "per-neuron"])
reset = pytest.mark.parametrize("reset", RESETS)
delay = pytest.mark.parametrize("delay", [True, False], ids=["delayed", "immediate"])
multi_step = pytest.mark.parametrize("multi_step", [False, True], ids=["steps", "block"])


def numbers(per_neuron: bool) -> tuple[Tensor, Tensor, Tensor]:
    alpha, beta = number(0.3, 0.9, per_neuron), number(0.5, 1.0, per_neuron)
    return alpha, beta, number(0.6, 2.4, per_neuron)


def plain(current: Tensor, alpha: Tensor, beta: Tensor, theta: Tensor, reset: str) -> Trace:
    """Immediate resets, written out; the synaptic current is never reset."""
    i = u = torch.zeros_like(current[0])
    rows = []
    for step in current:
        i = alpha * i + step
        v = beta * u + i
        s = heaviside(v - theta)
        u = {"subtract": v - s * theta, "zero": torch.where(s > 0, 0.0, v), "none": v}[reset]
        rows.append((s, i, u))
    s, i, u = (torch.stack(column) for column in zip(*rows, strict=True))
    return Trace(s, {"syn": i, "mem": u})


@per_neuron
@reset
@multi_step
def test_delayed_reset_equals_snntorch(multi_step: bool, reset: str, per_neuron: bool) -> None:
    theirs = snntorch.Synaptic(*numbers(per_neuron), spike_grad=heaviside, reset_mechanism=reset)
    ours = snn.Synaptic(
        *numbers(per_neuron), reset_mechanism=reset, multi_step=multi_step, output=True
    )
    compare(theirs, ours, drive(), NAMES).require()


@per_neuron
@reset
@multi_step
def test_immediate_reset_is_the_plain_one(multi_step: bool, reset: str, per_neuron: bool) -> None:
    ours = snn.Synaptic(
        *numbers(per_neuron), reset_mechanism=reset, reset_delay=False, multi_step=multi_step,
        output=True,
    )  # fmt: skip
    run = all_at_once if multi_step else step_by_step
    difference(run(ours, drive(1), NAMES), plain(drive(1), *numbers(per_neuron), reset)).require()


@pytest.mark.parametrize(
    "fault",
    [
        {"alpha": 0.61},
        {"beta": 0.76},
        {"threshold": 1.49},
        {"reset_mechanism": "zero"},
        {"reset_delay": False},
    ],
    ids=str,
)
def test_the_comparison_catches_a_fault(fault: dict[str, object]) -> None:
    theirs = snntorch.Synaptic(*numbers(False), spike_grad=heaviside)
    sound = dict(zip(("alpha", "beta", "threshold"), numbers(False), strict=True))
    compare(theirs, snn.Synaptic(**sound), drive(), NAMES).require()
    theirs.reset_mem()
    with pytest.raises(AssertionError):
        compare(theirs, snn.Synaptic(**{**sound, **fault}), drive(), NAMES).require()


@per_neuron
@reset
@delay
@pytest.mark.parametrize("detach", [True, False], ids=["detached", "attached"])
@pytest.mark.parametrize("normalise", [False, True], ids=["distance", "relative"])
@pytest.mark.parametrize("inhibition", [False, True], ids=["all", "winner"])
def test_backward_by_hand_equals_autograd(
    inhibition: bool, normalise: bool, detach: bool, delay: bool, reset: str, per_neuron: bool
) -> None:
    neuron = snn.Synaptic(
        number(0.3, 0.9, per_neuron), number(0.5, 0.95, per_neuron), number(0.6, 2.4, per_neuron),
        spike_grad=snn.fast_sigmoid(3.0), learn_alpha=True, learn_beta=True, learn_threshold=True,
        reset_mechanism=reset, reset_delay=delay, inhibition=inhibition, detach_reset=detach,
        normalise_surrogate=normalise, multi_step=True, output=True,
    )  # fmt: skip
    require_gradients(neuron, drive(shape=SHORT), NAMES)
    require_gradients(
        neuron, drive(shape=SHORT), NAMES, [drive(3, (8, 12)), drive(4, (8, 12), scale=2)]
    )


def test_state_quant_acts_on_both_states_as_in_snntorch() -> None:
    def grid(x: Tensor) -> Tensor:
        return torch.floor(x * 4) / 4

    theirs = snntorch.Synaptic(*numbers(False), spike_grad=heaviside, state_quant=grid)
    for multi_step in (False, True):
        ours = snn.Synaptic(*numbers(False), state_quant=grid, multi_step=multi_step, output=True)
        theirs.reset_mem()
        compare(theirs, ours, drive(), NAMES).require(0)
    theirs.reset_mem()
    with pytest.raises(AssertionError):
        compare(theirs, snn.Synaptic(*numbers(False)), drive(), NAMES).require()


def test_effective_numbers_are_clamped() -> None:
    neuron = snn.Synaptic(1.5, -1.0)
    assert (float(neuron.effective_alpha()), float(neuron.effective_beta())) == (1, 0)
    assert [state.shape for state in neuron.init_synaptic()] == [torch.Size([0])] * 2
