"""Images and feature maps as flat vectors: pixel by pixel, channels innermost.

PyTorch's modules take ``[..., channels, height, width]``; the contract, and all that comes after
it, knows vectors whose index is ``(y · width + x) · channels + c``. Hardware then gets the
channels of one pixel side by side, which is what a convolution's lanes work on.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from .formats import IntArray

Shape3: TypeAlias = tuple[int, int, int]
"""Channels, height, width."""


def to_flat(images: Any) -> Any:
    """``[..., C, H, W]`` (numpy or torch) as ``[..., C·H·W]``, pixel by pixel."""
    return images.swapaxes(-3, -2).swapaxes(-2, -1).reshape(*images.shape[:-3], -1)


def to_image(flat: Any, shape: Shape3) -> Any:
    """``[..., C·H·W]`` (numpy or torch), pixel by pixel, as ``[..., C, H, W]``."""
    channels, height, width = shape
    pixels = flat.reshape(*flat.shape[:-1], height, width, channels)
    return pixels.swapaxes(-2, -1).swapaxes(-3, -2)


def chw_to_hwc(channels: int, height: int, width: int) -> IntArray:
    """Where each flat index finds its value in PyTorch's order: ``flat = chw[chw_to_hwc(...)]``."""
    order = np.arange(channels * height * width, dtype=np.int64)
    return np.asarray(to_flat(order.reshape(channels, height, width)))
