"""What the nodes of a network compute in quantised training, and how large it may become."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from ..formats import Format
from ..graph import affine_over_steps, neuron_step
from ..image_ops import convolve, pool
from ..network import (
    LIF,
    Affine,
    Conv2d,
    Dense,
    Edge,
    Input,
    Join,
    Network,
    Neuron,
    Node,
    Pool,
    Readout,
)
from ..nn.surrogate import Surrogate
from ..over_time import Seen, stacked
from .lif import run_integer_lif
from .ops import ThroughOps, aligned, join_through, score_over_time

Weighted: TypeAlias = Dense | Conv2d | Affine
"""The nodes that multiply."""


def weight_field(node: Weighted) -> tuple[str, Format]:
    """The field of a node that multiplies, and its format."""
    if isinstance(node, Affine):
        return "gain", node.gain_format
    return "weight", node.weight_format


class Integers:
    """Evaluates the nodes of a network in training, in integers held in floating point.

    ``truncate`` as of :class:`QATNetwork`.
    """

    def __init__(
        self,
        network: Network,
        numbers: Mapping[str, Mapping[str, Tensor]],
        surrogates: Mapping[str, Surrogate],
        dtypes: Mapping[str, torch.dtype],
        truncate: int = 0,
    ) -> None:
        self.network = network
        self.numbers = numbers
        self.surrogates = surrogates
        self.dtypes = dtypes
        self.truncate = truncate

    def block(self, node: Node, operands: Mapping[str, Sequence[tuple[Edge, Tensor]]]) -> Seen:
        operands = self._cast(node, operands)
        if isinstance(node, LIF) and not node.rectify and not self.truncate:
            current, numbers = self.total(node, operands), self.numbers[node.name]
            spikes, membrane = run_integer_lif(
                current, numbers["leak"], numbers["threshold"], node, self.surrogates[node.name]
            )
            return {"current": current, "membrane": membrane, "spike": spikes, "output": spikes}
        if isinstance(node, Neuron):
            memory: dict[str, Tensor] = {}
            steps = []
            for t, now in enumerate(self.total(node, operands)):
                self._cut(memory, t)
                steps.append(self.neuron(node, now, memory))
            return stacked(steps)
        if isinstance(node, Readout):
            ((_, source),) = operands["input"]
            return {"output": score_over_time(node, source)}
        return self.stateless(node, operands, None)

    def step(
        self,
        node: Node,
        operands: Mapping[str, Sequence[tuple[Edge, Tensor]]],
        memory: dict[str, Tensor],
        t: int,
    ) -> Seen:
        operands = self._cast(node, operands)
        if self._cut(memory, t):
            operands = {
                port: [(edge, value.detach() if edge.delay else value) for edge, value in of]
                for port, of in operands.items()
            }
        if isinstance(node, Neuron):
            return self.neuron(node, self.total(node, operands), memory)
        return self.stateless(node, operands, t)

    def _cut(self, memory: dict[str, Tensor], t: int) -> bool:
        """Whether a part of the steps begins at ``t``: then no gradient leaves it for the past."""
        begins = self.truncate > 0 and t % self.truncate == 0
        if begins:
            memory.update({name: value.detach() for name, value in memory.items()})
        return begins

    def _cast(
        self, node: Node, operands: Mapping[str, Sequence[tuple[Edge, Tensor]]]
    ) -> Mapping[str, Sequence[tuple[Edge, Tensor]]]:
        """What arrives, in the type that holds every integer of ``node``."""
        dtype = self.dtypes[node.name]
        return {port: [(e, value.to(dtype)) for e, value in of] for port, of in operands.items()}

    def total(self, node: Neuron, operands: Mapping[str, Sequence[tuple[Edge, Tensor]]]) -> Tensor:
        """The sum of the currents, on the neuron's grid."""
        currents = [
            aligned(value, node.current_frac - self.frac(edge)) for edge, value in operands["input"]
        ]
        current = currents[0]
        for other in currents[1:]:
            current = current + other
        return current

    def frac(self, edge: Edge) -> int:
        return self.network.carried(edge).format.frac

    def neuron(self, node: Neuron, current: Tensor, memory: dict[str, Tensor]) -> Seen:
        ops = ThroughOps(self.surrogates[node.name])
        return neuron_step(node, ops, self.numbers[node.name], current, memory)

    def stateless(
        self, node: Node, operands: Mapping[str, Sequence[tuple[Edge, Tensor]]], t: int | None
    ) -> Seen:
        if isinstance(node, Join):
            ((into, branch),), ((across, shortcut),) = operands["branch"], operands["shortcut"]
            value = join_through(node, branch, self.frac(into), shortcut, self.frac(across))
            return {"output": value}
        ((_, source),) = operands["input"]
        if isinstance(node, Pool):
            return {"output": pool(source, node)}
        numbers = self.numbers[node.name]
        if isinstance(node, Conv2d):
            return {"output": convolve(source, numbers["weight"], numbers.get("bias"), node)}
        if isinstance(node, Dense):
            value = nn.functional.linear(source, numbers["weight"], numbers.get("bias"))
            return {"output": value}
        value = affine_over_steps(source, numbers["gain"], numbers.get("bias"), t)
        return {"output": value}


def reach_of(network: Network) -> tuple[dict[str, int], dict[str, int]]:
    """Limits for biases by synapse, and by node what none of its integers can then exceed, whatever
    the weights.
    """
    magnitude = {node.name: 1 for node in network.nodes_of(Neuron)}
    bias_limit: dict[str, int] = {}
    reach: dict[str, int] = {}

    def arriving(edge: Edge) -> int:
        source = network.by_name[edge.source]
        if isinstance(source, Neuron) and network.carries_membrane(edge):
            return -source.membrane.min
        return magnitude[edge.source]

    for node in network.order:
        name = node.name
        sources = [
            (arriving(e), network.carried(e).format.frac)
            for port in node.ports
            for e in network.incoming(name, port)
        ]
        if isinstance(node, Input):
            magnitude[name] = max(-node.format.min, node.format.max)
        elif isinstance(node, Weighted):
            _, form = weight_field(node)
            terms = 1 if isinstance(node, Affine) else node.weight[0].size
            bound = max(-form.min, form.max) * terms * sources[0][0]
            bias = 0 if node.bias is None else int(np.abs(node.bias).max())
            # Training may move a bias, but has no use for one that drowns its synapses.
            bias_limit[name] = max(2 * bias, bound)
            magnitude[name] = bound + bias_limit[name]
        elif isinstance(node, Neuron):
            current = sum(size << (node.current_frac - frac) for size, frac in sources)
            reach[name] = node.reach(current)
        elif isinstance(node, Join):
            frac = max(frac for _, frac in sources)
            if node.op == "and":
                magnitude[name] = sources[0][0] * sources[1][0]
            else:
                magnitude[name] = sum(size << (frac - at) for size, at in sources)
            if node.format is not None:
                reach[name] = magnitude[name]
                magnitude[name] = max(-node.format.min, node.format.max)
        elif isinstance(node, Pool):
            magnitude[name] = sources[0][0] * (int(np.prod(node.window)) if node.op == "sum" else 1)
        elif isinstance(node, Readout):
            steps = network.max_steps if node.kind in ("count", "sum_current") else 1
            magnitude[name] = sources[0][0] * steps
        reach[name] = max(reach.get(name, 0), magnitude[name])
    return bias_limit, reach
