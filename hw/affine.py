"""The affine unit: a gain and a bias for each neuron, and if need be for each timestep.

Batch norm through time, and the one-to-one recurrence of a neuron to itself.
"""

from __future__ import annotations

from collections.abc import Sequence

from amaranth.hdl import Cat, Module, Mux, Shape, Signal, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .memories import memory
from .streams import current_stream, index_shape, packed, words_of


class Affine(wiring.Component):
    """``gain · x + bias``, exact, ``lanes`` neurons a cycle.

    Parameters
    ----------
    gain, bias: ``[T, n]`` integers; with ``T`` = 1 the same in every timestep, else those of a
        sample's timestep, which counts from 0 after ``end_of_sample``.
    lanes: neurons a beat.
    value, factor, result: shapes of ``x``, of a gain and of the result, which never overflows.
    """

    latency = 3

    def __init__(
        self,
        gain: Sequence[Sequence[int]],
        bias: Sequence[Sequence[int]],
        *,
        lanes: int,
        value: Shape,
        factor: Shape,
        result: Shape,
    ) -> None:
        self.lanes = lanes
        self.factor = factor
        self.steps = len(gain)
        self.words = words_of(len(gain[0]), lanes)
        # A bias may need more bits than the result: the product takes them away again.
        low, high = min(map(min, bias)), max(map(max, bias))
        self.offset = signed(max((-low - 1).bit_length(), high.bit_length(), 1) + 1)
        width = factor.width + self.offset.width
        self.rows = tuple(
            packed([g | b << factor.width for g, b in self.row(gains, biases, word)], width)
            for gains, biases in zip(gain, bias, strict=True)
            for word in range(self.words)
        )
        super().__init__(
            {
                "input": In(current_stream(lanes, value)),
                "output": Out(current_stream(lanes, result)),
            }
        )

    def row(self, gains: Sequence[int], biases: Sequence[int], word: int) -> list[tuple[int, int]]:
        """Gain and bias of each lane of ``word``, as unsigned bits of their shapes."""
        lanes = slice(word * self.lanes, (word + 1) * self.lanes)
        return [
            (packed([g], self.factor.width), packed([b], self.offset.width))
            for g, b in zip(gains[lanes], biases[lanes], strict=True)
        ]

    def elaborate(self, platform: object) -> Module:
        m = Module()
        arriving, leaving = self.input.payload, self.output.payload
        entry = data.StructLayout({"gain": self.factor, "bias": self.offset})
        row = data.ArrayLayout(entry, self.lanes)
        table = m.submodules.table = memory(
            unsigned(row.size), len(self.rows), self.rows, block=True
        )
        read = table.read_port()

        # The whole pipeline moves, or nothing does.
        move, accept = Signal(), Signal()
        place, restart = Signal(index_shape(len(self.rows))), Signal()
        valids, ends1, ends2 = Signal(2), Signal(2), Signal(2)
        m.d.comb += [
            move.eq(~self.output.valid | self.output.ready),
            self.input.ready.eq(move),
            accept.eq(self.input.valid & move),
            restart.eq(arriving.end_of_sample if self.steps > 1 else arriving.end_of_step),
            read.addr.eq(place),
            read.en.eq(accept),
        ]
        with m.If(accept):
            m.d.sync += place.eq(Mux(restart, 0, place + 1))

        # Stage 1: multiply. Stage 2: add.
        values = Signal.like(arriving.values, reset_less=True)
        entries = data.View(row, read.data)
        with m.If(move):
            m.d.sync += [
                Cat(valids, self.output.valid).eq(Cat(accept, valids)),
                Cat(ends1, ends2).eq(Cat(arriving.end_of_step, arriving.end_of_sample, ends1)),
                Cat(leaving.end_of_step, leaving.end_of_sample).eq(ends2),
                values.eq(arriving.values),
            ]
        for lane in range(self.lanes):
            exact = entries[lane].gain * values[lane]
            product = Signal(exact.shape(), name=f"product_{lane}", reset_less=True)
            bias = Signal(self.offset, name=f"bias_{lane}", reset_less=True)
            with m.If(move):
                m.d.sync += [
                    product.eq(exact),
                    bias.eq(entries[lane].bias),
                    leaving.values[lane].eq(product + bias),
                ]
        return m
