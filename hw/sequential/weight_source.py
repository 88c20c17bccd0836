"""Where a sequential engine's weights come from: one interface, whatever is behind it."""

from __future__ import annotations

from amaranth.hdl import Module, Shape
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..streams import index_shape
from ..weights import RowMemory, RowPort


class WeightSource(wiring.Signature):
    """An engine's view of the weight rows of one operation after the other.

    ``depth`` rows can be there at once; a row is ``lanes`` weights. An operation has ``count`` rows
    of the ``total``, the first of which is row ``row`` of the program. They can be read, from
    address ``base`` on (modulo ``depth``), once they are ``ready``, until the engine is ``done``
    with them: a pulse, after which ``count`` is that of the next operation (as early as the next
    cycle, and stays until the next pulse).
    """

    def __init__(self, depth: int, total: int, lanes: int, weight: Shape) -> None:
        super().__init__(
            {
                "row": Out(index_shape(total)),
                "count": Out(index_shape(total + 1)),
                "base": In(index_shape(depth)),
                "ready": In(1),
                "done": Out(1),
                "rows": Out(RowPort(depth, lanes, weight)),
            }
        )


class OnChipWeights(wiring.Component):
    """All rows in block RAM."""

    def __init__(self, rows: tuple[int, ...], lanes: int, weight: Shape) -> None:
        self.depth = len(rows)
        self.memory = RowMemory(rows, lanes, weight)
        super().__init__({"port": In(WeightSource(len(rows), len(rows), lanes, weight))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.memory = self.memory
        wiring.connect(m, wiring.flipped(self.port.rows), self.memory.port)
        m.d.comb += [self.port.base.eq(self.port.row), self.port.ready.eq(1)]
        return m
