"""Convolutional residual networks: [T, B, channels, height, width] → logits [B, classes].

Stem (convolution, batch norm; then LIF unless the blocks take currents) → stages of residual
blocks → global average pool → linear head → sum of currents over time. Every stage but the first
starts with a block of stride 2. They run at any image size.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from torch import Tensor, nn

from .conv import GlobalAvgPool
from .conv_blocks import MSBasicBlock, PlainBasicBlock, SEWBasicBlock, conv_norm
from .errors import LayerError
from .lif import LIF
from .readout import SumCurrent

IMAGENET_BLOCKS: Mapping[int, tuple[int, ...]] = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    104: (3, 8, 32, 8),
}
"""Blocks per stage of the layouts for large images, by depth (Hu et al.)."""

_NAMES = {"cifar": (16, 32, 64), "imagenet": (64, 128, 256, 512)}


class _ConvResNet(nn.Module):
    """What the three networks share; see :class:`MSResNet` for the arguments."""

    block: type[MSBasicBlock] | type[SEWBasicBlock] | type[PlainBasicBlock]

    def __init__(
        self,
        in_channels: int = 3,
        classes: int = 10,
        depth: int | None = None,
        *,
        layout: str = "cifar",
        widths: Sequence[int] | None = None,
        blocks: int | Sequence[int] | None = None,
        stem_stride: int | None = None,
        shortcut: str = "conv",
        alpha: float = 1.0,
        branch_gain: float | None = None,
        neuron: Mapping[str, Any] | None = None,
        **block_options: Any,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        if layout not in _NAMES:
            raise LayerError(f"{name}: layout is {layout!r}; it must be cifar or imagenet")
        widths = tuple(_NAMES[layout] if widths is None else widths)
        counts = _counts(name, layout, depth, widths, blocks)
        lif = LIF(**(neuron or {}))
        gain = alpha * float(lif.threshold.mean())
        spikes = self.block is not MSBasicBlock
        if branch_gain is None:
            # Currents of n branches add up behind a membrane shortcut: 1/√n bounds their sum. The
            # others' last batch norms feed neurons and must reach the threshold at any depth.
            branch_gain = gain if spikes else gain / math.sqrt(sum(counts))
        large = layout == "imagenet"
        stride = (2 if large else 1) if stem_stride is None else stem_stride
        self.stem, self.stem_norm = conv_norm(
            in_channels, widths[0], 7 if large else 3, stride, gain
        )
        self.stem_lif = lif if spikes else nn.Identity()
        make = partial(
            self.block, shortcut=shortcut, gain=gain, branch_gain=branch_gain, neuron=neuron,
            **block_options,
        )  # fmt: skip
        stages, channels = [], widths[0]
        for index, (width, count) in enumerate(zip(widths, counts, strict=True)):
            first = make(channels, width, 2 if index > 0 or large else 1)
            stages.append(nn.Sequential(first, *(make(width, width) for _ in range(count - 1))))
            channels = width
        self.stages = nn.Sequential(*stages)
        self.lif = nn.Identity() if spikes else lif
        self.pool = GlobalAvgPool()
        self.head = nn.Linear(channels, classes)
        self.readout = SumCurrent()

    @property
    def depth(self) -> int:
        """Weight layers: stem, two a block, and the head (shortcuts are not counted)."""
        return 2 + 2 * sum(len(stage) for stage in self.stages)  # pyright: ignore[reportArgumentType]

    def forward(self, x: Tensor) -> Tensor:
        x = self.stages(self.stem_lif(self.stem_norm(self.stem(x))))
        return self.readout(self.head(self.pool(self.lif(x))))


class MSResNet(_ConvResNet):
    """Residual network of :class:`MSBasicBlock`: multi-bit currents pass from block to block.

    Args:
        in_channels, classes: channels of the images, size of the output.
        depth: weight layers, by default 20. Of ``layout="cifar"`` 2·n·stages + 2, that is 6n + 2
            for three stages (20, 32, 44, 56, 110, 482); of ``"imagenet"`` 18, 34 or 104.
        layout: ``"cifar"`` has a 3×3 stem and stages of ``widths`` (16, 32, 64);
            ``"imagenet"`` a 7×7 stem of stride 2, widths (64, 128, 256, 512), and stride 2 in the
            first stage too (the authors' 104 has three 3×3 convolutions for a stem).
        widths: channels of each stage, any number of stages.
        blocks: blocks in each stage, one number for all or one for each, in place of ``depth``.
        stem_stride: stride of the stem.
        shortcut: kind of the shortcuts that change size, ``"conv"`` or ``"pool"``.
        alpha: γ of batch norm starts at α·θ (threshold-dependent batch norm).
        branch_gain: initial γ of each branch's last batch norm; default α·θ/√blocks (of
            :class:`SEWResNet` and :class:`PlainResNet` α·θ).
        neuron: options of every :class:`reslif.sw.nn.LIF`.

    Raises:
        LayerError: a depth that the layout does not have, or a bad option.
    """

    block = MSBasicBlock


class SEWResNet(_ConvResNet):
    """Residual network of :class:`SEWBasicBlock`: spikes, graded where ``op`` is ``"add"``.

    Args:
        op: join of every block, ``"add"``, ``"and"``, ``"iand"`` or ``"or"``.
        options: as of :class:`MSResNet`.
    """

    block = SEWBasicBlock

    def __init__(
        self,
        in_channels: int = 3,
        classes: int = 10,
        depth: int | None = None,
        *,
        op: str = "add",
        **options: Any,
    ) -> None:
        super().__init__(in_channels, classes, depth, op=op, **options)


class PlainResNet(_ConvResNet):
    """Residual network of :class:`PlainBasicBlock`, the baseline; options of :class:`MSResNet`."""

    block = PlainBasicBlock


def _counts(
    name: str,
    layout: str,
    depth: int | None,
    widths: tuple[int, ...],
    blocks: int | Sequence[int] | None,
) -> tuple[int, ...]:
    """Blocks in each stage."""
    stages = len(widths)
    if not widths or min(widths) < 1:
        raise LayerError(f"{name}: widths are {widths}; there must be one or more, each above 0")
    if blocks is not None:
        counts = (blocks,) * stages if isinstance(blocks, int) else tuple(blocks)
        if depth is not None:
            raise LayerError(f"{name}: depth is {depth} and blocks {blocks}; give one of them")
        if len(counts) != stages or min(counts) < 1:
            raise LayerError(
                f"{name}: blocks are {counts}; there must be {stages}, one for each of widths "
                f"{widths}, each at least 1"
            )
        return counts
    if layout == "imagenet":
        depth = 18 if depth is None else depth
        if depth not in IMAGENET_BLOCKS or len(IMAGENET_BLOCKS[depth]) != stages:
            raise LayerError(
                f"{name}: depth is {depth} with {stages} stages; layout imagenet has 18, 34 and "
                "104 with 4 stages (or give blocks)"
            )
        return IMAGENET_BLOCKS[depth]
    each, rest = divmod((6 * stages + 2 if depth is None else depth) - 2, 2 * stages)
    if rest or each < 1:
        raise LayerError(
            f"{name}: depth is {depth}; with {stages} stages it must be {2 * stages}n + 2"
        )
    return (each,) * stages
