"""The shapes of what passes through a sequential engine: each holds what any operation needs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from amaranth.hdl import Shape, signed, unsigned

from ...sw.formats import Format, IntArray
from ...sw.network import LIF
from ..streams import index_shape
from .program import Program


@dataclass(frozen=True, eq=False)
class Shapes:
    """The shapes of the engine of ``program``."""

    program: Program

    @cached_property
    def spike(self) -> Shape:
        """Of the values of events."""
        return _holds(self.carried(op.source) for op in self.program.operations)

    @cached_property
    def sent(self) -> Shape:
        """Of the spikes that wait between layers."""
        return _holds(self.carried(op.sent) for op in self.program.operations if op.sent)

    @cached_property
    def weight(self) -> Shape:
        return _holds(op.dense.weight_format for op in self.program.operations)

    @property
    def product(self) -> Shape:
        """Of a weight and the value of an event."""
        return signed(self.weight.width + self.spike.width)

    @cached_property
    def total(self) -> Shape:
        """Of the sums of a dense layer, and all partial sums."""
        return _signed(self.carried(op.dense.name) for op in self.program.operations)

    @cached_property
    def current(self) -> Shape:
        """Of what reaches neurons and readout: sums, with or without a shortcut."""
        return _signed(self.carried(op.current.name) for op in self.program.operations)

    @cached_property
    def shortcut(self) -> Shape:
        stored = [op.stored for op in self.program.operations if op.stored]
        return _signed(self.carried(name) for name in stored) if stored else signed(1)

    @cached_property
    def joined(self) -> Shape:
        """Of what leaves neurons and a join behind them."""
        found = [op.spike for op in self.program.operations if op.spike]
        return _signed(self.carried(node.name) for node in found) if found else signed(2)

    @cached_property
    def score(self) -> Shape:
        """Of class scores, as the lanes keep them: signed, whatever the readout's format."""
        return _signed([self.program.network.scores.format])

    @cached_property
    def neuron(self) -> LIF:
        """A layer that holds any of the network's, as the pattern of the engine's neurons."""
        nodes = self.program.network.nodes_of(LIF)
        return LIF(
            "neurons",
            self.program.lanes,
            membrane=Format(max((node.membrane.width for node in nodes), default=2), 0),
            leak=np.array(max((self.leak(node).max() for node in nodes), default=0)),
            leak_shift=self.leak_shift,
            threshold=np.array(max((node.threshold.max() for node in nodes), default=1)),
        )

    @cached_property
    def leak_shift(self) -> int:
        """The finest; coarser leaks are multiplied up, which changes no result."""
        return max((node.leak_shift for node in self.program.network.nodes_of(LIF)), default=0)

    def leak(self, node: LIF) -> IntArray:
        """The leaks of ``node`` with ``leak_shift`` bits of fraction."""
        return node.leak << (self.leak_shift - node.leak_shift)

    def carried(self, name: str) -> Format:
        """What node ``name`` sends."""
        return self.program.network.values[name].format


def span(values: tuple[int, ...] | list[int]) -> Shape:
    """The narrowest shape of all ``values``."""
    low, high = min(values), max(values)
    if low >= 0:
        return index_shape(high + 1)
    return signed(max((-low - 1).bit_length(), high.bit_length()) + 1)


def _holds(formats: Iterable[Format]) -> Shape:
    """The shape that holds any value of ``formats``."""
    found = list(formats) or [Format(1, 0, signed=False)]
    if not any(form.signed for form in found):
        return unsigned(max(form.width for form in found))
    return signed(max(form.width + (not form.signed) for form in found))


def _signed(formats: Iterable[Format]) -> Shape:
    """The signed shape that holds any value of ``formats``."""
    return signed(max(form.width + (not form.signed) for form in formats))
