"""Between beats of lanes and events: work follows the spikes only."""

from __future__ import annotations

from amaranth.hdl import Array, Cat, Module, Mux, Shape, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .memories import memory
from .streams import current_stream, index_shape, spike_stream, words_of


class EventEncoder(wiring.Component):
    """Turns beats of spikes into events, one a cycle, in ascending order.

    A beat without spikes takes one cycle, and so does the end of a timestep.
    """

    def __init__(self, size: int, lanes: int, value: Shape) -> None:
        self.size = size
        self.lanes = lanes
        super().__init__(
            {"input": In(current_stream(lanes, value)), "output": Out(spike_stream(size, value))}
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        words = words_of(self.size, self.lanes)
        held = Signal.like(self.input.payload, reset_less=True)
        waiting = Signal(self.lanes)
        closing = Signal()
        starting = Signal(init=1)
        word = Signal(index_shape(words))
        event = self.output.payload

        lane = Signal(index_shape(self.lanes))
        rest = Signal(self.lanes)
        m.d.comb += rest.eq(waiting & (waiting - 1))
        for i in reversed(range(self.lanes)):
            with m.If(waiting[i]):
                m.d.comb += lane.eq(i)
        shift = self.lanes.bit_length() - 1
        aligned = self.lanes & (self.lanes - 1) == 0
        m.d.comb += [
            event.index.eq(Cat(lane[:shift], word) if aligned else word * self.lanes + lane),
            event.value.eq(Array(held.values)[lane]),
            event.end_of_step.eq(~waiting.any()),
            event.end_of_sample.eq(held.end_of_sample & ~waiting.any()),
            self.output.valid.eq(waiting.any() | closing),
        ]

        # A step's end is a beat of its own, once no spike is left.
        sent = self.output.ready
        last = Signal()
        m.d.comb += [
            last.eq(~rest.any() & ~(waiting.any() & closing)),
            self.input.ready.eq(~self.output.valid | (sent & last)),
        ]
        with m.If(self.output.valid & sent):
            m.d.sync += waiting.eq(rest)
            with m.If(~waiting.any()):
                m.d.sync += closing.eq(0)
        with m.If(self.input.ready & self.input.valid):
            beat = self.input.payload
            m.d.sync += [
                held.eq(beat),
                waiting.eq(Cat(value.any() for value in beat.values)),
                closing.eq(beat.end_of_step),
                starting.eq(beat.end_of_step),
                word.eq(Mux(starting, 0, word + 1)),
            ]
        return m


class EventDecoder(wiring.Component):
    """Turns each timestep's events into beats of lanes, for what reads every neuron.

    After reset one silent pass over the memory clears what an interrupted step left there.
    """

    def __init__(self, size: int, lanes: int, value: Shape) -> None:
        self.size = size
        self.lanes = lanes
        super().__init__(
            {"input": In(spike_stream(size, value)), "output": Out(current_stream(lanes, value))}
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        words = words_of(self.size, self.lanes)
        event, beat = self.input.payload, self.output.payload
        row = data.ArrayLayout(event.value.shape(), self.lanes)
        held = m.submodules.held = memory(row, words)
        write, read = held.write_port(granularity=1), held.read_port()

        draining, silent, ends_sample = Signal(init=1), Signal(init=1), Signal()
        reading, shown = Signal(index_shape(words)), Signal(index_shape(words))
        pending, leaving = Signal(init=1), Signal()
        shift = self.lanes.bit_length() - 1
        aligned = self.lanes & (self.lanes - 1) == 0
        word = event.index >> shift if aligned else event.index // self.lanes
        lane = event.index[:shift] if aligned else event.index % self.lanes
        valid = Signal()
        m.d.comb += [
            self.input.ready.eq(~draining),
            self.output.valid.eq(valid & ~silent),
            leaving.eq(valid & (self.output.ready | silent)),
            beat.values.eq(read.data),
            beat.end_of_step.eq(shown == words - 1),
            beat.end_of_sample.eq(beat.end_of_step & ends_sample),
            read.addr.eq(reading),
            read.en.eq(draining & pending & (~valid | leaving)),
        ]
        with m.If(self.input.valid & self.input.ready):
            with m.If(event.end_of_step):
                m.d.sync += [
                    draining.eq(1),
                    pending.eq(1),
                    silent.eq(0),
                    ends_sample.eq(event.end_of_sample),
                ]
            with m.Else():
                m.d.comb += [write.addr.eq(word), write.en.eq(1 << lane)]
                for target in write.data:
                    m.d.comb += target.eq(event.value)

        # A word that leaves is cleared behind it.
        with m.If(leaving):
            m.d.comb += [write.addr.eq(shown), write.en.eq(~0), write.data.as_value().eq(0)]
            m.d.sync += valid.eq(0)
            with m.If(beat.end_of_step):
                m.d.sync += draining.eq(0)
        with m.If(read.en):
            m.d.sync += [valid.eq(1), shown.eq(reading), reading.eq(reading + 1)]
            with m.If(reading == words - 1):
                m.d.sync += [reading.eq(0), pending.eq(0)]
        return m
