"""The LIF neuron over a whole [T, B, ...] block as one autograd function, backward by hand.

Unrolling T steps in autograd stores a dozen tensors and launches a dozen kernels for every step,
forward and back. Here the forward pass stores one trace (the membrane ``v`` before any
immediate reset), and the backward pass is vectorised over time up to one linear recursion

    gv[t] = G[t] + J[t] · gv[t+1]          gv = ∂loss/∂v,  J[t] = ∂v[t+1]/∂v[t]

Symbols: ``v`` membrane that is compared with the threshold θ, ``u`` membrane stored after the
step, ``f`` fired (unmasked), ``r`` fired in the step before, ``I`` input current, ``d = ∂f/∂v``
and ``e = ∂f/∂θ`` by the surrogate.
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
    current: Tensor, beta: Tensor, threshold: Tensor, rule: NeuronRule
) -> tuple[Tensor, Tensor]:
    """Run a LIF layer over time from rest.

    Args:
        current: [T, B, ...] input current.
        beta: leak in [0, 1], scalar or broadcastable to ``current.shape[2:]``.
        threshold: θ > 0, same shapes as ``beta``.
        rule: the step's options.

    Returns:
        (spikes, membrane), both [T, B, ...]; ``membrane`` is u, as stored after each step.
    """
    return _LIFOverTime.apply(current, beta, threshold, rule)  # type: ignore[no-any-return]


class _LIFOverTime(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, current: Tensor, beta: Tensor, threshold: Tensor, rule: NeuronRule
    ) -> tuple[Tensor, Tensor]:
        v, fired = _forward_trace(current, beta, threshold, rule)
        spikes = fired
        mask = None
        if rule.inhibition:
            mask = winner_mask(v - threshold)
            spikes = fired * mask
        membrane = _stored_membrane(v, fired, threshold, rule)
        ctx.rule = rule
        # The input itself is needed only where a reset that is part of the graph discards it.
        keep_current = rule.zero_drops_input and not rule.detach_reset
        ctx.save_for_backward(v, beta, threshold, mask, current if keep_current else None)
        ctx.set_materialize_grads(False)
        return spikes, membrane

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *grad_outputs: Tensor | None
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None, None]:
        grad_spikes, grad_membrane = grad_outputs
        if grad_spikes is None and grad_membrane is None:
            return None, None, None, None
        v, beta, threshold, mask, current = ctx.saved_tensors
        back = _backward_delayed if ctx.rule.reset_delay else _backward_immediate
        grads = back(
            v, beta, threshold, mask, current, grad_spikes, grad_membrane, ctx.rule,
            ctx.needs_input_grad,
        )  # fmt: skip
        return *grads, None


def _forward_trace(
    current: Tensor, beta: Tensor, threshold: Tensor, rule: NeuronRule
) -> tuple[Tensor, Tensor]:
    """v and f for every step, both [T, B, ...], in the order of operations of ``LIF.step``."""
    v = torch.empty_like(current, memory_format=torch.contiguous_format)
    fired = torch.empty_like(v)
    fire = torch.gt if rule.strict else torch.ge
    theta = threshold.expand(current.shape[1:])
    u = r = torch.zeros_like(current[0])
    for t in range(len(v)):
        now = torch.mul(u, beta, out=v[t])
        if not rule.reset_delay:
            now.add_(current[t])
        elif rule.reset_mechanism == "subtract":
            now.add_(current[t]).sub_(r * theta)
        elif rule.zero_drops_input:
            now.add_(current[t]).mul_(1 - r)
        elif rule.reset_mechanism == "zero":
            now.mul_(1 - r).add_(current[t])
        else:
            now.add_(current[t])
        r = fire(now, theta, out=fired[t])
        u = _stored_membrane(now, r, theta, rule)
    return v, fired


def _stored_membrane(v: Tensor, fired: Tensor, threshold: Tensor, rule: NeuronRule) -> Tensor:
    """u after the step: v itself, or v with an immediate reset applied. Any leading shape."""
    if rule.reset_delay or rule.reset_mechanism == "none":
        return v
    if rule.reset_mechanism == "subtract":
        return v - fired * threshold
    return v * (1 - fired)


def _spike_derivatives(
    v: Tensor, threshold: Tensor, rule: NeuronRule
) -> tuple[Tensor, Tensor | None]:
    """d = ∂f/∂v, and −e = −∂f/∂θ where it is not d itself (then None)."""
    if not rule.normalise_surrogate:
        return rule.surrogate.derivative(v - threshold), None
    d = rule.surrogate.derivative((v - threshold) / threshold) / threshold
    return d, d * v / threshold


def _scan_(g: Tensor, jacobian: Tensor) -> Tensor:
    """g[t] += jacobian[t]·g[t+1] from the end, in place; ``jacobian`` is [T-1, ...]."""
    for t in range(len(g) - 2, -1, -1):
        g[t].addcmul_(jacobian[t], g[t + 1])
    return g


def _backward_delayed(
    v: Tensor,
    beta: Tensor,
    threshold: Tensor,
    mask: Tensor | None,
    current: Tensor | None,
    grad_spikes: Tensor | None,
    grad_membrane: Tensor | None,
    rule: NeuronRule,
    needs: tuple[bool, ...],
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """v[t] = β·u (1−r) + I − r·θ with u = v[t−1], r = f[t−1]; ∂f[t] acts on spikes and v[t+1]."""
    d, minus_e = _spike_derivatives(v, threshold, rule)
    fired = ((v > threshold) if rule.strict else (v >= threshold)).to(v.dtype)
    subtract, zero = rule.reset_mechanism == "subtract", rule.reset_mechanism == "zero"
    before, kept = v[:-1], 1 - fired[:-1]
    grad_fired = torch.zeros_like(v) if grad_spikes is None else grad_spikes.clone()
    if mask is not None:
        grad_fired.mul_(mask)

    # reset_gain = ∂v[t+1]/∂r, the path that a detached reset leaves out.
    reset_gain: Tensor | None = None
    if not rule.detach_reset:
        if subtract:
            reset_gain = (-threshold).expand(before.shape)
        elif zero:
            reset_gain = -(beta * before)
            if current is not None:
                reset_gain = reset_gain - current[1:]
    jacobian = beta * kept if zero else beta.expand(before.shape)
    if reset_gain is not None:
        jacobian = jacobian + reset_gain * d[:-1]

    gv = grad_fired * d
    if grad_membrane is not None:
        gv += grad_membrane
    _scan_(gv, jacobian)

    grad_current = gv
    if rule.zero_drops_input:
        grad_current = gv.clone()
        grad_current[1:] *= kept
    grad_beta = grad_threshold = None
    if needs[1]:
        # In both forms of the zero reset ∂v/∂β = (1−r)·u.
        grad_beta = gv[1:] * before
        grad_beta = (grad_beta * kept if zero else grad_beta).sum_to_size(beta.shape)
    if needs[2]:
        if reset_gain is not None:
            grad_fired[:-1] += reset_gain * gv[1:]
        grad_threshold = -(grad_fired * (d if minus_e is None else minus_e))
        if subtract:
            grad_threshold[:-1] -= fired[:-1] * gv[1:]
        grad_threshold = grad_threshold.sum_to_size(threshold.shape)
    return grad_current, grad_beta, grad_threshold


def _backward_immediate(
    v: Tensor,
    beta: Tensor,
    threshold: Tensor,
    mask: Tensor | None,
    current: Tensor | None,
    grad_spikes: Tensor | None,
    grad_membrane: Tensor | None,
    rule: NeuronRule,
    needs: tuple[bool, ...],
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """v[t] = β·u[t−1] + I; u = v − f·θ or v·(1−f); ∂f[t] acts on spikes and on u[t]."""
    d, minus_e = _spike_derivatives(v, threshold, rule)
    fired = ((v > threshold) if rule.strict else (v >= threshold)).to(v.dtype)
    subtract, zero = rule.reset_mechanism == "subtract", rule.reset_mechanism == "zero"
    grad_fired = torch.zeros_like(v) if grad_spikes is None else grad_spikes.clone()
    if mask is not None:
        grad_fired.mul_(mask)

    # D = ∂u/∂v; reset_gain = ∂u/∂f, the path that a detached reset leaves out.
    D = 1 - fired if zero else torch.ones_like(v)
    reset_gain: Tensor | None = None
    if not rule.detach_reset and (subtract or zero):
        reset_gain = (-threshold).expand(v.shape) if subtract else -v
        D = D + reset_gain * d

    gv = grad_fired * d
    if grad_membrane is not None:
        gv += D * grad_membrane
    _scan_(gv, beta * D[:-1])

    grad_beta = grad_threshold = None
    if needs[1]:
        stored = _stored_membrane(v[:-1], fired[:-1], threshold, rule)
        grad_beta = (gv[1:] * stored).sum_to_size(beta.shape)
    if needs[2]:
        gu = torch.zeros_like(v) if grad_membrane is None else grad_membrane.clone()
        gu[:-1] += beta * gv[1:]
        if reset_gain is not None:
            grad_fired += reset_gain * gu
        grad_threshold = -(grad_fired * (d if minus_e is None else minus_e))
        if subtract:
            grad_threshold -= fired * gu
        grad_threshold = grad_threshold.sum_to_size(threshold.shape)
    return gv, grad_beta, grad_threshold
