"""The float graph: a traced network before quantisation, batch norm already folded away.

It has the shape of a :class:`~reslif.sw.network.Network`, and shares its input, join and readout
nodes and its edges; only synapses and neurons carry floats. :func:`reslif.sw.from_torch` makes
one, :func:`reslif.sw.quantise` turns it into integers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from .network import Edge, Input, Join, Readout
from .nn.lif_function import NeuronRule, run_lif

FloatArray = npt.NDArray[np.float64]


class GraphError(ValueError):
    """A float graph, or the module it is traced from, that cannot become a network."""


def finite(value: npt.ArrayLike, node: str, what: str) -> FloatArray:
    """``value`` as float64, or an error that names the node if it holds NaN or infinity."""
    array = np.asarray(value, np.float64)
    if not np.isfinite(array).all():
        raise GraphError(f"node '{node}': {what} holds NaN or infinity, must be finite")
    return array


@dataclass(frozen=True, eq=False)
class FloatDense:
    """``I[j] = bias[j] + Σ_i weight[j, i] · s[i]``; ``weight`` is ``[n, inputs]``."""

    name: str
    weight: FloatArray
    bias: FloatArray | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "weight", finite(self.weight, self.name, "weight"))
        if self.bias is not None:
            object.__setattr__(self, "bias", finite(self.bias, self.name, "bias"))

    @property
    def size(self) -> int:
        return self.weight.shape[0]


@dataclass(frozen=True, eq=False)
class FloatLIF:
    """Neurons with leak ``beta`` in [0, 1] and ``threshold`` > 0, scalar or ``[n]``."""

    name: str
    size: int
    beta: FloatArray
    threshold: FloatArray
    rule: NeuronRule
    learn_beta: bool = False
    learn_threshold: bool = False

    def __post_init__(self) -> None:
        for field in ("beta", "threshold"):
            value = finite(getattr(self, field), self.name, field)
            if value.size == 1:
                value = value.reshape(())
            if value.shape not in ((), (self.size,)):
                raise GraphError(
                    f"node '{self.name}': {field} has shape {list(value.shape)}, "
                    f"must be a scalar or [{self.size}]"
                )
            object.__setattr__(self, field, value)
        if (self.beta < 0).any() or (self.beta > 1).any() or (self.threshold <= 0).any():
            raise GraphError(
                f"node '{self.name}': beta must lie within 0 to 1 and threshold be above 0"
            )


FloatNode: TypeAlias = Input | FloatDense | FloatLIF | Join | Readout


@dataclass(frozen=True, eq=False)
class FloatGraph:
    """A feed-forward graph; ``nodes`` are in an order of execution. All edges have delay 0."""

    nodes: tuple[FloatNode, ...]
    edges: tuple[Edge, ...]

    @cached_property
    def by_name(self) -> dict[str, FloatNode]:
        """Nodes by name."""
        return {node.name: node for node in self.nodes}

    @property
    def input(self) -> Input:
        """The input node."""
        return next(node for node in self.nodes if isinstance(node, Input))

    @property
    def readout(self) -> Readout:
        """The readout node."""
        return next(node for node in self.nodes if isinstance(node, Readout))

    def sources(self, name: str, port: str = "input") -> tuple[str, ...]:
        """The names of the nodes that feed a port."""
        return tuple(e.source for e in self.edges if (e.target, e.port) == (name, port))


def run_float(
    graph: FloatGraph, samples: Tensor, keep: Sequence[str] = ()
) -> tuple[Tensor, dict[str, Tensor]]:
    """Scores ``[B, classes]`` of real-valued ``samples`` ``[T, B, inputs]``.

    Also returns what the nodes named in ``keep`` send, ``[T, B, n]`` each.
    """
    out: dict[str, Tensor] = {}
    membranes: dict[str, Tensor] = {}

    def parameter(value: FloatArray) -> Tensor:
        return torch.as_tensor(value, dtype=samples.dtype)

    for node in graph.nodes:
        name = node.name
        if isinstance(node, Input):
            out[name] = samples
        elif isinstance(node, FloatDense):
            (source,) = graph.sources(name)
            bias = None if node.bias is None else parameter(node.bias)
            out[name] = torch.nn.functional.linear(out[source], parameter(node.weight), bias)
        elif isinstance(node, FloatLIF):
            current = sum(out[source] for source in graph.sources(name))
            assert isinstance(current, Tensor)
            out[name], membranes[name] = run_lif(
                current, parameter(node.beta), parameter(node.threshold), node.rule
            )
        elif isinstance(node, Join):
            (branch,), (shortcut,) = graph.sources(name, "branch"), graph.sources(name, "shortcut")
            out[name] = _join(node, out[branch], out[shortcut])
        else:
            (source,) = graph.sources(name)
            signal = membranes[source] if node.reads_membrane else out[source]
            out[name] = {
                "count": lambda x: x.sum(0),
                "sum_current": lambda x: x.sum(0),
                "last_membrane": lambda x: x[-1],
                "max_membrane": lambda x: x.amax(0),
            }[node.kind](signal)
    return out[graph.readout.name], {name: out[name] for name in keep}


def _join(node: Join, branch: Tensor, shortcut: Tensor) -> Tensor:
    if node.op == "add":
        return branch + shortcut
    if node.op == "and":
        return branch * shortcut
    if node.op == "iand":
        return shortcut * (1 - branch)
    return torch.clamp(branch + shortcut, max=1)
