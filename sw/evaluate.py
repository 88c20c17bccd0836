"""Accuracy of a network on labelled samples, by the golden model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from . import golden
from .data import DataError, Dataset, Samples
from .formats import IntArray
from .network import Network, Neuron


@dataclass(frozen=True)
class Evaluation:
    """How a network did on ``samples`` samples, each shown for ``steps`` timesteps.

    ``accuracy`` is in [0, 1]; ``spike_rate`` is that of the mean neuron and timestep.
    """

    accuracy: float
    spike_rate: float
    samples: int
    steps: int


def measure(
    network: Network,
    samples: Samples,
    steps: int,
    progress: Callable[[int], None] | None = None,
    batch: int = 64,
) -> Evaluation:
    """Run ``samples`` through the golden model, ``batch`` at a time, to bound memory.

    ``progress`` is told how many are done. Raises :class:`NetworkError` if they do not fit.
    """
    neurons = network.nodes_of(Neuron)
    probes = [(node.name, "spike") for node in neurons]
    right = spikes = 0
    for start in range(0, len(samples), batch):
        part = samples[start : start + batch]
        trace = golden.run(network, part.over_time(steps), probes)
        right += int((trace.classes == part.labels).sum())
        spikes += sum(int(np.count_nonzero(trace[probe])) for probe in probes)
        if progress is not None:
            progress(start + len(part))
    places = len(samples) * steps * sum(node.size for node in neurons)
    return Evaluation(right / len(samples), spikes / max(1, places), len(samples), steps)


def check_fits(network: Network, data: Dataset) -> None:
    """Raise :class:`DataError` unless ``network`` takes the inputs of ``data`` and its classes."""
    for what, found, wanted in (
        ("inputs of a timestep", data.inputs, network.input.size),
        ("input format", data.format, network.input.format),
        ("classes", data.classes, network.readout.size),
    ):
        if found != wanted:
            raise DataError(f"{what} of {data.name}: {found}, but {wanted} of the network")


def classify(network: Network, samples: IntArray, batch: int = 256) -> IntArray:
    """The class of each sample: ``samples`` are ``[T, B, inputs]`` raw integers, result ``[B]``.

    ``batch`` samples run at a time, to bound memory.
    """
    golden.checked_samples(network, samples[:, :1])  # the whole in 64 bits may be too large
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
