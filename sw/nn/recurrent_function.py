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
    graded: Tensor | None,
    rule: NeuronRule,
) -> RecurrentState:
    """Run a recurrent layer over time.

    Args:
        current: [T, B, ...] input current.
        state: what the layer starts from.
        recurrence: what the layer feeds back to itself, one step later.
        alpha: decay of the synaptic current (RSynaptic), or None (RLeaky).
        beta, threshold: membrane decay and θ > 0.
        graded: the value of a sent spike; None is 1. All four numbers are scalars or
            broadcastable to ``current.shape[2:]``.
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
        graded: Tensor | None,
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
        walk = _Backward(numbers, v, sent, synaptic, RecurrentState(*start), ctx.needs_input_grad)
        return *walk.run(grad_outputs), *not_tensors


@dataclass(frozen=True)
class _Numbers:
    """All that stays the same from step to step."""

    recurrence: Recurrence
    alpha: Tensor | None
    beta: Tensor
    threshold: Tensor
    graded: Tensor | None
    rule: NeuronRule

    def resets(self, mechanism: str, delayed: bool) -> bool:
        """Whether the reset is this one."""
        return self.rule.reset_mechanism == mechanism and self.rule.reset_delay == delayed


def _forward_trace(
    current: Tensor, state: RecurrentState, numbers: _Numbers
) -> tuple[Tensor, Tensor, Tensor]:
    """v, s and i for every step, each [T, B, ...]."""
    rule, threshold = numbers.rule, numbers.threshold
    fire = torch.gt if rule.strict else torch.ge
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
        if numbers.resets("zero", delayed=True):
            now.mul_(1 - r)
        elif numbers.resets("subtract", delayed=True):
            now.addcmul_(r, threshold, value=-1)
        r = sent = fire(now, threshold, out=spikes[t])
        if rule.inhibition or numbers.graded is not None:
            r = r.clone()
            if rule.inhibition:
                sent.mul_(winner_mask(now - threshold))
            if numbers.graded is not None:
                sent.mul_(numbers.graded)
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
        needs: tuple[bool, ...],
    ) -> None:
        self.numbers, self.start = numbers, start
        self.v, self.sent, self.synaptic = v, sent, synaptic
        # gi[t] is also the gradient of the input and of the recurrence's feedback in step t.
        self.gi = torch.empty_like(v)
        self.need_weights = any(needs[4:6])
        self.alpha, self.beta, self.threshold, self.graded = (
            torch.zeros_like(v[0]) if need else None for need in needs[6:10]
        )

    def run(self, grad_outputs: tuple[Tensor | None, ...]) -> tuple[Tensor | None, ...]:
        """Gradients of current, three states, weight, bias, α, β, θ and graded factor."""
        grad_sent, grad_membrane, grad_synaptic = (*grad_outputs, None)[:3]
        numbers = self.numbers
        # By way of the step after: of u[t], of s[t], of f[t] as the delayed reset.
        gu: Tensor = torch.zeros_like(self.v[0])
        gs, gf = gu, None
        for t in range(len(self.v) - 1, -1, -1):
            if grad_membrane is not None:
                gu = gu + grad_membrane[t]
            if grad_sent is not None:
                gs = gs + grad_sent[t]
            gv = self._through_spike(self.v[t], gu, gs, gf)
            self._through_synapse(t, gv, grad_synaptic)
            gu, gf = self._through_membrane(t, gv)
            gs = numbers.recurrence.input_gradient(self.gi[t])
        if gf is not None:
            gu = self._through_decision(self.start.membrane, gu, gf)
        weight = bias = None
        if self.need_weights:
            before_each = torch.cat((self.start.sent[None], self.sent[:-1]))
            weight, bias = numbers.recurrence.weight_gradients(before_each, self.gi)
        return (
            self.gi,
            gs,
            None if numbers.alpha is None else self.gi[0] * numbers.alpha,
            gu,
            weight,
            bias,
            _summed(self.alpha, numbers.alpha),
            _summed(self.beta, numbers.beta),
            _summed(self.threshold, numbers.threshold),
            _summed(self.graded, numbers.graded),
        )

    def _through_spike(self, v: Tensor, gu: Tensor, gs: Tensor, gf: Tensor | None) -> Tensor:
        """∂loss/∂v[t] from those of u[t] and s[t], and of f[t] as a delayed reset."""
        numbers, rule, theta = self.numbers, self.numbers.rule, self.numbers.threshold
        if rule.inhibition:
            gs = gs * winner_mask(v - theta)
        if self.graded is not None:
            self.graded.addcmul_(gs, fire_decision(v, theta, rule))
        if numbers.graded is not None:
            gs = gs * numbers.graded
        gf = gs if gf is None else gf + gs
        if numbers.resets("subtract", delayed=False):
            if self.threshold is not None:
                self.threshold.addcmul_(fire_decision(v, theta, rule), gu, value=-1)
            if not rule.detach_reset:
                gf = gf - theta * gu
        elif numbers.resets("zero", delayed=False):
            if not rule.detach_reset:
                gf = gf - v * gu
            gu = gu * (1 - fire_decision(v, theta, rule))
        return self._through_decision(v, gu, gf)

    def _through_decision(self, v: Tensor, gu: Tensor, gf: Tensor) -> Tensor:
        """∂loss/∂v from that of f; ``gu`` is what comes to v by other ways."""
        slope, slope_of_threshold = spike_slopes(v, self.numbers.threshold, self.numbers.rule)
        if self.threshold is not None:
            self.threshold.addcmul_(gf, slope_of_threshold, value=-1)
        return torch.addcmul(gu, gf, slope)

    def _through_synapse(self, t: int, gv: Tensor, grad_synaptic: Tensor | None) -> None:
        """gi[t], from v[t] = (β·u + i[t])·(1 − r), the output i[t] and i[t+1] = α·i[t] + …"""
        numbers, gi = self.numbers, self.gi[t]
        if numbers.resets("zero", delayed=True):
            torch.mul(gv, 1 - self._fired_before(t), out=gi)
        else:
            gi.copy_(gv)
        if grad_synaptic is not None:
            gi += grad_synaptic[t]
        if numbers.alpha is not None and t + 1 < len(self.gi):
            gi.addcmul_(numbers.alpha, self.gi[t + 1])
        before = self.start.synaptic
        if t and self.synaptic is not None:
            before = self.synaptic[t - 1]
        if self.alpha is not None and before is not None:
            self.alpha.addcmul_(gi, before)

    def _through_membrane(self, t: int, gv: Tensor) -> tuple[Tensor, Tensor | None]:
        """Gradients of u[t−1], and of f[t−1] as a delayed reset if it is in the graph."""
        numbers, rule, theta = self.numbers, self.numbers.rule, self.numbers.threshold
        u = self.start.membrane
        if t:
            u = stored_membrane(self.v[t - 1], theta, rule)
        gf = None
        carried = gv
        if numbers.resets("zero", delayed=True):
            carried = gv * (1 - self._fired_before(t))
            if not rule.detach_reset and self.synaptic is not None:
                gf = -gv * torch.addcmul(self.synaptic[t], numbers.beta, u)
        elif numbers.resets("subtract", delayed=True):
            if self.threshold is not None:
                self.threshold.addcmul_(self._fired_before(t), gv, value=-1)
            if not rule.detach_reset:
                gf = -gv * theta
        if self.beta is not None:
            self.beta.addcmul_(carried, u)
        return carried * numbers.beta, gf

    def _fired_before(self, t: int) -> Tensor:
        v = self.v[t - 1] if t else self.start.membrane
        return fire_decision(v, self.numbers.threshold, self.numbers.rule)


def _summed(grad: Tensor | None, number: Tensor | None) -> Tensor | None:
    return None if grad is None or number is None else grad.sum_to_size(number.shape)
