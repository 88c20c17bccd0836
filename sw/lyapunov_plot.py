"""The sweep's picture: gain, spike rate and accuracy over the regulariser's weight, as SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Line = Mapping[str, Any]

PANELS = (
    ("gain", "finite-time gain Λ_T"),
    ("spike_rate", "spike rate"),
    ("accuracy", "test accuracy"),
)
COLOURS = ("#0072b2", "#d55e00", "#009e73")
WIDTH, HEIGHT, MARGIN = 300, 240, 50


def plot(means: Sequence[Line]) -> str:
    """``means`` of :func:`reslif.sw.lyapunov_study.means`; bars are one standard deviation."""
    body = [_panel(index, name, title, means) for index, (name, title) in enumerate(PANELS)]
    size = f"{WIDTH * len(PANELS)} {HEIGHT + 30}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size}" '
        'font-family="sans-serif" font-size="11">\n<rect width="100%" height="100%" fill="white"/>'
        f"\n{''.join(body)}{_legend(means)}</svg>\n"
    )


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
    out = [_text((left + right) / 2, 18, title, "middle")]
    for step in range(5):
        value = low + (high - low) * step / 4
        out.append(_path([(left, y(value)), (right, y(value))], "#dddddd"))
        out.append(_text(left - 4, y(value) + 4, f"{value:.2f}", "end"))
    for weight in weights:
        out.append(_text(x(weight), HEIGHT - 12, f"{weight:g}", "middle"))
    out.append(_text((left + right) / 2, HEIGHT + 4, "weight", "middle"))
    for target, colour in zip(targets, COLOURS, strict=False):
        line = sorted((m for m in means if m["target"] == target), key=lambda m: m["weight"])
        if name == "gain":
            out.append(_path([(left, y(target)), (right, y(target))], colour, dashed=True))
        out.append(_path([(x(m["weight"]), y(m[name])) for m in line], colour))
        for m in line:
            spread, at = m[f"{name}_spread"], x(m["weight"])
            out.append(_path([(at, y(m[name] - spread)), (at, y(m[name] + spread))], colour))
            out.append(f'<circle cx="{at:.1f}" cy="{y(m[name]):.1f}" r="3" fill="{colour}"/>\n')
    return "".join(out)


def _legend(means: Sequence[Line]) -> str:
    out = []
    for index, (target, colour) in enumerate(zip(_targets(means), COLOURS, strict=False)):
        at = MARGIN + index * 110
        out.append(_path([(at, HEIGHT + 16), (at + 20, HEIGHT + 16)], colour))
        out.append(_text(at + 26, HEIGHT + 20, f"target {target:g}", "start"))
    return "".join(out)


def _targets(means: Sequence[Line]) -> list[float]:
    return list(dict.fromkeys(m["target"] for m in means))


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{text}</text>\n'


def _path(points: Sequence[tuple[float, float]], colour: str, dashed: bool = False) -> str:
    steps = " L".join(f"{x:.1f},{y:.1f}" for x, y in points)
    dash = ' stroke-dasharray="5 4"' if dashed else ""
    return f'<path d="M{steps}" fill="none" stroke="{colour}" stroke-width="1.5"{dash}/>\n'
