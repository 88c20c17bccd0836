"""Accuracy of float network, golden model and hardware, and which classes are confused."""

from __future__ import annotations

from typing import Any

from .charts import BLUE, ORANGE, PURPLE, Series, floor, legend, line_chart, percent
from .facts import RunFacts, Seen
from .section import Section


def section(facts: RunFacts) -> Section:
    title = "Accuracy"
    if not {"train", "quantise", "cosim"} & set(facts.stages):
        return Section("accuracy", title, missing="Nothing has been trained yet.",
                       command="reslif train")  # fmt: skip
    rows = [
        ("float", "float network", "accuracy.float", "PyTorch, real weights", "reslif train"),
        ("golden", "golden model", "accuracy.golden", _bits(facts), "reslif quantise"),
        ("hardware", "hardware", "accuracy.hardware", "Verilog", "reslif cosim"),
    ]
    tables = []
    if facts.seen is not None:
        tables.append(_confusion(facts.seen))
    return Section(
        "accuracy",
        title,
        {
            "rows": [(*row, facts.figure(row[2])) for row in rows],
            "samples": facts.stages.get("train", {}).get("test_samples"),
            "simulated": _simulated(facts),
            "same": _golden_on(facts.seen, _simulated(facts)),
            "widths": _widths(facts),
            "tables": tables,
            "why": facts.why.get("data", ""),
            "quantised": facts.network is not None,
        },
    )


def _simulated(facts: RunFacts) -> int | None:
    """The test samples, from the first, behind the hardware's accuracy."""
    return facts.figure("cosim.results.samples") or facts.figure("cosim.samples")


def _golden_on(seen: Seen | None, count: int | None) -> float | None:
    """The golden model's accuracy on the first ``count`` samples, where it has seen so many."""
    if seen is None or not count or count > seen.count:
        return None
    return float((seen.labels[:count] == seen.classes[:count]).mean())


def _bits(facts: RunFacts) -> str:
    bits = facts.figure("bits")
    return "integers" if bits is None else f"integers, {bits}-bit weights"


def _widths(facts: RunFacts) -> dict[str, Any] | None:
    """Accuracy over the width of the weights, where other widths have been tried."""
    found = sorted(((int(n), row) for n, row in (facts.figure("widths.bits") or {}).items()))
    if not found:
        return None
    real, samples = facts.figure("widths.float"), facts.figure("widths.samples")
    after = {bits: row["trained"] for bits, row in found if row.get("trained") is not None}
    own = facts.figure("bits"), facts.figure("accuracy.golden")
    same = samples == facts.stages.get("train", {}).get("test_samples")
    if same and None not in own:  # the run's own network is trained on, on the same samples
        after.setdefault(*own)
    ends = {found[0][0], found[-1][0], *after}
    series = [Series("rounded", [(float(n), row["rounded"]) for n, row in found], ORANGE)]
    if after:
        series.append(Series("trained on", [(float(n), after[n]) for n in sorted(after)], BLUE))
    if real is not None:
        line = [(float(min(ends)), real), (float(max(ends)), real)]
        series.append(Series("float", line, PURPLE, dashed=True))
    low = min(y for one in series for _, y in one.points)
    title = "Accuracy by bits of the weights"
    return {
        "chart": legend(series)
        + line_chart(series, title, "bits of the weights", (floor(low), 1.0), percent),
        "rows": [(bits, f"widths.bits.{bits}") for bits, _ in reversed(found)],
        "trained": any(row.get("trained") is not None for _, row in found),
        "own": own[0] if same and own[0] in after else None,
        "samples": samples,
    }


def _confusion(seen: Seen) -> dict[str, Any]:
    """The confusion matrix with shares of each row, and the pairs most often mistaken."""
    matrix = seen.confusion
    totals = matrix.sum(axis=1)
    cells = [
        [(int(n), float(n) / max(1, int(total))) for n in row]
        for row, total in zip(matrix, totals, strict=True)
    ]
    pairs = sorted(
        (-int(matrix[a, b]), a, b)
        for a in range(len(matrix))
        for b in range(len(matrix))
        if a != b and matrix[a, b]
    )
    return {
        "cells": cells,
        "recall": [float(matrix[c, c]) / max(1, int(totals[c])) for c in range(len(matrix))],
        "pairs": [(-n, a, b) for n, a, b in pairs[:3]],
        "count": seen.count,
        "total": seen.total,
        "right": int(matrix.trace()),
    }
