"""What travels between nodes, and the checks that every node makes of its fields."""

from __future__ import annotations

from dataclasses import dataclass, fields
from types import NoneType
from typing import Any

import numpy as np
import numpy.typing as npt

from .formats import Format, FormatError, IntArray

ADDED = {"added": True}
"""Metadata of a field that older files do not have: left out where it holds its default, so that
the digest of a network that needs none of them stays what it was."""


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
    try:
        array = np.asarray(value)
    except ValueError:
        raise NetworkError(f"node '{node}': {what} is ragged, must be an array") from None
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise NetworkError(f"node '{node}': {what} holds NaN or infinity, must be integers")
    if array.dtype.kind not in "iub":
        raise NetworkError(f"node '{node}': {what} is {array.dtype}, must be integers")
    if array.dtype == np.uint64 and array.size and int(array.max()) >= 1 << 63:
        raise NetworkError(f"node '{node}': {what} reaches {array.max()}, must fit 64 bits, signed")
    result = array.astype(np.int64)
    result.setflags(write=False)
    return result


def exact(array: IntArray) -> npt.NDArray[np.object_]:
    """``array`` as Python's integers: what is too wide is then refused, and never wraps."""
    return array.astype(object)


_TYPES: dict[Any, tuple[tuple[type, ...], str]] = {
    "int": ((int,), "an integer"),
    "bool": ((bool,), "True or False"),
    "Format": ((Format,), "a Format"),
    "Format | None": ((Format, NoneType), "a Format or None"),
}
"""By how a field of a node is declared: what it may be, and how that is said."""


def format_fields(kind: Any) -> set[str]:
    """The fields of a type of node that are declared to hold a format."""
    return {item.name for item in fields(kind) if item.type in ("Format", "Format | None")}


def shown(value: object) -> str:
    """``value`` for an error, on one short line."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"{text[:57]}..."


def check_fields(node: Any) -> None:
    """Check that fields of plain type, switches and formats are what they are declared to be."""
    check_name(node.name)
    for item in fields(node):
        value = getattr(node, item.name)
        types, must = _TYPES.get(item.type, ((type(value),), ""))
        if type(value) not in types:
            raise NetworkError(f"node '{node.name}': {item.name} is {shown(value)}, must be {must}")
        if item.name == "size" and value < 1:
            raise NetworkError(f"node '{node.name}': size is {value}, must be an integer above 0")


def checked_bias(bias: npt.ArrayLike, node: str, size: int) -> IntArray:
    """The bias of a synapse as a read-only ``[size]`` array, or an error."""
    array = integers(bias, node, "bias")
    if array.shape != (size,):
        raise NetworkError(f"node '{node}': bias has shape {list(array.shape)}, must be [{size}]")
    return array


def check_name(name: Any) -> None:
    if not isinstance(name, str) or not name.isidentifier() or not name.isascii():
        raise NetworkError(f"node name is {name!r}, must be an ASCII identifier")


def check_range(node: str, what: str, array: IntArray, low: int, high: int) -> None:
    if array.size and (int(array.min()) < low or int(array.max()) > high):
        raise NetworkError(
            f"node '{node}': {what} spans {int(array.min())} to {int(array.max())}, "
            f"must lie within {low} to {high}"
        )
