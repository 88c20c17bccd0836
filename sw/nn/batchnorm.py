"""Batch norm over batch and time, made to be folded into the layer before it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .errors import LayerError


class BatchNormOverTime(nn.BatchNorm1d):
    """Batch norm of [T, B, N] with statistics over T·B, one gain and shift per feature.

    One gain for all timesteps, so in evaluation it folds into the weights before it
    (``scale_and_shift``).

    Args:
        num_features: N.
        gain: initial γ of every feature.
    """

    def __init__(self, num_features: int, gain: float = 1.0) -> None:
        super().__init__(num_features)
        with torch.no_grad():
            self.weight.fill_(gain)

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input.flatten(0, 1)).unflatten(0, input.shape[:2])

    def scale_and_shift(self) -> tuple[Tensor, Tensor]:
        """(scale, shift), both [N], with ``forward(x) = scale·x + shift`` in evaluation mode."""
        if self.running_mean is None or self.running_var is None:
            raise LayerError("BatchNormOverTime: no running statistics, so it cannot be folded")
        scale = self.weight / torch.sqrt(self.running_var + self.eps)
        return scale, self.bias - self.running_mean * scale
