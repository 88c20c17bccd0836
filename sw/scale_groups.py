"""Which nodes of a float graph must share one real scale."""

from __future__ import annotations

from collections.abc import Mapping

from .formats import SPIKE
from .graph import FloatDense, FloatGraph, FloatNeuron, GraphError
from .network import Edge, Input, Join, Pool, Readout

UNIT = "1"
"""The group of spikes and inputs, whose scale is 1."""


def current_groups(graph: FloatGraph) -> dict[str, str]:
    """The group of every node's current, by name; :data:`UNIT` for what is counted in units of 1.

    A neuron whose membrane others read as a value, and one of ``OWN_FORMATS``, an LSTM, whose
    gates are functions of real numbers, count their currents in units of 1. Raises
    :class:`GraphError` for joins and synapses that no common scale can serve.
    """
    parent: dict[str, str] = {UNIT: UNIT} | {node.name: node.name for node in graph.nodes}

    def find(name: str) -> str:
        while parent[name] != name:
            name = parent[name]
        return name

    def merge(name: str, other: str) -> None:
        a, b = find(name), find(other)
        if a != UNIT:
            parent[a] = b
        else:
            parent[b] = a

    def group_of(edge: Edge) -> str:
        return UNIT if units[edge.source] else edge.source

    units = {n.name: isinstance(n, Input | FloatNeuron) for n in graph.nodes}
    """Whether what a node sends is counted in units of 1."""
    for node in graph.nodes:
        name = node.name
        if isinstance(node, FloatDense):
            (edge,) = graph.incoming(name, "input")
            if isinstance(graph.by_name[edge.source], FloatDense):
                raise GraphError(
                    f"node '{name}': a Linear reads the currents of '{edge.source}', "
                    "must read spikes (put a LIF between them, or merge the two Linears)"
                )
        elif isinstance(node, FloatNeuron):
            for edge in graph.incoming(name, "input"):
                merge(name, group_of(edge))
            if node.template.OWN_FORMATS or sends_membrane(graph, node):
                merge(name, UNIT)
        elif isinstance(node, Pool):
            (edge,) = graph.incoming(name, "input")
            merge(name, group_of(edge))
            units[name] = units[edge.source]
        elif isinstance(node, Join):
            carriers = _carriers(graph, node, units)
            for edge in carriers:
                merge(name, group_of(edge))
            units[name] = all(units[edge.source] for edge in carriers)
    return {node.name: UNIT if isinstance(node, Input) else find(node.name) for node in graph.nodes}


def sends_membrane(graph: FloatGraph, node: FloatNeuron) -> bool:
    """Whether a node that is no readout reads the neuron's membrane."""
    return any(
        edge.source == node.name
        and edge.quantity == "membrane"
        and not isinstance(graph.by_name[edge.target], Readout)
        for edge in graph.edges
    )


def _carriers(graph: FloatGraph, node: Join, units: Mapping[str, bool]) -> list[Edge]:
    """The operands of a join whose scale is that of its result."""
    (branch,) = graph.incoming(node.name, "branch")
    (shortcut,) = graph.incoming(node.name, "shortcut")
    currents = [edge for edge in (branch, shortcut) if not units[edge.source]]
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


def _binary(graph: FloatGraph, edge: Edge) -> bool:
    """Whether an edge delivers only 0 and 1."""
    node = graph.by_name[edge.source]
    if isinstance(node, Input):
        return node.format == SPIKE
    if isinstance(node, Pool):
        return node.op == "max" and all(
            _binary(graph, e) for e in graph.incoming(node.name, "input")
        )
    if isinstance(node, Join) and node.op != "add":
        ports = ("shortcut",) if node.op == "iand" else ("branch", "shortcut")
        return all(_binary(graph, e) for port in ports for e in graph.incoming(node.name, port))
    return isinstance(node, FloatNeuron) and not graph.carries_membrane(edge)
