"""Running a graph over whole samples in PyTorch: float graphs and quantised training alike.

Nodes that lie on no cycle take all timesteps at once; the nodes of a cycle through delayed edges
go step by step together. What a node computes is its evaluator's business.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from .network import Edge, Input

Seen = dict[str, Tensor]
"""What one node shows, by quantity, ``[T, B, n]`` or one step's ``[B, n]``; ``output`` is what it
sends (of a neuron: its spikes)."""


class Graph(Protocol):
    """A network or a float graph."""

    @property
    def groups(self) -> Any: ...

    def incoming(self, name: str, port: str) -> tuple[Edge, ...]: ...

    def carries_membrane(self, edge: Edge) -> bool: ...


class Evaluator(Protocol):
    """What nodes compute. ``operands`` maps a port to its edges and what they deliver."""

    def block(self, node: Any, operands: Mapping[str, Sequence[tuple[Edge, Tensor]]]) -> Seen:
        """All timesteps, ``[T, B, n]`` each."""
        ...

    def step(
        self,
        node: Any,
        operands: Mapping[str, Sequence[tuple[Edge, Tensor]]],
        memory: dict[str, Tensor],
        t: int,
    ) -> Seen:
        """Timestep ``t``, ``[B, n]`` each; ``memory`` is the node's own, empty at t = 0."""
        ...


def run_over_time(graph: Graph, samples: Tensor, evaluator: Evaluator) -> dict[str, Seen]:
    """What every node shows when ``graph`` runs ``samples`` ``[T, B, inputs]``."""
    seen: dict[str, Seen] = {}

    for group in graph.groups:
        node, names = group[0], {node.name for node in group}
        ports = {n.name: {port: graph.incoming(n.name, port) for port in n.ports} for n in group}
        edges = [edge for of in ports.values() for incoming in of.values() for edge in incoming]
        outside = {edge: delivered(graph, seen, edge) for edge in edges if edge.source not in names}
        if isinstance(node, Input):
            seen[node.name] = {"output": samples}
        elif len(outside) == len(edges):
            operands = {
                port: [(edge, outside[edge]) for edge in incoming]
                for port, incoming in ports[node.name].items()
            }
            seen[node.name] = evaluator.block(node, operands)
        else:
            seen |= _step_by_step(graph, group, ports, outside, samples, evaluator)
    return seen


def delivered(graph: Graph, seen: Mapping[str, Seen], edge: Edge) -> Tensor:
    """What ``edge`` delivers over all timesteps, ``[T, B, n]``, of what its source showed."""
    value = seen[edge.source][_quantity(graph, edge)]
    return torch.cat([torch.zeros_like(value[:1]), value[:-1]]) if edge.delay else value


def stacked(steps: Sequence[Seen]) -> Seen:
    """What a node showed step by step, as blocks ``[T, ...]``."""
    return {what: torch.stack([step[what] for step in steps]) for what in steps[0]}


def _quantity(graph: Graph, edge: Edge) -> str:
    return "membrane" if graph.carries_membrane(edge) else "output"


def _step_by_step(
    graph: Graph,
    group: Sequence[Any],
    ports: Mapping[str, Mapping[str, Sequence[Edge]]],
    outside: Mapping[Edge, Tensor],
    samples: Tensor,
    evaluator: Evaluator,
) -> dict[str, Seen]:
    """``ports`` are the edges into each node; what those from ``outside`` deliver is known."""
    sizes = {node.name: node.size for node in group}
    memories: dict[str, dict[str, Tensor]] = {node.name: {} for node in group}

    def arriving(edge: Edge, t: int, now: dict[str, Seen], before: dict[str, Seen]) -> Tensor:
        if edge in outside:
            return outside[edge][t]
        if edge.delay and t == 0:
            return samples.new_zeros(samples.shape[1], sizes[edge.source])
        return (before if edge.delay else now)[edge.source][_quantity(graph, edge)]

    before: dict[str, Seen] = {}
    steps: list[dict[str, Seen]] = []
    for t in range(len(samples)):
        now: dict[str, Seen] = {}
        for node in group:
            operands = {
                port: [(edge, arriving(edge, t, now, before)) for edge in incoming]
                for port, incoming in ports[node.name].items()
            }
            now[node.name] = evaluator.step(node, operands, memories[node.name], t)
        before = now
        steps.append(now)
    return {node.name: stacked([step[node.name] for step in steps]) for node in group}
