"""A section of the page: what its template shows, or which command would fill it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Section:
    """``name`` is its anchor and its template; ``missing`` says why it is empty, if it is, and
    ``command`` what fills it.
    """

    name: str
    title: str
    values: Mapping[str, Any] = field(default_factory=dict)
    missing: str = ""
    command: str = ""
