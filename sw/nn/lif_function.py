"""The LIF neuron over a whole [T, B, ...] block as one autograd function, backward by hand.

Unrolling T steps in autograd stores a dozen tensors and graph nodes for every step. Here the
forward pass stores one trace, the membrane ``v`` that was compared with the threshold, and the
backward pass recomputes the rest from it.

Symbols: ``v`` membrane that is compared with θ, ``u`` membrane stored after the step, ``f``
fired (before inhibition), ``r`` fired in the step before, ``I`` input current; ``gx`` is
∂loss/∂x.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .errors import LayerError
from .surrogate import Surrogate

RESET_MECHANISMS = ("subtract", "zero", "none")

SMALL = 1 << 16
"""Blocks of so many numbers at most stay in the cache, where few large operations beat many."""


@dataclass(frozen=True)
class NeuronRule:
    """What of a LIF step is not a number per neuron; fields as in :class:`reslif.sw.nn.LIF`."""

    surrogate: Surrogate
    reset_mechanism: str = "subtract"
    reset_delay: bool = True
    reset_keeps_input: bool = True
    detach_reset: bool = True
    strict: bool = True
    normalise_surrogate: bool = True
    inhibition: bool = False

    def __post_init__(self) -> None:
        if self.reset_mechanism not in RESET_MECHANISMS:
            raise LayerError(
                f"LIF: reset_mechanism is {self.reset_mechanism!r}; "
                f"it must be one of {', '.join(RESET_MECHANISMS)}"
            )

    @property
    def zero_drops_input(self) -> bool:
        """A delayed reset to zero that also discards the current input (RLeaky's form)."""
        return self.reset_mechanism == "zero" and self.reset_delay and not self.reset_keeps_input


def winner_mask(v: Tensor) -> Tensor:
    """1 where ``v`` (v − θ) is the maximum of its last dimension, lowest index on ties, else 0."""
    return torch.zeros_like(v).scatter_(-1, v.argmax(dim=-1, keepdim=True), 1)


def run_lif(
    current: Tensor,
    beta: Tensor,
    threshold: Tensor,
    rule: NeuronRule,
    initial: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Run a LIF layer over time.

    Args:
        current: [T, B, ...] input current.
        beta: leak in [0, 1], scalar or broadcastable to ``current.shape[2:]``.
        threshold: θ > 0, same shapes as ``beta``.
        rule: the step's options.
        initial: the stored membrane [B, ...] before the first step (above θ it counts as just
            fired, where resets are delayed); None is rest.

    Returns:
        (spikes, membrane), both [T, B, ...]; ``membrane`` is u, as stored after each step.
    """
    return _LIFOverTime.apply(current, beta, threshold, rule, initial)  # type: ignore[no-any-return]


class _LIFOverTime(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        current: Tensor,
        beta: Tensor,
        threshold: Tensor,
        rule: NeuronRule,
        initial: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        v, fired, membrane = lif_trace(current, beta, threshold, rule, initial)
        spikes = fired
        mask = None
        if rule.inhibition:
            mask = winner_mask(v - threshold)
            spikes = fired * mask
        ctx.rule = rule
        # The input itself is needed only where a reset that is part of the graph discards it.
        keep_current = rule.zero_drops_input and not rule.detach_reset
        kept_current = current if keep_current else None
        ctx.save_for_backward(v, beta, threshold, mask, kept_current, initial)
        ctx.set_materialize_grads(False)
        return spikes, membrane

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *grad_outputs: Tensor | None
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None, None, Tensor | None]:
        grad_spikes, grad_membrane = grad_outputs
        if grad_spikes is None and grad_membrane is None:
            return None, None, None, None, None
        v, beta, threshold, mask, current, initial = ctx.saved_tensors
        g_current, g_beta, g_threshold, g_initial = lif_backward(
            v, beta, threshold, mask, current, initial, grad_spikes, grad_membrane, ctx.rule,
            ctx.needs_input_grad,
        )  # fmt: skip
        return g_current, g_beta, g_threshold, None, g_initial


def _empty_steps(current: Tensor) -> Tensor:
    """An uninitialised [T, B, ...], step by step, each laid out in memory as ``current``'s.

    So images stay channels-last where they are, and one step that is shown T times gets T places.
    """
    step = torch.empty_like(current[0])
    return step.new_empty_strided(current.shape, (step.numel(), *step.stride()))


def lif_trace(
    current: Tensor, beta: Tensor, threshold: Tensor, rule: NeuronRule, initial: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """v, f and u for every step, all [T, B, ...]; u is v itself where resets are delayed.

    Few kernels and no temporary: comparisons write 0 and 1 into floats (a tensor of bools costs
    five times as much), and ``x − x·f`` clears what fired. Every number is that of single steps
    to the bit: a fused multiply-add appears only where its product is exact.
    """
    v = _empty_steps(current)
    fired = torch.empty_like(v)
    late = rule.reset_delay or rule.reset_mechanism == "none"
    stored = v if late else torch.empty_like(v)
    subtract, zero = rule.reset_mechanism == "subtract", rule.reset_mechanism == "zero"
    fire = torch.gt if rule.strict else torch.ge
    u = initial
    r = None if u is None else fire(u, threshold, out=torch.empty_like(v[0]))
    steps = zip(current.unbind(), v.unbind(), fired.unbind(), stored.unbind(), strict=True)
    for x, now, now_fired, now_stored in steps:
        if u is None or r is None:
            now.copy_(x)  # from rest: nothing leaks, and nothing fired
        else:
            torch.mul(u, beta, out=now)
            if zero and rule.reset_delay and rule.reset_keeps_input:
                now.addcmul_(now, r, value=-1).add_(x)
            else:
                now.add_(x)
                if subtract and rule.reset_delay:
                    now.addcmul_(r, threshold, value=-1)
                elif zero and rule.reset_delay:
                    now.addcmul_(now, r, value=-1)
        u = now
        r = fire(now, threshold, out=now_fired)
        if not late:
            cleared = threshold if subtract else now
            u = torch.addcmul(now, r, cleared, value=-1, out=now_stored)
    return v, fired, stored


def _stored_membrane(v: Tensor, fired: Tensor, threshold: Tensor, rule: NeuronRule) -> Tensor:
    """u after the step: v itself, or v with an immediate reset applied. Any leading shape."""
    if rule.reset_delay or rule.reset_mechanism == "none":
        return v
    cleared = threshold if rule.reset_mechanism == "subtract" else v
    return torch.addcmul(v, fired, cleared, value=-1)


def lif_backward(
    v: Tensor,
    beta: Tensor,
    threshold: Tensor,
    mask: Tensor | None,
    current: Tensor | None,
    initial: Tensor | None,
    grad_spikes: Tensor | None,
    grad_membrane: Tensor | None,
    rule: NeuronRule,
    needs: tuple[bool, ...],
) -> tuple[Tensor, Tensor | None, Tensor | None, Tensor | None]:
    """Gradients of input current, β, θ and initial membrane, back through time.

    One step's tensors at a time. Whole-block temporaries would be fewer operations but fall out
    of the cache: measured two to three times slower at [25, 128, 512]. The surrogate of a small
    block is computed at once, at [4, 128, 32] in a third of the time.
    """
    subtract, zero = rule.reset_mechanism == "subtract", rule.reset_mechanism == "zero"
    fires = torch.gt if rule.strict else torch.ge
    need_beta, need_threshold = needs[1], needs[2]
    need_fired = zero or (subtract and (need_beta or need_threshold))
    attached = (subtract or zero) and not rule.detach_reset
    grad_current = torch.empty_like(v)
    steps, outs = v.unbind(), grad_current.unbind()
    grad_beta = torch.zeros_like(steps[0]) if need_beta else None
    grad_threshold = torch.zeros_like(steps[0]) if need_threshold else None
    gv_next = torch.zeros_like(steps[0])
    fired, kept_part = torch.empty_like(gv_next), torch.empty_like(gv_next)
    slopes = None
    if v.numel() <= SMALL and grad_spikes is not None and grad_threshold is None:
        slopes = _spike_slope(v, threshold, rule).unbind()
    for t in range(len(v) - 1, -1 if initial is None else -2, -1):
        # Step -1 is the initial membrane: nothing was emitted there, and what an immediate reset
        # did to it happened before.
        start = t < 0
        now = initial if start and initial is not None else steps[t]
        if start and not rule.reset_delay:
            if grad_beta is not None:
                grad_beta.addcmul_(gv_next, now)
            gv_next = gv_next * beta
            break
        if need_fired:
            fires(now, threshold, out=fired)

        # From v[t+1] = β·u + I, times 1 − f if a delayed reset to zero stands between.
        carried = gv_next
        if zero and rule.reset_delay:
            carried = torch.addcmul(gv_next, gv_next, fired, value=-1, out=kept_part)
        gu = torch.mul(carried, beta, out=None if start else outs[t])
        if grad_membrane is not None and not start:
            gu += grad_membrane[t]
        if grad_beta is not None:
            grad_beta.addcmul_(carried, _stored_membrane(now, fired, threshold, rule))

        # The reset acts on v[t+1] if delayed, else on u[t].
        g_reset = gv_next if rule.reset_delay else gu
        gf = None if grad_spikes is None or start else grad_spikes[t]
        if gf is not None and mask is not None:
            gf = gf * mask[t]
        if grad_threshold is not None and subtract:
            grad_threshold.addcmul_(fired, g_reset, value=-1)
        if attached:
            cleared = threshold if subtract else beta * now if rule.reset_delay else now
            if current is not None and t + 1 < len(v):
                cleared = cleared + current[t + 1]
            by_reset = cleared * g_reset
            gf = -by_reset if gf is None else gf - by_reset

        if zero and not rule.reset_delay:
            gu.addcmul_(gu, fired, value=-1)
        if rule.zero_drops_input and t + 1 < len(v):
            outs[t + 1].copy_(carried)
        gv_next = gu
        if gf is None:
            continue
        slope = _spike_slope(now, threshold, rule) if slopes is None else slopes[t]
        gv_next = gu.addcmul_(gf, slope)
        if grad_threshold is not None:
            # The surrogate's argument is v − θ, or v/θ − 1.
            if rule.normalise_surrogate:
                slope = slope * now / threshold
            grad_threshold.addcmul_(gf, slope, value=-1)
    return (
        grad_current,
        None if grad_beta is None else grad_beta.sum_to_size(beta.shape),
        None if grad_threshold is None else grad_threshold.sum_to_size(threshold.shape),
        None if initial is None else gv_next,
    )


def _spike_slope(v: Tensor, threshold: Tensor, rule: NeuronRule) -> Tensor:
    """∂f/∂v by the surrogate."""
    if not rule.normalise_surrogate:
        return rule.surrogate.derivative(v - threshold)
    return rule.surrogate.derivative((v / threshold).sub_(1)).div_(threshold)
