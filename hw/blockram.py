"""How many block RAMs a memory takes."""

from __future__ import annotations

from typing import Literal, TypeAlias

Family: TypeAlias = Literal["ecp5", "ice40"]

SHAPES: dict[Family, tuple[tuple[int, int], ...]] = {
    "ecp5": ((512, 36), (1024, 18), (2048, 9), (4096, 4), (8192, 2), (16384, 1)),
    "ice40": ((256, 16), (512, 8), (1024, 4), (2048, 2)),
}
"""Depths and widths that one block RAM can have."""


def block_rams(depth: int, width: int, family: Family = "ecp5", *, block: bool = True) -> int:
    """Block RAMs that Yosys 0.70 makes of ``depth`` words of ``width`` bits (measured on 54 sizes);
    ``block`` if it must lie in block RAM. Other memories lie in LUTs or registers where cheaper.
    """
    count = min(-(-depth // words) * -(-width // bits) for words, bits in SHAPES[family])
    if block:
        return count
    if family == "ice40":
        return 0 if depth * width <= 64 else count
    # In LUTs: sixteen words of four bits each, and multiplexers between them.
    parts = -(-depth // 16)
    return 0 if 4 * parts * -(-width // 4) + 0.65 * width * (parts - 1) <= 128 * count else count
