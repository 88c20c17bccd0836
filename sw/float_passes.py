"""Passes of a floating-point module over samples: its accuracy, and batch norm's statistics."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from .data import RawArray, Samples, shown
from .fit import one_thread
from .images import Shape3
from .models import TrainConfig, seen
from .nn import BatchNormOverTime, BatchNormOverTime2d, MeanNormOverTime


def accuracy_float(
    model: nn.Module,
    samples: Samples,
    steps: int,
    step: float,
    batch: int = 256,
    image: Shape3 | None = None,
) -> float:
    """Accuracy of a module in evaluation mode; ``step`` is one raw unit.

    The module takes ``[T, B, inputs]``, or images ``[T, B, C, H, W]`` of the shape ``image``.
    """
    model.eval()
    right = 0
    with one_thread(), torch.no_grad():
        for start in range(0, len(samples), batch):
            part = samples[start : start + batch]
            scores = model(_shown_to(model, part.inputs, part.frames, steps, step, image))
            found = scores.argmax(1).cpu().numpy()
            right += int((found == part.labels).sum())
    return right / len(samples)


def reestimate(
    model: nn.Module,
    samples: Samples,
    config: TrainConfig,
    step: float,
    image: Shape3 | None = None,
) -> None:
    """Replace batch norm's running statistics by those of one pass over ``samples``."""
    norms = [
        module
        for module in model.modules()
        if isinstance(module, BatchNormOverTime | BatchNormOverTime2d | MeanNormOverTime)
    ]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain average over the pass
    model.train()
    order = np.random.default_rng(config.seed).permutation(len(samples))
    # Few large parts of about one size: each has good statistics and the same weight.
    with one_thread(), torch.no_grad():
        for part in np.array_split(order, max(1, len(order) // 256)):
            raw = samples.inputs[part]
            model(_shown_to(model, raw, samples.frames, config.steps, step, image))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    model.eval()


def _shown_to(
    model: nn.Module, raw: RawArray, frames: int, steps: int, step: float, image: Shape3 | None
) -> Tensor:
    device = next(model.parameters()).device
    # Exact: few bits, and ``step`` is a power of two.
    inputs = torch.as_tensor(raw, dtype=torch.float32, device=device)
    return seen(shown(inputs, steps, frames), step, image)
