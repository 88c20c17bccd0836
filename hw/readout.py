"""The readout: class scores over a sample's timesteps, then the class itself."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Shape, Signal, signed
from amaranth.lib import data, enum, stream, wiring
from amaranth.lib.wiring import In, Out

from .memories import memory
from .streams import current_stream, index_shape


class ReadoutKind(enum.Enum, shape=2):
    """How a score follows from the values of the timesteps."""

    SUM = 0
    LAST = 1
    MAX = 2


def result_stream(score: Shape, classes: int) -> stream.Signature:
    """The scores of a sample in the order of the classes, then the class, marked ``last``."""
    width = max(score.width + (not score.signed), index_shape(classes).width + 1)
    return stream.Signature(data.StructLayout({"value": signed(width), "last": 1}))


class Readout(wiring.Component):
    """Scores of ``classes`` classes, one a cycle; the first largest wins.

    Members
    -------
    kind: how scores are formed, constant in a dataflow design.
    values: each timestep's values, one a beat.
    results: after a sample's last timestep, its scores and its class.
    """

    latency = 3
    """Cycles from a value's arrival until its score may be read again."""

    def __init__(self, classes: int, value: Shape, score: Shape) -> None:
        self.classes = classes
        self.score = score
        super().__init__(
            {
                "kind": In(ReadoutKind),
                "values": In(current_stream(1, value)),
                "results": Out(result_stream(score, classes)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        beat, results = self.values.payload, self.results
        index, fresh = Signal(index_shape(self.classes)), Signal(init=1)
        starting, scanning, naming = Signal(init=1), Signal(), Signal()
        accept, busy = Signal(), Signal(2)
        scores = m.submodules.scores = memory(self.score, 1 << len(index))
        write, read = scores.write_port(), scores.read_port()

        # Stage 0: a value arrives, its score is read; with few classes, after the last write.
        clear = ~busy.any() | ~starting if self.classes < self.latency else 1
        last = index == self.classes - 1
        m.d.comb += [
            self.values.ready.eq(~scanning & ~results.valid & clear),
            accept.eq(self.values.valid & self.values.ready),
            read.addr.eq(index),
            read.en.eq(accept),
        ]
        with m.If(accept):
            m.d.sync += [
                index.eq(Mux(beat.end_of_step, 0, index + 1)),
                starting.eq(beat.end_of_step),
                scanning.eq(beat.end_of_sample),
            ]
            with m.If(beat.end_of_step):
                m.d.sync += fresh.eq(beat.end_of_sample)

        # Stage 1: the new score. Stage 2: it is written back.
        index1, index2 = Signal.like(index), Signal.like(index)
        first1, value1, score = Signal(), Signal.like(beat.values[0]), Signal(self.score)
        latest = first1 | (self.kind == ReadoutKind.LAST)
        larger = read.data < value1
        maximum = Mux(larger, value1, read.data)
        m.d.sync += [
            busy.eq(Cat(accept, busy)),
            Cat(index1, index2).eq(Cat(index, index1)),
            first1.eq(fresh),
            value1.eq(beat.values[0]),
            score.eq(
                Mux(
                    latest,
                    value1,
                    Mux(self.kind == ReadoutKind.MAX, maximum, read.data + value1),
                )
            ),
        ]
        m.d.comb += [write.addr.eq(index2), write.data.eq(score), write.en.eq(busy[1])]
        # For the simulation only.
        probe_valid = Signal(name="probe_score_valid")
        probe_data = Signal(self.score, name="probe_score_data")
        m.d.comb += [probe_valid.eq(busy[1]), probe_data.eq(score)]

        # After the sample: all scores, then the class.
        best, best_index, shown = Signal(self.score), Signal.like(index), Signal.like(index)
        sent = Signal()
        m.d.comb += [
            sent.eq(results.valid & results.ready),
            results.payload.value.eq(Mux(naming, best_index, read.data)),
            results.payload.last.eq(naming),
        ]
        with m.If(sent):
            m.d.sync += results.valid.eq(0)
            with m.If(naming):
                m.d.sync += naming.eq(0)
            with m.Else():
                with m.If((shown == 0) | (read.data > best)):
                    m.d.sync += [best.eq(read.data), best_index.eq(shown)]
                with m.If(shown == self.classes - 1):
                    m.d.sync += [naming.eq(1), results.valid.eq(1)]
        with m.If(scanning & ~busy.any() & (~results.valid | sent)):
            m.d.comb += read.en.eq(1)
            m.d.sync += [results.valid.eq(1), shown.eq(index), index.eq(index + 1)]
            with m.If(last):
                m.d.sync += [index.eq(0), scanning.eq(0)]
        return m
