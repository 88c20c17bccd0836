"""Convolutional LIF networks whose sensitivity can be measured and trained.

Images [B, C, H, W] of any size become T timesteps; stages of convolution, batch norm and LIF with
an average pool after each; logits are a linear layer of the pooled spikes, summed over time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from .conv import AvgPoolOverTime
from .conv_lif import ConvLIFBlock, spiking_layer, xavier_linear
from .encoders import DirectEncoder, RateEncoder
from .errors import LayerError
from .lif import LIF
from .lyapunov import Exponent, benettin
from .lyapunov_gain import Gain, finite_time_gain
from .readout import SumCurrent

ENCODINGS = ("rate", "direct", "none")


@dataclass(frozen=True)
class Recordings:
    """What a call with ``compute_lyapunov`` saw.

    Attributes:
        spikes: of every LIF layer, [T, B, ...], detached, of the call itself.
        exponent: the whole measurement, with ε and the part of spikes that flipped. It is made in
            evaluation mode.
    """

    spikes: tuple[Tensor, ...]
    exponent: Exponent

    @property
    def spike_rates(self) -> tuple[float, ...]:
        """Mean spikes per neuron and timestep of every layer."""
        return tuple(float(layer.mean()) for layer in self.spikes)


class _LyapunovSNN(nn.Module):
    """What both networks share; see :class:`ConvLyapunovSNN`."""

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        channels: Sequence[int],
        T: int,
        beta: float,
        threshold: float,
        encoding: str,
        encoding_gain: float,
        dropout: float,
        image_size: int | tuple[int, int] | None,
        blocks_per_stage: int,
        hidden: int | None,
    ) -> None:
        super().__init__()
        self.in_channels, self.T, self.encoding = in_channels, T, encoding
        self.blocks_per_stage = blocks_per_stage
        sizes = {"in_channels": in_channels, "num_classes": num_classes, "T": T}
        for name, size in sizes.items():
            if size < 1:
                raise self._error(f"{name} is {size}; it must be at least 1")
        if not channels or min(channels) < 1:
            raise self._error(f"channels is {list(channels)}; it must be one or more, each above 0")
        if encoding not in ENCODINGS:
            raise self._error(f"encoding is {encoding!r}; it must be one of {', '.join(ENCODINGS)}")
        if not 0 <= dropout < 1:
            raise self._error(f"dropout is {dropout}; it must be at least 0 and below 1")
        self.encoder = nn.Identity()
        if encoding != "none":
            direct = encoding == "direct"
            self.encoder = DirectEncoder(T) if direct else RateEncoder(T, encoding_gain)
        widths = [in_channels, *(c for c in channels for _ in range(blocks_per_stage))]
        self.blocks = nn.ModuleList(
            ConvLIFBlock(a, b, beta=beta, threshold=threshold) for a, b in pairwise(widths)
        )
        self.pool = AvgPoolOverTime(2)
        self.flatten = nn.Flatten(2)
        self.image_size: tuple[int, int] | None = None
        features = None
        if image_size is not None:
            size = (image_size, image_size) if isinstance(image_size, int) else image_size
            height, width = self._pooled(*size)
            self.image_size, features = size, channels[-1] * height * width
        self.hidden = nn.ModuleList()
        if hidden is not None:
            self.hidden.extend([xavier_linear(features, hidden), spiking_layer(beta, threshold)])
            features = hidden
        self.dropout = nn.Dropout(dropout)
        self.fc = xavier_linear(features, num_classes)

    def spiking(self) -> nn.Sequential:
        """The layers from encoded images [T, B, C, H, W] to pooled spikes [T, B, features].

        The very modules of this network in a chain, for :func:`finite_time_gain`,
        :func:`benettin` and the tracer.
        """
        layers: list[nn.Module] = []
        for index, block in enumerate(self.blocks, 1):
            assert isinstance(block, ConvLIFBlock)
            layers += block.layers()
            if index % self.blocks_per_stage == 0:
                layers.append(self.pool)
        return nn.Sequential(*layers, self.flatten, *self.hidden)

    def encode(self, x: Tensor) -> Tensor:
        """[B, C, H, W], or pre-encoded [B, T, C, H, W] of any T, as [T, B, C, H, W].

        Raises:
            LayerError: another shape, other channels, an image too small for the pools or of
                another size than the linear layer was made for; a static image where ``encoding``
                is ``"none"``.
        """
        if x.dim() not in (4, 5) or x.shape[-3] != self.in_channels:
            raise self._error(
                f"the input has shape {list(x.shape)}; it must be [B, {self.in_channels}, height, "
                f"width] or [B, T, {self.in_channels}, height, width]"
            )
        size = (x.shape[-2], x.shape[-1])
        self._pooled(*size)
        if self.image_size is not None and size != self.image_size:
            raise self._error(
                f"the images are {size[0]}×{size[1]}; this network's linear layer was made for "
                f"{self.image_size[0]}×{self.image_size[1]}"
            )
        self.image_size = size
        if x.dim() == 5:
            return x.transpose(0, 1)
        if self.encoding == "none":
            raise self._error("encoding is 'none'; the input must be [B, T, channels, ...]")
        return self.encoder(x)

    def logits(self, pooled: Tensor) -> Tensor:
        """[B, classes] of the last pooled spikes [T, B, features]."""
        return self.fc(self.dropout(pooled.sum(0)))

    def forward(
        self, x: Tensor, compute_lyapunov: bool = False, lyap_eps: float = 1e-4
    ) -> tuple[Tensor, Tensor | None, Recordings | None]:
        """(logits [B, classes], λ, recordings); the last two None unless ``compute_lyapunov``.

        Args:
            x: images, see :meth:`encode`.
            compute_lyapunov: also measure the largest Lyapunov exponent (:func:`benettin`) under
                the same encoded input: a diagnostic, near ln β in any feed-forward network, and
                without gradient. To train with, see :meth:`gain`. It needs T ≥ 2.
            lyap_eps: size of the perturbation; spikes flip, and λ rises, with it.
        """
        encoded = self.encode(x)
        if not compute_lyapunov:
            return self.logits(self.spiking()(encoded)), None, None
        spikes: list[Tensor] = []
        signal = encoded
        for layer in self.spiking():
            signal = layer(signal)
            if isinstance(layer, LIF):
                spikes.append(signal.detach())
        exponent = benettin(self.spiking(), encoded, eps=lyap_eps)
        value = torch.tensor(exponent.value, dtype=torch.float64, device=x.device)
        return self.logits(signal), value, Recordings(tuple(spikes), exponent)

    def gain(self, x: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, Gain]:
        """(logits, finite-time gain) of one pass: the gain is differentiable, to be regularised.

        Args:
            x: images, see :meth:`encode`.
            generator: of the perturbation's direction; None is torch's global one.
        """
        found = finite_time_gain(self.spiking(), self.encode(x), generator=generator)
        return self.logits(found.output), found

    def deployable(self) -> nn.Sequential:
        """Encoded images [T, B, C, H, W] → this network's logits in evaluation, T being its own.

        Leaves only, ending in a sum of currents, for the quantiser: the bias of the last layer
        counts in every step there, and is divided by T.
        """
        if isinstance(self.fc.weight, nn.UninitializedParameter):
            raise self._error("it has not seen an image yet; give image_size, or call it once")
        head = nn.Linear(self.fc.in_features, self.fc.out_features).to(self.fc.weight)
        with torch.no_grad():
            head.weight.copy_(self.fc.weight)
            head.bias.copy_(self.fc.bias / self.T)
        return nn.Sequential(*self.spiking(), head, SumCurrent()).train(self.training)

    def _pooled(self, height: int, width: int) -> tuple[int, int]:
        stages = len(self.blocks) // self.blocks_per_stage
        if min(height, width) < 2**stages:
            raise self._error(
                f"the images are {height}×{width}; {stages} pools of 2 leave nothing, height and "
                f"width must be at least {2**stages}"
            )
        return height >> stages, width >> stages

    def _error(self, problem: str) -> LayerError:
        return LayerError(f"{type(self).__name__}: {problem}")


class ConvLyapunovSNN(_LyapunovSNN):
    """Stages of :class:`ConvLIFBlock` and average pool 2; a linear layer of the summed spikes.

    Args:
        in_channels: of the images; ``num_classes`` logits.
        channels: of each stage, as many stages as there are entries.
        T: timesteps of the encoder; pre-encoded input brings its own.
        beta, threshold: of every LIF.
        encoding: ``"rate"`` (Bernoulli), ``"direct"`` or ``"none"`` (pre-encoded input only).
        encoding_gain: factor on the intensities of a rate code.
        dropout: on the summed spikes.
        image_size: height and width, to build the linear layer now. None builds it at the first
            call (a lazy layer: random numbers are drawn then, and its size is unknown before).
    """

    def __init__(
        self,
        in_channels: int = 3,
        num_classes: int = 10,
        channels: Sequence[int] = (64, 128, 256),
        T: int = 25,
        beta: float = 0.9,
        threshold: float = 1.0,
        encoding: str = "rate",
        encoding_gain: float = 1.0,
        dropout: float = 0.2,
        *,
        image_size: int | tuple[int, int] | None = None,
    ) -> None:
        super().__init__(
            in_channels, num_classes, channels, T, beta, threshold, encoding, encoding_gain,
            dropout, image_size, blocks_per_stage=1, hidden=None,
        )  # fmt: skip


class VGGLyapunovSNN(_LyapunovSNN):
    """As :class:`ConvLyapunovSNN` with two blocks a stage and 512 LIF before the linear layer.

    Args:
        hidden: number of those LIF.
        others: as there.
    """

    def __init__(
        self,
        in_channels: int = 3,
        num_classes: int = 10,
        channels: Sequence[int] = (64, 128, 256),
        T: int = 25,
        beta: float = 0.9,
        threshold: float = 1.0,
        encoding: str = "rate",
        encoding_gain: float = 1.0,
        dropout: float = 0.3,
        *,
        image_size: int | tuple[int, int] | None = None,
        hidden: int = 512,
    ) -> None:
        super().__init__(
            in_channels, num_classes, channels, T, beta, threshold, encoding, encoding_gain,
            dropout, image_size, blocks_per_stage=2, hidden=hidden,
        )  # fmt: skip


_NETWORKS = {"simple": ConvLyapunovSNN, "vgg": VGGLyapunovSNN}


def create_conv_snn(model_type: str = "simple", **kwargs: Any) -> ConvLyapunovSNN | VGGLyapunovSNN:
    """``"simple"`` :class:`ConvLyapunovSNN` or ``"vgg"`` :class:`VGGLyapunovSNN`, with ``kwargs``.

    Raises:
        LayerError: (a ValueError) another type.
    """
    if model_type not in _NETWORKS:
        raise LayerError(
            f"create_conv_snn: the type is {model_type!r}; it must be one of {', '.join(_NETWORKS)}"
        )
    return _NETWORKS[model_type](**kwargs)
