"""Real scales for integer weights: which synapses share one, and the search for it.

Everything a node sends is ``real = raw · 2^-frac · S``. Spikes, inputs and membranes that are read
as values have ``S = 1``. Where
currents meet they share one ``S``, and the weight grids of a group differ by powers of two,
because operands are aligned by shifts; ``θ`` and biases absorb ``S``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from .graph import (
    FloatAffine,
    FloatArray,
    FloatConv2d,
    FloatDense,
    FloatGraph,
    FloatNeuron,
    FloatNode,
    GraphError,
)
from .network import Edge, Input, Join
from .scale_groups import UNIT, current_groups

Weighted: TypeAlias = FloatDense | FloatConv2d | FloatAffine
"""The nodes that multiply: synapses and gains."""

MOST_PRODUCTS = 1 << 22
"""Of a convolution's channels as many are judged as take no more multiplications."""


@dataclass(frozen=True)
class Scales:
    """``group`` maps each node to the group of what it sends (of a neuron: of its current).

    ``scale`` gives each group's S, ``frac`` each synapse's weight fraction.
    """

    group: Mapping[str, str]
    scale: Mapping[str, float]
    frac: Mapping[str, int]

    def of(self, name: str) -> float:
        """S of a node's current."""
        return self.scale[self.group[name]]


def symmetric_limit(bits: int) -> int:
    """The largest weight code of ``bits`` bits: codes are ±limit, 2 bits are ternary."""
    return (1 << (bits - 1)) - 1


@dataclass(frozen=True)
class Fracs:
    """Fraction bits of what each node sends, and of each neuron's membrane."""

    sent: Mapping[str, int]
    membrane: Mapping[str, int]

    def of(self, graph: FloatGraph, edge: Edge) -> int:
        """Fraction bits of what an edge delivers."""
        return (self.membrane if graph.carries_membrane(edge) else self.sent)[edge.source]


def fracs_of(
    graph: FloatGraph, frac: Mapping[str, int], guard: Callable[[FloatNeuron], int] = lambda _: 0
) -> Fracs:
    """Fraction bits throughout ``graph``, given those of weights and gains (or 0), and ``guard``,
    by which a neuron's state is finer than its current.
    """
    sent: dict[str, int] = {n.name: 0 for n in graph.nodes if isinstance(n, FloatNeuron)}
    membrane = {
        n.name: n.template.membrane.frac
        for n in graph.nodes
        if isinstance(n, FloatNeuron) and n.template.OWN_FORMATS
    }
    result = Fracs(sent, membrane)

    def arriving(node: FloatNode) -> list[int]:
        edges = [edge for port in node.ports for edge in graph.incoming(node.name, port)]
        for edge in edges:
            if edge.source not in sent or (
                graph.carries_membrane(edge) and edge.source not in membrane
            ):
                raise GraphError(
                    f"node '{node.name}': reads the membrane of '{edge.source}' one step late, "
                    "which only a neuron of its own formats, an LSTM, can close into a loop"
                )
        return [result.of(graph, edge) for edge in edges]

    # Delayed edges carry spikes, or membranes of which the fractions are known already.
    for node in graph.nodes:
        incoming = arriving(node)
        if isinstance(node, Input):
            sent[node.name] = node.format.frac
        elif isinstance(node, FloatNeuron):
            membrane.setdefault(node.name, max(incoming) + guard(node))
        elif isinstance(node, Weighted):
            sent[node.name] = frac.get(node.name, 0) + incoming[0]
        elif isinstance(node, Join):
            branch, shortcut = incoming
            sent[node.name] = {
                "add": max(branch, shortcut),
                "and": branch + shortcut,
                "iand": shortcut,
                "or": 0,
            }[node.op]
            if node.format is not None:
                sent[node.name] = node.format.frac
        else:
            sent[node.name] = incoming[0]
    return result


def weight_error(weight: FloatArray, grid: float, limit: int, moment: FloatArray) -> float:
    """Mean squared error of the synapse's output when its weights lie on ``grid``.

    ``moment`` is the input's second moment ``E[x xᵀ]``, ``[inputs, inputs]`` (of a convolution's
    ``groups`` one each, stacked), or its diagonal ``[n]`` for gains ``[T, n]``.
    """
    error = weight - grid * weight_codes(weight, grid, limit)
    if moment.ndim == 1:
        return float((error**2 * moment).mean(axis=0).sum())
    if moment.ndim == 3:
        error = error.reshape(len(moment), -1, moment.shape[2])
    return float(((error @ moment) * error).sum())


