"""From an event to its visits: where in the weights and in the sums of a convolution it goes."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Array, Cat, Const, Module, Mux, Shape
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .conv_layout import ConvLayout
from .locate import Locate, quotient, stage
from .streams import index_shape, spike_stream


def visits_stream(layout: ConvLayout) -> stream.Signature:
    """Events, each with all that its visits to the weights and the sums need.

    Payload: the ``value``; its first weight ``row``; by bank, where its first sums lie
    (``words``) if it has any there (``hits``); ``at``, the way from there, which begins at the
    event's group; which of the kernel's rows and columns serve which rows and columns of banks
    (``taps_down``, ``taps_across``), where all are served at once; and how many taps ``down`` and
    ``across`` and how many words (``word``) follow the first. As with spikes ``end_of_step`` (no
    event) and ``end_of_sample``.
    """
    rows, columns = layout.bank_grid
    height, width = (index_shape(kernel) for kernel in layout.kernel)
    word = index_shape(layout.depth)
    return stream.Signature(
        data.StructLayout(
            {
                "value": layout.spike,
                "row": index_shape(layout.rows),
                "words": data.ArrayLayout(word, layout.banks),
                "hits": layout.banks,
                "at": word,
                "taps_down": data.ArrayLayout(height, rows),
                "taps_across": data.ArrayLayout(width, columns),
                "down": height,
                "across": width,
                "word": index_shape(layout.words),
                "end_of_step": 1,
                "end_of_sample": 1,
            }
        )
    )


class ConvLookup(wiring.Component):
    """Locates events, and looks up where they go: one a cycle, :attr:`latency` cycles later.

    An event that hits no output has one visit, to no bank.
    """

    latency = Locate.latency + 2

    def __init__(self, layout: ConvLayout) -> None:
        self.layout = layout
        super().__init__(
            {
                "input": In(spike_stream(layout.inputs, layout.spike)),
                "output": Out(visits_stream(layout)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        layout = self.layout
        locate = m.submodules.locate = Locate(layout.shape, layout.spike)
        wiring.connect(m, wiring.flipped(self.input), locate.input)
        place = locate.output.payload
        channels = layout.shape[0]
        group = quotient(place.channel, channels // layout.groups, channels)
        rows, columns = (range(banks) for banks in layout.bank_grid)
        found = stage(
            m, locate.output, "found",
            value=place.value,
            end_of_step=place.end_of_step,
            end_of_sample=place.end_of_sample,
            row=place.channel * (layout.rows // channels),
            at=group * layout.words,
            **{
                f"{axis}_{name}": _entry(column, position)
                for axis, table, position in zip(
                    ("down", "across"), layout.tables, (place.y, place.x), strict=True
                )
                for name, column in table.columns.items()
            },
        )  # fmt: skip
        down, across = (
            {name: found.values[f"{axis}_{name}"] for name in table.columns}
            for axis, table in zip(("down", "across"), layout.tables, strict=True)
        )
        hit = down["any"] & across["any"]
        stage(
            m, found, "visits",
            value=found.value,
            end_of_step=found.end_of_step,
            end_of_sample=found.end_of_sample,
            row=found.row + down["row"] + across["row"],
            words=Cat(
                _sized(down[f"word{i}"] + across[f"word{j}"], index_shape(layout.depth))
                for i in rows
                for j in columns
            ),
            hits=Cat(down[f"hit{i}"] & across[f"hit{j}"] for i in rows for j in columns),
            at=found.at,
            taps_down=Cat(_sized(down[f"tap{i}"], index_shape(layout.kernel[0])) for i in rows),
            taps_across=Cat(
                _sized(across[f"tap{j}"], index_shape(layout.kernel[1])) for j in columns
            ),
            down=Mux(hit, down["more"], 0),
            across=Mux(hit, across["more"], 0),
            word=Mux(hit, layout.words - 1, 0),
        ).send(m, self.output)  # fmt: skip
        return m


def _entry(column: list[int], position: Any) -> Any:
    """Entry ``position`` of ``column``."""
    bits = max(1, max(column).bit_length())
    entries = [Const(entry, bits) for entry in column]
    return Array(entries)[position] if len(set(column)) > 1 else entries[0]


def _sized(value: Any, shape: Shape) -> Any:
    """An unsigned ``value`` in the bits of ``shape``."""
    return Cat(value, Const(0, shape.width))[: shape.width]
