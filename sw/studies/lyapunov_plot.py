"""The sweep's picture: gain, spike rate and accuracy over the regulariser's weight, as SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..svg import GRID, dot, path, picture, text

Line = Mapping[str, Any]

PANELS = (
    ("gain", "finite-time gain Λ_T"),
    ("spike_rate", "spike rate"),
    ("accuracy", "test accuracy"),
)
COLOURS = ("#0072b2", "#d55e00", "#009e73")
WIDTH, HEIGHT, MARGIN = 300, 240, 50


def plot(means: Sequence[Line]) -> str:
    """``means`` of :func:`reslif.sw.studies.lyapunov.means`; bars are one standard deviation."""
    body = [_panel(index, name, title, means) for index, (name, title) in enumerate(PANELS)]
    return picture(WIDTH * len(PANELS), HEIGHT + 30, [*body, _legend(means)])


def _panel(index: int, name: str, title: str, means: Sequence[Line]) -> str:
    targets = _targets(means)
    values = [m[name] + sign * m[f"{name}_spread"] for m in means for sign in (-1, 1)]
    values += targets if name == "gain" else []
    low, high = min(values), max(values)
    low, high = low - 0.08 * (high - low or 1), high + 0.08 * (high - low or 1)
    weights = sorted({m["weight"] for m in means})

    def x(weight: float) -> float:
        place = weights.index(weight) / max(1, len(weights) - 1)
        return index * WIDTH + MARGIN + place * (WIDTH - MARGIN - 30)

    def y(value: float) -> float:
        return 30 + (HEIGHT - 60) * (high - value) / (high - low)

    left, right = x(weights[0]) - 12, x(weights[-1]) + 12
    out = [text((left + right) / 2, 18, title, "middle")]
    for step in range(5):
        value = low + (high - low) * step / 4
        out.append(path([(left, y(value)), (right, y(value))], GRID))
        out.append(text(left - 4, y(value) + 4, f"{value:.2f}", "end"))
    for weight in weights:
        out.append(text(x(weight), HEIGHT - 12, f"{weight:g}", "middle"))
    out.append(text((left + right) / 2, HEIGHT + 4, "weight", "middle"))
    for target, colour in zip(targets, COLOURS, strict=False):
        line = sorted((m for m in means if m["target"] == target), key=lambda m: m["weight"])
        if name == "gain":
            out.append(path([(left, y(target)), (right, y(target))], colour, dashed=True))
        out.append(path([(x(m["weight"]), y(m[name])) for m in line], colour))
        for m in line:
            spread, at = m[f"{name}_spread"], x(m["weight"])
            out.append(path([(at, y(m[name] - spread)), (at, y(m[name] + spread))], colour))
            out.append(dot(at, y(m[name]), colour))
    return "".join(out)


def _legend(means: Sequence[Line]) -> str:
    out = []
    for index, (target, colour) in enumerate(zip(_targets(means), COLOURS, strict=False)):
        at = MARGIN + index * 110
        out.append(path([(at, HEIGHT + 16), (at + 20, HEIGHT + 16)], colour))
        out.append(text(at + 26, HEIGHT + 20, f"target {target:g}", "start"))
    return "".join(out)


def _targets(means: Sequence[Line]) -> list[float]:
    return list(dict.fromkeys(m["target"] for m in means))
