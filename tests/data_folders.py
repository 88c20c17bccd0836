"""Small folders of image files in the forms in which the public data sets come."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import numpy.typing as npt
from reslif.sw.cifar import BATCHES
from reslif.sw.data_files import Labelled
from reslif.sw.idx import IDX_NAMES


def pictures(count: int, shape: tuple[int, int, int], seed: int = 0, noise: int = 60) -> Labelled:
    """Images ``[count, channels, height, width]`` of ten classes, each a noisy pattern, in turn."""
    random = np.random.default_rng(99)
    patterns = random.integers(0, 256 - noise, (10, *shape))
    labels = np.arange(count) % 10
    added = np.random.default_rng(seed).integers(0, noise, (count, *shape))
    return (patterns[labels] + added).astype(np.uint8), labels.astype(np.uint8)


def idx_bytes(array: npt.NDArray[np.uint8]) -> bytes:
    header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.tobytes()


def write_idx(folder: Path, train: Labelled, test: Labelled, packed: bool = False) -> Path:
    """The four files of MNIST and its like; ``packed`` by gzip."""
    folder.mkdir(parents=True, exist_ok=True)
    arrays = (train[0][:, 0], train[1], test[0][:, 0], test[1])
    for name, array in zip(IDX_NAMES, arrays, strict=True):
        content = idx_bytes(array)
        path = folder / (f"{name}.gz" if packed else name)
        path.write_bytes(gzip.compress(content) if packed else content)
    return folder


def write_cifar(folder: Path, train: Labelled, test: Labelled, pickled: bool = False) -> Path:
    """CIFAR-10's six files, in the binary or the Python form."""
    folder.mkdir(parents=True, exist_ok=True)
    batches = zip(np.array_split(train[0], 5), np.array_split(train[1], 5), strict=True)
    for name, (images, labels) in zip(BATCHES, [*batches, test], strict=True):
        flat = images.reshape(len(images), -1)
        if pickled:
            (folder / name).write_bytes(cifar_pickle(flat, labels))
        else:
            (folder / f"{name}.bin").write_bytes(np.hstack([labels[:, None], flat]).tobytes())
    return folder


def cifar_pickle(data: npt.NDArray[np.uint8], labels: npt.NDArray[np.uint8]) -> bytes:
    """A batch as Python 2 pickled it (protocol 2), put together here instruction by instruction."""
    memo = iter(range(1, 1 << 30))

    def put() -> bytes:
        index = next(memo)
        return b"q" + bytes([index]) if index < 256 else b"r" + struct.pack("<I", index)

    def text(value: bytes) -> bytes:
        size = len(value)
        start = b"U" + bytes([size]) if size < 256 else b"T" + struct.pack("<i", size)
        return start + value + put()

    def number(value: int) -> bytes:
        if 0 <= value < 256:
            return b"K" + bytes([value])
        if 0 <= value < 1 << 16:
            return b"M" + struct.pack("<H", value)
        return b"J" + struct.pack("<i", value)

    def listed(items: list[bytes]) -> bytes:
        parts = [items[start : start + 1000] for start in range(0, len(items), 1000)]
        return b"]" + put() + b"".join(b"(" + b"".join(part) + b"e" for part in parts)

    def named(module: bytes, name: bytes) -> bytes:
        return b"c" + module + b"\n" + name + b"\n" + put()

    def array() -> bytes:
        empty = named(b"numpy.core.multiarray", b"_reconstruct")
        empty += named(b"numpy", b"ndarray") + number(0) + b"\x85" + put() + text(b"b")
        empty += b"\x87" + put() + b"R" + put()
        shape = number(data.shape[0]) + number(data.shape[1]) + b"\x86" + put()
        dtype = named(b"numpy", b"dtype") + text(b"u1") + number(0) + number(1) + b"\x87" + put()
        dtype += b"R" + put() + b"(" + number(3) + text(b"|") + b"NNN"
        dtype += number(-1) + number(-1) + number(0) + b"t" + put() + b"b"
        return (
            empty
            + b"("
            + number(1)
            + shape
            + dtype
            + b"\x89"
            + text(data.tobytes())
            + b"t"
            + put()
            + b"b"
        )

    content = b"\x80\x02}" + put() + b"("
    content += text(b"batch_label") + text(b"training batch 1 of 5")
    content += text(b"labels") + listed([number(int(label)) for label in labels])
    content += text(b"data") + array()
    content += text(b"filenames") + listed([text(b"image_%d.png" % i) for i in range(len(data))])
    return content + b"u."
