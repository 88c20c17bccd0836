"""Memories as synthesis should see them."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import ShapeLike
from amaranth.lib.memory import Memory


def memory(
    shape: ShapeLike, depth: int, init: Any = (), *, block: bool = False, huge: bool = False
) -> Memory:
    """A memory; with ``block``, one that must lie in block RAM, with ``huge`` in the large memories
    of a single port that few devices have (iCE40 UP5K: SPRAM).

    No component here uses data that it reads from an address in the cycle that writes it. Saying
    so (``no_rw_check``) saves about one LUT and two flip-flops per bit of width, which Yosys
    would otherwise spend on defining that case. ``tests/hw/test_memories.py`` checks the claim.
    """
    attributes: dict[str, Any] = {"no_rw_check": 1}
    if block:
        attributes["ram_style"] = "block"
    if huge:
        attributes["ram_style"] = "huge"
    # Two rows at least: the address of one has no bits, which breaks tools.
    return Memory(shape=shape, depth=max(2, depth), init=init, attrs=attributes)
