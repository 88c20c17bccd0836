"""The image sets there are, and how to get each."""

from __future__ import annotations

from pathlib import Path

from .cifar import BATCHES, read_cifar_binary, read_cifar_python
from .data_files import DataError, Labelled, Layout, load_files
from .idx import IDX_NAMES, read_idx_images

CLASSES = 10
"""Of each of these sets."""

_CIFAR_BINARY, _CIFAR_PYTHON = "cifar-10-batches-bin", "cifar-10-batches-py"

IMAGE_SETS: dict[str, tuple[str, tuple[Layout, ...]]] = {
    "fashion-mnist": (
        "Debian's package dataset-fashion-mnist or the four IDX files of its authors",
        (
            Layout(
                IDX_NAMES, ("fashion-mnist", "FashionMNIST/raw"), read_idx_images,
                Path("/usr/share/datasets/fashion-mnist"),
            ),
        ),
    ),
    "mnist": (
        "the four IDX files of its authors",
        (Layout(IDX_NAMES, ("mnist", "MNIST/raw"), read_idx_images),),
    ),
    "cifar10": (
        "its authors' archive cifar-10-binary.tar.gz or cifar-10-python.tar.gz",
        (
            Layout(
                tuple(f"{batch}.bin" for batch in BATCHES),
                ("cifar10", _CIFAR_BINARY, f"cifar10/{_CIFAR_BINARY}"),
                read_cifar_binary,
            ),
            Layout(
                BATCHES,
                ("cifar10", _CIFAR_PYTHON, f"cifar10/{_CIFAR_PYTHON}"),
                read_cifar_python,
            ),
        ),
    ),
}  # fmt: skip
"""By name: how to get it, and the forms in which it comes."""


def load_images(name: str, folder: Path | None = None) -> tuple[Labelled, Labelled]:
    """The images of a set, for training and for testing; see :func:`load_files`.

    Raises :class:`DataError` also if images and labels do not belong together.
    """
    source, layouts = IMAGE_SETS[name]
    train, test = load_files(name, layouts, source, folder)
    for what, (images, labels) in (("training", train), ("test", test)):
        if len(images) != len(labels):
            raise DataError(f"{name} has {len(images)} {what} images, but {len(labels)} labels")
        if images.shape[1:] != train[0].shape[1:]:
            raise DataError(f"{name} has training and test images of different sizes")
        if int(labels.max()) >= CLASSES:
            raise DataError(f"{name} has label {labels.max()}, must be 0 to {CLASSES - 1}")
    return train, test
