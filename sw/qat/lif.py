"""The integer LIF neuron over a whole [T, B, n] block, differentiable: the QAT counterpart of
:func:`reslif.sw.golden.lif_step`.

Forward computes on integers stored in floating point, exactly. Backward treats the floor of the
leak as straight-through (∂L/∂u = k/2^n), passes nothing through a saturated membrane, detaches
the reset's fire decision as snnTorch does, and uses a surrogate for the spike.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..network import LIF
from ..nn.lif_function import winner_mask
from ..nn.surrogate import Surrogate


def run_integer_lif(
    current: Tensor, leak: Tensor, threshold: Tensor, node: LIF, surrogate: Surrogate
) -> tuple[Tensor, Tensor]:
    """Spikes and stored membranes, both ``[T, B, n]``, in the golden model's integers.

    ``current`` ``[T, B, n]``, ``leak`` and ``threshold`` (scalar or ``[n]``) hold integers; of
    ``node`` the formats and the rule are used, not its own numbers. The surrogate's argument is
    ``(v − θ)/θ``, free of units.
    """
    return _IntegerLIF.apply(current, leak, threshold, node, surrogate)  # type: ignore[no-any-return]


class _IntegerLIF(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, current: Tensor, leak: Tensor, threshold: Tensor, node: LIF, surrogate: Surrogate
    ) -> tuple[Tensor, Tensor]:
        v = torch.empty_like(current, memory_format=torch.contiguous_format)
        fired = torch.empty_like(v)
        inside = None
        decay = leak * 2.0**-node.leak_shift
        before = r = torch.zeros_like(v[0])
        form = node.membrane
        fire = torch.gt if node.strict else torch.ge
        for t, value in enumerate(v):
            torch.mul(before, decay, out=value).floor_()
            late = node.reset_delay and t > 0
            if late and node.reset == "zero" and node.keep_input:
                value.mul_(1 - r)
            value.add_(current[t])
            if late and node.reset == "subtract":
                value.addcmul_(r, threshold, value=-1)
            elif late and node.reset == "zero" and not node.keep_input:
                value.mul_(1 - r)
            low, high = torch.aminmax(value)
            if low < form.min or high > form.max:  # rare: most steps need no second look
                if inside is None:
                    inside = torch.ones_like(v, dtype=torch.bool)
                torch.ge(value, form.min, out=inside[t]).logical_and_(value <= form.max)
                value.clamp_(form.min, form.max)
            r = fire(value, threshold, out=fired[t])
            before = _stored(value, r, threshold, node)
        mask = winner_mask(v - threshold) if node.inhibition else None
        ctx.node, ctx.surrogate = node, surrogate
        ctx.save_for_backward(v, inside, fired, leak, threshold, mask)
        ctx.set_materialize_grads(False)
        return fired if mask is None else fired * mask, _stored(v, fired, threshold, node)

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *grad_outputs: Tensor | None
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None, None, None]:
        grad_spikes, grad_membrane = grad_outputs
        node: LIF = ctx.node
        v, inside, fired, leak, threshold, mask = ctx.saved_tensors
        distance = torch.addcmul(v.new_full((), -1.0), v, 1 / threshold)
        slope = ctx.surrogate.derivative(distance).div_(threshold)
        grad_fired = torch.zeros_like(v) if grad_spikes is None else grad_spikes
        if mask is not None:
            grad_fired = grad_fired * mask
        zero = node.reset == "zero"
        subtract = node.reset == "subtract"
        # How much of v becomes u, and how much of L(u) becomes the next v.
        stored = 1 - fired if zero and not node.reset_delay else None
        kept = 1 - fired[:-1] if zero and node.reset_delay else None

        # gv is ∂loss/∂v before saturation; gu, ∂loss/∂u, collects what comes from later steps.
        gv = grad_fired * slope
        gu = [None] * len(v) if grad_membrane is None else list(grad_membrane.clone())
        decay = leak * 2.0**-node.leak_shift
        for t in range(len(v) - 1, -1, -1):
            if t + 1 < len(v):
                passed = decay * gv[t + 1]
                if kept is not None:
                    passed.mul_(kept[t])
                gu[t] = passed if gu[t] is None else passed.add_(gu[t])
            if gu[t] is not None:
                gv[t].add_(gu[t] if stored is None else gu[t] * stored[t])
            if inside is not None:
                gv[t].mul_(inside[t])

        grad_current = gv
        if zero and node.reset_delay and not node.keep_input and kept is not None:
            grad_current = gv.clone()
            grad_current[1:] *= kept
        grad_leak = grad_threshold = None
        if ctx.needs_input_grad[1]:
            u = _stored(v, fired, threshold, node)[:-1] * 2.0**-node.leak_shift
            part = gv[1:] * u if kept is None else gv[1:] * kept * u
            grad_leak = part.sum_to_size(leak.shape)
        if ctx.needs_input_grad[2]:
            part = -grad_fired * slope * v / threshold
            if subtract and node.reset_delay:
                part[:-1] -= fired[:-1] * gv[1:]
            elif subtract:
                for t, later in enumerate(gu):
                    if later is not None:
                        part[t] -= fired[t] * later
            grad_threshold = part.sum_to_size(threshold.shape)
        return grad_current, grad_leak, grad_threshold, None, None


def _stored(v: Tensor, fired: Tensor, threshold: Tensor, node: LIF) -> Tensor:
    """u: v after an immediate reset, if that is the rule."""
    if node.reset_delay or node.reset == "none":
        return v
    if node.reset == "subtract":
        return v - fired * threshold
    return v * (1 - fired)
