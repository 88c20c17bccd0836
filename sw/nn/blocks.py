"""Residual blocks of dense spiking layers.

All take and return [T, B, N]. A 1-D NumPy vector given to ``forward`` is one timestep of a
stateful block: the result is a NumPy vector, ``reset()`` starts a new sample.

References: membrane shortcut, Hu et al., "Advancing spiking neural networks towards deep
residual learning", TNNLS 2024; spike-element-wise, Fang et al., "Deep residual learning in
spiking neural networks", NeurIPS 2021.
"""

from __future__ import annotations

import math
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from .batchnorm import BatchNormOverTime, MeanNormOverTime
from .errors import LayerError
from .join import SpikeAnd, SpikeIAnd, SpikeOr
from .lif import LIF
from .ms_function import can_fuse, run_ms_block

# A [T, B, N] tensor, or one timestep of a stateful module as a NumPy vector.
Signal = TypeVar("Signal", Tensor, NDArray[np.floating])

SEW_OPS = ("or", "add", "and", "iand")
NORMS = ("batch", "mean", "none")


class SteppedModule(nn.Module):
    """A [T, B, N] module that also advances by single NumPy vectors, keeping its neurons' state."""

    n_features: int

    def reset(self) -> None:
        """Start a new sample: every neuron back to 0."""
        for module in self.modules():
            if isinstance(module, LIF):
                module.reset()

    def step_numpy(self, x: NDArray[np.floating]) -> NDArray[np.floating]:
        """Advance one timestep by the vector x [N]; evaluation mode, no gradients.

        Raises:
            LayerError: ``x`` is not a vector of ``n_features`` values.
        """
        if x.shape != (self.n_features,):
            raise LayerError(
                f"{type(self).__name__}: the NumPy input has shape {list(x.shape)}; "
                f"it must be [{self.n_features}], one timestep"
            )
        lifs = [m for m in self.modules() if isinstance(m, LIF)]
        parameter = next(self.parameters())
        training = self.training
        self.eval()
        for lif in lifs:
            lif.stateful = True
        try:
            with torch.no_grad():
                block = torch.from_numpy(np.array(x, copy=True)).to(parameter)[None, None]
                return self(block)[0, 0].cpu().numpy()
        finally:
            self.train(training)
            for lif in lifs:
                lif.stateful = False


class MembraneShortcutBlock(SteppedModule):
    """Membrane-shortcut (MS) block of two weight layers.

    ``body`` maps currents to currents, ``x + W2·LIF(W1·LIF(x))``: what a stack is made of, the
    shortcut carrying multi-bit currents with no neuron on it. ``forward`` is the block called
    alone, spikes to spikes: ``LIF(W2·LIF(W1·x) + x)``. The same neurons (``lif1``) sit on the
    shortcut's membrane in both.

    Args:
        n_features: N.
        threshold: θ of both neuron layers.
        tau_mem: membrane time constant in timesteps; β = exp(−1/tau_mem).
        norm: after each weight layer ``"batch"`` (or True), ``"mean"`` (a norm by the mean alone)
            or ``"none"`` (or False).
        branch_gain: initial gain of the branch: γ of its last batch norm, or, without norm, the
            scale of its last weights. 1/√blocks keeps the sum of a deep stack bounded.
        neuron: options for both :class:`LIF` layers (``beta`` here overrides ``tau_mem``).
    """

    def __init__(
        self,
        n_features: int,
        threshold: float = 1.0,
        tau_mem: float = 10.0,
        *,
        norm: bool | str = False,
        branch_gain: float = 1.0,
        neuron: dict[str, object] | None = None,
    ) -> None:
        super().__init__()
        self.n_features = n_features
        self.lif1 = make_lif(threshold, tau_mem, neuron)
        self.linear1, self.norm1 = _weights(n_features, norm, 1.0)
        self.lif2 = make_lif(threshold, tau_mem, neuron)
        self.linear2, self.norm2 = _weights(n_features, norm, branch_gain)

    def branch(self, spikes: Tensor) -> Tensor:
        """Current of the branch, ``W2·LIF(W1·spikes)``."""
        return self.norm2(self.linear2(self.lif2(self.norm1(self.linear1(spikes)))))

    def body(self, x: Tensor) -> Tensor:
        """Currents to currents: ``x + branch(LIF(x))``."""
        lifs, norms = (self.lif1, self.lif2), (self.norm1, self.norm2)
        if not can_fuse(norms, lifs, x):
            return x + self.branch(self.lif1(x))
        result, *spikes = run_ms_block(x, lifs, (self.linear1, self.linear2), norms)
        for lif, known in zip(lifs, spikes, strict=True):
            lif(x, known=known)
        return result

    def forward(self, x: Signal) -> Signal:
        """Spikes to spikes; see the class for a NumPy vector."""
        if isinstance(x, np.ndarray):
            return self.step_numpy(x)
        return self.lif1(self.branch(x) + x)


