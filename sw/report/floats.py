"""The float network of a run beside its integer one: weights, and how far they agree.

Needs PyTorch; both networks are seen in the form in which they are quantised, batch norm folded.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from .. import golden
from ..data import Dataset
from ..network import Conv2d, Dense, Network, Neuron
from .facts import Agreement, Weights

COMPARED = 32
"""Test samples on which float and golden model are compared."""


def float_graphs(config: Any, data: Dataset, trained: Path) -> tuple[Any, Any]:
    """The float graphs before and after training."""
    import torch

    from ..fit import load_module
    from ..models import build_model, image_of, seen
    from ..tracing import from_torch

    values = torch.tensor(data.train[:4].over_time(config.steps), dtype=torch.float64)
    real = seen(values, data.format.step, image_of(config, data))
    model = build_model(config, data).eval()
    before = from_torch(model, real, data.format)
    load_module(model, trained)
    return before, from_torch(model.eval(), real, data.format)


def weights_of(graph: Any, stage: str) -> tuple[Weights, ...]:
    """The synapses of a float graph."""
    from ..graph import FloatConv2d, FloatDense

    return tuple(
        Weights(node.name, stage, node.weight, node.bias)
        for node in graph.nodes
        if isinstance(node, FloatDense | FloatConv2d) and node.learn
    )


def integer_weights(network: Network) -> tuple[Weights, ...]:
    """The synapses of an integer network in real numbers: ``raw · 2^-frac · scale``.

    What a layer reads has a scale of its own too, unless it is spikes, membranes or the input.
    """
    scales, found = network.notes.get("scales", {}), []
    for node in network.nodes:
        if not isinstance(node, Dense | Conv2d):
            continue
        scale = scales.get(node.name, 1.0)
        bias = None
        if node.bias is not None:
            bias = node.bias * network.values[node.name].format.step * scale
        (edge,) = network.incoming(node.name, "input")
        spikes = isinstance(network.by_name[edge.source], Neuron)
        read = 1.0 if spikes else scales.get(edge.source, 1.0)
        weight = node.weight * node.weight_format.step * scale / read
        found.append(Weights(node.name, "quantised", weight, bias))
    return tuple(found)


def agreement(graph: Any, network: Network, data: Dataset) -> Agreement:
    """How the float graph and ``network`` differ on the first test samples."""
    import torch

    from ..graph import FloatConv2d, FloatDense, FloatNeuron, run_float

    names = {node.name for node in network.nodes}
    kept = [
        node
        for node in graph.nodes
        if isinstance(node, FloatDense | FloatConv2d | FloatNeuron) and node.name in names
    ]
    neurons = {node.name for node in kept if isinstance(node, FloatNeuron)}
    samples = data.test[:COMPARED].over_time(network.max_steps)
    probes = [(n.name, "spike" if n.name in neurons else "current") for n in kept]
    trace = golden.run(network, samples, probes)
    real = torch.tensor(samples, dtype=torch.float64) * data.format.step
    with torch.no_grad():
        _, sent = run_float(graph, real, [node.name for node in kept])
    scales, error, same = network.notes.get("scales", {}), {}, {}
    for name, what in probes:
        ours, theirs = trace[name, what], sent[name].numpy()
        if what == "spike":
            same[name] = float(np.mean((ours != 0) == (theirs != 0)))
            continue
        found = ours * network.values[name].format.step * scales.get(name, 1.0)
        size = float(np.sqrt(np.mean(theirs**2)))
        error[name] = float(np.sqrt(np.mean((found - theirs) ** 2))) / (size or 1.0)
    return Agreement(samples.shape[1], error, same)
