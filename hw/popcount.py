"""Counting set bits, and adding up counts."""

from __future__ import annotations

from collections.abc import Sequence

from amaranth.hdl import Const, Module, Signal, Value, ValueLike


def popcount(bits: Sequence[ValueLike]) -> Value:
    """How many of ``bits`` are set, as a balanced tree (a chain would be deep, and wide)."""
    terms = [Value.cast(bit) for bit in bits] or [Const(0, 1)]
    while len(terms) > 1:
        pairs = [terms[i] + terms[i + 1] for i in range(0, len(terms) - 1, 2)]
        terms = pairs + terms[2 * len(pairs) :]
    return terms[0]


def tree_sum(m: Module, terms: list[Value]) -> Value:
    """The sum of ``terms``, a register after each level: a count some cycles late."""
    level = 0
    while len(terms) > 1:
        sums = []
        for i in range(0, len(terms), 2):
            total = terms[i] + terms[i + 1] if i + 1 < len(terms) else terms[i]
            register = Signal(total.shape(), name=f"sum_{level}_{i}")
            m.d.sync += register.eq(total)
            sums.append(register)
        terms, level = sums, level + 1
    return terms[0] if terms else Const(0)
