"""SLSTM and SConv2dLSTM over a whole [T, B, ...] block as one autograd function, backward by hand.

The feedback is the membrane, not the spikes, so that spikes (and pooling) are whole-block
operations outside of the time loop. Inside are the gates, the cell and the reset.

Symbols: ``z`` gate currents, ``c`` cell, ``h = o·tanh(c)``, ``v`` membrane that is compared with
θ (h with a delayed reset), ``u`` membrane stored after the step and fed back, ``f`` fired.
``gx`` is ∂loss/∂x.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .firing import fire_decision, spike_slopes, stored_membrane
from .lif_function import NeuronRule
from .recurrence import Recurrence


def run_lstm(
    gates: Tensor,
    cell: Tensor,
    membrane: Tensor,
    recurrence: Recurrence,
    threshold: Tensor,
    order: str,
    rule: NeuronRule,
) -> tuple[Tensor, Tensor]:
    """Run an LSTM with a spiking reset over time.

    Args:
        gates: [T, B, 4n, ...] the input's part of the gate currents.
        cell, membrane: [B, n, ...] what the layer starts from.
        recurrence: from the stored membrane [B, n, ...] to gate currents [B, 4n, ...].
        threshold: θ, scalar or broadcastable to a step's membrane after [B].
        order: which quarter of the gate currents is which, a permutation of ``"ifgo"``.
        rule: the reset; it is of the membrane only, the cell is never reset.

    Returns:
        (cell, v), both [T, B, n, ...]; the stored membrane follows from v by an immediate reset.
    """
    return _LSTMOverTime.apply(  # type: ignore[no-any-return]
        gates, cell, membrane, recurrence.weight, recurrence.bias, threshold,
        recurrence.kind, recurrence.padding, order, rule,
    )  # fmt: skip


def gate_quarters(z: Tensor, order: str) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Views of i, f, g, o in one step's [B, 4n, ...]."""
    named = dict(zip(order, z.chunk(4, dim=1), strict=True))
    return named["i"], named["f"], named["g"], named["o"]


class _LSTMOverTime(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        gates: Tensor,
        cell0: Tensor,
        membrane0: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        threshold: Tensor,
        kind: str,
        padding: tuple[int, int],
        order: str,
        rule: NeuronRule,
    ) -> tuple[Tensor, Tensor]:
        recurrence = Recurrence(kind, weight, bias, padding)
        active, cell, v = _forward_trace(
            gates, cell0, membrane0, recurrence, threshold, order, rule
        )
        ctx.kind, ctx.padding, ctx.order, ctx.rule = kind, padding, order, rule
        ctx.save_for_backward(active, cell, v, cell0, membrane0, weight, bias, threshold)
        ctx.set_materialize_grads(False)
        return cell, v

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *grad_outputs: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        not_tensors = (None,) * 4
        if all(grad is None for grad in grad_outputs):
            return (None,) * 6 + not_tensors
        active, cell, v, cell0, membrane0, weight, bias, threshold = ctx.saved_tensors
        recurrence = Recurrence(ctx.kind, weight, bias, ctx.padding)
        gz, gc, gu, grad_threshold = _backward(
            active, cell, v, cell0, membrane0, recurrence, threshold, grad_outputs, ctx.order,
            ctx.rule,
        )  # fmt: skip
        grad_weight = grad_bias = None
        if any(ctx.needs_input_grad[3:5]):
            fed_back = torch.cat((membrane0[None], stored_membrane(v[:-1], threshold, ctx.rule)))
            grad_weight, grad_bias = recurrence.weight_gradients(fed_back, gz)
        grad_threshold = grad_threshold.sum_to_size(threshold.shape)
        return gz, gc, gu, grad_weight, grad_bias, grad_threshold, *not_tensors


