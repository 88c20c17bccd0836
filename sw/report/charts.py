"""Pictures of the page as inline SVG; colours are the page's, so they follow its theme.

Native width is that of a small telephone: on wider pages several stand side by side.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from markupsafe import Markup

from .. import svg
from .facts import FloatArray

WIDTH, HEIGHT = 340, 200
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 14, 10, 34

INK, MUTED, LINE = "var(--ink)", "var(--muted)", "var(--line)"
BLUE, RED, GREEN, ORANGE, PURPLE = (f"var(--c{n})" for n in range(1, 6))
PALETTE = (BLUE, RED, GREEN, ORANGE, PURPLE)


@dataclass(frozen=True)
class Series:
    """One line of a chart: its name, points and colour; ``css`` is a class for the whole of it."""

    label: str
    points: Sequence[tuple[float, float]]
    colour: str
    dashed: bool = False
    css: str = ""


def percent(value: float) -> str:
    return f"{100 * value:.3g} %"


def plain(value: float) -> str:
    """A tick's number, short: ``1500`` is ``1.5k``."""
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"


def ticks(low: float, high: float, count: int = 4, whole: bool = False) -> list[float]:
    """Round numbers from ``low`` to ``high``, about ``count`` of them, or integers alone."""
    if not high > low:
        return [low]
    rough = max((high - low) / count, 1.0 if whole else 0.0)
    size = 10 ** math.floor(math.log10(rough))
    steps = (1, 2, 5, 10) if whole else (1, 2, 2.5, 5, 10)
    step = next(size * m for m in steps if size * m >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [n * step for n in range(first, math.floor(high / step + 1e-9) + 1)]


def floor(low: float) -> float:
    """Where an axis of shares begins that reaches down to ``low``."""
    return next(start for start in (0.9, 0.8, 0.5, 0.0) if low >= start)


def picture(
    body: Iterable[str], title: str, height: float = HEIGHT, width: float = WIDTH
) -> Markup:
    """The marks as one SVG that scales with the page and says what it is."""
    return Markup(
        f'<svg class="chart" viewBox="0 0 {width:g} {height:g}" role="img" '
        f'aria-label="{escape(title)}">{"".join(body)}</svg>'
    )


def rectangle(x: float, y: float, width: float, height: float, colour: str, more: str = "") -> str:
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 0):.1f}" '
        f'height="{max(height, 0):.1f}" fill="{colour}"{more}/>\n'
    )


def line_chart(
    series: Sequence[Series],
    title: str,
    x_label: str,
    y_range: tuple[float, float] | None = None,
    show: Callable[[float], str] = plain,
    mark: tuple[float, str] | None = None,
) -> Markup:
    """Lines over common axes; ``mark`` is a place on the x axis and what is there."""
    points = [point for one in series for point in one.points]
    xs, ys = [p[0] for p in points] or [0.0], [p[1] for p in points] or [0.0]
    left, right = min(xs), max(max(xs), min(xs) + 1e-9)
    low, high = y_range or (min([*ys, 0.0]), (max(ys) * 1.05) or 1.0)

    def at(x: float, y: float) -> tuple[float, float]:
        across = (x - left) / (right - left)
        up = (min(max(y, low), high) - low) / ((high - low) or 1)
        return (
            _LEFT + across * (WIDTH - _LEFT - _RIGHT),
            HEIGHT - _BOTTOM - up * (HEIGHT - _TOP - _BOTTOM),
        )

    body = []
    # Six marks at most of a given range, so that its ends, 50 % and 100 % say, are among them.
    for value in ticks(low, high, 5 if y_range else 4):
        _, y = at(left, value)
        body.append(svg.path([(_LEFT, y), (WIDTH - _RIGHT, y)], LINE))
        body.append(svg.text(_LEFT - 5, y + 4, escape(show(value)), "end"))
    for value in ticks(left, right, 6, whole=True):
        x, y = at(value, low)
        body.append(svg.text(x, y + 14, escape(plain(value)), "middle"))
    middle = (_LEFT + WIDTH - _RIGHT) / 2
    body.append(svg.text(middle, HEIGHT - 4, escape(x_label), "middle"))
    if mark is not None:
        place, what = mark
        x, bottom = at(place, low)
        body.append(svg.path([(x, bottom), (x, _TOP)], MUTED, dashed=True))
        side, shift = ("end", -4) if x > WIDTH / 2 else ("start", 4)
        # Where no line is: below those that run high.
        beside = [at(*p)[1] for p in points if 0 <= (p[0] - place) * shift <= (right - left) / 2]
        y = _TOP + 8 if min(beside, default=HEIGHT) > HEIGHT / 3 else bottom - 6
        body.append(svg.text(x + shift, y, escape(what), side))
    for one in series:
        marks = svg.path([at(*p) for p in one.points], one.colour, one.dashed)
        if len(one.points) == 1 or (len(one.points) <= FEW and not one.dashed):
            marks += "".join(svg.dot(*at(*point), one.colour) for point in one.points)
        body.append(f'<g class="{escape(one.css)}">{marks}</g>' if one.css else marks)
    return picture(body, title)


