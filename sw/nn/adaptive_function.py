"""The Adaptive neuron over a whole [T, B, ...] block as one autograd function, backward by hand.

Symbols as in :mod:`.lif_function`: ``v`` membrane that is compared, ``u`` membrane stored after
the step, ``f`` fired (before inhibition), ``r`` fired in the step before; ``b`` is the
adaptation, by which the fire level lies above θ. ``gx`` is ∂loss/∂x.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .firing import spike_slopes
from .lif_function import NeuronRule, winner_mask


class AdaptiveNumbers(NamedTuple):
    """Per layer or per neuron: β, ρ, what a spike adds to b, and θ."""

    beta: Tensor
    adaptation_beta: Tensor
    increment: Tensor
    threshold: Tensor


def run_adaptive(
    current: Tensor, initial: tuple[Tensor, ...], numbers: AdaptiveNumbers, rule: NeuronRule
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Run a layer of adaptive neurons over time.

    Args:
        current: [T, B, ...] input current.
        initial: (f, b, u) before the first step, each [B, ...].
        numbers: each scalar or broadcastable to ``current.shape[2:]``.
        rule: the step's options; a delayed reset to zero always discards the step's input.

    Returns:
        (spikes, f, b, u), each [T, B, ...].
    """
    return _AdaptiveOverTime.apply(current, *initial, *numbers, rule)  # type: ignore[no-any-return]


class _AdaptiveOverTime(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, current: Tensor, r: Tensor, b: Tensor, u: Tensor, *rest: Any
    ) -> tuple[Tensor, ...]:
        numbers, rule = AdaptiveNumbers(*rest[:4]), rest[4]
        start = r, b, u
        v, fired, adaptation, membrane = _forward_trace(current, start, numbers, rule)
        spikes = fired.clone()
        if rule.inhibition:
            spikes *= winner_mask(v - _levels(adaptation, b, numbers))
        ctx.rule = rule
        # The input itself is needed only where a reset that is part of the graph discards it.
        discards = rule.zero_drops_input and not rule.detach_reset
        ctx.save_for_backward(
            current if discards else None, v, fired, adaptation, membrane, *start, *numbers
        )
        ctx.set_materialize_grads(False)
        return spikes, fired, adaptation, membrane

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *grad_outputs: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        if all(grad is None for grad in grad_outputs):
            return (None,) * 9
        current, *saved = ctx.saved_tensors
        numbers = AdaptiveNumbers(*saved[7:])
        needs = ctx.needs_input_grad[4:8]
        grads = _backward(
            current, saved[:4], saved[4:7], numbers, ctx.rule, grad_outputs, needs
        )  # fmt: skip
        return *grads, None


