"""The convolution engine: events in, exact currents out.

An event is located in its image, and looks up which outputs the kernel's taps take it to. For
each of them its weight row is added to a word of ``lanes`` sums, so work follows the spikes, and
taps that fall outside cost nothing. At the end of a timestep the sums leave, ``out_lanes`` a beat,
while those of the next step are started behind them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from amaranth.hdl import Array, Cat, Const, Module, Mux, Shape, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..sw.formats import IntArray
from .conv_accumulators import ConvAccumulators
from .conv_layout import ConvLayout
from .locate import Locate, Stage, quotient, stage
from .streams import current_stream, index_shape, spike_stream
from .weights import RowPort

Grid = list[list[Any]]
"""The lanes of weights side by side, one entry by row and column of taps or of banks."""


class Conv(wiring.Component):
    """A convolution whose work follows the events.

    Members
    -------
    spikes: events in.
    rows: where the weight rows come from, as :func:`~reslif.hw.conv_layout.conv_rows` has them.
    currents: the sums of each timestep.
    initial: only if the layout has an ``initial`` shape: what the sums of each timestep start from.
    """

    def __init__(self, layout: ConvLayout) -> None:
        self.layout = layout
        rows = RowPort(layout.rows, layout.row_taps * layout.lanes, layout.weight)
        members: dict[str, wiring.Member] = {
            "spikes": In(spike_stream(layout.inputs, layout.spike)),
            "rows": Out(rows),
            "currents": Out(current_stream(layout.out_lanes, layout.current)),
        }
        if layout.initial is not None:
            members["initial"] = In(current_stream(layout.out_lanes, layout.initial))
        super().__init__(members)

    @property
    def latency(self) -> int:
        """Cycles from the end-of-step beat's arrival to the first currents, if events rest."""
        return Locate.latency + 7

    def cycles_per_step(self, events: int | Sequence[int] | IntArray) -> int:
        """Steady-state cycles of a timestep, when nothing stalls it: exact for the events' indices,
        an upper bound for their number.
        """
        return self.layout.cycles_per_step(events)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        layout = self.layout
        sums = m.submodules.accumulators = ConvAccumulators(layout)
        wiring.connect(m, sums.currents, wiring.flipped(self.currents))
        if layout.initial is not None:
            wiring.connect(m, wiring.flipped(self.initial), sums.initial)
        event = self.look_up(m)

        # The event at work, how far it has come, and what follows.
        active, closing, ends_sample = Signal(), Signal(), Signal()
        issue, done, take = Signal(), Signal(), Signal()
        words, (columns, lines) = layout.words, (table.pitch for table in reversed(layout.tables))
        row, line_row = (Signal(index_shape(layout.rows)) for _ in range(2))
        at, line_at = (Signal(index_shape(layout.depth)) for _ in range(2))
        word, across, all_across, down = (
            Signal.like(signal) for signal in (event.word, event.across, event.across, event.down)
        )
        now = {name: Signal.like(event.values[name]) for name in ("value", *_CONSTANT)}
        m.d.comb += [
            issue.eq(active & sums.ready),
            event.ready.eq(~closing & (~active | (issue & done))),
            take.eq(event.valid & event.ready),
            done.eq(~Cat(word, across, down).any()),
            self.rows.enable.eq(issue),
            self.rows.addr.eq(row),
        ]
        with m.If(issue):
            row_columns, row_lines = (
                table.row_pitch * axis.stride
                for table, axis in zip(reversed(layout.tables), reversed(layout.axes), strict=True)
            )
            m.d.sync += [row.eq(row + 1), at.eq(at + 1), word.eq(word - 1)]
            with m.If(word == 0):
                # From a tap to the next the output falls by one.
                m.d.sync += [
                    word.eq(words - 1),
                    row.eq(row + row_columns - (words - 1)),
                    at.eq(at - columns - (words - 1)),
                    across.eq(across - 1),
                ]
                with m.If(across == 0):
                    m.d.sync += [
                        row.eq(line_row + row_lines),
                        line_row.eq(line_row + row_lines),
                        at.eq(line_at - lines),
                        line_at.eq(line_at - lines),
                        across.eq(all_across),
                        down.eq(down - 1),
                    ]
            with m.If(done):
                m.d.sync += active.eq(0)
        with m.If(take):
            m.d.sync += [signal.eq(event.values[name]) for name, signal in now.items()]
            m.d.sync += [row.eq(event.row), line_row.eq(event.row)]
            m.d.sync += [at.eq(event.at), line_at.eq(event.at)]
            m.d.sync += [across.eq(event.across), all_across.eq(event.across)]
            m.d.sync += [word.eq(event.word), down.eq(event.down)]
            m.d.sync += [active.eq(~event.ends), closing.eq(event.ends)]
            with m.If(event.ends):
                m.d.sync += ends_sample.eq(event.last)

        under_way = self.add(m, sums, issue, at, now)
        m.d.comb += [
            sums.drain.eq(closing & sums.ready & ~under_way),
            sums.end_of_sample.eq(ends_sample),
        ]
        with m.If(sums.drain):
            m.d.sync += closing.eq(0)
        return m

    def look_up(self, m: Module) -> Stage:
        """Each event with all that its way through the weights and the sums needs.

        ``row`` is its first weight row and ``words``, by bank, where its first sums lie (if
        ``hits`` has the bank); ``at`` is the way from there, which begins in the event's group.
        ``across``, ``down`` and ``word`` count the taps and words that follow the first.
        """
        layout = self.layout
        locate = m.submodules.locate = Locate(layout.shape, layout.spike)
        wiring.connect(m, wiring.flipped(self.spikes), locate.input)
        place = locate.output.payload
        channels, words = layout.shape[0], layout.words
        group = quotient(place.channel, channels // layout.groups, channels)
        found = stage(
            m, Stage(locate.output.valid, locate.output.ready, {}), "found",
            value=place.value,
            ends=place.end_of_step,
            last=place.end_of_sample,
            row=place.channel * (layout.rows // channels),
            at=_sized(group * words, index_shape(layout.depth)),
            **{
                f"{name}_{axis}": _looked_up(column, position)
                for axis, table, position in zip(
                    "yx", layout.tables, (place.y, place.x), strict=True
                )
                for name, column in table.columns.items()
            },
        )  # fmt: skip
        get = found.values
        rows, columns = (range(count) for count in layout.bank_grid)
        grid = [(i, j) for i in rows for j in columns]
        hit = get["any_y"] & get["any_x"]
        down, across = (index_shape(kernel) for kernel in layout.kernel)
        return stage(
            m, found, "event",
            value=found.value,
            ends=found.ends,
            last=found.last,
            row=_sized(found.row + get["row_y"] + get["row_x"], index_shape(layout.rows)),
            at=found.at,
            words=Cat(
                _sized(get[f"word{i}_y"] + get[f"word{j}_x"], index_shape(layout.depth))
                for i, j in grid
            ),
            hits=Cat(get[f"hit{i}_y"] & get[f"hit{j}_x"] for i, j in grid),
            taps_y=Cat(_sized(get[f"tap{i}_y"], down) for i in rows),
            taps_x=Cat(_sized(get[f"tap{j}_x"], across) for j in columns),
            down=_sized(Mux(hit, get["more_y"], 0), down),
            across=_sized(Mux(hit, get["more_x"], 0), across),
            word=_sized(Mux(hit, words - 1, 0), index_shape(words)),
        )  # fmt: skip

    def add(
        self, m: Module, sums: ConvAccumulators, issue: Signal, at: Signal, now: dict[str, Signal]
    ) -> Value:
        """From an issue, in whose cycle its weight row is asked for, to the sums of all banks.

        Returns whether any addition is under way that has not come to its last cycle.
        """
        layout = self.layout
        depth = layout.addend_stages
        targets = Cat((at + word)[: len(at)] for word in _split(now["words"], layout.banks))
        before = now | {
            "issue": issue, "hits": now["hits"] & issue.replicate(layout.banks), "words": targets
        }  # fmt: skip
        stages: list[dict[str, Any]] = [before]
        for number in range(1, depth + 1):
            after = {
                name: Signal(
                    Value.cast(signal).shape(),
                    name=f"add{number}_{name}",
                    reset_less=name not in ("issue", "hits"),
                )
                for name, signal in before.items()
            }
            m.d.sync += [after[name].eq(signal) for name, signal in before.items()]
            stages.append(after)
            before = after

        # Where all taps come at once, each bank takes its own; graded spikes are multiplied.
        steps = [
            step
            for step, wanted in (
                (self.choose_down, layout.spread[0]),
                (self.choose_across, layout.spread[1]),
                (self.multiply, layout.graded),
            )
            if wanted
        ]
        steps = [None] * (depth - len(steps)) + steps
        rows, columns = (
            kernel if spread else 1
            for kernel, spread in zip(layout.kernel, layout.spread, strict=True)
        )
        taps = _split(self.rows.data.as_value(), rows * columns)
        grid = [taps[i * columns : (i + 1) * columns] for i in range(rows)]
        for number, step in enumerate(steps):
            values = grid if step is None else step(grid, stages[number + 1])
            grid = [
                [Signal(len(v), name=f"weights{number}_{i}_{j}", reset_less=True)
                 for j, v in enumerate(row)]
                for i, row in enumerate(values)
            ]  # fmt: skip
            for signals, row in zip(grid, values, strict=True):
                m.d.sync += [s.eq(v) for s, v in zip(signals, row, strict=True)]
        m.d.comb += [
            sums.enable.eq(stages[depth - 1]["hits"]),
            sums.words.as_value().eq(stages[depth - 1]["words"]),
            sums.addends.as_value().eq(Cat(value for row in grid for value in row)),
        ]
        return Cat(stage["issue"] for stage in stages[1:]).any()

    def choose_down(self, grid: Grid, now: dict[str, Any]) -> Grid:
        """For each row of banks the kernel's row that serves it."""
        taps = _split(now["taps_y"], self.layout.bank_grid[0])
        return [[Array(column)[tap] for column in zip(*grid, strict=True)] for tap in taps]

    def choose_across(self, grid: Grid, now: dict[str, Any]) -> Grid:
        """For each column of banks the kernel's column that serves it."""
        taps = _split(now["taps_x"], self.layout.bank_grid[1])
        return [[Array(row)[tap] for tap in taps] for row in grid]

    def multiply(self, grid: Grid, now: dict[str, Any]) -> Grid:
        """Each weight times the event's value."""
        weights = data.ArrayLayout(self.layout.weight, self.layout.lanes)
        width = self.layout.addend.width
        return [
            [Cat((weight * now["value"])[:width] for weight in weights(value)) for value in row]
            for row in grid
        ]


_CONSTANT = ("words", "hits", "taps_y", "taps_x")
"""What stays the same while an event is at work, beside its value."""


def _sized(value: Any, shape: Shape) -> Any:
    """An unsigned ``value`` in the bits of ``shape``."""
    return Cat(value, Const(0, shape.width))[: shape.width]


def _split(value: Any, count: int) -> list[Any]:
    """``value`` in ``count`` parts of the same width."""
    width = len(value) // count
    return [value[i * width : (i + 1) * width] for i in range(count)]


def _looked_up(column: list[int], position: Any) -> Any:
    """Entry ``position`` of ``column``."""
    bits = max(1, max(column).bit_length())
    entries = [Const(entry, bits) for entry in column]
    return Array(entries)[position] if len(set(column)) > 1 else entries[0]
