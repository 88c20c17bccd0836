"""The format of each node, where its width came from, what was clipped, and the error."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..network import Conv2d, Dense, Input, Join, Network, Neuron, Node, Readout
from .charts import GREEN, legend, line_chart, over_depth, percent
from .facts import RunFacts
from .network import shown_order, states
from .section import Section

ROWS = 40
"""A table longer than this is folded away."""

_FROM = {
    "bound": "what it can reach at all",
    "calibration": "twice what calibration saw, of {bound} bits that it can reach",
    "calibration alone": "twice what calibration saw",
}


def section(facts: RunFacts) -> Section:
    title, network = "Quantisation", facts.network
    if network is None:
        return Section("quantisation", title, missing="Nothing has been quantised yet.",
                       command="reslif quantise")  # fmt: skip
    clipped = {} if facts.seen is None else facts.seen.saturations
    error = {} if facts.agreement is None else facts.agreement.error
    same = {} if facts.agreement is None else facts.agreement.spikes
    rows = [
        {
            "name": node.name,
            "kind": type(node).__name__,
            "form": form,
            "origin": origin,
            "clipped": clipped.get(node.name),
            "error": error.get(node.name),
            "same": same.get(node.name),
        }
        for node in shown_order(network)
        for form, origin in [_format(network, node)]
    ]
    return Section(
        "quantisation",
        title,
        {
            "rows": rows,
            "long": len(rows) > ROWS,
            "clipped": sum(clipped.values()),
            "counted": 0 if facts.seen is None else facts.seen.count,
            "compared": 0 if facts.agreement is None else facts.agreement.samples,
            "charts": _charts(error, same),
            "why": facts.why.get("data", ""),
        },
    )


def _format(network: Network, node: Node) -> tuple[str, str]:
    """A node's format, and where its width came from."""
    sent = network.values[node.name].format
    if isinstance(node, Neuron):
        note = network.notes.get("membranes", {}).get(node.name, {})
        source, bound = note.get("from", ""), note.get("bound")
        if source == "calibration" and bound is None:
            source = "calibration alone"
        return states(node), _FROM.get(source, "declared").format(bound=bound)
    if isinstance(node, Dense | Conv2d):
        return f"weights {node.weight_format}, sums {sent}", "sums: from the weights, exact"
    if isinstance(node, Input):
        return str(sent), "the data"
    if isinstance(node, Join) and node.format is not None:
        return str(sent), "declared, clips"
    if isinstance(node, Readout):
        return str(network.scores.format), "from its source and the timesteps, exact"
    return str(sent), "from its operands, exact"


def _charts(error: Mapping[str, float], same: Mapping[str, float]) -> list[tuple[str, Any]]:
    charts = []
    if error:
        series = over_depth(error)
        drawn = line_chart(series, "Difference by layer", "layer of weights", show=percent)
        charts.append(("Difference of currents, root mean square", legend(series) + drawn))
    if same:
        series = over_depth(same, GREEN)
        span = (0.5 if min(same.values()) >= 0.5 else 0.0, 1.0)
        drawn = line_chart(series, "Equal spikes by layer", "layer of neurons", span, percent)
        charts.append(("Spikes that are the same", legend(series) + drawn))
    return charts
