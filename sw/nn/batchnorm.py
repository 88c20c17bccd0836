"""Batch norm over time: one for all steps, or one for each, made to be folded into hardware."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from .again import computing_again
from .conv import over_time
from .errors import LayerError


class BatchNormOverTime(nn.BatchNorm1d):
    """Batch norm of [T, B, N] with statistics over T·B, one gain and shift per feature.

    One gain for all timesteps, so in evaluation it folds into the weights before it
    (``scale_and_shift``).

    Args:
        num_features: N.
        gain: initial γ of every feature; 0 switches a residual branch off at the start.
    """

    def __init__(self, num_features: int, gain: float = 1.0) -> None:
        super().__init__(num_features)
        with torch.no_grad():
            self.weight.fill_(gain)

    def forward(self, input: Tensor) -> Tensor:
        rows = input.flatten(0, 1)
        if self.training and computing_again():
            again = nn.functional.batch_norm(
                rows, self.running_mean, self.running_var, self.weight, self.bias, True, 0.0,
                self.eps,
            )  # fmt: skip
            return again.unflatten(0, input.shape[:2])
        return super().forward(rows).unflatten(0, input.shape[:2])

    def normalise(self, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What ``forward`` does in training with rows [T·B, N], for a backward pass by hand.

        Returns:
            (normalised rows, mean [N], 1/standard deviation [N]), outside of autograd's graph.
        """
        momentum = 0.0
        if self.num_batches_tracked is not None and not computing_again():
            self.num_batches_tracked.add_(1)
            momentum = self.momentum
            if momentum is None:
                momentum = 1 / float(self.num_batches_tracked)
        return torch.native_batch_norm(
            rows, self.weight, self.bias, self.running_mean, self.running_var, True, momentum,
            self.eps,
        )  # fmt: skip

    def scale_and_shift(self) -> tuple[Tensor, Tensor]:
        """(scale, shift), both [N], with ``forward(x) = scale·x + shift`` in evaluation mode."""
        return _scale_and_shift(self)


class MeanNormOverTime(nn.Module):
    """Norm of [T, B, N] by the mean alone: ``γ·(x − mean over T·B) + shift``.

    Half the statistics of :class:`BatchNormOverTime`; the width of what passes is the weights'
    own. Folds as that does (``scale_and_shift``).

    Args:
        num_features: N.
        gain: initial γ of every feature.
    """

    running_mean: Tensor

    def __init__(self, num_features: int, gain: float = 1.0) -> None:
        super().__init__()
        self.momentum: float | None = 0.1
        self.batches = 0
        self.weight = nn.Parameter(torch.full((num_features,), gain))
        self.bias = nn.Parameter(torch.zeros(num_features))
        self.register_buffer("running_mean", torch.zeros(num_features))

    def reset_running_stats(self) -> None:
        """The running mean as before the first batch."""
        self.running_mean.zero_()
        self.batches = 0

    def forward(self, input: Tensor) -> Tensor:
        mean = self.running_mean
        if self.training:
            mean = input.mean((0, 1))
            if not computing_again():
                self.batches += 1
                part = 1 / self.batches if self.momentum is None else self.momentum
                self.running_mean.lerp_(mean.detach(), part)
        return torch.addcmul(self.bias, input - mean, self.weight)

    def scale_and_shift(self) -> tuple[Tensor, Tensor]:
        """(scale, shift), both [N], with ``forward(x) = scale·x + shift`` in evaluation mode."""
        return self.weight, self.bias - self.running_mean * self.weight

    def extra_repr(self) -> str:
        return f"{len(self.weight)}, momentum={self.momentum}"


class BatchNormOverTime2d(nn.BatchNorm2d):
    """Batch norm of images [T, B, C, H, W] by channel, statistics over T·B·H·W.

    Threshold-dependent (tdBN) where its gain starts at a multiple of the neurons' threshold:
    ``gain = alpha·θ`` puts currents of standard deviation α·θ before them (Zheng et al., AAAI
    2021). One gain for all timesteps, so in evaluation it folds (``scale_and_shift``).

    Args:
        num_features: C.
        gain: initial γ of every channel; 0 switches a residual branch off at the start.
    """

    def __init__(self, num_features: int, gain: float = 1.0) -> None:
        super().__init__(num_features)
        with torch.no_grad():
            self.weight.fill_(gain)

    def forward(self, input: Tensor) -> Tensor:
        return over_time(super().forward, input, "BatchNormOverTime2d")

    def scale_and_shift(self) -> tuple[Tensor, Tensor]:
        """(scale, shift), both [C], with ``forward(x) = scale·x + shift`` in evaluation mode."""
        return _scale_and_shift(self)


