"""The plan of a dataflow design: lanes of each layer, lag of each node, depth of each buffer.

*Folding* trades area for time. A synapse serves ``lanes`` neurons of an event a cycle; neurons,
joins and whatever else sees every neuron work on ``neuron_lanes`` a cycle, which divides
``lanes``. Nodes that exchange beats form a group with one ``neuron_lanes``.

*Lag* counts the timesteps a node's output is behind the input: a synapse sends a step's currents
only after the whole step has come in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from ..sw.network import LIF, Dense, Edge, Input, Network, NetworkError, Readout
from .streams import words_of


class FoldingError(ValueError):
    """A folding that cannot be built."""


@dataclass(frozen=True)
class Fold:
    """Lanes of one dense layer: synapses served a cycle, and neurons updated a cycle."""

    lanes: int = 16
    neuron_lanes: int = 4

    def __post_init__(self) -> None:
        for name in ("lanes", "neuron_lanes"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= 4096:
                raise FoldingError(f"{name} is {value!r}, must be an integer from 1 to 4096")
        if self.lanes % self.neuron_lanes:
            raise FoldingError(
                f"neuron_lanes is {self.neuron_lanes}, must divide lanes, which is {self.lanes}"
            )


@dataclass(frozen=True)
class Folding:
    """A default :class:`Fold` and exceptions by the name of a dense node."""

    default: Fold = Fold()
    layers: Mapping[str, Fold] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Plan:
    """How ``network`` is laid out as one engine per layer."""

    network: Network
    folding: Folding = field(default_factory=Folding)

    def __post_init__(self) -> None:
        for edge in self.network.edges:
            if edge.delay:
                raise NetworkError(
                    f"edge {edge.source} -> {edge.target}.{edge.port}: the dataflow engine "
                    "cannot build a delayed edge, delay must be 0"
                )
        dense = {node.name for node in self.network.nodes_of(Dense)}
        for name in self.folding.layers:
            if name not in dense:
                raise FoldingError(f"folding names layer '{name}', must be one of {sorted(dense)}")
        self.folds  # noqa: B018 - computing them checks them

    @cached_property
    def groups(self) -> dict[str, str]:
        """For each node but the input, a name for the group it exchanges beats with."""
        parent = {node.name: node.name for node in self.network.nodes}

        def root(name: str) -> str:
            while parent[name] != name:
                name = parent[name]
            return name

        for edge in self.network.edges:
            source, target = self.network.by_name[edge.source], self.network.by_name[edge.target]
            if not isinstance(source, Input) and not isinstance(target, Dense):
                parent[root(edge.source)] = root(edge.target)
        return {name: root(name) for name in parent}

    @cached_property
    def neuron_lanes(self) -> dict[str, int]:
        """Lanes a beat of each node's output (of a readout: of its input)."""
        wanted: dict[str, dict[str, int]] = {}
        for node in self.network.nodes:
            group = wanted.setdefault(self.groups[node.name], {})
            if isinstance(node, Readout):
                group[node.name] = 1
            elif isinstance(node, Dense):
                fold = self.folding.layers.get(node.name, self.folding.default)
                group[node.name] = min(fold.neuron_lanes, node.size)
        result: dict[str, int] = {}
        for node in self.network.nodes:
            group = wanted[self.groups[node.name]]
            lanes = min(group.values(), default=self.folding.default.neuron_lanes)
            explicit = {name: value for name, value in group.items() if name in self.folding.layers}
            for name, value in explicit.items():
                if value != lanes:
                    raise FoldingError(
                        f"layer '{name}' has neuron_lanes {value}, must be {lanes} "
                        f"as its neighbours {sorted(set(group) - {name})}"
                    )
            result[node.name] = min(lanes, node.size)
        return result

    @cached_property
    def folds(self) -> dict[str, Fold]:
        """The lanes each dense layer is built with."""
        result = {}
        for node in self.network.nodes_of(Dense):
            fold = self.folding.layers.get(node.name, self.folding.default)
            neuron_lanes = self.neuron_lanes[node.name]
            # No more lanes than neurons, but whole beats.
            lanes = min(fold.lanes, words_of(node.size, neuron_lanes) * neuron_lanes)
            result[node.name] = Fold(lanes - lanes % neuron_lanes, neuron_lanes)
        return result

    @cached_property
    def lags(self) -> dict[str, int]:
        """Timesteps by which each node's output is behind the input."""
        result: dict[str, int] = {}
        for node in self.network.order:
            before = [self.lag_of(edge, result) for edge in self.edges_into(node.name)]
            waits = isinstance(node, Dense) or (isinstance(node, LIF) and node.inhibition)
            result[node.name] = max(before, default=0) + waits
        return result

    def lag_of(self, edge: Edge, lags: Mapping[str, int] | None = None) -> int:
        """Lag of what an edge delivers: events made into beats wait for their step's end."""
        lags = self.lags if lags is None else lags
        source, target = self.network.by_name[edge.source], self.network.by_name[edge.target]
        decoded = isinstance(source, Input) and not isinstance(target, Dense)
        return lags[edge.source] + decoded

    def edges_into(self, name: str) -> list[Edge]:
        return [edge for edge in self.network.edges if edge.target == name]

    def words(self, name: str) -> int:
        """Beats of one timestep of a node's output."""
        return words_of(self.network.by_name[name].size, self.neuron_lanes[name])

    def buffer_depth(self, edge: Edge) -> int:
        """Beats that must be buffered on ``edge``, 0 for none.

        In front of a synapse: one timestep, so that its source can work on the next. Where edges
        meet, all but one that lags most wait for the others: by the difference in lag plus one
        whole timestep, which is what makes any pattern of stalls safe.
        """
        source, target = self.network.by_name[edge.source], self.network.by_name[edge.target]
        if isinstance(target, Dense):
            return 0 if isinstance(source, Input) else self.words(edge.source)
        edges = self.edges_into(target.name)
        latest = max(edges, key=self.lag_of)
        if edge is latest:
            return 0
        return (self.lag_of(latest) - self.lag_of(edge) + 1) * self.words(target.name)
