"""The sample chooser: what the page's script draws of spikes, membranes and rates."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np

from .charts import legend, line_chart, over_depth, percent
from .facts import Layer, RunFacts, Seen
from .section import Section

BINS = 10
"""Bars of a histogram of firing rates, from never to always."""


def section(facts: RunFacts) -> Section:
    title = "Samples, spikes, membranes"
    if facts.seen is None:
        if facts.network is None:
            return Section("samples", title, missing="There is no network to run samples through.",
                           command="reslif quantise")  # fmt: skip
        return Section("samples", title, missing=facts.why.get("data", "There is no data."))
    seen = facts.seen
    values: dict[str, Any] = {
        "samples": seen.samples,
        "layers": [layer.name for layer in seen.layers],
        "count": seen.count,
        "total": seen.total,
        "steps": seen.steps,
        "clips": any(len(sample.frames) > 1 for sample in seen.samples),
        "data": script_data(seen),
        "depth": None,
    }
    if len(seen.layers) > 1:
        series = over_depth({layer.name: float(layer.rates.mean()) for layer in seen.layers})
        drawn = line_chart(series, "Spike rate by layer", "layer of neurons", show=percent)
        values["depth"] = legend(series) + drawn
    return Section("samples", title, values)


def script_data(seen: Seen) -> dict[str, Any]:
    """What the page's script needs, JSON-compatible."""
    return {
        "steps": seen.steps,
        "samples": [
            {
                "index": sample.index,
                "label": sample.label,
                "predicted": sample.predicted,
                "scores": list(sample.scores),
                "frames": list(sample.frames),
            }
            for sample in seen.samples
        ],
        "layers": [_layer(layer) for layer in seen.layers],
    }


def _layer(layer: Layer) -> dict[str, Any]:
    histogram, _ = np.histogram(layer.rates, np.linspace(0, 1, BINS + 1))
    return {
        "name": layer.name,
        "size": layer.size,
        "picked": layer.picked.tolist(),
        # Bit by bit: neuron after neuron, timestep after timestep.
        "spikes": [
            base64.b64encode(np.packbits(spikes.reshape(-1)).tobytes()).decode()
            for spikes in layer.spikes
        ],
        "counts": layer.counts.tolist(),
        "traced": layer.traced.tolist(),
        "membranes": layer.membranes.tolist(),
        "thresholds": None if layer.thresholds is None else layer.thresholds.tolist(),
        "raised": None if layer.raised is None else layer.raised.tolist(),
        "rates": histogram.tolist(),
        "rate": round(float(layer.rates.mean()), 4),
        "silent": int(np.count_nonzero(layer.rates == 0)),
    }
