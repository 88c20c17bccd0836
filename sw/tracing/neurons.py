"""Neuron nodes of a float graph from the neuron modules of :mod:`reslif.sw.nn`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from torch import Tensor, nn

from ..formats import Format
from ..graph import WIDE, FloatArray, FloatNeuron, float_lif
from ..images import to_flat
from ..network import LSTM, Adaptive, Alpha, Neuron, Synaptic
from ..neurons.table import Tanh
from ..nn import LIF, SLSTM, ParametricLIF, RSynaptic, SConv2dLSTM, SpikingNeuron
from ..nn import Adaptive as AdaptiveModule
from ..nn import Alpha as AlphaModule
from ..nn import Synaptic as SynapticModule
from ..nn.lif_function import NeuronRule
from ..nn.surrogate import ATan, Surrogate

LSTM_TABLE = Tanh.of(step=6, frac=8)
LSTM_MEMBRANE = Format(12, 10)
"""Within ±2, and wider where a threshold or a reset needs it."""
LSTM_CELL = Format(14, 10)
"""Within ±8, where tanh is 1 to seven digits."""


def per_neuron(value: Tensor, shape: Sequence[int]) -> FloatArray:
    """A number that broadcasts to a step's ``shape``: a scalar, or ``[n]``, as the node has it."""
    array = to_array(value)
    if array.size == 1:
        return array.reshape(())
    array = np.array(np.broadcast_to(array, shape))
    return to_flat(array) if len(shape) == 3 else array.reshape(-1)


def to_array(value: Tensor) -> FloatArray:
    return value.detach().cpu().numpy().astype(np.float64)


def learnt(module: nn.Module, **sources: Sequence[str]) -> frozenset[str]:
    """The numbers that are learnt: those of which a source in the module is a parameter."""
    return frozenset(
        what
        for what, names in {"threshold": ["threshold"], **sources}.items()
        for value in (getattr(module, name, None) for name in names)
        if isinstance(value, nn.Parameter) and value.requires_grad
    )


def _surrogate(module: SpikingNeuron) -> Surrogate:
    """The module's own; for a foreign callable, whose slope is unknown, the default."""
    return module.spike_grad if isinstance(module.spike_grad, Surrogate) else ATan()


def rule(module: SpikingNeuron, keeps_input: bool) -> NeuronRule:
    return NeuronRule(
        _surrogate(module), module.reset_mechanism, module.reset_delay, keeps_input,
        strict=module.strict, inhibition=module.inhibition,
    )  # fmt: skip


def options(module: SpikingNeuron) -> dict[str, Any]:
    """The fields that every neuron node has."""
    return {
        "reset": module.reset_mechanism, "reset_delay": module.reset_delay,
        "strict": module.strict, "inhibition": module.inhibition,
    }  # fmt: skip


def first_order(
    module: LIF | SpikingNeuron, rule: NeuronRule, name: str, shape: Sequence[int]
) -> FloatNeuron:
    # Lapicque's leak follows from β, R and C, that of a parametric LIF from w.
    sources = ["w"] if isinstance(module, ParametricLIF) else ["beta", "R", "C"]
    return float_lif(
        name,
        int(np.prod(shape)),
        per_neuron(module.effective_beta(), shape),
        per_neuron(module.effective_threshold(), shape),
        rule,
        learnt(module, leak=sources),
    )


def make_neuron(
    module: SpikingNeuron, template: Neuron, numbers: dict[str, Tensor], shape: Sequence[int],
    learn: frozenset[str],
) -> FloatNeuron:  # fmt: skip
    arrays = {what: per_neuron(value, shape) for what, value in numbers.items()}
    return FloatNeuron(template, arrays, _surrogate(module), learn)


ZERO, ONE = np.array(0), np.array(1)
"""The integers of a template, which the quantiser replaces."""


def synaptic(module: SynapticModule | RSynaptic, name: str, shape: Sequence[int]) -> FloatNeuron:
    template = Synaptic(
        name, int(np.prod(shape)), WIDE, WIDE, ZERO, ZERO, 0, ONE, **options(module)
    )
    numbers = {
        "synaptic_leak": module.effective_alpha(),
        "leak": module.effective_beta(),
        "threshold": module.effective_threshold(),
    }
    learn = learnt(module, synaptic_leak=["alpha"], leak=["beta"])
    return make_neuron(module, template, numbers, shape, learn)


def alpha(module: AlphaModule, name: str, shape: Sequence[int]) -> FloatNeuron:
    template = Alpha(
        name, int(np.prod(shape)), WIDE, WIDE, ZERO, ZERO, 0, ONE, 0, ONE, **options(module)
    )
    numbers = {
        "excitatory_leak": module.effective_alpha(),
        "inhibitory_leak": module.effective_beta(),
        "gain": module.effective_membrane_gain(),
        "threshold": module.effective_threshold(),
    }
    learn = learnt(module, excitatory_leak=["alpha"], inhibitory_leak=["beta"])
    return make_neuron(module, template, numbers, shape, learn)


def adaptive(module: AdaptiveModule, name: str, shape: Sequence[int]) -> FloatNeuron:
    narrower = Format(WIDE.width - 2, signed=False)  # θ + b must fit the membrane
    template = Adaptive(
        name, int(np.prod(shape)), WIDE, narrower, ZERO, ZERO, 0, ONE, ZERO, **options(module)
    )
    numbers = {
        "leak": module.effective_beta(),
        "adaptation_leak": module.effective_adaptation_beta(),
        "threshold": module.effective_threshold(),
        "increment": module.effective_increment(),
    }
    learn = learnt(
        module, leak=["beta"], adaptation_leak=["adaptation_beta"], increment=["increment"]
    )
    return make_neuron(module, template, numbers, shape, learn)


def lstm(module: SLSTM | SConv2dLSTM, name: str, shape: Sequence[int]) -> FloatNeuron:
    threshold = per_neuron(module.effective_threshold(), shape)
    # h lies within ±1, less θ after a delayed reset by subtraction; θ itself must be representable.
    late = module.reset_delay and module.reset_mechanism == "subtract"
    reach = (1 + late * float(threshold.max())) / LSTM_MEMBRANE.step
    level = np.rint(float(threshold.max()) / LSTM_MEMBRANE.step)
    membrane = LSTM_MEMBRANE
    while -membrane.min < reach or membrane.max - 1 < level:
        membrane = replace(membrane, width=membrane.width + 1)
    template = LSTM(
        name, int(np.prod(shape)), membrane, LSTM_CELL, LSTM_TABLE.step, LSTM_TABLE.entries,
        LSTM_TABLE.step, LSTM_TABLE.frac, ONE, **options(module),
    )  # fmt: skip
    numbers = {"threshold": module.effective_threshold()}
    return make_neuron(module, template, numbers, shape, learnt(module))
