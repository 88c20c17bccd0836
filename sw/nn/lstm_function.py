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

# g·y·(1 − y) and g·(1 − y²) for y = σ(x) and y = tanh(x), each in one pass.
_sigmoid_backward = torch.ops.aten.sigmoid_backward
_tanh_backward = torch.ops.aten.tanh_backward


def run_lstm(
    inputs: Tensor,
    cell: Tensor,
    membrane: Tensor,
    recurrence: Recurrence,
    threshold: Tensor,
    order: str,
    rule: NeuronRule,
) -> tuple[Tensor, Tensor]:
    """Run an LSTM with a spiking reset over time.

    A dense layer's input weights are applied to the whole block at once, outside of this
    function. A convolution is of input and membrane together, step by step: two convolutions
    were measured 1.3 times slower than the one, and a block of all steps leaves the cache.

    Args:
        inputs: ``"linear"``: [T, B, 4n] the input's part of the gate currents; ``"conv"``:
            [T, B, channels, height, width] the input itself.
        cell, membrane: [B, n, ...] what the layer starts from.
        recurrence: to gate currents [B, 4n, ...], ``"linear"`` from the membrane [B, n],
            ``"conv"`` from input and membrane [B, channels + n, height, width].
        threshold: θ, scalar or broadcastable to a step's membrane after [B].
        order: which quarter of the gate currents is which, a permutation of ``"ifgo"``.
        rule: the reset; it is of the membrane only, the cell is never reset.

    Returns:
        (cell, v), both [T, B, n, ...]; the stored membrane follows from v by an immediate reset.
    """
    return _LSTMOverTime.apply(  # type: ignore[no-any-return]
        inputs, cell, membrane, recurrence.weight, recurrence.bias, threshold,
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
        inputs: Tensor,
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
            inputs, cell0, membrane0, recurrence, threshold, order, rule
        )
        ctx.kind, ctx.padding, ctx.order, ctx.rule = kind, padding, order, rule
        ctx.save_for_backward(
            active, cell, v, cell0, membrane0, weight, bias, threshold,
            inputs if kind == "conv" else None,
        )  # fmt: skip
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
        active, cell, v, cell0, membrane0, weight, bias, threshold, inputs = ctx.saved_tensors
        recurrence = Recurrence(ctx.kind, weight, bias, ctx.padding)
        gz, gx, gc, gu, grad_threshold = _backward(
            active, cell, v, cell0, membrane0, recurrence, threshold, grad_outputs, ctx.order,
            ctx.rule,
        )  # fmt: skip
        grad_weight = grad_bias = None
        if any(ctx.needs_input_grad[3:5]):
            fed_back = torch.cat((membrane0[None], stored_membrane(v[:-1], threshold, ctx.rule)))
            if inputs is not None:
                fed_back = torch.cat((inputs, fed_back), dim=2)
            grad_weight, grad_bias = recurrence.weight_gradients(fed_back, gz)
        grad_threshold = grad_threshold.sum_to_size(threshold.shape)
        return gx, gc, gu, grad_weight, grad_bias, grad_threshold, *not_tensors


def _forward_trace(
    inputs: Tensor,
    c: Tensor,
    u: Tensor,
    recurrence: Recurrence,
    threshold: Tensor,
    order: str,
    rule: NeuronRule,
) -> tuple[Tensor, Tensor, Tensor]:
    """Active gates [T, B, 4n, ...], c and v [T, B, n, ...]."""
    steps, (batch, n, *rest) = len(inputs), c.shape
    active = inputs.new_empty(steps, batch, 4 * n, *rest)
    cell = inputs.new_empty(steps, *c.shape)
    v = torch.empty_like(cell)
    for t in range(steps):
        before = u
        if recurrence.kind == "conv":
            active[t] = recurrence(torch.cat((inputs[t], before), dim=1))
        else:
            torch.add(inputs[t], recurrence(before), out=active[t])
        i, f, g, o = gate_quarters(active[t], order)
        for gate in (i, f, o):
            gate.sigmoid_()
        g.tanh_()
        c = torch.mul(f, c, out=cell[t]).addcmul_(i, g)
        now = torch.tanh(c, out=v[t]).mul_(o)
        if rule.reset_delay and rule.reset_mechanism == "subtract":
            now.addcmul_(fire_decision(before, threshold, rule), threshold, value=-1)
        elif rule.reset_delay and rule.reset_mechanism == "zero":
            now.mul_(1 - fire_decision(before, threshold, rule))
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
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Gradients of gate currents, input, both first states and (not yet summed to its shape) θ."""
    grad_cell, grad_v = grad_outputs
    delayed = rule.reset_mechanism if rule.reset_delay else "none"
    immediate = "none" if rule.reset_delay else rule.reset_mechanism
    gz = gx = torch.empty_like(active)
    if recurrence.kind == "conv":
        channels = recurrence.weight.shape[1] - cell0.shape[1]
        gx = cell.new_empty(len(cell), len(cell0), channels, *cell0.shape[2:])
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

        gc = gc + _tanh_backward(gh * o, squashed)
        if grad_cell is not None:
            gc = gc + grad_cell[t]
        gi, gforget, gg, go = gate_quarters(gz[t], order)
        _sigmoid_backward.grad_input(gh * squashed, o, grad_input=go)
        _sigmoid_backward.grad_input(gc * g, i, grad_input=gi)
        _sigmoid_backward.grad_input(gc * (cell[t - 1] if t else cell0), f, grad_input=gforget)
        _tanh_backward.grad_input(gc * i, g, grad_input=gg)
        gc = gc * f
        gu = recurrence.input_gradient(gz[t])
        if gx is not gz:
            gx[t] = gu[:, : gx.shape[2]]
            gu = gu[:, gx.shape[2] :]
    if delayed != "none" and not rule.detach_reset:
        slope, slope_of_threshold = spike_slopes(membrane0, threshold, rule)
        gu = torch.addcmul(gu, gf, slope)
        grad_threshold.addcmul_(gf, slope_of_threshold, value=-1)
    return gz, gx, gc, gu, grad_threshold
