"""Data sets: real samples as integers, split reproducibly."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from .clip_file import cache_folder, open_clips
from .data_files import DataError
from .formats import Format, IntArray
from .image_sets import CLASSES, IMAGE_SETS, load_images
from .images import Shape3, to_flat
from .moving_digits import Images, MovingDigits

__all__ = ["MOVING", "DataError", "Dataset", "Samples", "Split", "load_dataset", "shown"]

MOVING = "moving_digits"
"""The set whose samples are clips."""

Split: TypeAlias = Literal["stratified", "file_order"]
RawArray: TypeAlias = npt.NDArray[np.integer[Any]]
"""Integers of a type that may be too narrow to compute with."""


@dataclass(frozen=True, eq=False)
class Samples:
    """``inputs`` ``[B, n]`` raw integers, in a narrow type to save memory, and ``labels`` ``[B]``.

    Each sample is shown as ``frames`` equal parts, one after the other.
    """

    inputs: RawArray
    labels: IntArray
    frames: int = 1

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, part: slice) -> Samples:
        """Some of the samples."""
        return replace(self, inputs=self.inputs[part], labels=self.labels[part])

    def over_time(self, steps: int) -> IntArray:
        """The inputs over ``steps`` timesteps, ``[T, B, n / frames]``, as int64.

        Direct encoding: a single frame is shown in every step (a view of one), each of several
        for an equal part of them. Of large sets take a part first: ``samples[:256]``. Raises
        :class:`DataError` if ``steps`` is no multiple of ``frames``.
        """
        return np.asarray(shown(self.inputs.astype(np.int64), steps, self.frames))


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

    ``format`` is that of the inputs, ``image`` their channels, height and width if they are images
    (pixel by pixel, :mod:`reslif.sw.images`), of clips those of a frame; ``digest`` is the SHA-256
    of all samples of the source in their original order, inputs first, as int64.
    """

    name: str
    split: Split
    train: Samples
    validation: Samples
    test: Samples
    classes: int
    format: Format
    digest: str
    image: Shape3 | None = None

    @property
    def inputs(self) -> int:
        """Values per timestep."""
        return self.train.inputs.shape[1] // self.train.frames

    def first(self, count: int) -> Dataset:
        """The same with ``count`` samples of each split at most, for a quick try."""
        parts = {name: getattr(self, name)[:count] for name in ("train", "validation", "test")}
        return replace(self, **parts)


def load_dataset(
    name: str,
    split: Split = "stratified",
    seed: int = 0,
    folder: Path | None = None,
    moving: MovingDigits | None = None,
    cache: Path | None = None,
) -> Dataset:
    """A data set by name: ``"digits"``, ``"digit_rows"``, ``"moving_digits"`` or an image set.

    ``digits`` are small and always there; ``digit_rows`` are the same shown row after row. The
    image sets, ``"fashion-mnist"``, ``"mnist"`` and ``"cifar10"``, are looked for in ``folder``
    or, without one, where they usually lie. ``moving_digits`` are clips of the images of a digits
    or image set, as ``moving`` says, kept in the folder ``cache``
    (:func:`reslif.sw.clip_file.cache_folder`). ``folder`` and ``split`` are those of the images, so
    that no image of a test clip is seen in another part's; ``seed`` draws split and motion.

    ``stratified`` draws at random, class by class, from ``seed``: of the digits test and
    validation samples, of an image set's training images those for validation (its test images
    are given). ``file_order``, of the digits only, tests on the last ones in the source's order,
    which are other writers' and so harder. Raises :class:`DataError`.
    """
    if seed < 0:
        raise DataError(f"seed is {seed}, must be at least 0")
    if name == MOVING:
        return _moving(moving or MovingDigits(), split, seed, folder, cache)
    if name in IMAGE_SETS:
        return _images(name, split, seed, folder)
    if name not in ("digits", "digit_rows"):
        known = ", ".join(f"{known!r}" for known in ("digits", "digit_rows", MOVING, *IMAGE_SETS))
        raise DataError(f"data set is {name!r}, must be one of {known}")
    return _digits(name, split, seed, frames=1 if name == "digits" else 8)


def _images(name: str, split: Split, seed: int, folder: Path | None) -> Dataset:
    """Images of 8 bits a value (0 to 255/256), the source's own split in training and test."""
    if split != "stratified":
        raise DataError(f"split is {split!r}, of {name} it must be 'stratified'")
    (images, labels), (test_images, test_labels) = load_images(name, folder)
    # Copies, because files' own bytes are read-only, of which PyTorch warns.
    inputs, tests = np.array(to_flat(images)), np.array(to_flat(test_images))
    labels, test_labels = labels.astype(np.int64), test_labels.astype(np.int64)
    everything = np.arange(len(labels))
    count = min(5000, len(labels) // 10)
    train, validation = _draw(everything, labels, count, np.random.default_rng(seed))
    _, channels, height, width = images.shape
    return Dataset(
        name,
        split,
        train=Samples(inputs[train], labels[train]),
        validation=Samples(inputs[validation], labels[validation]),
        test=Samples(tests, test_labels),
        classes=CLASSES,
        format=Format(8, 8, signed=False),
        digest=_digest(inputs, tests, labels, test_labels),
        image=(channels, height, width),
    )


def _digits(name: str, split: Split, seed: int, frames: int) -> Dataset:
    """1797 handwritten 8×8 digits, values 0 to 16 (that is 0 to 1 in sixteenths)."""
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise DataError(f"data set {name!r} comes with scikit-learn, which is missing") from None
    pixels, labels = load_digits(return_X_y=True)
    inputs = np.asarray(pixels).astype(np.uint8)
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
    parts = (Samples(inputs[part], labels[part], frames) for part in (train, validation, test))
    return Dataset(
        name, split, *parts, classes=10, format=Format(5, 4, signed=False),
        digest=_digest(inputs, labels), image=(1, 8, 8),
    )  # fmt: skip


def _moving(
    settings: MovingDigits, split: Split, seed: int, folder: Path | None, cache: Path | None
) -> Dataset:
    """Clips of the images of another set, each part's own."""
    grey = [known for known in ("digits", *IMAGE_SETS) if known != "cifar10"]
    if settings.source not in grey:
        known = ", ".join(f"{known!r}" for known in grey)
        raise DataError(f"moving digits: source is {settings.source!r}, must be one of {known}")
    of = load_dataset(settings.source, split, seed, folder)
    assert of.image is not None
    white = 16 if settings.source == "digits" else of.format.max
    images = {
        part: Images(samples.inputs.reshape(-1, *of.image[1:]), samples.labels, white)
        for part in settings.parts
        for samples in (getattr(of, part),)
    }
    digest = settings.digest(of.digest, split, seed)
    file = open_clips(settings, images, seed, digest, cache_folder(cache))
    parts = {
        part: Samples(file.clips[part], file.labels[part].astype(np.int64), settings.frames)
        for part in settings.parts
    }
    return Dataset(
        MOVING, split, **parts, classes=of.classes, format=settings.format(of.format),
        digest=file.digest, image=(settings.channels, settings.frame, settings.frame),
    )  # fmt: skip


def _digest(*arrays: RawArray) -> str:
    """Of the arrays one after the other, as little-endian int64."""
    hasher = hashlib.sha256()
    for array in arrays:
        for start in range(0, len(array), 4096):  # as int64 the whole may be too large
            hasher.update(array[start : start + 4096].astype("<i8").tobytes())
    return hasher.hexdigest()


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
