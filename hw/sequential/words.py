"""What a sequential engine's memories hold: program words, weight rows, and rows of biases.

What is the same in all operations is no memory but a constant. What an operation does not use may
be anything, so it is what the others have.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from amaranth.hdl import Const, Shape, Value, signed, unsigned
from amaranth.lib import data

from ...sw.formats import Format, IntArray
from ...sw.network import LIF, Join
from ..joins import JoinKind
from ..lanes import FLAGS
from ..models import neuron_config
from ..streams import index_shape, packed, words_of
from .program import Operation, Program

NUMBERS = ("leak", "threshold")


@dataclass(frozen=True, eq=False)
class ProgramWords:
    """The memories of ``program``'s engine, and the shapes of what passes through it."""

    program: Program

    @property
    def lanes(self) -> int:
        return self.program.lanes

    # Shapes

    @cached_property
    def spike(self) -> Shape:
        """Of the values of events."""
        return _holds(self._carried(op.source) for op in self.program.operations)

    @cached_property
    def sent(self) -> Shape:
        """Of the spikes that wait between layers."""
        return _holds(self._carried(op.sent) for op in self.program.operations if op.sent)

    @cached_property
    def weight(self) -> Shape:
        return _holds(op.dense.weight_format for op in self.program.operations)

    @cached_property
    def total(self) -> Shape:
        """Of the sums of a dense layer, and all partial sums."""
        return _signed(self._carried(op.dense.name) for op in self.program.operations)

    @cached_property
    def current(self) -> Shape:
        """Of what reaches neurons and readout: sums, with or without a shortcut."""
        return _signed(self._carried(op.current.name) for op in self.program.operations)

    @cached_property
    def shortcut(self) -> Shape:
        stored = [op.stored for op in self.program.operations if op.stored]
        return _signed(self._carried(name) for name in stored) if stored else signed(1)

    @cached_property
    def joined(self) -> Shape:
        """Of what leaves neurons and a join behind them."""
        found = [op.spike for op in self.program.operations if op.spike]
        return _signed(self._carried(node.name) for node in found) if found else signed(2)

    @cached_property
    def neuron(self) -> LIF:
        """A layer that holds any of the network's, as the pattern of the engine's neurons."""
        nodes = self.program.network.nodes_of(LIF)
        return LIF(
            "neurons",
            self.lanes,
            membrane=Format(max((node.membrane.width for node in nodes), default=2), 0),
            leak=np.array(max((self._leak(node).max() for node in nodes), default=0)),
            leak_shift=self.leak_shift,
            threshold=np.array(max((node.threshold.max() for node in nodes), default=1)),
        )

    @cached_property
    def leak_shift(self) -> int:
        """The finest; coarser leaks are multiplied up, which changes no result."""
        return max((node.leak_shift for node in self.program.network.nodes_of(LIF)), default=0)

    def _leak(self, node: LIF) -> IntArray:
        return node.leak << (self.leak_shift - node.leak_shift)

    def _carried(self, name: str) -> Format:
        return self.program.network.values[name].format

    # Slots

    @cached_property
    def spike_slots(self) -> dict[str, int]:
        """Where the spikes of each node that sends some wait. An operation's own do not take the
        place of those that it reads.
        """
        return self._slots("sent", "source", reuse=False)

    @cached_property
    def shortcut_slots(self) -> dict[str, int]:
        """Where each shortcut waits: also in the place of what its own operation joins."""
        return self._slots("stored", "shortcut", reuse=True)

    @property
    def spike_places(self) -> int:
        """Slots that spikes need, at least one."""
        return max(self.spike_slots.values(), default=0) + 1

    @property
    def shortcut_places(self) -> int:
        """Slots that shortcuts need, at least one."""
        return max(self.shortcut_slots.values(), default=0) + 1

    def _slots(self, made: str, read: str, *, reuse: bool) -> dict[str, int]:
        operations = self.program.operations
        last = {getattr(op, read): k for k, op in enumerate(operations) if getattr(op, read)}
        result: dict[str, int] = {}
        for k, op in enumerate(operations):
            if name := getattr(op, made):
                taken = {slot for other, slot in result.items() if last[other] >= k + reuse}
                result[name] = next(slot for slot in range(len(taken) + 1) if slot not in taken)
        return result

    # Program words

    @cached_property
    def fields(self) -> dict[str, tuple[int, ...]]:
        """What each operation says, by name."""
        rows = [self._fields(k, op) for k, op in enumerate(self.program.operations)]
        names = {name: None for row in rows for name in row}
        result = {}
        for name in names:
            used = [row[name] for row in rows if name in row]
            result[name] = tuple(row.get(name, used[0]) for row in rows)
        return result

    def field(self, name: str, config: Any) -> Value:
        """Of the operation with program word ``config``: a constant if all have the same."""
        if name in self.word.members:
            return config[name]
        used = self.fields.get(name, (0,))
        return Const(used[0], _span(used))

    def _fields(self, k: int, op: Operation) -> dict[str, int]:
        words = words_of(op.dense.size, self.lanes)
        found: dict[str, int] = {
            "from_input": op.source == self.program.network.input.name,
            "inputs": op.dense.inputs,
            "last_word": words - 1,
            "row": self.row_bases[k],
            "rows": words * op.dense.inputs,
            "bias_row": self.bias_bases[k],
            "adds": op.current_join is not None,
            "joins": op.spike_join is not None,
            "fires": op.neuron is not None,
            "sends": op.sent is not None,
            "stores_current": op.stored is not None and op.stored == op.current.name,
            "stores_spike": op.stored is not None and op.stored != op.current.name,
            "scores": op.readout is not None,
            "frees_input": k == self.last_input,
        }
        if not found["from_input"]:
            found["source_slot"] = self.spike_slots[op.source]
            found["source_last_word"] = words_of(op.dense.inputs, self.lanes) - 1
        if op.sent:
            found["sent_slot"] = self.spike_slots[op.sent]
        if op.shortcut:
            found["shortcut_slot"] = self.shortcut_slots[op.shortcut]
        if op.stored:
            found["stored_slot"] = self.shortcut_slots[op.stored]
        if op.current_join:
            found |= self._current_join(op.current_join, op)
        if op.spike_join:
            found |= self._spike_join(op.spike_join, op)
        if op.neuron:
            found |= self._neuron(op.neuron, op)
        return {name: int(value) for name, value in found.items()}

    @cached_property
    def last_input(self) -> int:
        """The last operation that reads the input."""
        name = self.program.network.input.name
        return max(k for k, op in enumerate(self.program.operations) if op.source == name)

    def _current_join(self, join: Join, op: Operation) -> dict[str, int]:
        assert op.shortcut is not None
        if join.op != "add":
            raise self.program.error(join, f"is {join.op} of currents, must be add")
        exact = join.exact(self.program.network.operands(join)).format
        result = join.format or exact
        bounds = {"low": result.min, "high": result.max} if self.narrows else {}
        return bounds | {
            "up_sum": exact.frac - self._carried(op.dense.name).frac,
            "up_shortcut": exact.frac - self._carried(op.shortcut).frac,
            "drop": exact.frac - result.frac,
        }

    @cached_property
    def narrows(self) -> bool:
        """Whether a join has a format of its own, narrower than its exact one."""
        network = self.program.network
        joins = [node for node in network.nodes_of(Join) if node.format is not None]
        return any(node.format != node.exact(network.operands(node)).format for node in joins)

    def _spike_join(self, join: Join, op: Operation) -> dict[str, int]:
        assert op.shortcut is not None
        result = self._carried(join.name)
        fracs = {self._carried(op.shortcut).frac, result.frac}
        if fracs != {0}:
            raise self.program.error(join, "has fractions, must join spikes")
        (branch,) = self.program.network.incoming(join.name, "branch")
        bounds = {"joined_low": result.min, "joined_high": result.max} if self.narrows else {}
        return bounds | {
            "kind": JoinKind[join.op.upper()].value,
            "swapped": branch.source == op.shortcut,
        }

    def _neuron(self, node: LIF, op: Operation) -> dict[str, int]:
        config = neuron_config(node)
        found = {name: int(config[name]) for name in FLAGS}  # pyright: ignore[reportArgumentType]
        found |= {"membrane_low": int(config.membrane.low)}
        found |= {"membrane_high": int(config.membrane.high)}
        found["up_current"] = node.current_frac - self._carried(op.current.name).frac
        for name, array in (("leak", self._leak(node)), ("threshold", node.threshold)):
            if name not in self.by_neuron:
                found[name] = int(array.flat[0])
        return found

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
    def word(self) -> data.StructLayout:
        """The fields that differ between operations."""
        return data.StructLayout(
            {name: _span(used) for name, used in self.fields.items() if len(set(used)) > 1}
        )

    @cached_property
    def words(self) -> tuple[int, ...]:
        """The program, a word for each operation."""
        members = [(name, field) for name, field in self.word]
        return tuple(
            sum(
                (self.fields[name][k] & ((1 << field.width) - 1)) << field.offset
                for name, field in members
            )
            for k in range(len(self.program.operations))
        )

    # Rows

    @cached_property
    def row_bases(self) -> tuple[int, ...]:
        """The first weight row of each operation."""
        return _bases(words_of(o.dense.size, self.lanes) * o.dense.inputs for o in self._operations)

    @cached_property
    def bias_bases(self) -> tuple[int, ...]:
        """The first row of biases of each operation."""
        return _bases(words_of(op.dense.size, self.lanes) for op in self._operations)

    @property
    def _operations(self) -> tuple[Operation, ...]:
        return self.program.operations

    @cached_property
    def weight_rows(self) -> tuple[int, ...]:
        """Word after word of a layer's neurons, the weights from each input in turn."""
        rows = []
        for op in self._operations:
            weight = _padded(op.dense.weight, self.lanes)
            by_row = weight.reshape(-1, self.lanes, op.dense.inputs).transpose(0, 2, 1)
            rows += [packed(row, self.weight.width) for row in by_row.reshape(-1, self.lanes)]
        return tuple(rows)

    @cached_property
    def bias(self) -> data.StructLayout:
        """What a neuron has for itself: the value its sums start from, and varying numbers."""
        biases = [op.dense.bias for op in self._operations if op.dense.bias is not None]
        spans = {"bias": _span([0, *(int(b) for array in biases for b in array)])}
        nodes = self.program.network.nodes_of(LIF)
        for name in self.by_neuron:
            arrays = [self._leak(node) if name == "leak" else node.threshold for node in nodes]
            spans[name] = _span([0, *(int(number) for array in arrays for number in array.flat)])
        return data.StructLayout(spans)

    @cached_property
    def bias_rows(self) -> tuple[int, ...]:
        rows = []
        for op in self._operations:
            size = op.dense.size
            columns = {"bias": np.zeros(size, np.int64) if op.dense.bias is None else op.dense.bias}
            if op.neuron is not None:
                leak, threshold = self._leak(op.neuron), op.neuron.threshold
                columns |= {"leak": np.broadcast_to(leak, size)}
                columns |= {"threshold": np.broadcast_to(threshold, size)}
            rows += self._bias_rows({n: a for n, a in columns.items() if n in self.bias.members})
        return tuple(rows)

    def _bias_rows(self, columns: dict[str, IntArray]) -> Iterator[int]:
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

    # Sizes

    @cached_property
    def most_words(self) -> int:
        """Words of the widest layer."""
        return max(words_of(op.dense.size, self.lanes) for op in self._operations)

    @cached_property
    def sent_words(self) -> int:
        """Words of the widest layer whose spikes are read."""
        sizes = [op.dense.size for op in self._operations if op.sent]
        return max((words_of(size, self.lanes) for size in sizes), default=1)

    def cycles(self, steps: int, events: Sequence[float]) -> float:
        """Cycles of a sample of ``steps`` timesteps, from its end to its scores, whose operations
        read so many ``events`` each.
        """
        layers = zip(self._operations, events, strict=True)
        return sum(self.operation_cycles(op, steps, count) for op, count in layers)

    def operation_cycles(self, op: Operation, steps: int, events: float) -> float:
        """Cycles of one operation that reads so many ``events`` in ``steps`` timesteps."""
        return words_of(op.dense.size, self.lanes) * (events + steps) + OVERHEAD


