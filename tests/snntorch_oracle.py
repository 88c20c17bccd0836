"""Oracles for the neurons: snnTorch 1.0.0 for the numbers, autograd for the gradients.

Neuron-agnostic: a neuron is two modules and the names of its states in the order in which both
return them after the spikes. snnTorch's own surrogates force float32, so its neurons must be
built with :func:`heaviside` as ``spike_grad``.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

T, B, N = 60, 8, 12
# Gradients of every option want shorter runs.
SHORT = (20, B, N)
RESETS = ("subtract", "zero", "none")


def heaviside(x: Tensor) -> Tensor:
    """The bare step, in the dtype of its input."""
    return (x > 0).to(x.dtype)


def number(low: float, high: float, per_neuron: bool, neurons: int = N) -> Tensor:
    """A float64 parameter: one value between the two, or a ramp over the neurons."""
    if per_neuron:
        return torch.linspace(low, high, neurons, dtype=torch.float64)
    return torch.tensor((low + high) / 2, dtype=torch.float64)


def drive(
    seed: int = 0, shape: Sequence[int] = (T, B, N), scale: float = 0.8, offset: float = 0.2
) -> Tensor:
    """Random float64 currents [T, B, ...]."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=torch.float64, generator=generator) * scale + offset


@dataclass(frozen=True)
class Trace:
    """Spikes and states of a run, all [T, B, ...]."""

    spikes: Tensor
    states: dict[str, Tensor]


@dataclass(frozen=True)
class Comparison:
    """What two runs differ by."""

    errors: dict[str, float]
    """Largest absolute difference of each state."""
    different: int
    """Spikes that differ."""
    spikes: int
    """Spikes of the reference."""
    places: int
    """Neuron-steps: the most spikes there could be."""

    def __str__(self) -> str:
        errors = ", ".join(f"{name} {error:.1e}" for name, error in self.errors.items())
        return f"{self.different} of {self.spikes} spikes in {self.places} differ; {errors}"

    def require(self, tolerance: float = 1e-9) -> None:
        """Fail unless spikes are identical, states agree, and the run proves something."""
        assert 0 < self.spikes < self.places, f"a run that proves nothing: {self}"
        assert self.different == 0, str(self)
        assert max(self.errors.values()) <= tolerance, str(self)


def step_by_step(neuron: nn.Module, currents: Tensor, names: Sequence[str]) -> Trace:
    """Run a single-step neuron of either library that keeps its state from call to call."""
    rows = [[value.clone() for value in neuron(current)] for current in currents]
    spikes, *states = (torch.stack(column) for column in zip(*rows, strict=True))
    return Trace(spikes, dict(zip(names, states, strict=True)))


def all_at_once(neuron: nn.Module, currents: Tensor, names: Sequence[str]) -> Trace:
    """Run one of our neurons, built with ``multi_step=True, output=True``, in one call."""
    spikes, *states = neuron(currents)
    return Trace(spikes, dict(zip(names, states, strict=True)))


def difference(ours: Trace, reference: Trace) -> Comparison:
    """What ``ours`` differs from ``reference`` by."""
    assert ours.spikes.shape == reference.spikes.shape
    assert ours.states.keys() == reference.states.keys()
    errors = {}
    for name, state in reference.states.items():
        assert ours.states[name].shape == state.shape
        errors[name] = float((ours.states[name] - state).detach().abs().max())
    fired = reference.spikes != 0
    return Comparison(
        errors, int((ours.spikes != reference.spikes).sum()), int(fired.sum()), fired.numel()
    )


def compare(
    theirs: nn.Module, ours: nn.Module, currents: Tensor, names: Sequence[str]
) -> Comparison:
    """A snnTorch neuron against ours, which may be single- or multi-step (with ``output``)."""
    run = all_at_once if ours.multi_step else step_by_step
    with torch.no_grad():
        return difference(run(ours, currents, names), step_by_step(theirs, currents, names))


# Gradients.


def probe_loss(trace: Trace) -> Tensor:
    """A loss in which every spike and every state has its own weight."""
    generator = torch.Generator().manual_seed(5)
    loss = torch.zeros((), dtype=trace.spikes.dtype)
    for values in (trace.spikes, *trace.states.values()):
        weights = torch.randn(values.shape, dtype=values.dtype, generator=generator)
        loss = loss + (weights * values).sum()
    return loss


def gradients(
    neuron: nn.Module,
    currents: Tensor,
    names: Sequence[str],
    run: Callable[[nn.Module, Tensor, Sequence[str]], Trace],
    initial: Sequence[Tensor] = (),
) -> dict[str, Tensor]:
    """Gradients of the probe loss for the input, every learnable parameter, the first states."""
    leaves = {"input": currents.clone().requires_grad_()}
    for name, state in zip(names, initial, strict=bool(initial)):
        leaves[f"initial {name}"] = state.clone().requires_grad_()
        setattr(neuron, name, leaves[f"initial {name}"])
    leaves |= {name: leaf for name, leaf in neuron.named_parameters() if leaf.requires_grad}
    trace = run(neuron, leaves["input"], names)
    assert trace.spikes.detach().unique().numel() > 1, "a run that proves nothing"
    found = torch.autograd.grad(probe_loss(trace), list(leaves.values()))
    return dict(zip(leaves, found, strict=True))


def gradient_errors(
    neuron: nn.Module,
    currents: Tensor,
    names: Sequence[str],
    initial: Sequence[Tensor] = (),
) -> dict[str, float]:
    """Hand-written backward of a multi-step neuron against autograd through its single steps.

    Args:
        neuron: ours, built with ``multi_step=True, output=True``; left as it was.
        currents: [T, B, ...] float64.
        names: its states.
        initial: states before the first step, which then get a gradient too.

    Returns:
        Largest absolute error by name: "input", parameters, "initial ...". Each gradient that
        is compared is checked to be there.
    """
    block: Any = copy.deepcopy(neuron)
    single: Any = copy.deepcopy(neuron)
    single.multi_step = False
    if initial:
        block.init_hidden = single.init_hidden = True
    by_hand = gradients(block, currents, names, all_at_once, initial)
    by_autograd = gradients(single, currents, names, step_by_step, initial)
    for name, gradient in by_autograd.items():
        assert float(gradient.abs().max()) > 1e-6, f"no gradient for {name}: proves nothing"
    return {
        name: float((by_hand[name] - gradient).abs().max())
        for name, gradient in by_autograd.items()
    }


def require_gradients(
    neuron: nn.Module,
    currents: Tensor,
    names: Sequence[str],
    initial: Sequence[Tensor] = (),
    tolerance: float = 1e-9,
) -> None:
    """Fail unless every gradient of :func:`gradient_errors` is within the tolerance."""
    errors = gradient_errors(neuron, currents, names, initial)
    assert max(errors.values()) <= tolerance, str(errors)
