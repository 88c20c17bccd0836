"""The edges of a dataflow design: what leaves a node reaches each reader in the form it reads."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from amaranth.hdl import Module
from amaranth.lib import wiring

from ..sw.network import Conv2d, Edge, Input
from .buffers import StepBuffer
from .delay import StepDelay
from .events import EventDecoder, EventEncoder
from .folding import Plan
from .folds import LAYERS
from .pool import Subsample
from .streams import Fork, current_stream, shape_of


class Edges:
    """Forks, decoders, buffers, delays and encoders of ``plan`` in ``module``.

    Names made from a node's name hold a ``-``, which no node's name does: they never clash.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.network = plan.network
        self.module = Module()
        self.arriving: dict[Edge, Any] = {}
        """For each edge, the stream that its target reads."""
        self.delays: dict[Edge, StepDelay] = {}
        for edge in self.network.edges:
            if edge.delay:
                self.delay(edge)

    def operand(self, name: str, port: str) -> Any:
        (edge,) = self.network.incoming(name, port)
        return self.arriving[edge]

    def delay(self, edge: Edge) -> None:
        """The way of a delayed edge, whose target may come before its source."""
        words = self.plan.words_on(edge)
        delay = StepDelay(
            words,
            self.plan.neuron_lanes[edge.source],
            shape_of(self.network.carried(edge).format),
            self.plan.buffer_depth(edge) // words,
        )
        name = self.name_of(edge)
        self.module.submodules[f"{name}-delay"] = self.delays[edge] = delay
        self.arriving[edge] = self.encode(edge, delay.output)

    def name_of(self, edge: Edge) -> str:
        parts = [edge.source, edge.target, edge.port]
        parts += ["membrane"] * (edge.quantity == "membrane") + ["delayed"] * edge.delay
        return "-".join(parts)

    def leave(self, name: str, edges: Sequence[Edge], source: Any) -> None:
        """Send ``source`` along ``edges``, each made into what its target reads."""
        for edge, branch in zip(edges, self.fork(f"{name}-fork", source, len(edges)), strict=True):
            thinned = self.subsample(edge, branch)
            if edge.delay:
                wiring.connect(self.module, thinned, self.delays[edge].input)
            else:
                self.arriving[edge] = self.deliver(edge, thinned)

    def fork(self, name: str, source: Any, outputs: int) -> list[Any]:
        """``outputs`` copies of ``source``."""
        if outputs == 1:
            return [source]
        fork = self.module.submodules[name] = Fork(source.signature, outputs)
        wiring.connect(self.module, source, fork.input)
        return [getattr(fork, f"output{i}") for i in range(outputs)]

    def subsample(self, edge: Edge, source: Any) -> Any:
        """``source`` without the pixels that a strided 1×1 convolution never reads."""
        node = self.network.by_name[edge.target]
        if not isinstance(node, Conv2d) or self.plan.subsampled(edge) is None:
            return source
        shape = shape_of(self.network.carried(edge).format)
        unit = Subsample(node.shape, node.stride, self.plan.neuron_lanes[edge.source], shape)
        return self.insert(f"{self.name_of(edge)}-subsample", unit, source)

    def deliver(self, edge: Edge, source: Any) -> Any:
        """``source`` as events for a synapse, as beats for others, buffered as planned."""
        node, target = self.network.by_name[edge.source], self.network.by_name[edge.target]
        name = self.name_of(edge)
        if isinstance(node, Input) and not isinstance(target, LAYERS):
            lanes = self.plan.neuron_lanes[edge.target]
            decoder = EventDecoder(node.size, lanes, shape_of(node.format))
            source = self.insert(f"{name}-decoder", decoder, source)
        if depth := self.plan.buffer_depth(edge):
            buffer = StepBuffer(source.signature, depth)
            source = self.insert(f"{name}-buffer", buffer, source)
        return source if isinstance(node, Input) else self.encode(edge, source)

    def encode(self, edge: Edge, source: Any) -> Any:
        """Beats as events, if a synapse is to read them."""
        node = self.network.by_name[edge.source]
        if not isinstance(self.network.by_name[edge.target], LAYERS):
            return source
        size = prod(self.plan.subsampled(edge) or (node.size,))
        shape = shape_of(self.network.carried(edge).format)
        encoder = EventEncoder(size, self.plan.neuron_lanes[edge.source], shape)
        return self.insert(f"{self.name_of(edge)}-encoder", encoder, source)

    def insert(self, name: str, component: Any, source: Any) -> Any:
        self.module.submodules[name] = component
        wiring.connect(self.module, source, component.input)
        return component.output

    def select(self, source: Any, field: str) -> Any:
        """One field of each lane of an array's beats."""
        shape = source.payload.values[0].shape()[field].shape
        lanes = len(source.payload.values)
        result = current_stream(lanes, shape).create(path=(f"selected_{len(self.arriving)}", field))
        self.module.d.comb += [
            result.valid.eq(source.valid),
            source.ready.eq(result.ready),
            result.payload.end_of_step.eq(source.payload.end_of_step),
            result.payload.end_of_sample.eq(source.payload.end_of_sample),
        ]
        self.module.d.comb += [
            result.payload.values[lane].eq(source.payload.values[lane][field])
            for lane in range(lanes)
        ]
        return result
