"""The rows of a sequential engine's weights, and of what each neuron has for itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from amaranth.lib import data

from ...sw.formats import IntArray
from ...sw.network import LIF
from ..streams import packed, words_of
from .program import Operation, Program
from .shapes import Shapes, span

NUMBERS = ("leak", "threshold")


@dataclass(frozen=True, eq=False)
class Rows:
    """The contents of the memories of weights and of biases, for the engine of ``program``."""

    program: Program
    shapes: Shapes

    @property
    def lanes(self) -> int:
        return self.program.lanes

    @property
    def _operations(self) -> tuple[Operation, ...]:
        return self.program.operations

    @cached_property
    def by_neuron(self) -> tuple[str, ...]:
        """The numbers in which neurons of one layer differ."""
        nodes = self.program.network.nodes_of(LIF)
        return tuple(
            name
            for name in NUMBERS
            if any(getattr(node, name).min() != getattr(node, name).max() for node in nodes)
        )

    @cached_property
    def weight_bases(self) -> tuple[int, ...]:
        """The first weight row of each operation."""
        return _bases(words_of(o.dense.size, self.lanes) * o.dense.inputs for o in self._operations)

    @cached_property
    def bias_bases(self) -> tuple[int, ...]:
        """The first row of biases of each operation."""
        return _bases(words_of(op.dense.size, self.lanes) for op in self._operations)

    @cached_property
    def weights(self) -> tuple[int, ...]:
        """Word after word of a layer's neurons, the weights from each input in turn."""
        rows, width = [], self.shapes.weight.width
        for op in self._operations:
            weight = _padded(op.dense.weight, self.lanes)
            by_row = weight.reshape(-1, self.lanes, op.dense.inputs).transpose(0, 2, 1)
            rows += [packed(row, width) for row in by_row.reshape(-1, self.lanes)]
        return tuple(rows)

    @cached_property
    def bias(self) -> data.StructLayout:
        """What a neuron has for itself: the value its sums start from, and varying numbers."""
        biases = [op.dense.bias for op in self._operations if op.dense.bias is not None]
        spans = {"bias": span([0, *(int(b) for array in biases for b in array)])}
        nodes, leak = self.program.network.nodes_of(LIF), self.shapes.leak
        for name in self.by_neuron:
            arrays = [leak(node) if name == "leak" else node.threshold for node in nodes]
            spans[name] = span([0, *(int(number) for array in arrays for number in array.flat)])
        return data.StructLayout(spans)

    @cached_property
    def biases(self) -> tuple[int, ...]:
        """Word after word of a layer's neurons."""
        rows = []
        for op in self._operations:
            size = op.dense.size
            columns = {"bias": np.zeros(size, np.int64) if op.dense.bias is None else op.dense.bias}
            if op.neuron is not None:
                leak, threshold = self.shapes.leak(op.neuron), op.neuron.threshold
                columns |= {"leak": np.broadcast_to(leak, size)}
                columns |= {"threshold": np.broadcast_to(threshold, size)}
            rows += self._rows({n: a for n, a in columns.items() if n in self.bias.members})
        return tuple(rows)

    def _rows(self, columns: dict[str, IntArray]) -> Iterator[int]:
        padded = {
            name: _padded(array[:, None], self.lanes)[:, 0] for name, array in columns.items()
        }
        if "threshold" in padded:
            # A neuron that does not exist must not fire either.
            padded["threshold"][len(columns["threshold"]) :] = 1
        entries = [
            sum(
                (int(array[j]) & ((1 << self.bias[name].width) - 1)) << self.bias[name].offset
                for name, array in padded.items()
            )
            for j in range(len(padded["bias"]))
        ]
        for first in range(0, len(entries), self.lanes):
            yield packed(entries[first : first + self.lanes], self.bias.size)


def _bases(counts: Iterator[int]) -> tuple[int, ...]:
    ends = np.cumsum(list(counts))
    return (0, *(int(end) for end in ends[:-1]))


def _padded(array: IntArray, lanes: int) -> IntArray:
    """``array`` with rows of zeros up to a multiple of ``lanes``."""
    return np.pad(array, ((0, -len(array) % lanes), (0, 0)))
