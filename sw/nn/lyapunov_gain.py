"""The finite-time gain of a feed-forward spiking network: what its Lyapunov regulariser acts on.

``Λ_T = (1/T)·ln(‖δu_T‖ / ‖δ_input‖)``: a perturbation of the first step's input is carried
forward, as a tangent, through all layers and timesteps, and compared at the last layer's membrane
after the last step. The tangent is written out operation by operation (forward mode), with the
surrogate's slope for the spike's, so that the result is an ordinary differentiable number: its
gradient goes through the weights, through the trajectory and through the slopes themselves.

Surrogates of constant slope (straight-through, triangular) leave no gradient by the last way.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from .batchnorm import BatchNormOverTime, BatchNormOverTime2d
from .conv import AvgPoolOverTime, ConvOverTime, GlobalAvgPool, MaxPoolOverTime
from .errors import LayerError
from .lif import LIF
from .lif_function import NeuronRule, winner_mask
from .readout import SumCurrent

_LINEAR = (AvgPoolOverTime, GlobalAvgPool, nn.Flatten, nn.Identity, SumCurrent)
"""Modules that treat a tangent as they treat the signal."""


@dataclass(frozen=True)
class Gain:
    """A finite-time gain, as :func:`finite_time_gain` computes it; tensors are differentiable.

    Attributes:
        values: Λ_T of each sample, [B], in nats per timestep.
        output: what the module returned.
        spikes: of every LIF layer, [T, B, ...].
        dead: part of the samples whose perturbation vanished altogether. Their Λ_T is the
            logarithm of the smallest number there is, over T, without gradient.
    """

    values: Tensor
    output: Tensor
    spikes: tuple[Tensor, ...]
    dead: float


def finite_time_gain(
    module: nn.Module,
    x: Tensor,
    direction: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> Gain:
    """Λ_T of a chain of layers.

    Dropout applies the same mask to signal and tangent. Batch norm's statistics, the batch's in
    training, the running ones in evaluation, do not follow the perturbation, but gradients do go
    through those of the batch: shrinking weights before a batch norm gains nothing.

    Args:
        module: a LIF layer or a Sequential (nested or not) of LIF, ``nn.Linear``, dropout,
            flattening, and our convolutions, pools and batch norms over time and ``SumCurrent``;
            with one LIF at least.
        x: input [T, B, ...].
        direction: of the perturbation of ``x[0]``, [B, ...], of any length but 0; None is random.
        generator: of a random direction, on the input's device; None is torch's global one.

    Raises:
        LayerError: another module, no LIF, no step, or a direction of another shape or of no
            length.
    """
    if x.dim() < 2 or len(x) == 0:
        raise LayerError(
            f"finite_time_gain: the input has shape {list(x.shape)}; it must be [T, B, ...], T ≥ 1"
        )
    if direction is None:
        direction = torch.randn(
            x.shape[1:], dtype=x.dtype, device=x.device, generator=generator
        )  # fmt: skip
    elif direction.shape != x.shape[1:]:
        raise LayerError(
            f"finite_time_gain: direction has shape {list(direction.shape)}; it must be that of "
            f"one step, {list(x.shape[1:])}"
        )
    size, dead = _log_norm(direction)
    if bool(dead.any()):
        raise LayerError("finite_time_gain: direction is 0 for some sample; it must have a length")
    tangent = torch.cat((direction.unsqueeze(0), torch.zeros_like(x[1:])))
    run = _Run()
    output, _ = run.through(module, x, tangent)
    if run.membrane is None:
        raise LayerError(f"{type(module).__name__}: it has no LIF layer, so no finite-time gain")
    grown, dead = _log_norm(run.membrane)
    return Gain((grown - size) / len(x), output, tuple(run.spikes), float(dead.float().mean()))


def lyapunov_loss(measure: Tensor, target: float = 0.0, weight: float = 1.0) -> Tensor:
    """``weight·(mean(measure) − target)²``, a term for the loss.

    Args:
        measure: :func:`finite_time_gain`'s ``values``, or
            :func:`reslif.sw.nn.surrogate_exponent` of a recurrent network.
        target: 0 is a network that neither amplifies nor damps a perturbation.
        weight: 0 or more.
    """
    return weight * (measure.mean() - target).square()


class _Run:
    """Carries (signal, tangent) through a chain; remembers the last LIF's membrane's tangent."""

    def __init__(self) -> None:
        self.membrane: Tensor | None = None
        self.spikes: list[Tensor] = []

    def through(self, module: nn.Module, x: Tensor, tangent: Tensor) -> tuple[Tensor, Tensor]:
        if isinstance(module, nn.Sequential):
            for layer in module:
                x, tangent = self.through(layer, x, tangent)
            return x, tangent
        if isinstance(module, LIF):
            spikes, moved, membrane = lif_tangent(module, x, tangent)
            self.membrane = membrane[-1]
            self.spikes.append(spikes)
            return spikes, moved
        if isinstance(module, nn.Dropout):
            mask = module(torch.ones_like(x))
            return x * mask, tangent * mask
        if isinstance(module, BatchNormOverTime | BatchNormOverTime2d):
            scale = _norm_scale(module, x)
            return module(x), tangent * scale
        y = module(x)  # first of all: a lazy layer becomes what it is
        if isinstance(module, nn.Linear):
            return y, functional.linear(tangent, module.weight)
        if isinstance(module, ConvOverTime):
            return y, _without_bias(module, tangent)
        if isinstance(module, MaxPoolOverTime):
            return y, _max_tangent(module, x, tangent)
        if isinstance(module, _LINEAR):
            return y, module(tangent)
        raise LayerError(
            f"finite_time_gain: there is no tangent for {type(module).__name__}; see the docstring "
            "for what a chain may have"
        )


def lif_tangent(lif: LIF, x: Tensor, tangent: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(spikes, their tangent, the membrane's tangent), all [T, B, ...], of a LIF from rest.

    The step's equations, differentiated, in the symbols of :class:`LIF`: ``ds = σ'(v)·dv``, and a
    reset that is not detached moves with ``σ'`` as well.
    """
    if lif.stateful and lif.state is not None:
        raise LayerError("finite_time_gain: a LIF keeps the state of an earlier call; reset() it")
    rule = lif.rule()
    beta = lif.effective_beta().to(x.dtype)
    theta = lif.effective_threshold().to(x.dtype)
    spikes, stored = lif(x, return_membrane=True)
    before = torch.cat((torch.zeros_like(stored[:1]), stored[:-1]))
    late = rule.reset_delay or rule.reset_mechanism == "none"
    v = stored if late else beta * before + x
    distance = (v - theta) / theta if rule.normalise_surrogate else v - theta
    slope = rule.surrogate.derivative(distance)
    if rule.normalise_surrogate:
        slope = slope / theta
    fired = rule.surrogate(distance, rule.strict)
    if rule.detach_reset:
        fired = fired.detach()
    leaked = beta * before
    dv: list[Tensor] = []
    stored_tangents: list[Tensor] = []
    du = torch.zeros_like(tangent[0])
    for t in range(len(x)):
        leak, r, dr = beta * du, 0, 0
        if rule.reset_delay and t:
            r, dr = fired[t - 1], _moved(slope[t - 1], dv[t - 1], rule)
        if not rule.reset_delay or rule.reset_mechanism == "none":
            now = leak + tangent[t]
        elif rule.reset_mechanism == "subtract":
            now = leak + tangent[t] - dr * theta
        elif rule.reset_keeps_input:
            now = (1 - r) * leak - dr * leaked[t] + tangent[t]
        else:
            now = (1 - r) * (leak + tangent[t]) - dr * (leaked[t] + x[t])
        dv.append(now)
        du = now
        if not late:
            df = _moved(slope[t], now, rule)
            if rule.reset_mechanism == "subtract":
                du = now - df * theta
            else:
                du = (1 - fired[t]) * now - df * v[t]
        stored_tangents.append(du)
    ds = slope * torch.stack(dv)
    if rule.inhibition:
        ds = ds * winner_mask(v - theta)
    return spikes, ds, torch.stack(stored_tangents)


