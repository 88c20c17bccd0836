"""What calibration shows of the inputs of synapses and gains: their second moments."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .formats import IntArray
from .graph import FloatAffine, FloatArray, FloatConv2d, FloatDense, FloatGraph, run_float_edges
from .spatial import windows

MOST_VALUES = 1 << 23
"""Of all nodes together, held at once: a few hundred megabytes."""
MOST_WINDOWS = 1 << 13
"""How many windows a convolution's moment is taken from, of all places, steps and samples."""


def pieces(samples: IntArray, values: int) -> list[IntArray]:
    """``samples`` ``[T, B, ...]`` cut by B, so that of each not too much is held at once.

    ``values`` is how much one sample of them takes.
    """
    batch = samples.shape[1]
    count = max(1, MOST_VALUES // max(values, 1))
    return np.array_split(samples, -(-batch // count), axis=1)


def input_moments(graph: FloatGraph, calibration: IntArray) -> dict[str, FloatArray]:
    """The second moment ``[inputs, inputs]`` of each synapse's input, run in floating point.

    Of a convolution that of its windows, times the number of places, for each group: ``[groups,
    k, k]`` of k weights. Of a gain's input its diagonal, ``[n]``.
    """
    step = graph.input.format.step
    images = any(isinstance(node, FloatConv2d) for node in graph.nodes)
    dtype = torch.float32 if images else torch.float64  # in which convolutions are fast
    sums: dict[str, FloatArray] = {}
    parts = pieces(calibration, sum(node.size for node in graph.nodes) * len(calibration))
    random = np.random.default_rng(0)
    for part in parts:
        with torch.no_grad():
            real = torch.as_tensor(np.asarray(part, np.float64) * step, dtype=dtype)
            delivered = run_float_edges(graph, real)
        share = part.shape[1] / calibration.shape[1]
        found: dict[int, FloatArray] = {}
        for node in graph.nodes:
            if not isinstance(node, FloatDense | FloatConv2d | FloatAffine):
                continue
            (edge,) = graph.incoming(node.name, "input")
            x = delivered[edge]
            if isinstance(node, FloatAffine):
                moment = (x**2).mean(dim=(0, 1)).numpy()
            elif isinstance(node, FloatConv2d):
                moment = _windows_moment(node, x, max(1, MOST_WINDOWS // len(parts)), random)
            elif id(x) in found:
                moment = found[id(x)]
            else:
                rows = x.flatten(0, 1).numpy()
                moment = found[id(x)] = rows.T @ rows / len(rows)
            sums[node.name] = sums.get(node.name, 0) + moment.astype(np.float64) * share
    # Inputs that calibration never saw must not make their weights free of error.
    return {name: moment + _floor(moment) for name, moment in sums.items()}


def _floor(moment: FloatArray) -> FloatArray:
    if moment.ndim == 1:
        return np.full(len(moment), 1e-9)
    size = moment.shape[-1]
    least = 0.01 * np.trace(moment, axis1=-2, axis2=-1) / size + 1e-9
    return np.multiply.outer(least, np.eye(size))


def _windows_moment(
    node: FloatConv2d, x: Tensor, most: int, random: np.random.Generator
) -> FloatArray:
    """The moment of at most ``most`` windows of ``x`` ``[T, B, inputs]``."""
    (channels, height, width), (_, down, across) = node.shape, node.out_shape
    images = x.reshape(-1, height, width, channels)
    places = len(images) * down * across
    picked = random.choice(places, most, replace=False) if places > most else np.arange(places)
    seen, (image, y, z) = [], np.unravel_index(picked, (len(images), down, across))
    # Only the images that are looked at are padded, some hundred at a time.
    order = np.argsort(image, kind="stable")
    for part in np.array_split(order, -(-len(order) // 4096)):
        some, which = np.unique(image[part], return_inverse=True)
        every = windows(
            images[some].numpy(), node.geometry.kernel, node.stride, node.padding
        )  # [N, H', W', C, k, l]
        seen.append(every[which, y[part], z[part]].reshape(len(part), node.groups, -1))
    rows = np.concatenate(seen).swapaxes(0, 1)  # [groups, windows, k]
    return rows.swapaxes(1, 2) @ rows * (down * across / len(picked))
