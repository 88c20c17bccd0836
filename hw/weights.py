"""Weights as rows: one row-port interface, whatever holds them."""

from __future__ import annotations

from collections.abc import Sequence

from amaranth.hdl import Module, Shape, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .memories import memory
from .streams import index_shape, packed, words_of


class RowPort(wiring.Signature):
    """A reader's view of weight rows: ``data`` follows ``addr`` a cycle after ``enable``."""

    def __init__(self, rows: int, lanes: int, weight: Shape) -> None:
        self.rows = rows
        super().__init__(
            {
                "addr": Out(index_shape(rows)),
                "enable": Out(1),
                "data": In(data.ArrayLayout(weight, lanes)),
            }
        )


class RowMemory(wiring.Component):
    """Weight rows in block RAM, packed wide: one row holds ``lanes`` weights, the first lowest."""

    def __init__(self, rows: Sequence[int], lanes: int, shape: Shape) -> None:
        self.rows = tuple(rows)
        super().__init__({"port": In(RowPort(len(self.rows), lanes, shape))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        width = len(self.port.data.as_value())
        rows = m.submodules.rows = memory(unsigned(width), len(self.rows), self.rows, block=True)
        read = rows.read_port()
        m.d.comb += [
            read.addr.eq(self.port.addr),
            read.en.eq(self.port.enable),
            self.port.data.as_value().eq(read.data),
        ]
        return m


class WeightMemory(RowMemory):
    """The weights ``[n, inputs]`` of one layer.

    Row ``i * ceil(n / lanes) + w`` has the weights from input ``i`` to the neurons of word ``w``.
    """

    def __init__(self, weight: Sequence[Sequence[int]], lanes: int, shape: Shape) -> None:
        size, inputs = len(weight), len(weight[0])
        rows = [
            packed(
                [weight[j][i] for j in range(w * lanes, min(size, (w + 1) * lanes))], shape.width
            )
            for i in range(inputs)
            for w in range(words_of(size, lanes))
        ]
        super().__init__(rows, lanes, shape)
