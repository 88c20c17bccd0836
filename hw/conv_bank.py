"""A bank of a convolution's sums: read, add, write, every cycle, whatever the order of words."""

from __future__ import annotations

from typing import ClassVar

from amaranth.hdl import Module, Mux, Shape, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .memories import memory
from .streams import index_shape


class ConvBank(wiring.Component):
    """``depth`` words of ``lanes`` sums.

    An addition takes three cycles: the word is read, its sums pass a register, they are added to
    and written. A word that is still on its way through is taken from there: from the adder if
    the addition just before is to the same word, from what was written last if the one before
    that is. So additions may follow each other every cycle, to any words.

    Members
    -------
    enable, word
        Read ``word`` in order to add to it.
    addends
        What is added, two cycles later; shifted left by ``shift``.
    show, move, shown_word, shown
        While ``show`` is high nothing is added, and with each ``move`` words are read for the
        output: ``shown`` is the word of the last move but one, or 0 if that had no ``pick``.
    load, loaded_word, start
        Write ``start`` to a word which nothing reads.
    """

    FORWARD: ClassVar[tuple[int, ...]] = (1, 2)
    """Distances of two additions to the same word at which the second takes the first's sums."""

    def __init__(
        self, depth: int, lanes: int, addend: Shape, shift: int, total: Shape, *, block: bool
    ) -> None:
        self.depth = depth
        self.lanes = lanes
        self.shift = shift
        self.total = total
        self.block = block
        row = data.ArrayLayout(total, lanes)
        super().__init__(
            {
                "enable": In(1),
                "word": In(index_shape(depth)),
                "addends": In(data.ArrayLayout(addend, lanes)),
                "show": In(1),
                "move": In(1),
                "pick": In(1),
                "shown_word": In(index_shape(depth)),
                "shown": Out(row),
                "load": In(1),
                "loaded_word": In(index_shape(depth)),
                "start": In(row),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        sums = m.submodules.sums = memory(
            data.ArrayLayout(self.total, self.lanes), self.depth, block=self.block
        )
        write, read = sums.write_port(), sums.read_port()
        m.d.comb += [
            read.en.eq(Mux(self.show, self.move, self.enable)),
            read.addr.eq(Mux(self.show, self.shown_word, self.word)),
        ]

        # The two additions before, and whether the word now in the read register is theirs.
        reading, reading_word = Signal(), Signal.like(self.word)
        adding, adding_word = Signal(), Signal.like(self.word)
        just_before, before_that = Signal(), Signal()
        m.d.sync += [
            reading.eq(self.enable),
            reading_word.eq(self.word),
            adding.eq(reading),
            adding_word.eq(reading_word),
        ]
        if 1 in self.FORWARD:
            m.d.sync += just_before.eq(reading & (reading_word == self.word))
        if 2 in self.FORWARD:
            m.d.sync += before_that.eq(adding & (adding_word == self.word))

        before = Signal.like(read.data, reset_less=True)
        after, written = Signal.like(before), Signal.like(before, reset_less=True)
        for lane in range(self.lanes):
            m.d.comb += after[lane].eq(before[lane] + (self.addends[lane] << self.shift))
        m.d.sync += written.eq(after)
        picked = Signal()
        with m.If(self.move):
            m.d.sync += picked.eq(self.pick)
        with m.If(~self.show | self.move):
            m.d.sync += before.eq(read.data)
        with m.If(before_that):
            m.d.sync += before.eq(written)
        with m.If(just_before):
            m.d.sync += before.eq(after)
        with m.If(self.show & self.move & ~picked):
            m.d.sync += before.as_value().eq(0)

        m.d.comb += [
            self.shown.eq(before),
            write.en.eq(adding | self.load),
            write.addr.eq(Mux(self.load, self.loaded_word, adding_word)),
            write.data.eq(Mux(self.load, self.start.as_value(), after.as_value())),
        ]
        return m
