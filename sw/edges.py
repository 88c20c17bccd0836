"""Edges, and the order in which they let a graph run over whole samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias, TypeVar

Quantity: TypeAlias = Literal["output", "membrane"]


class Named(Protocol):
    """Whatever has a name."""

    @property
    def name(self) -> str: ...


_T = TypeVar("_T", bound=Named)


@dataclass(frozen=True)
class Edge:
    """A connection from a node to a port of another.

    A recurrent edge has ``delay`` 1: it delivers the value of the previous timestep, 0 at first.
    ``quantity`` is what it takes from a neuron: its ``output`` spikes, or the ``membrane`` as
    stored after the step.
    """

    source: str
    target: str
    port: str = "input"
    delay: int = 0
    quantity: Quantity = "output"


def cyclic_groups(order: Sequence[_T], edges: Sequence[Edge]) -> tuple[tuple[_T, ...], ...]:
    """``order`` cut into groups of nodes that lie on common cycles, sources first.

    ``order`` is an order of execution within a timestep.
    """
    if not any(edge.delay for edge in edges):
        return tuple((node,) for node in order)
    readers: dict[str, set[str]] = {node.name: set() for node in order}
    for edge in edges:
        readers[edge.source].add(edge.target)

    def reach(name: str) -> set[str]:
        seen, waiting = set(), [name]
        while waiting:
            new = readers[waiting.pop()] - seen
            seen |= new
            waiting += new
        return seen

    reached = {node.name: reach(node.name) for node in order}
    groups: dict[frozenset[str], list[_T]] = {}
    for node in order:
        name = node.name
        # On a common cycle are those that it reaches and that reach it.
        cycle = {name} | {other for other in reached[name] if name in reached[other]}
        groups.setdefault(frozenset(cycle), []).append(node)
    result: list[tuple[_T, ...]] = []
    left = dict(groups)
    while left:
        # A group is ready when none of the others that are left reaches it.
        ready = next(
            names
            for names in left
            if not any(names & reached[min(other)] for other in left if other is not names)
        )
        result.append(tuple(left.pop(ready)))
    return tuple(result)


def by_port(edges: Sequence[Edge]) -> dict[tuple[str, str], tuple[Edge, ...]]:
    """The edges into each port of each node, in the order of definition."""
    result: dict[tuple[str, str], tuple[Edge, ...]] = {}
    for edge in edges:
        key = (edge.target, edge.port)
        result[key] = (*result.get(key, ()), edge)
    return result
