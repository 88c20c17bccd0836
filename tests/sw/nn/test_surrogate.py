"""The surrogate gradients: hard spikes forward, the stated derivative backward."""

import math

import pytest
import snntorch.surrogate
import torch
from reslif.sw.nn import (
    LayerError,
    atan,
    fast_sigmoid,
    scaled_fast_sigmoid,
    sigmoid,
    surrogate_gradient,
)

X = torch.linspace(-2, 2, 81, dtype=torch.float64)
FORMULAS = [
    (fast_sigmoid(25), lambda x: 1 / (1 + 25 * abs(x)) ** 2),
    (scaled_fast_sigmoid(25), lambda x: 25 / (1 + 25 * abs(x)) ** 2),
    (atan(2.0), lambda x: 1 / (1 + (math.pi * x) ** 2)),
    (atan(3.0), lambda x: 1.5 / (1 + (math.pi * 1.5 * x) ** 2)),
    (sigmoid(5), lambda x: 5 * math.exp(-5 * x) / (1 + math.exp(-5 * x)) ** 2),
]


@pytest.mark.parametrize(("surrogate", "formula"), FORMULAS, ids=lambda v: repr(v)[:24])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_forward_is_a_hard_step_and_backward_the_formula(surrogate, formula, dtype) -> None:
    x = X.to(dtype, copy=True).requires_grad_()
    spikes = surrogate(x)
    assert spikes.dtype == dtype
    assert torch.equal(spikes, (x > 0).to(dtype))
    spikes.sum().backward()
    assert x.grad is not None
    assert x.grad.dtype == dtype
    expected = torch.tensor([formula(v) for v in X.tolist()], dtype=dtype)
    torch.testing.assert_close(x.grad, expected, atol=1e-6, rtol=1e-5)


def test_threshold_itself_fires_only_when_not_strict() -> None:
    zero = torch.zeros(1)
    assert atan()(zero).item() == 0
    assert atan()(zero, strict=False).item() == 1


def test_sigmoid_is_finite_where_the_naive_form_overflows() -> None:
    x = torch.tensor([-1e3, -10.0, -3.6, 0.0, 3.6, 10.0, 1e3])
    slope = sigmoid(25).derivative(x)
    assert torch.isfinite(slope).all()
    torch.testing.assert_close(slope, slope.flip(0))

    assert not torch.isfinite(25 * torch.exp(-25 * x) / (1 + torch.exp(-25 * x)) ** 2).all()


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (fast_sigmoid(25), snntorch.surrogate.fast_sigmoid(25)),
        (atan(2.0), snntorch.surrogate.atan(2.0)),
        (sigmoid(25), snntorch.surrogate.sigmoid(25)),
    ],
    ids=["fast_sigmoid", "atan", "sigmoid"],
)
def test_the_shared_names_mean_what_they_mean_in_snntorch(ours, theirs) -> None:
    grads = []
    for spike in (ours, theirs):
        x = X.float().requires_grad_()
        spike(x).sum().backward()
        grads.append(x.grad)
    torch.testing.assert_close(*grads)


def test_surrogate_gradient_is_the_scaled_form() -> None:
    x = torch.tensor([0.0, 0.04, -0.04])
    torch.testing.assert_close(surrogate_gradient(x), torch.tensor([25.0, 6.25, 6.25]))
    torch.testing.assert_close(surrogate_gradient(x), 25 * fast_sigmoid(25).derivative(x))


@pytest.mark.parametrize("slope", [0.0, -1.0, math.inf, math.nan])
def test_a_slope_must_be_positive_and_finite(slope: float) -> None:
    with pytest.raises(LayerError, match="slope is"):
        fast_sigmoid(slope)
    with pytest.raises(LayerError, match="alpha is"):
        atan(slope)
