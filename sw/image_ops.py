"""Convolution and pooling of flat images (:mod:`reslif.sw.images`) in PyTorch, differentiable.

Flat images, channels innermost, are what PyTorch calls channels-last: none is copied here.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from .images import Shape3, to_flat, to_image
from .spatial import Pair, windows_of

if TYPE_CHECKING:
    from .float_nodes import FloatConv2d
    from .network import Conv2d, Pool


def convolve(x: Tensor, weight: Tensor, bias: Tensor | None, node: Conv2d | FloatConv2d) -> Tensor:
    """``[..., inputs]`` through ``weight`` and ``bias`` of the node's shape, ``[..., n]``.

    Integers held in floating point come out exact if every partial sum is: nothing here
    transforms its operands, as Winograd's algorithm would.
    """
    images = to_image(x.flatten(0, -2), node.shape)
    geometry = (node.stride, node.padding, node.groups)
    on_cpu = x.device.type == "cpu" and x.dtype == torch.float32
    if on_cpu and _onednn_is_exact(node.shape, tuple(weight.shape), *geometry):
        sums = _by_onednn(images, weight, bias, *geometry)
    else:
        sums = _by_columns(images, weight, bias, *geometry)
    return to_flat(sums).unflatten(0, x.shape[:-1])


@cache
def _onednn_is_exact(
    shape: Shape3, weight: tuple[int, ...], stride: Pair, padding: Pair, groups: int
) -> bool:
    """Whether oneDNN is there, and exact on large integers.

    Its direct algorithm is, in any order of summation. Of PyTorch's own choice among algorithms
    nothing is promised; hence this one by its name, and a look whether it keeps to it. In 2.13
    it reads beside its operands where an image of one channel becomes a column of pixels.
    """
    size = windows_of(shape, (weight[2], weight[3]), stride, padding)
    if not torch.backends.mkldnn.is_available() or 1 in size:
        return False
    random = torch.Generator().manual_seed(0)
    largest = (1 << 24) // (7 * weight[1] * weight[2] * weight[3])
    images = torch.randint(-largest, largest + 1, (2, *shape[1:], shape[0]), generator=random)
    images = images.float().permute(0, 3, 1, 2)
    weights = torch.randint(-7, 8, weight, generator=random).float()
    with torch.no_grad():
        found = _by_onednn(images, weights, None, stride, padding, groups)
        return torch.equal(found, _by_columns(images, weights, None, stride, padding, groups))


def _by_onednn(
    images: Tensor, weight: Tensor, bias: Tensor | None, stride: Pair, padding: Pair, groups: int
) -> Tensor:
    return torch.mkldnn_convolution(images, weight, bias, padding, stride, (1, 1), groups)


def _by_columns(
    images: Tensor, weight: Tensor, bias: Tensor | None, stride: Pair, padding: Pair, groups: int
) -> Tensor:
    """A convolution as one product of matrices."""
    images = functional.pad(images, (padding[1], padding[1], padding[0], padding[0]))
    seen = images.unfold(2, weight.shape[2], stride[0]).unfold(3, weight.shape[3], stride[1])
    count, channels, height, width, k, m = seen.shape
    columns = seen.permute(0, 2, 3, 1, 4, 5).reshape(
        count * height * width, groups, (channels // groups) * k * m
    )
    rows = weight.reshape(groups, -1, columns.shape[2])
    sums = torch.bmm(columns.transpose(0, 1), rows.transpose(1, 2))  # [groups, positions, out]
    flat = sums.transpose(0, 1).reshape(count, height, width, -1)
    flat = flat if bias is None else flat + bias
    return flat.permute(0, 3, 1, 2)


def pool(x: Tensor, node: Pool) -> Tensor:
    """``[..., inputs]`` through a pool, ``[..., n]``, exact."""
    if node.op == "sum" and node.window == node.shape[1:] and node.padding == (0, 0):
        return x.unflatten(-1, (-1, node.shape[0])).sum(-2)
    images = to_image(x.flatten(0, -2), node.shape)
    if any(node.padding):
        (top, left), empty = node.padding, 0.0 if node.op == "sum" else -torch.inf
        images = functional.pad(images, (left, left, top, top), value=empty)
    if node.op == "sum":
        pooled = functional.avg_pool2d(images, node.window, node.stride, divisor_override=1)
    else:
        pooled = functional.max_pool2d(images, node.window, node.stride)
    return to_flat(pooled).unflatten(0, x.shape[:-1])
