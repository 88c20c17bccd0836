"""Folding: the lanes that each layer of a network is built with, and those its neighbours have.

*Folding* trades area for time. A synapse serves ``lanes`` neurons of an event a cycle, a
convolution those of ``taps`` pixels; neurons, joins and whatever else sees every neuron work on
``neuron_lanes`` a cycle, which divides ``lanes``. Nodes that exchange beats form a group with one
``neuron_lanes``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from math import gcd

from ..sw.network import Conv2d, Dense, Edge, Input, Network, Neuron, Node, Pool, Readout
from .conv_layout import taps_choices
from .streams import words_of

LAYERS = (Dense, Conv2d)
"""The nodes that read events and have lanes of their own."""


class FoldingError(ValueError):
    """A folding that cannot be built."""


@dataclass(frozen=True)
class Fold:
    """Lanes of one layer: synapses served a cycle (of a pixel), and neurons updated a cycle;
    ``taps`` are the pixels that an event of a convolution reaches in a cycle.
    """

    lanes: int = 16
    neuron_lanes: int = 4
    taps: int = 1

    def __post_init__(self) -> None:
        for name in ("lanes", "neuron_lanes", "taps"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= 4096:
                raise FoldingError(f"{name} is {value!r}, must be an integer from 1 to 4096")
        if self.lanes % self.neuron_lanes:
            raise FoldingError(
                f"neuron_lanes is {self.neuron_lanes}, must divide lanes, which is {self.lanes}"
            )


@dataclass(frozen=True)
class Folding:
    """A default :class:`Fold` and exceptions by the name of a layer, dense or convolutional."""

    default: Fold = Fold()
    layers: Mapping[str, Fold] = field(default_factory=dict)

    def of(self, name: str) -> Fold:
        return self.layers.get(name, self.default)


@dataclass(frozen=True, eq=False)
class Lanes:
    """The lanes of every node of ``network`` under ``folding``."""

    network: Network
    folding: Folding = field(default_factory=Folding)

    def __post_init__(self) -> None:
        layers = {node.name for node in self.network.nodes if isinstance(node, LAYERS)}
        for name in self.folding.layers:
            if name not in layers:
                raise FoldingError(f"folding names layer '{name}', must be one of {sorted(layers)}")
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
            if not isinstance(source, Input) and not isinstance(target, LAYERS):
                parent[root(edge.source)] = root(edge.target)
        return {name: root(name) for name in parent}

    @cached_property
    def whole(self) -> dict[str, list[tuple[int, str]]]:
        """For groups that have such, the numbers that their lanes must divide, and what they are.

        Beats hold channels of one pixel (and of one group of a convolution's), and gates of one
        kind: each word of an LSTM's cells has words of gates of its own.
        """
        result: dict[str, list[tuple[int, str]]] = {}

        def add(name: str, parts: int, what: str) -> None:
            result.setdefault(self.groups[name], []).append((parts, what))

        for node in self.network.nodes:
            if isinstance(node, Conv2d):
                what = f"channels of each group of '{node.name}'" if node.groups > 1 else ""
                add(node.name, share(node), what or f"channels of '{node.name}'")
            elif isinstance(node, Pool):
                add(node.name, node.shape[0], f"channels of '{node.name}'")
            elif isinstance(node, Neuron) and node.INPUTS > 1:
                add(node.name, node.size, "cells of its LSTM")
        for edge in self.network.edges:
            if shape := self.subsampled(edge):
                add(edge.source, shape[0], f"channels that '{edge.target}' reads")
        return result

    def subsampled(self, edge: Edge) -> tuple[int, int, int] | None:
        """What is left of a feature map on ``edge`` without pixels that its target never reads;
        None if they are not taken out.
        """
        node, source = self.network.by_name[edge.target], self.network.by_name[edge.source]
        strided = isinstance(node, Conv2d) and node.kernel == (1, 1) and node.stride != (1, 1)
        if not strided or isinstance(source, Input):
            return None
        _, height, width = node.out_shape
        return node.shape[0], height, width

    @cached_property
    def neuron_lanes(self) -> dict[str, int]:
        """Lanes a beat of each node's output (of a readout: of its input)."""
        wanted: dict[str, dict[str, int]] = {}
        for node in self.network.nodes:
            group = wanted.setdefault(self.groups[node.name], {})
            if isinstance(node, Readout):
                group[node.name] = 1
            elif isinstance(node, LAYERS):
                group[node.name] = self.folding.of(node.name).neuron_lanes
                if isinstance(node, Dense) or node.name not in self.folding.layers:
                    group[node.name] = min(group[node.name], share(node))
        result: dict[str, int] = {}
        for node in self.network.nodes:
            group = wanted[self.groups[node.name]]
            lanes = min(group.values(), default=self.folding.default.neuron_lanes)
            explicit = {name: value for name, value in group.items() if name in self.folding.layers}
            whole = self.whole.get(self.groups[node.name], [])
            if whole:
                lanes = largest_divisor(gcd(*(parts for parts, _ in whole)), lanes)
            for name, value in explicit.items():
                for parts, what in whole:
                    if parts % value:
                        raise FoldingError(
                            f"layer '{name}' has neuron_lanes {value}, "
                            f"must divide the {parts} {what}"
                        )
                if value != lanes:
                    raise FoldingError(
                        f"layer '{name}' has neuron_lanes {value}, must be {lanes} "
                        f"as its neighbours {sorted(set(group) - {name})}"
                    )
            result[node.name] = min(lanes, node.size)
        return result

    @cached_property
    def folds(self) -> dict[str, Fold]:
        """The lanes each layer is built with."""
        result = {}
        for node in self.network.nodes:
            if not isinstance(node, LAYERS):
                continue
            fold, neuron_lanes = self.folding.of(node.name), self.neuron_lanes[node.name]
            if isinstance(node, Conv2d):
                words = share(node) // neuron_lanes
                lanes = neuron_lanes * largest_divisor(words, fold.lanes // neuron_lanes)
            else:
                # No more lanes than neurons, but whole beats.
                lanes = min(fold.lanes, words_of(node.size, neuron_lanes) * neuron_lanes)
                lanes -= lanes % neuron_lanes
            result[node.name] = Fold(lanes, neuron_lanes, self._taps(node, fold.taps))
        return result

    def _taps(self, node: Node, wanted: int) -> int:
        """``wanted`` if ``node`` can have as many; of a default the most that it can have."""
        allowed = taps_choices(node.kernel) if isinstance(node, Conv2d) else (1,)
        # A recipe's table for a layer repeats the defaults that it leaves alone.
        if wanted not in allowed and wanted != self.folding.default.taps:
            *others, last = map(str, allowed)
            must = f"{', '.join(others)} or {last}" if others else last
            raise FoldingError(f"layer '{node.name}' has taps {wanted}, must be {must}")
        return max(taps for taps in allowed if taps <= wanted)


def share(node: Dense | Conv2d) -> int:
    """The neurons that one event may reach in a pixel."""
    return node.size if isinstance(node, Dense) else len(node.weight) // node.groups


def largest_divisor(whole: int, most: int) -> int:
    """The largest divisor of ``whole`` up to ``most``."""
    return next(n for n in range(min(whole, max(1, most)), 0, -1) if whole % n == 0)
