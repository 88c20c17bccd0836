"""The parts of a float graph while it is built, and what the module's values are in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np

from ..formats import IntArray
from ..graph import (
    FloatAffine,
    FloatArray,
    FloatConv2d,
    FloatDense,
    FloatGraph,
    FloatNeuron,
    FloatNode,
    GraphError,
)
from ..network import Edge, Pool, Quantity
from .images import by_channel
from .layers import Layer
from .lowering import dense_of


@dataclass(frozen=True)
class Signal:
    """What a value of the module is in the graph: a ``quantity`` of a node, times ``factor``.

    The factor (of graded spikes and average pools; None is 1) is a scalar or ``[n]``. ``order`` is
    where each of the node's values stands in the module's; None is in the same place: flattened
    in C order, or an image pixel by pixel. Whoever reads the signal has to absorb both.
    """

    node: str
    quantity: Quantity = "output"
    factor: FloatArray | None = None
    order: IntArray | None = None


@dataclass
class Parts:
    """Nodes by name, in an order of execution, and edges."""

    nodes: dict[str, FloatNode] = field(default_factory=dict)
    edges: list[Edge] = field(default_factory=list)
    depth: dict[str, int] = field(default_factory=dict)
    """How many nodes lie on the longest way from the input to each."""

    def graph(self) -> FloatGraph:
        """The graph of what is there."""
        return FloatGraph(tuple(self.nodes.values()), tuple(self.edges))

    def free_name(self, base: str) -> str:
        """``base``, numbered if a node has it already."""
        name, count = base, 1
        while name in self.nodes or name in ("input", "readout"):
            count += 1
            name = f"{base}_{count}"
        return name

    def add(self, node: FloatNode, ports: Mapping[str, Signal], delay: int = 0) -> Signal:
        """Add a node that reads ``ports``; returns what it sends. No factors, no orders."""
        self.nodes[node.name] = node
        before = [self.depth[s.node] for s in ports.values() if not delay and s.node in self.depth]
        self.depth[node.name] = max([self.depth.get(node.name, 0), *(1 + d for d in before)])
        for port, source in ports.items():
            if source.factor is not None:
                raise GraphError(
                    f"reads the graded spikes of '{source.node}', whose factor only a Linear or "
                    "a neuron can absorb"
                )
            if source.order is not None:
                raise _misplaced(source)
            self.edges.append(Edge(source.node, node.name, port, delay, source.quantity))
        return Signal(node.name)

    def synapse(
        self, node: FloatDense | FloatConv2d | FloatAffine, source: Signal, delay: int = 0
    ) -> Signal:
        """Add a synapse or gain, whose weights absorb factor and order of what it reads."""
        if isinstance(node, FloatConv2d) and source.order is not None:
            node = dense_of(node)
        # Of a matrix [n, inputs] the columns, of gains [n] or [T, n] each neuron's.
        if source.order is not None:
            if isinstance(node, FloatDense):
                node = replace(node, weight=node.weight[:, source.order])
            elif isinstance(node, FloatAffine):
                node = _moved(node, source.order)
        if source.factor is not None:
            if isinstance(node, FloatDense):
                node = replace(node, weight=node.weight * source.factor)
            elif isinstance(node, FloatConv2d):
                node = _graded(node, source.factor)
            else:
                node = replace(node, gain=node.gain * source.factor)
        sent = self.add(node, {"input": replace(source, factor=None, order=None)}, delay)
        return replace(sent, order=source.order) if isinstance(node, FloatAffine) else sent

    def pool(self, node: Pool, source: Signal, divisor: float = 1.0) -> Signal:
        """Add a pool; the signal that it sends counts 1 / ``divisor``."""
        factor = np.array(1.0) if source.factor is None else source.factor
        if factor.size > 1 or (node.op == "max" and factor <= 0):
            raise GraphError(
                f"pools the graded spikes of '{source.node}', whose factor must be one above 0"
            )
        sent = self.add(node, {"input": replace(source, factor=None)})
        factor = factor.reshape(()) / divisor
        return sent if factor == 1 else replace(sent, factor=factor)

    def rescale(self, name: str, scale: FloatArray, shift: FloatArray | None = None) -> None:
        """Fold ``scale`` (scalar, ``[n]`` or, of a convolution, by channel) and ``shift`` into the
        synapse ``name``.
        """
        node = self.nodes[name]
        assert isinstance(node, FloatDense | FloatConv2d)
        bias = shift
        if node.bias is not None:
            bias = scale * node.bias + (0 if shift is None else shift)
        weight = np.reshape(scale, (-1, *[1] * (node.weight.ndim - 1))) * node.weight
        self.nodes[name] = replace(node, weight=weight, bias=bias)

    def permute(self, name: str, order: IntArray) -> None:
        """Put the neurons of the dense synapse ``name`` in ``order``."""
        dense = self.nodes[name]
        assert isinstance(dense, FloatDense)
        bias = None if dense.bias is None else dense.bias[order]
        self.nodes[name] = replace(dense, weight=dense.weight[order], bias=bias)

    def place(self, layer: Layer, source: Signal, alone: bool) -> Signal:
        """Add a neuron's layer behind ``source``, which nothing else reads if ``alone``."""
        order = None if layer.synapse is not None else source.order
        if order is not None and (layer.feedback is not None or layer.pool is not None):
            raise _misplaced(source)
        if order is not None:
            factor = None if layer.factor is None else _each(layer.factor, order)
            layer = replace(layer, neuron=_moved(layer.neuron, order), factor=factor)
            source = replace(source, order=None)
        neuron = layer.neuron
        if layer.synapse is not None:
            source = self.synapse(layer.synapse, source)
        else:
            source = self._scaled(source, layer, alone)
        inputs = [source]
        if layer.feedback is not None:
            spikes = layer.fed_back == "output"
            sent = Signal(neuron.name, layer.fed_back, layer.factor if spikes else None)
            inputs.append(self.synapse(layer.feedback, sent, delay=1))
        for signal in inputs:
            self.add(neuron, {"input": signal})
        if layer.pool is None or layer.head is None:
            return Signal(neuron.name, layer.sends, layer.factor, order)
        pooled = self.pool(layer.pool, Signal(neuron.name, layer.pooled))
        return replace(self.add(layer.head, {"input": pooled}), factor=layer.factor)

    def _scaled(self, source: Signal, layer: Layer, alone: bool) -> Signal:
        """``source`` times the input gain: in the weights that make it if they may change."""
        gain = layer.gain
        if source.factor is not None:
            gain = source.factor if gain is None else gain * source.factor
        if gain is None or (gain == 1).all():
            return replace(source, factor=None)
        made = self.nodes[source.node]
        if alone and isinstance(made, FloatConv2d):
            channels = by_channel(gain, made.out_shape)
            if channels is not None:
                self.rescale(source.node, channels)
                return replace(source, factor=None)
        if alone and isinstance(made, FloatDense):
            self.rescale(source.node, gain)
            return replace(source, factor=None)
        name = self.free_name(f"{layer.neuron.name}_gain")
        affine = FloatAffine(name, np.full(layer.neuron.size, gain))
        return self.add(affine, {"input": replace(source, factor=None)})


