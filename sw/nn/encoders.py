"""Encoders: a static input, vectors or images of any size, becomes T timesteps."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .errors import LayerError


def _check_steps(owner: str, T: int) -> None:
    if T < 1:
        raise LayerError(f"{owner}: T is {T}; it must be at least 1")


class DirectEncoder(nn.Module):
    """Present the same values in every step: [B, ...] → [T, B, ...], a view without copies."""

    def __init__(self, T: int = 25) -> None:
        super().__init__()
        _check_steps("DirectEncoder", T)
        self.steps = T

    def forward(self, x: Tensor) -> Tensor:
        return x.unsqueeze(0).expand(self.steps, *x.shape)

    def extra_repr(self) -> str:
        return f"T={self.steps}"


class RateEncoder(nn.Module):
    """Bernoulli spikes with probability clamp(gain·x, 0, 1): [B, ...] → [T, B, ...] in {0, 1}.

    Args:
        T: number of steps.
        gain: factor on the intensities.
        generator: source of randomness, on the input's device; None is torch's global one.
    """

    def __init__(
        self, T: int = 25, gain: float = 1.0, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        _check_steps("RateEncoder", T)
        self.steps, self.gain, self.generator = T, gain, generator

    def forward(self, x: Tensor) -> Tensor:
        probability = (x * self.gain).clamp(0, 1).unsqueeze(0).expand(self.steps, *x.shape)
        return torch.bernoulli(probability, generator=self.generator)

    def extra_repr(self) -> str:
        return f"T={self.steps}, gain={self.gain}"
