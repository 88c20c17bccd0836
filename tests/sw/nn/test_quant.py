"""state_quant against snnTorch 1.0.0."""

import itertools

import pytest
import reslif.sw.nn as snn
import snntorch
import torch
from reslif.sw.nn import LayerError, state_quant
from snntorch.functional import quant
from snntorch_oracle import compare, drive, heaviside, number

GRID = {
    "num_bits": [1, 2, 3, 4, 5, 8],
    "uniform": [True, False],
    "thr_centered": [True, False],
    "threshold": [1, 0.7],
    "lower_limit": [0, 0.3],
    "upper_limit": [0.2, 0, 1.0],
    "multiplier": [None, 0.6],
}


def values(threshold: float) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    spread = torch.randn(300, generator=generator) * threshold
    return torch.cat((spread, torch.linspace(-2 * threshold, 2 * threshold, 201)))


@pytest.mark.parametrize("num_bits", GRID["num_bits"])
def test_levels_are_those_of_snntorch(num_bits: int) -> None:
    rest = {name: choices for name, choices in GRID.items() if name != "num_bits"}
    for chosen in itertools.product(*rest.values()):
        options = {"num_bits": num_bits, **dict(zip(rest, chosen, strict=True))}
        x = values(options["threshold"])
        ours, theirs = state_quant(**options)(x), quant.state_quant(**options)(x)
        assert (ours - theirs).abs().max() < 1e-5, options
        assert 2 <= ours.unique().numel() <= 2**num_bits


def test_the_comparison_catches_other_levels() -> None:
    theirs = quant.state_quant(num_bits=4)(values(1))
    for fault in ({"upper_limit": 0.21}, {"num_bits": 5}, {"uniform": False}):
        ours = state_quant(**{"num_bits": 4, **fault})(values(1))
        assert (ours - theirs).abs().max() > 1e-3


def test_ties_go_to_the_lower_level_and_dtype_and_gradient_pass() -> None:
    quantise = state_quant(num_bits=2, threshold=1.5, upper_limit=0)  # -1.5, -0.5, 0.5, 1.5
    x = torch.tensor([-9.0, -1.0, 0.0, 0.1, 1.0, 9.0], dtype=torch.float64, requires_grad=True)
    y = quantise(x)
    assert y.tolist() == [-1.5, -1.5, -0.5, 0.5, 0.5, 1.5]
    assert y.dtype == torch.float64
    (y * torch.arange(6.0)).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("multi_step", [False, True], ids=["steps", "block"])
def test_a_quantised_leaky_equals_snntorch(multi_step: bool) -> None:
    beta, theta = number(0.5, 0.95, True), number(0.8, 0.8, False)
    theirs = snntorch.Leaky(
        beta, theta, spike_grad=heaviside, state_quant=quant.state_quant(4, threshold=0.8)
    )
    ours = snn.Leaky(
        beta, theta, state_quant=state_quant(4, threshold=0.8), multi_step=multi_step, output=True
    )
    compare(theirs, ours, drive(), ("mem",)).require()
    theirs.reset_mem()
    with pytest.raises(AssertionError):
        compare(theirs, snn.Leaky(beta, theta), drive(), ("mem",)).require()


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"num_bits": 0}, "state_quant: num_bits is 0; it must be at least 1"),
        ({"threshold": 0}, "state_quant: the levels span [0, 0.0]; it must not be empty"),
        ({"uniform": False, "multiplier": 2}, "state_quant: multiplier is 2; it must be in (0, 1]"),
        (
            {"uniform": False, "upper_limit": -0.5},
            "state_quant: the levels span [-1, 0.5]; it must include 1.0, around which they crowd",
        ),
    ],
    ids=str,
)
def test_a_bad_argument_is_refused(options: dict[str, float], problem: str) -> None:
    with pytest.raises(LayerError) as caught:
        state_quant(**options)
    assert str(caught.value) == problem
