"""The one error of this room."""

from __future__ import annotations


class BuildError(ValueError):
    """A bitstream that cannot be made, loaded or spoken to; one line says why."""
