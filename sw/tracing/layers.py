"""What each neuron module of :mod:`reslif.sw.nn` becomes in a float graph: a neuron node, and the
synapses that the module brings along.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from torch import nn

from ..graph import (
    WIDE,
    FloatAffine,
    FloatArray,
    FloatConv2d,
    FloatDense,
    FloatNeuron,
    GraphError,
    float_lif,
)
from ..images import Shape3
from ..network import LIF, Pool, Quantity
from ..nn import LI, SLSTM, LeakyParallel, Recurrence, RSynaptic, SConv2dLSTM, SpikingNeuron
from ..nn import LIF as OverTimeLIF
from ..nn import Adaptive as AdaptiveModule
from ..nn import Alpha as AlphaModule
from ..nn import Synaptic as SynapticModule
from ..nn.leaky import FirstOrder
from ..nn.rleaky import RecurrentNeuron
from .lowering import by_gate
from .neurons import (
    ONE,
    ZERO,
    adaptive,
    alpha,
    first_order,
    learnt,
    lstm,
    make_neuron,
    options,
    per_neuron,
    rule,
    synaptic,
    to_array,
)

NEURONS = (OverTimeLIF, SpikingNeuron)
"""The modules that :func:`lower` takes."""


@dataclass(frozen=True)
class Layer:
    """The nodes of one neuron module, in the order of what feeds what.

    ``synapse`` lies between the input and the neuron; without one the input counts ``gain``.
    ``feedback`` reads ``fed_back`` of the neuron one step late and feeds the neuron. ``pool``
    reads ``pooled`` of the neuron and feeds ``head``, which then sends in the neuron's place.
    """

    neuron: FloatNeuron
    gain: FloatArray | None = None
    synapse: FloatDense | None = None
    feedback: FloatDense | FloatConv2d | FloatAffine | None = None
    fed_back: Quantity = "output"
    pool: Pool | None = None
    pooled: Quantity = "output"
    head: FloatNeuron | None = None
    sends: Quantity = "output"
    factor: FloatArray | None = None
    """What a spike counts: the graded factor, a scalar or ``[n]``; None is 1."""


def lower(
    module: nn.Module, name: Callable[[str], str], inputs: Sequence[int], outputs: Sequence[int]
) -> Layer:
    """The layer of a neuron module whose steps take ``inputs`` and send ``outputs``, shapes
    without batch. ``name`` gives a free node name for a suffix. Raises :class:`GraphError` for
    options that no hardware has.
    """
    assert isinstance(module, NEURONS)
    kind = type(module).__name__
    if module.inhibition and len(outputs) > 1:
        raise GraphError(f"{kind} of inhibition sends {list(outputs)} a step, must send [N]")
    if isinstance(module, OverTimeLIF):
        return Layer(first_order(module, module.rule(), name(""), outputs))
    if module.state_quant:
        raise GraphError(
            f"{kind} has a state_quant, an aid to training alone, must be False (the integer "
            "network has state formats of its own)"
        )
    if isinstance(module, SLSTM):
        layer = _slstm(module, name)
    elif isinstance(module, SConv2dLSTM):
        layer = _sconv2dlstm(module, name, inputs, outputs)
    elif isinstance(module, LeakyParallel):
        layer = _leaky_parallel(module, name)
    elif isinstance(module, RecurrentNeuron):
        layer = _recurrent(module, name, outputs)
    elif isinstance(module, AdaptiveModule):
        layer = Layer(adaptive(module, name(""), outputs))
    elif isinstance(module, AlphaModule):
        layer = Layer(alpha(module, name(""), outputs))
    elif isinstance(module, SynapticModule):
        layer = Layer(synaptic(module, name(""), outputs))
    elif isinstance(module, FirstOrder):
        gain = per_neuron(module.effective_gain(), outputs) if module.has_gain else None
        sends: Quantity = "membrane" if isinstance(module, LI) else "output"
        neuron = first_order(module, rule(module, module.reset_keeps_input), name(""), outputs)
        layer = Layer(neuron, gain, sends=sends)
    else:
        raise GraphError(f"layer {kind} has no counterpart in a network")
    factor = per_neuron(module.graded_spikes_factor, outputs)
    return layer if (factor == 1).all() else replace(layer, factor=factor)


def _recurrent(module: RecurrentNeuron, name: Callable[[str], str], shape: Sequence[int]) -> Layer:
    if isinstance(module, RSynaptic):
        neuron = synaptic(module, name(""), shape)
    else:
        neuron = first_order(module, rule(module, False), name(""), shape)
    return Layer(neuron, feedback=_feedback(module.recurrence, name("_recurrent"), shape))


def _feedback(
    recurrence: Recurrence, name: str, shape: Sequence[int]
) -> FloatDense | FloatConv2d | FloatAffine:
    """``recurrence`` on steps of ``shape``."""
    if recurrence.kind == "one_to_one":
        gain = per_neuron(recurrence.weight, shape)
        return FloatAffine(name, np.full(int(np.prod(shape)), gain))
    bias = None if recurrence.bias is None else to_array(recurrence.bias)
    if recurrence.kind == "linear":
        return FloatDense(name, to_array(recurrence.weight), bias)
    channels, height, width = shape
    weight = to_array(recurrence.weight)
    return FloatConv2d(
        name, weight, (channels, height, width), padding=recurrence.padding, bias=bias
    )


def _leaky_parallel(module: LeakyParallel, name: Callable[[str], str]) -> Layer:
    if module.weight_hh_enable:
        raise GraphError(
            "LeakyParallel with a dense recurrent matrix has no counterpart in a network, "
            "must have weight_hh_enable=False"
        )
    rnn, n = module.rnn, module.hidden_size
    bias = to_array(rnn.bias_ih_l0 + rnn.bias_hh_l0) if rnn.bias else None
    learn = learnt(module) | ({"leak"} if rnn.weight_hh_l0.requires_grad else set())
    template = LIF(name(""), n, WIDE, ZERO, 0, ONE, rectify=True, **options(module))
    numbers = {"leak": module.effective_beta(), "threshold": module.effective_threshold()}
    neuron = make_neuron(module, template, numbers, (n,), learn)
    return Layer(neuron, synapse=FloatDense(name("_input"), to_array(rnn.weight_ih_l0), bias))


def _slstm(module: SLSTM, name: Callable[[str], str]) -> Layer:
    cell, shape = module.lstm_cell, (module.hidden_size,)
    bias = to_array(cell.bias_ih) if module.bias else None
    return Layer(
        lstm(module, name(""), shape),
        synapse=FloatDense(name("_input"), to_array(cell.weight_ih), bias),
        feedback=_feedback(module.recurrence, name("_recurrent"), shape),
        fed_back="membrane",
    )


def _sconv2dlstm(
    module: SConv2dLSTM, name: Callable[[str], str], inputs: Sequence[int], outputs: Sequence[int]
) -> Layer:
    channels, (height, width) = module.out_channels, inputs[-2:]
    shape = (channels, height, width)
    # The convolution's gates are i, f, o, g, the node's i, f, g, o.
    i, f, o, g = (range(k * channels, (k + 1) * channels) for k in range(4))
    rows = [*i, *f, *g, *o]
    weight, count = to_array(module.conv.weight)[rows], module.in_channels
    bias = None if module.conv.bias is None else to_array(module.conv.bias)[rows]
    read, padding = (count, height, width), module.padding
    # The node takes gate after gate, a convolution sends the gates of each pixel together.
    synapse = FloatConv2d(name("_input"), weight[:, :count], read, padding=padding, bias=bias)
    feedback = FloatConv2d(name("_recurrent"), weight[:, count:], shape, padding=padding)
    layer = Layer(
        lstm(module, name(""), shape),
        synapse=by_gate(synapse, 4),
        feedback=by_gate(feedback, 4),
        fed_back="membrane",
    )
    return _pooled(module, layer, name, shape, outputs)


def _pooled(
    module: SConv2dLSTM, layer: Layer, name: Callable[[str], str], shape: Shape3,
    outputs: Sequence[int],
) -> Layer:  # fmt: skip
    """``layer`` with the pool before its threshold: a fire decision of its own, without memory."""
    window = module.max_pool or module.avg_pool
    if not window:
        return layer
    if module.avg_pool and not module.reset_delay and module.reset_mechanism != "none":
        raise GraphError(
            "SConv2dLSTM has avg_pool and an immediate reset, which takes away what the pool "
            "reads, must have reset_delay=True"
        )
    window = window if isinstance(window, tuple) else (window, window)
    pool = Pool(name("_pool"), "sum" if module.avg_pool else "max", shape, window, window)
    # The largest is above θ if any is; a mean is above θ if the sum is above k²·θ.
    level = np.array(0.5)
    if module.avg_pool:
        level = per_neuron(module.effective_threshold(), outputs) * np.prod(window)
    memoryless = replace(rule(module, True), reset_mechanism="none")
    head = float_lif(name("_pooled"), pool.size, 0.0, level, memoryless)
    return replace(layer, pool=pool, pooled="membrane" if module.avg_pool else "output", head=head)
