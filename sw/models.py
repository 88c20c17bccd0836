"""Classifiers by recipe: the settings of a training run, and the untrained module they name."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from .data import Dataset
from .fit import TrainError
from .images import Shape3, to_image
from .network import ReadoutKind
from .nn import (
    LIF,
    LastMembrane,
    LayeredSNN,
    MaxMembrane,
    ResidualSNN,
    RSNNClassifier,
    RSNNParameters,
    SpikeCount,
)
from .nn.conv_lyapunov import ConvLyapunovSNN, VGGLyapunovSNN
from .nn.conv_networks import MSResNet, PlainResNet, SEWResNet

_RESNETS = {"ms_resnet": MSResNet, "sew_resnet": SEWResNet, "plain_resnet": PlainResNet}
CHAINS = {"conv_lyapunov": ConvLyapunovSNN, "vgg_lyapunov": VGGLyapunovSNN}
"""Classifiers without shortcuts, whose finite-time gain is reported and can be trained."""
IMAGE_MODELS = (*_RESNETS, *CHAINS)
"""Classifiers that take images ``[T, B, C, H, W]``; the others take vectors ``[T, B, n]``."""

_LEAST = {
    "blocks": 1, "width": 1, "stem_stride": 1, "steps": 1, "epochs": 1, "qat_epochs": 1,
    "batch": 2, "shift": 0, "label_smoothing": 0, "activity": 0, "lyapunov_weight": 0,
    "checkpoint": 0, "branch_power": 0, "dropout": 0, "truncate": 0, "weight_decay": 0,
    "augment": 0, "seed": 0,
}  # fmt: skip
_MOST = {"blocks": 10_000, "width": 65_536, "steps": 65_536, "label_smoothing": 1, "augment": 10}


@dataclass(frozen=True)
class TrainConfig:
    """A classifier and how it is trained.

    Attributes:
        model: ``"residual"`` of dense layers, ``"layers"`` of one kind of neuron without
            shortcuts, or a convolutional ``"ms_resnet"``, ``"sew_resnet"`` or ``"plain_resnet"``;
            ``"conv_lyapunov"`` or ``"vgg_lyapunov"``, convolutional chains without shortcuts;
            ``"rsnn"``, a recurrent layer and recurrent output neurons, whose spikes are counted.
        block_type: of a residual classifier ``"ms"``, ``"sew"`` or ``"plain"``.
        op: join of SEW blocks, ``"or"``, ``"add"``, ``"and"`` or ``"iand"``.
        blocks, width: residual blocks of two weight layers each (of ``"layers"``: layers of
            neurons), neurons of every layer.
        widths: of a convolutional classifier the channels of each stage, each stage of ``blocks``
            blocks; all but the first halve the image.
        stem_stride, shortcut: of a convolutional classifier, see :class:`reslif.sw.nn.MSResNet`.
        steps: T, timesteps per sample.
        beta, threshold, reset, reset_delay: of every neuron of a residual classifier; ``"rsnn"``
            has ``beta`` alone.
        norm: of a residual classifier and of ``"layers"``, see :class:`reslif.sw.nn.ResidualSNN`
            and :class:`reslif.sw.nn.LayeredSNN`.
        zero_gamma, branch_power, checkpoint: of a residual classifier, see
            :class:`reslif.sw.nn.DeepSNNStack`.
        scaled_lr: the last parameters of each branch of a membrane-shortcut classifier learn at
            1/blocks^branch_power of the learning rate, see :mod:`reslif.sw.pace`.
        dropout: of ``"rsnn"``, the part of hidden currents dropped in training.
        truncate: of ``"rsnn"`` and ``"layers"``, gradients flow over at most so many timesteps
            (truncated BPTT); 0: over all.
        neuron, neuron_options: of ``"layers"``, see :class:`reslif.sw.nn.LayeredSNN`.
        readout: how the last layer's currents become scores; all but ``"sum_current"`` have one
            more layer of neurons, which does not reset where its membrane is read.
        epochs, qat_epochs: of floating-point and of quantised training.
        lr, qat_lr: peak learning rates (one warm-up epoch, then cosine to 0).
        weight_decay: of AdamW, on weight matrices only.
        label_smoothing: the part of the probability that is spread over all classes.
        augment: strength of the random distortions of training images, 0 for none.
        shift, flip: shift training images by up to so many pixels, mirror every second one.
        activity: weight of the mean spike rate in the loss; spikes cost time in hardware.
        lyapunov_weight, lyapunov_target: of a convolutional chain's finite-time gain in the loss,
            see :func:`reslif.sw.nn.lyapunov_loss`.
        before: settings of a floating-point run before this one, as far as they differ: this one
            starts from its weights. Few timesteps first are a cheap start for more.
        batch: samples per step.
        seed: of initial weights and order of samples.
        precision: of floating-point training; ``"bfloat16"`` computes convolutions and the
            neurons behind them in 16 bits, which is faster on CPUs with instructions for it.
        bits: weight bits of every layer; ``guard_bits`` as for :class:`QuantiseConfig`.
        device: ``"auto"`` is a GPU if there is one.
    """

    model: Literal[
        "residual", "layers", "ms_resnet", "sew_resnet", "plain_resnet", "conv_lyapunov",
        "vgg_lyapunov", "rsnn",
    ] = "residual"  # fmt: skip
    block_type: Literal["ms", "sew", "plain"] = "ms"
    op: Literal["or", "add", "and", "iand"] = "or"
    blocks: int = 4
    width: int = 64
    widths: tuple[int, ...] = (16, 32, 64)
    stem_stride: int = 1
    shortcut: Literal["conv", "pool"] = "conv"
    steps: int = 8
    beta: float = 15 / 16
    threshold: float = 1.0
    reset: Literal["subtract", "zero", "none"] = "subtract"
    reset_delay: bool = True
    neuron: str = "Leaky"
    neuron_options: Mapping[str, Any] = field(default_factory=dict)
    dropout: float = 0.0
    truncate: int = 0
    norm: str = "batch"
    zero_gamma: bool = False
    branch_power: float = 0.5
    checkpoint: int = 0
    scaled_lr: bool = False
    readout: ReadoutKind = "sum_current"
    epochs: int = 60
    qat_epochs: int = 20
    lr: float = 5e-3
    qat_lr: float = 1e-3
    weight_decay: float = 0.1
    label_smoothing: float = 0.0
    activity: float = 1.0
    lyapunov_weight: float = 0.0
    lyapunov_target: float = 0.0
    augment: float = 0.5
    shift: int = 0
    flip: bool = False
    before: Mapping[str, Any] = field(default_factory=dict)
    batch: int = 64
    seed: int = 0
    precision: Literal["float32", "bfloat16"] = "float32"
    bits: int = 4
    guard_bits: int = 1
    device: Literal["auto", "cpu", "cuda"] = "auto"

    def __post_init__(self) -> None:
        object.__setattr__(self, "widths", tuple(self.widths))  # a recipe has a list
        for name, low in _LEAST.items():
            if getattr(self, name) < low:
                raise TrainError(f"{name} is {getattr(self, name)}, must be at least {low}")
        for name, high in _MOST.items():
            if getattr(self, name) > high:
                raise TrainError(f"{name} is {getattr(self, name)}, must be at most {high}")
        for name in ("lr", "qat_lr", "threshold"):
            if not getattr(self, name) > 0:
                raise TrainError(f"{name} is {getattr(self, name)}, must be above 0")
        known = ("residual", "layers", *IMAGE_MODELS, "rsnn")
        if self.model not in known:
            raise TrainError(f"model is {self.model!r}, must be one of {', '.join(known)}")
        if self.lyapunov_weight and self.model not in CHAINS:
            raise TrainError(
                f"lyapunov_weight is {self.lyapunov_weight}, of model {self.model} it must be 0"
            )
        if not all(isinstance(width, int) and width > 0 for width in self.widths or (0,)):
            raise TrainError(f"widths is {list(self.widths)}, must be channels of 1 or more stages")
        only = "count" if self.model == "rsnn" else "sum_current"
        if self.model != "residual" and self.readout != only:
            raise TrainError(
                f"readout is {self.readout!r}, of model {self.model} it must be {only}"
            )
        if self.dropout and (self.model != "rsnn" or self.dropout >= 1):
            limits = "below 1" if self.model == "rsnn" else "0"
            raise TrainError(
                f"dropout is {self.dropout}, of model {self.model} it must be {limits}"
            )
        parallel = self.model == "layers" and self.neuron == "LeakyParallel"
        if self.truncate and (self.model not in ("rsnn", "layers") or parallel):
            what = "neuron LeakyParallel" if parallel else f"model {self.model}"
            raise TrainError(f"truncate is {self.truncate}, of {what} it must be 0")
        if self.model != "residual" and (self.zero_gamma or self.checkpoint):
            raise TrainError(
                f"zero_gamma is {self.zero_gamma} and checkpoint {self.checkpoint}, of model "
                f"{self.model} they must be false and 0"
            )
        if self.scaled_lr and (self.model != "residual" or self.block_type != "ms"):
            raise TrainError(
                f"scaled_lr is true, of model {self.model} and block_type {self.block_type} it "
                "must be false: it is for the branches of model residual and block_type ms"
            )
        if self.block_type not in ("ms", "sew", "plain"):
            raise TrainError(f"block_type is {self.block_type!r}, must be ms, sew or plain")
        if self.readout not in get_args(ReadoutKind):
            kinds = ", ".join(get_args(ReadoutKind))
            raise TrainError(f"readout is {self.readout!r}, must be one of {kinds}")
        if self.precision not in ("float32", "bfloat16"):
            raise TrainError(f"precision is {self.precision!r}, must be float32 or bfloat16")
        if self.device not in ("auto", "cpu", "cuda"):
            raise TrainError(f"device is {self.device!r}, must be auto, cpu or cuda")
        if self.neuron_options.get("multi_step", True) is not True:
            raise TrainError("neuron_options has multi_step, which must be true here")
        self.first()

    def first(self) -> TrainConfig | None:
        """The settings of the run before; None if there is none."""
        if not self.before:
            return None
        try:
            return replace(self, **{"before": {}, **self.before})
        except TypeError:
            known = {item.name for item in fields(self)}
            wrong = min(set(self.before) - known)
            raise TrainError(f"before has {wrong!r}, must have settings of training") from None
        except TrainError as error:
            raise TrainError(f"before: {error}") from None


def build_model(config: TrainConfig, data: Dataset) -> nn.Module:
    """The untrained module of ``config`` for ``data``, initialised from ``config.seed``."""
    torch.manual_seed(config.seed)
    if config.model in IMAGE_MODELS:
        return _image_model(config, data)
    if config.model == "layers":
        return LayeredSNN(
            data.inputs, data.classes, config.neuron, config.width, config.blocks,
            steps=config.steps, image=data.image and data.image[1:], norm=config.norm,
            options=config.neuron_options,
        )  # fmt: skip
    if config.model == "rsnn":
        return _recurrent(config, data)
    model = ResidualSNN(
        data.inputs, data.classes, config.width, config.blocks, config.block_type, op=config.op,
        beta=config.beta, threshold=config.threshold,
        neuron={"reset_mechanism": config.reset, "reset_delay": config.reset_delay},
        norm=config.norm, zero_gamma=config.zero_gamma, branch_power=config.branch_power,
        checkpoint=config.checkpoint,
    )  # fmt: skip
    if config.readout == "count":
        spiking = LIF(config.beta, config.threshold, reset_mechanism=config.reset)
        model.register_module("readout", nn.Sequential(spiking, SpikeCount()))
    elif config.readout != "sum_current":
        kind = LastMembrane if config.readout == "last_membrane" else MaxMembrane
        still = LIF(config.beta, config.threshold, reset_mechanism="none")
        model.register_module("readout", kind(still))
    return model


def _recurrent(config: TrainConfig, data: Dataset) -> nn.Module:
    hp = RSNNParameters(config.width, data.classes, config.beta, dropout_p=config.dropout)
    model = RSNNClassifier(hp, data.inputs)
    for linear in (model.fc1, model.fc2):
        # Of frames that are mostly black too few neurons would fire with torch's own weights.
        nn.init.normal_(linear.weight, std=2 / math.sqrt(linear.in_features))
    return model


def _image_model(config: TrainConfig, data: Dataset) -> nn.Module:
    if data.image is None:
        raise TrainError(f"model is {config.model}, but the samples of {data.name} are no images")
    if config.model in CHAINS:
        return _chain(config, data, data.image)
    neuron = {
        "beta": config.beta, "threshold": config.threshold, "reset_mechanism": config.reset,
        "reset_delay": config.reset_delay,
    }  # fmt: skip
    join = {"op": config.op} if config.model == "sew_resnet" else {}
    model = _RESNETS[config.model](
        data.image[0], data.classes, widths=config.widths, blocks=config.blocks,
        stem_stride=config.stem_stride, shortcut=config.shortcut, neuron=neuron, **join,
    )  # fmt: skip
    # The samples' own layout, pixel by pixel, is also the faster one.
    return model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]


def _chain(config: TrainConfig, data: Dataset, image: Shape3) -> nn.Module:
    """A network of LIF convolutions in the form that is traced; frames come encoded."""
    network = CHAINS[config.model](
        image[0], data.classes, config.widths, config.steps, config.beta, config.threshold,
        encoding="none", image_size=image[1:],
    )  # fmt: skip
    for module in network.modules():
        if isinstance(module, LIF):
            module.reset_mechanism, module.reset_delay = config.reset, config.reset_delay
    return network.deployable().to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]


def image_of(config: TrainConfig, data: Dataset) -> Shape3 | None:
    """The shape of the images that the module of ``config`` takes; None if it takes vectors."""
    return data.image if config.model in IMAGE_MODELS else None


def seen(inputs: Tensor, step: float, image: Shape3 | None) -> Tensor:
    """What a module sees of ``inputs`` ``[T, B, n]``, raw integers of the unit ``step``.

    Real numbers, as images ``[T, B, C, H, W]`` where it takes images. A frame that is shown in
    every step stays one frame in memory, as :mod:`reslif.sw.nn.conv` likes it.
    """
    if image is None:
        return inputs * step
    if inputs.stride(0) == 0:
        return to_image(inputs[0] * step, image).expand(len(inputs), -1, *image)
    return to_image(inputs * step, image)
