"""What a sequential design will take and how fast it will be, before it is built."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby

import numpy as np

from ...sw.network import Dense
from ..activity import Activity
from ..blockram import Family, block_rams
from ..streams import index_shape
from .program import Operation
from .weight_choice import block_rows
from .words import ProgramWords


@dataclass(frozen=True)
class Memory:
    """One of the engine's memories; ``block`` if it must lie in block RAM."""

    name: str
    depth: int
    width: int
    block: bool = True


@dataclass(frozen=True, eq=False)
class SequentialFit:
    """The estimate of the engine of ``words`` under ``activity``: some timesteps of all edges."""

    words: ProgramWords
    activity: Activity
    family: Family = "ecp5"

    @cached_property
    def memories(self) -> tuple[Memory, ...]:
        words, shapes, network = self.words, self.words.shapes, self.words.program.network
        steps, lanes = network.max_steps, words.lanes
        places = 1 << (index_shape(steps).width + index_shape(words.most_words).width)
        entry = 1 + index_shape(network.input.size).width + network.input.format.width
        rows = words.spike_places << index_shape(steps).width
        return (
            Memory(
                "weights", block_rows(words), lanes * shapes.weight.width * (block_rows(words) > 0)
            ),
            Memory("biases", len(words.rows.biases), lanes * words.rows.bias.size),
            Memory("program", len(words.words), words.word.size, False),
            Memory("input", steps * (network.input.size + 1), entry, False),
            *(Memory("spikes", rows, lanes, False) for _ in range(words.sent_words)),
            Memory(
                "shortcuts", words.shortcut_places * places, lanes * shapes.shortcut.width, False
            ),
        )

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
        if not memory.width:
            return 0
        return block_rams(max(2, memory.depth), memory.width, self.family, block=memory.block)

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
        for memory, same in groupby(memory for memory in self.memories if memory.width):
            count = len(list(same))
            yield (
                f"{memory.name:<10}{memory.depth:>9,} x {memory.width:>4} bits"
                f"{count * self.block_rams_of(memory):>6} block RAMs"
                + (f", {count} of these" if count > 1 else "")
            )
        operations, slowest = self.words.program.operations, self.bottleneck.name
        yield (
            f"{len(operations)} dense layers on {self.words.lanes} lanes, a program word of "
            f"{self.words.word.size} bits each; '{slowest}' takes longest, "
            f"{self.cycles[slowest]:,.0f} of {self.cycles_per_sample:,.0f} cycles"
        )