OVERHEAD = 11
"""Cycles that an operation takes beside its events and ends of timesteps: three until the first is
there, eight until the last has left the lanes."""


def _bases(counts: Iterator[int] | list[int]) -> tuple[int, ...]:
    ends = np.cumsum(list(counts))
    return (0, *(int(end) for end in ends[:-1]))


def _padded(array: IntArray, lanes: int) -> IntArray:
    """``array`` with rows of zeros up to a multiple of ``lanes``."""
    return np.pad(array, ((0, -len(array) % lanes), (0, 0)))


def _holds(formats: Iterator[Format]) -> Shape:
    """The shape that holds any value of ``formats``."""
    found = list(formats) or [Format(1, 0, signed=False)]
    if not any(form.signed for form in found):
        return unsigned(max(form.width for form in found))
    return signed(max(form.width + (not form.signed) for form in found))


def _signed(formats: Iterator[Format]) -> Shape:
    """The signed shape that holds any value of ``formats``."""
    return signed(max(form.width + (not form.signed) for form in formats))


def _span(values: tuple[int, ...] | list[int]) -> Shape:
    """The narrowest shape of all ``values``."""
    low, high = min(values), max(values)
    if low >= 0:
        return index_shape(high + 1)
    return signed(max((-low - 1).bit_length(), high.bit_length()) + 1)
