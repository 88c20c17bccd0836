"""What a sequential engine's program memory holds: a word for each operation.

What is the same in all operations is no memory but a constant. What an operation does not use may
be anything, so it is what the others have.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from amaranth.hdl import Const, Value
from amaranth.lib import data

from ...sw.network import LIF, Join
from ..joins import JoinKind
from ..lanes import FLAGS
from ..models import neuron_config
from ..streams import words_of
from .program import Operation, Program
from .rows import Rows
from .shapes import Shapes, span


@dataclass(frozen=True, eq=False)
class ProgramWords:
    """``program`` as words, the slots that they name, and how long their operations take."""

    program: Program

    @property
    def lanes(self) -> int:
        return self.program.lanes

    @cached_property
    def shapes(self) -> Shapes:
        """Of what passes through the engine."""
        return Shapes(self.program)

    @cached_property
    def rows(self) -> Rows:
        """Of weights and biases."""
        return Rows(self.program, self.shapes)

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
        return Const(used[0], span(used))

    def _fields(self, k: int, op: Operation) -> dict[str, int]:
        words = words_of(op.dense.size, self.lanes)
        found: dict[str, int] = {
            "from_input": op.source == self.program.network.input.name,
            "inputs": op.dense.inputs,
            "last_word": words - 1,
            "row": self.rows.weight_bases[k],
            "rows": words * op.dense.inputs,
            "bias_row": self.rows.bias_bases[k],
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
            "up_sum": exact.frac - self.shapes.carried(op.dense.name).frac,
            "up_shortcut": exact.frac - self.shapes.carried(op.shortcut).frac,
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
        result = self.shapes.carried(join.name)
        fracs = {self.shapes.carried(op.shortcut).frac, result.frac}
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
        found["up_current"] = node.current_frac - self.shapes.carried(op.current.name).frac
        for name, array in (("leak", self.shapes.leak(node)), ("threshold", node.threshold)):
            if name not in self.rows.by_neuron:
                found[name] = int(array.flat[0])
        return found

    @cached_property
    def word(self) -> data.StructLayout:
        """The fields that differ between operations."""
        return data.StructLayout(
            {name: span(used) for name, used in self.fields.items() if len(set(used)) > 1}
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

    # Sizes

    @cached_property
    def most_words(self) -> int:
        """Words of the widest layer."""
        return max(words_of(op.dense.size, self.lanes) for op in self.program.operations)

    @cached_property
    def sent_words(self) -> int:
        """Words of the widest layer whose spikes are read."""
        sizes = [op.dense.size for op in self.program.operations if op.sent]
        return max((words_of(size, self.lanes) for size in sizes), default=1)

    def cycles(self, steps: int, events: Sequence[float]) -> float:
        """Cycles of a sample of ``steps`` timesteps, from its end to its scores, whose operations
        read so many ``events`` each.
        """
        layers = zip(self.program.operations, events, strict=True)
        return sum(self.operation_cycles(op, steps, count) for op, count in layers)

    def operation_cycles(self, op: Operation, steps: int, events: float) -> float:
        """Cycles of one operation that reads so many ``events`` in ``steps`` timesteps."""
        return words_of(op.dense.size, self.lanes) * (events + steps) + OVERHEAD


OVERHEAD = 12
"""Cycles that an operation takes beside its events and ends of timesteps: four until the first is
there, eight until the last has left the lanes."""
