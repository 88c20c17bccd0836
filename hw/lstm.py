"""Spiking LSTM cells in hardware."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data

from .activation import BLOCK_ENTRIES, Lookup
from .lanes import Pipe, fire, saturate
from .memories import memory
from .neuron_model import Arrival, LaneUpdate, NeuronModel
from .streams import index_shape, words_of

WAITING = ("input", "forget", "candidate")
"""The gates that arrive before the output gate, in this order, and wait for it in memories."""


class LSTMModel(NeuronModel):
    """:class:`~reslif.sw.neurons.LSTM`.

    Gates arrive one after the other, each in ``words`` beats, and are looked up on arrival. The
    beats of the output gate meet those of the others, and the cell is updated: multiply, add,
    bound, look up (three stages), multiply, reset, fire.
    """

    latency = 13
    clips = 2
    unstored = ("membrane",)
    ahead = Lookup.stages

    def memories(self, lanes: int) -> list[tuple[int, int, bool]]:
        frac, entries = self.node.table_frac, len(self.node.tanh.entries)
        waiting = words_of(self.node.size, lanes), (frac + 2) * lanes, True
        return [waiting] * len(WAITING) + [(entries, frac + 1, entries > BLOCK_ENTRIES)] * lanes

    def memory_ports(self, lanes: int) -> int:
        return 2 * len(WAITING) + 2 * lanes

    def arrive(self, m: Module, move: Signal, accept: Signal, beat: Any) -> Arrival:
        node, frac, lanes = self.node, self.node.table_frac, len(beat.values)
        words = words_of(node.size, lanes)
        output = len(WAITING)

        gate, word = Signal(2), Signal(index_shape(words))
        with m.If(accept):
            m.d.sync += word.eq(word + 1)
            with m.If(word == words - 1):
                m.d.sync += [word.eq(0), gate.eq(Mux(beat.end_of_step, 0, gate + 1))]
        lookups = [Lookup(Pipe(m, move, lane), node.tanh) for lane in range(lanes)]
        logistic = gate != WAITING.index("candidate")
        active = [
            lookup.either(logistic, _signed(value) << self.align, node.gate_frac)
            for lookup, value in zip(lookups, beat.values, strict=True)
        ]

        # Beside the lookup, what belongs to it.
        stages = [(accept, gate, word, Cat(beat.end_of_step, beat.end_of_sample))]
        for stage in range(self.ahead):
            stages.append(
                (
                    Signal(name=f"valid_ahead{stage}"),
                    Signal.like(gate, name=f"gate{stage}"),
                    Signal.like(word, name=f"word_ahead{stage}"),
                    Signal(2, name=f"ends_ahead{stage}", reset_less=True),
                )
            )
            with m.If(move):
                m.d.sync += [new.eq(old) for old, new in zip(*stages[-2:], strict=True)]
        valid, gate, word, ends = stages[-1]

        enter = Signal()
        m.d.comb += enter.eq(valid & move & (gate == output))
        shape = data.ArrayLayout(unsigned(frac + 2), lanes)
        waiting = {}
        for which, name in enumerate(WAITING):
            rows = m.submodules[name] = memory(shape, words, block=True)
            write, read = rows.write_port(), rows.read_port()
            m.d.comb += [
                write.addr.eq(word),
                write.en.eq(valid & move & (gate == which)),
                Value.cast(write.data).eq(Cat(value[: frac + 2] for value in active)),
                read.addr.eq(word),
                read.en.eq(enter),
            ]
            waiting[name] = read.data
        gates = []
        for lane, lookup in enumerate(lookups):
            rows = {name: waiting[name][lane] for name in WAITING}
            rows["output"] = lookup.pipe.stage(active[lane][: frac + 2], "output")
            gates.append(SimpleNamespace(lookup=lookup, **rows))
        busy = Cat(stage[0] for stage in stages[1:]).any()
        return Arrival(valid & (gate == output), ends[0], ends[1], gates, busy)

    def update(self, pipe: Pipe, config: Any, state: Any, numbers: Any, current: Any) -> LaneUpdate:
        node, fired, frac = self.node, state.fired, self.node.table_frac
        late_zero = pipe.later(fired & config.late_zero_all, 7, "zero")
        taken = Mux(fired & config.late_subtract, numbers.threshold, 0)
        taken = pipe.later(taken, 7, "taken")
        output = pipe.later(current.output, 6, "output_later")

        # Stages 1 to 3: the cell.
        kept = pipe.stage(current.forget * state.cell, "kept")
        added = pipe.stage(current.input * current.candidate.as_signed(), "added")
        cell = pipe.stage(kept + (added << (node.cell.frac - frac)), "cell_sum")
        bounded, over, under = saturate(pipe, cell >> (frac + 1), config.cell, "cell_bounded")
        cell = pipe.stage(bounded, "cell_new")
        clipped = pipe.later(over | under, 6, "cell_clipped")

        # Stages 4 to 7: the hidden state. Stage 8: a late reset.
        squashed = current.lookup.tanh(cell, node.cell.frac)
        hidden = (output * squashed) >> (2 * frac + 1 - node.membrane.frac)
        hidden = pipe.stage(hidden, "hidden")
        value = pipe.stage(Mux(late_zero, 0, hidden) - taken, "value")

        # Stage 9.
        threshold = pipe.later(numbers.threshold, 8, "threshold")
        firing = fire(pipe, config, value, threshold, threshold)
        states = {"cell": pipe.later(cell, 5, "cell_later"), "membrane": firing.membrane}
        return LaneUpdate(
            states, firing.fired, firing.results(threshold), [clipped, firing.clipped]
        )


def _signed(value: Value) -> Value:
    """``value`` as it is, with a sign."""
    if value.shape().signed:
        return value
    return Cat(value, Const(0, 1)).as_signed()
