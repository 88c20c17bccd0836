"""Neurons: a pipeline that updates ``lanes`` of them a cycle, whatever their model.

A model (``hw/lif.py`` and its neighbours) says what a neuron stores and how its datapath computes
the exact step of ``docs/steps.md``; all else is here. States live in block RAM. On a sample's first
timestep a word that is never written, and holds zeros, is read in place of the stored state, so
nothing has to be cleared, and a reset in mid-sample is safe.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import SimpleNamespace
from typing import Any, ClassVar

from amaranth.hdl import Cat, Module, Mux, Shape, Signal, Value, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..sw.network import Neuron
from .lanes import NeuronConfig, Pipe
from .memories import memory
from .popcount import popcount
from .streams import current_stream, index_shape, packed, shape_of, words_of


@dataclass
class Arrival:
    """What reaches the first stage of the update, in which a word's state is read.

    ``valid`` in that cycle; ``end_of_step`` and ``end_of_sample`` belong to it. ``currents`` are
    each lane's, one stage later. ``busy`` while a beat is on its way.
    """

    valid: Value
    end_of_step: Value
    end_of_sample: Value
    currents: Sequence[Any]
    busy: Value | int = 0


@dataclass
class LaneUpdate:
    """The outcome of one neuron's update, in the last stage.

    ``states``: each state variable after the step; ``results``: what may be sent; ``clipped``: a
    bit for each saturation.
    """

    states: Mapping[str, Value]
    fired: Value
    results: Mapping[str, Value]
    clipped: Sequence[Value]


class NeuronModel:
    """What sets one kind of neuron apart in hardware.

    ``current`` is the shape of the currents that arrive, ``align`` the left shift that brings them
    to the grid on which ``node`` adds them up.
    """

    latency: ClassVar[int]
    """Cycles from a neuron's (last) current to what it sends."""
    clips: ClassVar[int] = 1
    """Saturations in a neuron's step."""
    unstored: ClassVar[tuple[str, ...]] = ()
    """States that the next step does not depend on."""
    ahead: ClassVar[int] = 0
    """Stages that a beat passes before its word's state is read."""

    def __init__(self, node: Neuron, current: Shape, align: int) -> None:
        self.node = node
        self.current = current
        self.align = align
        self.states: dict[str, Shape] = {n: shape_of(form) for n, form in node.states.items()}

    @property
    def stages(self) -> int:
        """Stages of the update, in the last of which states are written back."""
        return self.latency - self.ahead - 1

    @cached_property
    def config(self) -> NeuronConfig:
        return NeuronConfig(self.states)

    @property
    def stored(self) -> data.StructLayout:
        """What the memory holds of a neuron: its states, and whether it fired in the last step."""
        states = {name: shape for name, shape in self.states.items() if name not in self.unstored}
        return data.StructLayout(states | {"fired": Shape(1)})

    @property
    def parameters(self) -> data.StructLayout:
        """One neuron's numbers, none of which is negative."""
        widest = {name: int(array.max()) for name, array in self.node.numbers.items()}
        return data.StructLayout(
            {name: unsigned(max(1, number.bit_length())) for name, number in widest.items()}
        )

    @property
    def shared(self) -> bool:
        """Whether all neurons have the same numbers."""
        return not any(array.ndim for array in self.node.numbers.values())

    @property
    def results(self) -> dict[str, Shape]:
        """What a neuron can send: its ``spike``, its stored ``membrane``, its ``margin`` above
        the fire level.
        """
        width = self.states["membrane"].width
        return {"spike": unsigned(1), "membrane": signed(width), "margin": signed(width + 1)}

    def memory_ports(self, lanes: int) -> int:
        """Memory ports that the model itself has, beside the array's."""
        del lanes
        return 0

    def arrive(self, m: Module, move: Signal, accept: Signal, beat: Any) -> Arrival:
        """From the ``beat`` that is taken while ``accept`` to the first stage of the update."""
        currents = Signal.like(beat.values, name="current1", reset_less=True)
        with m.If(move):
            m.d.sync += currents.eq(beat.values)
        lanes = [currents[lane] for lane in range(len(beat.values))]
        return Arrival(accept, beat.end_of_step, beat.end_of_sample, lanes)

    def update(self, pipe: Pipe, config: Any, state: Any, numbers: Any, current: Any) -> LaneUpdate:
        """The datapath of one lane: all that it reads is valid in the first stage."""
        raise NotImplementedError


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
        self.words = words_of(model.node.size, lanes)
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
        return 2 + (not self.model.shared) + self.model.memory_ports(self.lanes)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        model, lanes, words, stages = self.model, self.lanes, self.words, self.model.stages

        # The whole pipeline moves, or nothing does.
        move = Signal()
        valids = Signal(stages)
        m.d.comb += move.eq(~self.spikes.valid | self.spikes.ready)

        # A beat arrives.
        accept, starting = Signal(), Signal(init=1)
        beat = self.currents.payload
        arrival = model.arrive(m, move, accept, beat)
        # A word must have been written back before it is read again: with few words, wait.
        waits = words * model.node.INPUTS <= stages
        clear = ~(valids.any() | arrival.busy) | ~starting if waits else 1
        m.d.comb += [
            self.currents.ready.eq(move & clear),
            accept.eq(self.currents.valid & self.currents.ready),
        ]
        with m.If(accept):
            m.d.sync += starting.eq(beat.end_of_step)

        # Stage 0: its neurons' state is read.
        word, fresh, enter = Signal(index_shape(words)), Signal(init=1), Signal()
        m.d.comb += enter.eq(arrival.valid & move)
        with m.If(enter):
            m.d.sync += word.eq(Mux(arrival.end_of_step, 0, word + 1))
            with m.If(arrival.end_of_step):
                m.d.sync += fresh.eq(arrival.end_of_sample)
        row = data.ArrayLayout(model.stored, lanes)
        states = m.submodules.states = memory(row, 2 << len(word), block=True)
        write, read = states.write_port(), states.read_port()
        m.d.comb += [read.en.eq(enter), read.addr.eq(Cat(word, ~fresh))]
        numbers = self.numbers(m, enter, word)

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
            update = model.update(pipe, self.config, read.data[lane], numbers[lane], current)
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

    def numbers(self, m: Module, enter: Signal, word: Signal) -> list[Any]:
        """Each lane's numbers, valid in stage 1: plain integers if all neurons share them."""
        node, shape, lanes = self.model.node, self.model.parameters, self.lanes
        if self.model.shared:
            shared = {name: int(array) for name, array in node.numbers.items()}
            return [SimpleNamespace(**shared)] * lanes
        # Surplus lanes get the last neuron's.
        neurons = [min(i, node.size - 1) for i in range(self.words * lanes)]
        entries = [0] * len(neurons)
        for name, array in node.numbers.items():
            for i, neuron in enumerate(neurons):
                number = int(array[neuron] if array.ndim else array)
                entries[i] |= number << shape[name].offset
        rows = [
            packed(entries[first : first + lanes], shape.size)
            for first in range(0, len(entries), lanes)
        ]
        width = shape.size * lanes
        table = m.submodules.parameters = memory(unsigned(width), len(rows), rows, block=True)
        read = table.read_port()
        m.d.comb += [read.addr.eq(word), read.en.eq(enter)]
        row = data.View(data.ArrayLayout(shape, lanes), read.data)
        return [row[lane] for lane in range(lanes)]
