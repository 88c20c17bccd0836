"""The few marks that the pictures in ``docs/`` are made of, as SVG text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

GRID = "#dddddd"


def text(x: float, y: float, label: str, anchor: str, bold: bool = False) -> str:
    """``label`` at a point; ``anchor`` is ``"start"``, ``"middle"`` or ``"end"``."""
    weight = ' font-weight="bold"' if bold else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{weight}>{label}</text>\n'


def path(points: Sequence[tuple[float, float]], colour: str, dashed: bool = False) -> str:
    """A line through ``points``."""
    steps = " L".join(f"{x:.1f},{y:.1f}" for x, y in points)
    dash = ' stroke-dasharray="5 4"' if dashed else ""
    return f'<path d="M{steps}" fill="none" stroke="{colour}" stroke-width="1.5"{dash}/>\n'


def dot(x: float, y: float, colour: str) -> str:
    """A point."""
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>\n'


def picture(width: float, height: float, body: Iterable[str]) -> str:
    """A whole file on white ground."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" '
        'font-family="sans-serif" font-size="11">\n<rect width="100%" height="100%" fill="white"/>'
        f"\n{''.join(body)}</svg>\n"
    )
