"""What a sequential design will take and how fast it will be, before it is built."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property, reduce
from itertools import groupby
from operator import or_

import numpy as np
from amaranth.hdl import Shape

from ...sw.network import Dense
from ..activity import Activity
from ..blockram import Family, block_rams
from ..streams import index_shape, words_of
from .program import Operation
from .weight_choice import block_rows
from .words import ProgramWords


@dataclass(frozen=True)
class Memory:
    """One of the engine's memories; ``block`` if it must lie in block RAM.

    ``contents`` are those of a memory that is never written; ``huge`` ones lie in SPRAM.
    """

    name: str
    depth: int
    width: int
    block: bool = True
    contents: tuple[int, ...] | None = field(default=None, repr=False)
    huge: bool = False

    @property
    def mapped(self) -> int:
        """Bits of each word that synthesis keeps: those in which the words differ."""
        if self.contents is None:
            return self.width
        first = next(iter(self.contents), 0)
        return reduce(or_, (word ^ first for word in self.contents), 0).bit_count()


@dataclass(frozen=True, eq=False)
class SequentialFit:
    """The estimate of the engine of ``words`` under ``activity``: some timesteps of all edges."""

    words: ProgramWords
    activity: Activity
    family: Family = "ecp5"

    @cached_property
    def memories(self) -> tuple[Memory, ...]:
        words, shapes, network = self.words, self.words.shapes, self.words.program.network
        lanes, classes = words.lanes, network.readout.size
        step, word = index_shape(network.max_steps).width, index_shape(words.most_words).width
        inputs = network.input
        entry = 1 + index_shape(inputs.size).width + inputs.format.width
        rows = 1 << (index_shape(words.spike_places).width + step)
        graded = shapes.sent.width if shapes.sent != Shape(1) else 0
        scores = 1 << index_shape(words_of(classes, lanes)).width
        found = (
            self._weights(),
            _fixed("biases", words.rows.biases, lanes * words.rows.bias.size, block=True),
            _fixed("program", words.words, words.word.size, block=False),
            Memory("input", network.max_steps * (inputs.size + 1), entry, False),
            *(Memory("spikes", rows, lanes, False) for _ in range(words.sent_words)),
            Memory("values", rows << word, lanes * graded, False),
            Memory(
                "shortcuts",
                words.shortcut_places << (step + word),
                lanes * shapes.shortcut.width,
                False,
            ),
            Memory("scores", scores, lanes * shapes.score.width, False),
            Memory("classes", 1 << index_shape(classes).width, network.scores.format.width, False),
        )
        return tuple(memory for memory in found if memory.width)

    def _weights(self) -> Memory:
        words, rows = self.words, self.words.rows.weights
        width = words.lanes * words.shapes.weight.width
        source = words.program.sequence.weights
        if source == "block":
            return _fixed("weights", rows, width, block=True)
        depth = block_rows(words) if source == "stream" else len(rows)
        return Memory("weights", depth, width, huge=source == "loaded")

    @cached_property
    def cycles(self) -> dict[str, float]:
        """Cycles of each operation in a sample, by its dense layer."""
        operations = self.words.program.operations
        return {op.dense.name: self._cycles(op) for op in operations}

    def _cycles(self, op: Operation) -> float:
        network = self.words.program.network
        (edge,) = network.incoming(op.dense.name, "input")
        events = np.count_nonzero(self.activity[edge]) / len(self.activity[edge])
        return self.words.operation_cycles(op, network.max_steps, network.max_steps * events)

    @property
    def bottleneck(self) -> Dense:
        """The layer that takes longest."""
        name = max(self.cycles, key=lambda name: self.cycles[name])
        return next(op.dense for op in self.words.program.operations if op.dense.name == name)

    @property
    def cycles_per_sample(self) -> float:
        """One layer after the other."""
        return sum(self.cycles.values())

    @property
    def block_rams(self) -> int:
        return sum(self.block_rams_of(memory) for memory in self.memories)

    def block_rams_of(self, memory: Memory) -> int:
        """Of one of the ``memories``."""
        if memory.huge or not memory.mapped:
            return 0
        return block_rams(
            max(2, memory.depth), memory.mapped, self.family,
            block=memory.block, rom=memory.contents is not None,
        )  # fmt: skip

    @property
    def sprams(self) -> int:
        """Of 16384 words of 16 bits, which the iCE40 UP5K has."""
        return sum(-(-(-(-m.depth // 16384) * m.width) // 16) for m in self.memories if m.huge)

    @property
    def luts(self) -> int:
        """A rough estimate: sums, shortcuts and neurons of each lane, and what surrounds them."""
        words, shapes = self.words, self.words.shapes
        lane = 2 * shapes.total.width + 2 * shapes.current.width + 5 * shapes.neuron.membrane.width
        rest = 1500 + 3 * words.sent_words * words.lanes
        weights = next(memory for memory in self.memories if memory.name == "weights")
        chosen = weights.width * self.block_rams_of(weights) // 16
        return words.lanes * lane + rest + chosen

    def samples_per_second(self, clock_mhz: float) -> float:
        return clock_mhz * 1e6 / self.cycles_per_sample

    def lines(self) -> list[str]:
        """The memories, then the layers as a whole."""
        return list(self._lines())

    def _lines(self) -> Iterator[str]:
        for memory, same in groupby(self.memories):
            count = len(list(same))
            rams = self.sprams if memory.huge else count * self.block_rams_of(memory)
            yield (
                f"{memory.name:<10}{memory.depth:>9,} x {memory.width:>4} bits"
                f"{rams:>6} {'SPRAMs' if memory.huge else 'block RAMs'}"
                + (f", {count} of these" if count > 1 else "")
            )
        operations, slowest = self.words.program.operations, self.bottleneck.name
        yield (
            f"{len(operations)} dense layers on {self.words.lanes} lanes, a program word of "
            f"{self.words.word.size} bits each; '{slowest}' takes longest, "
            f"{self.cycles[slowest]:,.0f} of {self.cycles_per_sample:,.0f} cycles"
        )


def _fixed(name: str, rows: tuple[int, ...], width: int, *, block: bool) -> Memory:
    """A memory that is never written."""
    return Memory(name, len(rows), width, block, rows)