class SEWBlock(SteppedModule):
    """Spike-element-wise (SEW) block: ``join(s, x)`` with ``s = LIF(W·x)``.

    Args:
        n_features: N.
        threshold: θ.
        op: join of branch s and shortcut x: ``"or"`` ``min(s + x, 1)``, ``"add"`` ``s + x``
            (graded spikes, growing by up to 1 a block), ``"and"`` ``s·x``, ``"iand"``
            ``x·(1 − s)``.
        layers: weight layers in the branch, 1 or 2: ``LIF(W2·LIF(W1·x))``.
        tau_mem, norm, branch_gain, neuron: as for :class:`MembraneShortcutBlock`.
    """

    def __init__(
        self,
        n_features: int,
        threshold: float = 1.0,
        op: str = "or",
        *,
        layers: int = 1,
        tau_mem: float = 10.0,
        norm: bool | str = False,
        branch_gain: float = 1.0,
        neuron: dict[str, object] | None = None,
    ) -> None:
        super().__init__()
        if layers not in (1, 2):
            raise LayerError(f"SEWBlock: layers is {layers}; it must be 1 or 2")
        self.n_features = n_features
        branch: list[nn.Module] = []
        for i in range(layers):
            gain = branch_gain if i == layers - 1 else 1.0
            branch += [*_weights(n_features, norm, gain), make_lif(threshold, tau_mem, neuron)]
        self.branch = nn.Sequential(*branch)
        self.join: nn.Module | None = sew_join(op, "SEWBlock")

    def forward(self, x: Signal) -> Signal:
        """Spikes to spikes; see the module for a NumPy vector."""
        if isinstance(x, np.ndarray):
            return self.step_numpy(x)
        s = self.branch(x)
        return s + x if self.join is None else self.join(s, x)


class PlainBlock(SteppedModule):
    """Plain spiking residual block ``LIF(W2·LIF(W1·x) + x)``: the baseline, worse with depth.

    Arguments as for :class:`MembraneShortcutBlock`.
    """

    def __init__(
        self,
        n_features: int,
        threshold: float = 1.0,
        tau_mem: float = 10.0,
        *,
        norm: bool | str = False,
        branch_gain: float = 1.0,
        neuron: dict[str, object] | None = None,
    ) -> None:
        super().__init__()
        self.n_features = n_features
        self.linear1, self.norm1 = _weights(n_features, norm, 1.0)
        self.lif1 = make_lif(threshold, tau_mem, neuron)
        self.linear2, self.norm2 = _weights(n_features, norm, branch_gain)
        self.lif2 = make_lif(threshold, tau_mem, neuron)

    def forward(self, x: Signal) -> Signal:
        """Spikes to spikes; see the module for a NumPy vector."""
        if isinstance(x, np.ndarray):
            return self.step_numpy(x)
        return self.lif2(self.branch(x) + x)

    def branch(self, x: Tensor) -> Tensor:
        """Current of the branch, ``W2·LIF(W1·x)``."""
        return self.norm2(self.linear2(self.lif1(self.norm1(self.linear1(x)))))


def make_lif(threshold: float, tau_mem: float, options: dict[str, object] | None) -> LIF:
    """A LIF of β = exp(−1/tau_mem), unless ``options`` say another."""
    if not tau_mem > 0:
        raise LayerError(f"tau_mem is {tau_mem}; it must be above 0 timesteps")
    return LIF(**{"beta": math.exp(-1 / tau_mem), "threshold": threshold, **(options or {})})  # pyright: ignore[reportArgumentType]


def _weights(n_features: int, norm: bool | str, gain: float) -> tuple[nn.Linear, nn.Module]:
    """A square weight layer of unit-variance gain and its norm (or nothing)."""
    linear = nn.Linear(n_features, n_features, bias=False)
    layer = make_norm(norm, n_features, gain)
    spread = gain if isinstance(layer, nn.Identity) else 1.0
    nn.init.normal_(linear.weight, std=spread / math.sqrt(n_features))
    return linear, layer


def make_norm(norm: bool | str, n_features: int, gain: float = 1.0) -> nn.Module:
    """The norm of that name, its γ starting at ``gain``; ``"none"`` is the identity."""
    kind = norm if isinstance(norm, str) else "batch" if norm else "none"
    if kind not in NORMS:
        raise LayerError(f"norm is {norm!r}; it must be one of {', '.join(NORMS)}")
    if kind == "batch":
        return BatchNormOverTime(n_features, gain)
    # Of spikes at a rate of a quarter unit weights make currents of standard deviation ½.
    return MeanNormOverTime(n_features, 2 * gain) if kind == "mean" else nn.Identity()


def sew_join(op: str, owner: str) -> nn.Module | None:
    """The join of that name (None is ``+``); ``owner`` is who is to blame for a wrong one."""
    if op == "add":
        return None
    joins: dict[str, type[nn.Module]] = {"or": SpikeOr, "and": SpikeAnd, "iand": SpikeIAnd}
    if op not in joins:
        raise LayerError(f"{owner}: op is {op!r}; it must be one of {', '.join(SEW_OPS)}")
    return joins[op]()
