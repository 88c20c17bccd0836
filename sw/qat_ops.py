"""Joins, readouts and rounding for quantised training: the golden model's, differentiable."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .network import Join, Readout


class _Round(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, down: bool = False) -> Tensor:
        del ctx
        return torch.floor(x) if down else torch.round(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        del ctx
        return grads[0], None


def round_through(x: Tensor, down: bool = False) -> Tensor:
    """``x`` rounded half to even, or ``down``; the gradient passes straight through."""
    return _Round.apply(x, down)  # type: ignore[no-any-return]


def join_through(
    node: Join, branch: Tensor, at_branch: int, shortcut: Tensor, at_shortcut: int
) -> Tensor:
    """:func:`reslif.sw.golden.join_step`; operands come with their fractions."""
    if node.op == "add":
        frac = max(at_branch, at_shortcut)
        value = branch * 2.0 ** (frac - at_branch) + shortcut * 2.0 ** (frac - at_shortcut)
    elif node.op == "and":
        frac = at_branch + at_shortcut
        value = branch * shortcut
    elif node.op == "iand":
        frac = at_shortcut
        # 1 − s on spikes; a graded branch, too, blocks as a whole.
        value = shortcut * (1 - branch.abs().clamp(max=1))
    else:
        frac = 0
        value = (branch + shortcut).clamp(max=1)
    if node.format is None:
        return value
    return round_through(value * 2.0 ** (node.format.frac - frac), down=True).clamp(
        node.format.min, node.format.max
    )


def score_over_time(node: Readout, source: Tensor) -> Tensor:
    """:func:`reslif.sw.golden.readout_step` for all steps: scores after each, ``[T, B, n]``."""
    if node.kind == "last_membrane":
        return source
    if node.kind == "max_membrane":
        return source.cummax(0).values
    return source.cumsum(0)
