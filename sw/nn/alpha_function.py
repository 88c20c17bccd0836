"""The Alpha neuron over a whole [T, B, ...] block as one autograd function, backward by hand.

Symbols: ``e`` and ``h`` the excitatory and inhibitory currents stored after a step, ``u`` the
membrane stored; ``ê = α·e + I``, ``ĥ = β·h − I`` and ``û = g·(ê + ĥ)`` (``new_e`` and so on)
the same before any reset; ``v`` the membrane that is compared with θ, ``f`` fired, ``r`` fired
in the step before; ``gx`` is ∂loss/∂x.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .firing import fire_decision, spike_slopes
from .lif_function import NeuronRule, winner_mask


class AlphaNumbers(NamedTuple):
    """Per layer or per neuron: α, β, θ, and the gain g that makes the membrane's peak 1."""

    alpha: Tensor
    beta: Tensor
    threshold: Tensor
    gain: Tensor


def run_alpha(
    current: Tensor, initial: tuple[Tensor, ...], numbers: AlphaNumbers, rule: NeuronRule
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Run a layer of Alpha neurons over time.

    Args:
        current: [T, B, ...] input current.
        initial: (e, h, u) before the first step, each [B, ...].
        numbers: each scalar or broadcastable to ``current.shape[2:]``.
        rule: the step's options; an immediate reset is to zero.

    Returns:
        (spikes, e, h, u), each [T, B, ...].
    """
    return _AlphaOverTime.apply(current, *initial, *numbers, rule)  # type: ignore[no-any-return]


class _AlphaOverTime(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, current: Tensor, e: Tensor, h: Tensor, u: Tensor, *rest: Any
    ) -> tuple[Tensor, ...]:
        numbers, rule = AlphaNumbers(*rest[:4]), rest[4]
        spikes, *traces = (
            torch.empty_like(current, memory_format=torch.contiguous_format) for _ in range(4)
        )
        states = start = (e, h, u)
        for t in range(len(current)):
            now = _Step(current[t], states, numbers, rule)
            spikes[t] = now.fired * now.mask if now.mask is not None else now.fired
            states = now.stored
            for trace, state in zip(traces, states, strict=True):
                trace[t] = state
        ctx.rule = rule
        ctx.save_for_backward(current, *traces, *start, *numbers)
        ctx.set_materialize_grads(False)
        return spikes, *traces

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *grad_outputs: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        if all(grad is None for grad in grad_outputs):
            return (None,) * 9
        current, *saved = ctx.saved_tensors
        numbers = AlphaNumbers(*saved[6:])
        grads = _backward(current, saved[:3], saved[3:6], numbers, ctx.rule, grad_outputs)
        return *grads, None


class _Step:
    """One timestep of the forward pass, which the backward pass computes again."""

    def __init__(
        self, x: Tensor, states: Sequence[Tensor], numbers: AlphaNumbers, rule: NeuronRule
    ) -> None:
        alpha, beta, threshold, gain = numbers
        e, self.h, u = states
        self.new_e, self.new_h = alpha * e + x, beta * self.h - x
        self.sum = self.new_e + self.new_h
        self.new_u = gain * self.sum
        self.stored = (self.new_e, self.new_h, self.new_u)
        # r of a delayed reset, and what any reset multiplies the states by.
        self.r, self.kept = gain.new_zeros(()), gain.new_ones(())
        if rule.reset_delay and rule.reset_mechanism != "none":
            self.r = r = fire_decision(u, threshold, rule)
            self.kept = 1 - r
            if rule.reset_mechanism == "zero":
                self._clear()
            else:
                self.stored = (
                    self.new_e - r * threshold, self.new_h * self.kept, self.new_u + r * self.h
                )  # fmt: skip
        self.v = self.stored[2]
        self.fired = fire_decision(self.v, threshold, rule)
        self.mask = winner_mask(self.v - threshold) if rule.inhibition else None
        if rule.reset_mechanism == "zero" and not rule.reset_delay:
            self.kept = 1 - self.fired
            self._clear()

    def _clear(self) -> None:
        e, h, u = self.stored
        self.stored = (e * self.kept, h * self.kept, u * self.kept)

    def cleared(self, ge: Tensor, gh: Tensor, gu: Tensor | float) -> Tensor:
        """−∂loss/∂r of a reset to zero, from the gradients of what it stored."""
        return ge * self.new_e + gh * self.new_h + gu * self.new_u


def _backward(
    current: Tensor,
    traces: list[Tensor],
    start: list[Tensor],
    numbers: AlphaNumbers,
    rule: NeuronRule,
    grad_outputs: tuple[Tensor | None, ...],
) -> list[Tensor]:
    """Gradients of the input current, the initial (e, h, u), and α, β, θ and g."""
    alpha, beta, threshold, gain = numbers
    zero, subtract = rule.reset_mechanism == "zero", rule.reset_mechanism == "subtract"
    attached = not rule.detach_reset
    grad_current = torch.empty_like(traces[0])
    g_alpha, g_beta, g_threshold, g_gain = (torch.zeros_like(start[0]) for _ in numbers)
    # What reaches a step by way of the next: of its e and h, and of its f through a late reset.
    ge, gh, gf = (torch.zeros_like(start[0]) for _ in range(3))
    for t in range(len(current) - 1, -1, -1):
        before = [trace[t - 1] for trace in traces] if t else start
        now = _Step(current[t], before, numbers, rule)
        of_spike, of_e, of_h, gu = (0.0 if grad is None else grad[t] for grad in grad_outputs)
        gf = gf + (of_spike if now.mask is None else of_spike * now.mask)
        ge, gh = ge + of_e, gh + of_h

        if zero and not rule.reset_delay:
            if attached:
                gf = gf - now.cleared(ge, gh, gu)
            ge, gh, gu = ge * now.kept, gh * now.kept, gu * now.kept
        slope, minus_slope = spike_slopes(now.v, threshold, rule)
        g_threshold.addcmul_(gf, minus_slope, value=-1)
        gu = gu + gf * slope

        gf = torch.zeros_like(gf)
        gh_before = None
        if zero and rule.reset_delay:
            if attached:
                gf = -now.cleared(ge, gh, gu)
            ge, gh, gu = ge * now.kept, gh * now.kept, gu * now.kept
        elif subtract:
            if attached:
                gf = gu * now.h - gh * now.new_h - ge * threshold
            g_threshold.addcmul_(ge, now.r, value=-1)
            gh, gh_before = gh * now.kept, gu * now.r

        g_gain.addcmul_(gu, now.sum)
        ge, gh = torch.addcmul(ge, gu, gain), torch.addcmul(gh, gu, gain)
        torch.sub(ge, gh, out=grad_current[t])
        g_alpha.addcmul_(ge, before[0])
        g_beta.addcmul_(gh, before[1])
        ge, gh = ge * alpha, gh * beta
        if gh_before is not None:
            gh = gh + gh_before

    slope, minus_slope = spike_slopes(start[2], threshold, rule)
    g_threshold.addcmul_(gf, minus_slope, value=-1)
    sums = zip((g_alpha, g_beta, g_threshold, g_gain), numbers, strict=True)
    of_numbers = [grad.sum_to_size(number.shape) for grad, number in sums]
    return [grad_current, ge, gh, gf * slope, *of_numbers]
