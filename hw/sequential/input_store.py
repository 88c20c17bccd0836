"""Where a sample waits in a sequential engine: its events, to be read more than once."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Shape, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..memories import memory
from ..streams import index_shape, spike_stream


class InputStore(wiring.Component):
    """The events of one sample of up to ``steps`` timesteps of ``size`` inputs.

    Members
    -------
    events: a sample, taken up to its end and then no more until ``free``.
    full, last_step: a whole sample is there, of ``last_step + 1`` timesteps.
    start: begin to read, a cycle later; the timesteps follow each other for ever.
    event, close, index: what is there to take: an event or the end of a timestep. Taken in each
        cycle in which ``take`` is set.
    value: that of the event taken in the cycle before.
    free: the sample has been read for the last time.
    """

    def __init__(self, size: int, steps: int, value: Shape) -> None:
        self.steps = steps
        self.entry = data.StructLayout({"close": 1, "index": index_shape(size), "value": value})
        self.depth = steps * (size + 1)
        super().__init__(
            {
                "events": In(spike_stream(size, value)),
                "full": Out(1),
                "last_step": Out(index_shape(steps)),
                "start": In(1),
                "event": Out(1),
                "close": Out(1),
                "index": Out(index_shape(size)),
                "take": In(1),
                "value": Out(value),
                "free": In(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        entries = m.submodules.entries = memory(self.entry, self.depth)
        write, read = entries.write_port(), entries.read_port()
        beat, moves = self.events.payload, Signal()
        place, step = Signal(index_shape(self.depth)), Signal.like(self.last_step)
        m.d.comb += [
            self.events.ready.eq(~self.full),
            moves.eq(self.events.valid & self.events.ready),
            write.addr.eq(place),
            write.en.eq(moves),
            write.data.close.eq(beat.end_of_step),
            write.data.index.eq(beat.index),
            write.data.value.eq(beat.value),
        ]
        with m.If(moves):
            m.d.sync += place.eq(place + 1)
            with m.If(beat.end_of_step):
                m.d.sync += [self.last_step.eq(step), step.eq(step + 1)]
                with m.If(beat.end_of_sample):
                    m.d.sync += [self.full.eq(1), place.eq(0), step.eq(0)]
        with m.If(self.free):
            m.d.sync += self.full.eq(0)

        at, reading, following = Signal.like(place), Signal.like(step), Signal.like(place)
        ends = Signal()
        m.d.comb += [
            self.event.eq(~read.data.close),
            self.close.eq(read.data.close),
            self.index.eq(read.data.index),
            ends.eq(self.close & (reading == self.last_step)),
            following.eq(Mux(self.start | ends, 0, at + 1)),
            read.addr.eq(following),
            read.en.eq(self.start | self.take),
        ]
        with m.If(self.start):
            m.d.sync += [at.eq(0), reading.eq(0)]
        with m.Elif(self.take):
            m.d.sync += [at.eq(following), self.value.eq(read.data.value)]
            with m.If(self.close):
                m.d.sync += reading.eq(Mux(ends, 0, reading + 1))
        return m
