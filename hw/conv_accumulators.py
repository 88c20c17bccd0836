"""The sums of a convolution: banks that events add to, sent and started afresh every timestep."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Array, Cat, Const, Module, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .conv_bank import ConvBank
from .conv_layout import ConvLayout
from .streams import current_stream, index_shape, packed


@dataclass(frozen=True)
class Place:
    """A word of the image: its ``word`` in its bank, its number in the pixel, its bank (one of
    ``banks`` is high); ``last`` is high at the image's last.
    """

    word: Value
    channels: Signal
    banks: list[Value]
    last: Value


def walk(m: Module, layout: ConvLayout, step: Value, name: str) -> Place:
    """Visits all words of an image in the order in which they are sent, one each ``step``."""
    rows, columns, words = layout.out_shape[1], layout.out_shape[2], layout.pixel_words
    bank_rows, bank_columns = layout.bank_grid
    row_pitch = layout.bank_shape[1] * words
    if layout.banks == 1:  # Then the rows follow each other.
        rows, columns = 1, rows * columns

    def counter(what: str, count: int) -> tuple[Signal, Value]:
        signal = Signal(index_shape(count), name=f"{name}_{what}")
        return signal, signal == count - 1

    channels, last_channels = counter("channels", words)
    x, last_x = counter("x", columns)
    y, last_y = counter("y", rows)
    column_bank, last_column_bank = counter("column_bank", bank_columns)
    row_bank, last_row_bank = counter("row_bank", bank_rows)
    across = Signal(index_shape(layout.depth), name=f"{name}_across")
    down = Signal(index_shape(layout.depth), name=f"{name}_down")
    last = last_channels & last_x & last_y
    with m.If(step):
        m.d.sync += channels.eq(channels + 1)
        with m.If(last_channels):
            m.d.sync += [channels.eq(0), x.eq(x + 1), column_bank.eq(column_bank + 1)]
            with m.If(last_column_bank):
                m.d.sync += [column_bank.eq(0), across.eq(across + words)]
            with m.If(last_x):
                m.d.sync += [x.eq(0), column_bank.eq(0), across.eq(0)]
                m.d.sync += [y.eq(y + 1), row_bank.eq(row_bank + 1)]
                with m.If(last_row_bank):
                    m.d.sync += [row_bank.eq(0), down.eq(down + row_pitch)]
                with m.If(last_y):
                    m.d.sync += [y.eq(0), row_bank.eq(0), down.eq(0)]
    banks = [
        (row_bank == i) & (column_bank == j) for i in range(bank_rows) for j in range(bank_columns)
    ]
    return Place((down + across + channels)[: len(across)], channels, banks, last)


class ConvAccumulators(wiring.Component):
    """All sums of a convolution.

    At the end of a timestep the sums leave; each word that has been read is at once started
    afresh for the next one. Reading never waits for that, nor does it for ``initial``: the last
    timestep of all has no successor. After reset all words are started.

    Members
    -------
    ready
        All sums are started and none is leaving: additions may begin, and so may ``drain``.
    enable, words
        Address phase of an addition, by bank.
    addends
        By bank and lane, two cycles later.
    drain, end_of_sample
        Send all sums (a pulse, not before the cycle of the last addends).
    currents
        The timestep's sums.
    initial
        If the layout has it: what the next timestep's sums start from, beside the biases.
    """

    def __init__(self, layout: ConvLayout) -> None:
        self.layout = layout
        banks = layout.banks
        members: dict[str, wiring.Member] = {
            "ready": Out(1),
            "enable": In(banks),
            "words": In(data.ArrayLayout(index_shape(layout.depth), banks)),
            "addends": In(data.ArrayLayout(data.ArrayLayout(layout.addend, layout.lanes), banks)),
            "drain": In(1),
            "end_of_sample": In(1),
            "currents": Out(current_stream(layout.out_lanes, layout.current)),
        }
        if layout.initial is not None:
            members["initial"] = In(current_stream(layout.out_lanes, layout.initial))
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        banks = [self.bank() for _ in range(self.layout.banks)]
        for number, bank in enumerate(banks):
            m.submodules[f"bank{number}"] = bank
            m.d.comb += [
                bank.enable.eq(self.enable[number]),
                bank.word.eq(self.words[number]),
                bank.addends.eq(self.addends[number]),
            ]

        left, showing = self.send(m, banks)
        m.d.comb += self.ready.eq(~showing & ~self.restart(m, banks, left))
        return m

    def send(self, m: Module, banks: list[ConvBank]) -> tuple[Signal, Signal]:
        """Words go from the memories to their registers to the output, when there is room.

        Returns whether a word is left behind, and whether any is on its way.
        """
        layout, output = self.layout, self.currents
        reading, ends_sample, move, step = (
            Signal(name=name) for name in ("reading", "ends_sample", "move", "step")
        )
        parts = layout.lanes // layout.out_lanes
        part = Signal(index_shape(parts))
        place = walk(m, layout, step, "reading")
        m.d.comb += [
            move.eq(~output.valid | output.ready),
            step.eq(reading & move & (part == parts - 1)),
        ]
        with m.If(reading & move):
            m.d.sync += part.eq(part + 1)
        with m.If(step):
            m.d.sync += part.eq(0)
            with m.If(place.last):
                m.d.sync += reading.eq(0)
        with m.If(self.drain):
            m.d.sync += [reading.eq(1), ends_sample.eq(self.end_of_sample)]

        # The place, the read port, the banks' registers.
        stages: list[tuple[Value, ...]] = [(reading, part, step, step & place.last)]
        for _ in range(3):
            after = tuple(Signal(len(value)) for value in stages[-1])
            with m.If(move):
                m.d.sync += [a.eq(b) for a, b in zip(after, stages[-1], strict=True)]
            stages.append(after)
        word, picks = Signal.like(place.word, name="shown_word"), Signal(layout.banks)
        with m.If(move):
            m.d.sync += [word.eq(place.word), picks.eq(Cat(place.banks))]
        left = Signal()
        m.d.comb += left.eq(stages[1][2] & move)
        valid, shown_part, _, last = stages[-1]
        showing = Signal()
        with m.If(valid & last & move):
            m.d.sync += showing.eq(0)
        with m.If(self.drain):
            m.d.sync += showing.eq(1)
        shown = Const(0, len(banks[0].shown.as_value()))
        for number, bank in enumerate(banks):
            m.d.comb += [
                bank.show.eq(showing),
                bank.move.eq(move),
                bank.pick.eq(picks[number]),
                bank.shown_word.eq(word),
            ]
            shown |= bank.shown.as_value()
        width = len(output.payload.values.as_value())
        with m.If(move):
            m.d.sync += [
                output.valid.eq(valid),
                output.payload.values.as_value().eq(
                    Array([shown[i * width : (i + 1) * width] for i in range(parts)])[shown_part]
                ),
                output.payload.end_of_step.eq(last),
                output.payload.end_of_sample.eq(last & ends_sample),
            ]
        return left, showing

    def restart(self, m: Module, banks: list[ConvBank], left: Signal) -> Value:
        """Words that have been read (``left``) are started, in the same order: after reset, all.

        Returns whether some have yet to be.
        """
        layout = self.layout
        words = layout.size // layout.lanes
        stale = Signal(range(words + 1), init=words)
        starting = Signal()
        m.d.sync += stale.eq(stale + left - starting)
        place = walk(m, layout, starting, "starting")
        start = Signal(data.ArrayLayout(layout.current, layout.lanes), reset_less=True)
        word, chosen = Signal(index_shape(layout.depth)), Signal(layout.banks)
        m.d.sync += [
            start.as_value().eq(self.start(m, place.channels, stale.any(), starting)),
            word.eq(place.word),
            chosen.eq(Cat(place.banks) & starting.replicate(layout.banks)),
        ]
        for number, bank in enumerate(banks):
            m.d.comb += [
                bank.load.eq(chosen[number]),
                bank.loaded_word.eq(word),
                bank.start.eq(start),
            ]
        return stale.any()

    def bank(self) -> ConvBank:
        """One bank."""
        layout = self.layout
        return ConvBank(
            layout.depth,
            layout.lanes,
            layout.addend,
            layout.align[0],
            layout.current,
            block=layout.block,
        )

    def start(self, m: Module, channels: Signal, wanted: Value, starting: Signal) -> Any:
        """What word ``channels`` of a pixel starts from.

        Drives ``starting``: a word is ``wanted``, and here is what it starts from.
        """
        layout = self.layout
        width = layout.current.width
        biases = [
            Const(packed(layout.bias_row(word), width), layout.lanes * width)
            for word in range(layout.pixel_words)
        ]
        bias = Array(biases)[channels] if len(set(map(repr, biases))) > 1 else biases[0]
        if layout.initial is None:
            m.d.comb += starting.eq(wanted)
            return bias

        # A word of the shortcut is gathered beat by beat.
        parts = layout.lanes // layout.out_lanes
        held = Signal(data.ArrayLayout(layout.initial, layout.lanes), reset_less=True)
        part, full = Signal(index_shape(parts)), Signal()
        m.d.comb += [
            starting.eq(wanted & full),
            self.initial.ready.eq(~full | starting),
        ]
        with m.If(starting):
            m.d.sync += full.eq(0)
        with m.If(self.initial.valid & self.initial.ready):
            beat = self.initial.payload.values.as_value()
            m.d.sync += [
                held.as_value().eq(Cat(held.as_value()[len(beat) :], beat)),
                part.eq(part + 1),
            ]
            with m.If(part == parts - 1):
                m.d.sync += [part.eq(0), full.eq(1)]
        sums = Signal(data.ArrayLayout(layout.current, layout.lanes))
        own = Signal(data.ArrayLayout(layout.current, layout.lanes))
        m.d.comb += own.as_value().eq(bias)
        for lane in range(layout.lanes):
            m.d.comb += sums[lane].eq(own[lane] + (held[lane] << layout.align[1]))
        return sums.as_value()
