"""The surrogates that bear snnTorch's names: its numbers, but in any precision."""

import math

import pytest
import snntorch.surrogate as theirs
import torch
from reslif.sw.nn import LIF, LayerError
from reslif.sw.nn import surrogate as ours
from torch import Tensor

X = torch.linspace(-3, 3, 121, dtype=torch.float64)


def by_hand(input_: Tensor, grad_input: Tensor, spikes: Tensor) -> Tensor:
    """A custom surrogate that uses all it is given, and changes its gradient in place."""
    grad_input /= (10 * input_.abs() + 1) ** 2
    return grad_input * (1 + spikes)


DETERMINISTIC = {
    "straight_through_estimator": (ours.straight_through_estimator(), lambda x: 1.0),
    "heaviside": (ours.heaviside(), lambda x: float(x > 0)),
    "triangular": (ours.triangular(), lambda x: 1.0 if x < 0 else -1.0),
    "triangular(0.3)": (ours.triangular(0.3), lambda x: 0.3 if x < 0 else -0.3),
    "spike_rate_escape": (ours.spike_rate_escape(), lambda x: 25 * math.exp(-abs(x - 1))),
    "spike_rate_escape(2, 3)": (
        ours.spike_rate_escape(2, 3),
        lambda x: 3 * math.exp(-2 * abs(x - 1)),
    ),
    "LSO": (ours.LSO(), lambda x: 1.0 if x > 0 else 0.1),
    "LSO(0.4)": (ours.LSO(0.4), lambda x: 1.0 if x > 0 else 0.4),
    "SFS": (ours.SFS(), lambda x: 1 / (1 + 25 * abs(x)) ** 2 if x > 1 else 0.0),
    "SFS(5, -0.5)": (ours.SFS(5, -0.5), lambda x: 1 / (1 + 5 * abs(x)) ** 2 if x > -0.5 else 0.0),
    "custom": (
        ours.custom_surrogate(by_hand),
        lambda x: (1 + (x > 0)) / (1 + 10 * abs(x)) ** 2,
    ),
}


def grad_of(spike, x: Tensor, weights: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """(spikes, ∂Σ weights·spikes/∂x)."""
    x = x.clone().requires_grad_()
    spikes = spike(x)
    (spikes if weights is None else spikes * weights).sum().backward()
    assert x.grad is not None
    return spikes.detach(), x.grad


@pytest.mark.parametrize("name", DETERMINISTIC)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_forward_is_a_hard_step_and_backward_the_formula(name: str, dtype: torch.dtype) -> None:
    surrogate, formula = DETERMINISTIC[name]
    x = X.to(dtype)
    spikes, grad = grad_of(surrogate, x)
    assert spikes.dtype == grad.dtype == dtype
    assert torch.equal(spikes, (x > 0).to(dtype))
    expected = torch.tensor([formula(v) for v in x.tolist()], dtype=dtype)
    tight = {"rtol": 1e-12, "atol": 1e-14} if dtype == torch.float64 else {}
    torch.testing.assert_close(grad, expected, **tight)
    torch.testing.assert_close(surrogate.derivative(x), expected, **tight)
    # Neither call may touch what it was given.
    assert torch.equal(x, X.to(dtype))


SAME_NAMES = {
    "straight_through_estimator",
    "heaviside",
    "triangular",
    "fast_sigmoid",
    "atan",
    "sigmoid",
    "spike_rate_escape",
    "SSO",
    "SFS",
}
OPTIONS = {
    "triangular": {"threshold": 0.7},
    "fast_sigmoid": {"slope": 10},
    "atan": {"alpha": 3.0},
    "sigmoid": {"slope": 5},
    "spike_rate_escape": {"beta": 2, "slope": 3},
    "SSO": {"mean": 0.25, "variance": 0.5},
    "SFS": {"slope": 4, "B": 0.2},
    "custom_surrogate": {"custom_surrogate_function": by_hand},
}


@pytest.mark.parametrize("name", sorted(SAME_NAMES | OPTIONS.keys()))
def test_names_defaults_and_options_are_those_of_snntorch(name: str) -> None:
    calls = ([{}] if name in SAME_NAMES else []) + ([OPTIONS[name]] if name in OPTIONS else [])
    weights = torch.linspace(-1, 2, len(X))
    for options in calls:
        results = []
        for package in (ours, theirs):
            torch.manual_seed(0)  # SSO draws in its backward pass
            results.append(grad_of(getattr(package, name)(**options), X.float(), weights))
        torch.testing.assert_close(*results)


def test_a_wrong_peak_would_be_seen() -> None:
    results = [grad_of(s, X.float())[1] for s in (ours.atan(2.5), theirs.atan(2.0))]
    with pytest.raises(AssertionError):
        torch.testing.assert_close(*results)


def test_the_stochastic_operator_is_noise_below_and_one_above() -> None:
    x = torch.linspace(-1, 1, 20_001, dtype=torch.float64)
    slope = ours.SSO(mean=0.25, variance=0.4).derivative(x)
    below = slope[x <= 0]
    assert bool((slope[x > 0] == 1).all())
    assert -0.1 <= float(below.min()) < -0.098
    assert 0.298 < float(below.max()) < 0.3
    assert abs(float(below.mean()) - 0.1) < 0.005


def test_the_stochastic_operator_is_reproducible_by_its_generator() -> None:
    def draw(seed: int) -> Tensor:
        return ours.SSO(generator=torch.Generator().manual_seed(seed)).derivative(X)

    assert torch.equal(draw(1), draw(1))
    assert not torch.equal(draw(1), draw(2))


@pytest.mark.parametrize("name", [*DETERMINISTIC, "SSO"])
def test_a_layer_takes_any_of_them(name: str) -> None:
    """In the multi-step backward as in the single steps it must reproduce."""

    def surrogate():
        if name == "SSO":  # without noise: the two paths draw in different orders
            return ours.SSO(mean=0.25, variance=1e-12)
        return DETERMINISTIC[name][0]

    lif = LIF(torch.tensor(0.9, dtype=torch.float64), surrogate=surrogate())
    x = torch.randn(20, 4, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    grads = []
    for multi_step in (True, False):
        inputs = x.clone().requires_grad_()
        if multi_step:
            spikes = lif(inputs)
        else:
            state, steps = None, []
            for step in inputs:
                spike, state = lif.step(step, state)
                steps.append(spike)
            spikes = torch.stack(steps)
        assert 0.02 < float(spikes.detach().mean()) < 0.9
        (spikes * torch.arange(20.0).view(-1, 1, 1)).sum().backward()
        grads.append(inputs.grad)
    torch.testing.assert_close(*grads, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ours.triangular(-1), "Triangular: threshold is -1"),
        (lambda: ours.spike_rate_escape(slope=0), "SpikeRateEscape: slope is 0"),
        (lambda: ours.spike_rate_escape(beta=math.inf), "SpikeRateEscape: beta is inf"),
        (lambda: ours.SSO(variance=0), "variance is 0; it must be a finite number above 0"),
        (lambda: ours.SSO(mean=math.nan), "mean is nan; it must be a finite number"),
        (lambda: ours.LSO(math.inf), "slope is inf"),
        (lambda: ours.SFS(slope=-1), "SparseFastSigmoid: slope is -1"),
        (lambda: ours.custom_surrogate(3), "the function is 3; it must be callable"),  # type: ignore[arg-type]
    ],
)
def test_bad_options_are_named(make, message: str) -> None:
    with pytest.raises(LayerError, match=message):
        make()
