"""The 32-bit words that a host sends and receives.

Event word, little endian: ``[31]`` end of step, ``[30]`` end of sample, ``[29:16]`` value,
``[15:0]`` index. A word with bit 31 set carries no event. Packed word: as many values of the input
format as fit, the first in the lowest bits; a timestep begins with a new word.
"""

from __future__ import annotations

from amaranth.hdl import Array, Module, Shape, Signal, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..sw.formats import Format
from ..sw.network import NetworkError
from .streams import index_shape, shape_of, spike_stream

WORD = 32
INDEX_BITS = 16
VALUE_BITS = 14
END_OF_STEP = 31
END_OF_SAMPLE = 30


def word_stream() -> stream.Signature:
    """Words on AXI4-Stream terms: ``data`` and ``last``."""
    return stream.Signature(data.StructLayout({"data": WORD, "last": 1}))


def values_per_word(form: Format) -> int:
    """How many inputs a packed word carries."""
    return WORD // form.width


def check_input(size: int, form: Format) -> None:
    """Whether a host's words can carry the input of a network."""
    if size > 1 << INDEX_BITS:
        raise NetworkError(f"network has {size} inputs, words carry at most {1 << INDEX_BITS}")
    if form.width > VALUE_BITS:
        raise NetworkError(f"input format is {form}, words carry at most {VALUE_BITS} bits")


class WordDecoder(wiring.Component):
    """Makes events of the words that arrive.

    Members
    -------
    packed: whether words hold packed values instead of one event each; may change between samples.
    words: from the host. ``last`` on the word that ends a sample means what its bit 30 means; an
        event that carries it is followed by the end of its step and sample. An event whose index
        does not exist, or whose value is 0, is dropped.
    events: the network's input.
    """

    def __init__(self, size: int, form: Format) -> None:
        check_input(size, form)
        self.size = size
        self.format = form
        super().__init__(
            {
                "packed": In(1),
                "words": In(word_stream()),
                "events": Out(spike_stream(size, shape_of(form))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        word, last = self.words.payload.data, self.words.payload.last
        event, sent = self.events.payload, Signal()
        m.d.comb += sent.eq(self.events.valid & self.events.ready)
        closing = Signal()
        with m.If(closing):
            # The step's end after its last value, or after an event that ended the sample.
            m.d.comb += [
                self.events.valid.eq(1),
                event.end_of_step.eq(1),
                event.end_of_sample.eq(last),
                self.words.ready.eq(sent),
            ]
            with m.If(sent):
                m.d.sync += closing.eq(0)
        with m.Elif(self.packed):
            self.unpack(m, closing)
        with m.Else():
            binary = self.format == Format(1, 0, signed=False)
            marker, kept = word[END_OF_STEP], Signal()
            value = word[INDEX_BITS : INDEX_BITS + self.format.width]
            m.d.comb += [
                kept.eq(marker | ((word[:INDEX_BITS] < self.size) & (binary or value.any()))),
                self.events.valid.eq(self.words.valid & kept),
                event.index.eq(word[:INDEX_BITS]),
                event.value.eq(1 if binary else value),
                event.end_of_step.eq(marker),
                event.end_of_sample.eq(marker & (last | word[END_OF_SAMPLE])),
            ]
            with m.If(~marker & last):
                m.d.sync += closing.eq(self.words.valid & (sent | ~kept))
            with m.Else():
                m.d.comb += self.words.ready.eq(sent | ~kept)
        return m

    def unpack(self, m: Module, closing: Signal) -> None:
        """Go through a word's values; the last word of a step stays until the step is closed."""
        width, count = self.format.width, min(values_per_word(self.format), self.size)
        word, event = self.words.payload.data, self.events.payload
        slot, index = Signal(index_shape(count)), Signal(index_shape(self.size))
        values = [word[i * width : (i + 1) * width] for i in range(count)]
        value, done = Signal(width), Signal()
        m.d.comb += [
            value.eq(Array(values)[slot]),
            self.events.valid.eq(self.words.valid & value.any()),
            event.index.eq(index),
            event.value.eq(value),
            done.eq(self.words.valid & (~value.any() | self.events.ready)),
        ]
        with m.If(done):
            m.d.sync += [slot.eq(slot + 1), index.eq(index + 1)]
            with m.If(index == self.size - 1):
                m.d.sync += [slot.eq(0), index.eq(0), closing.eq(1)]
            with m.Elif(slot == count - 1):
                m.d.comb += self.words.ready.eq(1)
                m.d.sync += slot.eq(0)


def score_shape(form: Format) -> Shape:
    """The shape of a score, which must fit a word."""
    if form.width + (not form.signed) > WORD:
        raise NetworkError(f"scores need {form}, words carry at most s{WORD}.0")
    return signed(form.width) if form.signed else unsigned(form.width)
