"""How many block RAMs a memory takes."""

from __future__ import annotations

from typing import Literal, TypeAlias

Family: TypeAlias = Literal["ecp5", "ice40"]

SHAPES: dict[Family, tuple[tuple[int, int], ...]] = {
    "ecp5": ((512, 36), (1024, 18), (2048, 9), (4096, 4), (8192, 2), (16384, 1)),
    "ice40": ((256, 16), (512, 8), (1024, 4), (2048, 2)),
}
"""Depths and widths that one block RAM can have."""

COST: dict[Family, int] = {"ecp5": 128, "ice40": 64}
"""Of a block RAM, for Yosys, which maps a memory to what costs least."""


def block_rams(
    depth: int, width: int, family: Family = "ecp5", *, block: bool = True, rom: bool = False
) -> int:
    """Block RAMs that Yosys 0.70 makes of ``depth`` words of ``width`` bits (measured on 54 sizes
    and whole designs); ``block`` if it must lie in block RAM, ``rom`` if nothing is written. Other
    memories lie in LUTs or registers where cheaper.
    """
    _, count = min(_shaped(depth, width, *shape, COST[family]) for shape in SHAPES[family])
    if block:
        return count
    most = COST[family] * count
    if rom:
        return 0 if depth * width <= 16 * most else count
    if family == "ice40":
        # Short and narrow ones are kept out of block RAM (bitstreams/flow.py).
        return 0 if depth * width <= most or (depth <= 32 and width <= 4) else count
    # In LUTs: sixteen words of four bits each, and multiplexers between them.
    parts = -(-depth // 16)
    return 0 if 4 * parts * -(-width // 4) + 0.65 * width * (parts - 1) <= most else count


def _shaped(depth: int, width: int, words: int, bits: int, cost: int) -> tuple[float, int]:
    """What a memory of block RAMs of one shape costs, multiplexers included, and their number.

    A row holds the words of all parts of the depth side by side, and is cut without regard to them.
    """
    parts = -(-depth // words)
    count = -(-parts * width // bits)
    return cost * count + width * (parts - 1) / 2, count
