"""The synapse engine: events in, exact currents out.

Each event adds its weight row to the accumulators, ``lanes`` neurons a cycle, so work follows the
spikes. At the end of a timestep the sums leave, ``out_lanes`` a beat, and the next step begins.
"""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Shape, Signal, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .accumulators import AccumulatorLayout, accumulators
from .streams import current_stream, index_shape, spike_stream
from .weights import RowPort


class Synapse(wiring.Component):
    """A dense synapse of ``inputs`` to ``size`` neurons.

    Parameters
    ----------
    inputs, size: neurons before and after.
    lanes, out_lanes: neurons served a cycle by an event, and sent a beat; the second divides
        the first.
    spike, weight, current: shapes of an event's value, a weight and a sum; a sum never overflows.
    bias: the ``size`` values every timestep starts from.

    Members
    -------
    spikes: events in.
    rows: where the weight rows come from.
    currents: the sums of each timestep.
    """

    def __init__(
        self,
        inputs: int,
        size: int,
        *,
        lanes: int,
        out_lanes: int,
        spike: Shape,
        weight: Shape,
        current: Shape,
        bias: tuple[int, ...],
    ) -> None:
        self.inputs = inputs
        self.spike = spike
        self.weight = weight
        self.graded = spike != Shape(1)
        addend = _product(weight, spike) if self.graded else weight
        self.layout = AccumulatorLayout(size, lanes, out_lanes, addend, current, bias)
        super().__init__(
            {
                "spikes": In(spike_stream(inputs, spike)),
                "rows": Out(RowPort(inputs * self.layout.words, lanes, weight)),
                "currents": Out(current_stream(out_lanes, current)),
            }
        )

    @property
    def latency(self) -> int:
        """Cycles from the end-of-step beat's arrival to the first currents, if events rest."""
        return 3

    def cycles_per_step(self, events: int) -> int:
        """Steady-state cycles of a timestep with ``events`` events, when nothing stalls it."""
        overhead = 2 + self.graded if events else 1
        return events * self.layout.words + self.layout.beats + overhead

    def elaborate(self, platform: object) -> Module:
        m = Module()
        words = self.layout.words
        sums = m.submodules.accumulators = accumulators(self.layout)
        wiring.connect(m, sums.currents, wiring.flipped(self.currents))

        # The event at work, and the word it has come to.
        spikes = self.spikes
        active, value = Signal(), Signal(self.spike)
        base, word = Signal(index_shape(self.inputs * words)), Signal(index_shape(words))
        closing, ends_sample, draining, untouched = Signal(), Signal(), Signal(), Signal(init=1)
        last_word, issue, take = Signal(), Signal(), Signal()
        m.d.comb += [
            issue.eq(active & ~draining),
            last_word.eq(word == words - 1),
            spikes.ready.eq(~closing & (~active | (issue & last_word))),
            take.eq(spikes.valid & spikes.ready),
            self.rows.enable.eq(issue),
            self.rows.addr.eq(base + word),
        ]
        with m.If(issue):
            m.d.sync += word.eq(word + 1)
            with m.If(last_word):
                m.d.sync += [word.eq(0), active.eq(0), untouched.eq(0)]
        with m.If(take):
            event = spikes.payload
            m.d.sync += [
                active.eq(~event.end_of_step),
                closing.eq(event.end_of_step),
                base.eq(event.index * words),
                value.eq(event.value),
            ]
            with m.If(event.end_of_step):
                m.d.sync += ends_sample.eq(event.end_of_sample)

        # Rows arrive a cycle after their address; graded spikes take one more to multiply.
        stages: list[tuple[Signal, ...]] = [(issue, word, untouched, value)]
        for stage in range(1 + self.graded):
            before = stages[-1]
            after = tuple(Signal(signal.shape(), name=f"stage{stage + 1}") for signal in before)
            m.d.sync += [a.eq(b) for a, b in zip(after, before, strict=True)]
            stages.append(after)
        valid, target, first, amount = stages[-1]
        rows = self.rows.data
        if self.graded:
            rows = Signal.like(self.rows.data, reset_less=True)
            m.d.sync += rows.eq(self.rows.data)
        addends = Signal.like(sums.addends, reset_less=True)
        for lane in range(self.layout.lanes):
            m.d.sync += addends[lane].eq(rows[lane] * amount if self.graded else rows[lane])
        m.d.comb += [
            sums.enable.eq(valid),
            sums.word.eq(target),
            sums.first.eq(first),
            sums.addends.eq(addends),
        ]

        # The sums leave once no addend is on its way to them.
        m.d.comb += [
            sums.drain.eq(closing & ~draining & ~Cat(stage[0] for stage in stages).any()),
            sums.untouched.eq(untouched),
        ]
        with m.If(sums.drain):
            m.d.sync += [draining.eq(1), closing.eq(0), sums.end_of_sample.eq(ends_sample)]
        with m.If(sums.drained):
            m.d.sync += [draining.eq(0), untouched.eq(1)]
        return m


def _product(weight: Shape, spike: Shape) -> Shape:
    width = weight.width + spike.width
    return signed(width) if weight.signed or spike.signed else unsigned(width)
