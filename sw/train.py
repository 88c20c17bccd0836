"""Training a residual classifier: first in floating point, then quantised.

Every choice (best epoch, formats) is made on training and validation samples; the test samples
are only ever seen by :func:`reslif.sw.evaluate.evaluate`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn

from .augment import distort
from .data import Dataset, Samples, shown
from .fit import Fit, Job, TrainError, fit, load_module, save_module
from .network import Network, Neuron, ReadoutKind
from .network_file import NETWORK_FILE, load_network, save_network
from .nn import (
    LI,
    LIF,
    BatchNormOverTime,
    LastMembrane,
    LayeredSNN,
    MaxMembrane,
    ResidualSNN,
    SpikeCount,
    SpikingNeuron,
)
from .qat import QATNetwork
from .quantiser import QuantiseConfig, plan
from .tracing import from_torch

FLOAT_FILE = "float.safetensors"

_QUANTISED_ONLY = ("bits", "guard_bits", "qat_epochs", "qat_lr")


@dataclass(frozen=True)
class TrainConfig:
    """A classifier and how it is trained.

    Attributes:
        model: ``"residual"``, or ``"layers"`` of one kind of neuron without shortcuts.
        block_type: of a residual classifier ``"ms"``, ``"sew"`` or ``"plain"``; ``op`` is the join
            of SEW blocks.
        blocks, width: residual blocks of two weight layers each (of ``"layers"``: layers of
            neurons), neurons of every layer.
        steps: T, timesteps per sample.
        beta, threshold, reset, reset_delay: of every neuron of a residual classifier.
        neuron, neuron_options, norm: of ``"layers"``, see :class:`reslif.sw.nn.LayeredSNN`.
        readout: how the last layer's currents become scores; all but ``"sum_current"`` have one
            more layer of neurons, which does not reset where its membrane is read.
        epochs, qat_epochs: of floating-point and of quantised training.
        lr, qat_lr: peak learning rates (one warm-up epoch, then cosine to 0).
        weight_decay: of AdamW, on weight matrices only.
        augment: strength of the random distortions of training images, 0 for none.
        activity: weight of the mean spike rate in the loss; spikes cost time in hardware.
        batch: samples per step.
        seed: of initial weights and order of samples.
        bits: weight bits of every layer; ``guard_bits`` as for :class:`QuantiseConfig`.
        device: ``"auto"`` is a GPU if there is one.
    """

    model: Literal["residual", "layers"] = "residual"
    block_type: Literal["ms", "sew", "plain"] = "ms"
    op: Literal["or", "add", "and", "iand"] = "or"
    blocks: int = 4
    width: int = 64
    steps: int = 8
    beta: float = 15 / 16
    threshold: float = 1.0
    reset: Literal["subtract", "zero", "none"] = "subtract"
    reset_delay: bool = True
    neuron: str = "Leaky"
    neuron_options: Mapping[str, Any] = field(default_factory=dict)
    norm: str = "batch"
    readout: ReadoutKind = "sum_current"
    epochs: int = 60
    qat_epochs: int = 20
    lr: float = 5e-3
    qat_lr: float = 1e-3
    weight_decay: float = 0.1
    activity: float = 1.0
    augment: float = 0.5
    batch: int = 64
    seed: int = 0
    bits: int = 4
    guard_bits: int = 1
    device: Literal["auto", "cpu", "cuda"] = "auto"

    def __post_init__(self) -> None:
        least = {"blocks": 1, "width": 1, "steps": 1, "epochs": 1, "qat_epochs": 1, "batch": 2}
        for name, low in least.items():
            if getattr(self, name) < low:
                raise TrainError(f"{name} is {getattr(self, name)}, must be at least {low}")
        for name in ("lr", "qat_lr", "threshold"):
            if not getattr(self, name) > 0:
                raise TrainError(f"{name} is {getattr(self, name)}, must be above 0")
        if self.model not in ("residual", "layers"):
            raise TrainError(f"model is {self.model!r}, must be residual or layers")
        if self.model == "layers" and self.readout != "sum_current":
            raise TrainError(f"readout is {self.readout!r}, of layers it must be sum_current")
        if self.block_type not in ("ms", "sew", "plain"):
            raise TrainError(f"block_type is {self.block_type!r}, must be ms, sew or plain")
        if self.readout not in get_args(ReadoutKind):
            kinds = ", ".join(get_args(ReadoutKind))
            raise TrainError(f"readout is {self.readout!r}, must be one of {kinds}")
        if self.device not in ("auto", "cpu", "cuda"):
            raise TrainError(f"device is {self.device!r}, must be auto, cpu or cuda")


def device_of(config: TrainConfig) -> torch.device:
    """The device that ``config`` names."""
    available = torch.cuda.is_available()
    if config.device == "cuda" and not available:
        raise TrainError("device is cuda, but this machine offers no CUDA device to PyTorch")
    return torch.device("cuda" if available and config.device != "cpu" else "cpu")


def build_model(config: TrainConfig, data: Dataset) -> nn.Module:
    """The untrained module of ``config`` for ``data``, initialised from ``config.seed``."""
    torch.manual_seed(config.seed)
    if config.model == "layers":
        return LayeredSNN(
            data.inputs, data.classes, config.neuron, config.width, config.blocks,
            steps=config.steps, image=data.image and data.image[1:], norm=config.norm,
            options=config.neuron_options,
        )  # fmt: skip
    model = ResidualSNN(
        data.inputs, data.classes, config.width, config.blocks, config.block_type, op=config.op,
        beta=config.beta, threshold=config.threshold,
        neuron={"reset_mechanism": config.reset, "reset_delay": config.reset_delay},
    )  # fmt: skip
    if config.readout == "count":
        spiking = LIF(config.beta, config.threshold, reset_mechanism=config.reset)
        model.register_module("readout", nn.Sequential(spiking, SpikeCount()))
    elif config.readout != "sum_current":
        kind = LastMembrane if config.readout == "last_membrane" else MaxMembrane
        still = LIF(config.beta, config.threshold, reset_mechanism="none")
        model.register_module("readout", kind(still))
    return model


def train_float(config: TrainConfig, data: Dataset, folder: Path) -> tuple[nn.Module, Fit]:
    """Train in floating point; the best epoch's module, batch-norm statistics re-estimated.

    Writes ``float.safetensors`` to ``folder``. Interrupted and called again, it resumes after
    the last finished epoch.
    """
    device = device_of(config)
    model = build_model(config, data).to(device)
    spikes: list[Tensor] = []

    def record(_module: nn.Module, _inputs: object, output: Tensor | tuple[Tensor, Tensor]) -> None:
        spikes.append((output[0] if isinstance(output, tuple) else output).mean())

    neurons = [
        module
        for module in model.modules()
        if isinstance(module, LIF | SpikingNeuron) and not isinstance(module, LI)
    ]
    hooks = [neuron.register_forward_hook(record) for neuron in neurons]

    def loss(inputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        spikes.clear()
        scores = model(inputs * data.format.step)
        rate = torch.stack(spikes).mean()
        return _loss(scores, labels, config) + config.activity * rate, scores

    best = folder / FLOAT_FILE
    job = _job(config, data, best, "float", model, loss, lambda: save_module(model, best))
    result = fit(job)
    for hook in hooks:
        hook.remove()
    load_module(model, best)
    reestimate(model, data.train, config, data.format.step)
    save_module(model, best)
    return model, result


def train_quantised(
    config: TrainConfig, data: Dataset, model: nn.Module, folder: Path
) -> tuple[Network, Fit]:
    """Train on with integer weights; the best epoch's network, as ``network.safetensors``.

    ``model`` is a trained module on ``[T, B, inputs]``. Scales follow the weights until the last
    fifth of the epochs, in which they are frozen.
    """
    device = device_of(config)
    calibration = data.train[:256].over_time(config.steps)
    real = torch.as_tensor(calibration[:, :8] * data.format.step)
    graph = from_torch(model, real, data.format)
    settings = QuantiseConfig(bits=config.bits, guard_bits=config.guard_bits)
    module = QATNetwork(plan(graph, calibration, settings), graph).to(device)
    names = [node.name for node in module.quantised.network.nodes_of(Neuron)]

    def loss(inputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        seen = module.run(inputs)
        scores = module.scores(seen)
        rate = torch.stack([seen[name, "spike"].mean() for name in names]).mean()
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
        )
    )
    return load_network(best), result


def accuracy_float(
    model: nn.Module, samples: Samples, steps: int, step: float, batch: int = 256
) -> float:
    """Accuracy of a module on ``[T, B, inputs]`` in evaluation mode; ``step`` is one raw unit."""
    model.eval()
    device = next(model.parameters()).device
    right = 0
    with torch.no_grad():
        for start in range(0, len(samples), batch):
            part = samples[start : start + batch]
            inputs = part.over_time(steps) * step
            scores = model(torch.as_tensor(inputs, dtype=torch.float32, device=device))
            found = scores.argmax(1).cpu().numpy()
            right += int((found == part.labels).sum())
    return right / len(samples)


def reestimate(model: nn.Module, samples: Samples, config: TrainConfig, step: float) -> None:
    """Replace batch norm's running statistics by those of one pass over ``samples``."""
    norms = [module for module in model.modules() if isinstance(module, BatchNormOverTime)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain average over the pass
    model.train()
    device = next(model.parameters()).device
    order = np.random.default_rng(config.seed).permutation(len(samples))
    # Few large parts of about one size: each has good statistics and the same weight.
    with torch.no_grad():
        for part in np.array_split(order, max(1, len(order) // 256)):
            inputs = shown(samples.inputs[part] * step, config.steps, samples.frames)
            model(torch.tensor(inputs, dtype=torch.float32, device=device))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    model.eval()


def _loss(scores: Tensor, labels: Tensor, config: TrainConfig) -> Tensor:
    # Currents add up over time; the mean keeps the loss's scale whatever T.
    scale = 1 / config.steps if config.readout == "sum_current" else 1.0
    return nn.functional.cross_entropy(scores.float() * scale, labels)


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
    augment = None
    if data.image is not None and config.augment > 0:
        augment = partial(distort, image=data.image, strength=config.augment)
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
        state_file=best.with_name(f"{label}.state.safetensors"),
        augment=augment,
        settings=_settings(config, data, without=(*_QUANTISED_ONLY, "device")),
    )


def _settings(config: TrainConfig, data: Dataset, without: tuple[str, ...]) -> dict[str, Any]:
    """What a run depends on, for its state file."""
    fields = {name: value for name, value in asdict(config).items() if name not in without}
    return {**fields, "data": data.digest, "split": data.split}
