"""One trained network with weights of several widths: rounded alone, or trained on as well."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from ..data import Dataset, Samples
from ..evaluate import measure
from ..models import TrainConfig, image_of, seen
from ..network import Network
from ..quantiser import QuantiseConfig, quantise
from ..tracing import from_torch
from ..train import train_quantised


@dataclass(frozen=True)
class Width:
    """Accuracies of the golden model with weights of ``bits`` bits, in [0, 1].

    ``rounded`` is without any training on integers; ``trained`` after it, or None.
    """

    bits: int
    rounded: float
    trained: float | None


def checked_widths(widths: Sequence[int]) -> list[int]:
    """Each of ``widths`` once, the widest first; :class:`GraphError` if one is impossible."""
    for bits in widths:
        QuantiseConfig(bits=bits)
    return sorted(set(widths), reverse=True)


def rounded(config: TrainConfig, data: Dataset, model: nn.Module, bits: int) -> Network:
    """``model`` with integer weights of ``bits`` bits, and guard bits that need no training."""
    calibration = data.train[:256].over_time(config.steps)
    sample = torch.tensor(calibration[:, :8], dtype=torch.float64)
    graph = from_torch(model, seen(sample, data.format.step, image_of(config, data)), data.format)
    return quantise(graph, calibration, QuantiseConfig(bits=bits))


def by_width(
    config: TrainConfig,
    data: Dataset,
    model: nn.Module,
    widths: Sequence[int],
    test: Samples,
    folder: Path | None = None,
) -> Iterator[Width]:
    """The accuracy of the trained ``model`` with weights of each of ``widths``.

    With a ``folder`` it is trained on, too, in a folder of its own for each width, where an
    interrupted training resumes.
    """
    for bits in widths:
        alone = measure(rounded(config, data, model, bits), test, config.steps).accuracy
        after = None
        if folder is not None:
            chosen = replace(config, bits=bits)
            network, _ = train_quantised(chosen, data, model, folder / f"{bits}bit")
            after = measure(network, test, config.steps).accuracy
        yield Width(bits, alone, after)
