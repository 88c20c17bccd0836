"""Where the spikes of whole layers wait in a sequential engine, and how they are read as events.

Each timestep of a layer is one row of bits, a bit a neuron: all its events are in reach at once,
so a silent step costs no search. The values of graded spikes wait beside the bits.
"""

from __future__ import annotations

from amaranth.hdl import Array, Cat, Module, Mux, Shape, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..memories import memory
from ..streams import index_shape


class SpikeStore(wiring.Component):
    """Spikes of ``slots`` layers of up to ``words`` words of ``lanes`` neurons, ``steps`` steps.

    Members
    -------
    write, write_slot, write_step, write_word, values: a word of spikes of one timestep.
    start, slot, last_step, last_word: begin to read a layer of ``last_word + 1`` words, two cycles
        later; its timesteps follow each other for ever.
    event, close, index: what is there to take: an event of neuron ``index``, else the end of the
        timestep. Taken in each cycle in which ``take`` is set.
    value: that of the event taken in the cycle before.
    """

    def __init__(self, slots: int, words: int, lanes: int, steps: int, value: Shape) -> None:
        self.words, self.lanes, self.value_shape = words, lanes, value
        self.graded = value != Shape(1)
        self.depth = 1 << (index_shape(slots).width + index_shape(steps).width)
        step, slot, word = index_shape(steps), index_shape(slots), index_shape(words)
        super().__init__(
            {
                "write": In(1),
                "write_slot": In(slot),
                "write_step": In(step),
                "write_word": In(word),
                "values": In(data.ArrayLayout(value, lanes)),
                "start": In(1),
                "slot": In(slot),
                "last_step": In(step),
                "last_word": In(word),
                "event": Out(1),
                "close": Out(1),
                "index": Out(index_shape(words * lanes)),
                "take": In(1),
                "value": Out(value),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        fires = Cat(self.values[lane].any() for lane in range(self.lanes))

        # A row is what follows the one at work, read ahead of it.
        ahead, starting = Signal.like(self.last_step), Signal()
        pending = Signal(self.words * self.lanes)
        following = Signal.like(ahead)
        first = Signal.like(pending)
        advance = Signal()
        m.d.comb += [
            self.event.eq(pending.any()),
            self.close.eq(~self.event),
            advance.eq(starting | (self.take & self.close)),
            following.eq(Mux(self.start | (ahead == self.last_step), 0, ahead + 1)),
            first.eq(pending & (~pending + 1)),
        ]
        m.d.sync += starting.eq(self.start)
        with m.If(self.start | advance):
            m.d.sync += ahead.eq(following)
        rows = []
        for word in range(self.words):
            bank = memory(self.lanes, self.depth)
            m.submodules[f"bits{word}"] = bank
            write, read = bank.write_port(), bank.read_port()
            m.d.comb += [
                write.addr.eq(Cat(self.write_step, self.write_slot)),
                write.data.eq(fires),
                write.en.eq(self.write & (self.write_word == word)),
                read.addr.eq(Cat(following, self.slot)),
                read.en.eq(self.start | advance),
            ]
            # What a wider layer left there is not of this one.
            rows.append(Mux(word <= self.last_word, read.data, 0))
        with m.If(advance):
            m.d.sync += pending.eq(Cat(rows))
        with m.Elif(self.take):
            m.d.sync += pending.eq(pending & ~first)
        # The place of the one bit that is set in ``first``.
        count = len(pending)
        m.d.comb += self.index.eq(
            Cat(
                Cat(first[i] for i in range(count) if i >> bit & 1).any()
                for bit in range(len(self.index))
                if count > 1 << bit
            )
        )
        self._values(m)
        return m

    def _values(self, m: Module) -> None:
        """The values of graded spikes."""
        if not self.graded:
            m.d.comb += self.value.eq(1)
            return
        bits = (self.lanes - 1).bit_length()
        step, lane = Signal.like(self.last_step), Signal(index_shape(self.lanes))
        with m.If(self.start):
            m.d.sync += step.eq(0)
        with m.Elif(self.take & self.close):
            m.d.sync += step.eq(Mux(step == self.last_step, 0, step + 1))
        place = len(self.write_word)
        stored = memory(self.values.shape(), self.depth << place)
        m.submodules.values = stored
        write, read = stored.write_port(), stored.read_port()
        m.d.comb += [
            write.addr.eq(Cat(self.write_word, self.write_step, self.write_slot)),
            write.data.eq(self.values),
            write.en.eq(self.write),
            read.addr.eq(Cat((self.index >> bits)[:place], step, self.slot)),
            read.en.eq(self.take & self.event),
            self.value.eq(Array(read.data[i] for i in range(self.lanes))[lane]),
        ]
        with m.If(self.take):
            m.d.sync += lane.eq(self.index[:bits])