def _forward_trace(
    current: Tensor, start: tuple[Tensor, ...], numbers: AdaptiveNumbers, rule: NeuronRule
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """v, f, b and u for every step, all [T, B, ...]; u is v itself where resets are delayed.

    Every number is that of single steps to the bit, as in :mod:`.lif_function`.
    """
    beta, adaptation_beta, increment, threshold = numbers
    v = torch.empty_like(current, memory_format=torch.contiguous_format)
    fired, adaptation = torch.empty_like(v), torch.empty_like(v)
    late = rule.reset_delay or rule.reset_mechanism == "none"
    membrane = v if late else torch.empty_like(v)
    subtract, zero = rule.reset_mechanism == "subtract", rule.reset_mechanism == "zero"
    fire = torch.gt if rule.strict else torch.ge
    r, b, u = start
    for t in range(len(v)):
        now = torch.mul(u, beta, out=v[t]).add_(current[t])
        if subtract and rule.reset_delay:
            now.addcmul_(r, threshold, value=-1)
        elif zero and rule.reset_delay:
            now.addcmul_(now, r, value=-1)
        r = fire(now, threshold + b, out=fired[t])
        b = torch.mul(b, adaptation_beta, out=adaptation[t]).addcmul_(r, increment)
        u = now
        if not late:
            u = torch.addcmul(now, r, threshold if subtract else now, value=-1, out=membrane[t])
    return v, fired, adaptation, membrane


def _levels(adaptation: Tensor, initial: Tensor, numbers: AdaptiveNumbers) -> Tensor:
    """θ + b as each step compares with it, [T, B, ...]."""
    return numbers.threshold + torch.cat((initial[None], adaptation[:-1]))


def _backward(
    current: Tensor | None,
    traces: Sequence[Tensor],
    start: Sequence[Tensor],
    numbers: AdaptiveNumbers,
    rule: NeuronRule,
    grad_outputs: tuple[Tensor | None, ...],
    needs: tuple[bool, ...],
) -> list[Tensor | None]:
    """Gradients of the input current, the initial (f, b, u), and β, ρ, increment and θ.

    One step's tensors at a time, as in :mod:`.lif_function`.
    """
    v, fired, adaptation, membrane = traces
    beta, adaptation_beta, increment, threshold = numbers
    subtract, zero = rule.reset_mechanism == "subtract", rule.reset_mechanism == "zero"
    attached = not rule.detach_reset and rule.reset_mechanism != "none"
    grad_current = torch.empty_like(v)
    sums = [torch.zeros_like(v[0]) if need else None for need in needs]
    of_beta, of_adaptation_beta, of_increment, of_threshold = sums
    # By way of the next step: of f as its r, of b as its level, of u. All three change in place.
    gf, gb, gu = (torch.zeros_like(v[0]) for _ in range(3))
    for t in range(len(v) - 1, -1, -1):
        f, now, gv = fired[t], v[t], grad_current[t]
        r, b, u = (
            (trace[t - 1] if t else first)
            for trace, first in zip((fired, adaptation, membrane), start, strict=True)
        )
        of_spike, *of_states = (None if grad is None else grad[t] for grad in grad_outputs)
        if of_spike is not None:
            mask = winner_mask(now - (threshold + b)) if rule.inhibition else None
            gf += of_spike if mask is None else of_spike * mask
        for total, grad in zip((gf, gb, gu), of_states, strict=True):
            if grad is not None:
                total += grad

        # u from v
        if not rule.reset_delay:
            if attached:
                gf.addcmul_(gu, threshold if subtract else now, value=-1)
            if subtract:
                _add(of_threshold, gu, f, -1)
            elif zero:
                gu.addcmul_(gu, f, value=-1)
        # b from the b before and f
        _add(of_adaptation_beta, gb, b)
        _add(of_increment, gb, f)
        gf.addcmul_(gb, increment)
        # f from v, θ and the b before, as spike of v − b
        slope, minus_slope = spike_slopes(now - b, threshold, rule)
        _add(of_threshold, gf, minus_slope, -1)
        gf *= slope
        torch.mul(gb, adaptation_beta, out=gb).sub_(gf)
        torch.add(gu, gf, out=gv)
        # v from r, the u before and the input
        gf.zero_()
        if rule.reset_delay:
            if attached and subtract:
                gf.addcmul_(gv, threshold, value=-1)
            elif attached and current is not None:
                gf.addcmul_(gv, torch.addcmul(current[t], u, beta), value=-1)
            if subtract:
                _add(of_threshold, gv, r, -1)
            elif zero:
                gv.addcmul_(gv, r, value=-1)
        _add(of_beta, gv, u)
        torch.mul(gv, beta, out=gu)
    of_numbers = [
        None if grad is None else grad.sum_to_size(number.shape)
        for grad, number in zip(sums, numbers, strict=True)
    ]
    return [grad_current, gf, gb, gu, *of_numbers]


def _add(total: Tensor | None, grad: Tensor, factor: Tensor, sign: int = 1) -> None:
    if total is not None:
        total.addcmul_(grad, factor, value=sign)
