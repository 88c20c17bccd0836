"""RLeaky and RSynaptic over a whole [T, B, ...] block as one autograd function, backward by hand.

Symbols as in :mod:`.lif_function`: ``v`` membrane that is compared with θ, ``u`` membrane
stored after the step, ``f`` fired (before inhibition), ``s`` what is sent (``f`` of the winners
times the graded factor). ``i`` is the synaptic current ``α·i + I + recurrence(s)``; RLeaky is
the case α = 0, in which ``i`` is no state. ``gx`` is ∂loss/∂x.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .firing import fire_decision, spike_slopes, stored_membrane
from .lif_function import NeuronRule, winner_mask
from .recurrence import Recurrence


class RecurrentState(NamedTuple):
    """What a recurrent layer carries between steps, all [B, ...]; ``synaptic`` of RSynaptic."""

    sent: Tensor
    synaptic: Tensor | None
    membrane: Tensor


def run_recurrent(
    current: Tensor,
    state: RecurrentState,
    recurrence: Recurrence,
    alpha: Tensor | None,
    beta: Tensor,
    threshold: Tensor,
    graded: Tensor,
    rule: NeuronRule,
) -> RecurrentState:
    """Run a recurrent layer over time.

    Args:
        current: [T, B, ...] input current.
        state: what the layer starts from.
        recurrence: what the layer feeds back to itself, one step later.
        alpha: decay of the synaptic current (RSynaptic), or None (RLeaky).
        beta, threshold, graded: membrane decay, θ > 0 and the value of a sent spike. All four
            are scalars or broadcastable to ``current.shape[2:]``.
        rule: the step's options; a delayed reset to zero always discards the step's input.

    Returns:
        What was sent and stored in every step, each [T, B, ...].
    """
    out = _RecurrentOverTime.apply(
        current, state.sent, state.synaptic, state.membrane, recurrence.weight, recurrence.bias,
        alpha, beta, threshold, graded, recurrence.kind, recurrence.padding, rule,
    )  # fmt: skip
    sent, membrane, *synaptic = out  # type: ignore[misc]
    return RecurrentState(sent, synaptic[0] if synaptic else None, membrane)


class _RecurrentOverTime(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        current: Tensor,
        sent0: Tensor,
        synaptic0: Tensor | None,
        membrane0: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        alpha: Tensor | None,
        beta: Tensor,
        threshold: Tensor,
        graded: Tensor,
        kind: str,
        padding: tuple[int, int],
        rule: NeuronRule,
    ) -> tuple[Tensor, ...]:
        numbers = _Numbers(
            Recurrence(kind, weight, bias, padding), alpha, beta, threshold, graded, rule
        )
        v, sent, synaptic = _forward_trace(
            current, RecurrentState(sent0, synaptic0, membrane0), numbers
        )
        membrane = stored_membrane(v, threshold, rule)
        ctx.kind, ctx.padding, ctx.rule = kind, padding, rule
        # i is needed for α, and where a reset that is part of the graph discards it.
        discards = rule.reset_mechanism == "zero" and rule.reset_delay and not rule.detach_reset
        ctx.save_for_backward(
            v, sent, synaptic if alpha is not None or discards else None,
            sent0, synaptic0, membrane0, weight, bias, alpha, beta, threshold, graded,
        )  # fmt: skip
        ctx.set_materialize_grads(False)
        return (sent, membrane) if alpha is None else (sent, membrane, synaptic)

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *grad_outputs: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        not_tensors = (None,) * 3
        if all(grad is None for grad in grad_outputs):
            return (None,) * 10 + not_tensors
        v, sent, synaptic, *start, weight, bias, alpha, beta, threshold, graded = ctx.saved_tensors
        numbers = _Numbers(
            Recurrence(ctx.kind, weight, bias, ctx.padding), alpha, beta, threshold, graded,
            ctx.rule,
        )  # fmt: skip
        walk = _Backward(numbers, v, sent, synaptic, RecurrentState(*start))
        return *walk.run(grad_outputs, ctx.needs_input_grad), *not_tensors


@dataclass(frozen=True)
class _Numbers:
    """All that stays the same from step to step."""

    recurrence: Recurrence
    alpha: Tensor | None
    beta: Tensor
    threshold: Tensor
    graded: Tensor
    rule: NeuronRule

    def kept(self, fired: Tensor) -> Tensor | None:
        """1 − r if a delayed reset to zero stands between u and the next v, else None."""
        return 1 - fired if self.rule.reset_delay and self.rule.reset_mechanism == "zero" else None


def _forward_trace(
    current: Tensor, state: RecurrentState, numbers: _Numbers
) -> tuple[Tensor, Tensor, Tensor]:
    """v, s and i for every step, each [T, B, ...]."""
    rule, threshold = numbers.rule, numbers.threshold
    v = torch.empty_like(current, memory_format=torch.contiguous_format)
    spikes, synaptic = torch.empty_like(v), torch.empty_like(v)
    sent, i, u = state
    r = fire_decision(u, threshold, rule)
    for t in range(len(v)):
        previous = i
        i = torch.add(current[t], numbers.recurrence(sent), out=synaptic[t])
        if numbers.alpha is not None and previous is not None:
            i.addcmul_(numbers.alpha, previous)
        now = torch.addcmul(i, numbers.beta, u, out=v[t])
        if (kept := numbers.kept(r)) is not None:
            now.mul_(kept)
        elif rule.reset_delay and rule.reset_mechanism == "subtract":
            now.sub_(r * threshold)
        r = fire_decision(now, threshold, rule)
        sent = torch.mul(r, numbers.graded, out=spikes[t])
        if rule.inhibition:
            sent.mul_(winner_mask(now - threshold))
        u = stored_membrane(now, threshold, rule)
    return v, spikes, synaptic


class _Backward:
    """The walk back through time; one object, so that its steps need not pass a dozen tensors."""

    def __init__(
        self,
        numbers: _Numbers,
        v: Tensor,
        sent: Tensor,
        synaptic: Tensor | None,
        start: RecurrentState,
    ) -> None:
        self.numbers, self.start = numbers, start
        self.v, self.sent, self.synaptic = v, sent, synaptic
        # gi[t] is also the gradient of the input and of the recurrence's feedback in step t.
        self.gi = torch.empty_like(v)
        self.alpha, self.beta, self.threshold, self.graded = (
            torch.zeros_like(v[0]) for _ in range(4)
        )

    def run(
        self, grad_outputs: tuple[Tensor | None, ...], needs: tuple[bool, ...]
    ) -> tuple[Tensor | None, ...]:
        """Gradients of current, three states, weight, bias, α, β, θ and graded factor."""
        grad_sent, grad_membrane, grad_synaptic = (*grad_outputs, None)[:3]
        numbers = self.numbers
        last = len(self.v) - 1
        # By way of the step after: of u[t], of s[t], of f[t] as the delayed reset.
        gu = gs = gf = torch.zeros_like(self.v[0])
        for t in range(last, -1, -1):
            if grad_membrane is not None:
                gu = gu + grad_membrane[t]
            if grad_sent is not None:
                gs = gs + grad_sent[t]
            gv = self._through_spike(self.v[t], gu, gs, gf)
            before = (
                (self.start.membrane, self.start.membrane, self.start.synaptic)
                if t == 0
                else (
                    self.v[t - 1],
                    stored_membrane(self.v[t - 1], numbers.threshold, numbers.rule),
                    None if self.synaptic is None else self.synaptic[t - 1],
                )
            )
            gu, gs, gf = self._through_update(t, gv, *before, grad_synaptic)
        if not numbers.rule.detach_reset:
            slope, slope_of_threshold = spike_slopes(
                self.start.membrane, numbers.threshold, numbers.rule
            )
            gu = torch.addcmul(gu, gf, slope)
            self.threshold.addcmul_(gf, slope_of_threshold, value=-1)
        weight = bias = None
        if any(needs[4:6]):
            before_each = torch.cat((self.start.sent[None], self.sent[:-1]))
            weight, bias = numbers.recurrence.weight_gradients(before_each, self.gi)
        return (
            self.gi,
            gs,
            None if numbers.alpha is None else self.gi[0] * numbers.alpha,
            gu,
            weight,
            bias,
            None if numbers.alpha is None else self.alpha.sum_to_size(numbers.alpha.shape),
            self.beta.sum_to_size(numbers.beta.shape),
            self.threshold.sum_to_size(numbers.threshold.shape),
            self.graded.sum_to_size(numbers.graded.shape),
        )

    def _through_spike(self, v: Tensor, gu: Tensor, gs: Tensor, gf: Tensor) -> Tensor:
        """∂loss/∂v[t] from those of u[t] and s[t], and of f[t] as a delayed reset."""
        numbers, rule, theta = self.numbers, self.numbers.rule, self.numbers.threshold
        fired = fire_decision(v, theta, rule)
        if rule.inhibition:
            gs = gs * winner_mask(v - theta)
        self.graded.addcmul_(gs, fired)
        gf = torch.addcmul(gf, gs, numbers.graded)
        if not rule.reset_delay and rule.reset_mechanism == "subtract":
            self.threshold.addcmul_(fired, gu, value=-1)
            if not rule.detach_reset:
                gf = gf - theta * gu
        elif not rule.reset_delay and rule.reset_mechanism == "zero":
            if not rule.detach_reset:
                gf = gf - v * gu
            gu = gu * (1 - fired)
        slope, slope_of_threshold = spike_slopes(v, theta, rule)
        self.threshold.addcmul_(gf, slope_of_threshold, value=-1)
        return torch.addcmul(gu, gf, slope)

    def _through_update(
        self,
        t: int,
        gv: Tensor,
        v: Tensor,
        u: Tensor,
        i: Tensor | None,
        grad_synaptic: Tensor | None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Gradients of u[t−1], s[t−1], and f[t−1] as a delayed reset, from that of v[t].

        ``v``, ``u`` and ``i`` are those of step t − 1.
        """
        numbers, rule, gi = self.numbers, self.numbers.rule, self.gi
        fired = fire_decision(v, numbers.threshold, rule)
        kept = numbers.kept(fired)
        # v[t] = β·u[t−1] + i[t], times kept.
        carried = gv if kept is None else gv * kept
        gi[t] = carried
        if grad_synaptic is not None:
            gi[t] += grad_synaptic[t]
        if numbers.alpha is not None and t + 1 < len(gi):
            gi[t].addcmul_(numbers.alpha, gi[t + 1])
        if i is not None and numbers.alpha is not None:
            self.alpha.addcmul_(gi[t], i)
        self.beta.addcmul_(carried, u)
        gf = torch.zeros_like(gv)
        if kept is not None and not rule.detach_reset and self.synaptic is not None:
            gf = -gv * torch.addcmul(self.synaptic[t], numbers.beta, u)
        elif rule.reset_delay and rule.reset_mechanism == "subtract":
            self.threshold.addcmul_(fired, gv, value=-1)
            if not rule.detach_reset:
                gf = -gv * numbers.threshold
        return carried * numbers.beta, numbers.recurrence.input_gradient(gi[t]), gf
