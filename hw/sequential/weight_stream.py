"""Weights that stay in external memory: fetched over AXI4 while the engine works on others."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from amaranth.hdl import Cat, Const, Module, Mux, Shape, Signal, Value, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..memories import memory
from ..registers import PAGE_BITS
from ..streams import index_shape
from .weight_source import WeightSource

ADDRESS_BITS = 32
WIDEST_BUS = 1024
BURST_BEATS = 16
INCR = 1
BUFFERABLE = 0b0011
"""``arcache``: normal memory, not cached, as vendors' interconnects ask for."""


class AxiRead(wiring.Signature):
    """The read channels of AXI4 as their manager sees them, with ``bits`` of data."""

    def __init__(self, bits: int) -> None:
        super().__init__(
            {
                "arid": Out(1),
                "araddr": Out(ADDRESS_BITS),
                "arlen": Out(8),
                "arsize": Out(3),
                "arburst": Out(2),
                "arcache": Out(4),
                "arprot": Out(3),
                "arvalid": Out(1),
                "arready": In(1),
                "rid": In(1),
                "rdata": In(bits),
                "rresp": In(2),
                "rlast": In(1),
                "rvalid": In(1),
                "rready": Out(1),
            }
        )


@dataclass(frozen=True)
class StreamLayout:
    """Rows of ``row_bits`` in external memory, ``counts`` of them for one operation after another.

    A row is padded to a power of two of bits, at least 32, and is one beat of the bus, or several
    if the bus is no wider than ``widest``.
    """

    row_bits: int
    counts: tuple[int, ...]
    widest: int = WIDEST_BUS

    @property
    def rows(self) -> int:
        return sum(self.counts)

    @property
    def padded(self) -> int:
        """Bits that a row takes in memory."""
        return max(32, 1 << (self.row_bits - 1).bit_length())

    @property
    def bus_bits(self) -> int:
        return min(self.padded, self.widest)

    @property
    def beats(self) -> int:
        """Of one row."""
        return self.padded // self.bus_bits

    @property
    def burst_rows(self) -> int:
        """Rows of a burst but the last: a power of two, so that no burst crosses 4 KB.

        No more than the smallest operation has. So an operation that waits for its last rows finds
        room for the burst that brings them, even if the ring holds what that of the operation
        before has left, and nothing more.
        """
        most = max(1, min(BURST_BEATS // self.beats, *self.counts))
        return 1 << most.bit_length() - 1

    @property
    def bursts(self) -> int:
        return -(-self.rows // self.burst_rows)

    @property
    def depth(self) -> int:
        """Rows of the ring: those of any two operations that follow each other have room."""
        around = (*self.counts, self.counts[0])
        return 1 << (max(a + b for a, b in pairwise(around)) - 1).bit_length()

    def image(self, rows: tuple[int, ...]) -> bytes:
        """What the memory must hold, from the base address on: beats, little endian."""
        return b"".join(row.to_bytes(self.padded // 8, "little") for row in rows)


class StreamedWeights(wiring.Component):
    """A ring of rows in block RAM, filled from external memory in the order of the program.

    After the last row of the program comes the first again, for the next sample. What is asked for
    has its place in the ring already, so data is always taken at once. After an error no operation
    becomes ready: no result is ever made of wrong weights, and ``failed`` says why none comes.

    Members
    -------
    port: the engine's.
    memory: the bus.
    base: address of the first row, in units of 4 KB; read from the cycle in which ``started`` is
        set, and must stay then.
    failed: the memory has answered with an error.
    """

    def __init__(self, layout: StreamLayout, lanes: int, weight: Shape) -> None:
        self.layout = layout
        self.depth = layout.depth
        super().__init__(
            {
                "port": In(WeightSource(layout.depth, layout.rows, lanes, weight)),
                "memory": Out(AxiRead(layout.bus_bits)),
                "base": In(ADDRESS_BITS - PAGE_BITS),
                "started": In(1),
                "failed": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        layout, port = self.layout, self.port
        ring = m.submodules.ring = memory(unsigned(layout.row_bits), layout.depth, block=True)
        write, read = ring.write_port(), ring.read_port()
        row, arrives = self.row(m)
        head, tail = Signal.like(port.base), Signal.like(port.base)
        held = Signal(range(layout.depth + 1))
        free = Signal(range(layout.depth + 1), init=layout.depth)
        asked, freed = Signal.like(free), Signal.like(free)
        m.d.comb += [
            asked.eq(self.ask(m, free)),
            freed.eq(Mux(port.done, port.count, 0)),
            port.base.eq(head),
            port.ready.eq((held >= port.count) & ~self.failed),
            write.addr.eq(tail),
            write.data.eq(row),
            write.en.eq(arrives),
            read.addr.eq(port.rows.addr),
            read.en.eq(port.rows.enable),
            port.rows.data.as_value().eq(read.data),
        ]
        m.d.sync += [
            head.eq(head + freed),
            tail.eq(tail + arrives),
            held.eq(held + arrives - freed),
            free.eq(free + freed - asked),
        ]
        return m

    def ask(self, m: Module, free: Signal) -> Value:
        """Ask for one burst after the other as long as there is room; how many rows just now."""
        layout, bus = self.layout, self.memory
        burst_bytes = layout.burst_rows * layout.padded // 8
        last_rows = layout.rows - (layout.bursts - 1) * layout.burst_rows
        burst, offset = Signal(index_shape(layout.bursts)), Signal(ADDRESS_BITS)
        last, asks = Signal(), Signal()
        rows = Mux(last, last_rows, layout.burst_rows)
        m.d.comb += [
            last.eq(burst == layout.bursts - 1),
            asks.eq(
                self.started
                & ~self.failed
                & (free >= layout.burst_rows)
                & (~bus.arvalid | bus.arready)
            ),
            bus.arsize.eq((layout.bus_bits // 8).bit_length() - 1),
            bus.arburst.eq(INCR),
            bus.arcache.eq(BUFFERABLE),
        ]
        with m.If(asks):
            m.d.sync += [
                bus.arvalid.eq(1),
                bus.araddr.eq(Cat(Const(0, PAGE_BITS), self.base) + offset),
                bus.arlen.eq(rows * layout.beats - 1),
                burst.eq(Mux(last, 0, burst + 1)),
                offset.eq(Mux(last, 0, offset + burst_bytes)),
            ]
        with m.Elif(bus.arready):
            m.d.sync += bus.arvalid.eq(0)
        return Mux(asks, rows, 0)

    def row(self, m: Module) -> tuple[Signal, Signal]:
        """A row of one or several beats, and whether it is there in this cycle."""
        layout, bus = self.layout, self.memory
        row, arrives = Signal(layout.row_bits), Signal()
        m.d.comb += bus.rready.eq(1)
        with m.If(bus.rvalid & bus.rresp[1]):
            m.d.sync += self.failed.eq(1)
        if layout.beats == 1:
            m.d.comb += [row.eq(bus.rdata), arrives.eq(bus.rvalid)]
            return row, arrives
        before, beat = Signal(layout.padded - layout.bus_bits), Signal(range(layout.beats))
        m.d.comb += [
            row.eq(Cat(before, bus.rdata)),
            arrives.eq(bus.rvalid & (beat == layout.beats - 1)),
        ]
        with m.If(bus.rvalid):
            m.d.sync += [before.eq(Cat(before, bus.rdata) >> layout.bus_bits), beat.eq(beat + 1)]
        return row, arrives
