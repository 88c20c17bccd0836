"""The float graph: a traced network before quantisation, batch norm already folded away.

It has the shape of a :class:`~reslif.sw.network.Network`, and shares its input, join and readout
nodes and its edges; synapses, gains and neurons carry floats. :func:`reslif.sw.from_torch` makes
one, :func:`reslif.sw.quantise` turns it into integers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from .edges import by_port, cyclic_groups
from .float_nodes import (
    WIDE,
    FloatAffine,
    FloatArray,
    FloatConv2d,
    FloatDense,
    FloatNeuron,
    FloatNode,
    GraphError,
    finite,
    float_lif,
)
from .formats import Format
from .image_ops import convolve, pool
from .network import Edge, Input, Join, Network, Neuron, Pool, Readout
from .neurons.table import Tanh
from .nn.lif_function import winner_mask
from .over_time import Seen, delivered, run_over_time, stacked

__all__ = [
    "WIDE",
    "FloatAffine",
    "FloatArray",
    "FloatConv2d",
    "FloatDense",
    "FloatGraph",
    "FloatNeuron",
    "FloatNode",
    "GraphError",
    "RealOps",
    "affine_over_steps",
    "finite",
    "float_lif",
    "neuron_step",
    "run_float",
    "run_float_edges",
]


@dataclass(frozen=True, eq=False)
class FloatGraph:
    """A graph of float nodes; ``nodes`` are in an order of execution within a timestep."""

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

    @cached_property
    def groups(self) -> tuple[tuple[FloatNode, ...], ...]:
        """As of :class:`~reslif.sw.network.Network`."""
        return cyclic_groups(self.nodes, self.edges)

    def incoming(self, name: str, port: str) -> tuple[Edge, ...]:
        """The edges into a port, in the order of definition."""
        return self._incoming.get((name, port), ())

    @cached_property
    def _incoming(self) -> dict[tuple[str, str], tuple[Edge, ...]]:
        return by_port(self.edges)

    def carries_membrane(self, edge: Edge) -> bool:
        """As of :class:`~reslif.sw.network.Network`."""
        return Network.carries_membrane(self, edge)  # pyright: ignore[reportArgumentType]

    def sources(self, name: str, port: str = "input") -> tuple[str, ...]:
        """The names of the nodes that feed a port."""
        return tuple(edge.source for edge in self.incoming(name, port))


class RealOps:
    """The operations of a neuron step on real numbers: no rounding, no range."""

    def floor(self, value: Tensor, shift: int) -> Tensor:
        del shift
        return value

    def align(self, value: Tensor, shift: int) -> Tensor:
        del shift
        return value

    def saturate(self, value: Tensor, form: Format) -> Tensor:
        del form
        return value

    def rectify(self, value: Tensor) -> Tensor:
        return value.clamp(min=0)

    def fire(self, value: Tensor, level: Tensor, unit: Tensor, strict: bool) -> Tensor:
        del unit
        return (value > level if strict else value >= level).to(value.dtype)

    def where(self, condition: Tensor, yes: Any, no: Any) -> Tensor:
        return torch.where(condition > 0, yes, no)

    def detach(self, value: Tensor) -> Tensor:
        return value.detach()

    def tanh(self, value: Tensor, frac: int, table: Tanh) -> Tensor:
        del frac, table
        return torch.tanh(value)

    def sigmoid(self, value: Tensor, frac: int, table: Tanh) -> Tensor:
        del frac, table
        return torch.sigmoid(value)


class _Real:
    """Evaluates the nodes of a float graph."""

    def block(self, node: FloatNode, operands: Mapping[str, Sequence[tuple[Edge, Tensor]]]) -> Seen:
        if isinstance(node, FloatNeuron):
            memory: dict[str, Tensor] = {}
            current = _total(operands)
            return stacked([self._neuron(node, now, memory) for now in current])
        if isinstance(node, Readout):
            signal = _total(operands)
            scores = {"last_membrane": lambda x: x[-1], "max_membrane": lambda x: x.amax(0)}
            return {"output": scores.get(node.kind, lambda x: x.sum(0))(signal)}
        if isinstance(node, FloatAffine):
            return {"output": self._affine(node, _total(operands), None)}
        return self._stateless(node, operands)

    def step(
        self,
        node: FloatNode,
        operands: Mapping[str, Sequence[tuple[Edge, Tensor]]],
        memory: dict[str, Tensor],
        t: int,
    ) -> Seen:
        if isinstance(node, FloatNeuron):
            return self._neuron(node, _total(operands), memory)
        if isinstance(node, FloatAffine):
            return {"output": self._affine(node, _total(operands), t)}
        return self._stateless(node, operands)

    def _stateless(
        self, node: FloatNode, operands: Mapping[str, Sequence[tuple[Edge, Tensor]]]
    ) -> Seen:
        if isinstance(node, FloatDense | FloatConv2d):
            x = _total(operands)
            bias = None if node.bias is None else torch.as_tensor(node.bias, dtype=x.dtype)
            weight = torch.as_tensor(node.weight, dtype=x.dtype)
            if isinstance(node, FloatConv2d):
                return {"output": convolve(x, weight, bias, node)}
            return {"output": torch.nn.functional.linear(x, weight, bias)}
        if isinstance(node, Pool):
            return {"output": pool(_total(operands), node)}
        assert isinstance(node, Join)
        ((_, branch),), ((_, shortcut),) = operands["branch"], operands["shortcut"]
        return {"output": _join(node, branch, shortcut)}

    def _affine(self, node: FloatAffine, x: Tensor, t: int | None) -> Tensor:
        bias = None if node.bias is None else torch.as_tensor(node.bias, dtype=x.dtype)
        return affine_over_steps(x, torch.as_tensor(node.gain, dtype=x.dtype), bias, t)

    def _neuron(self, node: FloatNeuron, current: Tensor, memory: dict[str, Tensor]) -> Seen:
        numbers = {
            what: torch.as_tensor(value, dtype=current.dtype)
            for what, value in node.numbers.items()
        }
        return neuron_step(node.template, RealOps(), numbers, current, memory)


def affine_over_steps(x: Tensor, gain: Tensor, bias: Tensor | None, t: int | None) -> Tensor:
    """``gain · x + bias`` of step ``t``'s ``[B, n]``, or (``t`` None) of a block ``[T, B, n]``.

    Gain and bias are ``[n]`` or ``[T, n]``.
    """

    def now(value: Tensor) -> Tensor:
        if value.dim() < 2:
            return value
        return value[: len(x), None] if t is None else value[t]

    result = x * now(gain)
    return result if bias is None else result + now(bias)


def neuron_step(
    node: Neuron, ops: Any, numbers: Mapping[str, Tensor], current: Tensor, memory: Seen
) -> Seen:
    """One step of ``node`` in PyTorch; ``memory``, empty at first, keeps its state."""
    if not memory:
        zero = current.new_zeros(*current.shape[:-1], node.size)
        memory.update(dict.fromkeys((*node.states, "fired"), zero))
    update = node.step(ops, numbers, memory, current)
    # As in snnTorch no gradient flows through the decision of a later reset.
    memory.update(update.state | {"fired": update.fired.detach()})
    spike = update.fired
    if node.inhibition:
        spike = spike * winner_mask(update.margin)
    return {"current": current, **update.state, "spike": spike, "output": spike}


def run_float(
    graph: FloatGraph, samples: Tensor, keep: Sequence[str] = ()
) -> tuple[Tensor, dict[str, Tensor]]:
    """Scores ``[B, classes]`` of real-valued ``samples`` ``[T, B, inputs]``.

    Also returns what the nodes named in ``keep`` send, ``[T, B, n]`` each.
    """
    seen = run_over_time(graph, samples, _Real())
    return seen[graph.readout.name]["output"], {name: seen[name]["output"] for name in keep}


def run_float_edges(graph: FloatGraph, samples: Tensor) -> dict[Edge, Tensor]:
    """What every edge delivers, ``[T, B, n]`` each."""
    seen = run_over_time(graph, samples, _Real())
    return {edge: delivered(graph, seen, edge) for edge in graph.edges}


def _total(operands: Mapping[str, Sequence[tuple[Edge, Tensor]]]) -> Tensor:
    total = sum(value for _, value in operands["input"])
    assert isinstance(total, Tensor)
    return total


def _join(node: Join, branch: Tensor, shortcut: Tensor) -> Tensor:
    if node.op == "add":
        return branch + shortcut
    if node.op == "and":
        return branch * shortcut
    if node.op == "iand":
        return shortcut * (1 - branch)
    return torch.clamp(branch + shortcut, max=1)
