"""Surrogate gradients: the spike is a hard step, its derivative a smooth stand-in.

Forward is always the strict Heaviside step ``x > 0``. Backward multiplies by ``derivative(x)``.
Every surrogate keeps the dtype of its input, so float64 stays float64.

Reference: Neftci, Mostafa, Zenke, "Surrogate gradient learning in spiking neural networks",
IEEE Signal Processing Magazine 36(6), 2019.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .errors import LayerError


class _Spike(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, surrogate: Surrogate, strict: bool) -> Tensor:
        ctx.save_for_backward(x)
        ctx.surrogate = surrogate
        return ((x > 0) if strict else (x >= 0)).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None, None]:
        (x,) = ctx.saved_tensors
        return grad_outputs[0] * ctx.surrogate.derivative(x), None, None


@dataclass(frozen=True)
class Surrogate:
    """Base of the surrogates: calling one with x gives spikes, ``derivative`` is its backward."""

    def derivative(self, x: Tensor) -> Tensor:
        """Stand-in for d spike / d x, same shape and dtype as ``x`` (distance to threshold)."""
        raise NotImplementedError

    def __call__(self, x: Tensor, strict: bool = True) -> Tensor:
        """Spikes in {0, 1}: ``x > 0``, or ``x >= 0`` if not ``strict``; same shape and dtype."""
        return _Spike.apply(x, self, strict)  # type: ignore[no-any-return]

    def _require_positive(self, name: str) -> None:
        value = getattr(self, name)
        if not (value > 0 and math.isfinite(value)):
            raise LayerError(
                f"{type(self).__name__}: {name} is {value!r}; it must be a finite number above 0"
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
        slope = (x * (math.pi * peak)).square_().add_(1).reciprocal_()
        return slope if peak == 1 else slope.mul_(peak)


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


def surrogate_gradient(x: Tensor, slope: float = 25.0) -> Tensor:
    """``slope / (1 + slope·|x|)²`` for x = membrane − threshold; same shape and dtype as x."""
    return slope / (x.abs() * slope + 1).square_()
