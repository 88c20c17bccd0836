"""Leaky integrate-and-fire neurons: a pipeline that updates ``lanes`` neurons a cycle.

The exact step is in ``docs/arithmetic.md``. Membranes live in block RAM. On a sample's first
timestep a word that is never written, and holds zeros, is read in place of the stored state, so
nothing has to be cleared, and a reset in mid-sample is safe.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Cat, Module, Mux, Shape, Signal, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .memories import memory
from .popcount import popcount
from .streams import current_stream, index_shape, packed, words_of


@dataclass(frozen=True)
class LIFLayout:
    """The widths of an array of LIF neurons.

    ``size`` neurons, ``lanes`` a beat; ``current`` is the shape of what arrives, ``align`` the
    left shift that brings it to the membrane's grid; ``membrane`` bits of stored state;
    ``leak_shift`` is n of ``(k·u) >> n``. ``sends`` names what others read of a neuron: its
    ``spike``, its stored ``membrane``, its ``margin`` above the threshold.
    """

    size: int
    lanes: int
    current: Shape
    align: int
    membrane: int
    leak_shift: int
    sends: tuple[str, ...] = ("spike",)

    @property
    def words(self) -> int:
        return words_of(self.size, self.lanes)

    @property
    def state(self) -> data.StructLayout:
        """One neuron's stored state: membrane, and whether it fired in the last step."""
        return data.StructLayout({"membrane": signed(self.membrane), "fired": 1})

    @property
    def spike(self) -> data.StructLayout:
        """What one neuron sends."""
        shapes = {
            "spike": unsigned(1),
            "membrane": signed(self.membrane),
            "margin": signed(self.membrane + 1),
        }
        return data.StructLayout({name: shapes[name] for name in self.sends})

    @property
    def neuron(self) -> data.StructLayout:
        """One neuron's parameters: k as a difference ``leak_plus - leak_minus``, θ, fire level."""
        return data.StructLayout(
            {
                "leak_plus": unsigned(self.leak_shift + 1),
                "leak_minus": unsigned(self.leak_shift + 1),
                "threshold": unsigned(self.membrane - 1),
                "fires_from": unsigned(self.membrane - 1),
            }
        )


class LIFConfig(data.StructLayout):
    """Run-time configuration of a LIF array, constant in a dataflow design.

    ``low`` and ``high`` bound the membrane. Of the flags, ``late_subtract``, ``late_zero_leak``
    and ``late_zero_all`` reset in the step after a spike (the second keeps that step's current),
    ``now_subtract`` and ``now_zero`` in the same step.
    """

    FLAGS = ("late_subtract", "late_zero_leak", "late_zero_all", "now_subtract", "now_zero")

    def __init__(self, membrane: int) -> None:
        super().__init__(
            {"low": signed(membrane), "high": signed(membrane)} | dict.fromkeys(self.FLAGS, 1)
        )


