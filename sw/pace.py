"""Learning rates of parameters whose changes add up over the depth of a network.

What the branches of n membrane-shortcut blocks send is summed. AdamW moves every parameter by about
the learning rate a step whatever its size, so that n shifts that move together move the sum n
times as far: at 241 blocks and a rate of 0.005 past the threshold in a single step. The last
parameters of each branch learn at the part of the rate that they start at, 1/n^p (as a factor 1/n^p
behind a branch would have it). At p = ½ independent branches add up to about 1 (Yang et al.,
"Feature learning in infinite-depth neural networks", ICLR 2024), at p = 1 those do that have learnt
to pull together, the limit in which a residual network is a differential equation.
"""

from __future__ import annotations

from torch import nn

from .graph import FloatDense, FloatGraph
from .network import Join
from .nn import DeepSNNStack, MembraneShortcutBlock


def branch_paces(model: nn.Module) -> dict[str, float]:
    """Factors on the learning rate, by the names of ``model``'s parameters; 1 for all others."""
    paces = {}
    for name, stack in model.named_modules():
        if not isinstance(stack, DeepSNNStack):
            continue
        for index, block in enumerate(stack.blocks):
            if isinstance(block, MembraneShortcutBlock):
                last = "linear2" if isinstance(block.norm2, nn.Identity) else "norm2"
                for what, _ in getattr(block, last).named_parameters():
                    full = f"{name}.blocks.{index}.{last}.{what}".removeprefix(".")
                    paces[full] = stack.branch_scale
    return paces


def graph_paces(graph: FloatGraph, power: float) -> dict[str, float]:
    """The same by the names of :class:`reslif.sw.qat.QATNetwork`'s parameters, for the synapses
    whose currents are added to a shortcut's: 1/n^``power`` of n such joins.
    """
    joins = [node for node in graph.nodes if isinstance(node, Join) and node.op == "add"]
    paces = {}
    for join in joins:
        (source,) = graph.sources(join.name, "branch")
        if isinstance(graph.by_name[source], FloatDense):
            for what in ("weight", "bias"):
                paces[f"{source}__{what}"] = len(joins) ** -power
    return paces
