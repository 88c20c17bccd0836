"""The least that event-driven hardware can take: one cycle for every ``lanes · taps`` additions."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..sw.formats import IntArray
from ..sw.network import Conv2d, Dense, Network
from .activity import Activity
from .conv_tables import Axis


def event_bound(
    network: Network, parallel: Mapping[str, int], activity: Activity
) -> dict[str, float]:
    """Cycles that each layer needs for a timestep's additions alone, on average: Σ fan-out of its
    events / (lanes · taps), which ``parallel`` holds by layer.

    The fan-out of an event counts the weights that it adds: taps that the stride leaves out, or
    that fall beyond the border, do not count.
    """
    result: dict[str, float] = {}
    for node in network.order:
        if isinstance(node, Dense | Conv2d):
            (edge,) = network.incoming(node.name, "input")
            additions = activity[edge].astype(np.float64) @ fan_out(node)
            result[node.name] = float(additions.mean()) / parallel[node.name]
    return result


def fan_out(node: Dense | Conv2d) -> IntArray:
    """``[inputs]``: to how many neurons each input has a weight."""
    if isinstance(node, Dense):
        return np.full(node.inputs, node.size, np.int64)
    down, across = (
        [len(hits) for hits in Axis(*numbers).hits]
        for numbers in zip(node.shape[1:], node.kernel, node.stride, node.padding, strict=True)
    )
    each = len(node.weight) // node.groups
    return np.repeat(np.outer(down, across).reshape(-1) * each, node.shape[0])
