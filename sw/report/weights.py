"""Weights and biases before and after training, and after quantisation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .charts import (
    BLUE,
    DEEP,
    MUTED,
    RED,
    Series,
    histogram,
    legend,
    line_chart,
    over_depth,
)
from .facts import FloatArray, RunFacts, Weights
from .png import signed
from .section import Section

LAYERS = 8
"""So many layers at most are shown, from the first to the last in equal distances."""
PIXELS = 96
"""Rows and columns of a picture at most; of larger matrices the first."""
STAGES = {"before": "untrained", "after": "trained", "quantised": "quantised"}
COLOURS = {"before": MUTED, "after": BLUE, "quantised": RED}


def section(facts: RunFacts) -> Section:
    title = "Weights and biases"
    if not facts.weights:
        if "train" in facts.stages:
            return Section("weights", title, missing=facts.why.get("data", "No weights are here."))
        return Section("weights", title, missing="There are no weights yet.",
                       command="reslif train")  # fmt: skip
    layers: dict[str, dict[str, Weights]] = {}
    for one in facts.weights:
        layers.setdefault(one.layer, {})[one.stage] = one
    names = list(layers)
    places = np.linspace(0, len(names) - 1, min(len(names), LAYERS)).round().astype(int)
    shown = [_layer(names[n], layers[names[n]]) for n in sorted(set(places.tolist()))]
    found = [stage for stage in STAGES if any(stage in parts for parts in layers.values())]
    return Section(
        "weights",
        title,
        {
            "layers": shown,
            "count": len(names),
            "stages": [(stage, STAGES[stage], COLOURS[stage]) for stage in found],
            "lacking": [STAGES[stage] for stage in STAGES if stage not in found],
            "deep": len(names) > DEEP,
            "depth": _depth(layers, found) if len(names) > LAYERS else None,
            "why": facts.why.get("data", ""),
        },
    )


def _layer(name: str, parts: Mapping[str, Weights]) -> dict[str, Any]:
    """Histograms of all stages over one axis, and a picture of each stage."""
    reach = max(_reach(one.weight) for one in parts.values())
    biases = {stage: one.bias for stage, one in parts.items() if one.bias is not None}
    weights = [(COLOURS[stage], one.weight.ravel()) for stage, one in parts.items()]
    drawn = None
    if biases:
        most = max(_reach(bias) for bias in biases.values())
        drawn = histogram([(COLOURS[s], b) for s, b in biases.items()], f"{name}: biases", most)
    shape = next(iter(parts.values())).weight.shape
    return {
        "name": name,
        "shape": " × ".join(f"{n:,}" for n in shape),
        "weights": histogram(weights, f"{name}: weights", reach),
        "biases": drawn,
        "pictures": [
            (STAGES[stage], signed(_matrix(one.weight), reach)) for stage, one in parts.items()
        ],
        "cut": max(_matrix(parts[next(iter(parts))].weight, whole=True).shape) > PIXELS,
    }


def _reach(values: FloatArray) -> float:
    """What nearly all values lie within."""
    return float(np.quantile(np.abs(values), 0.995)) or float(np.abs(values).max()) or 1.0


def _matrix(weight: FloatArray, whole: bool = False) -> FloatArray:
    flat = weight.reshape(len(weight), -1)
    return flat if whole else flat[:PIXELS, :PIXELS]


def _depth(layers: Mapping[str, Mapping[str, Weights]], stages: list[str]) -> Any:
    """The weights' standard deviation over depth, of a deep network that of the last stage."""
    title, label = "Standard deviation of the weights by layer", "layer of weights"
    found = {
        stage: {name: float(p[stage].weight.std()) for name, p in layers.items() if stage in p}
        for stage in stages
    }
    if len(layers) > DEEP:
        series = over_depth(found[stages[-1]])
        return legend(series) + line_chart(series, title, label)
    series = [
        Series(STAGES[stage], [(n + 1.0, y) for n, y in enumerate(values.values())], COLOURS[stage])
        for stage, values in found.items()
    ]
    return line_chart(series, title, label)