def _moved(slope: Tensor, dv: Tensor, rule: NeuronRule) -> Tensor | int:
    """The tangent of a fire decision, as a reset feels it."""
    return 0 if rule.detach_reset else slope * dv


def _norm_scale(norm: BatchNormOverTime | BatchNormOverTime2d, x: Tensor) -> Tensor:
    """The factor of each channel, shaped to multiply [T, B, C, ...]."""
    if norm.training or norm.running_var is None:
        variance = x.var([d for d in range(x.dim()) if d != 2], unbiased=False)
    else:
        variance = norm.running_var
    scale = norm.weight * torch.rsqrt(variance + norm.eps)
    return scale.view(-1, *(1,) * (x.dim() - 3))


def _without_bias(conv: ConvOverTime, tangent: Tensor) -> Tensor:
    if conv.padding_mode != "zeros":
        raise LayerError(
            f"finite_time_gain: a convolution's padding_mode is {conv.padding_mode!r}; it must be "
            "'zeros'"
        )
    flat = functional.conv2d(
        tangent.flatten(0, 1), conv.weight, None, conv.stride, conv.padding, conv.dilation,
        conv.groups,
    )  # fmt: skip
    return flat.unflatten(0, tangent.shape[:2])


def _max_tangent(pool: MaxPoolOverTime, x: Tensor, tangent: Tensor) -> Tensor:
    """The tangent of the pixel that is each window's maximum (the first on ties)."""
    _, where = functional.max_pool2d(
        x.flatten(0, 1), pool.kernel_size, pool.stride, pool.padding, pool.dilation,
        pool.ceil_mode, return_indices=True,
    )  # fmt: skip
    taken = tangent.flatten(0, 1).flatten(2).gather(2, where.flatten(2))
    return taken.view(where.shape).unflatten(0, x.shape[:2])


def _log_norm(v: Tensor) -> tuple[Tensor, Tensor]:
    """(ln‖v‖ of each sample [B], where it is 0), safe where squares would underflow."""
    flat = v.flatten(1)
    peak = flat.detach().abs().amax(1)
    least = torch.finfo(v.dtype).tiny
    dead = peak < least
    peak = torch.where(dead, torch.ones_like(peak), peak)
    square = (flat / peak.unsqueeze(1)).square().sum(1)
    log = 0.5 * torch.where(dead, torch.ones_like(square), square).log() + peak.log()
    return torch.where(dead, torch.full_like(log, math.log(least)), log), dead
