"""A serial host link (UART: 8 data bits, no parity, 1 stop bit) that carries a design's words.

Every word is four bytes, the lowest first. A line break (the line held low for two characters or
longer) starts afresh: whatever is under way is forgotten and the design is reset.
"""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, ResetInserter, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.wiring import In, Out

from .buffers import StepBuffer

MIN_DIVISOR = 4
CHARACTER_BITS = 10
WORD_BITS = 4 * CHARACTER_BITS


def check_divisor(divisor: int) -> None:
    """Whether a bit may take ``divisor`` clock cycles."""
    if divisor < MIN_DIVISOR:
        raise ValueError(f"serial divisor is {divisor}, must be at least {MIN_DIVISOR} cycles")


class SerialReceiver(wiring.Component):
    """Takes bytes off a serial line, whose bits last ``divisor`` cycles each.

    Members
    -------
    rx: the line, asynchronous, 1 when idle.
    data, received: a byte, and for one cycle that it is there. It cannot be held up.
    garbled: for one cycle, that a character had no stop bit and was dropped.
    broken: for one cycle, that the line has then stayed low for another character: a line break.
    """

    def __init__(self, divisor: int) -> None:
        check_divisor(divisor)
        self.divisor = divisor
        super().__init__(
            {
                "rx": In(1, init=1),
                "data": Out(8),
                "received": Out(1),
                "broken": Out(1),
                "garbled": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        line = Signal(init=1)
        m.submodules.synchronizer = FFSynchronizer(self.rx, line, init=1)
        wait, bit = Signal(range(self.divisor)), Signal(range(CHARACTER_BITS + 1))
        # ``held``: no character until the line has been idle, as at power-up and after a missing
        # stop bit.
        busy, held = Signal(), Signal(init=1)
        last = (wait == 0) & (bit == CHARACTER_BITS - 1)
        with m.If(~busy & ~held):
            m.d.sync += [wait.eq(self.divisor // 2 - 1), bit.eq(0), busy.eq(~line)]
        with m.Elif(held & line):
            m.d.sync += held.eq(0)
        with m.Elif(wait != 0):
            m.d.sync += wait.eq(wait - 1)
        with m.Elif(bit != CHARACTER_BITS):
            m.d.sync += [wait.eq(self.divisor - 1), bit.eq(bit + 1)]
            with m.If(busy & (bit == 0)):
                m.d.sync += busy.eq(~line)
            with m.Elif(busy & ~last):
                m.d.sync += self.data.eq(Cat(self.data[1:], line))
            with m.Elif(busy):
                m.d.sync += [busy.eq(0), held.eq(~line), bit.eq(0)]
        m.d.comb += [
            self.received.eq(busy & last & line),
            self.garbled.eq(busy & last & ~line),
            self.broken.eq(held & last & ~line),
        ]
        return m


class SerialTransmitter(wiring.Component):
    """Puts the bytes of ``bytes`` on the serial line ``tx``, ``divisor`` cycles a bit."""

    def __init__(self, divisor: int) -> None:
        check_divisor(divisor)
        self.divisor = divisor
        super().__init__({"bytes": In(stream.Signature(8)), "tx": Out(1, init=1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        wait, left = Signal(range(self.divisor)), Signal(range(CHARACTER_BITS + 1))
        line = Signal(CHARACTER_BITS, init=-1)
        m.d.comb += [self.tx.eq(line[0]), self.bytes.ready.eq(left == 0)]
        with m.If(left == 0):
            m.d.sync += wait.eq(self.divisor - 1)
            with m.If(self.bytes.valid):
                m.d.sync += [line.eq(Cat(Const(0, 1), self.bytes.payload, Const(1, 1)))]
                m.d.sync += left.eq(CHARACTER_BITS)
        with m.Elif(wait != 0):
            m.d.sync += wait.eq(wait - 1)
        with m.Else():
            m.d.sync += [wait.eq(self.divisor - 1), left.eq(left - 1)]
            m.d.sync += line.eq(Cat(line[1:], Const(1, 1)))
        return m


class SerialLink(wiring.Component):
    """Words to and from a host over a serial line.

    A serial line cannot be told to wait, so bytes queue in a memory of ``depth``. None is lost if
    the design needs on average at most ``cycles_per_word`` cycles for a word, and never falls
    behind by more than ``depth`` bytes. Should that not hold, or a character arrive garbled, the
    link falls silent instead of sending wrong results, until a line break.

    Members
    -------
    rx, tx: the line from and to the host.
    words: what the host sends.
    results: what the host is to receive; may have to wait.
    reset: for one cycle, that the line is broken: the design must start afresh.
    fault: input was lost and the link is silent.
    """

    def __init__(self, divisor: int, depth: int = 512) -> None:
        check_divisor(divisor)
        self.divisor = divisor
        self.depth = depth
        super().__init__(
            {
                "rx": In(1, init=1),
                "tx": Out(1, init=1),
                "words": Out(stream.Signature(32)),
                "results": In(stream.Signature(32)),
                "reset": Out(1),
                "fault": Out(1),
            }
        )

    @property
    def cycles_per_word(self) -> int:
        """Cycles between two words of a host that sends without a pause."""
        return WORD_BITS * self.divisor

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.receiver = receiver = SerialReceiver(self.divisor)
        m.submodules.transmitter = transmitter = SerialTransmitter(self.divisor)
        queue = StepBuffer(stream.Signature(8), self.depth)
        m.submodules.queue = ResetInserter(self.reset)(queue)
        m.d.comb += [
            receiver.rx.eq(self.rx),
            self.tx.eq(transmitter.tx),
            self.reset.eq(receiver.broken),
            queue.input.payload.eq(receiver.data),
            queue.input.valid.eq(receiver.received & ~self.fault),
        ]
        with m.If(receiver.garbled | (receiver.received & ~queue.input.ready)):
            m.d.sync += self.fault.eq(1)

        # Words from bytes, results to bytes: the lowest goes first.
        place, left, result = Signal(2), Signal(range(5)), Signal(32)
        m.d.comb += queue.output.ready.eq(~self.words.valid)
        with m.If(queue.output.valid & queue.output.ready):
            m.d.sync += [
                self.words.payload.eq(Cat(self.words.payload[8:], queue.output.payload)),
                place.eq(place + 1),
                self.words.valid.eq(place == 3),
            ]
        with m.Elif(self.words.ready):
            m.d.sync += self.words.valid.eq(0)

        m.d.comb += [
            self.results.ready.eq((left == 0) & ~self.fault),
            transmitter.bytes.payload.eq(result[:8]),
            transmitter.bytes.valid.eq((left != 0) & ~self.fault),
        ]
        with m.If(self.results.valid & self.results.ready):
            m.d.sync += [result.eq(self.results.payload), left.eq(4)]
        with m.Elif(transmitter.bytes.valid & transmitter.bytes.ready):
            m.d.sync += [result.eq(result >> 8), left.eq(left - 1)]

        with m.If(self.reset):
            m.d.sync += [place.eq(0), left.eq(0), self.fault.eq(0), self.words.valid.eq(0)]
        return m
