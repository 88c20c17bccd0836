"""Values to spikes: the rate, latency and delta codes of :mod:`.spikegen`."""

from __future__ import annotations

import torch
from torch import Tensor

from .errors import LayerError


def rate(
    data: Tensor,
    num_steps: int = 0,
    gain: float = 1,
    offset: float = 0,
    first_spike_time: int = 0,
    time_var_input: bool = False,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Bernoulli spikes with probability ``clamp(data·gain + offset, 0, 1)`` in every step.

    Args:
        data: [B, ...], or [T, B, ...] with ``time_var_input``.
        num_steps: T; only for static data.
        gain, offset: applied to the data (snnTorch leaves them out for time-varying data).
        first_spike_time: no spikes before this step. Time-varying data is moved back by so many
            steps; of static data the first steps are silenced.
        time_var_input: the data has a time dimension already.
        generator: source of randomness, on the data's device; None is torch's global one.

    Returns:
        Spikes in {0, 1}, [T, B, ...].
    """
    if first_spike_time < 0:
        raise LayerError(f"rate: first_spike_time is {first_spike_time}; it must be 0 or more")
    if time_var_input:
        if num_steps:
            raise LayerError(
                f"rate: num_steps is {num_steps}; time-varying data (time_var_input=True) brings "
                "its own number of steps"
            )
        spikes = rate_conv(data * gain + offset, generator)
        silence = spikes.new_zeros((first_spike_time, *spikes.shape[1:]))
        return torch.cat((silence, spikes))
    if num_steps < 1:
        raise LayerError(
            f"rate: num_steps is {int(num_steps)}; static data needs 1 or more (data that has a "
            "time dimension needs time_var_input=True)"
        )
    if first_spike_time >= num_steps:
        raise LayerError(
            f"rate: first_spike_time is {first_spike_time}; it must be below num_steps, {num_steps}"
        )
    spikes = rate_conv((data * gain + offset).expand(num_steps, *data.shape), generator)
    spikes[:first_spike_time] = 0
    return spikes


def rate_conv(data: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Bernoulli spikes with probability ``clamp(data, 0, 1)``; same shape."""
    return torch.bernoulli(floating(data).clamp(0, 1), generator=generator)


def latency(
    data: Tensor,
    num_steps: int = 0,
    threshold: float = 0.01,
    tau: float = 1,
    first_spike_time: int = 0,
    on_target: float = 1,
    off_target: float = 0,
    clip: bool = False,
    normalize: bool = False,
    linear: bool = False,
    interpolate: bool = False,
    bypass: bool = False,
    epsilon: float = 1e-7,
) -> Tensor:
    """One spike a value, earlier for larger values: at :func:`latency_code`'s time, rounded.

    Args:
        data: values in [0, 1], any shape [B, ...].
        num_steps: T; may be 0 with ``bypass``, and is then the latest spike's step plus one.
        threshold, tau, first_spike_time, normalize, linear, epsilon: see :func:`latency_code`.
        on_target, off_target: what is returned at spikes and elsewhere. (snnTorch returns 0, not
            a negative ``off_target``, elsewhere.)
        clip: values below ``threshold`` send no spike.
        interpolate: instead of spikes, rise linearly from ``off_target`` up to ``on_target`` at
            the spike (``clip`` applies here too).
        bypass: drop spikes beyond ``num_steps`` instead of refusing them.

    Returns:
        [T, B, ...].
    """
    data = floating(data)
    if not bool(((data >= 0) & (data <= 1)).all()):
        raise LayerError(
            f"latency: the data spans [{float(data.min()):.6g}, {float(data.max()):.6g}]; it must "
            "lie in [0, 1]"
        )
    if not num_steps and not bypass:
        raise LayerError(
            "latency: num_steps is 0; it must be 1 or more, or bypass=True to take as many steps "
            "as the latest spike needs"
        )
    times, below = latency_code(
        data, num_steps, threshold, tau, first_spike_time, normalize, linear, epsilon
    )
    times = times.round()
    last = int(times.max()) if times.numel() else 0
    num_steps = num_steps or last + 1
    if last >= num_steps and not bypass:
        raise LayerError(
            f"latency: the latest spike is in step {last}, beyond num_steps, {num_steps}; "
            "normalize=True, a smaller tau or more steps avoid it, bypass=True drops such spikes"
        )
    if clip:
        times = times.masked_fill(below, num_steps + 1)  # beyond the end: never
    if interpolate:
        return latency_interpolate(times, num_steps, on_target, off_target)
    steps = torch.arange(num_steps, dtype=times.dtype, device=times.device)
    spikes = steps.view(-1, *[1] * times.dim()) == times
    return code_values(spikes, on_target, off_target, times.dtype)


def latency_code(
    data: Tensor,
    num_steps: int = 0,
    threshold: float = 0.01,
    tau: float = 1,
    first_spike_time: int = 0,
    normalize: bool = False,
    linear: bool = False,
    epsilon: float = 1e-7,
) -> tuple[Tensor, Tensor]:
    """Spike times of values, not rounded: ``τ·ln(x/(x − θ))``, or ``τ·(1 − x)`` if ``linear``.

    Args:
        data: any shape; meant to lie in [0, 1].
        num_steps: T; needed to ``normalize``.
        threshold: θ in (0, 1); values below it count as θ (+ ``epsilon`` if not ``linear``).
        tau: time constant τ > 0, in steps.
        first_spike_time: added to all times.
        normalize: scale the times so that the latest fits into ``num_steps``. The logarithmic
            code's scale depends on the smallest value in the data, the linear one's does not.
        epsilon: keeps the logarithm finite at the threshold.

    Returns:
        (times, below): both of the data's shape; ``below`` is where data < threshold.
    """
    code = latency_code_linear if linear else latency_code_log
    options = {} if linear else {"epsilon": epsilon}
    times = code(data, num_steps, threshold, tau, first_spike_time, normalize, **options)
    return times, data < threshold


def latency_code_linear(
    data: Tensor,
    num_steps: int = 0,
    threshold: float = 0.01,
    tau: float = 1,
    first_spike_time: int = 0,
    normalize: bool = False,
) -> Tensor:
    """The times of :func:`latency_code` with ``linear``; ``normalize`` sets τ to the last step."""
    check_latency(num_steps, threshold, tau, first_spike_time, normalize)
    data = floating(data)
    if normalize:
        tau = num_steps - 1 - first_spike_time
    return (-tau * (data - 1)).clamp(max=-tau * (threshold - 1)) + first_spike_time


def latency_code_log(
    data: Tensor,
    num_steps: int = 0,
    threshold: float = 0.01,
    tau: float = 1,
    first_spike_time: int = 0,
    normalize: bool = False,
    epsilon: float = 1e-7,
) -> Tensor:
    """The times of :func:`latency_code` without ``linear``."""
    check_latency(num_steps, threshold, tau, first_spike_time, normalize)
    data = floating(data).clamp(min=threshold + epsilon)
    times = tau * torch.log(data / (data - threshold))
    if normalize:
        times = times * (num_steps - first_spike_time - 1) / times.max()
    return times + first_spike_time


def delta(
    data: Tensor, threshold: float = 0.1, padding: bool = False, off_spike: bool = False
) -> Tensor:
    """1 where the data rose by ``threshold`` or more since the step before, else 0.

    Args:
        data: [T, ...].
        threshold: smallest change that sends a spike.
        padding: compare the first step with itself, hence no spike; else it is compared with 0.
        off_spike: also −1 where it fell by ``threshold`` or more.
    """
    data = floating(data)
    before = torch.cat((data[:1] if padding else torch.zeros_like(data[:1]), data[:-1]))
    change = data - before
    spikes = (change >= threshold).to(data.dtype)
    return spikes - (change <= -threshold).to(data.dtype) if off_spike else spikes


def latency_interpolate(
    spike_time: Tensor, num_steps: int, on_target: float = 1, off_target: float = 0
) -> Tensor:
    """Rise linearly from ``off_target`` in step 0 to ``on_target`` at the spike, then stay off.

    Args:
        spike_time: one time a neuron, [B, ...]; rounded. Beyond ``num_steps`` means no spike.
        num_steps: T.
        on_target, off_target: value at the spike and at rest; on ≥ off.

    Returns:
        [T, B, ...].
    """
    if on_target < off_target:
        raise LayerError(
            f"latency_interpolate: on_target is {on_target}; it must not be below off_target, "
            f"{off_target}"
        )
    times = floating(spike_time).round()
    steps = torch.arange(num_steps, dtype=times.dtype, device=times.device)
    steps = steps.view(-1, *[1] * times.dim())
    # A spike in step 0 has no rise before it; any divisor but 0 will do there.
    reached = torch.where(times == 0, 1, steps / times.clamp(min=1))
    rising = (steps <= times) & (times <= num_steps)
    return torch.where(rising, off_target + (on_target - off_target) * reached, off_target)


def code_values(spikes: Tensor, on_target: float, off_target: float, dtype: torch.dtype) -> Tensor:
    """``on_target`` where ``spikes`` is true, else ``off_target``."""
    values = torch.full(spikes.shape, float(off_target), dtype=dtype, device=spikes.device)
    return values.masked_fill_(spikes, on_target)


def floating(data: Tensor) -> Tensor:
    """The data as floating-point numbers: as it is, or in torch's default dtype."""
    return data if data.is_floating_point() else data.to(torch.get_default_dtype())


def check_latency(
    num_steps: int, threshold: float, tau: float, first_spike_time: int, normalize: bool
) -> None:
    """Raise LayerError for options that no latency code has."""
    if not 0 < threshold < 1:
        raise LayerError(f"latency: threshold is {threshold}; it must lie between 0 and 1")
    if not tau > 0:
        raise LayerError(f"latency: tau is {tau}; it must be above 0")
    if num_steps < 0 or (normalize and not num_steps):
        raise LayerError(
            f"latency: num_steps is {int(num_steps)}; it must be 1 or more"
            + (" with normalize=True" if normalize else "")
        )
    if first_spike_time < 0 or (num_steps and first_spike_time >= num_steps):
        raise LayerError(
            f"latency: first_spike_time is {first_spike_time}; it must be 0 or more"
            + (f" and below num_steps, {num_steps}" if num_steps else "")
        )
