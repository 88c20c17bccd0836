"""Readouts: [T, B, N] → [B, N] scores."""

from __future__ import annotations

from torch import Tensor, nn

from .lif import LIF


class SpikeCount(nn.Module):
    """Number of spikes, Σ_t spikes[t]."""

    def forward(self, spikes: Tensor) -> Tensor:
        return spikes.sum(0)


class SpikeRate(nn.Module):
    """Mean spikes per step, in [0, 1]: a spike count divided by T."""

    def forward(self, spikes: Tensor) -> Tensor:
        return spikes.mean(0)


class SumCurrent(nn.Module):
    """Σ_t current[t], the bias of the layer before it counted in every step."""

    def forward(self, current: Tensor) -> Tensor:
        return current.sum(0)


class LastMembrane(nn.Module):
    """Membrane of a readout LIF after the last step; takes the LIF's input current.

    Args:
        lif: the readout neurons; ``reset_mechanism="none"`` makes them plain leaky integrators.
    """

    def __init__(self, lif: LIF) -> None:
        super().__init__()
        self.lif = lif

    def forward(self, current: Tensor) -> Tensor:
        _, membrane = self.lif(current, return_membrane=True)
        return membrane[-1]


class MaxMembrane(nn.Module):
    """Largest membrane of a readout LIF over all steps; takes the LIF's input current."""

    def __init__(self, lif: LIF) -> None:
        super().__init__()
        self.lif = lif

    def forward(self, current: Tensor) -> Tensor:
        _, membrane = self.lif(current, return_membrane=True)
        return membrane.amax(0)
