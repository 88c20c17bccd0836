"""Fixed-point formats: the one notion of number that training, golden model and hardware share.

A value is a two's-complement (or unsigned) integer ``raw`` with a binary point,
``value = raw * 2**-frac``. Nothing here rounds: formats only say which integers are allowed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

MAX_WIDTH = 62
"""Widest format, in bits: sums of two such values still fit the golden model's int64."""

IntArray = npt.NDArray[np.int64]


class FormatError(ValueError):
    """A format that no hardware can hold."""


@dataclass(frozen=True)
class Format:
    """A fixed-point format of ``width`` bits, ``frac`` of them behind the binary point.

    ``frac`` may be negative or larger than ``width``; it scales, it does not take up bits.

    Raises :class:`FormatError` unless ``1 <= width <= MAX_WIDTH``.
    """

    width: int
    frac: int = 0
    signed: bool = True

    def __post_init__(self) -> None:
        for name, value in (("width", self.width), ("frac", self.frac)):
            if not isinstance(value, int) or isinstance(value, bool):
                raise FormatError(f"format {name} is {value!r}, must be an integer")
        if not 1 <= self.width <= MAX_WIDTH:
            raise FormatError(f"format width is {self.width} bits, must be 1 to {MAX_WIDTH}")
        if abs(self.frac) > MAX_WIDTH:
            raise FormatError(f"format frac is {self.frac}, must be -{MAX_WIDTH} to {MAX_WIDTH}")

    @property
    def min(self) -> int:
        """Smallest raw integer."""
        return -(1 << (self.width - 1)) if self.signed else 0

    @property
    def max(self) -> int:
        """Largest raw integer."""
        return (1 << (self.width - 1)) - 1 if self.signed else (1 << self.width) - 1

    @property
    def step(self) -> float:
        """The value of one unit in the last place."""
        return 2.0**-self.frac

    @classmethod
    def for_range(cls, low: int, high: int, frac: int = 0) -> Format:
        """The narrowest format that holds every raw integer of ``[low, high]``."""
        if low > high:
            raise FormatError(f"format range is [{low}, {high}], must not be empty")
        if low >= 0:
            return cls(max(1, int(high).bit_length()), frac, signed=False)
        return cls(max((-low - 1).bit_length(), max(high, 0).bit_length()) + 1, frac, signed=True)

    def contains(self, raw: npt.ArrayLike) -> bool:
        """Whether every integer of ``raw`` fits."""
        array = np.asarray(raw)
        return array.size == 0 or (int(array.min()) >= self.min and int(array.max()) <= self.max)

    def saturate(self, raw: IntArray) -> tuple[IntArray, int]:
        """``raw`` clipped into range, and how many of its elements were outside."""
        clipped = np.clip(raw, self.min, self.max)
        return clipped, int(np.count_nonzero(clipped != raw))

    def __str__(self) -> str:
        return f"{'s' if self.signed else 'u'}{self.width}.{self.frac}"

    @classmethod
    def parse(cls, text: str) -> Format:
        """The format that ``str`` wrote, such as ``s12.4``."""
        try:
            if text[0] not in "su":
                raise ValueError
            width, frac = text[1:].split(".")
            return cls(int(width), int(frac), signed=text[0] == "s")
        except (ValueError, IndexError, TypeError) as error:
            if isinstance(error, FormatError):
                raise
            raise FormatError(f"format is {text!r}, must look like 's12.4' or 'u1.0'") from None


SPIKE = Format(1, 0, signed=False)
"""A plain spike: 0 or 1."""
