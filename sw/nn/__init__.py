"""PyTorch layers for residual spiking networks: neurons, blocks, encoders, readouts, networks.

Everything runs on [T, B, ...] (time, batch, neurons) unless it says otherwise.
"""

from .batchnorm import BatchNormOverTime
from .blocks import DeepSNNStack, MembraneShortcutBlock, PlainBlock, SEWBlock
from .encoders import DirectEncoder, RateEncoder
from .errors import LayerError
from .integrators import IF, LI
from .join import SpikeAnd, SpikeIAnd, SpikeOr
from .lapicque import Lapicque
from .leaky import Leaky
from .lif import LIF, LIFState
from .networks import FeedForwardSNN, ResidualSNN, build_snn, lif_neuron, rate_decode
from .parametric import ParametricLIF
from .readout import LastMembrane, MaxMembrane, SpikeCount, SpikeRate, SumCurrent
from .spiking_neuron import SpikingNeuron
from .surrogate import (
    Surrogate,
    atan,
    fast_sigmoid,
    scaled_fast_sigmoid,
    sigmoid,
    surrogate_gradient,
)

__all__ = [
    "IF",
    "LI",
    "LIF",
    "BatchNormOverTime",
    "DeepSNNStack",
    "DirectEncoder",
    "FeedForwardSNN",
    "LIFState",
    "Lapicque",
    "LastMembrane",
    "LayerError",
    "Leaky",
    "MaxMembrane",
    "MembraneShortcutBlock",
    "ParametricLIF",
    "PlainBlock",
    "RateEncoder",
    "ResidualSNN",
    "SEWBlock",
    "SpikeAnd",
    "SpikeCount",
    "SpikeIAnd",
    "SpikeOr",
    "SpikeRate",
    "SpikingNeuron",
    "SumCurrent",
    "Surrogate",
    "atan",
    "build_snn",
    "fast_sigmoid",
    "lif_neuron",
    "rate_decode",
    "scaled_fast_sigmoid",
    "sigmoid",
    "surrogate_gradient",
]
