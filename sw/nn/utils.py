"""Helpers under the names of ``snntorch.utils``."""

from __future__ import annotations

from torch import nn

from .lif import LIF
from .neuron_state import StatefulNeuron


def reset(net: nn.Module) -> None:
    """Put every spiking neuron of ``net`` at rest, however deeply nested, and drop its graph.

    Only this net's: snnTorch resets all living neurons of the classes among its direct children.
    """
    for module in net.modules():
        if isinstance(module, StatefulNeuron | LIF):
            module.reset()
