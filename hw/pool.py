"""Pooling on the stream, pixel by pixel as the beats come: no image is ever stored.

A beat holds ``lanes`` channels of one pixel. Windows lie side by side (stride = window), so only
one row of them is at work at a time; what lies beyond the last whole window is dropped. Which
result is the step's last shows before its last beat has come: it waits for that beat.
"""

from __future__ import annotations

from typing import NamedTuple

from amaranth.hdl import Cat, Module, Mux, Shape, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..sw.network import Pool as PoolNode
from ..sw.network import PoolOp
from .folds import FoldingError
from .memories import memory
from .streams import current_stream, index_shape


def check_pool(node: PoolNode) -> None:
    """Raise :class:`FoldingError` unless windows lie side by side, without padding."""
    counts = node.out_shape[1:]
    for count, size, extent, step in zip(
        counts, node.shape[1:], node.window, node.stride, strict=True
    ):
        if node.padding != (0, 0) or (step != extent and (count > 1 or size >= 2 * extent)):
            raise FoldingError(
                f"node '{node.name}': window {node.window}, stride {node.stride} and padding "
                f"{node.padding}, must have a stride equal to the window and no padding"
            )


class _Axis(NamedTuple):
    """A position along one axis: the ``window``, and whether it is the ``last`` one, ``begins`` or
    ``turns`` to the next here; ``inside`` a window at all; at the ``end`` of the axis.
    """

    window: Value
    last: Value
    begins: Value
    turns: Value
    inside: Value
    end: Value


def _axis(m: Module, name: str, size: int, extent: int, count: int, step: Value) -> _Axis:
    """Walks along ``size`` pixels in ``count`` windows of ``extent``, a pixel on each ``step``."""
    place = Signal(index_shape(size), name=name)
    within = Signal(index_shape(extent), name=f"{name}_within")
    window = Signal(index_shape(count + 1), name=f"{name}_window")
    end, turns = Signal(name=f"{name}_end"), Signal(name=f"{name}_turns")
    m.d.comb += [end.eq(place == size - 1), turns.eq(within == extent - 1)]
    with m.If(step):
        m.d.sync += [
            place.eq(Mux(end, 0, place + 1)),
            within.eq(Mux(end | turns, 0, within + 1)),
            window.eq(Mux(end, 0, window + turns)),
        ]
    return _Axis(window, window == count - 1, within == 0, turns, window < count, end)


class _OnImages(wiring.Component):
    """An image of ``shape`` in, ``lanes`` channels a beat (a divisor of them all); a smaller one
    out.
    """

    def __init__(
        self, shape: tuple[int, int, int], lanes: int, value: Shape, result: Shape
    ) -> None:
        self.shape = shape
        self.lanes = lanes
        self.words = shape[0] // lanes
        super().__init__(
            {
                "input": In(current_stream(lanes, value)),
                "output": Out(current_stream(lanes, result)),
            }
        )

    def walk(
        self, m: Module, accept: Value, windows: tuple[int, int], counts: tuple[int, int]
    ) -> tuple[Signal, _Axis, _Axis]:
        """The word of the pixel that the next beat holds, and where the pixel lies."""
        word, pixel_ends = Signal(index_shape(self.words)), Signal()
        m.d.comb += pixel_ends.eq(accept & (word == self.words - 1))
        with m.If(accept):
            m.d.sync += word.eq(Mux(pixel_ends, 0, word + 1))
        _, height, width = self.shape
        x = _axis(m, "x", width, windows[1], counts[1], pixel_ends)
        y = _axis(m, "y", height, windows[0], counts[0], pixel_ends & x.end)
        return word, y, x


