"""A delayed edge: what a node sent in one timestep arrives in the next, zeros in a sample's first.

Zeros also follow the step that ends a sample, so each sample starts from rest. Whether a step is
its sample's last shows only in its last beat: a step leaves once all of it has come in.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Array, Module, Mux, Shape, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .memories import memory
from .streams import current_stream, index_shape


class StepDelay(wiring.Component):
    """A step of zeros, then each step of ``input`` one timestep later.

    It holds ``steps`` whole timesteps of ``words`` beats, the zeros among them: with two, a source
    can always send a whole step before the one in front of it is taken, so no loop deadlocks.
    The output never says ``end_of_sample``: how long a sample is, a delayed step cannot know.
    ``latency`` cycles lie between a step's last beat and its departure.
    """

    latency = 2

    def __init__(self, words: int, lanes: int, value: Shape, steps: int = 2) -> None:
        self.words = words
        self.steps = steps
        stream = current_stream(lanes, value)
        super().__init__({"input": In(stream), "output": Out(stream)})

    @property
    def depth(self) -> int:
        """Beats it holds."""
        return self.words * self.steps

    def elaborate(self, platform: object) -> Module:
        m = Module()
        arriving, leaving = self.input.payload, self.output.payload
        queue = m.submodules.queue = memory(Value.cast(arriving.values).shape(), self.depth)
        write, read = queue.write_port(), queue.read_port()

        # Complete steps, and which of them are zeros: at first one, in slot 0.
        held = Signal(range(self.steps + 1), init=1)
        zeros = Signal(self.steps, init=1)
        begins, ends = Signal(), Signal()
        tail = self.pointer(m, write, "tail", init=1 % self.steps)
        head = self.pointer(m, read, "head", init=0)
        m.d.comb += [
            self.input.ready.eq(held != self.steps),
            write.en.eq(self.input.valid & self.input.ready),
            write.data.eq(arriving.values.as_value()),
            begins.eq(write.en & arriving.end_of_step),
            read.en.eq((held != 0) & (~self.output.valid | self.output.ready)),
            ends.eq(read.en & head.last),
        ]
        m.d.sync += held.eq(held + begins - ends)
        with m.If(begins):
            m.d.sync += Array(zeros)[tail.slot].eq(arriving.end_of_sample)

        silent = Signal()
        m.d.comb += leaving.values.as_value().eq(Mux(silent, 0, read.data))
        with m.If(read.en):
            m.d.sync += [
                self.output.valid.eq(1),
                leaving.end_of_step.eq(head.last),
                silent.eq(Array(zeros)[head.slot]),
            ]
        with m.Elif(self.output.ready):
            m.d.sync += self.output.valid.eq(0)
        return m

    def pointer(self, m: Module, port: wiring.PureInterface, name: str, init: int) -> Any:
        """The place of ``port``: it moves a beat on with each access, from slot ``init`` on."""
        layout = data.StructLayout(
            {"beat": index_shape(self.words), "slot": index_shape(self.steps), "last": 1}
        )
        place = Signal(layout, name=name, init={"slot": init, "last": self.words == 1})
        address = Signal(index_shape(self.depth), name=f"{name}_address", init=init * self.words)
        m.d.comb += port.addr.eq(address)
        with m.If(port.en):
            m.d.sync += address.eq(Mux(address == self.depth - 1, 0, address + 1))
            m.d.sync += place.beat.eq(Mux(place.last, 0, place.beat + 1))
            if self.words > 1:
                m.d.sync += place.last.eq(place.beat == self.words - 2)
            with m.If(place.last):
                m.d.sync += place.slot.eq(Mux(place.slot == self.steps - 1, 0, place.slot + 1))
        return place
