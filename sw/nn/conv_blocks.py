"""Residual blocks of convolutional spiking layers, on [T, B, C, H, W].

Each has two weight layers, convolution then batch norm over time. References: membrane shortcut
(MS), Hu et al., "Advancing spiking neural networks towards deep residual learning", TNNLS 2024;
spike-element-wise (SEW), Fang et al., "Deep residual learning in spiking neural networks",
NeurIPS 2021.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from .batchnorm import BatchNormOverTime2d
from .blocks import sew_join
from .conv import AvgPoolOverTime, ConvOverTime
from .errors import LayerError
from .lif import LIF


class MSBasicBlock(nn.Module):
    """Membrane-shortcut block: ``BN(Conv(LIF(BN(Conv(LIF(x)))))) + shortcut(x)``.

    Currents in, currents out: no neuron sits on the shortcut and none follows the sum.

    Args:
        in_channels, out_channels: C of input and output.
        stride: of the first convolution, and of the shortcut.
        shortcut: where channels or size change, ``"conv"`` is Conv1×1(stride) → BN, and ``"pool"``
            AvgPool(stride) → Conv1×1 → BN, which needs sizes that stride divides. Else identity.
        gain: initial γ of the batch norms; ``branch_gain`` that of the branch's last one.
        neuron: options of both :class:`reslif.sw.nn.LIF` layers.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int = 1,
        *,
        shortcut: str = "conv",
        gain: float = 1.0,
        branch_gain: float = 1.0,
        neuron: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.lif1 = LIF(**(neuron or {}))
        self.conv1, self.norm1 = conv_norm(in_channels, out_channels, 3, stride, gain)
        self.lif2 = LIF(**(neuron or {}))
        self.conv2, self.norm2 = conv_norm(out_channels, out_channels, 3, 1, branch_gain)
        self.shortcut = _shortcut(in_channels, out_channels, stride, shortcut, gain)

    def forward(self, x: Tensor) -> Tensor:
        s = self.lif2(self.norm1(self.conv1(self.lif1(x))))
        return self.norm2(self.conv2(s)) + self.shortcut(x)


class SEWBasicBlock(nn.Module):
    """Spike-element-wise block: ``join(LIF(BN(Conv(LIF(BN(Conv(x)))))), x)``, spikes to spikes.

    A shortcut that changes channels or size is Conv1×1(stride) → BN → LIF (with ``"pool"``
    AvgPool(stride) → Conv1×1 → BN → LIF).

    Args:
        op: join of branch s and shortcut x: ``"add"`` ``s + x`` (graded spikes, growing by up to
            1 a block), ``"and"`` ``s·x``, ``"iand"`` ``x·(1 − s)``, ``"or"`` ``min(s + x, 1)``.
            After and and iand fewer spikes are left with every block: in deep networks start
            iand's branches silent, with ``branch_gain=0``.
        in_channels, out_channels, stride, shortcut, gain, branch_gain, neuron: as for
            :class:`MSBasicBlock`.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int = 1,
        *,
        op: str = "add",
        shortcut: str = "conv",
        gain: float = 1.0,
        branch_gain: float = 1.0,
        neuron: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.conv1, self.norm1 = conv_norm(in_channels, out_channels, 3, stride, gain)
        self.lif1 = LIF(**(neuron or {}))
        self.conv2, self.norm2 = conv_norm(out_channels, out_channels, 3, 1, branch_gain)
        self.lif2 = LIF(**(neuron or {}))
        self.shortcut = _shortcut(in_channels, out_channels, stride, shortcut, gain)
        if not isinstance(self.shortcut, nn.Identity):
            self.shortcut.append(LIF(**(neuron or {})))
        self.join: nn.Module | None = sew_join(op, "SEWBasicBlock")

    def forward(self, x: Tensor) -> Tensor:
        s = self.lif2(self.norm2(self.conv2(self.lif1(self.norm1(self.conv1(x))))))
        x = self.shortcut(x)
        return s + x if self.join is None else self.join(s, x)


class PlainBasicBlock(nn.Module):
    """Plain spiking block ``LIF(BN(Conv(LIF(BN(Conv(x))))) + shortcut(x))``, spikes to spikes.

    The baseline that degrades with depth. Arguments as for :class:`MSBasicBlock`.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int = 1,
        *,
        shortcut: str = "conv",
        gain: float = 1.0,
        branch_gain: float = 1.0,
        neuron: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.conv1, self.norm1 = conv_norm(in_channels, out_channels, 3, stride, gain)
        self.lif1 = LIF(**(neuron or {}))
        self.conv2, self.norm2 = conv_norm(out_channels, out_channels, 3, 1, branch_gain)
        self.shortcut = _shortcut(in_channels, out_channels, stride, shortcut, gain)
        self.lif2 = LIF(**(neuron or {}))

    def forward(self, x: Tensor) -> Tensor:
        s = self.lif1(self.norm1(self.conv1(x)))
        return self.lif2(self.norm2(self.conv2(s)) + self.shortcut(x))


def conv_norm(
    in_channels: int, out_channels: int, kernel: int, stride: int, gain: float
) -> tuple[ConvOverTime, BatchNormOverTime2d]:
    """A convolution without bias, padded by half its kernel, and its batch norm."""
    conv = ConvOverTime(
        in_channels, out_channels, kernel, stride=stride, padding=kernel // 2, bias=False
    )
    return conv, BatchNormOverTime2d(out_channels, gain)


def _shortcut(
    in_channels: int, out_channels: int, stride: int, kind: str, gain: float
) -> nn.Identity | nn.Sequential:
    if kind not in ("conv", "pool"):
        raise LayerError(f"shortcut is {kind!r}; it must be conv or pool")
    if stride == 1 and in_channels == out_channels:
        return nn.Identity()
    pooled = kind == "pool" and stride > 1
    conv, norm = conv_norm(in_channels, out_channels, 1, 1 if pooled else stride, gain)
    pool = [AvgPoolOverTime(stride, whole=True)] if pooled else []
    return nn.Sequential(*pool, conv, norm)
