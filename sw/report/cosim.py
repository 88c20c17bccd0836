"""The verdict of co-simulation: what was compared, how much, and whether all of it was equal."""

from __future__ import annotations

from .charts import legend, line_chart, over_depth
from .facts import RunFacts
from .section import Section

ROWS = 40
"""Layers whose numbers of spikes are listed; of more there is a chart alone."""


def section(facts: RunFacts) -> Section:
    title = "Co-simulation"
    if "cosim" not in facts.stages:
        why = "The Verilog has not been simulated yet."
        if facts.windows:
            why = f"Verilog and golden model differed; around it: {', '.join(facts.windows)}."
        return Section("cosim", title, missing=why, command="reslif cosim")
    found = facts.stages["cosim"]
    spikes = list(found.get("spikes", {}).items())
    wide = found.get("results")
    mismatches = found.get("mismatches", 0) + (wide or {}).get("mismatches", 0)
    chart = None
    if len(spikes) > ROWS:
        series = over_depth({name: float(count) for name, count in spikes})
        chart = legend(series) + line_chart(series, "Spikes in each layer", "layer of neurons")
    return Section(
        "cosim",
        title,
        {
            "found": found,
            "wide": wide,
            "mismatches": mismatches,
            "dead": not facts.figure("cosim.spikes"),
            "spikes": [] if chart is not None else spikes,
            "most": max((count for _, count in spikes), default=0) or 1,
            "chart": chart,
            "layers": len(spikes),
            "windows": facts.windows,
        },
    )
