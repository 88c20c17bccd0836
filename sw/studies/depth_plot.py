"""The picture of a study of depth: measures of every block over its place in the stack, as SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ..svg import GRID, path, picture, text

Row = dict[str, Any]

PANELS = (
    ("spike_rate", "spike rate", False),
    ("gradient", "gradient norm / last block's", True),
    ("phi", "φ, mean squared singular value", True),
    ("spread", "spread, their variance", True),
    ("ratio", "‖F(x)‖ / ‖x‖", True),
)
"""Measure, title, and whether its axis is logarithmic."""
COLOURS = ("#e69f00", "#56b4e9", "#009e73", "#0072b2", "#cc79a7", "#d55e00")
WIDTH, HEIGHT, LEFT, TOP = 300, 170, 60, 50
MOST_POINTS = 150
LOWEST, HIGHEST = 1e-8, 1e8
"""Where a logarithmic axis ends at the latest: what is beyond lies on its edge."""


def plot(report: Row) -> str:
    """``report`` of :func:`reslif.sw.studies.depth.depth_study`; a column for each block type."""
    networks: Sequence[Row] = report["networks"]
    kinds = list(dict.fromkeys(row["kind"] for row in networks))
    depths = sorted({row["depth"] for row in networks if not row["trained"]})
    colours = {depth: COLOURS[i % len(COLOURS)] for i, depth in enumerate(depths)}
    body = [_legend(colours, any(row["trained"] for row in networks))]
    for column, kind in enumerate(kinds):
        body.append(text(column * WIDTH + LEFT + 110, TOP - 14, kind, "middle", bold=True))
        mine = [row for row in networks if row["kind"] == kind]
        for place, (name, title, log) in enumerate(PANELS):
            every = [value for row in networks for _, value in _points(row, name)]
            body.append(_panel(column, place, title, log, mine, name, every, colours))
    return picture(WIDTH * len(kinds) + 20, TOP + HEIGHT * len(PANELS) + 20, body)


def _points(row: Row, name: str) -> list[tuple[float, float]]:
    """(place in the stack from 0 to 1, value) of some blocks, the first and last included."""
    values: Sequence[float] = row["blocks"][name]
    if name == "gradient":
        last = values[-1] or 1.0
        values = [value / last for value in values]
    count = len(values)
    step = max(1, -(-count // MOST_POINTS))
    chosen = sorted({*range(0, count, step), count - 1})
    return [(index / max(1, count - 1), values[index]) for index in chosen]


def _panel(
    column: int, place: int, title: str, log: bool, networks: Sequence[Row], name: str,
    every: Sequence[float], colours: dict[int, str],
) -> str:  # fmt: skip
    """One measure of one block type; the axis is that of ``every`` value of all types."""
    left, top = column * WIDTH + LEFT, TOP + place * HEIGHT
    width, height = WIDTH - LEFT - 20, HEIGHT - 45
    positive = [value for value in every if value > 0] or [1.0]
    low, high = 0.0, max(positive)
    if log:
        low = math.floor(math.log10(max(min(positive), LOWEST)))
        high = math.ceil(math.log10(min(high, HIGHEST)))
    high = high if high > low else low + 1

    def scaled(value: float) -> float:
        return math.log10(min(max(value, 10.0**low), 10.0**high)) if log else value

    def y(value: float) -> float:
        return top + height * (high - scaled(value)) / (high - low)

    out = [text(left + width / 2, top - 3, title, "middle")]
    ticks = range(int(low), int(high) + 1, max(1, int(high - low) // 4)) if log else range(5)
    for tick in ticks:
        value = 10.0**tick if log else high * tick / 4
        out.append(path([(left, y(value)), (left + width, y(value))], GRID))
        out.append(text(left - 4, y(value) + 4, f"{value:.3g}", "end"))
    out.append(text(left, top + height + 14, "first block", "start"))
    out.append(text(left + width, top + height + 14, "last", "end"))
    for row in networks:
        line = [(left + at * width, y(value)) for at, value in _points(row, name)]
        colour = "#000000" if row["trained"] else colours[row["depth"]]
        out.append(path(line, colour))
    return "".join(out)


def _legend(colours: dict[int, str], trained: bool) -> str:
    entries = [(f"{depth} layers", colour) for depth, colour in colours.items()]
    entries += [("trained", "#000000")] if trained else []
    out = []
    for index, (label, colour) in enumerate(entries):
        at = LEFT + index * 110
        out.append(path([(at, 14), (at + 20, 14)], colour))
        out.append(text(at + 26, 18, label, "start"))
    return "".join(out)
