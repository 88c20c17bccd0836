"""The lanes of a sequential engine: what happens to one word of neurons, cycle by cycle.

A token a cycle, an event or the end of a timestep, goes down a pipeline that never stalls:

    A  address of the weight row and of the biases
    B  the rows are there: of many block RAMs one has been chosen
    C  an event's value multiplies its row
    D  accumulators add, or a timestep's sums leave them
    E  the shortcut joins the currents
    F  neurons: leak, add, saturate, fire, reset, in one cycle, since a silent timestep takes one
    G  a shortcut joins the spikes; spikes, shortcuts and scores are written
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from amaranth.hdl import Cat, Module, Mux, Shape, Signal, Value, ValueLike, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..joins import JoinKind, joined
from ..lanes import FLAGS, Pipe
from ..lif import LIFModel
from ..memories import memory
from ..probes import Probe
from ..streams import index_shape
from ..weights import RowPort
from .pipeline import Pipeline
from .probes import shared_probes
from .rows import NUMBERS
from .words import ProgramWords


class LayerLanes(wiring.Component):
    """The lanes for the operations of ``words``; ``rows`` of weights can be there at once.

    Members
    -------
    config: the operation's program word.
    operation: its number, for the simulation.
    event, close: the token of this cycle; ``index`` of the event, ``step`` and ``word`` of both,
        ``first`` and ``last`` in the sample's first and last timestep.
    row: address of the word's first weight row.
    value: of the event in the cycle before.
    rows: where weights come from.
    sends, sent_step, sent_word, spikes: a word of spikes for later operations.
    scores_valid, scores_word, scores: a word of class scores after the last timestep.
    busy: a token is on its way.
    saturated: how many values were clipped, a count per cycle, some cycles late.
    """

    def __init__(self, words: ProgramWords, rows: int) -> None:
        self.words = words
        self.probes: list[Probe] = []
        """Filled by elaboration."""
        shapes, lanes = words.shapes, words.lanes
        step = index_shape(words.program.network.max_steps)
        word = index_shape(words.most_words)
        super().__init__(
            {
                "config": In(words.word),
                "operation": In(index_shape(len(words.program.operations))),
                "event": In(1),
                "close": In(1),
                "index": In(index_shape(max(op.dense.inputs for op in words.program.operations))),
                "step": In(step),
                "word": In(word),
                "first": In(1),
                "last": In(1),
                "row": In(index_shape(rows)),
                "value": In(shapes.spike),
                "rows": Out(RowPort(rows, lanes, shapes.weight)),
                "sends": Out(1),
                "sent_step": Out(step),
                "sent_word": Out(word),
                "spikes": Out(data.ArrayLayout(shapes.sent, lanes)),
                "scores_valid": Out(1),
                "scores_word": Out(word),
                "scores": Out(data.ArrayLayout(shapes.score, lanes)),
                "busy": Out(1),
                "saturated": Out(range(3 * lanes + 1)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        return _Build(self).module


class _Build(Pipeline):
    """One elaboration."""

    def __init__(self, unit: LayerLanes) -> None:
        super().__init__(unit, unit.words)
        sums = self.accumulate()
        currents, stored = self.join_currents(sums)
        spikes, membranes = self.fire(currents)
        joined = self.join_spikes(spikes, stored)
        self.store(joined)
        self.score(membranes, joined)
        self.count()
        unit.probes[:] = shared_probes(self.words, self.shown)

    # Stages A to D

    def accumulate(self) -> Any:
        """Weights, biases, sums: those of a timestep, in stage E."""
        m, unit, words, shapes = self.module, self.unit, self.words, self.words.shapes
        a, d = self.at["A"], self.at["D"]
        row, index = Signal.like(unit.row), Signal.like(unit.index)
        m.d.sync += [row.eq(unit.row), index.eq(unit.index)]
        m.d.comb += [unit.rows.addr.eq(row + index), unit.rows.enable.eq(a.event)]
        row_shape = data.ArrayLayout(words.rows.bias, words.lanes)
        entries = [row_shape.from_bits(bits) for bits in words.rows.biases]
        biases = memory(row_shape, len(entries), entries, block=True)
        m.submodules.biases = biases
        read = biases.read_port()
        m.d.comb += [
            read.addr.eq(self.field("bias_row") + a.word),
            read.en.eq(a.event | a.close),
        ]
        _, own, _, self.own = self.later(read.data, "own", "CDEF")
        _, value = self.later(unit.value, "value", "BC")
        (weights,) = self.later(unit.rows.data, "weights", "C")

        graded = shapes.spike != Shape(1)
        addends = self.array(shapes.product if graded else shapes.weight, "addends")
        sums, closed = self.array(shapes.total, "sums"), self.array(shapes.total, "sums_E")
        fresh = Signal(init=1)
        for lane in self.lanes:
            weight = weights[lane]
            begun = Signal(shapes.total, name=f"begun_{lane}")
            m.d.comb += begun.eq(Mux(fresh, own[lane].bias, sums[lane]))
            m.d.sync += [
                addends[lane].eq(weight * value if graded else weight),
                closed[lane].eq(begun),
            ]
            with m.If(d.event):
                m.d.sync += sums[lane].eq(begun + addends[lane])
        with m.If(d.event | d.close):
            m.d.sync += fresh.eq(d.close)
        return closed

    # Stage E

    def join_currents(self, sums: Any) -> tuple[Any, Any]:
        """Currents in stage F, and the shortcut that was read, in stage G."""
        m, words = self.module, self.words
        d, e, f = (self.at[stage] for stage in "DEF")
        shape = data.ArrayLayout(words.shapes.shortcut, words.lanes)
        places = len(d.word) + len(d.step)
        self.shortcuts = memory(shape, words.shortcut_places << places)
        m.submodules.shortcuts = self.shortcuts
        read = self.shortcuts.read_port()
        m.d.comb += [
            read.addr.eq(Cat(d.word, d.step, self.field("shortcut_slot"))),
            read.en.eq(d.close),
        ]
        adds = self.field("adds")
        currents = self.array(words.shapes.current, "currents")
        for lane in self.lanes:
            total = sums[lane]
            if words.fields.get("up_sum"):
                shortcut = self.raised(read.data[lane], "up_shortcut")
                exact = self.lowered(self.raised(sums[lane], "up_sum") + shortcut, "drop")
                exact = self.bounded(exact, "low", "high", adds & e.close)
                total = Mux(adds, exact, sums[lane])
            m.d.sync += currents[lane].eq(total)
        self.show("current", e.close, sums)
        self.show("sum", f.close & adds, currents)
        _, stored = self.later(read.data, "shortcut", "FG")
        return currents, stored

    # Stage F

    def fire(self, currents: Any) -> tuple[Any, Any]:
        """Spikes and membranes in stage G."""
        m, words = self.module, self.words
        f, g = self.at["F"], self.at["G"]
        raised = [self.raised(currents[lane], "up_current") for lane in self.lanes]
        shape = signed(max(len(Value.cast(value)) for value in raised))
        model = LIFModel(words.shapes.neuron, shape, 0)
        config = Signal(model.config)
        m.d.comb += [getattr(config, name).eq(self.field(name)) for name in FLAGS]
        m.d.comb += [
            config.membrane.low.eq(self.field("membrane_low")),
            config.membrane.high.eq(self.field("membrane_high")),
        ]
        states = Signal(data.ArrayLayout(model.stored, words.lanes), reset_less=True)
        spikes = Signal(words.lanes)
        fires = self.field("fires")
        for lane in self.lanes:
            state = Signal(model.stored, name=f"state_{lane}")
            m.d.comb += state.as_value().eq(Mux(f.first, 0, states[lane].as_value()))
            numbers = {name: self.number(name, lane) for name in NUMBERS}
            pipe = Flat(m, Signal(), lane)
            update = model.update(pipe, config, state, SimpleNamespace(**numbers), raised[lane])
            self.clipped += [bit & fires & f.close for bit in update.clipped]
            with m.If(f.close):
                m.d.sync += [
                    states[lane].membrane.eq(update.states["membrane"]),
                    states[lane].fired.eq(update.fired),
                ]
            m.d.sync += spikes[lane].eq(update.fired)
        membranes = self.array(model.states["membrane"], "membranes")
        m.d.comb += [membranes[lane].eq(states[lane].membrane) for lane in self.lanes]
        self.show("membrane", g.close & fires, membranes)
        self.show("spike", g.close & fires, spikes)
        (self.currents,) = self.later(currents, "currents", "G")
        return spikes, membranes

    def number(self, name: str, lane: int) -> Value | int:
        """A neuron's number in stage F: a plain integer if it is that of all neurons."""
        if name in self.words.rows.by_neuron:
            return self.own[lane][name]
        return (
            self.words.fields[name][0] if name not in self.words.word.members else self.field(name)
        )

    # Stage G

    def join_spikes(self, spikes: Any, stored: Any) -> Any:
        """What leaves the neurons, or the join behind them."""
        m, words, g = self.module, self.words, self.at["G"]
        result = self.array(words.shapes.joined, "joined")
        joins = self.field("joins")
        for lane in self.lanes:
            value: Any = spikes[lane]
            if words.fields.get("kind"):
                other, swapped = stored[lane], self.field("swapped")
                branch = Mux(swapped, other, value)
                shortcut = Mux(swapped, value, other)
                kind = Signal(JoinKind, name=f"kind_{lane}")
                m.d.comb += kind.eq(self.field("kind"))
                exact = joined(kind, value + other, branch, shortcut)
                exact = self.bounded(exact, "joined_low", "joined_high", joins & g.close)
                value = Mux(joins, exact, value)
            m.d.comb += result[lane].eq(value)
        self.show("joined", g.close & joins, result)
        m.d.comb += [
            self.unit.sends.eq(g.close & self.field("sends")),
            self.unit.sent_step.eq(g.step),
            self.unit.sent_word.eq(g.word),
            *(self.unit.spikes[lane].eq(result[lane]) for lane in self.lanes),
        ]
        return result

    def store(self, joined: Any) -> None:
        """What later operations join."""
        m, g, write = self.module, self.at["G"], self.shortcuts.write_port()
        current, spike = self.field("stores_current"), self.field("stores_spike")
        m.d.comb += [
            write.addr.eq(Cat(g.word, g.step, self.field("stored_slot"))),
            write.en.eq(g.close & (current | spike)),
        ]
        m.d.comb += [
            write.data[lane].eq(Mux(spike, joined[lane], self.currents[lane]))
            for lane in self.lanes
        ]

    def score(self, membranes: Any, joined: Any) -> None:
        """The class scores over the timesteps."""
        m, unit, g = self.module, self.unit, self.at["G"]
        network = self.words.program.network
        readout = network.readout
        (edge,) = network.incoming(readout.name, "input")
        if readout.reads_membrane:
            values = membranes
        else:
            spiking = edge.source not in {op.current.name for op in self.words.program.operations}
            values = joined if spiking else self.currents
        scores = Signal.like(unit.scores, name="scores_G")
        valid = g.close & self.field("scores")
        for lane in self.lanes:
            before, value = scores[lane], values[lane]
            after = before + value
            if readout.kind == "last_membrane":
                after = value
            elif readout.kind == "max_membrane":
                after = Mux(before > value, before, value)
            m.d.comb += unit.scores[lane].eq(Mux(g.first, value, after))
        with m.If(valid):
            m.d.sync += scores.eq(unit.scores)
        m.d.comb += [unit.scores_valid.eq(valid & g.last), unit.scores_word.eq(g.word)]
        self.show("score", valid, unit.scores)


class Flat(Pipe):
    """A lane without registers: all stages of a neuron's update in one cycle."""

    def stage(self, value: ValueLike, name: str, shape: Shape | None = None) -> Value:
        result = self.signal(shape or Value.cast(value).shape(), name)
        self.m.d.comb += result.eq(value)
        return result
