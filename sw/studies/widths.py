"""One trained network with weights of several widths: rounded alone, or trained on as well."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from ..data import Dataset, Samples
from ..evaluate import measure
from ..fit import load_module
from ..models import TrainConfig, build_model, image_of, seen
from ..network import Network
from ..quantiser import QuantiseConfig, quantise
from ..tracing import from_torch
from ..train import FLOAT_FILE, train_quantised


@dataclass(frozen=True)
class Width:
    """Accuracies of the golden model with weights of ``bits`` bits, in [0, 1].

    ``rounded`` is without any training on integers; ``trained`` after it, or None.
    """

    bits: int
    rounded: float
    trained: float | None


def checked_widths(widths: Sequence[int]) -> list[int]:
    """Each of ``widths`` once, the widest first; raises :class:`GraphError` for an impossible one,
    and :class:`ValueError` if there is none.
    """
    for bits in widths:
        QuantiseConfig(bits=bits)
    return sorted(set(widths), reverse=True)


def load_trained(config: TrainConfig, data: Dataset, folder: Path) -> tuple[nn.Module, str]:
    """The float network that :func:`train_float` left in ``folder``, and the file's SHA-256."""
    path = folder / FLOAT_FILE
    model = build_model(config, data)
    load_module(model, path)
    return model.eval(), hashlib.sha256(path.read_bytes()).hexdigest()


def rounded(config: TrainConfig, data: Dataset, model: nn.Module, bits: int) -> Network:
    """``model`` with integer weights of ``bits`` bits, and guard bits that need no training."""
    calibration = data.train[:256].over_time(config.steps)
    sample = torch.tensor(calibration[:, :8], dtype=torch.float64)
    graph = from_torch(model, seen(sample, data.format.step, image_of(config, data)), data.format)
    return quantise(graph, calibration, QuantiseConfig(bits=bits))


def by_width(
    config: TrainConfig,
    data: Dataset,
    trained: Path,
    widths: Sequence[int],
    test: Samples,
    folder: Path | None = None,
) -> Iterator[Width]:
    """The accuracy of the float network in ``trained`` with weights of each of ``widths``.

    With a ``folder`` it is trained on, too, in a folder of its own for each width, where an
    interrupted training resumes.
    """
    for bits in widths:
        model, _ = load_trained(config, data, trained)
        alone = measure(rounded(config, data, model, bits), test, config.steps).accuracy
        after = None
        if folder is not None:
            chosen = replace(config, bits=bits)
            network, _ = train_quantised(chosen, data, model, folder / f"{bits}bit")
            after = measure(network, test, config.steps).accuracy
        yield Width(bits, alone, after)
