"""Runs side by side: one page with their figures in columns and their curves in one picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .charts import PALETTE, Series, floor, line_chart, percent
from .facts import History, RunFacts
from .page import environment
from .read import ReportError

ROWS = (
    ("accuracy, float", "accuracy.float", "share", 1),
    ("accuracy, golden model", "accuracy.golden", "share", 1),
    ("accuracy, hardware", "accuracy.hardware", "share", 1),
    ("weight bits", "bits", "text", 0),
    ("data set", "data.set", "text", 0),
    ("samples simulated, every signal", "cosim.samples", "count", 0),
    ("samples simulated, results", "cosim.results.samples", "count", 0),
    ("values compared", "cosim.comparisons", "count", 0),
    ("mismatches", "cosim.mismatches", "count", -1),
    ("cycles a sample", "cosim.cycles_per_sample", "count", -1),
    ("device", "build.device", "text", 0),
    ("LUTs", "build.luts", "count", -1),
    ("flip-flops", "build.ffs", "count", -1),
    ("block RAMs", "build.brams", "count", -1),
    ("multipliers", "build.dsps", "count", -1),
    ("fmax", "build.fmax_mhz", "mhz", 1),
    ("clock", "build.clock_mhz", "mhz", 0),
    ("time of training", "seconds.train", "seconds", 0),
    ("time of quantised training", "seconds.quantise", "seconds", 0),
    ("time of the build", "seconds.build", "seconds", 0),
)
"""What is shown, its place in ``report.json``, its format, and whether more is better (1, -1)."""


POINTS = 40
"""Of so many points at most a curve over depth is made."""


def compare(runs: Sequence[RunFacts]) -> str:
    """The page of several runs, of which each stands in the table and in the pictures."""
    if len(runs) < 2:
        raise ReportError(f"{len(runs)} run is given, to compare it takes at least 2")
    # In pictures of more runs than there are colours some share one; dashes tell them apart.
    tones = [(PALETTE[n % len(PALETTE)], n >= len(PALETTE)) for n in range(len(runs))]
    return (
        environment()
        .get_template("compare.html")
        .render(
            runs=list(zip(runs, tones, strict=True)),
            rows=[row for row in ROWS if any(run.figure(row[1]) is not None for run in runs)],
            charts=_charts(runs, tones),
        )
    )


def _charts(runs: Sequence[RunFacts], tones: Sequence[tuple[str, bool]]) -> list[tuple[str, Any]]:
    charts = []
    for label, title in (("float", "floating point"), ("quantised", "integer weights")):
        for what, words in (("validation_loss", "loss"), ("accuracy", "accuracy")):
            series = [
                Series(run.name, points, colour, dashed, f"run-{n}")
                for n, (run, (colour, dashed)) in enumerate(zip(runs, tones, strict=True))
                if (points := _points(run.histories.get(label, ()), what))
            ]
            if series:
                name = f"Validation {words}, {title}"
                if what == "accuracy":
                    low = min(y for one in series for _, y in one.points)
                    drawn = line_chart(series, name, "epoch", (floor(low), 1.0), percent)
                else:
                    drawn = line_chart(series, name, "epoch")
                charts.append((name, drawn))
    rates = [
        Series(run.name, _rates(run), colour, dashed, f"run-{n}")
        for n, (run, (colour, dashed)) in enumerate(zip(runs, tones, strict=True))
        if run.seen is not None and run.seen.layers
    ]
    if rates:
        name = "Spike rate over depth"
        charts.append((name, line_chart(rates, name, "depth, % of the layers", show=percent)))
    widths = [
        Series(run.name, points, colour, dashed, f"run-{n}")
        for n, (run, (colour, dashed)) in enumerate(zip(runs, tones, strict=True))
        if (points := _rounded(run))
    ]
    if widths:
        name, low = "Accuracy by bits, rounded", min(y for one in widths for _, y in one.points)
        span = (floor(low), 1.0)
        charts.append((name, line_chart(widths, name, "bits of the weights", span, percent)))
    return charts


def _rounded(run: RunFacts) -> list[tuple[float, float]]:
    """What `reslif widths` found, the narrowest first."""
    found = run.figure("widths.bits") or {}
    return sorted((float(bits), row["rounded"]) for bits, row in found.items())


def _points(history: History, what: str) -> list[tuple[float, float]]:
    return [(n + 1.0, epoch[what]) for n, epoch in enumerate(history) if what in epoch]


def _rates(run: RunFacts) -> list[tuple[float, float]]:
    """Spike rates over depth; of a deep network the means of neighbours."""
    assert run.seen is not None
    rates = [float(layer.rates.mean()) for layer in run.seen.layers]
    parts = np.array_split(rates, min(len(rates), POINTS))
    return [(100 * (n + 0.5) / len(parts), float(part.mean())) for n, part in enumerate(parts)]
