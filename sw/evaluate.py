"""Accuracy of a network on labelled samples, by the golden model."""

from __future__ import annotations

import numpy as np

from . import golden
from .data import DataError
from .formats import IntArray
from .network import Network


def classify(network: Network, samples: IntArray, batch: int = 256) -> IntArray:
    """The class of each sample: ``samples`` are ``[T, B, inputs]`` raw integers, result ``[B]``.

    ``batch`` samples run at a time, to bound memory.
    """
    golden.checked_samples(network, samples)
    return np.concatenate(
        [
            golden.run(network, samples[:, start : start + batch]).classes
            for start in range(0, samples.shape[1], batch)
        ]
    )


def evaluate(network: Network, samples: IntArray, labels: IntArray) -> float:
    """The share of ``samples`` ``[T, B, inputs]`` whose class is their label ``[B]``, in [0, 1]."""
    if np.ndim(samples) != 3 or np.shape(labels) != (np.shape(samples)[1],):
        raise DataError(
            f"labels have shape {list(np.shape(labels))} and samples {list(np.shape(samples))}, "
            "must be [B] and [T, B, inputs]"
        )
    return float(np.mean(classify(network, samples) == labels))
