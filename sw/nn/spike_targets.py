"""What output neurons should do for a class label: the ``targets_*`` of :mod:`.spikegen`."""

from __future__ import annotations

import torch
from torch import Tensor

from .errors import LayerError
from .spike_codes import code_values, latency

PATTERNS = ("regular", "uniform", "poisson")


def to_one_hot(targets: Tensor, num_classes: int) -> Tensor:
    """Class labels [B] in 0 … C−1 to [B, C] in {0, 1}, of torch's default dtype."""
    labels = targets.long()
    if labels.numel() and (int(labels.min()) < 0 or int(labels.max()) >= num_classes):
        raise LayerError(
            f"to_one_hot: the labels span {int(labels.min())} to {int(labels.max())}; they must "
            f"lie in 0 to {num_classes - 1}"
        )
    return torch.nn.functional.one_hot(labels, num_classes).to(torch.get_default_dtype())


def to_one_hot_inverse(one_hot_targets: Tensor) -> Tensor:
    """1 where the argument is 0, else 0."""
    return (one_hot_targets == 0).to(one_hot_targets.dtype)


def from_one_hot(one_hot_label: Tensor) -> Tensor:
    """Class labels [B] of one-hot rows [B, C]. (snnTorch's returns the rows' own numbers.)"""
    return one_hot_label.argmax(-1)


def targets_convert(
    targets: Tensor,
    num_classes: int,
    code: str = "rate",
    num_steps: int = 0,
    first_spike_time: int = 0,
    correct_rate: float = 1,
    incorrect_rate: float = 0,
    on_target: float = 1,
    off_target: float = 0,
    firing_pattern: str = "regular",
    interpolate: bool = False,
    epsilon: float = 1e-7,
    threshold: float = 0.01,
    tau: float = 1,
    clip: bool = False,
    normalize: bool = False,
    linear: bool = False,
    bypass: bool = False,
    generator: torch.Generator | None = None,
) -> Tensor:
    """:func:`targets_rate` or, with ``code="latency"``, :func:`targets_latency`.

    Each takes the arguments that it knows; the latency code too uses ``on_target``,
    ``off_target`` and ``interpolate``, which snnTorch leaves out.
    """
    if code == "rate":
        return targets_rate(
            targets, num_classes, num_steps, first_spike_time, correct_rate, incorrect_rate,
            on_target, off_target, firing_pattern, interpolate, epsilon, generator,
        )  # fmt: skip
    if code == "latency":
        return targets_latency(
            targets, num_classes, num_steps, first_spike_time, on_target, off_target, interpolate,
            threshold, tau, clip, normalize, linear, epsilon, bypass,
        )  # fmt: skip
    raise LayerError(f"targets_convert: code is {code!r}; it must be 'rate' or 'latency'")


