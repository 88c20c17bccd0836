"""Every memory of a dataflow design, known before any of it is built."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from ..sw.network import Affine, Conv2d, Dense, Edge, Input, Neuron, Node, Pool, Readout
from .blockram import Family, block_rams
from .folding import Plan
from .folds import LAYERS
from .models import MODELS
from .neuron_model import ArrayLayout
from .streams import index_shape, shape_of, words_of

What: TypeAlias = Literal["weights", "sums", "states", "numbers", "buffer"]


@dataclass(frozen=True)
class Store:
    """A memory of ``depth`` words of ``width`` bits, for ``node``; a ``buffer`` is its reader's.

    ``block`` if it must lie in block RAM.
    """

    node: str
    what: What
    depth: int
    width: int
    block: bool = True

    @property
    def bits(self) -> int:
        return self.depth * self.width

    def block_rams(self, family: Family = "ecp5") -> int:
        return block_rams(self.depth, self.width, family, block=self.block)


def stores(plan: Plan) -> list[Store]:
    """All memories of ``plan``'s design, in the order of the network."""
    found = [store for node in plan.network.order for store in _of_node(plan, node)]
    return found + [store for edge in plan.network.edges for store in _of_edge(plan, edge)]


def _of_node(plan: Plan, node: Node) -> Iterator[Store]:
    name, values = node.name, plan.network.values
    lanes, width = plan.neuron_lanes[name], values[name].format.width
    if isinstance(node, Dense):
        fold = plan.folds[name]
        words = words_of(node.size, fold.lanes)
        row = fold.lanes * node.weight_format.width
        yield Store(name, "weights", max(2, node.inputs * words), row)
        if words > 1:
            yield Store(name, "sums", 2 << index_shape(words).width, fold.lanes * width)
    elif isinstance(node, Conv2d):
        layout = plan.layout(node)
        row = layout.row_taps * layout.lanes * node.weight_format.width
        yield Store(name, "weights", max(2, layout.rows), row)
        bank = layout.lanes * layout.current.width
        for _ in range(layout.banks):
            yield Store(name, "sums", max(2, layout.depth), bank, layout.block)
    elif isinstance(node, Pool):
        (source,) = plan.network.operands(node)["input"]
        each = source.format.width if node.op == "max" else width
        cells = node.out_shape[2] * node.shape[0] // lanes
        yield Store(name, "states", max(2, cells), lanes * each, False)
    elif isinstance(node, Affine):
        rows = words_of(node.size, lanes) * max(node.steps, default=1)
        bias = np.zeros(1, np.int64) if node.bias is None else node.bias
        low, high = int(bias.min()), int(bias.max())
        offset = max((-low - 1).bit_length(), high.bit_length(), 1) + 1
        yield Store(name, "numbers", max(2, rows), lanes * (node.gain_format.width + offset))
    elif isinstance(node, Neuron):
        (edge, *_) = plan.network.incoming(name, "input")
        current = plan.network.carried(edge).format
        model = MODELS[type(node)](node, shape_of(current), 0)
        array = ArrayLayout(model, lanes)
        yield Store(name, "states", array.rows, array.width)
        if array.period > 1:
            yield Store(name, "numbers", array.period, model.parameters.size * lanes)
        for depth, bits, block in model.memories(lanes):
            yield Store(name, "numbers", max(2, depth), bits, block)
    elif isinstance(node, Readout):
        scores = plan.network.scores.format.width
        yield Store(name, "states", max(2, 1 << index_shape(node.size).width), scores, False)


def _of_edge(plan: Plan, edge: Edge) -> Iterator[Store]:
    source, target = plan.network.by_name[edge.source], plan.network.by_name[edge.target]
    layer = isinstance(target, LAYERS)
    lanes = plan.neuron_lanes[edge.source if layer else edge.target]
    width = lanes * plan.network.carried(edge).format.width
    if isinstance(source, Input) and not layer:
        words = words_of(source.size, lanes)
        yield Store(edge.target, "buffer", max(2, words), width, False)
    if depth := plan.buffer_depth(edge):
        # What may end a step says so, but for a delayed edge, which counts its beats.
        marks = 0 if edge.delay else 2
        yield Store(edge.target, "buffer", max(2, depth), width + marks, False)
