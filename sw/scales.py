"""Real scales for integer weights: which synapses share one, and the search for it.

Everything a node sends is ``real = raw · 2^-frac · S``. Spikes and inputs have ``S = 1``. Where
currents meet they share one ``S``, and the weight grids of a group differ by powers of two,
because operands are aligned by shifts; ``θ`` and biases absorb ``S``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from .formats import SPIKE
from .graph import FloatArray, FloatDense, FloatGraph, FloatLIF, GraphError
from .network import Input, Join

_UNIT = "1"
"""The group of spikes and inputs, whose scale is 1."""


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


def current_groups(graph: FloatGraph) -> dict[str, str]:
    """The group of every node's current, by name; :data:`_UNIT` for spikes.

    Raises :class:`GraphError` for joins and synapses that no common scale can serve.
    """
    parent: dict[str, str] = {_UNIT: _UNIT}

    def find(name: str) -> str:
        while parent[name] != name:
            name = parent[name]
        return name

    def merge(name: str, other: str) -> None:
        a, b = find(name), find(other)
        if a != _UNIT:
            parent[a] = b
        else:
            parent[b] = a

    spikes: dict[str, bool] = {}
    for node in graph.nodes:
        name = node.name
        parent[name] = name
        if isinstance(node, Input):
            spikes[name] = True
        elif isinstance(node, FloatDense):
            (source,) = graph.sources(name)
            if not spikes[source]:
                raise GraphError(
                    f"node '{name}': a Linear reads the currents of '{source}', "
                    "must read spikes (put a LIF between them, or merge the two Linears)"
                )
            spikes[name] = False
        elif isinstance(node, FloatLIF):
            for source in graph.sources(name):
                merge(name, _UNIT if spikes[source] else source)
            spikes[name] = True
        elif isinstance(node, Join):
            carriers = _carriers(graph, node, spikes)
            for source in carriers:
                merge(name, _UNIT if spikes[source] else source)
            spikes[name] = all(spikes[source] for source in carriers)
    return {
        node.name: _UNIT if isinstance(node, Input) else find(node.name) for node in graph.nodes
    }


def _carriers(graph: FloatGraph, node: Join, spikes: Mapping[str, bool]) -> list[str]:
    """The operands of a join whose scale is that of its result."""
    (branch,), (shortcut,) = (
        graph.sources(node.name, "branch"),
        graph.sources(node.name, "shortcut"),
    )
    currents = [source for source in (branch, shortcut) if not spikes[source]]
    if node.op == "add":
        return [branch, shortcut]
    if node.op == "and":
        if len(currents) == 2:
            raise GraphError(f"node '{node.name}': multiplies two currents, one must be spikes")
        return currents or [branch, shortcut]
    if node.op == "or" and currents:
        raise GraphError(f"node '{node.name}': or joins a current, both sides must be spikes")
    if not _binary(graph, branch):
        raise GraphError(f"node '{node.name}': the branch of {node.op} must be 0 or 1")
    return [shortcut]


def _binary(graph: FloatGraph, name: str) -> bool:
    """Whether a node sends only 0 and 1."""
    node = graph.by_name[name]
    if isinstance(node, Input):
        return node.format == SPIKE
    if isinstance(node, Join) and node.op != "add":
        ports = ("shortcut",) if node.op == "iand" else ("branch", "shortcut")
        return all(_binary(graph, graph.sources(node.name, port)[0]) for port in ports)
    return isinstance(node, FloatLIF)


def sent_fracs(graph: FloatGraph, frac: Mapping[str, int]) -> dict[str, int]:
    """The fraction of what each node sends, given the synapses' weight fractions (or 0)."""
    result: dict[str, int] = {}
    for node in graph.nodes:
        name = node.name
        if isinstance(node, Input):
            result[name] = node.format.frac
        elif isinstance(node, FloatDense):
            result[name] = frac.get(name, 0) + result[graph.sources(name)[0]]
        elif isinstance(node, Join):
            branch, shortcut = (
                result[graph.sources(name, port)[0]] for port in ("branch", "shortcut")
            )
            result[name] = {
                "add": max(branch, shortcut),
                "and": branch + shortcut,
                "iand": shortcut,
                "or": 0,
            }[node.op]
        else:
            result[name] = 0
    return result


def weight_error(weight: FloatArray, grid: float, limit: int, moment: FloatArray) -> float:
    """Mean squared error of the synapse's output when its weights lie on ``grid``.

    ``moment`` is the input's second moment ``E[x xᵀ]``, ``[inputs, inputs]``.
    """
    error = weight - grid * weight_codes(weight, grid, limit)
    return float(((error @ moment) * error).sum())


def weight_codes(weight: FloatArray, grid: float, limit: int) -> FloatArray:
    """``weight / grid``, half to even, clipped to ±``limit``."""
    return np.clip(np.rint(weight / grid), -limit, limit)


def search_scales(
    graph: FloatGraph, bits: Mapping[str, int], moments: Mapping[str, FloatArray]
) -> Scales:
    """The scales that minimise the error of each group's current.

    ``bits`` and ``moments`` (see :func:`weight_error`) are by synapse. A synapse alone in its
    group may take any scale; of several, each tries every power of two for each common scale.
    """
    groups = current_groups(graph)
    members: dict[str, list[FloatDense]] = {}
    for node in graph.nodes:
        if isinstance(node, FloatDense):
            members.setdefault(groups[node.name], []).append(node)
    scale = dict.fromkeys(groups.values(), 1.0)
    frac: dict[str, int] = {}
    input_frac = sent_fracs(graph, {})
    for group, synapses in members.items():
        steps = 1 if group == _UNIT else 32
        best = math.inf
        for mantissa in 2.0 ** (-np.arange(steps) / steps):
            total, exponents = 0.0, {}
            for synapse in synapses:
                error, exponents[synapse.name] = _best_exponent(
                    synapse.weight, mantissa, bits[synapse.name], moments[synapse.name]
                )
                total += error
            if total < best:
                best, scale[group] = total, float(mantissa)
                frac |= exponents
        if group != _UNIT:
            # Count from the coarsest accumulator, so that the group's numbers are small.
            lowest = min(frac[s.name] + input_frac[graph.sources(s.name)[0]] for s in synapses)
            for synapse in synapses:
                frac[synapse.name] -= lowest
            scale[group] *= 2.0**-lowest
    return Scales(groups, scale, frac)


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
