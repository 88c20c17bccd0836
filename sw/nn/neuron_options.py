"""Types of the neurons' keyword options, so that each class names only what is its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypedDict

from torch import Tensor

SpikeFunction = Callable[[Tensor], Tensor]


class Options(TypedDict, total=False):
    """Keyword-only options that snnTorch does not have; see :class:`SpikingNeuron`."""

    multi_step: bool
    detach_reset: bool
    strict: bool
    normalise_surrogate: bool


class SharedOptions(Options, total=False):
    """All options that are the same in every class, for classes that take them by keyword."""

    spike_grad: SpikeFunction | None
    surrogate_disable: bool
    init_hidden: bool
    inhibition: bool
    learn_threshold: bool
    reset_mechanism: str
    state_quant: SpikeFunction | bool | None
    output: bool
    graded_spikes_factor: float | Tensor
    learn_graded_spikes_factor: bool
    reset_delay: bool


class GradedOptions(Options, total=False):
    """What some of snnTorch's classes lack: here every class has it, by keyword."""

    graded_spikes_factor: float | Tensor
    learn_graded_spikes_factor: bool


class MoreOptions(GradedOptions, total=False):
    """Likewise, with the time of the reset."""

    reset_delay: bool
