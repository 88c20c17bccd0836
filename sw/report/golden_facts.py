"""What the golden model does with test samples: classes, spikes, membranes, saturations."""

from __future__ import annotations

from collections import Counter

import numpy as np

from .. import golden
from ..data import Dataset
from ..formats import IntArray
from ..images import to_image
from ..network import Network, Neuron
from .facts import Layer, Sample, Seen
from .png import image

COUNTED = 1000
"""So many test samples at most are classified for the page."""
MISTAKES = 4
"""Misclassified samples that can be chosen, beside one of each class."""
NEURONS = 96
"""So many neurons of a layer at most have their spikes shown."""
BATCH = 64
ADAPTATION = "adaptation"
"""The state that raises the threshold of the next timestep."""


def see(network: Network, data: Dataset) -> Seen:
    """Run the first test samples of ``data`` through ``network``."""
    test, steps = data.test[:COUNTED], network.max_steps
    neurons = network.nodes_of(Neuron)
    probes = [(node.name, "spike") for node in neurons]
    fired = {node.name: np.zeros(node.size) for node in neurons}
    classes, clipped = [], Counter[str]()
    for start in range(0, len(test), BATCH):
        trace = golden.run(network, test[start : start + BATCH].over_time(steps), probes)
        classes.append(trace.classes)
        clipped.update(trace.saturations)
        for node in neurons:
            fired[node.name] += np.count_nonzero(trace[node.name, "spike"], axis=(0, 1))
    found = np.concatenate(classes)
    confusion = np.zeros((data.classes, data.classes), np.int64)
    np.add.at(confusion, (test.labels, found), 1)
    chosen = _chosen(test.labels, found)
    watched = [(n.name, what) for n in neurons for what in ("spike", "membrane")]
    watched += [(n.name, ADAPTATION) for n in neurons if ADAPTATION in n.STATES]
    inputs = test.over_time(steps)[:, chosen]
    brightest = int(test.inputs.max())
    trace = golden.run(network, inputs, watched)
    rates = {name: total / (len(test) * steps) for name, total in fired.items()}
    return Seen(
        count=len(test),
        total=len(data.test),
        steps=steps,
        confusion=confusion,
        labels=test.labels,
        classes=found,
        samples=tuple(
            Sample(
                int(index),
                int(test.labels[index]),
                int(found[index]),
                tuple(trace.scores[place].tolist()),
                _frames(data, test.inputs[index], brightest),
            )
            for place, index in enumerate(chosen)
        ),
        layers=tuple(_layer(node, trace, rates[node.name], len(neurons)) for node in neurons),
        saturations=dict(clipped),
    )


def _chosen(labels: IntArray, found: IntArray) -> list[int]:
    """The first sample of each class, then the first that are misclassified."""
    first = [int(np.argmax(labels == label)) for label in np.unique(labels)]
    wrong = [int(index) for index in np.flatnonzero(labels != found) if index not in first]
    return first + wrong[:MISTAKES]


def _frames(data: Dataset, values: np.ndarray, most: int) -> tuple[str, ...]:
    """A sample's pictures: one, or one for each frame of a clip."""
    parts = values.reshape(data.test.frames, -1)
    if data.image is None:
        return tuple(image(part[None, None], most) for part in parts)
    if len(parts) > 1 and parts.shape[1] == int(np.prod(data.image)):
        return tuple(image(to_image(part, data.image), most) for part in parts)
    return (image(to_image(values, data.image), most),)


def _layer(node: Neuron, trace: golden.Trace, rates: np.ndarray, among: int) -> Layer:
    spikes = (trace[node.name, "spike"] != 0).transpose(1, 2, 0)  # [S, n, T]
    picked = np.unique(np.linspace(0, node.size - 1, min(node.size, NEURONS)).astype(np.int64))
    # Membranes of a few neurons, those that change most often between firing and not.
    few = min(len(picked), 6 if among <= 40 else 3)
    changes = np.count_nonzero(np.diff(spikes[:, picked], axis=2), axis=(0, 2))
    traced = np.sort(picked[np.argsort(-changes, kind="stable")[:few]])
    membranes = trace[node.name, "membrane"][:, :, traced].transpose(1, 2, 0)
    thresholds = None
    if "threshold" in node.NUMBERS:
        thresholds = np.broadcast_to(node.threshold, (node.size,))[traced].astype(np.int64)
    raised = None
    if ADAPTATION in node.STATES:
        state = trace[node.name, ADAPTATION][:, :, traced].transpose(1, 2, 0)
        raised = np.concatenate([np.zeros_like(state[..., :1]), state[..., :-1]], axis=2)
    return Layer(
        name=node.name,
        size=node.size,
        picked=picked,
        spikes=spikes[:, picked].astype(np.uint8),
        counts=spikes.sum(axis=1),
        traced=traced,
        membranes=membranes,
        thresholds=thresholds,
        rates=rates,
        raised=raised,
    )
