"""Residual joins of a branch's spikes ``s`` and a shortcut ``x``, elementwise on [T, B, N].

Modules, so that a tracer sees each as one node; plain ``+`` is the add join. On spikes in {0, 1}
they are the logic functions of their names (Fang et al., "Deep residual learning in spiking
neural networks", NeurIPS 2021, eq. 5 and table 1).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class SpikeAnd(nn.Module):
    """``s · x``."""

    def forward(self, s: Tensor, x: Tensor) -> Tensor:
        return s * x


class SpikeIAnd(nn.Module):
    """``x · (1 − s)``: the shortcut, unless the branch fires (s in {0, 1})."""

    def forward(self, s: Tensor, x: Tensor) -> Tensor:
        return x * (1 - s)


class SpikeOr(nn.Module):
    """``min(s + x, 1)``: the clipped add.

    Backward passes the gradient to both sides where the sum is at most 1 and to neither above.
    """

    def forward(self, s: Tensor, x: Tensor) -> Tensor:
        return torch.clamp(s + x, max=1)
