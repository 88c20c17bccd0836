"""A plain classifier of one kind of neuron: layers by name, for any of the library's neurons."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

from .adaptive import Adaptive
from .alpha import Alpha
from .batchnorm import BatchNormOverTime, BatchNormTT1d
from .errors import LayerError
from .integrators import IF, LI
from .lapicque import Lapicque
from .leaky import Leaky
from .leakyparallel import LeakyParallel
from .parametric import ParametricLIF
from .readout import SumCurrent
from .rleaky import RLeaky
from .rsynaptic import RSynaptic
from .sconv2dlstm import SConv2dLSTM
from .slstm import SLSTM
from .synaptic import Synaptic

BETA, ALPHA = 15 / 16, 3 / 4
"""Default leaks of membranes and of synaptic currents: shifts and one subtraction in hardware."""

_BEHIND_LINEAR: Mapping[str, tuple[Callable[..., nn.Module], Mapping[str, Any]]] = {
    "IF": (IF, {}),
    "Leaky": (Leaky, {"beta": BETA}),
    "Lapicque": (Lapicque, {"beta": BETA}),
    "ParametricLIF": (ParametricLIF, {"init_tau": 4.0}),
    "Synaptic": (Synaptic, {"alpha": ALPHA, "beta": BETA}),
    "Alpha": (Alpha, {"alpha": BETA, "beta": ALPHA}),
    "Adaptive": (Adaptive, {"beta": BETA, "adaptation_beta": BETA, "increment": 1 / 8}),
    "RLeaky": (RLeaky, {"beta": BETA}),
    "RSynaptic": (RSynaptic, {"alpha": ALPHA, "beta": BETA}),
}
"""Neurons that take a current each: their class, and numbers that it has no default for."""

NEURONS = (*_BEHIND_LINEAR, "LI", "LeakyParallel", "SLSTM", "SConv2dLSTM")
"""The names that :class:`LayeredSNN` knows."""


class LayeredSNN(nn.Module):
    """Layers of one kind of neuron: [T, B, inputs] → logits [B, classes].

    Each layer is linear, batch norm, neuron (``LeakyParallel``, ``SLSTM`` and ``SConv2dLSTM``
    bring their own weights); a linear head and the sum of its currents over time follow.
    With ``LI`` the layers are Leaky, and an LI integrates the head's currents; its membrane is
    summed.

    Args:
        inputs, classes: sizes of input and output.
        neuron: one of :data:`NEURONS`.
        width: neurons of a layer; of ``SConv2dLSTM`` channels.
        layers: how many.
        steps: T; only batch norm through time depends on it.
        image: height and width, which ``SConv2dLSTM`` and convolutional recurrence need.
        norm: ``"batch"`` over all steps, ``"bntt"`` for each step, or ``"none"``.
        options: further arguments of the neuron's class.

    Raises:
        LayerError: an unknown neuron or norm, options that the class refuses, no image.
    """

    def __init__(
        self,
        inputs: int,
        classes: int,
        neuron: str = "Leaky",
        width: int = 64,
        layers: int = 1,
        *,
        steps: int = 8,
        image: tuple[int, int] | None = None,
        norm: str = "batch",
        options: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        if neuron not in NEURONS:
            raise LayerError(f"neuron is {neuron!r}; it must be one of {', '.join(NEURONS)}")
        if norm not in ("batch", "bntt", "none"):
            raise LayerError(f"norm is {norm!r}; it must be batch, bntt or none")
        modules: list[nn.Module] = []
        size = inputs
        try:
            for _ in range(layers):
                own = dict(options or {})
                if neuron == "SConv2dLSTM":
                    added, size = _convolutional(size, width, image, own)
                elif neuron in ("LeakyParallel", "SLSTM"):
                    kind = LeakyParallel if neuron == "LeakyParallel" else SLSTM
                    if kind is SLSTM:
                        own = {"threshold": 0.2, "multi_step": True, **own}
                    added, size = [kind(size, width, **own)], width
                else:
                    hidden = "Leaky" if neuron == "LI" else neuron
                    added, size = _linear(size, width, hidden, norm, steps, image, own), width
                modules += added
        except TypeError as error:
            raise LayerError(f"neuron {neuron}: {error}") from None
        self.layers = nn.Sequential(*modules)
        self.head = nn.Linear(size, classes)
        self.integrator = LI(BETA, multi_step=True) if neuron == "LI" else nn.Identity()
        self.readout = SumCurrent()

    def forward(self, x: Tensor) -> Tensor:
        return self.readout(self.integrator(self.head(self.layers(x))))


def _linear(
    inputs: int,
    width: int,
    neuron: str,
    norm: str,
    steps: int,
    image: tuple[int, int] | None,
    options: dict[str, Any],
) -> list[nn.Module]:
    kind, defaults = _BEHIND_LINEAR[neuron]
    modules: list[nn.Module] = [nn.Linear(inputs, width, bias=norm == "none")]
    if norm != "none":
        modules.append(BatchNormOverTime(width) if norm == "batch" else BatchNormTT1d(width, steps))
    channels = options.get("conv2d_channels")
    recurrent = neuron in ("RLeaky", "RSynaptic")
    if recurrent and channels is None and options.get("all_to_all", True):
        options = {"linear_features": width, **options}
    layer = kind(**{**defaults, "multi_step": True, **options})
    if not recurrent or channels is None:
        return [*modules, layer]
    if image is None or channels * image[0] * image[1] != width:
        raise LayerError(
            f"neuron {neuron}: width is {width}, with convolution it must be channels times the "
            f"image's pixels{'' if image else ', and the data are no images'}"
        )
    return [*modules, nn.Unflatten(2, (channels, *image)), layer, nn.Flatten(2)]


def _convolutional(
    inputs: int, channels: int, image: tuple[int, int] | None, options: dict[str, Any]
) -> tuple[list[nn.Module], int]:
    """An SConv2dLSTM between [T, B, C·H·W] and the same, and how many values it sends."""
    if image is None:
        raise LayerError("neuron SConv2dLSTM: the data are no images, it must have images")
    height, width = image
    options = {"kernel_size": 3, "threshold": 0.2, "multi_step": True, **options}
    module = SConv2dLSTM(inputs // (height * width), channels, **options)
    pool = options.get("max_pool", 0) or options.get("avg_pool", 0) or 1
    shape = (inputs // (height * width), height, width)
    modules = [nn.Unflatten(2, shape), module, nn.Flatten(2)]
    return modules, channels * (height // pool) * (width // pool)
