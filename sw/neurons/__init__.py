"""The integer neurons of the contract: one file a model, its numbers and its exact step."""

from .adaptive import Adaptive
from .alpha import Alpha
from .base import Neuron, Reset, Update
from .lif import LIF
from .lstm import LSTM
from .synaptic import Synaptic

__all__ = ["LIF", "LSTM", "NEURONS", "Adaptive", "Alpha", "Neuron", "Reset", "Synaptic", "Update"]

NEURONS: tuple[type[Neuron], ...] = (LIF, Synaptic, Alpha, Adaptive, LSTM)
"""Every model that a network may hold."""
