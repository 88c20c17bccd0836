"""The tanh and logistic functions by one table of tanh for arguments from 0 up.

Both functions are odd about their middle, so the table holds no negative arguments, and what is
looked up is exactly symmetric: ``tanh(−x) = −tanh(x)``, ``sigmoid(−x) = 1 − sigmoid(x)``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..formats import IntArray


@dataclass(frozen=True, eq=False)
class Tanh:
    """``entries[k]`` is ``tanh(k · 2^-step) · 2^frac``, rounded; beyond the last it stays."""

    entries: IntArray
    step: int
    frac: int

    @classmethod
    def of(cls, step: int, frac: int, reach: int = 4) -> Tanh:
        """The table for arguments below ``reach``."""
        arguments = np.arange(reach << step) * 2.0**-step
        return cls(np.rint(np.tanh(arguments) * (1 << frac)).astype(np.int64), step, frac)

    @property
    def error(self) -> float:
        """A bound of ``|tanh(x) − lookup|`` over all x.

        Half a step of the argument (the slope is at most 1), half a unit of the result (or what
        the entries themselves are off by), and the tail behind the last entry.
        """
        arguments = np.arange(len(self.entries)) * 2.0**-self.step
        off = float(np.abs(np.tanh(arguments) - self.entries * 2.0**-self.frac).max())
        tail = 1 - float(self.entries[-1]) * 2.0**-self.frac
        return max(2.0 ** -(self.step + 1) + off, abs(tail))

    def index(self, value: IntArray, frac: int) -> IntArray:
        """The entry for raw ``value`` with ``frac ≥ step`` fraction bits: the nearest, ties up."""
        drop = frac - self.step
        half = 1 << (drop - 1) if drop else 0
        return np.minimum((np.abs(value) + half) >> drop, len(self.entries) - 1)

    def tanh(self, value: IntArray, frac: int) -> IntArray:
        """tanh of raw ``value``, with ``self.frac`` fraction bits."""
        return np.sign(value) * self.entries[self.index(value, frac)]

    def sigmoid(self, value: IntArray, frac: int) -> IntArray:
        """``1 / (1 + exp(−x)) = (1 + tanh(x/2)) / 2``, with ``self.frac + 1`` fraction bits."""
        return (1 << self.frac) + self.tanh(value, frac + 1)
