"""Surrogate gradients: the spike is a hard step, its derivative a smooth stand-in.

Forward is always the strict Heaviside step ``x > 0``. Backward multiplies by ``derivative(x)``.
Every surrogate keeps the dtype of its input, so float64 stays float64 (snnTorch's return float32).
The functions at the end have the names and defaults of ``snntorch.surrogate``; what they return
goes into any neuron here as ``spike_grad``. Where a derivative tells fired from silent, x = 0 is
silent, but :func:`triangular` counts it as fired, as snnTorch does.

Reference: Neftci, Mostafa, Zenke, "Surrogate gradient learning in spiking neural networks",
IEEE Signal Processing Magazine 36(6), 2019.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from .errors import LayerError


class _Spike(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, surrogate: Surrogate, strict: bool) -> Tensor:
        ctx.save_for_backward(x)
        ctx.surrogate = surrogate
        # Into a float at once: a tensor of bools costs several times as much.
        fire = torch.gt if strict else torch.ge
        return fire(x, 0, out=torch.empty_like(x))

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None, None]:
        (x,) = ctx.saved_tensors
        return ctx.surrogate.gradient(x, grad_outputs[0]), None, None


@dataclass(frozen=True)
class Surrogate:
    """Base of the surrogates: calling one with x gives spikes, ``derivative`` is its backward."""

    def derivative(self, x: Tensor) -> Tensor:
        """Stand-in for d spike / d x, same shape and dtype as ``x`` (distance to threshold).

        Differentiable itself, in ``x``: what regularises by it needs its slope.
        """
        raise NotImplementedError

    def gradient(self, x: Tensor, grad_spikes: Tensor) -> Tensor:
        """∂loss/∂x for ∂loss/∂spikes."""
        return grad_spikes * self.derivative(x)

    def __call__(self, x: Tensor, strict: bool = True) -> Tensor:
        """Spikes in {0, 1}: ``x > 0``, or ``x >= 0`` if not ``strict``; same shape and dtype."""
        return _Spike.apply(x, self, strict)  # type: ignore[no-any-return]

    def _require_positive(self, name: str) -> None:
        value = getattr(self, name)
        if not (value > 0 and math.isfinite(value)):
            raise LayerError(
                f"{type(self).__name__}: {name} is {value!r}; it must be a finite number above 0"
            )

    def _require_finite(self, name: str) -> None:
        value = getattr(self, name)
        if not math.isfinite(value):
            raise LayerError(
                f"{type(self).__name__}: {name} is {value!r}; it must be a finite number"
            )


@dataclass(frozen=True)
class FastSigmoid(Surrogate):
    """``1 / (1 + slope·|x|)²``: peak 1, as in snnTorch and Zenke & Ganguli (2018)."""

    slope: float = 25.0

    def __post_init__(self) -> None:
        self._require_positive("slope")

    def derivative(self, x: Tensor) -> Tensor:
        return (x.abs() * self.slope + 1).square_().reciprocal_()


@dataclass(frozen=True)
class ScaledFastSigmoid(Surrogate):
    """``slope / (1 + slope·|x|)²``: :class:`FastSigmoid` with the factor in front, peak slope."""

    slope: float = 25.0

    def __post_init__(self) -> None:
        self._require_positive("slope")

    def derivative(self, x: Tensor) -> Tensor:
        return surrogate_gradient(x, self.slope)


@dataclass(frozen=True)
class ATan(Surrogate):
    """``(α/2) / (1 + (π·α/2·x)²)`` (Fang et al., ICCV 2021)."""

    alpha: float = 2.0

    def __post_init__(self) -> None:
        self._require_positive("alpha")

    def derivative(self, x: Tensor) -> Tensor:
        peak = self.alpha / 2
        slope = torch.addcmul(x.new_ones(()), x, x, value=(math.pi * peak) ** 2).reciprocal_()
        return slope if peak == 1 else slope * peak


@dataclass(frozen=True)
class Sigmoid(Surrogate):
    """``k·σ(k·x)·(1 − σ(k·x))``, the derivative of a logistic function of slope k."""

    slope: float = 25.0

    def __post_init__(self) -> None:
        self._require_positive("slope")

    def derivative(self, x: Tensor) -> Tensor:
        # The derivative is even, and exp(−k·|x|) cannot overflow where exp(−k·x) would.
        decay = torch.exp(x.abs() * -self.slope)
        return self.slope * decay / (1 + decay).square_()


@dataclass(frozen=True)
class StraightThroughEstimator(Surrogate):
    """1 everywhere (Bengio, Léonard, Courville, 2013)."""

    def derivative(self, x: Tensor) -> Tensor:
        return torch.ones_like(x)


@dataclass(frozen=True)
class Heaviside(Surrogate):
    """The spike itself: 1 where x > 0, else 0."""

    def derivative(self, x: Tensor) -> Tensor:
        return (x > 0).to(x.dtype)


@dataclass(frozen=True)
class Triangular(Surrogate):
    """``threshold`` where x < 0, ``−threshold`` where x ≥ 0: the sides of snnTorch's triangle."""

    threshold: float = 1.0

    def __post_init__(self) -> None:
        self._require_positive("threshold")

    def derivative(self, x: Tensor) -> Tensor:
        return torch.full_like(x, self.threshold).masked_fill_(x >= 0, -self.threshold)


