"""How numbers look on the page; what is missing is a dash."""

from __future__ import annotations

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


FORMATS: dict[str, Callable[[Any], str]] = {
    "share": share,
    "count": count,
    "seconds": seconds,
    "mhz": lambda value: f"{value:.2f} MHz",
    "times": lambda value: f"{value:.3f}",
    "text": str,
    "digest": lambda value: str(value)[:16],
}


def formatted(value: Any, form: str) -> str:
    """``value`` as ``form`` has it; None is a dash."""
    return NOTHING if value is None else FORMATS[form](value)
