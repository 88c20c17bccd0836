"""Lyapunov exponents of spiking networks: Benettin's, by QR, and one that can be trained.

What each means, and for which networks, is said in docs/lyapunov.md. All are in nats per
timestep. The networks run on [T, B, ...]; each sample is one trajectory with a norm of its own,
taken over *all* layers at once: a norm per layer would measure something else.

References: Benettin et al., Meccanica 15, 1980; Wolf et al., Physica D 16, 1985; for spiking
neurons Zhou et al., J. Comput. Neurosci. 28, 2010 (10.1007/s10827-009-0201-3).
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.autograd.functional import jvp

from .errors import LayerError
from .step_map import States, StepMap, step_map


@dataclass(frozen=True)
class Exponent:
    """A largest Lyapunov exponent, as :func:`benettin` measures it.

    Attributes:
        value: mean over the samples, in nats per timestep; −inf if a perturbation died.
        per_sample: [B].
        eps: size of the perturbation.
        flipped: part of all spikes and silences that the perturbation changed. At 0 only the
            smooth part of the dynamics was seen.
        spike_rate: spikes per neuron and timestep: of a silent network the exponent is ln β.
        steps: timesteps that were averaged over.
    """

    value: float
    per_sample: Tensor
    eps: float
    flipped: float
    spike_rate: float
    steps: int


@dataclass(frozen=True)
class Spectrum:
    """All exponents of the surrogate dynamics; ``values`` [n] falling, ``per_sample`` [B, n]."""

    values: Tensor
    per_sample: Tensor
    spike_rate: float
    steps: int


@torch.no_grad()
def benettin(
    module: nn.Module, x: Tensor, *, eps: float = 1e-6, burn_in: int | None = None, seed: int = 0
) -> Exponent:
    """The largest exponent of the network as it is, hard spikes included.

    Two trajectories under the same input, ``eps`` apart; after every step the distance over all
    layers is measured and set back to ``eps``. On a copy in float64, in evaluation mode.

    Args:
        module: on [T, B, ...]; see :func:`reslif.sw.nn.step_map.step_map`.
        x: input [T, B, ...].
        eps: size of the perturbation. It decides how many spikes flip, and so the result.
        burn_in: steps left out at the start, default T // 4: there the perturbation, random at
            first, turns into the most expanding direction.
        seed: of that first direction.

    Raises:
        LayerError: too few steps, an ``eps`` that is not above 0, or a module without a map.
    """
    if not eps > 0:
        raise LayerError(f"benettin: eps is {eps}; it must be above 0")
    burn_in = _burn_in("benettin", x, burn_in)
    x = x.detach().double()
    logs: list[Tensor] = []
    flips, rates = [], []
    with step_map(deepcopy(module).double()) as step:
        states, _ = step(x[0])
        deltas = _scaled(_random(states, seed), eps)
        for t in range(1, len(x)):
            pair = tuple(torch.cat((s, s + d)) for s, d in zip(states, deltas, strict=True))
            pair, spikes = step(torch.cat((x[t], x[t])), pair)
            halves = [state.chunk(2) for state in pair]
            states = tuple(plain for plain, _ in halves)
            deltas = tuple(moved - plain for plain, moved in halves)
            if t > burn_in:
                logs.append((_norm(deltas) / eps).log())
                flips.append(_mean([_flipped(*layer.chunk(2)) for layer in spikes]))
                rates.append(_mean([layer.chunk(2)[0] for layer in spikes]))
            deltas = _scaled(deltas, eps)
    per_sample = torch.stack(logs).mean(0)
    return Exponent(
        float(per_sample.mean()), per_sample, eps, sum(flips) / len(logs), sum(rates) / len(logs),
        len(logs),
    )  # fmt: skip


def lyapunov_spectrum(module: nn.Module, x: Tensor, *, burn_in: int | None = None) -> Spectrum:
    """All exponents, by QR of the surrogate Jacobians: for small networks.

    The Jacobian of a step is that of all states by all states before it, with the surrogate's
    slope for the spike's. Of one recurrent layer it is ``βI + (W − θI)·diag(σ')``, without ``−θI``
    where the reset is detached. It costs one backward pass per state and step.

    Args:
        module, x, burn_in: as for :func:`benettin`; on a copy in float64 as well.
    """
    burn_in = _burn_in("lyapunov_spectrum", x, burn_in)
    x = x.detach().double()
    logs: list[Tensor] = []
    rates: list[float] = []
    with step_map(deepcopy(module).double().requires_grad_(False)) as step:
        states, _ = step(x[0])
        frame: Tensor | None = None
        for t in range(1, len(x)):
            states, jacobian, spikes = _jacobian(step, x[t], states)
            frame, r = torch.linalg.qr(jacobian if frame is None else jacobian @ frame)
            if t > burn_in:
                logs.append(r.diagonal(dim1=1, dim2=2).abs().log())
                rates.append(_mean(spikes))
    per_sample = torch.stack(logs).mean(0)
    values = per_sample.mean(0).sort(descending=True).values
    return Spectrum(values, per_sample, sum(rates) / len(rates), len(logs))


def surrogate_exponent(
    module: nn.Module, x: Tensor, *, burn_in: int | None = None, seed: int = 0
) -> Tensor:
    """The largest exponent of the surrogate dynamics, differentiable: a loss term.

    A tangent from a random direction, carried through the surrogate Jacobians and normalised in
    every step. Gradients flow to the weights, through the Jacobians and through the trajectory.
    Meaningful for recurrent networks; of a feed-forward one it is ln β in the long run, whatever
    its weights, and :func:`reslif.sw.nn.finite_time_gain` is the measure to train.

    Args:
        module, x, burn_in, seed: as for :func:`benettin`; on the module itself, in its own dtype.

    Returns:
        The mean over samples, a tensor without dimension; finite, and without gradient where the
        tangent died.
    """
    burn_in = _burn_in("surrogate_exponent", x, burn_in)
    logs: list[Tensor] = []
    with step_map(module) as step:
        states, _ = step(x[0])
        deltas = _scaled(_random(states, seed), 1.0)
        for t in range(1, len(x)):
            one = x[t]
            states, deltas = jvp(lambda *s, one=one: step(one, s)[0], states, deltas, True)
            if t > burn_in:
                norm = _norm(deltas)
                logs.append(norm.clamp(min=torch.finfo(norm.dtype).tiny).log().mean())
            deltas = _scaled(deltas, 1.0)
    return torch.stack(logs).mean()


def _burn_in(name: str, x: Tensor, burn_in: int | None) -> int:
    steps = len(x)
    chosen = steps // 4 if burn_in is None else burn_in
    if not 0 <= chosen < steps - 1:
        raise LayerError(
            f"{name}: the input has {steps} steps, burn_in is {chosen}; at least one step must "
            "follow the first step and burn_in"
        )
    return chosen


def _jacobian(step: StepMap, x: Tensor, states: States) -> tuple[States, Tensor, States]:
    """(states after the step, ∂states/∂states [B, n, n], spikes)."""
    starts = tuple(state.detach().requires_grad_() for state in states)
    found, spikes = step(x, starts)
    flat = torch.cat([state.flatten(1) for state in found], 1)
    # Samples do not meet, so the gradient of a sum over them is that of each.
    rows = [
        torch.autograd.grad(out, starts, retain_graph=True, materialize_grads=True)
        for out in flat.sum(0)
    ]
    jacobian = torch.stack([torch.cat([g.flatten(1) for g in row], 1) for row in rows], 1)
    return tuple(state.detach() for state in found), jacobian, spikes


def _random(states: States, seed: int) -> States:
    generator = torch.Generator(states[0].device).manual_seed(seed)
    return tuple(
        torch.randn(s.shape, dtype=s.dtype, device=s.device, generator=generator) for s in states
    )


def _norm(deltas: States) -> Tensor:
    """[B]: each sample's norm over all layers."""
    return torch.cat([delta.flatten(1) for delta in deltas], 1).norm(dim=1)


def _scaled(deltas: States, size: float) -> States:
    norm = _norm(deltas)
    # A perturbation that died stays dead, and its exponent −inf.
    factor = size / norm.clamp(min=torch.finfo(norm.dtype).tiny)
    return tuple(d * factor.view(-1, *(1,) * (d.dim() - 1)) for d in deltas)


def _flipped(plain: Tensor, moved: Tensor) -> Tensor:
    return (plain != moved).double()


def _mean(layers: States | list[Tensor]) -> float:
    """The mean over all neurons of all layers."""
    return sum(float(s.detach().sum()) for s in layers) / sum(s.numel() for s in layers)