def _scale_and_shift(norm: BatchNormOverTime | BatchNormOverTime2d) -> tuple[Tensor, Tensor]:
    if norm.running_mean is None or norm.running_var is None:
        name = type(norm).__name__
        raise LayerError(f"{name}: no running statistics, so it cannot be folded")
    scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    return scale, norm.bias - norm.running_mean * scale


class _BatchNormThroughTime(nn.ModuleList):
    """T batch norms, one for each step; see :class:`BatchNormTT1d`."""

    def __init__(self, layers: list[nn.BatchNorm1d] | list[nn.BatchNorm2d]) -> None:
        if not layers:
            raise self._error("time_steps is 0; it must be 1 or more")
        super().__init__(layers)
        for layer in layers:
            # As in snnTorch: a gain for each step, but no learned shift.
            layer.register_parameter("bias", None)

    def forward(self, input: Tensor) -> Tensor:
        """[T, B, N, ...] normalised, step t by layer t; fewer steps than layers are fine."""
        if input.dim() < 2 or not 1 <= len(input) <= len(self):
            raise self._error(
                f"the input has shape {list(input.shape)}; it must be [T, B, ...] with T from 1 "
                f"to {len(self)}, one layer a step"
            )
        return torch.stack([layer(step) for layer, step in zip(self, input, strict=False)])

    def __getitem__(self, idx: Any) -> Any:
        # A part of the steps is a plain list: only the whole can be called on [T, B, ...].
        return (
            nn.ModuleList(list(self)[idx]) if isinstance(idx, slice) else super().__getitem__(idx)
        )

    def scale_and_shift(self) -> tuple[Tensor, Tensor]:
        """(scale, shift), both [T, N]: ``forward(x)[t] = scale[t]·x[t] + shift[t]`` in evaluation.

        N are the features, which for images are the channels. From running statistics.
        """
        scales, shifts = [], []
        for layer in self:
            assert isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d)
            if layer.running_mean is None or layer.running_var is None:
                raise self._error("no running statistics, so it cannot be folded")
            scale = torch.rsqrt(layer.running_var + layer.eps)
            if layer.weight is not None:
                scale = layer.weight * scale
            scales.append(scale)
            shifts.append(-layer.running_mean * scale)
        return torch.stack(scales), torch.stack(shifts)

    def _error(self, problem: str) -> LayerError:
        return LayerError(f"{type(self).__name__}: {problem}")


class BatchNormTT1d(_BatchNormThroughTime):
    """Batch norm through time (Kim & Panda, 2021): statistics and a gain for each step alone.

    As in snnTorch a list of T ``torch.nn.BatchNorm1d`` without bias, so that ``bntt[t](x)`` works
    in a loop over steps. Beyond it, the whole may be called with [T, B, N].

    Args:
        input_features: N.
        time_steps: T.
        eps, momentum: as of ``torch.nn.BatchNorm1d``.
        affine: learn the gain; else it is 1.
    """

    def __init__(
        self,
        input_features: int,
        time_steps: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = True,
    ) -> None:
        super().__init__(
            [
                nn.BatchNorm1d(input_features, eps=eps, momentum=momentum, affine=affine)
                for _ in range(time_steps)
            ]
        )


class BatchNormTT2d(_BatchNormThroughTime):
    """:class:`BatchNormTT1d` of images [T, B, C, H, W], by channel; same arguments."""

    def __init__(
        self,
        input_features: int,
        time_steps: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = True,
    ) -> None:
        super().__init__(
            [
                nn.BatchNorm2d(input_features, eps=eps, momentum=momentum, affine=affine)
                for _ in range(time_steps)
            ]
        )
