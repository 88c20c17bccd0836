"""The modules and operations that a float graph has a counterpart of, by kind."""

from __future__ import annotations

import operator

import torch
from torch import nn

from ..graph import FloatConv2d, FloatDense
from ..network import JoinOp, ReadoutKind
from ..nn import (
    BatchNormOverTime,
    BatchNormOverTime2d,
    BatchNormTT1d,
    BatchNormTT2d,
    ConvOverTime,
    DirectEncoder,
    LastMembrane,
    MaxMembrane,
    MeanNormOverTime,
    SpikeAnd,
    SpikeCount,
    SpikeIAnd,
    SpikeOr,
    SpikeRate,
    SumCurrent,
)
from .images import POOLS
from .layers import NEURONS

JOINS: dict[type[nn.Module], JoinOp] = {SpikeAnd: "and", SpikeIAnd: "iand", SpikeOr: "or"}
READOUTS: dict[type[nn.Module], ReadoutKind] = {
    SpikeCount: "count",
    SpikeRate: "count",
    SumCurrent: "sum_current",
    LastMembrane: "last_membrane",
    MaxMembrane: "max_membrane",
}
NORMS = (BatchNormTT1d, BatchNormTT2d)
RESHAPING = {nn.Flatten: "start_dim", nn.Unflatten: "dim"}
"""Where each begins."""
TRANSPARENT = (nn.Identity, nn.Dropout, *RESHAPING)
FOLDED: dict[type[nn.Module], tuple[type, str]] = {
    BatchNormOverTime: (FloatDense, "a Linear"),
    MeanNormOverTime: (FloatDense, "a Linear"),
    BatchNormOverTime2d: (FloatConv2d, "a ConvOverTime"),
}
"""Batch norms that fold into the synapse that they follow."""
LEAVES = (
    *NEURONS, ConvOverTime, *POOLS, *FOLDED, *NORMS, DirectEncoder, *JOINS, *READOUTS,
)  # fmt: skip
"""Modules that are one operation each, beside PyTorch's own."""
ADDS = (operator.add, operator.iadd, torch.add)
MULTIPLIES = (operator.mul, operator.imul, torch.mul)
REDUCTIONS = ("sum", "mean", "amax", torch.sum, torch.mean, torch.amax)
FLATTENS = ("flatten", torch.flatten)
