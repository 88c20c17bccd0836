"""Convolution and pooling of flat images (:mod:`reslif.sw.images`) in PyTorch, differentiable.

Flat images, channels innermost, are what PyTorch calls channels-last: none is copied here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

if TYPE_CHECKING:
    from .float_nodes import FloatConv2d
    from .network import Conv2d, Pool


def convolve(x: Tensor, weight: Tensor, bias: Tensor | None, node: Conv2d | FloatConv2d) -> Tensor:
    """``[..., inputs]`` through ``weight`` and ``bias`` of the node's shape, ``[..., n]``.

    Integers held in floating point come out exact if every partial sum is: nothing here
    transforms its operands, as Winograd's algorithm would.
    """
    images = _images(x, node.shape)
    if x.device.type == "cpu" and x.dtype == torch.float32 and torch.backends.mkldnn.is_available():
        # oneDNN by its name: PyTorch's own choice among its algorithms is not documented.
        sums = torch.mkldnn_convolution(
            images, weight, bias, node.padding, node.stride, (1, 1), node.groups
        )
    else:
        sums = _by_columns(images, weight, bias, node)
    return sums.permute(0, 2, 3, 1).reshape(*x.shape[:-1], -1)


def _by_columns(
    images: Tensor, weight: Tensor, bias: Tensor | None, node: Conv2d | FloatConv2d
) -> Tensor:
    """A convolution as one product of matrices."""
    (down, across), (top, left), (k, l) = node.stride, node.padding, weight.shape[2:]
    images = functional.pad(images, (left, left, top, top))
    seen = images.unfold(2, k, down).unfold(3, l, across)  # [N, C, H', W', k, l]
    count, channels, height, width = seen.shape[:4]
    columns = seen.permute(0, 2, 3, 1, 4, 5).reshape(
        count * height * width, node.groups, (channels // node.groups) * k * l
    )
    rows = weight.reshape(node.groups, -1, columns.shape[2])
    sums = torch.bmm(columns.transpose(0, 1), rows.transpose(1, 2))  # [groups, positions, out]
    flat = sums.transpose(0, 1).reshape(count, height, width, -1)
    flat = flat if bias is None else flat + bias
    return flat.permute(0, 3, 1, 2)


def pool(x: Tensor, node: Pool) -> Tensor:
    """``[..., inputs]`` through a pool, ``[..., n]``, exact."""
    if node.op == "sum" and node.window == node.shape[1:] and node.padding == (0, 0):
        return x.unflatten(-1, (-1, node.shape[0])).sum(-2)
    images = _images(x, node.shape)
    if any(node.padding):
        (top, left), empty = node.padding, 0.0 if node.op == "sum" else -torch.inf
        images = functional.pad(images, (left, left, top, top), value=empty)
    if node.op == "sum":
        pooled = functional.avg_pool2d(images, node.window, node.stride, divisor_override=1)
    else:
        pooled = functional.max_pool2d(images, node.window, node.stride)
    return pooled.permute(0, 2, 3, 1).reshape(*x.shape[:-1], -1)


def _images(x: Tensor, shape: tuple[int, int, int]) -> Tensor:
    """``[..., C·H·W]`` as ``[N, C, H, W]``, channels-last."""
    channels, height, width = shape
    return x.reshape(-1, height, width, channels).permute(0, 3, 1, 2)
