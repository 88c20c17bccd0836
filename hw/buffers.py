"""Buffers of whole timesteps: what lets layers work on successive steps at once.

A residual shortcut waits here for its branch. The builder sizes a buffer by analysis, in whole
timesteps: one more than the branch lags behind, so that no pattern of stalls can deadlock.
"""

from __future__ import annotations

from amaranth.hdl import Module, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .memories import memory
from .streams import index_shape


class StepBuffer(wiring.Component):
    """A first-in first-out queue of ``depth`` beats in memory, plus one in its output.

    ``latency`` cycles lie between a beat's arrival and its departure from an empty queue.
    """

    latency = 2

    def __init__(self, signature: stream.Signature, depth: int) -> None:
        self.depth = depth
        super().__init__({"input": In(signature), "output": Out(signature)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        width = Value.cast(self.input.payload).shape().width
        queue = m.submodules.queue = memory(width, self.depth)
        write, read = queue.write_port(), queue.read_port()
        tail, head = Signal(index_shape(self.depth)), Signal(index_shape(self.depth))
        level = Signal(range(self.depth + 1))

        push, pull = Signal(), Signal()
        m.d.comb += [
            self.input.ready.eq(level != self.depth),
            push.eq(self.input.valid & self.input.ready),
            pull.eq((level != 0) & (~self.output.valid | self.output.ready)),
            write.addr.eq(tail),
            write.data.eq(self.input.payload),
            write.en.eq(push),
            read.addr.eq(head),
            read.en.eq(pull),
            Value.cast(self.output.payload).eq(read.data),
        ]
        m.d.sync += level.eq(level + push - pull)
        for pointer, step in ((tail, push), (head, pull)):
            with m.If(step):
                m.d.sync += pointer.eq(pointer + 1)
                with m.If(pointer == self.depth - 1):
                    m.d.sync += pointer.eq(0)
        with m.If(pull):
            m.d.sync += self.output.valid.eq(1)
        with m.Elif(self.output.ready):
            m.d.sync += self.output.valid.eq(0)
        return m
