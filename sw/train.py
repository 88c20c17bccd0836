"""Training a residual classifier: first in floating point, then quantised.

Every choice (best epoch, formats) is made on training and validation samples; the test samples
are only ever seen by :func:`reslif.sw.evaluate.evaluate`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .augment import crop_flip, distort, side_by_side
from .data import Dataset
from .fit import Fit, Job, TrainError, fit, load_module, save_module
from .float_passes import accuracy_float, reestimate
from .gain_term import GainTerm
from .models import CHAINS, TrainConfig, build_model, image_of, seen
from .network import Network, Neuron
from .network_file import NETWORK_FILE, load_network, save_network
from .nn import LI, LIF, SpikingNeuron
from .nn.again import computing_again
from .pace import branch_paces, graph_paces
from .qat import QATNetwork
from .quantiser import QuantiseConfig, plan
from .tracing import from_torch

__all__ = [
    "FLOAT_FILE",
    "NETWORK_FILE",
    "TrainConfig",
    "accuracy_float",
    "build_model",
    "device_of",
    "reestimate",
    "train_float",
    "train_quantised",
    "trained_model",
]

FLOAT_FILE = "float.safetensors"

_QUANTISED_ONLY = ("bits", "guard_bits", "qat_epochs", "qat_lr")


class _SpikeRates:
    """The mean spike rate of all layers, of the batch at hand and of an epoch's validation."""

    def __init__(self) -> None:
        self.layers: list[Tensor] = []
        self._validated: list[float] = []

    def mean(self, training: bool) -> Tensor:
        """Of the layers seen since the last call."""
        rate = torch.stack(self.layers).mean()
        self.layers.clear()
        if not training:
            self._validated.append(float(rate))
        return rate

    def measures(self) -> dict[str, float]:
        rate = float(np.mean(self._validated))
        self._validated.clear()
        return {"spike_rate": rate}


def device_of(config: TrainConfig) -> torch.device:
    """The device that ``config`` names."""
    available = torch.cuda.is_available()
    if config.device == "cuda" and not available:
        raise TrainError("device is cuda, but this machine offers no CUDA device to PyTorch")
    return torch.device("cuda" if available and config.device != "cpu" else "cpu")


