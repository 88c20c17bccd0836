"""The parts of a float graph while it is built, and what the module's values are in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from ..graph import FloatAffine, FloatArray, FloatDense, FloatGraph, FloatNode, GraphError
from ..network import Edge, Quantity
from .layers import Layer


@dataclass(frozen=True)
class Signal:
    """What a value of the module is in the graph: a ``quantity`` of a node, times ``factor``.

    The factor (of graded spikes; None is 1) is a scalar or ``[n]``. Whoever reads the signal has
    to absorb it.
    """

    node: str
    quantity: Quantity = "output"
    factor: FloatArray | None = None


@dataclass
class Parts:
    """Nodes by name, in an order of execution, and edges."""

    nodes: dict[str, FloatNode] = field(default_factory=dict)
    edges: list[Edge] = field(default_factory=list)

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
        """Add a node that reads ``ports``; returns what it sends. Factors are refused."""
        self.nodes[node.name] = node
        for port, source in ports.items():
            if source.factor is not None:
                raise GraphError(
                    f"reads the graded spikes of '{source.node}', whose factor only a Linear or "
                    "a neuron can absorb"
                )
            self.edges.append(Edge(source.node, node.name, port, delay, source.quantity))
        return Signal(node.name)

    def synapse(self, node: FloatDense | FloatAffine, source: Signal, delay: int = 0) -> Signal:
        """Add a synapse or gain, whose weights absorb the factor of what it reads."""
        if source.factor is not None:
            # Of a matrix [n, inputs] the columns, of gains [n] or [T, n] each neuron's.
            if isinstance(node, FloatDense):
                node = replace(node, weight=node.weight * source.factor)
            else:
                node = replace(node, gain=node.gain * source.factor)
        return self.add(node, {"input": replace(source, factor=None)}, delay)

    def rescale(self, name: str, scale: FloatArray, shift: FloatArray | None = None) -> None:
        """Fold ``scale`` (scalar or ``[n]``) and ``shift`` into the synapse ``name``."""
        dense = self.nodes[name]
        assert isinstance(dense, FloatDense)
        bias = shift
        if dense.bias is not None:
            bias = scale * dense.bias + (0 if shift is None else shift)
        weight = np.reshape(scale, (-1, 1)) * dense.weight
        self.nodes[name] = replace(dense, weight=weight, bias=bias)

    def place(self, layer: Layer, source: Signal, alone: bool) -> Signal:
        """Add a neuron's layer behind ``source``, which nothing else reads if ``alone``."""
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
            return Signal(neuron.name, layer.sends, layer.factor)
        pooled = self.synapse(layer.pool, Signal(neuron.name, layer.pooled))
        return replace(self.add(layer.head, {"input": pooled}), factor=layer.factor)

    def _scaled(self, source: Signal, layer: Layer, alone: bool) -> Signal:
        """``source`` times the input gain: in the weights that make it if they may change."""
        gain = layer.gain
        if source.factor is not None:
            gain = source.factor if gain is None else gain * source.factor
        if gain is None or (gain == 1).all():
            return replace(source, factor=None)
        if alone and isinstance(self.nodes[source.node], FloatDense):
            self.rescale(source.node, gain)
            return source
        name = self.free_name(f"{layer.neuron.name}_gain")
        affine = FloatAffine(name, np.full(layer.neuron.size, gain))
        return self.add(affine, {"input": replace(source, factor=None)})
