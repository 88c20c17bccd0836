"""Winner-take-all inhibition: only the neuron farthest above threshold may emit its spike."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Shape, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .streams import current_stream, index_shape, words_of


class Inhibition(wiring.Component):
    """Passes each timestep's winning spike, one step's beats after the step has come in.

    The winner has the largest ``margin`` (ties: the lowest index). ``size`` neurons in ``lanes``.
    """

    def __init__(self, size: int, lanes: int, spike: data.StructLayout) -> None:
        self.size = size
        self.lanes = lanes
        super().__init__(
            {
                "input": In(current_stream(lanes, spike)),
                "output": Out(current_stream(lanes, Shape(1))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        words = words_of(self.size, self.lanes)
        word, sending = Signal(index_shape(words)), Signal()
        best = Signal(signed(len(self.input.payload.values[0].margin)))
        best_word, best_spike = Signal.like(word), Signal(self.lanes)
        ends_sample, last_word = Signal(), Signal()
        m.d.comb += [
            self.input.ready.eq(~sending),
            self.output.valid.eq(sending),
            self.output.payload.end_of_step.eq(last_word),
            self.output.payload.end_of_sample.eq(last_word & ends_sample),
            last_word.eq(word == words - 1),
            self.output.payload.values.as_value().eq(Mux(word == best_word, best_spike, 0)),
        ]

        margin, spike = self.winner(m)
        with m.If(self.input.valid & self.input.ready):
            m.d.sync += word.eq(word + 1)
            with m.If((word == 0) | (margin > best)):
                m.d.sync += [best.eq(margin), best_word.eq(word), best_spike.eq(spike)]
            with m.If(last_word):
                m.d.sync += [
                    word.eq(0),
                    sending.eq(1),
                    ends_sample.eq(self.input.payload.end_of_sample),
                ]
        with m.If(self.output.valid & self.output.ready):
            m.d.sync += word.eq(word + 1)
            with m.If(last_word):
                m.d.sync += [word.eq(0), sending.eq(0)]
        return m

    def winner(self, m: Module) -> tuple[Value, Value]:
        """The beat's largest margin, and its spike in its lane."""
        entries: list[tuple[Value, Value]] = []
        surplus = words_of(self.size, self.lanes) * self.lanes - self.size
        for lane, value in enumerate(self.input.payload.values):
            margin = Signal.like(value.margin, name=f"margin_{lane}")
            m.d.comb += margin.eq(value.margin)
            if lane >= self.lanes - surplus:
                # A lane beyond the last neuron never wins.
                with m.If(self.input.payload.end_of_step):
                    m.d.comb += margin.eq(-(1 << (len(margin) - 1)))
            entries.append((margin, value.spike << lane))
        while len(entries) > 1:
            pairs = [entries[i : i + 2] for i in range(0, len(entries), 2)]
            entries = [
                (Mux(b[0] > a[0], b[0], a[0]), Mux(b[0] > a[0], b[1], a[1]))
                for a, b in (pair for pair in pairs if len(pair) == 2)
            ] + [pair[0] for pair in pairs if len(pair) == 1]
        return entries[0]
