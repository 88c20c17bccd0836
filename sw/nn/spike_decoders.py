"""Spikes to values: the ways back from the codes of :mod:`.spike_codes`."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .errors import LayerError
from .spike_codes import check_latency, floating


def decode_rate(spikes: Tensor, gain: float = 1, offset: float = 0) -> Tensor:
    """Values [B, ...] behind the rates of spikes [T, B, ...]: ``(mean − offset)/gain``."""
    _require_steps("decode_rate", spikes)
    return (floating(spikes).mean(0) - offset) / gain


def decode_latency(
    spikes: Tensor,
    threshold: float = 0.01,
    tau: float = 1,
    first_spike_time: int = 0,
    normalize: bool = False,
    linear: bool = False,
    epsilon: float = 1e-7,
) -> Tensor:
    """Values [B, ...] behind the first spikes of [T, B, ...], encoded by ``latency``.

    The options must be those of the code; spike times were rounded, so values come back to within
    half a step of it. A neuron that is silent, or first fires before ``first_spike_time``, decodes
    to 0 and 1 respectively. With ``normalize`` the logarithmic code is taken to have seen a value
    at or below the threshold (it scales by the smallest value, which the spikes do not tell).
    """
    _require_steps("decode_latency", spikes)
    check_latency(len(spikes), threshold, tau, first_spike_time, normalize)
    fired = spikes > 0
    times = fired.to(torch.uint8).argmax(0) - first_spike_time
    last = max(len(spikes) - 1 - first_spike_time, 1)
    dtype = floating(spikes).dtype
    if linear:
        values = 1 - times.to(dtype) / (last if normalize else tau)
    else:
        scale = math.log((threshold + epsilon) / epsilon) / last if normalize else 1 / tau
        values = threshold / -torch.expm1(-times.to(dtype).clamp(min=0) * scale)
    return torch.where(fired.any(0), values.clamp(max=1), 0)


def decode_delta(spikes: Tensor, threshold: float = 0.1, initial: Tensor | float = 0) -> Tensor:
    """Values [T, ...] behind spikes encoded by ``delta`` with ``off_spike``: their sum.

    Each spike counts ``threshold``, though it may stand for a larger change, and changes below it
    send none: exact only for data that moves by 0 or ±``threshold``. ``initial`` is the value
    before the first step: 0, or the first value if the code used ``padding``.
    """
    _require_steps("decode_delta", spikes)
    return initial + threshold * floating(spikes).cumsum(0)


def _require_steps(owner: str, spikes: Tensor) -> None:
    if spikes.dim() == 0 or len(spikes) == 0:
        raise LayerError(
            f"{owner}: the spikes have shape {list(spikes.shape)}; they must be [T, ...] with T ≥ 1"
        )
