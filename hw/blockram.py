"""How many block RAMs a memory takes."""

from __future__ import annotations

from typing import Literal, TypeAlias

Family: TypeAlias = Literal["ecp5", "ice40"]

SHAPES: dict[Family, tuple[tuple[int, int], ...]] = {
    "ecp5": ((512, 36), (1024, 18), (2048, 9), (4096, 4), (8192, 2), (16384, 1)),
    "ice40": ((256, 16), (512, 8), (1024, 4), (2048, 2)),
}
"""Depths and widths that one block RAM can have, as Yosys maps memories to them."""

SMALL: dict[Family, int] = {"ecp5": 1024, "ice40": 256}
"""Bits up to which a memory that need not lie in block RAM lies elsewhere."""


def block_rams(depth: int, width: int, family: Family = "ecp5", *, block: bool = True) -> int:
    """Block RAMs of ``depth`` words of ``width`` bits; ``block`` if it must lie in block RAM."""
    if not block and depth * width <= SMALL[family]:
        return 0
    return min(-(-depth // words) * -(-width // bits) for words, bits in SHAPES[family])
