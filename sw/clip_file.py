"""Moving digits in a file: made once, then mapped into memory and read as training needs them.

One safetensors file of bytes, so that any program can read it. It is made clip by clip, never
held in memory as a whole.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .data_files import Bytes, DataError
from .moving_digits import Images, MovingDigits, clips, paths
from .progress import Progress

_KEY = "reslif_samples"
"""What the file calls the digest of its samples."""


@dataclass(frozen=True, eq=False)
class ClipFile:
    """The clips of each part, ``[N, values]``, and their labels, ``[N]``, mapped from a file.

    ``digest`` is the SHA-256 of all of them as little-endian int64: the clips of each part in
    their order, then the labels.
    """

    clips: Mapping[str, Bytes]
    labels: Mapping[str, Bytes]
    digest: str


def cache_folder(named: Path | None) -> Path:
    """Where clips are kept: ``named``, else as all that can be made again in ``RESLIF_CACHE``,
    else in ``reslif`` in the user's cache folder.
    """
    if named is not None:
        return named
    if chosen := os.environ.get("RESLIF_CACHE"):
        return Path(chosen) / "clips"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "reslif" / "clips"


def open_clips(
    settings: MovingDigits, parts: Mapping[str, Images], seed: int, digest: str, folder: Path
) -> ClipFile:
    """The clips of ``settings`` from their file in ``folder``, which is made if it is not there.

    ``parts`` are the images of each part; ``digest`` names all that the clips depend on. Raises
    :class:`DataError`.
    """
    path = folder / f"moving-digits-{digest[:16]}.safetensors"
    if not path.exists():
        try:
            _make(settings, parts, seed, path)
        except OSError as error:
            raise DataError(
                f"moving digits cannot be written to {path}: {error.strerror}; name another "
                "folder with [data] cache or RESLIF_CACHE"
            ) from None
    return _mapped(settings, path)


def _shapes(settings: MovingDigits) -> dict[str, tuple[int, ...]]:
    """Of the file's tensors, in their order."""
    shapes: dict[str, tuple[int, ...]] = {}
    for part, count in settings.parts.items():
        shapes[f"{part}.clips"] = count, settings.values
    return shapes | {f"{part}.labels": (count,) for part, count in settings.parts.items()}


def _header(settings: MovingDigits, digest: str) -> bytes:
    content: dict[str, object] = {"__metadata__": {_KEY: digest}}
    start = 0
    for name, shape in _shapes(settings).items():
        end = start + int(np.prod(shape))
        content[name] = {"dtype": "U8", "shape": list(shape), "data_offsets": [start, end]}
        start = end
    text = json.dumps(content).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def _make(settings: MovingDigits, parts: Mapping[str, Images], seed: int, path: Path) -> None:
    """Write the file under another name, which it keeps until it is whole."""
    hasher = hashlib.sha256()

    def write(values: Bytes) -> None:
        hasher.update(values.astype("<i8").tobytes())
        file.write(values.tobytes())

    labels = [
        parts[name].labels[paths(settings, parts[name], index, seed).image[0]]
        for index, name in enumerate(settings.parts)
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    total, done = sum(settings.parts.values()), 0
    try:
        with temporary.open("wb") as file, Progress("moving digits", total) as progress:
            file.write(_header(settings, "0" * 64))
            for index, name in enumerate(settings.parts):
                for clip in clips(settings, parts[name], index, seed):
                    write(clip)
                    done += 1
                    progress.update(done)
            for of in labels:
                write(of.astype(np.uint8))
            file.seek(0)
            file.write(_header(settings, hasher.hexdigest()))
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _mapped(settings: MovingDigits, path: Path) -> ClipFile:
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        text = file.read(min(length, 1 << 20))
    try:
        digest = json.loads(text)["__metadata__"][_KEY]
    except (ValueError, KeyError, TypeError):
        digest = ""
    header = _header(settings, digest)
    size = len(header) + sum(int(np.prod(shape)) for shape in _shapes(settings).values())
    if text != header[8:] or path.stat().st_size != size:
        raise DataError(f"{path} does not hold the clips that it is named after; delete it")

    tensors: dict[str, Bytes] = {}
    offset = len(header)
    for name, shape in _shapes(settings).items():
        # Copy on write: of arrays that cannot be written at all PyTorch warns.
        mapped = np.memmap(path, np.uint8, "c", offset, shape)
        tensors[name] = np.asarray(mapped)
        offset += mapped.size
    return ClipFile(
        {part: tensors[f"{part}.clips"] for part in settings.parts},
        {part: tensors[f"{part}.labels"] for part in settings.parts},
        digest,
    )
