"""Where the files of a data set lie, and reading them."""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

FOLDER_VARIABLE = "RESLIF_DATA"
"""The environment variable that names a folder with one folder for each data set."""

Bytes = npt.NDArray[np.uint8]
Labelled: TypeAlias = tuple[Bytes, Bytes]
"""Images ``[N, channels, height, width]`` and their labels ``[N]``."""


class DataError(ValueError):
    """A data set or split that does not exist, or files that do not hold it."""


@dataclass(frozen=True)
class Layout:
    """One form in which a data set comes: files ``names`` in one folder.

    ``folders`` are the names that such a folder has below the user's; ``system`` is where a
    package of the operating system puts it. ``read`` takes the files in the order of ``names``
    and gives the images for training and those for testing.
    """

    names: tuple[str, ...]
    folders: tuple[str, ...]
    read: Callable[[Sequence[Path]], tuple[Labelled, Labelled]]
    system: Path | None = None

    def places(self, folder: Path | None) -> Iterator[Path]:
        """Where to look: in ``folder`` and below it, or without one where data usually lies."""
        if folder is not None:
            yield folder
            yield from (folder / name for name in self.folders)
            return
        if parent := os.environ.get(FOLDER_VARIABLE):
            # Not in the parent itself: files of different sets have the same names.
            yield from (Path(parent) / name for name in self.folders)
        if self.system is not None:
            yield self.system

    def files_in(self, place: Path) -> list[Path] | None:
        """The files, each as it is or packed as ``.gz``, if ``place`` has all of them."""
        found = []
        for name in self.names:
            path = next((p for p in (place / name, place / f"{name}.gz") if p.is_file()), None)
            if path is None:
                return None
            found.append(path)
        return found


def load_files(
    name: str, layouts: Sequence[Layout], source: str, folder: Path | None
) -> tuple[Labelled, Labelled]:
    """The images of data set ``name``, for training and for testing, in the first layout found.

    Raises :class:`DataError`, which says what is missing, where it was looked for and, as
    ``source``, how to get it.
    """
    looked: dict[Path, None] = {}
    for layout in layouts:
        for place in layout.places(folder):
            looked[place] = None
            if files := layout.files_in(place):
                return layout.read(files)
    wanted = " or ".join(f"{layout.names[0]} ... {layout.names[-1]}" for layout in layouts)
    places = ", ".join(map(str, looked)) or "no folder"
    raise DataError(
        f"data set {name!r} is missing: {wanted} looked for in {places}; get {source}, and name "
        f"its folder with --data-dir, [data] dir or {FOLDER_VARIABLE}"
    )


def read(path: Path) -> bytes:
    """The content of a file, unpacked if its name ends in ``.gz``; or :class:`DataError`."""
    try:
        content = path.read_bytes()
        return gzip.decompress(content) if path.suffix == ".gz" else content
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read: {error}") from None
