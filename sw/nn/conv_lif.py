"""The parts of the convolutional LIF networks: their block, their neuron, their linear layer."""

from __future__ import annotations

from torch import Tensor, nn

from .batchnorm import BatchNormOverTime2d
from .conv import ConvOverTime
from .errors import LayerError
from .lif import LIF
from .lif_function import run_lif
from .surrogate import FastSigmoid


class ConvLIFBlock(nn.Module):
    """Convolution without bias → batch norm → LIF, fast sigmoid of slope 25.

    The LIF is snnTorch's: a delayed reset by subtraction, detached. Called, the block takes one
    step; ``over_time`` runs a whole [T, B, C, H, W], with batch norm over all its steps.

    Args:
        in_channels, out_channels, kernel_size, stride, padding: of the convolution.
        beta, threshold: β and θ.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        stride: int = 1,
        padding: int = 1,
        beta: float = 0.9,
        threshold: float = 1.0,
    ) -> None:
        super().__init__()
        self.conv = ConvOverTime(
            in_channels, out_channels, kernel_size, stride, padding, bias=False
        )
        nn.init.kaiming_normal_(self.conv.weight, mode="fan_out", nonlinearity="relu")
        self.norm = BatchNormOverTime2d(out_channels)
        self.lif = spiking_layer(beta, threshold)

    def forward(self, x: Tensor, mem: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """One step: (spikes, membrane), both [B, out, H', W'], of x [B, in, H, W].

        Args:
            mem: the membrane that the step before returned; None is rest.

        Raises:
            LayerError: a membrane of another shape than this step's.
        """
        current = self.norm(self.conv(x.unsqueeze(0)))
        if mem is not None and mem.shape != current.shape[1:]:
            raise LayerError(
                f"ConvLIFBlock: mem has shape {list(mem.shape)}; it must be that of this step's "
                f"membrane, {list(current.shape[1:])}, or None at the start"
            )
        beta, theta = self.lif.effective_beta(), self.lif.effective_threshold()
        spikes, membrane = run_lif(
            current, beta.to(x.dtype), theta.to(x.dtype), self.lif.rule(), mem
        )
        return spikes[0], membrane[0]

    def over_time(self, x: Tensor) -> Tensor:
        """Spikes [T, B, out, H', W'] of x [T, B, in, H, W], from rest."""
        return self.lif(self.norm(self.conv(x)))

    def layers(self) -> list[nn.Module]:
        """The block's layers on [T, B, ...], in order."""
        return [self.conv, self.norm, self.lif]


def spiking_layer(beta: float, threshold: float) -> LIF:
    """The networks' LIF: snnTorch's convention, with its fast sigmoid of slope 25."""
    return LIF(beta, threshold, surrogate=FastSigmoid(25.0), normalise_surrogate=False)


class _LazyLinear(nn.LazyLinear):
    """A linear layer by the first input it sees, Xavier-initialised then."""

    def reset_parameters(self) -> None:
        if not isinstance(self.weight, nn.UninitializedParameter) and self.in_features:
            _xavier(self)


def xavier_linear(features: int | None, out: int) -> nn.Linear:
    """A linear layer with Xavier-uniform weights; of None ``features`` by its first input."""
    return _LazyLinear(out) if features is None else _xavier(nn.Linear(features, out))


def _xavier(layer: nn.Linear) -> nn.Linear:
    nn.init.xavier_uniform_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