def weight_codes(weight: FloatArray, grid: float, limit: int) -> FloatArray:
    """``weight / grid``, half to even, clipped to ±``limit``."""
    return np.clip(np.rint(weight / grid), -limit, limit)


def search_scales(
    graph: FloatGraph, bits: Mapping[str, int], moments: Mapping[str, FloatArray]
) -> Scales:
    """The scales that minimise the error of each group's current.

    ``bits`` and ``moments`` (see :func:`weight_error`; of a gain the diagonal alone) are by node.
    A synapse alone in its group may take any scale; of several, each tries every power of two for
    each common scale.
    """
    groups = current_groups(graph)
    members: dict[str, list[Weighted]] = {}
    # What multiplies currents counts in their units, so their group's scale must be known before.
    for node in graph.nodes:
        if isinstance(node, Weighted):
            members.setdefault(groups[node.name], []).append(node)
    scale = dict.fromkeys(groups.values(), 1.0)
    frac: dict[str, int] = {}
    rough = fracs_of(graph, {})

    for group in _in_order(graph, groups, members):
        synapses = members[group]
        steps = 1 if group == UNIT else 32
        best, chosen = math.inf, {}
        for mantissa in 2.0 ** (-np.arange(steps) / steps):
            total, exponents = 0.0, {}
            for synapse in synapses:
                weights, unit, grid = _weights(synapse), 1.0, float(mantissa)
                if gained := _gained(graph, groups, synapse):
                    # The scale of what meets the currents that it multiplies cancels.
                    unit, grid = (1.0, 1.0) if gained == group else (scale[gained], grid)
                error, exponents[synapse.name] = _best_exponent(
                    weights * unit, grid, bits[synapse.name], moments[synapse.name] / unit**2
                )
                total += error
            if total < best:
                best, scale[group] = total, float(mantissa)
                chosen = exponents
        frac |= chosen
        if group != UNIT:
            # Count from the coarsest accumulator, so that the group's numbers are small.
            counted = [s for s in synapses if _gained(graph, groups, s) != group]
            lowest = min(
                frac[s.name] + rough.of(graph, graph.incoming(s.name, "input")[0]) for s in counted
            )
            for synapse in counted:
                frac[synapse.name] -= lowest
            scale[group] *= 2.0**-lowest
    return Scales(groups, scale, frac)


def _gained(graph: FloatGraph, groups: Mapping[str, str], node: Weighted) -> str | None:
    """The group of the currents that a synapse or gain multiplies; None if it multiplies none."""
    (source,) = graph.sources(node.name)
    if isinstance(graph.by_name[source], Input | FloatNeuron) or groups[source] == UNIT:
        return None
    return groups[source]


def _in_order(
    graph: FloatGraph,
    groups: Mapping[str, str],
    members: Mapping[str, Sequence[Weighted]],
) -> list[str]:
    """The groups with synapses, each after those whose currents these multiply."""
    order: list[str] = []

    def visit(group: str, path: tuple[str, ...] = ()) -> None:
        for node in members.get(group, ()):
            gained = _gained(graph, groups, node)
            if gained in path:
                raise GraphError(
                    f"node '{node.name}': its gain and that of another node scale each other's "
                    "currents, must meet other currents than those that the other multiplies"
                )
            if gained not in (None, group, *order):
                visit(gained, (*path, group))
        if group in members:
            order.append(group)

    for group in members:
        if group not in order:
            visit(group)
    return order


def _weights(node: Weighted) -> FloatArray:
    """A synapse's weights ``[n, inputs]``; a gain's as one row a timestep, ``[T, n]``.

    Of a large convolution some of each group's channels.
    """
    if isinstance(node, FloatDense):
        return node.weight
    if isinstance(node, FloatAffine):
        return np.atleast_2d(node.gain)
    weight = node.weight.reshape(node.groups, -1, node.weight[0].size)
    products = weight.size * weight.shape[2]
    return weight[:, :: max(1, products // MOST_PRODUCTS)].reshape(-1, weight.shape[2])


def _best_exponent(
    weight: FloatArray, mantissa: float, bits: int, moment: FloatArray
) -> tuple[float, int]:
    """The smallest error and its fraction f, over grids ``mantissa · 2^-f``."""
    limit = symmetric_limit(bits)
    largest = float(np.abs(weight).max())
    if largest == 0:
        return 0.0, 0
    # From the grid that clips nothing down to one that clips at a sixteenth of the largest.
    start = math.floor(math.log2(mantissa * limit / largest))
    errors = [
        (weight_error(weight, mantissa * 2.0**-frac, limit, moment), frac)
        for frac in range(start, start + 5)
    ]
    return min(errors)