class Pool(_OnImages):
    """The ``sum`` or ``max``imum of each window, exact; one beat a cycle.

    Parameters
    ----------
    op, shape, window: as in the contract's node; windows lie side by side.
    counts: rows and columns of windows.
    lanes: channels a beat, a divisor of them all.
    value, result: shapes of what comes and leaves; no result overflows.

    Members
    -------
    input, output: each timestep's images.
    """

    latency = 2
    """Cycles from a window's last beat to its result."""

    def __init__(
        self,
        op: PoolOp,
        shape: tuple[int, int, int],
        window: tuple[int, int],
        counts: tuple[int, int],
        *,
        lanes: int,
        value: Shape,
        result: Shape,
    ) -> None:
        self.op = op
        self.window = window
        self.counts = counts
        # A window's maximum may have bounds that not every pixel keeps to.
        self.partial = result if op == "sum" else value
        super().__init__(shape, lanes, value, result)

    @property
    def cells(self) -> int:
        """Words of partial results: one row of windows."""
        return self.counts[1] * self.words

    def elaborate(self, platform: object) -> Module:
        m = Module()
        beat, result = self.input.payload, self.output.payload
        row = data.ArrayLayout(self.partial, self.lanes)
        partials = m.submodules.partials = memory(row, self.cells)
        write, read = partials.write_port(), partials.read_port()

        # A beat arrives: its partial result is read.
        move, accept, kept = Signal(), Signal(), Signal()
        m.d.comb += [
            move.eq(~self.output.valid | self.output.ready),
            self.input.ready.eq(move),
            accept.eq(self.input.valid & move),
        ]
        word, y, x = self.walk(m, accept, self.window, self.counts)
        index = index_shape(self.cells)
        first, cell, cell1 = Signal(index), Signal(index), Signal(index)
        m.d.comb += [
            kept.eq(y.inside & x.inside),
            cell.eq(first + word),
            read.addr.eq(cell),
            read.en.eq(accept & kept),
        ]
        with m.If(accept & (word == self.words - 1)):
            m.d.sync += first.eq(Mux(x.end, 0, Mux(x.turns, first + self.words, first)))

        # A cycle later it is brought up to date; what was just written is not read from memory.
        valid, ends = Signal(), Signal(2)
        kept1, starts, done, final, again = Signal(), Signal(), Signal(), Signal(), Signal()
        values = Signal.like(beat.values, name="values1", reset_less=True)
        updated, before = Signal(row), Signal(row, reset_less=True)
        with m.If(move):
            m.d.sync += valid.eq(accept)
        with m.If(accept):
            m.d.sync += [
                values.eq(beat.values),
                ends.eq(Cat(beat.end_of_step, beat.end_of_sample)),
                kept1.eq(kept),
                starts.eq(y.begins & x.begins),
                done.eq(kept & y.turns & x.turns),
                final.eq(y.last & x.last & (word == self.words - 1)),
            ]
            with m.If(kept):
                m.d.sync += [cell1.eq(cell), again.eq(cell == cell1)]
        for lane in range(self.lanes):
            old = Mux(again, before[lane], read.data[lane])
            new = values[lane]
            pooled = old + new if self.op == "sum" else Mux(old > new, old, new)
            m.d.comb += updated[lane].eq(Mux(starts, new, pooled))
        m.d.comb += [
            write.addr.eq(cell1),
            write.data.eq(updated),
            write.en.eq(move & valid & kept1),
        ]
        with m.If(write.en):
            m.d.sync += before.eq(updated)

        with m.If(move):
            m.d.sync += [
                self.output.valid.eq(valid & (ends[0] | (done & ~final))),
                Cat(result.end_of_step, result.end_of_sample).eq(ends),
            ]
            with m.If(valid & done):
                m.d.sync += [result.values[lane].eq(updated[lane]) for lane in range(self.lanes)]
        return m


class Subsample(_OnImages):
    """Keeps the first pixel of each ``stride``: what a strided 1×1 convolution reads."""

    latency = 1

    def __init__(
        self, shape: tuple[int, int, int], stride: tuple[int, int], lanes: int, value: Shape
    ) -> None:
        self.stride = stride
        super().__init__(shape, lanes, value, value)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        beat, result = self.input.payload, self.output.payload
        accept = Signal()
        counts = tuple(-(-n // s) for n, s in zip(self.shape[1:], self.stride, strict=True))
        word, y, x = self.walk(m, accept, self.stride, counts)
        takes, final = Signal(), Signal()
        m.d.comb += [
            self.input.ready.eq(~self.output.valid | self.output.ready),
            accept.eq(self.input.valid & self.input.ready),
            takes.eq(y.begins & x.begins),
            final.eq(y.last & x.last & (word == self.words - 1)),
        ]
        with m.If(self.input.ready):
            m.d.sync += [
                self.output.valid.eq(accept & (beat.end_of_step | (takes & ~final))),
                Cat(result.end_of_step, result.end_of_sample).eq(
                    Cat(beat.end_of_step, beat.end_of_sample)
                ),
            ]
            with m.If(accept & takes):
                m.d.sync += result.values.eq(beat.values)
        return m
