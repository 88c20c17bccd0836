"""How busy the layers of a network are, measured by the golden model."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..hw.activity import Activity
from ..sw import golden
from ..sw.network import Edge, Network, Neuron


def measured(network: Network, samples: npt.ArrayLike) -> Activity:
    """Which values are not 0 on every edge, in all timesteps of ``samples`` (``[T, B, inputs]``).

    Raises ``NetworkError`` if the samples do not fit the network's input.
    """

    def seen(edge: Edge) -> golden.Probe:
        node = network.by_name[edge.source]
        if isinstance(node, Neuron) and network.carries_membrane(edge):
            return edge.source, "membrane"
        return edge.source, node.quantities[-1]

    trace = golden.run(network, samples, {seen(edge) for edge in network.edges})
    result = {}
    for edge in network.edges:
        here = trace[seen(edge)] != 0
        if edge.delay:
            here = np.concatenate([np.zeros_like(here[:1]), here[:-1]])
        # Sample after sample, as they are sent.
        result[edge] = here.transpose(1, 0, 2).reshape(-1, here.shape[2])
    return result
