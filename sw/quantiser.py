"""From a float graph to an integer network, without training."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import nn

from .formats import SPIKE, Format, IntArray
from .graph import (
    WIDE,
    FloatAffine,
    FloatArray,
    FloatConv2d,
    FloatDense,
    FloatGraph,
    FloatNeuron,
    GraphError,
)
from .images import to_flat
from .moments import input_moments
from .network import Affine, Conv2d, Dense, Input, Join, Network, Neuron, Node, Pool
from .scale_groups import sends_membrane
from .scales import Fracs, Scales, Weighted, fracs_of, search_scales, symmetric_limit, weight_codes
from .tracing import from_torch
from .widths import fitted_joins, narrowed

SENT_GUARD = 4
"""Most guard bits, unless given, of a membrane that is read as a value."""
JOIN_GUARD = 2
"""Fraction bits of a join beyond its branch's, where the shortcut multiplies currents."""


@dataclass(frozen=True)
class QuantiseConfig:
    """Widths of the integer network.

    Attributes:
        bits: weight bits of every synapse, 2 to 16; codes are symmetric, 2 bits are ternary.
        layer_bits: weight bits of single synapses, and bits of single gains, by node name, in
            place of ``bits`` (of gains: of 8, or ``bits`` if more).
        guard_bits: fraction bits of a neuron's states beyond those of its current, because the
            floor leak is biased; None is the neuron's leak shift + 2, enough without training, and
            at most 4 for a membrane that other nodes read as a value. Among convolutions, whose
            states are many, None is no more than gives the threshold leak shift + 6 bits.
        leak_shift: n of ``leak / 2^n``; None is 4, or 8 where a leak is learnt, per neuron or no
            multiple of 1/16.
        membrane_bits: width of every membrane and other state; None is, for each state, the
            narrower of what holds every possible value (as far as a bound is known) and of twice
            the range seen in calibration. Where states need room for one another, as a raised
            threshold in the membrane, some are narrower; an LSTM's formats are its own.
    """

    bits: int = 4
    layer_bits: Mapping[str, int] = field(default_factory=dict)
    guard_bits: int | None = None
    leak_shift: int | None = None
    membrane_bits: int | None = None

    def __post_init__(self) -> None:
        for bits in (self.bits, *self.layer_bits.values()):
            if not isinstance(bits, int | np.integer) or not 2 <= bits <= 16:
                raise GraphError(f"weight bits are {bits}, must be 2 to 16")
        if self.guard_bits is not None and not 0 <= self.guard_bits <= 16:
            raise GraphError(f"guard_bits is {self.guard_bits}, must be 0 to 16")
        if self.membrane_bits is not None and not 4 <= self.membrane_bits <= WIDE.width:
            raise GraphError(f"membrane_bits is {self.membrane_bits}, must be 4 to {WIDE.width}")


@dataclass(frozen=True, eq=False)
class Quantised:
    """An integer network and the real scales behind its integers."""

    network: Network
    scales: Scales


def quantise(
    model: FloatGraph | nn.Module,
    calibration: IntArray,
    config: QuantiseConfig | None = None,
    input_format: Format = SPIKE,
) -> Network:
    """The integer network of a float graph (or module, which is traced first), untrained.

    ``calibration`` holds typical inputs, ``[T, B, inputs]`` or images ``[T, B, C, H, W]``, integers
    of ``input_format`` (of a graph: of its own input); T becomes ``max_steps``. Raises
    :class:`GraphError` for what cannot be quantised, NaN weights included.
    """
    if isinstance(model, nn.Module):
        real = torch.as_tensor(np.asarray(calibration, np.float64) * input_format.step)
        model = from_torch(model, real, input_format)
    return plan(model, calibration, config or QuantiseConfig()).network


def plan(graph: FloatGraph, calibration: IntArray, config: QuantiseConfig) -> Quantised:
    """As :func:`quantise`, with the scales."""
    calibration = to_flat(calibration) if calibration.ndim == 5 else calibration
    if calibration.ndim != 3 or 0 in calibration.shape:
        raise GraphError(
            f"calibration samples have shape {list(calibration.shape)}, must be "
            f"[T, B, {graph.input.size}] and not empty"
        )
    weighted = [node for node in graph.nodes if isinstance(node, Weighted)]
    if unknown := set(config.layer_bits) - {node.name for node in weighted}:
        raise GraphError(f"layer_bits names '{min(unknown)}', which is no synapse")
    bits = {
        node.name: config.layer_bits.get(
            node.name, max(config.bits, 8) if isinstance(node, FloatAffine) else config.bits
        )
        for node in weighted
    }
    scales = search_scales(graph, bits, input_moments(graph, calibration))
    graph = _narrow_joins(graph, scales)
    guards = _guards(graph, scales, config)
    fracs = fracs_of(graph, scales.frac, lambda node: guards[node.name])
    nodes: list[Node] = []
    for node in graph.nodes:
        if isinstance(node, Weighted):
            (source,) = graph.sources(node.name)
            unit = scales.of(source)
            if isinstance(graph.by_name[source], Input | FloatNeuron):
                unit = 1.0
            nodes.append(_weighted(node, bits[node.name], unit, scales, fracs))
        elif isinstance(node, FloatNeuron):
            incoming = [fracs.of(graph, edge) for edge in graph.incoming(node.name, "input")]
            # What other nodes multiply must stay narrow enough for their sums.
            width = 30 if sends_membrane(graph, node) else WIDE.width
            shift, guard = _leak_shift(node, config), guards[node.name]
            nodes.append(_neuron(node, scales.of(node.name), max(incoming), width, shift, guard))
        else:
            nodes.append(node)
    wide = fitted_joins(Network(tuple(nodes), graph.edges, len(calibration)))
    network, membranes = narrowed(wide, calibration, config.membrane_bits)
    notes = {
        "scales": {name: scales.of(name) for name in sorted(scales.group)},
        "membranes": membranes,
    }
    return Quantised(replace(network, notes=notes), scales)


