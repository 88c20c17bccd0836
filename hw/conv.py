"""The convolution engine: events in, exact currents out.

An event is located in its image, and looks up which outputs the kernel's taps take it to. For
each of them its weight row is added to a word of ``lanes`` sums, so work follows the spikes, and
taps that fall outside cost nothing. At the end of a timestep the sums leave, ``out_lanes`` a beat,
while those of the next step are started behind them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..sw.formats import IntArray
from .conv_accumulators import ConvAccumulators
from .conv_addends import ConvAddends
from .conv_layout import ConvLayout
from .conv_lookup import ConvLookup
from .streams import current_stream, spike_stream
from .weights import RowPort


class Conv(wiring.Component):
    """A convolution whose work follows the events.

    Members
    -------
    spikes: events in.
    rows: where the weight rows come from, as :func:`~reslif.hw.conv_layout.conv_rows` has them.
    currents: the sums of each timestep.
    initial: only if the layout has an ``initial`` shape: what the sums of each timestep start from.
    """

    def __init__(self, layout: ConvLayout) -> None:
        self.layout = layout
        rows = RowPort(layout.rows, layout.row_taps * layout.lanes, layout.weight)
        members: dict[str, wiring.Member] = {
            "spikes": In(spike_stream(layout.inputs, layout.spike)),
            "rows": Out(rows),
            "currents": Out(current_stream(layout.out_lanes, layout.current)),
        }
        if layout.initial is not None:
            members["initial"] = In(current_stream(layout.out_lanes, layout.initial))
        super().__init__(members)

    @property
    def latency(self) -> int:
        """Cycles from the end-of-step beat's arrival to the first currents, if events rest."""
        return ConvLookup.latency + 6

    def cycles_per_step(self, events: int | Sequence[int] | IntArray) -> int:
        """Steady-state cycles of a timestep, when nothing stalls it: exact for the events' indices,
        an upper bound for their number.
        """
        return self.layout.cycles_per_step(events)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        layout = self.layout
        lookup = m.submodules.lookup = ConvLookup(layout)
        addends = m.submodules.addends = ConvAddends(layout)
        sums = m.submodules.accumulators = ConvAccumulators(layout)
        wiring.connect(m, wiring.flipped(self.spikes), lookup.input)
        wiring.connect(m, sums.currents, wiring.flipped(self.currents))
        if layout.initial is not None:
            wiring.connect(m, wiring.flipped(self.initial), sums.initial)

        # The event at work: what it came with, and how far it has come.
        visits = lookup.output
        active, closing, ends_sample = Signal(), Signal(), Signal()
        issue, done = Signal(), Signal()
        event, now = (Signal.like(visits.payload, reset_less=True) for _ in range(2))
        m.d.comb += [
            issue.eq(active & sums.ready),
            done.eq(~Cat(now.word, now.across, now.down).any()),
            visits.ready.eq(~closing & (~active | (issue & done))),
        ]
        with m.If(issue):
            self.proceed(m, event, now)
            with m.If(done):
                m.d.sync += active.eq(0)
        with m.If(visits.valid & visits.ready):
            m.d.sync += [
                event.eq(visits.payload),
                now.eq(visits.payload),
                active.eq(~visits.payload.end_of_step),
                closing.eq(visits.payload.end_of_step),
            ]
            with m.If(visits.payload.end_of_step):
                m.d.sync += ends_sample.eq(visits.payload.end_of_sample)

        m.d.comb += [
            self.rows.enable.eq(issue),
            self.rows.addr.eq(now.row),
            addends.issue.eq(issue),
            *(addends.words[i].eq(now.at + word) for i, word in enumerate(event.words)),
            *(
                getattr(addends, name).eq(event[name])
                for name in ("hits", "value", "taps_down", "taps_across")
            ),
            addends.rows.eq(self.rows.data),
            sums.enable.eq(addends.enable),
            sums.words.eq(addends.targets),
            sums.addends.eq(addends.addends),
            # The sums leave once no addend is on its way to them.
            sums.drain.eq(closing & sums.ready & ~addends.under_way),
            sums.end_of_sample.eq(ends_sample),
        ]
        with m.If(sums.drain):
            m.d.sync += closing.eq(0)
        return m

    def proceed(self, m: Module, event: Any, now: Any) -> None:
        """To the event's next word, or tap, or line of taps; ``event`` is where its line began.

        From a tap to the next the output falls by one.
        """
        layout = self.layout
        words = layout.words
        (row_down, down), (row_across, across) = (
            (table.row_pitch * table.axis.stride, table.pitch) for table in layout.tables
        )
        m.d.sync += [now.word.eq(now.word - 1), now.row.eq(now.row + 1), now.at.eq(now.at + 1)]
        with m.If(now.word == 0):
            m.d.sync += [
                now.word.eq(words - 1),
                now.across.eq(now.across - 1),
                now.row.eq(now.row + (row_across - words + 1)),
                now.at.eq(now.at - (across + words - 1)),
            ]
            with m.If(now.across == 0):
                m.d.sync += [now.across.eq(event.across), now.down.eq(now.down - 1)]
                for line in (event, now):
                    m.d.sync += [
                        line.row.eq(event.row + row_down),
                        line.at.eq(event.at - down),
                    ]
