"""How numbers look on the page; what is missing is a dash."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

NOTHING = "–"


def share(value: float) -> str:
    return f"{100 * value:.2f} %"


def count(value: float) -> str:
    return f"{value:,.0f}"


def seconds(value: float) -> str:
    if value < 90:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    if minutes < 90:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def part(value: float) -> str:
    """A share without a figure that says nothing."""
    return f"{100 * value:.0f} %" if value >= 0.0995 else f"{100 * value:.2g} %"


_MADE = re.compile(r"_(TRELLIS_FF|LUT4|CCU2C|PFUMX|L6MUX21|DP16KD|MULT18X18D|SB_[A-Z0-9]+)_.*|\$.*")


def cell(name: str) -> str:
    """A cell's name without what synthesis hung on it, if any of it is the designer's."""
    return _MADE.sub("", name) or name


FORMATS: dict[str, Callable[[Any], str]] = {
    "share": share,
    "count": count,
    "seconds": seconds,
    "mhz": lambda value: f"{value:.2f} MHz",
    "times": lambda value: f"{value:.3f}",
    "part": part,
    "cell": cell,
    "text": str,
    "digest": lambda value: str(value)[:16],
}


def formatted(value: Any, form: str) -> str:
    """``value`` as ``form`` has it; None is a dash."""
    return NOTHING if value is None else FORMATS[form](value)
