"""PyTorch layers for residual spiking networks: neurons, blocks, encoders, readouts, networks.

Everything runs on [T, B, ...] (time, batch, neurons) unless it says otherwise.
"""

from . import functional, spikegen, surrogate, utils
from .adaptive import Adaptive
from .alpha import Alpha
from .batchnorm import (
    BatchNormOverTime,
    BatchNormOverTime2d,
    BatchNormTT1d,
    BatchNormTT2d,
    MeanNormOverTime,
)
from .blocks import MembraneShortcutBlock, PlainBlock, SEWBlock
from .conv import AvgPoolOverTime, ConvOverTime, GlobalAvgPool, MaxPoolOverTime
from .conv_blocks import MSBasicBlock, PlainBasicBlock, SEWBasicBlock
from .conv_lif import ConvLIFBlock
from .conv_lyapunov import ConvLyapunovSNN, VGGLyapunovSNN, create_conv_snn
from .conv_networks import MSResNet, PlainResNet, SEWResNet
from .encoders import DirectEncoder, RateEncoder
from .errors import LayerError
from .integrators import IF, LI
from .join import SpikeAnd, SpikeIAnd, SpikeOr
from .lapicque import Lapicque
from .layered import LayeredSNN
from .leaky import Leaky
from .leakyparallel import LeakyParallel
from .lif import LIF, LIFState
from .lyapunov import benettin, lyapunov_spectrum, surrogate_exponent
from .lyapunov_gain import finite_time_gain, lyapunov_loss
from .networks import FeedForwardSNN, ResidualSNN, build_snn, lif_neuron, rate_decode
from .parametric import ParametricLIF
from .quant import state_quant
from .readout import LastMembrane, MaxMembrane, SpikeCount, SpikeRate, SumCurrent
from .recurrence import Recurrence
from .rleaky import RLeaky
from .rsnn import RSNNClassifier, RSNNNet, RSNNParameters
from .rsynaptic import RSynaptic
from .sconv2dlstm import SConv2dLSTM
from .slstm import SLSTM
from .spiking_neuron import SpikingNeuron
from .stack import DeepSNNStack
from .surrogate import (
    Surrogate,
    atan,
    fast_sigmoid,
    scaled_fast_sigmoid,
    sigmoid,
    surrogate_gradient,
)
from .synaptic import Synaptic

__all__ = [
    "IF",
    "LI",
    "LIF",
    "SLSTM",
    "Adaptive",
    "Alpha",
    "AvgPoolOverTime",
    "BatchNormOverTime",
    "BatchNormOverTime2d",
    "BatchNormTT1d",
    "BatchNormTT2d",
    "ConvLIFBlock",
    "ConvLyapunovSNN",
    "ConvOverTime",
    "DeepSNNStack",
    "DirectEncoder",
    "FeedForwardSNN",
    "GlobalAvgPool",
    "LIFState",
    "Lapicque",
    "LastMembrane",
    "LayerError",
    "LayeredSNN",
    "Leaky",
    "LeakyParallel",
    "MSBasicBlock",
    "MSResNet",
    "MaxMembrane",
    "MaxPoolOverTime",
    "MeanNormOverTime",
    "MembraneShortcutBlock",
    "ParametricLIF",
    "PlainBasicBlock",
    "PlainBlock",
    "PlainResNet",
    "RLeaky",
    "RSNNClassifier",
    "RSNNNet",
    "RSNNParameters",
    "RSynaptic",
    "RateEncoder",
    "Recurrence",
    "ResidualSNN",
    "SConv2dLSTM",
    "SEWBasicBlock",
    "SEWBlock",
    "SEWResNet",
    "SpikeAnd",
    "SpikeCount",
    "SpikeIAnd",
    "SpikeOr",
    "SpikeRate",
    "SpikingNeuron",
    "SumCurrent",
    "Surrogate",
    "Synaptic",
    "VGGLyapunovSNN",
    "atan",
    "benettin",
    "build_snn",
    "create_conv_snn",
    "fast_sigmoid",
    "finite_time_gain",
    "functional",
    "lif_neuron",
    "lyapunov_loss",
    "lyapunov_spectrum",
    "rate_decode",
    "scaled_fast_sigmoid",
    "sigmoid",
    "spikegen",
    "state_quant",
    "surrogate",
    "surrogate_exponent",
    "surrogate_gradient",
    "utils",
]