def targets_rate(
    targets: Tensor,
    num_classes: int,
    num_steps: int = 0,
    first_spike_time: int = 0,
    correct_rate: float = 1,
    incorrect_rate: float = 0,
    on_target: float = 1,
    off_target: float = 0,
    firing_pattern: str = "regular",
    interpolate: bool = False,
    epsilon: float = 1e-7,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Neurons of the right class fire at ``correct_rate``, all others at ``incorrect_rate``.

    Args:
        targets: class labels [B].
        num_classes: C.
        num_steps: T; needed unless the result does not vary with time.
        first_spike_time: the first step that may have a spike.
        correct_rate, incorrect_rate: spikes per step, 0 ≤ incorrect ≤ correct ≤ 1.
        on_target, off_target: value at spikes and elsewhere.
        firing_pattern: see :func:`target_rate_code`; all neurons of one kind share their times.
        interpolate: see :func:`rate_interpolate`.
        epsilon: accepted for snnTorch's sake; nothing here needs it.
        generator: source of randomness of the patterns that have some.

    Returns:
        [B, C] if neither rates nor first spike time are given, else [T, B, C]. (snnTorch's
        result has five dimensions, or fails, for rates without ``interpolate``.)
    """
    if not 0 <= incorrect_rate <= correct_rate <= 1:
        raise LayerError(
            f"targets_rate: incorrect_rate is {incorrect_rate} and correct_rate {correct_rate}; "
            "they must lie in [0, 1], the first not above the second"
        )
    right = to_one_hot(targets, num_classes).bool()
    dtype = torch.get_default_dtype()
    rates_given = correct_rate != 1 or incorrect_rate != 0
    if not rates_given and first_spike_time == 0:
        return code_values(right, on_target, off_target, dtype)
    if num_steps < 1:
        raise LayerError(
            f"targets_rate: num_steps is {int(num_steps)}; it must be 1 or more with rates or a "
            "first spike time"
        )

    def course(rate: float) -> Tensor:
        spikes, times = target_rate_code(
            num_steps, first_spike_time, rate, firing_pattern, generator
        )
        if interpolate and rates_given:
            return rate_interpolate(times, num_steps, on_target, off_target)
        return code_values(spikes.bool(), on_target, off_target, dtype)

    correct, incorrect = course(correct_rate), course(incorrect_rate)
    return torch.where(
        right, correct.to(right.device).view(-1, 1, 1), incorrect.to(right.device).view(-1, 1, 1)
    )


def target_rate_code(
    num_steps: int,
    first_spike_time: int = 0,
    rate: float = 1,
    firing_pattern: str = "regular",
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """One neuron's spikes [T] at a given rate, and their steps.

    ``firing_pattern`` is ``"regular"`` (every 1/rate steps, rounded down), ``"uniform"`` (as many
    spikes, but anywhere; steps drawn twice are one spike) or ``"poisson"`` (each step for itself).
    """
    if not 0 <= rate <= 1:
        raise LayerError(f"target_rate_code: rate is {rate}; it must lie in [0, 1]")
    if not 0 <= first_spike_time <= num_steps:
        raise LayerError(
            f"target_rate_code: first_spike_time is {first_spike_time}; it must lie in 0 to "
            f"num_steps, {num_steps}"
        )
    pattern = firing_pattern.lower()
    if pattern not in PATTERNS:
        raise LayerError(
            f"target_rate_code: firing_pattern is {firing_pattern!r}; "
            f"it must be one of {', '.join(PATTERNS)}"
        )
    spikes = torch.zeros(num_steps)
    if rate == 0:
        return spikes, torch.zeros(0, dtype=torch.long)
    if pattern == "poisson":
        spikes[first_spike_time:] = rate
        spikes = torch.bernoulli(spikes, generator=generator)
        return spikes, spikes.nonzero()[:, 0]
    times = torch.arange(first_spike_time, num_steps, 1 / rate)
    if pattern == "uniform":
        anywhere = torch.rand(len(times), generator=generator)
        times = anywhere * (num_steps - first_spike_time) + first_spike_time
    return spikes.scatter_(0, times.long(), 1), times.long()


def rate_interpolate(
    spike_time: Tensor,
    num_steps: int,
    on_target: float = 1,
    off_target: float = 0,
    epsilon: float = 1e-7,
) -> Tensor:
    """[T]: before each spike a linear rise from ``off_target`` to ``on_target`` at the spike.

    A rise starts in the step after the spike before; after the last spike all is ``off_target``.

    Args:
        spike_time: steps of one neuron's spikes, in any order.
        num_steps: T.
        on_target, off_target: value at spikes and at rest.
        epsilon: accepted for snnTorch's sake; nothing here needs it.
    """
    course = torch.full((num_steps,), float(off_target))
    start = 0
    for spike in sorted({int(time) for time in spike_time if time < num_steps}):
        course[start : spike + 1] = torch.linspace(off_target, on_target, spike + 1 - start)
        course[spike] = on_target  # also where there is no room for a rise
        start = spike + 1
    return course


def targets_latency(
    targets: Tensor,
    num_classes: int,
    num_steps: int = 0,
    first_spike_time: int = 0,
    on_target: float = 1,
    off_target: float = 0,
    interpolate: bool = False,
    threshold: float = 0.01,
    tau: float = 1,
    clip: bool = False,
    normalize: bool = False,
    linear: bool = False,
    epsilon: float = 1e-7,
    bypass: bool = False,
) -> Tensor:
    """:func:`~.spike_codes.latency` of the one-hot labels: [B] to [T, B, C].

    The right neuron fires first, all others with the latest possible spike, or never if ``clip``.
    """
    return latency(
        to_one_hot(targets, num_classes), num_steps, threshold, tau, first_spike_time, on_target,
        off_target, clip, normalize, linear, interpolate, bypass, epsilon,
    )  # fmt: skip
