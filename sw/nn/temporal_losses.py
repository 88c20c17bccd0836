"""Losses and accuracy of spike times: see :mod:`.functional`.

A spike time has no derivative; as in snnTorch it is taken to be −1 with respect to the spike
itself (firing more is firing earlier), and a silent neuron counts as firing in the last step.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import cross_entropy

from .errors import LayerError
from .losses import Loss, check_outputs
from .spike_targets import targets_convert


class _SpikeTimes(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, spikes: Tensor, count: int) -> Tensor:
        steps = len(spikes)
        fired = spikes != 0
        # The spike's own number among those of its neuron, from 1.
        order = fired.cumsum(0)
        times = [
            torch.where(nth.any(0), nth.to(torch.uint8).argmax(0), steps - 1)
            for nth in (fired & (order == number) for number in range(1, count + 1))
        ]
        result = torch.stack(times)
        ctx.save_for_backward(result)
        ctx.steps = steps
        return result.to(spikes.dtype)

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *grad_outputs: Tensor
    ) -> tuple[Tensor, None]:
        (times,) = ctx.saved_tensors
        (grad,) = grad_outputs
        zeros = grad.new_zeros((ctx.steps, *times.shape[1:]))
        return zeros.scatter_add_(0, times, -grad), None


def spike_times(spikes: Tensor, count: int = 1) -> Tensor:
    """Steps of each neuron's first ``count`` spikes: [T, ...] to [count, ...], from 0.

    Spikes that are missing count as sent in the last step. The derivative is −1 at the spikes.
    (snnTorch silences all neurons in a step in which one spiked before it looks for the next.)
    """
    if len(spikes) == 0:
        raise LayerError("spike_times: the spikes have no step; they must be [T, ...] with T ≥ 1")
    return _SpikeTimes.apply(spikes, count)  # type: ignore[no-any-return]


def accuracy_temporal(spk_out: Tensor, targets: Tensor) -> float:
    """Share of samples whose class fires first: [T, B, C] and labels [B] to 0 … 1.

    Ties, silence included, go to the lowest class.
    """
    check_outputs("accuracy_temporal", spk_out)
    times = spike_times(spk_out.detach())[0]
    return float((times.argmin(1) == targets).double().mean())


class mse_temporal_loss(Loss):
    """Square error of the first spike times to wanted times, both divided by T.

    Args:
        target_is_time: the targets are wanted times, [N] or [B, N], with ``multi_spike``
            [F, B, N]; not class labels [B].
        on_target, off_target: wanted time of the right and of all other neurons; sequences of F
            times for several spikes. Negative times count from the end, −1 is the last step
            (snnTorch takes its own default, −1, for 0).
        tolerance: a time that is off by less than this counts as right.
        multi_spike: look at the first F spikes rather than one (implied by several times).
        reduction, weight: as in :class:`Loss`; weights need labels.
    """

    def __init__(
        self,
        target_is_time: bool = False,
        on_target: int | Sequence[int] | Tensor = 0,
        off_target: int | Sequence[int] | Tensor = -1,
        tolerance: float = 0,
        multi_spike: bool = False,
        reduction: str = "mean",
        weight: Tensor | None = None,
    ) -> None:
        super().__init__(reduction, weight)
        if target_is_time and weight is not None:
            raise LayerError("mse_temporal_loss: weights need class labels as targets")
        self.on_target, self.off_target = self._times(on_target), self._times(off_target)
        if len(self.on_target) != len(self.off_target):
            raise LayerError(
                f"mse_temporal_loss: on_target has {len(self.on_target)} times, off_target "
                f"{len(self.off_target)}; they must have the same number"
            )
        self.target_is_time, self.tolerance = target_is_time, tolerance
        self.multi_spike = multi_spike or len(self.on_target) > 1

    @staticmethod
    def _times(value: int | Sequence[int] | Tensor) -> list[int]:
        return torch.as_tensor(value).flatten().tolist()

    def accuracy(self, outputs: Tensor, targets: Tensor) -> float:
        if self.target_is_time:
            raise LayerError("mse_temporal_loss: an accuracy needs class labels as targets")
        return accuracy_temporal(outputs, targets)

    def _losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        steps = len(outputs)
        wanted = self._wanted(targets, outputs).to(outputs)
        wanted = torch.where(wanted < 0, wanted + steps, wanted)
        times = spike_times(outputs, len(wanted))
        # Within tolerance the value is the target's; the gradient, through a zero error, is zero.
        close = (times - wanted).abs() < self.tolerance
        losses = torch.where(close, 0, (times - wanted) / steps).square()
        losses = self._weighted(losses, targets)
        return losses if self.multi_spike else losses[0]

    def _wanted(self, targets: Tensor, outputs: Tensor) -> Tensor:
        """Times [F, B, N]; F is 1 without ``multi_spike``."""
        neurons = outputs.shape[-1]
        if self.target_is_time:
            if self.multi_spike and targets.dim() != 3:
                raise LayerError(
                    f"mse_temporal_loss: the targets have shape {list(targets.shape)}; with "
                    "multi_spike times must be [F, B, N]"
                )
            times = targets if self.multi_spike else targets.unsqueeze(0)
            return times.expand(len(times), *outputs.shape[1:])
        return torch.stack(
            [
                targets_convert(targets, neurons, on_target=on, off_target=off)
                for on, off in zip(self.on_target, self.off_target, strict=True)
            ]
        )


class ce_temporal_loss(Loss):
    """Cross entropy of inverted first spike times: the right class should fire first.

    Targets: class labels [B]. Weighted means are divided by the sum of weights, as torch does.

    Args:
        inverse: scores are ``"negate"``: −time, or ``"reciprocal"``: 1/(time + 1).
        reduction, weight: as in :class:`Loss`.
    """

    def __init__(
        self, inverse: str = "negate", reduction: str = "mean", weight: Tensor | None = None
    ) -> None:
        super().__init__(reduction, weight)
        if inverse not in ("negate", "reciprocal"):
            raise LayerError(
                f"ce_temporal_loss: inverse is {inverse!r}; it must be 'negate' or 'reciprocal'"
            )
        self.inverse = inverse

    def accuracy(self, outputs: Tensor, targets: Tensor) -> float:
        return accuracy_temporal(outputs, targets)

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        check_outputs(self.__name__, outputs)
        times = spike_times(outputs)[0]
        scores = -times if self.inverse == "negate" else 1 / (times + 1)
        weight = None if self.weight is None else self.weight.to(scores)
        return cross_entropy(scores, targets, weight, reduction=self.reduction)