@dataclass(frozen=True)
class SpikeRateEscape(Surrogate):
    """``slope · exp(−beta·|x − 1|)``: the escape rate of a Boltzmann neuron.

    The peak is at x = 1, one unit *above* the threshold, as in snnTorch (Gerstner & Kistler, 2002).
    """

    beta: float = 1.0
    slope: float = 25.0

    def __post_init__(self) -> None:
        self._require_positive("beta")
        self._require_positive("slope")

    def derivative(self, x: Tensor) -> Tensor:
        return (x - 1).abs_().mul_(-self.beta).exp_() * self.slope


@dataclass(frozen=True)
class StochasticSpikeOperator(Surrogate):
    """1 where x > 0; below, uniform noise: ``(U[−0.5, 0.5) + mean) · variance``.

    Random: ``derivative`` draws anew in every call, so two backward passes over one batch differ.

    Args:
        mean: shift of the noise before it is scaled.
        variance: width of the noise.
        generator: source of randomness, on the tensors' device; None is torch's global one.
    """

    mean: float = 0.0
    variance: float = 0.2
    generator: torch.Generator | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        self._require_finite("mean")
        self._require_positive("variance")

    def derivative(self, x: Tensor) -> Tensor:
        noise = torch.rand(x.shape, generator=self.generator, dtype=x.dtype, device=x.device)
        return noise.sub_(0.5 - self.mean).mul_(self.variance).masked_fill_(x > 0, 1)


@dataclass(frozen=True)
class LeakySpikeOperator(Surrogate):
    """1 where x > 0, ``slope`` elsewhere: the derivative of a leaky ReLU moved to the threshold.

    snnTorch 1.0.0's ``LSO`` raises in use, since it calls its stochastic operator.
    """

    slope: float = 0.1

    def __post_init__(self) -> None:
        self._require_finite("slope")

    def derivative(self, x: Tensor) -> Tensor:
        return torch.full_like(x, self.slope).masked_fill_(x > 0, 1)


@dataclass(frozen=True)
class SparseFastSigmoid(Surrogate):
    """:class:`FastSigmoid` where x > B, else 0 (Perez-Nieves & Goodman, NeurIPS 2021)."""

    slope: float = 25.0
    B: float = 1.0

    def __post_init__(self) -> None:
        self._require_positive("slope")
        self._require_finite("B")

    def derivative(self, x: Tensor) -> Tensor:
        return (x.abs() * self.slope + 1).square_().reciprocal_().masked_fill(x <= self.B, 0)


@dataclass(frozen=True)
class CustomSurrogate(Surrogate):
    """A backward pass of one's own.

    Args:
        custom_surrogate_function: called with ``(x, grad_spikes, spikes)``, all of one shape;
            returns ∂loss/∂x. It must be ``grad_spikes`` times something that does not depend on
            it: multi-step neurons ask for the factor alone, by passing ones.
    """

    custom_surrogate_function: Callable[[Tensor, Tensor, Tensor], Tensor]

    def __post_init__(self) -> None:
        if not callable(self.custom_surrogate_function):
            raise LayerError(
                f"CustomSurrogate: the function is {self.custom_surrogate_function!r}; it must be "
                "callable with (x, grad_spikes, spikes)"
            )

    def derivative(self, x: Tensor) -> Tensor:
        return self.gradient(x, torch.ones_like(x))

    def gradient(self, x: Tensor, grad_spikes: Tensor) -> Tensor:
        # A clone, because functions written for snnTorch may change the gradient in place.
        spikes = (x > 0).to(x.dtype)
        return self.custom_surrogate_function(x, grad_spikes.clone(), spikes)


def fast_sigmoid(slope: float = 25.0) -> FastSigmoid:
    """snnTorch's fast sigmoid, ``1 / (1 + slope·|x|)²``."""
    return FastSigmoid(slope)


def scaled_fast_sigmoid(slope: float = 25.0) -> ScaledFastSigmoid:
    """Fast sigmoid with the factor in front, ``slope / (1 + slope·|x|)²``."""
    return ScaledFastSigmoid(slope)


def atan(alpha: float = 2.0) -> ATan:
    """Arc tangent surrogate, ``(α/2) / (1 + (π·α/2·x)²)``."""
    return ATan(alpha)


def sigmoid(slope: float = 25.0) -> Sigmoid:
    """Logistic surrogate of the given slope, safe for any x."""
    return Sigmoid(slope)


# snnTorch's other names: calling the class is making the surrogate.
straight_through_estimator = StraightThroughEstimator
heaviside = Heaviside
triangular = Triangular
spike_rate_escape = SpikeRateEscape
SSO = StochasticSpikeOperator
LSO = LeakySpikeOperator
SFS = SparseFastSigmoid
custom_surrogate = CustomSurrogate


def surrogate_gradient(x: Tensor, slope: float = 25.0) -> Tensor:
    """``slope / (1 + slope·|x|)²`` for x = membrane − threshold; same shape and dtype as x."""
    return slope / (x.abs() * slope + 1).square_()
