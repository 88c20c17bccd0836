"""What a recurrent neuron feeds back: dense, one-to-one or convolution, with its derivatives.

The hand-written backward passes walk through time with :meth:`Recurrence.input_gradient` and
gather the weights' gradients at the end, all steps in one product.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional
from torch.nn.grad import conv2d_weight

from .errors import LayerError

RECURRENCE_KINDS = ("linear", "one_to_one", "conv")


@dataclass(frozen=True)
class Recurrence:
    """The map from what a layer sent in step t − 1 to what it receives beside its input in step t.

    The bias counts in every step, the first included (where nothing was sent yet).

    Attributes:
        kind: ``"linear"`` (``W·s + b``), ``"one_to_one"`` (``V·s``) or ``"conv"`` (a stride-1
            convolution that keeps height and width).
        weight: [m, n]; V, scalar or broadcastable to a step's shape after [B]; or
            [m, n, height, width].
        bias: [m], or None; always None for ``"one_to_one"``.
        padding: of ``"conv"``, (height, width).
    """

    kind: str
    weight: Tensor
    bias: Tensor | None = None
    padding: tuple[int, int] = (0, 0)

    def __call__(self, sent: Tensor) -> Tensor:
        """The feedback of one step's ``sent`` [B, n, ...]; differentiable."""
        if self.kind == "linear":
            return functional.linear(sent, self.weight, self.bias)
        if self.kind == "conv":
            return functional.conv2d(sent, self.weight, self.bias, padding=self.padding)
        return sent * self.weight

    def input_gradient(self, grad: Tensor) -> Tensor:
        """∂loss/∂sent of one step from ``grad``, ∂loss/∂feedback."""
        if self.kind == "linear":
            return grad @ self.weight
        if self.kind == "conv":
            return functional.conv_transpose2d(grad, self.weight, padding=self.padding)
        return grad * self.weight

    def weight_gradients(self, sent: Tensor, grad: Tensor) -> tuple[Tensor, Tensor | None]:
        """Gradients of (weight, bias) over all steps.

        Args:
            sent: [T, B, n, ...] what was fed back in each step, that is, sent one step earlier.
            grad: [T, B, m, ...] ∂loss/∂feedback of each step.
        """
        if self.kind == "linear":
            weight = grad.reshape(-1, grad.shape[-1]).T @ sent.reshape(-1, sent.shape[-1])
        elif self.kind == "conv":
            weight = conv2d_weight(
                sent.flatten(0, 1),
                self.weight.shape,
                grad.flatten(0, 1),
                padding=self.padding,  # pyright: ignore[reportArgumentType]
            )
        else:
            weight = (sent * grad).sum_to_size(self.weight.shape)
        if self.bias is None:
            return weight, None
        channel = 2 if self.kind == "conv" else grad.dim() - 1
        return weight, grad.sum([d for d in range(grad.dim()) if d != channel])


def same_padding(name: str, kernel_size: int | tuple[int, int]) -> tuple[int, int]:
    """The padding with which a stride-1 convolution keeps height and width.

    Raises:
        LayerError: an even kernel, with which there is none.
    """
    pair = (kernel_size, kernel_size) if isinstance(kernel_size, int) else tuple(kernel_size)
    if len(pair) != 2 or not all(isinstance(k, int) and k > 0 and k % 2 == 1 for k in pair):
        raise LayerError(
            f"{name}: kernel_size is {kernel_size}; it must be one odd number or two, so that "
            "the feedback keeps height and width"
        )
    return pair[0] // 2, pair[1] // 2


def recurrent_layer(
    name: str,
    linear_features: int | None,
    conv2d_channels: int | None,
    kernel_size: int | tuple[int, int] | None,
) -> nn.Linear | nn.Conv2d:
    """The ``recurrent`` module of an all-to-all layer, as RLeaky's arguments describe it.

    Raises:
        LayerError: not exactly one of the two descriptions.
    """
    conv = conv2d_channels is not None, kernel_size is not None
    if linear_features is not None and not any(conv):
        return nn.Linear(linear_features, linear_features)
    if linear_features is None and conv2d_channels is not None and kernel_size is not None:
        padding = same_padding(name, kernel_size)
        return nn.Conv2d(conv2d_channels, conv2d_channels, kernel_size, padding=padding)
    raise LayerError(
        f"{name}: linear_features is {linear_features}, conv2d_channels {conv2d_channels}, "
        f"kernel_size {kernel_size}; all_to_all=True takes either linear_features or "
        "conv2d_channels and kernel_size"
    )
