"""From rows of weights to addends: each bank takes its tap's weights, times the event's value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from amaranth.hdl import Array, Cat, Module, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .conv_layout import ConvLayout
from .streams import index_shape

Grid = list[list[Any]]
"""The lanes of weights side by side, an entry by row and column of taps, or of banks."""


class ConvAddends(wiring.Component):
    """A pipeline that never stops, ``layout.addend_stages`` long behind the weight memory.

    Members
    -------
    issue, hits, words
        A visit, the banks that it goes to, and the word in each of them; its row of weights is
        asked for in the same cycle.
    value, taps_down, taps_across
        The event's, as :func:`~reslif.hw.conv_lookup.visits_stream` has them.
    rows
        The row's weights, a cycle later.
    enable, targets, addends
        What goes to the sums: by bank the word, and two cycles later what is added.
    under_way
        Some visit has not come to its last cycle.
    """

    def __init__(self, layout: ConvLayout) -> None:
        self.layout = layout
        rows, columns = layout.bank_grid
        height, width = (index_shape(kernel) for kernel in layout.kernel)
        words = data.ArrayLayout(index_shape(layout.depth), layout.banks)
        addends = data.ArrayLayout(layout.addend, layout.lanes)
        super().__init__(
            {
                "issue": In(1),
                "hits": In(layout.banks),
                "words": In(words),
                "value": In(layout.spike),
                "taps_down": In(data.ArrayLayout(height, rows)),
                "taps_across": In(data.ArrayLayout(width, columns)),
                "rows": In(data.ArrayLayout(layout.weight, layout.row_taps * layout.lanes)),
                "enable": Out(layout.banks),
                "targets": Out(words),
                "addends": Out(data.ArrayLayout(addends, layout.banks)),
                "under_way": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        layout = self.layout
        depth = layout.addend_stages
        first = {name: getattr(self, name) for name in ("issue", "words", "value")}
        first |= {"taps_down": self.taps_down, "taps_across": self.taps_across}
        first |= {"hits": self.hits & self.issue.replicate(layout.banks)}
        stages: list[dict[str, Any]] = [first]
        for number in range(1, depth + 1):
            after = {
                name: Signal.like(
                    signal, name=f"{name}{number}", reset_less=name not in ("issue", "hits")
                )
                for name, signal in first.items()
            }
            m.d.sync += [after[name].eq(signal) for name, signal in stages[-1].items()]
            stages.append(after)

        # What there is to do, each in a stage of its own, the last of them last.
        steps = [self.choose_down] * layout.spread[0] + [self.choose_across] * layout.spread[1]
        steps += [self.multiply] * layout.graded
        rows, columns = (
            kernel if spread else 1
            for kernel, spread in zip(layout.kernel, layout.spread, strict=True)
        )
        taps = _split(self.rows.as_value(), rows * columns)
        grid = [taps[i * columns : (i + 1) * columns] for i in range(rows)]
        for number in range(depth):
            todo = number - (depth - len(steps))
            values = steps[todo](grid, stages[number + 1]) if todo >= 0 else grid
            grid = [[Signal(len(value), reset_less=True) for value in row] for row in values]
            for signals, row in zip(grid, values, strict=True):
                m.d.sync += [signal.eq(value) for signal, value in zip(signals, row, strict=True)]
        m.d.comb += [
            self.enable.eq(stages[depth - 1]["hits"]),
            self.targets.eq(stages[depth - 1]["words"]),
            self.addends.eq(Cat(value for row in grid for value in row)),
            self.under_way.eq(Cat(stage["issue"] for stage in stages[1:]).any()),
        ]
        return m

    def choose_down(self, grid: Grid, now: dict[str, Any]) -> Grid:
        """For each row of banks the kernel's row that serves it."""
        return [
            [Array(column)[tap] for column in zip(*grid, strict=True)] for tap in now["taps_down"]
        ]

    def choose_across(self, grid: Grid, now: dict[str, Any]) -> Grid:
        """For each column of banks the kernel's column that serves it."""
        return [[Array(row)[tap] for tap in now["taps_across"]] for row in grid]

    def multiply(self, grid: Grid, now: dict[str, Any]) -> Grid:
        """Each weight times the event's value."""
        weights = data.ArrayLayout(self.layout.weight, self.layout.lanes)
        width = self.layout.addend.width
        return [
            [Cat((weight * now["value"])[:width] for weight in weights(value)) for value in row]
            for row in grid
        ]


def _split(value: Value, count: int) -> Sequence[Any]:
    """``value`` in ``count`` parts of the same width."""
    width = len(value) // count
    return [value[i * width : (i + 1) * width] for i in range(count)]
