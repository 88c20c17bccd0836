"""A leaky sum over time, ``y[t] = a·y[t−1] + x[t]``, as one autograd function.

It is a synapse's current, and the whole of a leaky integrator: nothing in it fires or resets, so
what feeds on it may be a second function (see :class:`reslif.sw.nn.Synaptic`).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def run_filter(x: Tensor, decay: Tensor, initial: Tensor) -> Tensor:
    """y [T, B, ...] of the input x [T, B, ...].

    Args:
        x: the input.
        decay: a, scalar or broadcastable to ``x.shape[2:]``.
        initial: y before the first step, [B, ...].
    """
    return _FilterOverTime.apply(x, decay, initial)  # type: ignore[no-any-return]


class _FilterOverTime(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, decay: Tensor, initial: Tensor) -> Tensor:
        y = torch.empty_like(x, memory_format=torch.contiguous_format)
        previous = initial
        for t in range(len(y)):
            # Not fused, so that single steps give the same bits.
            previous = torch.mul(previous, decay, out=y[t]).add_(x[t])
        ctx.save_for_backward(y, decay, initial)
        return y

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *grad_outputs: Tensor
    ) -> tuple[Tensor, Tensor | None, Tensor]:
        y, decay, initial = ctx.saved_tensors
        (grad_y,) = grad_outputs
        grad_x = torch.empty_like(y)
        grad_decay = torch.zeros_like(initial)
        # ∂loss/∂y[t] by way of y[t+1].
        later = torch.zeros_like(initial)
        for t in range(len(y) - 1, -1, -1):
            now = torch.add(grad_y[t], later, out=grad_x[t])
            if ctx.needs_input_grad[1]:
                grad_decay.addcmul_(now, y[t - 1] if t else initial)
            later = torch.mul(now, decay, out=later)
        return (
            grad_x,
            grad_decay.sum_to_size(decay.shape) if ctx.needs_input_grad[1] else None,
            later,
        )
