"""Samples to the words of the top's input stream, and the words of its output to scores.

Both input modes of the top are little-endian 32-bit words: events (an index and a value each, a
marker closes the timestep) and packed (every value, as many to a word as fit).
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from ..sw.formats import IntArray
from ..sw.golden import checked_samples
from ..sw.network import Network
from .errors import SimulationError

Mode = Literal["event", "packed"]
Words = npt.NDArray[np.uint32]

END_OF_STEP, END_OF_SAMPLE = 1 << 31, 1 << 30
VALUE_SHIFT, VALUE_BITS, INDEX_BITS = 16, 14, 16


def encode(network: Network, samples: npt.ArrayLike, mode: Mode = "event") -> list[Words]:
    """One array of words for each sample of ``samples`` (``[T, B, inputs]``).

    TLAST goes with the last word of each array. Raises ``NetworkError`` if the samples do not fit
    the network's input, :class:`SimulationError` if the input does not fit the words.
    """
    data = checked_samples(network, samples)
    form = network.input.format
    if mode == "packed":
        if form.width > 32:
            raise SimulationError(f"input format is {form}, must have at most 32 bits to be packed")
        return [_packed(sample, form.width) for sample in data.transpose(1, 0, 2)]
    if form.width > VALUE_BITS or network.input.size > 1 << INDEX_BITS:
        raise SimulationError(
            f"input has {network.input.size} values of {form}, events carry at most "
            f"{1 << INDEX_BITS} values of {VALUE_BITS} bits"
        )
    return [_events(sample) for sample in data.transpose(1, 0, 2)]


def _events(sample: IntArray) -> Words:
    """``[T, n]`` to event words, ascending, each timestep closed by a marker."""
    steps, index = np.nonzero(sample)
    value = sample[steps, index] & ((1 << VALUE_BITS) - 1)
    words = np.full(len(steps) + len(sample), END_OF_STEP, np.int64)
    words[np.arange(len(steps)) + steps] = value << VALUE_SHIFT | index
    words[-1] |= END_OF_SAMPLE
    return words.astype(np.uint32)


def _packed(sample: IntArray, width: int) -> Words:
    """``[T, n]`` to packed words, value 0 of each word in its lowest bits."""
    per_word = 32 // width
    steps, size = sample.shape
    count = -(-size // per_word)
    padded = np.zeros((steps, count * per_word), np.int64)
    padded[:, :size] = sample & ((1 << width) - 1)
    shifts = np.arange(per_word) * width
    words = (padded.reshape(steps, count, per_word) << shifts).sum(axis=2)
    return words.reshape(-1).astype(np.uint32)


def decode(words: Words, classes: int) -> tuple[IntArray, IntArray]:
    """The ``[B, classes]`` scores and ``[B]`` classes in the words that the top sent."""
    if len(words) % (classes + 1):
        raise SimulationError(
            f"top sent {len(words)} words, must be a multiple of {classes + 1}: "
            f"{classes} scores and the class of each sample"
        )
    signed = words.astype(np.uint32).view(np.int32).astype(np.int64).reshape(-1, classes + 1)
    return signed[:, :classes], signed[:, classes]
