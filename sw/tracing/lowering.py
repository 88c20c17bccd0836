"""Convolutions as the exact matrices that a dense synapse holds, where no convolution can."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from ..graph import FloatConv2d, FloatDense, GraphError
from ..image_ops import convolve

LARGEST = 1 << 22
"""Weights of the largest matrix."""


def dense_of(node: FloatConv2d) -> FloatDense:
    """A convolution as a dense synapse, its weights a matrix; pixel by pixel on both sides."""
    inputs = node.geometry.inputs
    if inputs * node.size > LARGEST:
        raise GraphError(
            f"reads a vector of {inputs} as an image, whose channels and pixels it would have to "
            "put in place; must read an image, [T, B, C, H, W]"
        )
    basis = torch.eye(inputs, dtype=torch.float64)
    rows = convolve(basis, torch.as_tensor(node.weight), None, node)
    bias = None if node.bias is None else np.tile(node.bias, node.size // len(node.bias))
    return FloatDense(node.name, rows.T.numpy(), bias, node.learn)


def by_gate(node: FloatConv2d, gates: int) -> FloatDense:
    """As :func:`dense_of`, but gate after gate, each pixel by pixel; so are the channels."""
    dense, (channels, height, width) = dense_of(node), node.out_shape
    order = np.arange(dense.size).reshape(height * width, gates, channels // gates)
    order = order.swapaxes(0, 1).reshape(-1)
    bias = None if dense.bias is None else dense.bias[order]
    return replace(dense, weight=dense.weight[order], bias=bias)
