"""Counting set bits."""

from __future__ import annotations

from collections.abc import Sequence

from amaranth.hdl import Const, Value, ValueLike


def popcount(bits: Sequence[ValueLike]) -> Value:
    """How many of ``bits`` are set, as a balanced tree (a chain would be deep, and wide)."""
    terms = [Value.cast(bit) for bit in bits] or [Const(0, 1)]
    while len(terms) > 1:
        pairs = [terms[i] + terms[i + 1] for i in range(0, len(terms) - 1, 2)]
        terms = pairs + terms[2 * len(pairs) :]
    return terms[0]
