"""Lapicque against snnTorch 1.0.0, its own circuit and autograd."""

import math

import pytest
import reslif.sw.nn as snn
import snntorch
import torch
from reslif.sw.nn import LayerError
from snntorch_oracle import RESETS, SHORT, compare, drive, heaviside, number, require_gradients
from torch import nn

NAMES = ("mem",)
per_neuron = pytest.mark.parametrize("per_neuron", [False, True], ids=["scalar", "per-neuron"])
reset = pytest.mark.parametrize("reset", RESETS)


def double(value: float) -> torch.Tensor:
    return torch.tensor(value, dtype=torch.float64)


CIRCUITS = {
    "beta": {"beta": double(0.9)},
    "beta-R": {"beta": double(0.8), "R": double(2.5)},
    "beta-C": {"beta": double(0.8), "C": double(2.5)},
    "R-C": {"R": double(5.1), "C": double(0.5)},
    "time-step": {"R": double(5.1), "C": double(0.05), "time_step": double(0.1)},
}


@reset
@pytest.mark.parametrize("circuit", CIRCUITS)
@pytest.mark.parametrize("multi_step", [False, True], ids=["steps", "block"])
@per_neuron
def test_equals_snntorch(per_neuron: bool, multi_step: bool, circuit: str, reset: str) -> None:
    theta = number(0.4, 1.6, per_neuron)
    theirs = snntorch.Lapicque(
        **CIRCUITS[circuit], threshold=theta, spike_grad=heaviside, reset_mechanism=reset
    )
    ours = snn.Lapicque(
        **CIRCUITS[circuit], threshold=theta, reset_mechanism=reset, multi_step=multi_step,
        output=True,
    )  # fmt: skip
    compare(theirs, ours, drive(scale=4), NAMES).require()
    for name in ("R", "C", "beta", "time_step"):
        assert float(getattr(ours, name)) == pytest.approx(float(getattr(theirs, name)), abs=1e-6)


def test_beta_decays_by_one_plus_its_logarithm() -> None:
    neuron = snn.Lapicque(double(0.9), reset_mechanism="none")
    assert float(neuron.effective_beta()) == pytest.approx(1 + math.log(0.9), abs=1e-12)
    neuron(double(1.0).reshape(1, 1))
    _, mem = neuron(double(0.0).reshape(1, 1))
    gain = -math.log(0.9)
    assert float(neuron.effective_gain()) == pytest.approx(gain, abs=1e-12)
    assert float(mem) == pytest.approx(gain * (1 + math.log(0.9)), abs=1e-12)


def test_the_comparison_catches_leaky_in_its_place() -> None:
    """The decay and the reset to zero differ."""
    neuron = snn.Lapicque(double(0.9), reset_mechanism="zero")
    theirs = snntorch.Lapicque(double(0.9), spike_grad=heaviside, reset_mechanism="zero")
    compare(theirs, neuron, drive(scale=6), NAMES).require()
    for fault in (snn.Lapicque(double(0.89), reset_mechanism="zero"), _keeps_input()):
        theirs.reset_mem()
        with pytest.raises(AssertionError):
            compare(theirs, fault, drive(scale=6), NAMES).require()


def _keeps_input() -> snn.Lapicque:
    neuron = snn.Lapicque(double(0.9), reset_mechanism="zero")
    neuron.reset_keeps_input = True
    return neuron


@per_neuron
@reset
@pytest.mark.parametrize("delay", [True, False], ids=["delayed", "immediate"])
@pytest.mark.parametrize("detach", [True, False], ids=["detached", "attached"])
@pytest.mark.parametrize("learnt", ["beta", "beta-R-C", "R-C"])
def test_backward_by_hand_equals_autograd(
    learnt: str, detach: bool, delay: bool, reset: str, per_neuron: bool
) -> None:
    r, c = number(3, 5, per_neuron), number(0.5, 0.9, per_neuron)
    circuit = {
        "beta": {"beta": number(0.5, 0.95, per_neuron), "learn_beta": True},
        "beta-R-C": {"R": r, "C": c, "learn_beta": True},
        "R-C": {"R": nn.Parameter(r), "C": nn.Parameter(c)},
    }[learnt]
    neuron = snn.Lapicque(
        **circuit, threshold=number(0.4, 1.6, per_neuron), learn_threshold=True,
        spike_grad=snn.fast_sigmoid(3.0), reset_mechanism=reset, reset_delay=delay,
        detach_reset=detach, multi_step=True, output=True,
    )  # fmt: skip
    names = {name for name, _ in neuron.named_parameters()}
    assert names == {"threshold", *({"R", "C"} if learnt == "R-C" else {"beta"})}
    require_gradients(neuron, drive(shape=SHORT, scale=3), NAMES)


def test_learning_beta_moves_the_circuit() -> None:
    """snnTorch computes C once, so a learnt β changes nothing in its forward pass."""
    neuron = snn.Lapicque(double(0.9), learn_beta=True)
    with torch.no_grad():
        neuron.beta.fill_(0.7)
        assert float(neuron.effective_beta()) == pytest.approx(1 + math.log(0.7))
        assert float(neuron.effective_gain()) == pytest.approx(-math.log(0.7))
        neuron.beta.fill_(0.1)
        assert float(neuron.effective_beta()) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(
    ("circuit", "problem"),
    [
        ({}, "give beta, or R and C"),
        ({"R": 1.0}, "give beta, or R and C"),
        ({"C": 1.0}, "give beta, or R and C"),
        ({"beta": 0.9, "R": 1.0, "C": 1.0}, "give beta, or R and C"),
        ({"beta": 0.3}, r"Lapicque: 1 − time_step/\(R·C\), or 1 \+ ln\(beta\), is -0.2"),
        ({"R": 1.0, "C": 0.5}, r"is -1.0; it must be in \[0, 1\]"),
    ],
    ids=str,
)
def test_a_bad_circuit_is_refused(circuit: dict[str, float], problem: str) -> None:
    with pytest.raises(LayerError, match=problem):
        snn.Lapicque(**circuit)