class LIFArray(wiring.Component):
    """``layout.size`` LIF neurons, ``layout.lanes`` updated a cycle.

    Parameters
    ----------
    layout: widths and sizes.
    parameters: per neuron, or one for all; entries as of ``layout.neuron``.

    Members
    -------
    config: reset mode and saturation bounds.
    currents: each timestep's input currents.
    spikes: of each timestep, what ``layout.sends`` names.
    saturated: how many membranes were clipped, a count per cycle.
    """

    latency = 4

    def __init__(self, layout: LIFLayout, parameters: Sequence[dict[str, int]]) -> None:
        self.layout = layout
        self.parameters = tuple(parameters)
        super().__init__(
            {
                "config": In(LIFConfig(layout.membrane)),
                "currents": In(current_stream(layout.lanes, layout.current)),
                "spikes": Out(current_stream(layout.lanes, layout.spike)),
                "saturated": Out(range(layout.lanes + 1)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        layout, config, lanes = self.layout, self.config, self.layout.lanes

        # The whole pipeline moves, or nothing does.
        move = Signal()
        valids = Signal(self.latency - 1)
        m.d.comb += move.eq(~self.spikes.valid | self.spikes.ready)

        # Stage 0: a beat arrives, its neurons' state is read.
        word, starting, fresh = Signal(index_shape(layout.words)), Signal(init=1), Signal(init=1)
        accept = Signal()
        beat = self.currents.payload
        # A word must have been written back before it is read again: with few words, wait.
        clear = ~valids.any() | ~starting if layout.words < self.latency else 1
        m.d.comb += [
            self.currents.ready.eq(move & clear),
            accept.eq(self.currents.valid & self.currents.ready),
        ]
        with m.If(accept):
            m.d.sync += [
                word.eq(Mux(beat.end_of_step, 0, word + 1)),
                starting.eq(beat.end_of_step),
            ]
            with m.If(beat.end_of_step):
                m.d.sync += fresh.eq(beat.end_of_sample)

        row = data.ArrayLayout(layout.state, lanes)
        states = m.submodules.states = memory(row, 2 << len(word), block=True)
        write, read = states.write_port(), states.read_port()
        m.d.comb += [read.en.eq(accept), read.addr.eq(Cat(word, ~fresh))]
        per_neuron = self.per_neuron(m, accept, word)

        # Stage 1: leak. Stage 2: add. Stage 3: saturate, fire, reset, write back.
        ends1, ends2, ends3 = (Signal(2, name=f"ends{i}", reset_less=True) for i in (1, 2, 3))
        word1, word2, word3 = (Signal.like(word, name=f"word{i}") for i in (1, 2, 3))
        current1 = Signal.like(beat.values, reset_less=True)
        with m.If(move):
            m.d.sync += [
                valids.eq(Cat(accept, valids)),
                self.spikes.valid.eq(valids[-1]),
                Cat(ends1, ends2, ends3).eq(
                    Cat(beat.end_of_step, beat.end_of_sample, ends1, ends2)
                ),
                Cat(self.spikes.payload.end_of_step, self.spikes.payload.end_of_sample).eq(ends3),
                Cat(word1, word2, word3).eq(Cat(word, word1, word2)),
                current1.eq(beat.values),
            ]
        m.d.comb += [write.addr.eq(Cat(word3, 1)), write.en.eq(move & valids[-1])]
        clipped = []
        for lane in range(lanes):
            update = _Lane(layout, config, lane)
            state = update.stages(m, move, read.data[lane], current1[lane], per_neuron[lane])
            m.d.comb += write.data[lane].eq(state)
            with m.If(move):
                m.d.sync += [
                    self.spikes.payload.values[lane][name].eq(update.results[name])
                    for name in layout.sends
                ]
            clipped.append(update.clipped)
        m.d.sync += self.saturated.eq(Mux(move & valids[-1], popcount(clipped), 0))

        # For the simulation only.
        probe_valid = Signal(name="probe_membrane_valid")
        probe_data = Signal(lanes * layout.membrane, name="probe_membrane_data")
        m.d.comb += [
            probe_valid.eq(write.en),
            probe_data.eq(Cat(state.membrane for state in write.data)),
        ]
        return m

    def per_neuron(self, m: Module, accept: Signal, word: Signal) -> list[Any]:
        """Each lane's parameters, valid in stage 1: constants, or rows of a memory."""
        layout, shape = self.layout, self.layout.neuron
        if len(self.parameters) == 1:
            return [data.Const(shape, _pack(shape, self.parameters[0]))] * layout.lanes
        entries = [_pack(shape, entry) for entry in self.parameters]
        entries += [entries[-1]] * (layout.words * layout.lanes - len(entries))
        width = shape.size
        rows = [
            packed(entries[first : first + layout.lanes], width)
            for first in range(0, len(entries), layout.lanes)
        ]
        table = m.submodules.parameters = memory(
            unsigned(width * layout.lanes), len(rows), rows, block=True
        )
        read = table.read_port()
        m.d.comb += [read.addr.eq(word), read.en.eq(accept)]
        return [
            data.View(shape, read.data[lane * width : (lane + 1) * width])
            for lane in range(layout.lanes)
        ]


class _Lane:
    """The datapath of one lane."""

    def __init__(self, layout: LIFLayout, config: Any, lane: int) -> None:
        self.layout = layout
        self.config = config
        self.lane = lane

    def stages(self, m: Module, move: Signal, state: Any, current: Any, neuron: Any) -> Any:
        """Build the stages; return the state to write back."""
        layout, config = self.layout, self.config

        def register(shape: Shape, what: str) -> Signal:
            return Signal(shape, name=f"{what}_{self.lane}", reset_less=True)

        # Stage 1: L = (k·u) >> n; beside it the current, less what a late reset takes away.
        u, fired = state.membrane, state.fired
        product = u * neuron.leak_plus - u * neuron.leak_minus
        keep = ~(fired & (config.late_zero_leak | config.late_zero_all))
        leaked = register(signed(layout.membrane), "leaked")
        taken = Mux(fired & config.late_subtract, neuron.threshold, 0)
        aligned = layout.current.width + layout.align + (not layout.current.signed)
        arriving = register(signed(max(layout.membrane, aligned) + 1), "arriving")
        threshold = register(unsigned(layout.membrane - 1), "threshold")
        fires_from = register(unsigned(layout.membrane - 1), "fires_from")
        with m.If(move):
            m.d.sync += [
                leaked.eq(Mux(keep, product >> layout.leak_shift, 0)),
                arriving.eq(
                    (Mux(fired & config.late_zero_all, 0, current) << layout.align) - taken
                ),
                threshold.eq(neuron.threshold),
                fires_from.eq(neuron.fires_from),
            ]

        # Stage 2: the current joins.
        value = register(signed(max(layout.membrane, aligned) + 2), "value")
        threshold2 = register(unsigned(layout.membrane - 1), "threshold2")
        fires_from2 = register(unsigned(layout.membrane - 1), "fires_from2")
        with m.If(move):
            m.d.sync += [
                value.eq(leaked + arriving),
                threshold2.eq(threshold),
                fires_from2.eq(fires_from),
            ]

        # Stage 3: saturation cannot change whether v reaches the fire level, which lies in range.
        over, under = value > config.high, value < config.low
        bounded, fire = Signal(signed(layout.membrane)), Signal()
        self.clipped = over | under
        stored = Signal(layout.state)
        m.d.comb += [
            bounded.eq(Mux(over, config.high, Mux(under, config.low, value))),
            fire.eq(value >= fires_from2),
            stored.fired.eq(fire),
            stored.membrane.eq(
                Mux(
                    fire & config.now_zero,
                    0,
                    Mux(fire & config.now_subtract, bounded - threshold2, bounded),
                )
            ),
        ]
        self.results = {
            "spike": fire,
            "membrane": stored.membrane,
            "margin": bounded - threshold2,
        }
        return stored


def _pack(shape: data.StructLayout, entry: dict[str, int]) -> int:
    total = 0
    for name, value in entry.items():
        total |= value << shape[name].offset
    return total
