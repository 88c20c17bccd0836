"""The plan of a dataflow design: lanes of each layer, lag of each node, depth of each buffer.

*Folding* trades area for time. A synapse serves ``lanes`` neurons of an event a cycle; neurons,
joins and whatever else sees every neuron work on ``neuron_lanes`` a cycle, which divides
``lanes``. Nodes that exchange beats form a group with one ``neuron_lanes``.

*Lag* counts the timesteps a node's output is behind the input: a synapse sends a step's currents
only after the whole step has come in. A delayed edge adds none: what it delivers is there before.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from math import gcd

from ..sw.network import (
    Affine,
    Dense,
    Edge,
    Input,
    Join,
    Network,
    NetworkError,
    Neuron,
    Node,
    Readout,
)
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
        self._check_ends()
        dense = {node.name for node in self.network.nodes_of(Dense)}
        for name in self.folding.layers:
            if name not in dense:
                raise FoldingError(f"folding names layer '{name}', must be one of {sorted(dense)}")
        self.folds  # noqa: B018 - computing them checks them

    @cached_property
    def timed(self) -> frozenset[str]:
        """The nodes that hear of a sample's end: from the input by edges without delay."""
        result = {self.network.input.name}
        for node in self.network.order:
            if any(not e.delay and e.source in result for e in self.edges_into(node.name)):
                result.add(node.name)
        return frozenset(result)

    def _check_ends(self) -> None:
        """A delayed edge cannot tell when a sample ends: some nodes need one that can."""
        for node in self.network.order:
            if node.name in self.timed:
                continue
            if isinstance(node, Affine) and node.steps:
                must = "gain and bias [n]"
            elif isinstance(node, Join) and node.format is not None:
                must = "no format of its own, whose saturation would be counted"
            elif isinstance(node, Neuron | Readout):
                must = "an edge from a node of the same timestep too"
            else:
                continue
            raise NetworkError(
                f"node '{node.name}': all its edges come from the timestep before, so that it "
                f"cannot know when a sample ends; it must have {must}"
            )

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
            if cells := self.cells.get(self.groups[node.name]):
                lanes = max(n for n in range(1, lanes + 1) if cells % n == 0)
            for name, value in explicit.items():
                if cells and cells % value:
                    raise FoldingError(
                        f"layer '{name}' has neuron_lanes {value}, must divide the {cells} cells "
                        "of its LSTM"
                    )
                if value != lanes:
                    raise FoldingError(
                        f"layer '{name}' has neuron_lanes {value}, must be {lanes} "
                        f"as its neighbours {sorted(set(group) - {name})}"
                    )
            result[node.name] = min(lanes, node.size)
        return result

    @cached_property
    def cells(self) -> dict[str, int]:
        """For groups with an LSTM, what their lanes must divide: each word of its cells has words
        of gates of its own.
        """
        result: dict[str, int] = {}
        for node in self.network.nodes_of(Neuron):
            if node.INPUTS > 1:
                group = self.groups[node.name]
                result[group] = gcd(result.get(group, 0), node.size)
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
        """Timesteps by which each node's output is behind the input.

        What only delayed edges feed could be early; it is as late as its readers allow, so that
        the others of their operands wait for it, in buffers, and work ahead.
        """
        result: dict[str, int] = {}

        def settle() -> None:
            for node in self.network.order:
                edges = [edge for edge in self.edges_into(node.name) if not edge.delay]
                if edges or node.name not in result:
                    before = [self._lag_of(edge, result) for edge in edges]
                    result[node.name] = max(before, default=0) + self._waits(node)

        settle()
        for node in reversed(self.network.order):
            if node.name in self.timed:
                continue
            edges = [edge for edge in self.network.leaving(node.name) if not edge.delay]
            readers = [self.network.by_name[edge.target] for edge in edges]
            result[node.name] = min(result[node.name] - self._waits(node) for node in readers)
        settle()
        return result

    def _waits(self, node: Node) -> bool:
        """Whether a node sends nothing before a whole step has come in."""
        return isinstance(node, Dense) or (isinstance(node, Neuron) and node.inhibition)

    def _lag_of(self, edge: Edge, lags: Mapping[str, int]) -> int:
        source = self.network.by_name[edge.source]
        if isinstance(source, Input):
            # Events made into beats wait for their step's end.
            decoded = not isinstance(self.network.by_name[edge.target], Dense)
            return lags[edge.source] + decoded
        # Inhibition holds back spikes only.
        return lags[edge.source] - (self.network.carries_membrane(edge) and self._waits(source))

    def wanted_at(self, name: str) -> int:
        """The lag of what a node works on."""
        return self.lags[name] - self._waits(self.network.by_name[name])

    def lag_of(self, edge: Edge) -> int:
        """Lag of what an edge delivers; of a delayed edge, no more than its target's."""
        lag = self._lag_of(edge, self.lags)
        return min(lag, self.wanted_at(edge.target)) if edge.delay else lag

    def edges_into(self, name: str) -> list[Edge]:
        return [
            edge
            for port in self.network.by_name[name].ports
            for edge in self.network.incoming(name, port)
        ]

    def words(self, name: str) -> int:
        """Beats of one timestep of a node's output."""
        return words_of(self.network.by_name[name].size, self.neuron_lanes[name])

    def words_on(self, edge: Edge) -> int:
        """Beats of one timestep of what an edge carries."""
        reader = self.network.by_name[edge.target]
        lanes = self.neuron_lanes[edge.source if isinstance(reader, Dense) else edge.target]
        return words_of(self.network.by_name[edge.source].size, lanes)

    def buffer_depth(self, edge: Edge) -> int:
        """Beats that must be buffered on ``edge``, 0 for none.

        In front of a synapse: one timestep, so that its source can work on the next. Where edges
        meet, all but one that lags most wait for the others: by the difference in lag plus one
        whole timestep, which is what makes any pattern of stalls safe. A delayed edge holds one
        more, that which it is late by; where lags are equal, its way is the one not buffered.
        """
        source, target = self.network.by_name[edge.source], self.network.by_name[edge.target]
        if edge.delay:
            ahead = self.wanted_at(edge.target) - self._lag_of(edge, self.lags)
            return (2 + max(0, ahead)) * self.words_on(edge)
        if isinstance(target, Dense):
            return 0 if isinstance(source, Input) else self.words_on(edge)

        def order(edge: Edge) -> tuple[int, bool]:
            return self.lag_of(edge), edge.delay > 0 or edge.source not in self.timed

        latest = max(self.edges_into(target.name), key=order)
        if edge is latest:
            return 0
        return (self.lag_of(latest) - self.lag_of(edge) + 1) * self.words_on(edge)