def _misplaced(source: Signal) -> GraphError:
    return GraphError(
        f"reads '{source.node}' reshaped between image and vector, where channels and pixels "
        "change places; a Linear must come first"
    )


def _each(value: FloatArray, order: IntArray) -> FloatArray:
    """Values of neurons (a scalar, ``[n]`` or ``[T, n]``) in another order."""
    return value if value.ndim == 0 else value[..., order]


_N = TypeVar("_N", FloatNeuron, FloatAffine)


def _moved(node: _N, order: IntArray) -> _N:
    """Neurons or gains in another order."""
    if isinstance(node, FloatNeuron):
        numbers = {what: _each(value, order) for what, value in node.numbers.items()}
        return replace(node, numbers=numbers)
    bias = None if node.bias is None else _each(node.bias, order)
    return replace(node, gain=_each(node.gain, order), bias=bias)


def _graded(node: FloatConv2d, factor: FloatArray) -> FloatConv2d:
    """A convolution whose inputs count ``factor``."""
    channels = by_channel(factor, node.shape)
    if channels is None:
        raise GraphError("its input's graded factor differs between pixels, must be by channel")
    # [in] as [groups, 1, in / groups], beside the outputs of each group.
    share = np.asarray(channels).reshape(node.groups, 1, -1, 1, 1)
    weight = node.weight.reshape(node.groups, -1, *node.weight.shape[1:]) * share
    return replace(node, weight=weight.reshape(node.weight.shape))
