"""The plan of a dataflow design: lanes of each layer, lag of each node, depth of each buffer.

*Lag* counts the timesteps a node's output is behind the input: a synapse sends a step's currents
only after the whole step has come in. A delayed edge adds none: what it delivers is there before.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import prod

from ..sw.network import (
    Affine,
    Conv2d,
    Edge,
    Input,
    Join,
    NetworkError,
    Neuron,
    Node,
    Pool,
    Readout,
)
from .blockram import block_rams
from .conv_layout import ConvLayout
from .folds import LAYERS, Fold, Folding, FoldingError, Lanes
from .pool import check_pool
from .streams import shape_of, words_of

__all__ = ["Fold", "Folding", "FoldingError", "Plan"]


@dataclass(frozen=True, eq=False)
class Plan(Lanes):
    """How ``network`` is laid out as one engine per layer."""

    def __post_init__(self) -> None:
        self._check_ends()
        for pool in self.network.nodes_of(Pool):
            check_pool(pool)
        super().__post_init__()

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
        return isinstance(node, LAYERS) or (isinstance(node, Neuron) and node.inhibition)

    def _lag_of(self, edge: Edge, lags: Mapping[str, int]) -> int:
        source = self.network.by_name[edge.source]
        if isinstance(source, Input):
            # Events made into beats wait for their step's end.
            decoded = not isinstance(self.network.by_name[edge.target], LAYERS)
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

    @cached_property
    def merged(self) -> dict[str, str]:
        """Joins that cost nothing, each with the convolution whose accumulators start from the
        shortcut: where that takes fewer block RAMs than a join behind it.
        """
        result = {}
        for join in self.network.nodes_of(Join):
            conv = self._before(join)
            if conv and self._saved(join, conv) > 0:
                result[join.name] = conv.name
        return result

    def _before(self, join: Join) -> Conv2d | None:
        """The convolution that could start from the shortcut of ``join``: nothing else reads it,
        the sum is exact, and the shortcut is there when the events are, a step before the sums.
        """
        (branch,), (shortcut,) = (
            self.network.incoming(join.name, port) for port in ("branch", "shortcut")
        )
        conv = self.network.by_name[branch.source]
        exact = join.exact(self.network.operands(join)).format
        allowed = (
            isinstance(conv, Conv2d)
            and len(self.network.leaving(conv.name)) == 1
            and join.op == "add"
            and join.format in (None, exact)
            and not shortcut.delay
            and conv.name in self.timed
            and self.lag_of(shortcut) <= self.wanted_at(conv.name)
        )
        return conv if isinstance(conv, Conv2d) and allowed else None

    def _saved(self, join: Join, conv: Conv2d) -> int:
        """Block RAMs that starting from the shortcut saves: its buffer is a step shorter, but the
        accumulators are as wide as the sum.
        """
        (edge,) = self.network.incoming(join.name, "shortcut")
        lanes, words = self.neuron_lanes[join.name], self.words_on(edge)
        beat = lanes * self.network.carried(edge).format.width + 2
        depth = self._unmerged_depth(edge)
        saved = block_rams(depth, beat, block=False)
        saved -= block_rams(depth - words, beat, block=False)
        return saved + self._sums(conv, conv.name) - self._sums(conv, join.name)

    def _sums(self, conv: Conv2d, name: str) -> int:
        """Block RAMs of the accumulators of ``conv`` for values of node ``name``."""
        layout = self._layout(conv, None)
        width = layout.lanes * self.network.values[name].format.width
        return layout.banks * block_rams(layout.depth, width)

    def layout(self, node: Conv2d) -> ConvLayout:
        """The layout of a convolution, with the shortcut of its join if that is merged."""
        return self._layouts[node.name]

    @cached_property
    def _layouts(self) -> dict[str, ConvLayout]:
        joins = {conv: join for join, conv in self.merged.items()}
        convs = self.network.nodes_of(Conv2d)
        return {node.name: self._layout(node, joins.get(node.name)) for node in convs}

    def _layout(self, node: Conv2d, join: str | None) -> ConvLayout:
        (edge,) = self.network.incoming(node.name, "input")
        fold, shape = self.folds[node.name], self.subsampled(edge)
        current = self.network.values[join or node.name].format
        initial, align = None, (0, 0)
        if join:
            (shortcut,) = self.network.incoming(join, "shortcut")
            form = self.network.carried(shortcut).format
            own = self.network.values[node.name].format
            initial, align = shape_of(form), (current.frac - own.frac, current.frac - form.frac)
        return ConvLayout(
            shape=shape or node.shape,
            out_channels=len(node.weight),
            kernel=node.kernel,
            stride=(1, 1) if shape else node.stride,
            padding=node.padding,
            groups=node.groups,
            lanes=fold.lanes,
            out_lanes=fold.neuron_lanes,
            taps=fold.taps,
            spike=shape_of(self.network.carried(edge).format),
            weight=shape_of(node.weight_format),
            current=shape_of(current),
            bias=(0,) * len(node.weight) if node.bias is None else tuple(node.bias.tolist()),
            initial=initial,
            align=align,
        )

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
        lanes = self.neuron_lanes[edge.source if isinstance(reader, LAYERS) else edge.target]
        shape = self.subsampled(edge)
        return words_of(prod(shape or (self.network.by_name[edge.source].size,)), lanes)

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
        if isinstance(target, LAYERS):
            return 0 if isinstance(source, Input) else self.words_on(edge)
        if conv := self.merged.get(target.name):
            # The shortcut waits for the step before to leave the accumulators.
            ahead = self.wanted_at(conv) - self.lag_of(edge)
            return (ahead + 1) * self.words_on(edge) if edge.port == "shortcut" else 0
        return self._unmerged_depth(edge)

    def _unmerged_depth(self, edge: Edge) -> int:
        """Beats on an edge without delay into ``target``, which works on what arrives at once."""

        def order(edge: Edge) -> tuple[int, bool]:
            return self.lag_of(edge), edge.delay > 0 or edge.source not in self.timed

        latest = max(self.edges_into(edge.target), key=order)
        if edge is latest:
            return 0
        return (self.lag_of(latest) - self.lag_of(edge) + 1) * self.words_on(edge)
