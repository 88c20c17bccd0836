"""What sets one kind of neuron apart in hardware: its states, its datapath, what it sends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

from amaranth.hdl import Module, Shape, Signal, Value, signed, unsigned
from amaranth.lib import data

from ..sw.formats import IntArray
from ..sw.network import Neuron
from .blockram import block_rams
from .lanes import NeuronConfig, Pipe
from .streams import index_shape, shape_of, words_of


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

    @cached_property
    def varying(self) -> dict[str, IntArray]:
        """The numbers ``[n]`` in which neurons differ; the others are constants."""
        numbers = self.node.numbers.items()
        return {name: array for name, array in numbers if array.min() != array.max()}

    @property
    def parameters(self) -> data.StructLayout:
        """One neuron's varying numbers, none of which is negative."""
        widest = {name: int(array.max()) for name, array in self.varying.items()}
        return data.StructLayout(
            {name: unsigned(max(1, number.bit_length())) for name, number in widest.items()}
        )

    @property
    def results(self) -> dict[str, Shape]:
        """What a neuron can send: its ``spike``, its stored ``membrane``, its ``margin`` above
        the fire level.
        """
        width = self.states["membrane"].width
        return {"spike": unsigned(1), "membrane": signed(width), "margin": signed(width + 1)}

    def memories(self, lanes: int) -> list[tuple[int, int, bool]]:
        """Depth, width, and whether they must lie in block RAM, of the model's own memories."""
        del lanes
        return []

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


@dataclass(frozen=True, eq=False)
class ArrayLayout:
    """Where the states and the numbers of ``model``'s neurons lie, ``lanes`` a word."""

    model: NeuronModel
    lanes: int

    @property
    def words(self) -> int:
        return words_of(self.model.node.size, self.lanes)

    @property
    def place(self) -> Shape:
        """The index of a word."""
        return index_shape(self.words)

    @property
    def width(self) -> int:
        """Bits of a word of states."""
        return self.model.stored.size * self.lanes

    @property
    def masked(self) -> bool:
        """Whether a sample's first timestep masks what it reads: where that saves block RAM."""
        return block_rams(self.words, self.width) < block_rams(2 << self.place.width, self.width)

    @property
    def rows(self) -> int:
        """Rows of the memory of states; unless masked, the lower half holds zeros."""
        return self.words if self.masked else 2 << self.place.width

    @cached_property
    def period(self) -> int:
        """Words after which the neurons' numbers repeat, as those of channels do in each pixel."""
        numbers = self.model.varying.values()
        if not numbers:
            return 1
        for words in range(1, self.words):
            neurons = words * self.lanes
            if self.model.node.size % neurons == 0 and all(
                (array.reshape(-1, neurons) == array[:neurons]).all() for array in numbers
            ):
                return words
        return self.words
