"""Joins, readouts and the operations of neuron steps for quantised training: the golden model's,
differentiable.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..formats import Format
from ..network import Join, Readout
from ..neurons.table import Tanh
from ..nn.surrogate import Surrogate


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


@dataclass(frozen=True)
class ThroughOps:
    """A neuron step's operations on integers held in floating point, exactly.

    Rounding is straight-through, nothing passes where a value is clipped, a table's slope is that
    of the function it holds, and the spike's is the surrogate's, at ``(v - level) / unit``.
    """

    surrogate: Surrogate

    def floor(self, value: Tensor, shift: int) -> Tensor:
        return round_through(value * 2.0**-shift, down=True)

    def align(self, value: Tensor, shift: int) -> Tensor:
        return value * 2.0**shift

    def saturate(self, value: Tensor, form: Format) -> Tensor:
        return value.clamp(form.min, form.max)

    def rectify(self, value: Tensor) -> Tensor:
        return value.clamp(min=0)

    def fire(self, value: Tensor, level: Tensor, unit: Tensor, strict: bool) -> Tensor:
        return self.surrogate((value - level) / unit, strict)

    def where(self, condition: Tensor, yes: Any, no: Any) -> Tensor:
        return torch.where(condition > 0, yes, no)

    def detach(self, value: Tensor) -> Tensor:
        return value.detach()

    def tanh(self, value: Tensor, frac: int, table: Tanh) -> Tensor:
        return _Tanh.apply(value, frac, table)  # type: ignore[no-any-return]

    def sigmoid(self, value: Tensor, frac: int, table: Tanh) -> Tensor:
        return self.tanh(value, frac + 1, table) + 2.0**table.frac


class _Tanh(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor, frac: int, table: Tanh) -> Tensor:
        drop = frac - table.step
        # The nearest entry, ties up: exact, as the argument holds integers.
        index = torch.floor(value.abs() * 2.0**-drop + 0.5).clamp(max=len(table.entries) - 1)
        # A copy: what the network holds is read-only.
        entries = torch.tensor(table.entries, dtype=value.dtype, device=value.device)
        result = torch.sign(value) * entries[index.long()]
        ctx.save_for_backward(result)
        ctx.frac, ctx.table = frac, table
        return result

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        (result,) = ctx.saved_tensors
        unit = 2.0**-ctx.table.frac
        slope = (1 - (result * unit) ** 2) * 2.0 ** (ctx.table.frac - ctx.frac)
        return grads[0] * slope, None, None


def aligned(value: Tensor, shift: int) -> Tensor:
    """``value · 2^shift``."""
    return value * 2.0**shift if shift else value


def join_through(
    node: Join, branch: Tensor, at_branch: int, shortcut: Tensor, at_shortcut: int
) -> Tensor:
    """:func:`reslif.sw.golden.join_step`; operands come with their fractions."""
    if node.op == "add":
        frac = max(at_branch, at_shortcut)
        value = aligned(branch, frac - at_branch) + aligned(shortcut, frac - at_shortcut)
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
