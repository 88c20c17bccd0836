"""From a sequential engine's words of scores to a sample's results."""

from __future__ import annotations

from amaranth.hdl import Array, Module, Shape, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..memories import memory
from ..readout import Readout, ReadoutKind, result_stream
from ..streams import index_shape, words_of


class Results(wiring.Component):
    """Sends the scores of ``classes`` classes, and the class, of one sample after the other.

    ``row`` is the layout of a word of scores as they come, ``score`` the shape of one as it leaves.

    Members
    -------
    valid, word, scores: a word of scores, a class a lane.
    send: all words are there (a pulse).
    busy: they are not all sent, no word may come.
    results: the scores of the sample, then its class.
    """

    def __init__(self, classes: int, row: data.ArrayLayout, score: Shape) -> None:
        self.classes, self.score = classes, score
        words = words_of(classes, row.length)
        super().__init__(
            {
                "valid": In(1),
                "word": In(index_shape(words)),
                "scores": In(row),
                "send": In(1),
                "busy": Out(1),
                "results": Out(result_stream(score, classes)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        lanes = len(self.scores)
        bits = (lanes - 1).bit_length()
        rows = m.submodules.rows = memory(self.scores.shape(), 1 << len(self.word))
        write, read = rows.write_port(), rows.read_port()
        m.d.comb += [
            write.addr.eq(self.word),
            write.data.eq(self.scores),
            write.en.eq(self.valid),
        ]
        readout = m.submodules.readout = Readout(self.classes, self.score, self.score)
        wiring.connect(m, readout.results, wiring.flipped(self.results))
        m.d.comb += readout.kind.eq(ReadoutKind.SUM)

        # A row is read in one cycle and shown, lane by lane, from the next.
        index, there, sending = Signal(index_shape(self.classes)), Signal(), Signal()
        values, last, moves = readout.values, Signal(), Signal()
        lane = index[:bits] if bits else 0
        m.d.comb += [
            self.busy.eq(sending),
            last.eq(index == self.classes - 1),
            read.addr.eq(index >> bits),
            read.en.eq(sending & ~there),
            values.valid.eq(there),
            values.payload.values[0].eq(Array(read.data[i] for i in range(lanes))[lane]),
            values.payload.end_of_step.eq(last),
            values.payload.end_of_sample.eq(last),
            moves.eq(there & values.ready),
        ]
        with m.If(self.send):
            m.d.sync += sending.eq(1)
        with m.If(read.en):
            m.d.sync += there.eq(1)
        with m.If(moves):
            m.d.sync += [there.eq(0), index.eq(index + 1)]
            with m.If(last):
                m.d.sync += [sending.eq(0), index.eq(0)]
        return m
