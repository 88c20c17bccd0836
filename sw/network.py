"""The contract between training and hardware: a directed graph of integer-only nodes.

A :class:`Network` is what the golden model executes and what the hardware is built from. It
validates itself on construction; what it holds afterwards can be executed and built, or the
error says why not. Files are read and written by :mod:`reslif.sw.network_file`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any, TypeAlias, TypeVar

import numpy as np

from .edges import Edge, Quantity, by_port, cyclic_groups
from .formats import SPIKE, Format
from .neurons import LIF, LSTM, NEURONS, Adaptive, Alpha, Neuron, Reset, Synaptic
from .neurons.table import Tanh
from .nodes import Affine, Dense, Input, Join, JoinOp, Readout, ReadoutKind
from .spatial import Conv2d, Pool, PoolOp
from .values import ADDED, NetworkError, Values, shown

__all__ = [
    "LIF",
    "LSTM",
    "NODE_TYPES",
    "Adaptive",
    "Affine",
    "Alpha",
    "Conv2d",
    "Dense",
    "Edge",
    "Input",
    "Join",
    "JoinOp",
    "Network",
    "NetworkError",
    "Neuron",
    "Node",
    "Pool",
    "PoolOp",
    "Quantity",
    "Readout",
    "ReadoutKind",
    "Reset",
    "Synaptic",
    "Tanh",
    "Values",
]

Node: TypeAlias = Input | Dense | Conv2d | Pool | Affine | Neuron | Join | Readout
NODE_TYPES: tuple[type[Node], ...] = (
    Input,
    Dense,
    Conv2d,
    Pool,
    Affine,
    *NEURONS,
    Join,
    Readout,
)
"""Every type of node that a network may hold."""


_N = TypeVar("_N", bound=Node)


@dataclass(frozen=True, eq=False)
class Network:
    """A validated spiking network: one :class:`Input`, one :class:`Readout`, what lies between.

    ``max_steps`` bounds the number of timesteps of a sample. ``notes`` (JSON-compatible: scales,
    seeds, training figures) travel with the file but change neither behaviour nor ``digest``.
    """

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    max_steps: int
    notes: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if type(self.max_steps) is not int or not 1 <= self.max_steps <= 1 << 16:
            raise NetworkError(f"max_steps is {self.max_steps!r}, must be 1 to {1 << 16}")
        for node in self.nodes:
            if not isinstance(node, NODE_TYPES):
                raise NetworkError(f"network holds {shown(node)}, must hold nodes of the contract")
        names = [node.name for node in self.nodes]
        for name in names:
            if names.count(name) > 1:
                raise NetworkError(f"node '{name}' is defined twice, names must be unique")
        for kind in (Input, Readout):
            count = sum(isinstance(node, kind) for node in self.nodes)
            if count != 1:
                raise NetworkError(f"network has {count} {kind.__name__} nodes, must have 1")
        self._check_edges()
        self.values  # noqa: B018 - computing the ranges checks every shape and format

    def _check_edges(self) -> None:
        for edge in self.edges:
            label = f"edge {edge.source} -> {edge.target}.{edge.port}"
            for name in (edge.source, edge.target):
                if not isinstance(name, str) or name not in self.by_name:
                    raise NetworkError(f"{label}: node '{name}' does not exist")
            source, target = self.by_name[edge.source], self.by_name[edge.target]
            if isinstance(source, Readout):
                raise NetworkError(f"{label}: a readout feeds no other node")
            if edge.port not in list(target.ports):
                ports = ", ".join(target.ports) or "none"
                raise NetworkError(f"{label}: the node has no such port, its ports: {ports}")
            if type(edge.delay) is not int or edge.delay not in (0, 1):
                raise NetworkError(f"{label}: delay is {edge.delay!r}, must be 0 or 1")
            if edge.quantity not in ("output", "membrane"):
                raise NetworkError(
                    f"{label}: quantity is {edge.quantity!r}, must be output or membrane"
                )
            if edge.delay and not isinstance(source, Neuron):
                raise NetworkError(f"{label}: only what a neuron sends can be delayed")
            if self.carries_membrane(edge) and not isinstance(source, Neuron):
                raise NetworkError(f"{label}: only a neuron has a membrane to read")
            if edge.delay and isinstance(target, Readout) and self.carries_membrane(edge):
                raise NetworkError(f"{label}: a membrane cannot be delayed on its way to a readout")
        if len(set(self.edges)) < len(self.edges):
            raise NetworkError("an edge is defined twice, edges must be unique")
        read = {edge.source for edge in self.edges}
        for node in self.nodes:
            for port, several in node.ports.items():
                count = len(self.incoming(node.name, port))
                if count == 0 or (count > 1 and not several):
                    must = "at least 1" if several else "1"
                    raise NetworkError(
                        f"node '{node.name}': port {port} has {count} edges, must have {must}"
                    )
            if node.name not in read and not isinstance(node, Readout):
                raise NetworkError(f"node '{node.name}': nothing reads it, it must feed a node")
            if isinstance(node, Affine) and node.steps - {self.max_steps}:
                raise NetworkError(
                    f"node '{node.name}': gain or bias has {min(node.steps)} timesteps, must have "
                    f"the network's {self.max_steps}"
                )

    @cached_property
    def by_name(self) -> dict[str, Node]:
        """Nodes by name."""
        return {node.name: node for node in self.nodes}

    def incoming(self, name: str, port: str) -> tuple[Edge, ...]:
        """The edges into a port, in the order of definition."""
        return self._incoming.get((name, port), ())

    @cached_property
    def _incoming(self) -> dict[tuple[str, str], tuple[Edge, ...]]:
        return by_port(self.edges)

    @cached_property
    def order(self) -> tuple[Node, ...]:
        """The nodes, each after all that it reads in the same timestep."""
        waits: dict[str, set[str]] = {node.name: set() for node in self.nodes}
        for edge in self.edges:
            if not edge.delay:
                waits[edge.target].add(edge.source)
        readers: dict[str, list[str]] = {}
        for name, sources in waits.items():
            for source in sources:
                readers.setdefault(source, []).append(name)
        ready = [node.name for node in self.nodes if not waits[node.name]]
        result: list[Node] = []
        for name in ready:
            result.append(self.by_name[name])
            for reader in readers.get(name, ()):
                waits[reader].discard(name)
                if not waits[reader]:
                    ready.append(reader)
        if len(result) < len(self.nodes):
            stuck = ", ".join(node.name for node in self.nodes if waits[node.name])
            raise NetworkError(f"nodes {stuck} form a cycle: one of its edges must have delay 1")
        return tuple(result)

    @cached_property
    def values(self) -> dict[str, Values]:
        """Format and range of what each node sends, exact bounds from the actual integers."""
        result = {node.name: Values.full(SPIKE, node.size) for node in self.nodes_of(Neuron)}
        for node in self.order:
            result[node.name] = node.output(self.operands(node, result))
        return result

    def operands(
        self, node: Node, values: Mapping[str, Values] | None = None
    ) -> dict[str, list[Values]]:
        """What arrives at each port of ``node``: one :class:`Values` an edge."""
        return {
            port: [self.carried(edge, values) for edge in self.incoming(node.name, port)]
            for port in node.ports
        }

    def carries_membrane(self, edge: Edge) -> bool:
        """Whether ``edge`` takes a neuron's membrane, not its spikes."""
        target = self.by_name[edge.target]
        return edge.quantity == "membrane" or (
            isinstance(target, Readout) and target.reads_membrane
        )

    def carried(self, edge: Edge, values: Mapping[str, Values] | None = None) -> Values:
        """What arrives over ``edge``."""
        source = self.by_name[edge.source]
        if isinstance(source, Neuron) and self.carries_membrane(edge):
            return Values.full(source.membrane, source.size)
        values = self.values if values is None else values
        return _delayed(values[edge.source], edge.delay)

    def leaving(self, name: str) -> tuple[Edge, ...]:
        """The edges out of a node, in the order of definition."""
        return tuple(edge for edge in self.edges if edge.source == name)

    @cached_property
    def groups(self) -> tuple[tuple[Node, ...], ...]:
        """The nodes in an order of execution over whole samples: nodes of one group are on common
        cycles through delayed edges and must go step by step; a group of one that has no edge to
        itself can run all its timesteps at once.
        """
        return cyclic_groups(self.order, self.edges)

    @property
    def input(self) -> Input:
        """The input node."""
        return self.nodes_of(Input)[0]

    @property
    def readout(self) -> Readout:
        """The readout node."""
        return self.nodes_of(Readout)[0]

    @property
    def scores(self) -> Values:
        """Format and range of the class scores."""
        (source,) = self.operands(self.readout)["input"]
        return self.readout.scores(source, self.max_steps)

    def nodes_of(self, kind: type[_N]) -> tuple[_N, ...]:
        """All nodes of one kind, in the order of definition."""
        return tuple(node for node in self.nodes if isinstance(node, kind))

    @cached_property
    def digest(self) -> str:
        """SHA-256 (hex) over everything that determines behaviour."""
        hasher = hashlib.sha256()
        header, tensors = self.to_parts()
        hasher.update(json.dumps(header, sort_keys=True).encode())
        for name in sorted(tensors):
            array = tensors[name]
            hasher.update(f"{name}:{list(array.shape)}".encode())
            hasher.update(np.ascontiguousarray(array, dtype="<i8").tobytes())
        return hasher.hexdigest()

    def to_parts(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """A JSON-compatible header and the integer tensors it names."""
        tensors: dict[str, np.ndarray] = {}
        nodes = []
        for node in self.nodes:
            entry: dict[str, Any] = {"type": type(node).__name__}
            for item in fields(node):  # pyright: ignore[reportArgumentType] - all are
                value = getattr(node, item.name)
                if item.metadata == ADDED and value == item.default:
                    continue
                if isinstance(value, np.ndarray):
                    if value.ndim == 0:
                        value = int(value)
                    else:
                        tensors[f"{node.name}.{item.name}"] = value
                        value = "tensor"
                elif isinstance(value, Format):
                    value = str(value)
                entry[item.name] = value
            nodes.append(entry)
        edges = [
            [e.source, e.target, e.port, e.delay] + [e.quantity] * (e.quantity != "output")
            for e in self.edges
        ]
        return {"max_steps": self.max_steps, "nodes": nodes, "edges": edges}, tensors


def _delayed(values: Values, delay: int) -> Values:
    """A delayed edge may also deliver 0."""
    if not delay:
        return values
    return Values(values.format, np.minimum(values.low, 0), np.maximum(values.high, 0))
