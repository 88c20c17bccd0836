"""The nodes that see neurons as pixels: convolution and pooling.

What they read and send is flat, ``[n]``, pixel by pixel with the channels innermost (see
:mod:`reslif.sw.images`). A shape is (channels, height, width); all pairs are (height, width).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from .formats import Format, IntArray
from .images import Shape3
from .values import NetworkError, Values, check_fields, check_range, checked_bias, exact, integers

Pair: TypeAlias = tuple[int, int]
PoolOp: TypeAlias = Literal["sum", "max"]


def correlate(
    images: npt.NDArray[Any],
    weight: npt.NDArray[Any],
    stride: Pair,
    padding: Pair,
    groups: int,
) -> npt.NDArray[Any]:
    """Cross-correlate ``[B, H, W, C]`` with ``[m, C / groups, k, l]``: ``[B, H', W', m]``.

    Arithmetic is that of the arrays' type, sums in no particular order.
    """
    seen = windows(images, weight.shape[2:], stride, padding)  # [B, H', W', C, k, l]
    batch, height, width, channels = seen.shape[:4]
    each, share = len(weight) // groups, channels // groups
    parts = []
    for group in range(groups):
        rows = seen[:, :, :, group * share : (group + 1) * share].reshape(
            batch * height * width, -1
        )
        columns = weight[group * each : (group + 1) * each].reshape(each, -1).T
        parts.append((rows @ columns).reshape(batch, height, width, each))
    return parts[0] if groups == 1 else np.concatenate(parts, axis=3)


def windows(
    images: npt.NDArray[Any], window: tuple[int, ...], stride: Pair, padding: Pair, fill: int = 0
) -> npt.NDArray[Any]:
    """The windows of ``[B, H, W, C]``, a view ``[B, H', W', C, k, l]`` of the padded images."""
    (down, across), (top, left) = stride, padding
    if top or left:
        around = ((0, 0), (top, top), (left, left), (0, 0))
        images = np.pad(images, around, constant_values=fill)
    every = np.lib.stride_tricks.sliding_window_view(images, window, axis=(1, 2))  # pyright: ignore[reportArgumentType,reportCallIssue]
    return every[:, ::down, ::across]


@dataclass(frozen=True, eq=False)
class Conv2d:
    """A convolutional synapse, exact: at every pixel (y, x) and output channel m

    ``I[m, y, x] = bias[m] + Σ_{c,k,l} weight[m, c, k, l] · s[c, y·stride + k − padding, …]``,

    where pixels outside of the image count 0 and c runs over the channels of m's group.

    ``weight`` is ``[m, channels / groups, k, l]`` in ``weight_format``; ``shape`` is that of the
    input; ``bias`` is ``[m]`` on the accumulator's grid (fraction ``weight_format.frac`` + the
    operand's) and counts every timestep. Dilation is 1.
    """

    name: str
    weight: IntArray
    weight_format: Format
    shape: Shape3
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    groups: int = 1
    bias: IntArray | None = None

    ports: ClassVar[Mapping[str, bool]] = {"input": False}
    quantities: ClassVar[tuple[str, ...]] = ("current",)

    def __post_init__(self) -> None:
        check_fields(self)
        weight = integers(self.weight, self.name, "weight")
        if weight.ndim != 4 or 0 in weight.shape:
            raise NetworkError(
                f"node '{self.name}': weight has shape {list(weight.shape)}, "
                "must be [out, in / groups, height, width]"
            )
        check_range(self.name, "weight", weight, self.weight_format.min, self.weight_format.max)
        object.__setattr__(self, "weight", weight)
        _check_numbers(self.name, "shape", self.shape, 3, 1)
        channels, out = self.shape[0], len(weight)
        if self.groups < 1 or channels % self.groups or out % self.groups:
            raise NetworkError(
                f"node '{self.name}': groups is {self.groups}, must divide the {channels} channels "
                f"it reads and the {out} it sends"
            )
        if weight.shape[1] * self.groups != channels:
            raise NetworkError(
                f"node '{self.name}': weight has {weight.shape[1]} input channels a group, "
                f"must have {channels // self.groups}"
            )
        _check_windows(self.name, self.shape, self.kernel, self.stride, self.padding)
        if self.bias is not None:
            object.__setattr__(self, "bias", checked_bias(self.bias, self.name, out))

    @property
    def kernel(self) -> Pair:
        return self.weight.shape[2], self.weight.shape[3]

    @property
    def out_shape(self) -> Shape3:
        """Channels, height and width of what it sends."""
        return len(self.weight), *windows_of(self.shape, self.kernel, self.stride, self.padding)

    @property
    def size(self) -> int:
        return int(np.prod(self.out_shape))

    @property
    def inputs(self) -> int:
        return int(np.prod(self.shape))

    @property
    def reach(self) -> int:
        """The most that inputs of magnitude 1 can add up to, in any sum."""
        return int(np.abs(self.weight).reshape(len(self.weight), -1).sum(axis=1).max())

    @property
    def everywhere(self) -> IntArray:
        """The bias of every neuron, ``[n]``; 0 without one."""
        bias = np.zeros(len(self.weight), np.int64) if self.bias is None else self.bias
        return np.tile(bias, self.size // len(bias))

    def apply(self, images: npt.NDArray[Any], weight: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """``[B, inputs]`` through ``weight`` (of this node's shape), ``[B, n]``, without bias."""
        channels, height, width = self.shape
        maps = images.reshape(-1, height, width, channels)
        result = correlate(maps, weight, self.stride, self.padding, self.groups)
        return result.reshape(len(images), -1)

    def output(self, operands: Mapping[str, list[Values]]) -> Values:
        """Also bounds every partial sum, in any order of events: each operand may still be 0."""
        (source,) = operands["input"]
        _check_source(self.name, source, self.inputs)
        low, high = np.minimum(source.low, 0), np.maximum(source.high, 0)
        largest = self.reach * max(-int(low.min()), int(high.max()))
        dtype = np.float64 if largest < 1 << 52 else object
        ends = np.stack([low, high]).astype(dtype)
        plus = self.apply(ends, np.maximum(self.weight, 0).astype(dtype))
        minus = self.apply(ends, np.minimum(self.weight, 0).astype(dtype))
        bias = exact(self.everywhere)
        least, most = _whole(plus[0] + minus[1]), _whole(plus[1] + minus[0])
        frac = self.weight_format.frac + source.format.frac
        return Values.of(bias + least, bias + most, frac, self.name)


@dataclass(frozen=True, eq=False)
class Pool:
    """Pooling over windows of each channel: their ``sum``, or their ``max``imum (of spikes: or).

    An average is a sum whose divisor lies in the weights that read it. Pixels outside of the image
    count 0 in a sum and take no part in a maximum; windows that do not fit are left out.
    """

    name: str
    op: PoolOp
    shape: Shape3
    window: Pair
    stride: Pair
    padding: Pair = (0, 0)

    ports: ClassVar[Mapping[str, bool]] = {"input": False}
    quantities: ClassVar[tuple[str, ...]] = ("value",)

    def __post_init__(self) -> None:
        check_fields(self)
        if self.op not in get_args(PoolOp):
            raise NetworkError(f"node '{self.name}': op is {self.op!r}, must be sum or max")
        _check_numbers(self.name, "shape", self.shape, 3, 1)
        _check_numbers(self.name, "window", self.window, 2, 1)
        _check_windows(self.name, self.shape, self.window, self.stride, self.padding)

    @property
    def out_shape(self) -> Shape3:
        """Channels, height and width of what it sends."""
        return self.shape[0], *windows_of(self.shape, self.window, self.stride, self.padding)

    @property
    def size(self) -> int:
        return int(np.prod(self.out_shape))

    @property
    def inputs(self) -> int:
        return int(np.prod(self.shape))

    def apply(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """``[B, inputs]`` integers to ``[B, n]``."""
        channels, height, width = self.shape
        maps = values.reshape(-1, height, width, channels)
        fill = 0 if self.op == "sum" else int(values.min())
        seen = windows(maps, self.window, self.stride, self.padding, fill)
        pooled = seen.sum(axis=(4, 5)) if self.op == "sum" else seen.max(axis=(4, 5))
        return pooled.reshape(len(values), -1)

    def output(self, operands: Mapping[str, list[Values]]) -> Values:
        """Of a sum also bounds every partial sum."""
        (source,) = operands["input"]
        _check_source(self.name, source, self.inputs)
        ends = np.stack([source.low, source.high])
        if self.op == "sum":
            ends = np.stack([np.minimum(source.low, 0), np.maximum(source.high, 0)])
            ends = exact(ends) if int(np.abs(ends).max()) >= 1 << 40 else ends
        low, high = self.apply(ends)
        return Values.of(low, high, source.format.frac, self.name)


def _whole(values: npt.NDArray[Any]) -> npt.NDArray[np.object_]:
    """Exact integers held in float64 or as Python's own, as the latter."""
    return values if values.dtype == object else exact(values.astype(np.int64))


def windows_of(shape: Shape3, window: Pair, stride: Pair, padding: Pair) -> Pair:
    """Rows and columns of windows in an image of ``shape``."""
    height, width = (
        (size + 2 * pad - extent) // step + 1
        for size, extent, step, pad in zip(shape[1:], window, stride, padding, strict=True)
    )
    return height, width


def _check_numbers(name: str, what: str, values: Any, count: int, least: int) -> None:
    plain = isinstance(values, tuple) and len(values) == count
    if not plain or any(type(value) is not int or value < least for value in values):
        raise NetworkError(
            f"node '{name}': {what} is {values!r}, must be {count} integers from {least}"
        )


def _check_windows(name: str, shape: Shape3, window: Pair, stride: Pair, padding: Pair) -> None:
    _check_numbers(name, "stride", stride, 2, 1)
    _check_numbers(name, "padding", padding, 2, 0)
    if any(pad >= extent for pad, extent in zip(padding, window, strict=True)):
        raise NetworkError(
            f"node '{name}': padding is {padding}, must be less than the window {window}"
        )
    if min(windows_of(shape, window, stride, padding)) < 1:
        raise NetworkError(
            f"node '{name}': window {window} does not fit the image of {shape[1]} × {shape[2]} "
            f"pixels padded by {padding}, must be no larger"
        )


def _check_source(name: str, source: Values, inputs: int) -> None:
    if source.size != inputs:
        raise NetworkError(
            f"node '{name}': its shape has {inputs} values, its source sends {source.size}"
        )
