"""From a neuron node of the contract to its hardware: every neuron has its line here."""

from __future__ import annotations

from amaranth.hdl import Shape
from amaranth.lib import data

from ..sw.network import LIF, LSTM, Adaptive, Alpha, Neuron, Synaptic
from .adaptive import AdaptiveModel
from .alpha import AlphaModel
from .folding import FoldingError
from .lif import LIFModel
from .lstm import LSTMModel
from .neuron_model import NeuronModel
from .neurons import NeuronArray
from .synaptic import SynapticModel

MODELS: dict[type[Neuron], type[NeuronModel]] = {
    LIF: LIFModel,
    Synaptic: SynapticModel,
    Alpha: AlphaModel,
    Adaptive: AdaptiveModel,
    LSTM: LSTMModel,
}


def neuron_array(
    node: Neuron, lanes: int, current: Shape, align: int, sends: tuple[str, ...] = ("spike",)
) -> NeuronArray:
    """The neurons of ``node``; currents arrive ``align`` bits below ``node.current_frac``.

    Raises :class:`FoldingError` if a beat would hold currents of two gates.
    """
    model = MODELS[type(node)](node, current, align)
    if node.INPUTS > 1 and node.size % lanes:
        raise FoldingError(
            f"node '{node.name}': {lanes} lanes, must divide its {node.size} neurons"
        )
    return NeuronArray(model, lanes, sends)


def clips(node: Neuron) -> int:
    """How many values of one of the neurons may be clipped in a timestep."""
    return MODELS[type(node)].clips


def neuron_config(node: Neuron) -> data.Const:
    """The run-time configuration that makes an array behave as ``node``."""
    keep_input = getattr(node, "keep_input", False)
    flag = {
        ("subtract", True): "late_subtract",
        ("zero", True): "late_zero_leak" if keep_input else "late_zero_all",
        ("subtract", False): "now_subtract",
        ("zero", False): "now_zero",
    }.get((node.reset, node.reset_delay))
    rectify = getattr(node, "rectify", False)
    bounds = {name: {"low": form.min, "high": form.max} for name, form in node.states.items()}
    if rectify:
        bounds["membrane"]["low"] = 0
    flags = {"strict": node.strict, "rectify": rectify} | ({flag: 1} if flag else {})
    model = MODELS[type(node)](node, Shape(1), 0)
    return model.config.const(bounds | flags)
