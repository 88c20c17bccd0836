"""How busy the layers of a network are: which of their inputs are events, in some timesteps.

Measured on samples by :func:`reslif.sim.activity.measured`, or assumed before there is a trained
network to measure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from ..sw.network import Affine, Conv2d, Dense, Edge, Input, Join, Network, Neuron, Pool

Activity: TypeAlias = Mapping[Edge, npt.NDArray[np.bool_]]
"""For each edge, ``[steps, n]``: whether what it carries is not 0, in each of some timesteps."""

STEPS = 8
"""Timesteps that are drawn where activity is assumed."""


def assumed(network: Network, spikes: float = 0.1, pixels: float = 0.5) -> Activity:
    """Random events: a part ``spikes`` of all neurons fires, a part ``pixels`` of the input is not
    0; sums of currents are never 0, those of spikes as often as chance has it.
    """
    random = np.random.default_rng(0)
    silent: dict[str, float] = {}
    for node in network.order:
        before = [silent[edge.source] for edge in network.edges if edge.target == node.name
                  and edge.source in silent]  # fmt: skip
        if isinstance(node, Input):
            silent[node.name] = 1 - pixels
        elif isinstance(node, Neuron):
            silent[node.name] = 1 - spikes
        elif isinstance(node, Dense | Conv2d | Affine):
            silent[node.name] = 0.0
        elif isinstance(node, Pool):
            silent[node.name] = before[0] ** (node.window[0] * node.window[1])
        elif isinstance(node, Join):
            silent[node.name] = float(np.prod(before))
    return {
        edge: random.random((STEPS, network.by_name[edge.source].size))
        >= (0 if network.carries_membrane(edge) else silent[edge.source])
        for edge in network.edges
    }
