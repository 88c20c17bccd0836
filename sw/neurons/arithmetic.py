"""The few operations that neuron steps are written in, and their meaning on integers.

A step is written once against :class:`Ops`. On numpy integers it is the golden model; quantised
training runs the same step on integers held in floating point, with gradients, and the float
graph runs it on real numbers, where nothing is floored, shifted or clipped.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from ..formats import Format, IntArray
from .table import Tanh


class Ops(Protocol):
    """Operations on arrays ``[..., n]``; ``shift`` is a number of bits, at least 0."""

    def floor(self, value: Any, shift: int) -> Any:
        """``value · 2^-shift``, rounded towards −∞."""
        ...

    def align(self, value: Any, shift: int) -> Any:
        """``value · 2^shift``."""
        ...

    def saturate(self, value: Any, form: Format) -> Any:
        """``value`` clipped into ``form``."""
        ...

    def rectify(self, value: Any) -> Any:
        """``max(value, 0)``."""
        ...

    def fire(self, value: Any, level: Any, unit: Any, strict: bool) -> Any:
        """1 where ``value > level`` (``≥`` unless ``strict``), else 0; a surrogate's derivative
        is taken at ``(value − level) / unit``.
        """
        ...

    def where(self, condition: Any, yes: Any, no: Any) -> Any:
        """``yes`` where ``condition`` (0 or 1) holds, else ``no``."""
        ...

    def detach(self, value: Any) -> Any:
        """``value`` without its gradient."""
        ...

    def tanh(self, value: Any, frac: int, table: Tanh) -> Any:
        """tanh of a raw ``value`` with ``frac`` fraction bits; ``table.frac`` bits behind it."""
        ...

    def sigmoid(self, value: Any, frac: int, table: Tanh) -> Any:
        """The logistic function likewise, with one fraction bit more."""
        ...


@dataclass
class IntegerOps:
    """Exact integer arithmetic on int64 arrays; counts what it clips."""

    clipped: int = 0

    def floor(self, value: IntArray, shift: int) -> IntArray:
        return value >> shift

    def align(self, value: IntArray, shift: int) -> IntArray:
        return value << shift

    def saturate(self, value: IntArray, form: Format) -> IntArray:
        result, clipped = form.saturate(value)
        self.clipped += clipped
        return result

    def rectify(self, value: IntArray) -> IntArray:
        return np.maximum(value, 0)

    def fire(self, value: IntArray, level: IntArray, unit: Any, strict: bool) -> IntArray:
        del unit
        return (value > level if strict else value >= level).astype(np.int64)

    def where(self, condition: IntArray, yes: Any, no: Any) -> IntArray:
        return np.where(condition != 0, yes, no)

    def detach(self, value: IntArray) -> IntArray:
        return value

    def tanh(self, value: IntArray, frac: int, table: Tanh) -> IntArray:
        return table.tanh(value, frac)

    def sigmoid(self, value: IntArray, frac: int, table: Tanh) -> IntArray:
        return table.sigmoid(value, frac)
