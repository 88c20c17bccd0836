"""Alpha against snnTorch 1.0.0, the plain equations and autograd."""

import math

import pytest
import reslif.sw.nn as snn
import snntorch
import torch
from reslif.sw.nn import LayerError
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

NAMES = ("syn_exc", "syn_inh", "mem")
per_neuron = pytest.mark.parametrize("per_neuron", [False, True], ids=["scalar", "per-neuron"])
reset = pytest.mark.parametrize("reset", RESETS)
multi_step = pytest.mark.parametrize("multi_step", [False, True], ids=["steps", "block"])
attached = pytest.mark.parametrize("detach", [True, False], ids=["detached", "attached"])


def numbers(per_neuron: bool) -> tuple[Tensor, Tensor, Tensor]:
    alpha, beta = number(0.7, 0.95, per_neuron), number(0.4, 0.8, per_neuron)
    return alpha, beta, number(0.3, 0.9, per_neuron)


def plain(current: Tensor, alpha: Tensor, beta: Tensor, theta: Tensor, reset: str) -> Trace:
    """Immediate resets, written out."""
    e = h = torch.zeros_like(current[0])
    gain = torch.log(beta) / (torch.log(beta) - torch.log(alpha))
    rows = []
    for step in current:
        e, h = alpha * e + step, beta * h - step
        u = gain * (e + h)
        s = heaviside(u - theta)
        if reset == "zero":
            e, h, u = (torch.where(s > 0, 0.0, state) for state in (e, h, u))
        rows.append((s, e, h, u))
    s, e, h, u = (torch.stack(column) for column in zip(*rows, strict=True))
    return Trace(s, dict(zip(NAMES, (e, h, u), strict=True)))


@per_neuron
@reset
@multi_step
def test_delayed_reset_equals_snntorch(multi_step: bool, reset: str, per_neuron: bool) -> None:
    theirs = snntorch.Alpha(*numbers(per_neuron), spike_grad=heaviside, reset_mechanism=reset)
    ours = snn.Alpha(
        *numbers(per_neuron), reset_mechanism=reset, multi_step=multi_step, output=True
    )
    compare(theirs, ours, drive(), NAMES).require()


@per_neuron
@pytest.mark.parametrize("reset", ["zero", "none"])
@multi_step
def test_immediate_reset_is_the_plain_one(multi_step: bool, reset: str, per_neuron: bool) -> None:
    ours = snn.Alpha(
        *numbers(per_neuron), reset_mechanism=reset, reset_delay=False, multi_step=multi_step,
        output=True,
    )  # fmt: skip
    run = all_at_once if multi_step else step_by_step
    difference(run(ours, drive(1), NAMES), plain(drive(1), *numbers(per_neuron), reset)).require()


@pytest.mark.parametrize(
    "fault",
    [
        {"alpha": 0.83},
        {"beta": 0.61},
        {"threshold": 0.61},
        {"reset_mechanism": "subtract"},
        {"reset_delay": False},
    ],
    ids=str,
)
def test_the_comparison_catches_a_fault(fault: dict[str, object]) -> None:
    theirs = snntorch.Alpha(*numbers(False), spike_grad=heaviside)
    sound = dict(zip(("alpha", "beta", "threshold"), numbers(False), strict=True))
    compare(theirs, snn.Alpha(**sound), drive(), NAMES).require()
    theirs.reset_mem()
    with pytest.raises(AssertionError):
        compare(theirs, snn.Alpha(**{**sound, **fault}), drive(), NAMES).require()


def learning(per_neuron: bool, **options) -> snn.Alpha:
    return snn.Alpha(
        *numbers(per_neuron), spike_grad=snn.fast_sigmoid(3.0), learn_alpha=True, learn_beta=True,
        learn_threshold=True, multi_step=True, output=True, **options,
    )  # fmt: skip


@per_neuron
@reset
@attached
@pytest.mark.parametrize("normalise", [False, True], ids=["distance", "relative"])
@pytest.mark.parametrize("inhibition", [False, True], ids=["all", "winner"])
def test_backward_by_hand_equals_autograd(
    inhibition: bool, normalise: bool, detach: bool, reset: str, per_neuron: bool
) -> None:
    neuron = learning(
        per_neuron, reset_mechanism=reset, inhibition=inhibition, detach_reset=detach,
        normalise_surrogate=normalise,
    )  # fmt: skip
    require_gradients(neuron, drive(shape=SHORT), NAMES)


@per_neuron
@attached
@pytest.mark.parametrize("reset", ["zero", "none"])
def test_backward_of_immediate_resets_equals_autograd(
    reset: str, detach: bool, per_neuron: bool
) -> None:
    neuron = learning(per_neuron, reset_mechanism=reset, reset_delay=False, detach_reset=detach)
    require_gradients(neuron, drive(shape=SHORT), NAMES)


@pytest.mark.parametrize("reset", ["zero", "subtract"])
def test_the_states_before_the_first_step_have_their_gradients(reset: str) -> None:
    """With an attached reset the first membrane has one too, by way of r alone."""
    neuron = learning(True, reset_mechanism=reset, detach_reset=False)
    require_gradients(
        neuron, drive(shape=SHORT), NAMES, [drive(seed, (8, 12)) for seed in (3, 4, 5)]
    )


def test_a_single_input_peaks_at_its_weight_times_the_gain() -> None:
    neuron = snn.Alpha(0.9, 0.8, 10.0, init_hidden=True, output=True)
    gain = float(neuron.effective_membrane_gain())
    assert gain == pytest.approx(math.log(0.9) / (math.log(0.8) - math.log(0.9)) + 1)
    impulse = [torch.tensor([[float(t == 0)]]) for t in range(20)]
    membrane = [float(neuron(x)[3]) for x in impulse]
    # e + h starts at 0: the response to a spike rises before it falls.
    assert membrane[0] == 0
    assert 1 < membrane.index(max(membrane)) < 10
    assert membrane[2] == pytest.approx(gain * (0.9**2 - 0.8**2), abs=1e-6)


@pytest.mark.parametrize("pair", [(0.5, 0.5), (0.5, 0.9), (1.2, 0.5), (0.5, 0.0), (1.1, 1.0)])
def test_decays_without_a_gain_are_refused(pair: tuple[float, float]) -> None:
    with pytest.raises(LayerError, match="they must satisfy 0 < beta < alpha <= 1"):
        snn.Alpha(*pair)


def test_an_immediate_reset_by_subtraction_is_refused_whenever_it_is_asked_for() -> None:
    with pytest.raises(LayerError, match="acts on the membrane, which is no memory"):
        snn.Alpha(0.9, 0.8, reset_mechanism="subtract", reset_delay=False)
    neuron = snn.Alpha(0.9, 0.8, reset_delay=False)
    neuron(drive()[0])
    neuron.reset_mechanism = "subtract"
    with pytest.raises(LayerError, match="acts on the membrane, which is no memory"):
        neuron(drive()[0])
