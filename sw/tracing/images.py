"""Layers of images in a float graph, and the order of pixels there.

A module's ``[T, B, C, H, W]`` is a node's ``[T, B, n]`` pixel by pixel (:mod:`reslif.sw.images`);
flattened in the module, its values go channel by channel, and the node's do not move.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import nn

from ..formats import IntArray
from ..graph import FloatArray, FloatConv2d, GraphError
from ..images import Shape3, chw_to_hwc
from ..network import Pool
from ..nn import AvgPoolOverTime, ConvOverTime, GlobalAvgPool, MaxPoolOverTime
from ..spatial import Pair

POOLS = (AvgPoolOverTime, MaxPoolOverTime, GlobalAvgPool)


def order_of(shape: Sequence[int]) -> IntArray:
    """Where a node's values stand in a module's step of ``shape``, flattened in C order."""
    if len(shape) == 3:
        return chw_to_hwc(*shape)
    return np.arange(int(np.prod(shape)))


def reshaped(
    order: IntArray | None, before: Sequence[int], after: Sequence[int]
) -> IntArray | None:
    """The ``order`` of a signal (see :class:`Signal`) whose step goes from one shape to another."""
    # In C order nothing moves; what moves is where the reader expects a value.
    expected = np.empty(int(np.prod(after)), np.int64)
    expected[order_of(after)] = np.arange(len(expected))
    new = expected[order_of(before)]
    new = new if order is None else new[order]
    return None if np.array_equal(new, np.arange(len(new))) else new


def by_channel(value: FloatArray, shape: Shape3) -> FloatArray | None:
    """``[n]`` values of an image as one for each channel, ``[C]``; None if its pixels differ."""
    if value.size in (1, shape[0]):
        return np.broadcast_to(value, shape[0])
    pixels = value.reshape(-1, shape[0])
    return pixels[0] if (pixels == pixels[0]).all() else None


def convolution(module: ConvOverTime, name: str, shape: Shape3) -> FloatConv2d:
    """The node of a convolution that reads images of ``shape``. Raises :class:`GraphError`."""
    if module.padding_mode != "zeros":
        raise GraphError(f"padding_mode is {module.padding_mode!r}, must be 'zeros'")
    _plain(module.dilation)
    kernel = _pair(module.kernel_size)
    padding = module.padding
    if padding == "same" and any(k % 2 == 0 for k in kernel):
        raise GraphError(f"padding is 'same' with kernel {kernel}, which must be odd for it")
    if isinstance(padding, str):
        padding = (kernel[0] // 2, kernel[1] // 2) if padding == "same" else (0, 0)
    return FloatConv2d(
        name,
        module.weight.detach().cpu().double().numpy(),
        shape,
        _pair(module.stride),
        _pair(padding),
        module.groups,
        None if module.bias is None else module.bias.detach().cpu().double().numpy(),
    )


def pooling(module: nn.Module, name: str, shape: Shape3) -> tuple[Pool, float]:
    """The node of a pool that reads images of ``shape``, and by what its sum is to be divided.

    Raises :class:`GraphError` for options that the contract does not have.
    """
    if isinstance(module, GlobalAvgPool):
        window = shape[1:]
        return Pool(name, "sum", shape, window, window), float(np.prod(window))
    assert isinstance(module, AvgPoolOverTime | MaxPoolOverTime)
    window, stride = _pair(module.kernel_size), _pair(module.stride)
    padding = _pair(module.padding)
    if module.ceil_mode:
        raise GraphError("ceil_mode is True, must be False: windows must lie within the image")
    if isinstance(module, MaxPoolOverTime):
        _plain(module.dilation)
        if module.return_indices:
            raise GraphError("return_indices is True, must be False")
        return Pool(name, "max", shape, window, stride, padding), 1.0
    if any(padding) and not module.count_include_pad:
        raise GraphError(
            "count_include_pad is False, must be True where there is padding: one divisor for all"
        )
    divisor = module.divisor_override or np.prod(window)
    return Pool(name, "sum", shape, window, stride, padding), float(divisor)


def _plain(dilation: Any) -> None:
    if _pair(dilation) != (1, 1):
        raise GraphError(f"dilation is {dilation}, must be 1")


def _pair(value: Any) -> Pair:
    first, second = value if isinstance(value, tuple) else (value, value)
    return int(first), int(second)
