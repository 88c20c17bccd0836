"""The program of a sequential design: a network as operations, which one engine goes through.

An *operation* is a dense layer and what follows it up to the next one: its currents, at most one
join with a shortcut, neurons, and where their spikes go. The spikes of a layer, and shortcuts, wait
in *slots* of two memories until their last reader has had them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

from ...sw.network import LIF, Dense, Edge, Input, Join, Network, NetworkError, Node, Readout
from ..folds import FoldingError

Weights = Literal["block", "stream", "loaded"]
LANES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


@dataclass(frozen=True)
class Sequence:
    """How a sequential engine is built: ``lanes`` neurons of a layer are served a cycle.

    ``weights`` says where they are: in block RAM (``block``), in external memory, from where they
    are fetched while others are in use (``stream``), or in large memories without contents at
    power-up, sent by the host before the first sample (``loaded``).
    """

    lanes: int = 16
    weights: Weights = "block"

    def __post_init__(self) -> None:
        if self.lanes not in LANES:
            raise FoldingError(
                f"lanes is {self.lanes!r}, of the sequential engine it must be one of "
                f"{', '.join(map(str, LANES))}"
            )
        if self.weights not in get_args(Weights):
            raise FoldingError(
                f"weights is {self.weights!r}, of the sequential engine it must be one of "
                f"{', '.join(get_args(Weights))}"
            )


@dataclass(frozen=True, eq=False)
class Operation:
    """One dense layer and what follows it.

    ``source`` names the node whose spikes it reads. Of the others, those that are there:
    ``current_join`` adds a stored shortcut to the currents, ``spike_join`` joins one with the
    spikes; ``shortcut`` is the node it was stored as, ``stored`` the node that is stored by this
    operation; ``sent`` the node whose spikes later operations read.
    """

    dense: Dense
    source: str
    current_join: Join | None = None
    neuron: LIF | None = None
    spike_join: Join | None = None
    shortcut: str | None = None
    stored: str | None = None
    sent: str | None = None
    readout: Readout | None = None

    @property
    def current(self) -> Node:
        """The node whose values reach the neurons."""
        return self.current_join or self.dense

    @property
    def spike(self) -> Node | None:
        """The node whose values leave the neurons."""
        return self.spike_join or self.neuron

    @property
    def nodes(self) -> tuple[Node, ...]:
        """All that it computes, in order."""
        parts = (self.dense, self.current_join, self.neuron, self.spike_join, self.readout)
        return tuple(part for part in parts if part is not None)


@dataclass(frozen=True, eq=False)
class Program:
    """``network`` as a list of operations for an engine of ``sequence``.

    Raises :class:`~reslif.sw.network.NetworkError` for a network that one engine cannot go
    through, naming the node and what the other engine offers.
    """

    network: Network
    sequence: Sequence = Sequence()

    def __post_init__(self) -> None:
        self.operations  # noqa: B018 - computing them checks the network

    @property
    def lanes(self) -> int:
        return self.sequence.lanes

    @cached_property
    def operations(self) -> tuple[Operation, ...]:
        """In the order in which they are done."""
        self._check_nodes()
        denses = [node for node in self.network.order if isinstance(node, Dense)]
        done: set[str] = {self.network.input.name}
        found: list[Operation] = []
        # A layer waits for the spikes it reads and for the shortcuts that it joins.
        while denses:
            for dense in denses:
                operation = self._operation(dense, done)
                if operation is not None:
                    break
            else:
                raise self.error(denses[0], "waits for a node that waits for it")
            denses.remove(dense)
            found.append(operation)
            done.update(node.name for node in operation.nodes)
        for node in self.network.order:
            if node.name not in done:
                raise self.error(node, "joins what has been joined, must join what a layer sends")
        return tuple(found)

    def _check_nodes(self) -> None:
        allowed = (Input, Dense, LIF, Join, Readout)
        for node in self.network.order:  # first: what a convolution reads is no fault of its own
            if not isinstance(node, allowed):
                kind = type(node).__name__
                raise self.error(node, f"is of type {kind}, must be dense, LIF neurons or a join")
        for node in self.network.order:
            if isinstance(node, LIF) and node.inhibition:
                raise self.error(node, "has inhibition, must have none")
            if isinstance(node, Input):
                for edge in self._readers(node):
                    if not self._is(edge, Dense):
                        raise self.error(node, f"feeds '{edge.target}', must feed dense layers")
            for port in node.ports:
                edges = self.network.incoming(node.name, port)
                if len(edges) > 1:
                    raise self.error(node, f"has {len(edges)} edges into it, must have 1")
                if edges[0].delay:
                    raise self.error(node, "has a delayed edge into it, must have none")
                if not isinstance(node, Readout) and self.network.carries_membrane(edges[0]):
                    raise self.error(node, "reads a membrane, must read spikes or currents")

    def error(self, node: Node, problem: str) -> NetworkError:
        """That ``node`` cannot be built, and why."""
        return NetworkError(
            f"node '{node.name}': {problem} for the sequential engine (dataflow may build it)"
        )

    def _operation(self, dense: Dense, done: set[str]) -> Operation | None:
        """What begins with ``dense``; None if what it reads is not ``done`` yet."""
        source = self._source(dense, "input")
        if not self._sends_spikes(source):
            raise self.error(dense, f"reads the currents of '{source.name}', must read spikes")
        if source.name not in done:
            return None
        parts: dict[str, object] = {}
        current, shortcut = self._through_join(dense, done)
        if shortcut:
            parts |= {"current_join": current, "shortcut": shortcut}
        neurons = [edge for edge in self._readers(current) if self._is(edge, LIF)]
        if len(neurons) > 1:
            names = ", ".join(edge.target for edge in neurons)
            raise self.error(current, f"feeds neurons {names}, must feed at most one layer")
        stored = [current.name] if self._joins(current) else []
        scored = [edge for edge in self._readers(current) if self._is(edge, Readout)]
        if neurons:
            neuron = self.network.by_name[neurons[0].target]
            spike, second = self._through_join(neuron, done)
            parts["neuron"] = neuron
            if second:
                if shortcut:
                    raise self.error(spike, "is a join behind a join, must be behind one layer")
                parts |= {"spike_join": spike, "shortcut": second}
            stored += [spike.name] if self._joins(spike) else []
            for edge in self._readers(spike):
                if self._is(edge, LIF):
                    raise self.error(spike, f"feeds '{edge.target}', must feed a dense layer")
            if any(self._is(edge, Dense) for edge in self._readers(spike)):
                parts["sent"] = spike.name
            senders = {neuron.name: neuron, spike.name: spike}.values()
            scored += [e for s in senders for e in self._readers(s) if self._is(e, Readout)]
        if len(stored) > 1:
            raise self.error(
                self.network.by_name[stored[1]],
                f"is a shortcut beside '{stored[0]}', must be the only one of its layer",
            )
        if stored:
            parts["stored"] = stored[0]
        if scored:
            parts["readout"] = self.network.readout
        return Operation(dense, source.name, **parts)  # pyright: ignore[reportArgumentType]

    def _through_join(self, node: Node, done: set[str]) -> tuple[Node, str | None]:
        """The join behind ``node`` and what it joins, or ``node`` itself.

        A join belongs to the operation of its later operand; the earlier one is stored for it.
        """
        for edge in self._joins(node):
            join = self.network.by_name[edge.target]
            other = self._source(join, "shortcut" if edge.port == "branch" else "branch")
            if other.name not in done:
                continue
            for reader in self._readers(node):
                if reader.target != join.name and not self.network.carries_membrane(reader):
                    problem = f"feeds '{reader.target}' beside '{join.name}', must feed that alone"
                    raise self.error(node, problem)
            return join, other.name
        return node, None

    def _sends_spikes(self, node: Node) -> bool:
        """Whether what ``node`` sends comes from neurons."""
        while isinstance(node, Join):
            node = self._source(node, "branch")
        return not isinstance(node, Dense)

    def _joins(self, node: Node) -> list[Edge]:
        return [edge for edge in self._readers(node) if self._is(edge, Join)]

    def _readers(self, node: Node) -> tuple[Edge, ...]:
        return self.network.leaving(node.name)

    def _is(self, edge: Edge, kind: type[Node]) -> bool:
        return isinstance(self.network.by_name[edge.target], kind)

    def _source(self, node: Node, port: str) -> Node:
        (edge,) = self.network.incoming(node.name, port)
        return self.network.by_name[edge.source]
