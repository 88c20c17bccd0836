"""Neurons: a pipeline that updates ``lanes`` of them a cycle, whatever their model.

A model (``hw/lif.py`` and its neighbours) says what a neuron stores and how its datapath computes
the exact step of ``docs/steps.md``; all else is here. States live in block RAM. On a sample's first
timestep a word that is never written, and holds zeros, is read in place of the stored state, so
nothing has to be cleared, and a reset in mid-sample is safe. Where the zeros would take block RAMs
of their own, what is read then is masked instead.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .lanes import Pipe
from .memories import memory
from .neuron_model import ArrayLayout, NeuronModel
from .popcount import popcount
from .streams import current_stream, index_shape, packed


class NeuronArray(wiring.Component):
    """The neurons of ``model.node``, ``lanes`` updated a cycle.

    Parameters
    ----------
    model: what kind of neurons they are.
    sends: what others read of a neuron, of ``model.results``.

    Members
    -------
    config: reset mode and saturation bounds.
    currents: each timestep's input currents.
    spikes: of each timestep, what ``sends`` names.
    saturated: how many values were clipped, a count per cycle.
    """

    def __init__(self, model: NeuronModel, lanes: int, sends: tuple[str, ...] = ("spike",)) -> None:
        self.model = model
        self.lanes = lanes
        self.sends = sends
        self.layout = ArrayLayout(model, lanes)
        self.probes: dict[str, tuple[Signal, Signal]] = {}
        """For each state variable, when a word of it is written and the word; by elaboration."""
        spike = data.StructLayout({name: model.results[name] for name in sends})
        super().__init__(
            {
                "config": In(model.config),
                "currents": In(current_stream(lanes, model.current)),
                "spikes": Out(current_stream(lanes, spike)),
                "saturated": Out(range(lanes * model.clips + 1)),
            }
        )

    @property
    def latency(self) -> int:
        """Cycles from a neuron's (last) current to what it sends."""
        return self.model.latency

    @property
    def memory_ports(self) -> int:
        """Ports, reading or writing, of all its memories."""
        return 2 + (self.layout.period > 1) + self.model.memory_ports(self.lanes)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        model, lanes, layout, stages = self.model, self.lanes, self.layout, self.model.stages

        # The whole pipeline moves, or nothing does.
        move = Signal()
        valids = Signal(stages)
        m.d.comb += move.eq(~self.spikes.valid | self.spikes.ready)

        # A beat arrives.
        accept, starting = Signal(), Signal(init=1)
        beat = self.currents.payload
        arrival = model.arrive(m, move, accept, beat)
        # A word must have been written back before it is read again: with few words, wait.
        waits = layout.words * model.node.INPUTS <= stages
        clear = ~(valids.any() | arrival.busy) | ~starting if waits else 1
        m.d.comb += [
            self.currents.ready.eq(move & clear),
            accept.eq(self.currents.valid & self.currents.ready),
        ]
        with m.If(accept):
            m.d.sync += starting.eq(beat.end_of_step)

        # Stage 0: its neurons' state is read.
        word, fresh, enter = Signal(layout.place), Signal(init=1), Signal()
        m.d.comb += enter.eq(arrival.valid & move)
        with m.If(enter):
            m.d.sync += word.eq(Mux(arrival.end_of_step, 0, word + 1))
            with m.If(arrival.end_of_step):
                m.d.sync += fresh.eq(arrival.end_of_sample)
        row = data.ArrayLayout(model.stored, lanes)
        states = m.submodules.states = memory(row, layout.rows, block=True)
        write, read = states.write_port(), states.read_port()
        m.d.comb += [read.en.eq(enter), read.addr.eq(Cat(word, ~fresh))]
        stored = read.data
        if layout.masked:
            masks, stored = Signal(), Signal(row)
            m.d.comb += stored.as_value().eq(Mux(masks, 0, read.data.as_value()))
            with m.If(enter):
                m.d.sync += masks.eq(fresh)
        numbers = self.numbers(m, enter, arrival.end_of_step)

        # The stages of the update, in the last of which the state is written back.
        ends = [Cat(arrival.end_of_step, arrival.end_of_sample)]
        at: list[Value] = [word]
        for stage in range(1, stages + 1):
            ends.append(Signal(2, name=f"ends{stage}", reset_less=True))
            at.append(Signal.like(word, name=f"word{stage}"))
        with m.If(move):
            m.d.sync += [
                valids.eq(Cat(enter, valids)),
                self.spikes.valid.eq(valids[-1]),
                Cat(*ends[1:]).eq(Cat(*ends)),
                Cat(self.spikes.payload.end_of_step, self.spikes.payload.end_of_sample).eq(
                    ends[-1]
                ),
                Cat(*at[1:]).eq(Cat(*at)),
            ]
        m.d.comb += [write.addr.eq(Cat(at[-1], 1)), write.en.eq(move & valids[-1])]
        updates = []
        for lane in range(lanes):
            pipe = Pipe(m, move, lane)
            current = arrival.currents[lane]
            update = model.update(pipe, self.config, stored[lane], numbers[lane], current)
            m.d.comb += write.data[lane].fired.eq(update.fired)
            m.d.comb += [
                write.data[lane][name].eq(value)
                for name, value in update.states.items()
                if name not in model.unstored
            ]
            with m.If(move):
                m.d.sync += [
                    self.spikes.payload.values[lane][name].eq(update.results[name])
                    for name in self.sends
                ]
            updates.append(update)
        clipped = [bit for update in updates for bit in update.clipped]
        m.d.sync += self.saturated.eq(Mux(write.en, popcount(clipped), 0))

        # For the simulation only.
        for name, shape in model.states.items():
            probe_valid = Signal(name=f"probe_{name}_valid")
            probe_data = Signal(lanes * shape.width, name=f"probe_{name}_data")
            self.probes[name] = probe_valid, probe_data
            m.d.comb += [
                probe_valid.eq(write.en),
                probe_data.eq(Cat(update.states[name] for update in updates)),
            ]
        return m

    def numbers(self, m: Module, enter: Signal, ends: Value) -> list[Any]:
        """Each lane's numbers, valid in stage 1: plain integers if they never change."""
        node, shape, lanes = self.model.node, self.model.parameters, self.lanes
        varying, period = self.model.varying, self.layout.period
        fixed = {n: int(array.flat[0]) for n, array in node.numbers.items() if n not in varying}
        # Surplus lanes get the last neuron's.
        neurons = [min(i, node.size - 1) for i in range(period * lanes)]
        entries = [
            {name: int(array[neuron]) for name, array in varying.items()} for neuron in neurons
        ]
        if period == 1:
            return [SimpleNamespace(**fixed, **entry) for entry in entries]
        bits = [sum(n << shape[name].offset for name, n in e.items()) for e in entries]
        rows = [packed(bits[i : i + lanes], shape.size) for i in range(0, len(bits), lanes)]
        width = shape.size * lanes
        table = m.submodules.parameters = memory(unsigned(width), len(rows), rows, block=True)
        read, place = table.read_port(), Signal(index_shape(period))
        m.d.comb += [read.addr.eq(place), read.en.eq(enter)]
        with m.If(enter):
            m.d.sync += place.eq(Mux(ends | (place == period - 1), 0, place + 1))
        row: Any = data.View(data.ArrayLayout(shape, lanes), read.data)
        return [
            SimpleNamespace(**fixed, **{name: row[lane][name] for name in varying})
            for lane in range(lanes)
        ]
