"""What travels between nodes, and the checks that every node makes of its fields."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .formats import Format, FormatError, IntArray


class NetworkError(ValueError):
    """A network that the contract does not allow."""


@dataclass(frozen=True, eq=False)
class Values:
    """What travels on an edge each timestep: ``[n]`` integers, each within ``[low, high]``."""

    format: Format
    low: IntArray
    high: IntArray

    @property
    def size(self) -> int:
        return len(self.low)

    @classmethod
    def of(cls, low: npt.NDArray[Any], high: npt.NDArray[Any], frac: int, node: str) -> Values:
        """The values between ``low`` and ``high`` in the narrowest format, or an error."""
        try:
            form = Format.for_range(int(low.min()), int(high.max()), frac)
        except FormatError as error:
            raise NetworkError(f"node '{node}': {error}") from None
        return cls(form, low.astype(np.int64), high.astype(np.int64))

    @classmethod
    def full(cls, form: Format, size: int) -> Values:
        """``size`` values that may take the whole range of ``form``."""
        return cls(form, np.full(size, form.min, np.int64), np.full(size, form.max, np.int64))


def integers(value: npt.ArrayLike, node: str, what: str) -> IntArray:
    """``value`` as a read-only int64 array; floats and NaN are refused, never rounded."""
    array = np.asarray(value)
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise NetworkError(f"node '{node}': {what} holds NaN or infinity, must be integers")
    if array.dtype.kind not in "iub":
        raise NetworkError(f"node '{node}': {what} is {array.dtype}, must be integers")
    result = array.astype(np.int64)
    result.setflags(write=False)
    return result


def exact(array: IntArray) -> npt.NDArray[np.object_]:
    """``array`` as Python's integers: what is too wide is then refused, and never wraps."""
    return array.astype(object)


def check_name_and_size(name: str, size: int) -> None:
    if not name or not name.isidentifier() or not name.isascii():
        raise NetworkError(f"node name is {name!r}, must be an ASCII identifier")
    if not isinstance(size, int) or size < 1:
        raise NetworkError(f"node '{name}': size is {size!r}, must be an integer above 0")


def check_range(node: str, what: str, array: IntArray, low: int, high: int) -> None:
    if array.size and (int(array.min()) < low or int(array.max()) > high):
        raise NetworkError(
            f"node '{node}': {what} spans {int(array.min())} to {int(array.max())}, "
            f"must lie within {low} to {high}"
        )
