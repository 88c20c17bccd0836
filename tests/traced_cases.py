"""Small modules around every neuron of :mod:`reslif.sw.nn`, lively enough to spike."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from reslif.sw import golden
from reslif.sw.nn import (
    IF,
    SLSTM,
    Adaptive,
    Alpha,
    Lapicque,
    Leaky,
    ParametricLIF,
    RLeaky,
    RSynaptic,
    SConv2dLSTM,
    SumCurrent,
    Synaptic,
)
from reslif.sw.qat import QATNetwork
from torch import Tensor, nn

N, CLASSES, STEPS = 6, 4, 12
CHANNELS, HEIGHT, WIDTH = 2, 4, 3
PIXELS = CHANNELS * HEIGHT * WIDTH

RESETS = (
    ("subtract", True),
    ("subtract", False),
    ("zero", True),
    ("zero", False),
    ("none", True),
    ("none", False),
)

FAMILIES: dict[str, Callable[..., nn.Module]] = {
    "Leaky": lambda **o: Leaky(0.9, **o),
    "IF": lambda **o: IF(**o),
    "Lapicque RC": lambda **o: Lapicque(R=4.0, C=1.6, **o),
    "Lapicque beta": lambda **o: Lapicque(torch.linspace(0.7, 0.95, N), R=2.0, **o),
    "ParametricLIF": lambda **o: ParametricLIF(2.5, **o),
    "ParametricLIF, input whole": lambda **o: ParametricLIF(2.5, decay_input=False, **o),
    "Synaptic": lambda **o: Synaptic(0.6, torch.linspace(0.7, 0.95, N), **o),
    "Alpha": lambda **o: Alpha(0.8, 0.5, **o),
    "Adaptive": lambda **o: Adaptive(0.9, torch.linspace(0.8, 0.95, N), 0.2, **o),
    "RLeaky": lambda **o: RLeaky(0.9, linear_features=N, **o),
    "RLeaky V": lambda **o: RLeaky(0.9, torch.linspace(-0.5, 0.6, N), all_to_all=False, **o),
    "RSynaptic": lambda **o: RSynaptic(0.5, 0.8, linear_features=N, **o),
    "RSynaptic V": lambda **o: RSynaptic(0.5, 0.8, V=0.4, all_to_all=False, **o),
    "RLeaky convolution": lambda **o: RLeaky(0.9, conv2d_channels=CHANNELS, kernel_size=3, **o),
    "RSynaptic convolution": lambda **o: RSynaptic(
        0.5, 0.8, conv2d_channels=CHANNELS, kernel_size=(1, 3), **o
    ),
    "SLSTM": lambda **o: SLSTM(N, N, **o),
    "SConv2dLSTM": lambda **o: SConv2dLSTM(CHANNELS, CHANNELS, 3, **o),
    "SConv2dLSTM, largest": lambda **o: SConv2dLSTM(CHANNELS, 3, 3, max_pool=2, **o),
    "SConv2dLSTM, mean": lambda **o: SConv2dLSTM(CHANNELS, 3, (3, 1), avg_pool=(2, 1), **o),
}
"""Neurons that take resets."""


@dataclass(frozen=True)
class Case:
    """One family with one choice of options."""

    family: str
    reset: str = "subtract"
    reset_delay: bool = True

    @property
    def name(self) -> str:
        return f"{self.family} {self.reset} {'delayed' if self.reset_delay else 'immediate'}"

    def module(self, **options: Any) -> nn.Module:
        """[T, B, N], or [T, B, C·H·W] for images, to [B, classes]; its weights are random."""
        torch.manual_seed(sum(self.name.encode()) + 1)
        lstm = "LSTM" in self.family
        options = {
            "threshold": 0.1 if lstm else 0.5,
            "reset_mechanism": self.reset, "reset_delay": self.reset_delay, "multi_step": True,
        } | options  # fmt: skip
        neuron = FAMILIES[self.family](**options)
        for weights in neuron.parameters():
            if weights.dim() > 1:
                nn.init.normal_(weights, std=(2.0 if lstm else 0.8) / weights[0].numel() ** 0.5)
        return wrapped(neuron, self.images, not lstm)

    @property
    def images(self) -> bool:
        return "onv" in self.family

    @property
    def inputs(self) -> int:
        return PIXELS if self.images else N


def wrapped(neuron: nn.Module, images: bool = False, behind_linear: bool = True) -> nn.Module:
    """``neuron`` between linear layers, and a sum of currents."""
    n = PIXELS if images else N
    layers: list[nn.Module] = []
    if behind_linear:
        linear = nn.Linear(n, n)
        nn.init.normal_(linear.weight, mean=0.3 / n**0.5, std=1.5 / n**0.5)
        layers.append(linear)
    if images:
        layers += [nn.Unflatten(2, (CHANNELS, HEIGHT, WIDTH)), neuron, nn.Flatten(2)]
    else:
        layers.append(neuron)
    with torch.no_grad():
        found = nn.Sequential(*layers)(torch.zeros(1, 1, n))
    return nn.Sequential(*layers, nn.Linear(found.shape[-1], CLASSES), SumCurrent())


def cases() -> Iterator[Case]:
    """Every family × reset × delay that the family has."""
    for family in FAMILIES:
        for reset, delay in RESETS:
            if family == "Alpha" and (reset, delay) == ("subtract", False):
                continue  # the module refuses it
            if family.endswith("mean") and not delay and reset != "none":
                continue  # the tracer refuses it
            yield Case(family, reset, delay)


CASES = tuple(cases())


def input_spikes(inputs: int, batch: int = 8, steps: int = STEPS, seed: int = 0) -> Tensor:
    """[T, B, inputs] in {0, 1}."""
    random = torch.Generator().manual_seed(seed)
    return (torch.rand(steps, batch, inputs, generator=random) < 0.5).double()


def differing(module: QATNetwork, samples: np.ndarray) -> list[str]:
    """The probes in which a module's forward pass and the golden model of its export differ."""
    with torch.no_grad():
        found = module.run(torch.as_tensor(samples))
    trace = golden.run(module.export(), samples, None)
    assert set(found) == set(trace.probes)
    return [
        ".".join(probe) for probe in found if not np.array_equal(found[probe].numpy(), trace[probe])
    ]
