"""The finite-time gain of a chain of layers while it is trained: a loss term and a report."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from .nn.lyapunov_gain import finite_time_gain, lyapunov_loss


class GainTerm:
    """Runs a chain with a perturbation beside the signal.

    Args:
        model: a chain that :func:`finite_time_gain` takes, ending in scores.
        target, weight: of :func:`lyapunov_loss`. At weight 0 the gain is only reported.
    """

    def __init__(self, model: nn.Module, target: float, weight: float) -> None:
        self.model, self.target, self.weight = model, target, weight
        self._validated: list[float] = []

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor | float]:
        """(scores [B, C], the loss term) for x [T, B, C, H, W]."""
        if self.model.training and self.weight == 0:
            return self.model(x), 0.0
        # The direction is the batch's own, so that a resumed run does what an unbroken one does.
        seed = int(x[0].detach().double().sum() * 1e6)
        generator = torch.Generator(x.device).manual_seed(seed)
        gain = finite_time_gain(self.model, x, generator=generator)
        if not self.model.training:
            self._validated.append(float(gain.values.detach().mean()))
        return gain.output, lyapunov_loss(gain.values, self.target, self.weight)

    def measures(self) -> dict[str, float]:
        """The mean gain of an epoch's validation."""
        gain = float(np.mean(self._validated))
        self._validated.clear()
        return {"gain": gain}
