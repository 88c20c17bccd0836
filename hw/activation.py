"""tanh and the logistic function by table: the hardware of ``sw/neurons/table.py``.

A lookup takes three stages: round the argument's magnitude, read the entry nearest to it, give that
its sign and its middle.
"""

from __future__ import annotations

from typing import Any, ClassVar

from amaranth.hdl import Cat, Const, Mux, Value, signed, unsigned

from ..sw.network import Tanh
from .lanes import Pipe
from .memories import memory

BLOCK_ENTRIES = 64
"""Longer tables lie in block RAM; of shorter ones synthesis may make logic."""


class Lookup:
    """A lane's copy of ``table``; each call of :meth:`tanh` or :meth:`either` is a read port."""

    stages: ClassVar[int] = 3

    def __init__(self, pipe: Pipe, table: Tanh) -> None:
        self.pipe = pipe
        self.table = table
        entries = [int(entry) for entry in table.entries]
        self.memory = memory(
            unsigned(table.frac + 1), len(entries), entries, block=len(entries) > BLOCK_ENTRIES
        )
        pipe.m.submodules[f"table_{pipe.lane}"] = self.memory

    def tanh(self, value: Value, frac: int) -> Value:
        """tanh of the signed raw ``value`` with ``frac`` fraction bits, ``stages`` later."""
        return self._read("tanh", value, frac, Const(0, 1))

    def either(self, logistic: Value, value: Value, frac: int) -> Value:
        """The logistic function if ``logistic``, with a fraction bit more, else tanh."""
        # The logistic function of x needs tanh at x/2, which is x with another fraction bit.
        return self._read("either", Mux(logistic, value, value << 1), frac + 1, logistic)

    def _read(self, name: str, value: Value, frac: int, logistic: Value) -> Value:
        pipe, table = self.pipe, self.table
        drop = frac - table.step
        negative = value < 0
        # |x| + half by one adder: |x| is the complement of a negative x, plus 1.
        magnitude = Mux(negative, ~value, value)[: len(value) - 1]
        half = 1 << drop >> 1
        rounded = pipe.stage(magnitude + Mux(negative, half + 1, half), f"{name}_rounded")

        nearest, last = rounded >> drop, len(table.entries) - 1
        port: Any = self.memory.read_port()
        pipe.m.d.comb += [
            port.addr.eq(Mux(nearest > last, last, nearest)),
            port.en.eq(pipe.move),
        ]

        # ±T or 2^F ± T, likewise by one adder.
        negative = pipe.later(negative, 2, f"{name}_negative")
        logistic = pipe.later(logistic, 2, f"{name}_logistic")
        entry = Cat(port.data, Const(0, 1)).as_signed()
        addend = Cat(negative, Const(0, table.frac - 1), logistic)
        signed_entry = Mux(negative, ~entry, entry)
        return pipe.stage(signed_entry + addend, f"{name}_result", signed(table.frac + 3))
