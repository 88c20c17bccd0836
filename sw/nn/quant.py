"""Neuron states restricted to a few levels while training, with snnTorch's names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .errors import LayerError

# The ratio between neighbouring gaps, by bits: the more levels, the slower the gaps shrink.
_MULTIPLIERS = {1: 0.05, 2: 0.1, 3: 0.3, 4: 0.5, 5: 0.7, 6: 0.9, 7: 0.925}
_MULTIPLIER_ABOVE = 0.95


class _Nearest(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, levels: Tensor) -> Tensor:
        levels = levels.to(x.device)
        above = torch.searchsorted(levels, x.contiguous()).clamp(1, len(levels) - 1)
        low, high = levels[above - 1], levels[above]
        # On a tie the lower level.
        return torch.where(x - low <= high - x, low, high).to(x.dtype)

    @staticmethod
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *grad_outputs: Tensor
    ) -> tuple[Tensor, None]:
        return grad_outputs[0], None


def state_quant(
    num_bits: int = 8,
    uniform: bool = True,
    thr_centered: bool = True,
    threshold: float = 1,
    lower_limit: float = 0,
    upper_limit: float = 0.2,
    multiplier: float | None = None,
) -> Callable[[Tensor], Tensor]:
    """A quantiser for a neuron's ``state_quant``: each value to the nearest of 2^bits levels.

    The levels span ``[−θ·(1 + lower_limit), θ·(1 + upper_limit)]``; on a tie the lower one is
    taken, and the gradient passes unchanged. Neither 0 nor θ need be a level, so this is an aid
    to training, not the arithmetic of our hardware (see ``docs/arithmetic.md``).

    Args:
        num_bits: at least 1.
        uniform: evenly spaced levels.
        thr_centered: without ``uniform``, levels crowd around θ; else around 0.
        threshold: θ of the neurons.
        lower_limit, upper_limit: how far the levels go beyond −θ and θ, as a fraction of θ.
        multiplier: without ``uniform``, the ratio of a gap between levels to the next larger
            one, in (0, 1]; None takes one that suits ``num_bits``.

    Returns:
        The quantiser, any shape to the same shape and dtype.

    Raises:
        LayerError: bad argument.
    """
    if num_bits < 1:
        raise LayerError(f"state_quant: num_bits is {num_bits}; it must be at least 1")
    low, high = -threshold * (1 + lower_limit), threshold * (1 + upper_limit)
    if not low < high:
        raise LayerError(f"state_quant: the levels span [{low}, {high}]; it must not be empty")
    count = 2**num_bits
    if uniform:
        levels = torch.linspace(low, high, count)
    else:
        if multiplier is None:
            multiplier = _MULTIPLIERS.get(num_bits, _MULTIPLIER_ABOVE)
        if not 0 < multiplier <= 1:
            raise LayerError(f"state_quant: multiplier is {multiplier}; it must be in (0, 1]")
        centre = float(threshold) if thr_centered else 0.0
        if not low <= centre <= high:
            raise LayerError(
                f"state_quant: the levels span [{low}, {high}]; it must include {centre}, around "
                "which they crowd"
            )
        levels = _crowded(low, centre, high, count, multiplier)

    def quantise(x: Tensor) -> Tensor:
        return _Nearest.apply(x, levels)  # type: ignore[no-any-return]

    return quantise


def _crowded(low: float, centre: float, high: float, count: int, ratio: float) -> Tensor:
    """Levels in [low, high] whose gaps shrink by ``ratio`` towards a centre that is no level.

    Each side gets levels in proportion to its width; the outermost are ``low`` and ``high``.
    """
    below = int(count * (centre - low) / (high - low))
    sides = []
    for edge, levels in ((low, below), (high, count - below)):
        # Distances from the edge, in gaps that start large: 0, 1, 1 + ratio, ...
        gaps = ratio ** torch.arange(levels, dtype=torch.float64)
        travelled = torch.cumsum(gaps, 0) - gaps
        sides.append(edge + (centre - edge) * travelled / gaps.sum())
    return torch.cat((sides[0], sides[1].flip(0))).to(torch.get_default_dtype())