def _forward_trace(
    gates: Tensor,
    c: Tensor,
    u: Tensor,
    recurrence: Recurrence,
    threshold: Tensor,
    order: str,
    rule: NeuronRule,
) -> tuple[Tensor, Tensor, Tensor]:
    """Active gates [T, B, 4n, ...], c and v [T, B, n, ...]."""
    active = torch.empty_like(gates, memory_format=torch.contiguous_format)
    cell = gates.new_empty(len(gates), *c.shape)
    v = torch.empty_like(cell)
    r = fire_decision(u, threshold, rule)
    for t in range(len(gates)):
        torch.add(gates[t], recurrence(u), out=active[t])
        i, f, g, o = gate_quarters(active[t], order)
        for gate in (i, f, o):
            gate.sigmoid_()
        g.tanh_()
        c = torch.mul(f, c, out=cell[t]).addcmul_(i, g)
        now = torch.tanh(c, out=v[t]).mul_(o)
        if rule.reset_delay and rule.reset_mechanism == "subtract":
            now.sub_(r * threshold)
        elif rule.reset_delay and rule.reset_mechanism == "zero":
            now.mul_(1 - r)
        r = fire_decision(now, threshold, rule)
        u = stored_membrane(now, threshold, rule)
    return active, cell, v


def _backward(
    active: Tensor,
    cell: Tensor,
    v: Tensor,
    cell0: Tensor,
    membrane0: Tensor,
    recurrence: Recurrence,
    threshold: Tensor,
    grad_outputs: tuple[Tensor | None, ...],
    order: str,
    rule: NeuronRule,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients of gate currents, both initial states and (not yet summed to its shape) θ."""
    grad_cell, grad_v = grad_outputs
    delayed = rule.reset_mechanism if rule.reset_delay else "none"
    immediate = "none" if rule.reset_delay else rule.reset_mechanism
    gz = torch.empty_like(active)
    # By way of the step after: of c[t], of u[t], of f[t] as the delayed reset.
    gc = gu = gf = torch.zeros_like(cell0)
    grad_threshold = torch.zeros_like(cell0)
    for t in range(len(v) - 1, -1, -1):
        now, gv = v[t], gu
        if immediate != "none":
            fired = fire_decision(now, threshold, rule)
            if immediate == "subtract":
                grad_threshold.addcmul_(fired, gu, value=-1)
            else:
                gv = gu * (1 - fired)
            gf = -gu * (threshold if immediate == "subtract" else now)
        if rule.reset_mechanism != "none" and not rule.detach_reset:
            slope, slope_of_threshold = spike_slopes(now, threshold, rule)
            gv = torch.addcmul(gv, gf, slope)
            grad_threshold.addcmul_(gf, slope_of_threshold, value=-1)
        if grad_v is not None:
            gv = gv + grad_v[t]

        # v[t] from h: the delayed reset, decided by the membrane before.
        i, f, g, o = gate_quarters(active[t], order)
        squashed = torch.tanh(cell[t])
        gh = gv
        if delayed != "none":
            fired = fire_decision(v[t - 1] if t else membrane0, threshold, rule)
            if delayed == "subtract":
                grad_threshold.addcmul_(fired, gv, value=-1)
            else:
                gh = gv * (1 - fired)
            gf = -gv * (threshold if delayed == "subtract" else o * squashed)

        gc = torch.addcmul(gc, gh * o, 1 - squashed.square())
        if grad_cell is not None:
            gc = gc + grad_cell[t]
        gi, gforget, gg, go = gate_quarters(gz[t], order)
        torch.mul(gh * squashed, o * (1 - o), out=go)
        torch.mul(gc * g, i * (1 - i), out=gi)
        torch.mul(gc * i, 1 - g.square(), out=gg)
        torch.mul(gc * (cell[t - 1] if t else cell0), f * (1 - f), out=gforget)
        gc = gc * f
        gu = recurrence.input_gradient(gz[t])
    if delayed != "none" and not rule.detach_reset:
        slope, slope_of_threshold = spike_slopes(membrane0, threshold, rule)
        gu = torch.addcmul(gu, gf, slope)
        grad_threshold.addcmul_(gf, slope_of_threshold, value=-1)
    return gz, gc, gu, grad_threshold