def train_float(config: TrainConfig, data: Dataset, folder: Path) -> tuple[nn.Module, Fit]:
    """Train in floating point; the best epoch's module, batch-norm statistics re-estimated.

    Writes ``float.safetensors`` to ``folder`` (and what a run before it writes to ``before/`` in
    there). Interrupted and called again, it resumes after the last finished epoch.
    """
    device = device_of(config)
    model = build_model(config, data).to(device)
    best = folder / FLOAT_FILE
    if (first := config.first()) is not None and not _state_of(best, "float").exists():
        _start_from(model, build_model(first, data))  # to refuse it before it has been trained
        start, _ = train_float(first, data, folder / "before")
        _start_from(model, start)
    image = image_of(config, data)
    rates = _SpikeRates()

    def record(_module: nn.Module, _inputs: object, output: Tensor | tuple[Tensor, Tensor]) -> None:
        if not computing_again():
            rates.layers.append((output[0] if isinstance(output, tuple) else output).mean())

    neurons = [
        module
        for module in model.modules()
        if isinstance(module, LIF | SpikingNeuron) and not isinstance(module, LI)
    ]
    hooks = [neuron.register_forward_hook(record) for neuron in neurons]
    gain = None
    if config.model in CHAINS:
        gain = GainTerm(model, config.lyapunov_target, config.lyapunov_weight)
    for neuron in neurons:
        if isinstance(neuron, SpikingNeuron):
            neuron.truncate = config.truncate

    def forward(x: Tensor) -> tuple[Tensor, Tensor | float]:
        return (model(x), 0.0) if gain is None else gain(x)

    def loss(inputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        short = config.precision == "bfloat16" and model.training
        with torch.autocast(device.type, torch.bfloat16, enabled=short):
            scores, term = forward(seen(inputs, data.format.step, image))
        rate = rates.mean(model.training)
        return _loss(scores, labels, config) + config.activity * rate + term, scores

    def measures() -> dict[str, float]:
        return {**rates.measures(), **({} if gain is None else gain.measures())}

    job = _job(config, data, best, "float", model, loss, lambda: save_module(model, best))
    paces = branch_paces(model) if config.scaled_lr else {}
    result = fit(replace(job, measures=measures, paces=paces))
    for hook in hooks:
        hook.remove()
    load_module(model, best)
    reestimate(model, data.train, config, data.format.step, image)
    save_module(model, best)
    return model, result


def trained_model(config: TrainConfig, data: Dataset, folder: Path) -> nn.Module:
    """What :func:`train_float` left in ``folder``, in evaluation mode."""
    model = build_model(config, data)
    load_module(model, folder / FLOAT_FILE)
    return model.eval()


def train_quantised(
    config: TrainConfig, data: Dataset, model: nn.Module, folder: Path
) -> tuple[Network, Fit]:
    """Train on with integer weights; the best epoch's network, as ``network.safetensors``.

    ``model`` is a trained module on what ``config`` says. Scales follow the weights until the last
    fifth of the epochs, in which they are frozen.
    """
    device = device_of(config)
    calibration = data.train[:256].over_time(config.steps)
    sample = torch.tensor(calibration[:, :8], dtype=torch.float64)
    real = seen(sample, data.format.step, image_of(config, data))
    graph = from_torch(model, real, data.format)
    settings = QuantiseConfig(bits=config.bits, guard_bits=config.guard_bits)
    planned = plan(graph, calibration, settings)
    module = QATNetwork(planned, graph, truncate=config.truncate).to(device)
    names = [node.name for node in module.quantised.network.nodes_of(Neuron)]
    rates = _SpikeRates()

    def loss(inputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        signals = module.run(inputs)
        scores = module.scores(signals)
        rates.layers.extend(signals[name, "spike"].mean() for name in names)
        rate = rates.mean(module.training)
        return _loss(scores, labels, config) + config.activity * rate, scores

    def adapt_scales() -> None:
        module.replan(plan(module.float_graph(), calibration, settings))

    def save() -> None:
        network = module.export()
        notes = {**network.notes, "training": asdict(config), "data": data.digest}
        save_network(replace(network, notes=notes), best)

    best = folder / NETWORK_FILE
    job = _job(config, data, best, "quantised", module, loss, save)
    result = fit(
        replace(
            job,
            epochs=config.qat_epochs,
            lr=config.qat_lr,
            weight_decay=0.0,
            settings=_settings(config, data, without=("device",)),
            adapt=adapt_scales,
            measures=rates.measures,
            paces=graph_paces(graph, config.branch_power) if config.scaled_lr else {},
        )
    )
    return load_network(best), result


def _loss(scores: Tensor, labels: Tensor, config: TrainConfig) -> Tensor:
    # Currents add up over time; the mean keeps the loss's scale whatever T.
    scale = 1 / config.steps if config.readout == "sum_current" else 1.0
    return nn.functional.cross_entropy(
        scores.float() * scale, labels, label_smoothing=config.label_smoothing
    )


def _job(
    config: TrainConfig,
    data: Dataset,
    best: Path,
    label: str,
    model: nn.Module,
    loss: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]],
    save_best: Callable[[], None],
) -> Job:
    """The job of floating-point training; the quantised one changes a few fields."""
    return Job(
        label=label,
        model=model,
        loss=loss,
        train=data.train,
        validation=data.validation,
        steps=config.steps,
        epochs=config.epochs,
        batch=config.batch,
        lr=config.lr,
        weight_decay=config.weight_decay,
        seed=config.seed,
        device=device_of(config),
        save_best=save_best,
        best_file=best,
        state_file=_state_of(best, label),
        augment=_augmentation(config, data),
        settings=_settings(config, data, without=(*_QUANTISED_ONLY, "device")),
    )


def _state_of(best: Path, label: str) -> Path:
    return best.with_name(f"{label}.state.safetensors")


def _start_from(model: nn.Module, start: nn.Module) -> None:
    try:
        model.load_state_dict(start.state_dict())
    except RuntimeError:
        raise TrainError(
            "before makes another network, must leave its layers as they are"
        ) from None


def _settings(config: TrainConfig, data: Dataset, without: tuple[str, ...]) -> dict[str, Any]:
    """What a run depends on, for its state file."""
    if config.model not in CHAINS:  # what a run does not depend on need not keep it from resuming
        without = (*without, "lyapunov_weight", "lyapunov_target")
    without = (*without, "checkpoint")  # it changes nothing
    for name in ("zero_gamma", "scaled_lr", "branch_power", "dropout", "truncate"):
        if getattr(config, name) == getattr(TrainConfig, name):
            without = (*without, name)
    fields = {name: value for name, value in asdict(config).items() if name not in without}
    return {**fields, "data": data.digest, "split": data.split, "samples": len(data.train)}


def _augmentation(
    config: TrainConfig, data: Dataset
) -> Callable[[Tensor, torch.Generator], Tensor] | None:
    """What the settings do to training images or clips ``[B, n]``; None if nothing."""
    image, changes = data.image, []
    clips = image is not None and math.prod(image) < data.train.inputs.shape[1]
    if image is not None and clips:  # the same to all frames, as if they were channels
        image = (image[0] * data.train.frames, *image[1:])
    if image is not None and (config.shift or config.flip):
        changes.append(partial(crop_flip, image=image, pad=config.shift, flip=config.flip))
    if image is not None and config.augment > 0:
        changes.append(partial(distort, image=image, strength=config.augment))

    pixels = math.prod(image[1:]) if image is not None else 1

    def change(inputs: Tensor, random: torch.Generator) -> Tensor:
        frames = data.train.frames if clips else 1
        inputs = side_by_side(inputs, frames, pixels)
        for step in changes:
            inputs = step(inputs, random)
        return side_by_side(inputs, pixels, frames)

    return change if changes else None