def _weighted(
    node: Weighted, bits: int, unit: float, scales: Scales, fracs: Fracs
) -> Dense | Conv2d | Affine:
    """A synapse or gain in integers; ``unit`` is the scale of what it multiplies."""
    scale, frac = scales.of(node.name), scales.frac[node.name]
    real = node.gain if isinstance(node, FloatAffine) else node.weight
    codes = weight_codes(real * unit, scale * 2.0**-frac, symmetric_limit(bits)).astype(np.int64)
    bias = _bias(node.bias, scale * 2.0 ** -fracs.sent[node.name])
    form = Format(bits, frac)
    if isinstance(node, FloatConv2d):
        return replace(node.geometry, weight=codes, weight_format=form, bias=bias)
    if isinstance(node, FloatDense):
        return Dense(node.name, codes, form, bias)
    return Affine(node.name, codes, form, bias)


def _bias(bias: FloatArray | None, unit: float) -> IntArray | None:
    return None if bias is None else np.rint(bias / unit).astype(np.int64)


def _neuron(
    node: FloatNeuron, scale: float, incoming: int, width: int, shift: int, guard: int
) -> Neuron:
    """``node`` in integers, its states ``width`` bits wide."""
    changes = node.template.scaled(incoming, guard, width, shift)
    template = replace(node.template, **changes)  # pyright: ignore[reportArgumentType]
    numbers = {
        what: np.clip(np.rint(value / template.unit(what, scale)), *template.limits(what))
        for what, value in node.numbers.items()
    }
    return replace(  # pyright: ignore[reportArgumentType] - every neuron is a dataclass
        template, **{what: value.astype(np.int64) for what, value in numbers.items()}
    )


def _narrow_joins(graph: FloatGraph, scales: Scales) -> FloatGraph:
    """``graph`` in which joins drop what a shortcut that multiplies currents adds in fraction bits.

    They would add up from stage to stage, in every state behind. Widths are not chosen yet.
    """
    for node in graph.nodes:
        if not isinstance(node, Join) or node.op != "add":
            continue
        ends = [graph.sources(node.name, port)[0] for port in node.ports]
        grown = [name for name in ends if _multiplies_currents(graph, name)]
        if not grown:
            continue  # of hundreds of joins few need a look at the whole graph
        sent = fracs_of(graph, scales.frac).sent
        plain = [sent[name] for name in ends if name not in grown]
        if plain and grown and sent[grown[0]] > plain[0] + JOIN_GUARD:
            narrow = replace(node, format=Format(WIDE.width, plain[0] + JOIN_GUARD))
            nodes = tuple(narrow if n is node else n for n in graph.nodes)
            graph = replace(graph, nodes=nodes)
    return graph


def _multiplies_currents(graph: FloatGraph, name: str) -> bool:
    node = graph.by_name[name]
    if not isinstance(node, FloatDense | FloatConv2d):
        return False
    source = graph.by_name[graph.sources(name)[0]]
    while isinstance(source, Pool):
        source = graph.by_name[graph.sources(source.name)[0]]
    return isinstance(source, FloatDense | FloatConv2d | FloatAffine | Join)


def _guards(graph: FloatGraph, scales: Scales, config: QuantiseConfig) -> dict[str, int]:
    """Guard bits of every neuron."""
    images = any(isinstance(node, FloatConv2d) for node in graph.nodes)
    currents = fracs_of(graph, scales.frac).membrane  # without a guard, that of the current
    guards: dict[str, int] = {}
    for node in graph.nodes:
        if not isinstance(node, FloatNeuron):
            continue
        shift = _leak_shift(node, config)
        guard = shift + 2 if config.guard_bits is None else config.guard_bits
        if config.guard_bits is None and sends_membrane(graph, node):
            # They travel with a membrane that others multiply, and add up from layer to layer.
            guard = min(guard, SENT_GUARD)
        elif config.guard_bits is None and images and not node.template.OWN_FORMATS:
            unit = scales.of(node.name) * 2.0 ** -currents[node.name]
            level = math.floor(math.log2(max(node.numbers["threshold"].min() / unit, 1)))
            guard = min(max(shift + 5 - level, 0), guard)
        guards[node.name] = guard
    return guards


def _leak_shift(node: FloatNeuron, config: QuantiseConfig) -> int:
    if config.leak_shift is not None:
        return config.leak_shift
    leaks = [what for what, kind in node.template.NUMBERS.items() if kind == "leak"]
    for what in leaks:
        sixteenths = node.numbers[what] * 16
        exact = sixteenths.ndim == 0 and abs(sixteenths - np.rint(sixteenths)) < 1e-5
        if not exact or what in node.learn:
            return 8
    return 4
