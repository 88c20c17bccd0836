"""Convolutions and pools as the exact matrices that a dense synapse holds."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from ..graph import FloatArray


def conv_matrix(weight: Tensor, padding: tuple[int, int], height: int, width: int) -> FloatArray:
    """The matrix of a stride-1 convolution over ``[channels, height, width]`` in C order.

    ``weight`` is ``[m, channels, k, l]``, ``padding`` (height, width). Returns float64
    ``[m · height · width, channels · height · width]`` where the padding keeps the size.
    """
    images = _basis(weight.shape[1], height, width)
    weight = weight.detach().cpu().double()
    return functional.conv2d(images, weight, padding=padding).flatten(1).T.contiguous().numpy()


def pool_matrix(
    channels: int, height: int, width: int, window: int | tuple[int, int]
) -> FloatArray:
    """Ones that sum each window of a pool whose stride is its window.

    Returns float64 ``[channels · (height // k) · (width // l), channels · height · width]``.
    """
    images = _basis(channels, height, width)
    return (functional.avg_pool2d(images, window) > 0).flatten(1).double().T.contiguous().numpy()


def _basis(channels: int, height: int, width: int) -> Tensor:
    """One image for each pixel, 1 there and 0 elsewhere."""
    n = channels * height * width
    return torch.eye(n, dtype=torch.float64).reshape(n, channels, height, width)
