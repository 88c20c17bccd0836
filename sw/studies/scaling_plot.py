"""The picture of the sequential engine over depth, as SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..svg import GRID, dot, path, picture, text

PANELS = (
    ("cycles_per_sample", "cycles a sample"),
    ("luts", "LUTs"),
    ("brams", "block RAMs"),
    ("seconds_generate", "seconds to generate"),
    ("seconds_cosim", "seconds to co-simulate"),
)
BLOCK, STREAM = "#0072b2", "#d55e00"
WIDTH, HEIGHT, LEFT, TOP = 260, 210, 56, 30


def plot(rows: Sequence[Mapping[str, Any]]) -> str:
    """``rows`` of :func:`.scaling.scaling`, each measure over the number of layers."""
    shown = [(name, title) for name, title in PANELS if sum(name in row for row in rows) > 1]
    body = [_panel(index, *panel, rows) for index, panel in enumerate(shown)]
    keys = ((BLOCK, "weights in block RAM"), (STREAM, "weights in external memory"))
    for index, (colour, label) in enumerate(keys):
        body.append(dot(LEFT + 160 * index, HEIGHT + 14, colour))
        body.append(text(LEFT + 8 + 160 * index, HEIGHT + 18, label, "start"))
    return picture(WIDTH * max(2, len(shown)), HEIGHT + 30, body)


def _panel(index: int, name: str, title: str, rows: Sequence[Mapping[str, Any]]) -> str:
    known = [row for row in rows if name in row]
    left, width, height = index * WIDTH + LEFT, WIDTH - LEFT - 16, HEIGHT - TOP - 36
    deepest, most = max(row["layers"] for row in known), max(row[name] for row in known) or 1

    def at(row: Mapping[str, Any]) -> tuple[float, float]:
        return left + width * row["layers"] / deepest, TOP + height * (1 - row[name] / most)

    out = [text(left + width / 2, TOP - 12, title, "middle")]
    for tick in range(5):
        y = TOP + height * (1 - tick / 4)
        out.append(path([(left, y), (left + width, y)], GRID))
        out.append(text(left - 4, y + 4, _label(most * tick / 4), "end"))
    out.append(text(left, TOP + height + 14, "0", "middle"))
    out.append(text(left + width, TOP + height + 14, f"{deepest} layers", "end"))
    on_chip = [at(row) for row in known if row["weights"] == "block"]
    out.append(path(on_chip, BLOCK))
    out += [dot(*at(row), BLOCK if row["weights"] == "block" else STREAM) for row in known]
    return "".join(out)


def _label(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
