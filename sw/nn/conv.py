"""Convolution and pooling of images over time, [T, B, C, H, W].

An image that is the same in every step (direct encoding: an expanded tensor, whose stride over
time is 0) is worked on once and its result expanded again, so that a first layer costs one step
instead of T. The numbers are the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from .errors import LayerError


def over_time(layer: Callable[[Tensor], Tensor], x: Tensor, name: str) -> Tensor:
    """``layer``, which works on [N, C, H, W], on [T, B, C, H, W]: all steps as one batch.

    Raises:
        LayerError: ``x`` has other than five dimensions; ``name`` is the caller's.
    """
    if x.dim() != 5:
        raise LayerError(
            f"{name}: the input has shape {list(x.shape)}; it must be [T, B, channels, height, "
            "width]"
        )
    steps, batch = x.shape[:2]
    if x.stride(0) == 0:
        once = layer(x[0])
        return once.expand(steps, *once.shape)
    return layer(x.flatten(0, 1)).unflatten(0, (steps, batch))


class ConvOverTime(nn.Conv2d):
    """``torch.nn.Conv2d``, same arguments, on [T, B, C, H, W]: one set of weights in all steps.

    Weights start Kaiming-normal over the fan-out, as in residual networks.
    """

    def reset_parameters(self) -> None:
        nn.init.kaiming_normal_(self.weight, mode="fan_out", nonlinearity="relu")
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def forward(self, input: Tensor) -> Tensor:
        return over_time(super().forward, input, "ConvOverTime")


class AvgPoolOverTime(nn.AvgPool2d):
    """``torch.nn.AvgPool2d``, same arguments, on [T, B, C, H, W].

    With ``whole`` it refuses images that the window does not divide (:class:`LayerError`) instead
    of leaving out a border.
    """

    def __init__(
        self, kernel_size: int | tuple[int, int], *args: Any, whole: bool = False, **options: Any
    ) -> None:
        super().__init__(kernel_size, *args, **options)
        self.whole = whole

    def forward(self, input: Tensor) -> Tensor:
        size = self.kernel_size
        window = (size, size) if isinstance(size, int) else tuple(size)
        image = input.shape[-2:]
        if self.whole and any(n % w for n, w in zip(image, window, strict=True)):
            raise LayerError(
                f"AvgPoolOverTime: the images are {list(image)}; height and width must be "
                f"multiples of the window {list(window)}"
            )
        return over_time(super().forward, input, "AvgPoolOverTime")


class MaxPoolOverTime(nn.MaxPool2d):
    """``torch.nn.MaxPool2d``, same arguments, on [T, B, C, H, W]; of spikes it is their or."""

    def forward(self, input: Tensor) -> Tensor:
        if self.return_indices:
            raise LayerError("MaxPoolOverTime: return_indices is set; it must not be")

        def pool(images: Tensor) -> Tensor:
            return super(MaxPoolOverTime, self).forward(images)  # pyright: ignore[reportReturnType]

        return over_time(pool, input, "MaxPoolOverTime")


class GlobalAvgPool(nn.Module):
    """The mean over the whole image: [T, B, C, H, W] → [T, B, C]."""

    def forward(self, input: Tensor) -> Tensor:
        return over_time(_mean, input, "GlobalAvgPool")


def _mean(images: Tensor) -> Tensor:
    return images.mean((2, 3))
