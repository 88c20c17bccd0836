"""The three kinds of feedback, as constructor arguments and currents that make them fire."""

from __future__ import annotations

from typing import Any

import torch
from snntorch_oracle import B, N, T, drive, number
from torch import Tensor, nn

KINDS = ("linear", "one_to_one", "conv")
CHANNELS = 3


def feedback(kind: str, per_neuron: bool = True) -> dict[str, Any]:
    """Arguments of RLeaky and RSynaptic, of snnTorch's and of ours."""
    if kind == "linear":
        return {"linear_features": N}
    if kind == "conv":
        return {"conv2d_channels": CHANNELS, "kernel_size": (3, 5)}
    return {"all_to_all": False, "V": number(-0.4, 0.7, per_neuron)}


def currents(kind: str, steps: int = T, seed: int = 0, **distribution: float) -> Tensor:
    """[T, B, N], or [T, B, channels, 5, 6] for a convolution."""
    shape = (steps, 4, CHANNELS, 5, 6) if kind == "conv" else (steps, B, N)
    return drive(seed, shape, **distribution)


def per_layer_or_neuron(low: float, high: float, kind: str, per_neuron: bool) -> Tensor:
    """A number of the layer, of each neuron, or of each channel."""
    if kind == "conv" and per_neuron:
        return number(low, high, True, CHANNELS)[:, None, None]
    return number(low, high, per_neuron)


def with_the_same_weights(theirs: nn.Module, ours: nn.Module, seed: int = 1) -> None:
    """Give snnTorch's neuron random float64 weights and carry its whole state dict to ours."""
    generator = torch.Generator().manual_seed(seed)
    theirs.double()
    for name, weights in theirs.named_parameters():
        if name.startswith("recurrent.") and weights.dim() > 0 and name != "recurrent.V":
            fan_in = max(weights[0].numel(), 4)
            noise = torch.randn(weights.shape, dtype=torch.float64, generator=generator)
            weights.data = noise / fan_in**0.5
    ours.double()
    ours.load_state_dict(theirs.state_dict())
