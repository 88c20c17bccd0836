"""The layout of a convolution in hardware: its numbers, its folding, and what follows from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from amaranth.hdl import Shape, signed, unsigned

from ..sw.formats import IntArray
from .conv_tables import Axis, AxisTable


@dataclass(frozen=True)
class ConvLayout:
    """A convolution of an image, whose sums lie pixel by pixel, channels innermost.

    Parameters
    ----------
    shape: channels, height and width of the input.
    out_channels, kernel, stride, padding, groups: as in the contract; kernel, stride and padding
        down the image, then across.
    lanes: output channels served a cycle; divides a group's ``out_channels / groups``.
    out_lanes: sums sent a beat; divides ``lanes``.
    taps: kernel taps served a cycle: 1, a row of the kernel, or all of it.
    spike, weight, current: shapes of an event's value (one bit unsigned: binary spikes, which are
        not multiplied), of a weight and of a sum; a sum never overflows.
    bias: the ``[out_channels]`` values, on the grid of the convolution's own sums.
    initial: the shape of a shortcut's values, if sums start from one.
    align: left shifts of the own sums (bias included) and of the shortcut, which bring both to
        the grid of ``current``.

    Raises :class:`ValueError` for a folding that cannot be built.
    """

    shape: tuple[int, int, int]
    out_channels: int
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    groups: int
    lanes: int
    out_lanes: int
    taps: int
    spike: Shape
    weight: Shape
    current: Shape
    bias: tuple[int, ...]
    initial: Shape | None = None
    align: tuple[int, int] = (0, 0)

    def __post_init__(self) -> None:
        for name, count in (("input", self.shape[0]), ("output", self.out_channels)):
            if self.groups < 1 or count < 1 or count % self.groups:
                raise ValueError(
                    f"groups is {self.groups}, must divide the {count} {name} channels"
                )
        each = self.out_channels // self.groups
        if self.lanes < 1 or each % self.lanes:
            raise ValueError(
                f"lanes is {self.lanes}, must divide the {each} output channels of a group"
            )
        if self.out_lanes < 1 or self.lanes % self.out_lanes:
            raise ValueError(f"out_lanes is {self.out_lanes}, must divide the {self.lanes} lanes")
        choices = taps_choices(self.kernel)
        if self.taps not in choices:
            raise ValueError(
                f"taps is {self.taps}, must be one of {', '.join(map(str, choices))} "
                f"for a kernel of {self.kernel[0]}x{self.kernel[1]}"
            )
        if len(self.bias) != self.out_channels:
            raise ValueError(
                f"bias has {len(self.bias)} values, must have {self.out_channels}: one a channel"
            )
        if min(self.align) < 0:
            raise ValueError(f"align is {self.align}, must be two left shifts")
        _ = self.axes  # Raises for a kernel larger than its image.

    @cached_property
    def axes(self) -> tuple[Axis, Axis]:
        """Down the image, and across."""
        down, across = (
            Axis(*numbers)
            for numbers in zip(self.shape[1:], self.kernel, self.stride, self.padding, strict=True)
        )
        return down, across

    @property
    def out_shape(self) -> tuple[int, int, int]:
        down, across = self.axes
        return self.out_channels, down.out, across.out

    @property
    def inputs(self) -> int:
        """Values of the input."""
        return int(np.prod(self.shape))

    @property
    def size(self) -> int:
        """Sums."""
        return int(np.prod(self.out_shape))

    @property
    def graded(self) -> bool:
        """Whether an event's value multiplies the weights."""
        return self.spike != Shape(1)

    @property
    def addend(self) -> Shape:
        """The shape of what an event adds to a sum, before its alignment."""
        if not self.graded:
            return self.weight
        width = self.weight.width + self.spike.width
        return signed(width) if self.weight.signed or self.spike.signed else unsigned(width)

    @property
    def words(self) -> int:
        """Accumulator words that an event reaches in one pixel: those of its group."""
        return self.out_channels // self.groups // self.lanes

    @property
    def pixel_words(self) -> int:
        """Accumulator words of a pixel."""
        return self.out_channels // self.lanes

    @property
    def beats(self) -> int:
        """Beats in which one timestep's sums are sent."""
        return self.size // self.out_lanes

    @property
    def spread(self) -> tuple[bool, bool]:
        """Whether all taps down, and all across, are served at once, each in a bank of its own."""
        return self.taps == self.kernel[0] * self.kernel[1] != 1, self.taps != 1

    @property
    def bank_grid(self) -> tuple[int, int]:
        """Banks by output row and by output column, each counted modulo these."""
        down, across = (
            axis.most if spread else 1 for axis, spread in zip(self.axes, self.spread, strict=True)
        )
        return down, across

    @property
    def banks(self) -> int:
        """Memories that hold the sums; each has one read and one write port."""
        return self.bank_grid[0] * self.bank_grid[1]

    @property
    def bank_shape(self) -> tuple[int, int]:
        """Rows and columns of pixels in a bank."""
        rows, columns = (
            -(-axis.out // banks) for axis, banks in zip(self.axes, self.bank_grid, strict=True)
        )
        return rows, columns

    @property
    def depth(self) -> int:
        """Words of a bank, of ``lanes`` sums each."""
        return self.bank_shape[0] * self.bank_shape[1] * self.pixel_words

    @property
    def block(self) -> bool:
        """Whether banks lie in block RAM; few words take less room in LUTs."""
        return self.depth > 64

    @cached_property
    def tables(self) -> tuple[AxisTable, AxisTable]:
        """What the hardware looks up for an event's row, and for its column."""
        pitches = self.bank_shape[1] * self.pixel_words, self.pixel_words
        row_pitches = (1 if self.spread[1] else self.kernel[1]) * self.words, self.words
        down, across = (
            AxisTable(*numbers)
            for numbers in zip(
                self.axes, self.spread, self.bank_grid, pitches, row_pitches, strict=True
            )
        )
        return down, across

    @property
    def row_taps(self) -> int:
        """Taps whose weights lie in one row."""
        down, across = (
            kernel if spread else 1 for kernel, spread in zip(self.kernel, self.spread, strict=True)
        )
        return down * across

    @property
    def rows(self) -> int:
        """Rows of weights, of ``row_taps * lanes`` each."""
        return self.shape[0] * self.kernel[0] * self.kernel[1] // self.row_taps * self.words

    @property
    def most_event_cycles(self) -> int:
        """The longest an event can take."""
        issues = self.words
        for axis, spread in zip(self.axes, self.spread, strict=True):
            issues *= 1 if spread else axis.most
        return issues

    @cached_property
    def pixel_cycles(self) -> IntArray:
        """``[height, width]`` cycles of an event, by its pixel: one if it hits nothing."""
        down, across = (
            np.array([min(len(hits), 1) if spread else len(hits) for hits in axis.hits], np.int64)
            for axis, spread in zip(self.axes, self.spread, strict=True)
        )
        return np.maximum(np.outer(down, across) * self.words, 1)

    def event_cycles(self, events: Sequence[int] | IntArray) -> IntArray:
        """Cycles of each of ``events``, which are indices into the flat input."""
        return self.pixel_cycles.reshape(-1)[np.asarray(events, np.int64) // self.shape[0]]

    def cycles_per_step(self, events: int | Sequence[int] | IntArray) -> int:
        """Steady-state cycles of a timestep, when nothing stalls it.

        ``events`` are the indices of the step's events, and the result is exact; or their number,
        and it is an upper bound.
        """
        if isinstance(events, int):
            count, busy = events, events * self.most_event_cycles
        else:
            count, busy = len(events), int(self.event_cycles(events).sum())
        return busy + self.beats + (self.addend_stages + 4 if count else 4)

    @property
    def addend_stages(self) -> int:
        """Registers that a weight passes on its way from its memory to the sums."""
        return max(2, sum(self.spread) + self.graded)

    def bias_row(self, word: int) -> list[int]:
        """What the sums of word ``word`` of a pixel start from, on the grid of ``current``."""
        row = self.bias[word * self.lanes : (word + 1) * self.lanes]
        return [value << self.align[0] for value in row]


def taps_choices(kernel: tuple[int, int]) -> tuple[int, ...]:
    """Numbers of taps that can be served a cycle: one, a row of the kernel, all of it."""
    return tuple(sorted({1, kernel[1], kernel[0] * kernel[1]}))


def conv_rows(weight: IntArray, layout: ConvLayout) -> IntArray:
    """``[out, in / groups, kh, kw]`` weights as ``[rows, row_taps * lanes]``.

    Row ``(c * serial + s) * words + w`` belongs to input channel c, to word w of its group, and to
    the s-th of the ``kh * kw / row_taps`` parts of the kernel, row by row; in it the taps' lanes
    stand one after the other. ``WeightMemory(conv_rows(...).T.tolist(), row_taps * lanes, shape)``
    holds them.

    Raises :class:`ValueError` for weights of another shape.
    """
    inputs = layout.shape[0] // layout.groups
    expected = (layout.out_channels, inputs, *layout.kernel)
    if weight.shape != expected:
        raise ValueError(f"weight has shape {list(weight.shape)}, must be {list(expected)}")
    parts = layout.kernel[0] * layout.kernel[1] // layout.row_taps
    grouped = weight.reshape(
        layout.groups, layout.words, layout.lanes, inputs, parts, layout.row_taps
    )
    # To group, channel in the group, part of the kernel, word, tap, lane.
    return grouped.transpose(0, 3, 4, 1, 5, 2).reshape(layout.rows, layout.row_taps * layout.lanes)