FEW = 12
"""Lines of no more points show them: between layers, say, there is nothing."""

DEEP = 40
"""Layers of more than so many are drawn kind by kind: those at the same place of each block."""


def over_depth(values: Mapping[str, float], colour: str = BLUE) -> list[Series]:
    """Values by layer as lines over depth, of a deep network one for each place in its blocks."""
    points = {name: (n + 1.0, value) for n, (name, value) in enumerate(values.items())}
    groups: dict[str, list[str]] = {}
    for name in points:
        groups.setdefault(re.sub(r"(?<=_)\d+(?=_|$)", "n", name, count=1), []).append(name)
    many = {kind: names for kind, names in groups.items() if len(names) > 1}
    if len(points) <= DEEP or not 1 < len(many) <= len(PALETTE):
        return [Series("", list(points.values()), colour)]
    return [
        Series(kind, [points[name] for name in names], tone)
        for (kind, names), tone in zip(many.items(), PALETTE, strict=False)
    ]


def legend(series: Sequence[Series]) -> Markup:
    """The names of several lines, each behind its colour."""
    if len(series) < 2:
        return Markup("")
    key = Markup('<span class="legend"><i class="key" style="background: {}"></i>{}</span>')
    return Markup("").join(key.format(one.colour, one.label) for one in series)


def histogram(
    parts: Sequence[tuple[str, FloatArray]], title: str, reach: float, bins: int = 41
) -> Markup:
    """Distributions as outlines over ``-reach`` to ``reach``, each scaled to its largest bin.

    ``parts`` are (colour, values); beyond the ends values count in the last bins.
    """
    edges = np.linspace(-reach, reach, bins + 1)
    bottom, height, width = 76.0, 96.0, 240.0
    body = [svg.path([(6, bottom), (width - 6, bottom)], LINE)]
    for colour, values in parts:
        counts, _ = np.histogram(np.clip(values, -reach, reach), edges)
        tall = (bottom - 8) / (counts.max() or 1)
        wide = (width - 12) / bins
        outline = [(6.0, bottom)]
        for place, count in enumerate(counts):
            y = bottom - count * tall
            outline += [(6 + place * wide, y), (6 + (place + 1) * wide, y)]
        outline.append((width - 6.0, bottom))
        area = " L".join(f"{x:.1f},{y:.1f}" for x, y in outline)
        body.append(
            f'<path d="M{area}" fill="{colour}" fill-opacity="0.13" stroke="{colour}" '
            'stroke-width="1.3"/>\n'
        )
    for value in (-reach, 0.0, reach):
        x = 6 + (value + reach) / (2 * reach) * (width - 12)
        side = "start" if value < 0 else "end" if value > 0 else "middle"
        body.append(svg.text(x, bottom + 15, escape(f"{value:.3g}"), side))
    return picture(body, title, height, width)


def staircase(
    rows: Sequence[tuple[str, Sequence[tuple[float, float, int]]]], total: float, title: str
) -> Markup:
    """Who works when: for each row its spans (start, end, timestep), over ``total`` cycles.

    Few rows get room for their names, many become a staircase of thin lines.
    """
    thin = len(rows) > 48
    step = 240 / len(rows) if thin else 22.0
    longest = 0 if thin else min(32, max((len(name) for name, _ in rows), default=0))
    left = 6.0 + (10.0 + 6.4 * longest if longest else 0.0)
    width = 994.0 - left
    end = len(rows) * step
    body = []
    for value in ticks(0, total, 5):
        x = left + width * value / (total or 1)
        body.append(svg.path([(x, 0), (x, end)], LINE))
        body.append(svg.text(x, end + 15, escape(plain(value)), "middle" if value else "start"))
    for index, (name, spans) in enumerate(rows):
        y = index * step
        if not thin:
            short = name if len(name) <= 32 else f"{name[:16]}…{name[-15:]}"
            body.append(svg.text(left - 6, y + 15, escape(short), "end"))
            if spans:  # from its first to its last timestep: what is not filled is waiting
                first, last = spans[0][0], spans[-1][1]
                at, span = left + width * first / total, width * (last - first) / total
                body.append(rectangle(at, y + 9.5, span, 3, LINE))
        for start, stop, timestep in spans:
            x, span = left + width * start / total, width * (stop - start) / total
            tone = BLUE if timestep % 2 == 0 else RED
            tall = max(step, 3.0) if thin else step - 8
            tip = f"<title>{escape(name)}: cycles {start:,.0f} to {stop:,.0f}</title>"
            mark = rectangle(x, y + (0 if thin else 4), max(span - 0.6, 0.6), tall, tone)
            body.append(mark.replace("/>", f">{tip}</rect>"))
    return picture(body, title, end + 22, 1000)
