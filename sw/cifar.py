"""CIFAR-10, in either of the forms in which its authors give it out.

The files of the binary form are records of a label byte and 3072 bytes: red, green and blue plane.
Those of the Python form are pickles, and a pickle is a program. It is never run here: its
instructions are read one by one, and only those that put together the lists, the dictionary and
the one byte array of these files are known.
"""

from __future__ import annotations

import pickletools
import struct
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .data_files import Bytes, DataError, Labelled, read

BATCHES = (*(f"data_batch_{index}" for index in range(1, 6)), "test_batch")

_SHAPE = (3, 32, 32)
_PIXELS = 3 * 32 * 32


def read_cifar_binary(files: Sequence[Path]) -> tuple[Labelled, Labelled]:
    """Images of the binary files, of which the last is the one for testing."""
    return _joined([_binary_batch(path) for path in files])


def read_cifar_python(files: Sequence[Path]) -> tuple[Labelled, Labelled]:
    """Images of the Python files, of which the last is the one for testing."""
    return _joined([_python_batch(path) for path in files])


def _joined(batches: Sequence[Labelled]) -> tuple[Labelled, Labelled]:
    images, labels = (np.concatenate(parts) for parts in zip(*batches[:-1], strict=True))
    return (images, labels), batches[-1]


def _binary_batch(path: Path) -> Labelled:
    content = read(path)
    if not content or len(content) % (1 + _PIXELS):
        raise DataError(
            f"{path} has {len(content)} bytes, must be records of {1 + _PIXELS} as of CIFAR-10"
        )
    records = np.frombuffer(content, np.uint8).reshape(-1, 1 + _PIXELS)
    return records[:, 1:].reshape(-1, *_SHAPE), records[:, 0]


def _python_batch(path: Path) -> Labelled:
    content = _contents(path)
    data, labels = content.get("data"), content.get("labels")
    if not isinstance(data, np.ndarray) or data.ndim != 2 or data.shape[1] != _PIXELS:
        raise DataError(f"{path} has no 'data' of {_PIXELS} bytes an image, as CIFAR-10 has")
    if not isinstance(labels, list) or not all(
        type(label) is int and 0 <= label < 256 for label in labels
    ):
        raise DataError(f"{path} has no list of 'labels', as CIFAR-10 has")
    if len(labels) != len(data):
        raise DataError(f"{path} has {len(data)} images, but {len(labels)} labels of CIFAR-10")
    return data.reshape(-1, *_SHAPE), np.array(labels, np.uint8)


_RECONSTRUCT, _DTYPE = "numpy.core.multiarray _reconstruct", "numpy dtype"
_NAMES = (_RECONSTRUCT, "numpy ndarray", _DTYPE)
"""The only names that these pickles may refer to; here they stay names."""

_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_EMPTY: dict[str, Callable[[], Any]] = {
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
    "EMPTY_TUPLE": tuple,
}
_VALUES = {"BININT", "BININT1", "BININT2", "SHORT_BINSTRING", "BINSTRING", "BINUNICODE"}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


class _Called:
    """What a call in the pickle would have made: the ``name`` called, ``state`` set afterwards."""

    def __init__(self, name: str, arguments: tuple[Any, ...]) -> None:
        self.name, self.arguments = name, arguments
        self.state: tuple[Any, ...] = ()

    def array(self) -> Bytes | None:
        """The array of bytes that it stands for, if it does."""
        if self.name != _RECONSTRUCT or len(self.state) != 5:
            return None
        _, shape, dtype, fortran, content = self.state
        size = int(np.prod(shape, dtype=object))
        plain = isinstance(dtype, _Called) and dtype.name == _DTYPE and dtype.arguments[0] == "u1"
        if not plain or fortran or not isinstance(content, str) or len(content) != size:
            return None
        return np.frombuffer(content.encode("latin-1"), np.uint8).reshape(shape)


def _contents(path: Path) -> dict[Any, Any]:
    """The dictionary in a pickled file, with arrays of bytes; or :class:`DataError`."""
    content = read(path)
    try:
        with warnings.catch_warnings():
            # Of names that are refused in the next moment, about their escape sequences.
            warnings.simplefilter("ignore", DeprecationWarning)
            found: dict[Any, Any] = _interpret(content)
        return {
            key: value.array() if isinstance(value, _Called) else value
            for key, value in found.items()
        }
    except (ValueError, TypeError, LookupError, AttributeError, struct.error) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:80]
        raise DataError(f"{path} is no Python file of CIFAR-10: {reason}") from None


def _interpret(content: bytes) -> Any:
    """What a pickle would build, with a :class:`_Called` in place of every call.

    Raises ValueError for an instruction or a name that these files do not have.
    """
    stack: list[Any] = []
    marks: list[int] = []
    memo: dict[Any, Any] = {}

    def pop(count: int) -> list[Any]:
        """The ``count`` topmost values."""
        if not 0 <= count <= len(stack):
            raise ValueError("it lacks a value")
        start = len(stack) - count
        values = stack[start:]
        del stack[start:]
        return values

    def top() -> Any:
        return stack[-1]

    for opcode, argument, _ in pickletools.genops(content):
        name = opcode.name
        if name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in _EMPTY:
            stack.append(_EMPTY[name]())
        elif name in _VALUES or (name == "GLOBAL" and argument in _NAMES):
            stack.append(argument)
        elif name in _TUPLES:
            stack.append(tuple(pop(_TUPLES[name])))
        elif name == "MARK":
            marks.append(len(stack))
        elif name in ("TUPLE", "APPENDS", "SETITEMS"):
            values = pop(len(stack) - marks.pop())
            if name == "TUPLE":
                stack.append(tuple(values))
            elif name == "APPENDS":
                top().extend(values)
            else:
                top().update(zip(values[::2], values[1::2], strict=True))
        elif name == "APPEND":
            (value,) = pop(1)
            top().append(value)
        elif name == "SETITEM":
            key, value = pop(2)
            top()[key] = value
        elif name in ("BINPUT", "LONG_BINPUT"):
            memo[argument] = top()
        elif name in ("BINGET", "LONG_BINGET"):
            stack.append(memo[argument])
        elif name == "REDUCE":
            called, arguments = pop(2)
            stack.append(_Called(called, arguments))
        elif name == "BUILD":
            (state,) = pop(1)
            top().state = state
        elif name == "STOP":
            return top()
        elif name != "PROTO":
            raise ValueError(f"it has instruction {name} {argument or ''}".rstrip())
    raise ValueError("it has no end")
