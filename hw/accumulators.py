"""Accumulators: the exact sums of a synapse, ``lanes`` neurons a word.

Two components with one signature. :class:`AccumulatorMemory` keeps several words in block RAM;
:class:`AccumulatorRegisters` keeps the only word in flip-flops, which alone can add every cycle
to the same word. Neither spends logic on clearing: a step's first event reads the biases in place
of the sums of the step before.
"""

from __future__ import annotations

from dataclasses import dataclass

from amaranth.hdl import Array, Cat, Module, Shape, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .memories import memory
from .streams import current_stream, index_shape, packed, words_of


@dataclass(frozen=True)
class AccumulatorLayout:
    """``size`` accumulators of shape ``total``, ``lanes`` a word, sent ``out_lanes`` a beat.

    ``out_lanes`` divides ``lanes``. ``bias`` holds the ``size`` values each step starts from.
    """

    size: int
    lanes: int
    out_lanes: int
    addend: Shape
    total: Shape
    bias: tuple[int, ...]

    def __post_init__(self) -> None:
        if self.lanes % self.out_lanes:
            raise ValueError(
                f"out_lanes is {self.out_lanes}, must divide the {self.lanes} synapse lanes"
            )

    @property
    def words(self) -> int:
        return words_of(self.size, self.lanes)

    @property
    def beats(self) -> int:
        """Beats in which one timestep's sums are sent."""
        return words_of(self.size, self.out_lanes)

    def bias_row(self, word: int) -> list[int]:
        row = list(self.bias[word * self.lanes : (word + 1) * self.lanes])
        return row + [0] * (self.lanes - len(row))


class Accumulators(wiring.Component):
    """What both kinds share: their ports, and the order in which sums are sent.

    Members
    -------
    word, first, enable
        Address phase: the next cycle's ``addends`` go to ``word``; ``first`` if they are the
        step's first, so that they are added to the biases.
    addends
        One addend a lane, a cycle after its address phase.
    drain, untouched, end_of_sample
        Send all sums (a pulse, after the last address phase); ``untouched`` if no addend came.
    currents
        The step's sums. ``drained`` pulses once the last of them has left the
        accumulators.
    """

    def __init__(self, layout: AccumulatorLayout) -> None:
        self.layout = layout
        super().__init__(
            {
                "word": In(index_shape(layout.words)),
                "first": In(1),
                "enable": In(1),
                "addends": In(data.ArrayLayout(layout.addend, layout.lanes)),
                "drain": In(1),
                "untouched": In(1),
                "end_of_sample": In(1),
                "currents": Out(current_stream(layout.out_lanes, layout.total)),
                "drained": Out(1),
            }
        )

    def sequence(self, m: Module) -> tuple[Signal, Signal, Signal]:
        """Beat order of a drain: current word, part of it, and whether to move on to a new one."""
        layout, output = self.layout, self.currents
        parts = layout.lanes // layout.out_lanes
        word, part = Signal(index_shape(layout.words)), Signal(index_shape(parts))
        present, sent, last, next_word = Signal(), Signal(), Signal(), Signal()
        last_word, last_part = divmod(layout.beats - 1, parts)
        m.d.comb += [
            sent.eq(present & (~output.valid | output.ready)),
            last.eq((word == last_word) & (part == last_part)),
            next_word.eq(sent & (part == parts - 1) & ~last),
            self.drained.eq(sent & last),
        ]
        with m.If(self.drain):
            m.d.sync += present.eq(1)
        with m.If(sent):
            m.d.sync += [
                output.valid.eq(1),
                output.payload.end_of_step.eq(last),
                output.payload.end_of_sample.eq(last & self.end_of_sample),
                part.eq(part + 1),
            ]
            with m.If(part == parts - 1):
                m.d.sync += part.eq(0)
            with m.If(next_word):
                m.d.sync += word.eq(word + 1)
            with m.If(last):
                m.d.sync += [word.eq(0), part.eq(0), present.eq(0)]
        with m.Elif(output.ready):
            m.d.sync += output.valid.eq(0)
        return word, part, next_word

    def send(self, m: Module, row: data.View, part: Signal) -> None:
        """Register part ``part`` of ``row`` as the output's values, whenever they may change."""
        lanes, output = self.layout.out_lanes, self.currents
        parts = [
            Cat(row[first + i] for i in range(lanes))
            for first in range(0, self.layout.lanes, lanes)
        ]
        with m.If(~output.valid | output.ready):
            m.d.sync += output.payload.values.as_value().eq(Array(parts)[part])


class AccumulatorMemory(Accumulators):
    """Sums in block RAM, two or more words.

    The lower half of the memory holds the biases and is never written, so starting a step from
    them takes an address bit and no multiplexer. A word is written back a cycle after it was read
    or, if there are three words or more, two cycles after, with a register in between that makes
    the loop fast; either way no word is read in the cycle in which it is written.
    """

    def elaborate(self, platform: object) -> Module:
        m = Module()
        layout = self.layout
        row = data.ArrayLayout(layout.total, layout.lanes)
        address_bits = len(self.word)
        depth = 1 << address_bits
        biases = [layout.bias_row(word) for word in range(depth)]
        sums = m.submodules.sums = memory(row, 2 * depth, biases, block=True)
        write, read = sums.write_port(), sums.read_port()

        word, part, next_word = self.sequence(m)
        drain_word = Signal.like(word)
        m.d.comb += [
            drain_word.eq(word + next_word),
            read.en.eq(self.enable | self.drain | next_word),
            read.addr.eq(Cat(drain_word, ~self.untouched)),
        ]
        with m.If(self.enable):
            m.d.comb += read.addr.eq(Cat(self.word, ~self.first))

        adding, written = Signal(), Signal.like(self.word)
        m.d.sync += [adding.eq(self.enable), written.eq(self.word)]
        before, addends = read.data, self.addends
        if layout.words > 2:
            before = Signal.like(read.data, reset_less=True)
            addends = Signal.like(self.addends, reset_less=True)
            adding2, written2 = Signal(), Signal.like(self.word)
            m.d.sync += [
                before.eq(read.data),
                addends.eq(self.addends),
                adding2.eq(adding),
                written2.eq(written),
            ]
            adding, written = adding2, written2
        m.d.comb += [write.addr.eq(Cat(written, 1)), write.en.eq(adding)]
        for lane in range(layout.lanes):
            m.d.comb += write.data[lane].eq(before[lane] + addends[lane])
        self.send(m, read.data, part)
        return m


class AccumulatorRegisters(Accumulators):
    """Sums in flip-flops: one word, an addition every cycle."""

    def elaborate(self, platform: object) -> Module:
        m = Module()
        layout = self.layout
        total = Signal(data.ArrayLayout(layout.total, layout.lanes), init=layout.bias_row(0))
        _, part, _ = self.sequence(m)
        adding = Signal()
        m.d.sync += adding.eq(self.enable)
        with m.If(adding):
            for lane in range(layout.lanes):
                m.d.sync += total[lane].eq(total[lane] + self.addends[lane])
        with m.If(self.drained):
            m.d.sync += total.as_value().eq(packed(layout.bias_row(0), layout.total.width))
        self.send(m, total, part)
        return m


def accumulators(layout: AccumulatorLayout) -> Accumulators:
    """The kind that fits ``layout``."""
    return AccumulatorRegisters(layout) if layout.words == 1 else AccumulatorMemory(layout)
