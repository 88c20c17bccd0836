"""Data sets: real samples as integers, split reproducibly."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from .formats import Format, IntArray

Split: TypeAlias = Literal["stratified", "file_order"]


class DataError(ValueError):
    """A data set or split that does not exist."""


@dataclass(frozen=True, eq=False)
class Samples:
    """``inputs`` ``[B, n]`` raw integers and ``labels`` ``[B]``.

    Each sample is shown as ``frames`` equal parts, one after the other.
    """

    inputs: IntArray
    labels: IntArray
    frames: int = 1

    def __len__(self) -> int:
        return len(self.labels)

    def over_time(self, steps: int) -> IntArray:
        """The inputs over ``steps`` timesteps, ``[T, B, n / frames]``.

        Direct encoding: a single frame is shown in every step, each of several for an equal part
        of them. Raises :class:`DataError` if ``steps`` is no multiple of ``frames``.
        """
        return np.asarray(shown(self.inputs, steps, self.frames))


def shown(inputs: Any, steps: int, frames: int) -> Any:
    """``[B, n]`` inputs (numpy or torch) as ``[T, B, n / frames]``, without a copy where it can.

    See :meth:`Samples.over_time`.
    """
    if steps % frames:
        raise DataError(f"steps is {steps}, must be a multiple of the data's {frames} frames")
    batch, size = inputs.shape
    parts = inputs.reshape(batch, frames, 1, size // frames).swapaxes(0, 1).swapaxes(1, 2)
    shape = (frames, steps // frames, batch, size // frames)
    whole = np.broadcast_to(parts, shape) if isinstance(parts, np.ndarray) else parts.expand(shape)
    return whole.reshape(steps, batch, size // frames)


@dataclass(frozen=True, eq=False)
class Dataset:
    """Samples for training, validation (for every choice) and test (for the final figure).

    ``format`` is that of the inputs, ``image`` their height and width if they are images (row by
    row); ``digest`` is the SHA-256 of all samples of the source in their original order, as int64.
    """

    name: str
    split: Split
    train: Samples
    validation: Samples
    test: Samples
    classes: int
    format: Format
    digest: str
    image: tuple[int, int] | None = None

    @property
    def inputs(self) -> int:
        """Values per timestep."""
        return self.train.inputs.shape[1] // self.train.frames


def load_dataset(name: str, split: Split = "stratified", seed: int = 0) -> Dataset:
    """A data set by name: ``"digits"``, or ``"digit_rows"``, the same shown row after row.

    ``stratified`` draws test and validation samples at random, class by class, from ``seed``;
    ``file_order`` tests on the last ones in the source's order, which for the digits are other
    writers' and so harder. Raises :class:`DataError`.
    """
    if name not in ("digits", "digit_rows"):
        raise DataError(f"data set is {name!r}, must be 'digits' or 'digit_rows'")
    return _digits(name, split, seed, frames=1 if name == "digits" else 8)


def _digits(name: str, split: Split, seed: int, frames: int) -> Dataset:
    """1797 handwritten 8×8 digits, values 0 to 16 (that is 0 to 1 in sixteenths)."""
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise DataError(f"data set {name!r} comes with scikit-learn, which is missing") from None
    pixels, labels = load_digits(return_X_y=True)
    inputs = np.asarray(pixels).astype(np.int64)
    labels = np.asarray(labels).astype(np.int64)
    tests, validations = 360, 180
    random = np.random.default_rng(seed)
    everything = np.arange(len(labels))
    if split == "stratified":
        rest, test = _draw(everything, labels, tests, random)
    elif split == "file_order":
        rest, test = everything[:-tests], everything[-tests:]
    else:
        raise DataError(f"split is {split!r}, must be 'stratified' or 'file_order'")
    train, validation = _draw(rest, labels, validations, random)
    hasher = hashlib.sha256(np.ascontiguousarray(inputs, "<i8").tobytes())
    hasher.update(np.ascontiguousarray(labels, "<i8").tobytes())
    parts = (Samples(inputs[part], labels[part], frames) for part in (train, validation, test))
    return Dataset(
        name, split, *parts, classes=10, format=Format(5, 4, signed=False),
        digest=hasher.hexdigest(), image=(8, 8),
    )  # fmt: skip


def _draw(
    candidates: npt.NDArray[np.int64],
    labels: IntArray,
    count: int,
    random: np.random.Generator,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """(the rest, ``count`` drawn), both sorted; every class in its share, to within one."""
    classes, sizes = np.unique(labels[candidates], return_counts=True)
    shares = sizes * count / len(candidates)
    quota = np.floor(shares).astype(int)
    # The largest remainders get the samples that rounding down left over.
    left = count - int(quota.sum())
    quota[np.argsort(quota - shares, kind="stable")[:left]] += 1
    drawn = [
        random.permutation(candidates[labels[candidates] == c])[:q]
        for c, q in zip(classes, quota, strict=True)
    ]
    chosen = np.sort(np.concatenate(drawn))
    return np.setdiff1d(candidates, chosen), chosen
