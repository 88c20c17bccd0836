"""Small pictures as PNG data addresses: inputs, and weights whose sign is a colour."""

from __future__ import annotations

import base64
import struct
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt

from .facts import FloatArray

POSITIVE, NEGATIVE = (0, 114, 178), (213, 94, 0)
"""Blue and vermilion of the palette of Okabe and Ito, which the colour-blind tell apart."""


def png(pixels: npt.NDArray[np.uint8]) -> str:
    """``[height, width]`` grey, ``[..., 3]`` colours or ``[..., 4]`` with opacity, as ``data:``."""
    height, width = pixels.shape[:2]
    kind = {2: 0, 3: 2, 4: 6}[pixels.shape[2] if pixels.ndim == 3 else 2]
    rows = pixels.reshape(height, -1)
    # Each row begins with its filter, here none.
    raw = np.concatenate([np.zeros((height, 1), np.uint8), rows], axis=1).tobytes()
    header = struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n" + b"".join(
        _chunk(name, data)
        for name, data in ((b"IHDR", header), (b"IDAT", zlib.compress(raw, 9)), (b"IEND", b""))
    )
    return f"data:image/png;base64,{base64.b64encode(content).decode()}"


def _chunk(name: bytes, data: bytes) -> bytes:
    checksum = zlib.crc32(name + data)
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", checksum)


def signed(values: FloatArray, most: float) -> str:
    """A matrix as a picture: blue above 0, vermilion below, the stronger the larger, to ``most``.

    What is near 0 lets the ground through, so the picture fits light and dark pages.
    """
    strength = np.clip(np.abs(values) / (most or 1.0), 0, 1)
    pixels = np.empty((*values.shape, 4), np.uint8)
    pixels[..., :3] = np.where((values >= 0)[..., None], POSITIVE, NEGATIVE)
    pixels[..., 3] = np.round(255 * strength)
    return png(pixels)


def image(planes: npt.NDArray[Any], most: int) -> str:
    """``[C, H, W]`` from 0 to ``most``: grey, ON and OFF events in two colours, or red-green-blue.

    Of other numbers of channels, the mean.
    """
    level = np.clip(np.asarray(planes, np.float64) / (most or 1), 0, 1)
    if len(level) == 3:
        return png(np.round(255 * level.transpose(1, 2, 0)).astype(np.uint8))
    if len(level) == 2:
        mixed = level[0][..., None] * POSITIVE + level[1][..., None] * NEGATIVE
        return png(np.round(np.clip(mixed, 0, 255)).astype(np.uint8))
    return png(np.round(255 * level.mean(axis=0)).astype(np.uint8))
