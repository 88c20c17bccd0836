"""IDX files, in which MNIST and the sets made after it come.

Two zero bytes, the type of the values, the number of dimensions, the size of each as a big-endian
32-bit number, then the values: so the authors of MNIST describe them.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .data_files import Bytes, DataError, Labelled, read

IDX_NAMES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)

_UNSIGNED_BYTE = 8


def read_idx(path: Path, dimensions: int) -> Bytes:
    """The unsigned bytes of an IDX file of so many ``dimensions``; or :class:`DataError`."""
    content = read(path)
    start = 4 + 4 * dimensions
    if content[:4] != bytes([0, 0, _UNSIGNED_BYTE, dimensions]) or len(content) < start:
        raise DataError(f"{path} is no IDX file of unsigned bytes in {dimensions} dimensions")
    shape = struct.unpack(f">{dimensions}I", content[4:start])
    size, found = math.prod(shape), len(content) - start
    if size != found or size == 0:
        raise DataError(f"{path} holds {found} values, its header says {list(shape)}")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def read_idx_images(files: Sequence[Path]) -> tuple[Labelled, Labelled]:
    """Grey images of the four files :data:`IDX_NAMES`, for training and for testing."""
    train, train_labels, test, test_labels = (
        read_idx(path, dimensions) for path, dimensions in zip(files, (3, 1, 3, 1), strict=True)
    )
    return (train[:, None], train_labels), (test[:, None], test_labels)
