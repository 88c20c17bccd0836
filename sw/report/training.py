"""Training curves, in floating point and then with integer weights."""

from __future__ import annotations

from .charts import BLUE, GREEN, RED, Series, floor, line_chart, percent
from .facts import History, RunFacts
from .section import Section

TITLES = {"float": "Floating point", "quantised": "Integer weights"}


def section(facts: RunFacts) -> Section:
    title = "Training"
    if not facts.histories:
        done = "train" in facts.stages
        why = "The run folder has lost its training states, and with them the epochs."
        return Section("training", title, missing=why if done else "Nothing has been trained yet.",
                       command="" if done else "reslif train")  # fmt: skip
    parts = []
    for label, history in facts.histories.items():
        best = max(range(len(history)), key=lambda n, h=history: _rank(h[n]))
        parts.append((TITLES[label], len(history), best + 1, _charts(history, best)))
    return Section("training", title, {"parts": parts})


def _rank(epoch: object) -> tuple[float, float]:
    """As :mod:`reslif.sw.fit` chooses: accuracy first, the later of equals last."""
    assert isinstance(epoch, dict)
    return epoch["accuracy"], -epoch["validation_loss"]


def _points(history: History, what: str) -> list[tuple[float, float]]:
    return [(n + 1, epoch[what]) for n, epoch in enumerate(history) if what in epoch]


def _charts(history: History, best: int) -> list[tuple[str, object]]:
    mark = (best + 1.0, "kept")
    accuracy = _points(history, "accuracy")
    span = (floor(min(y for _, y in accuracy)), 1.0)
    losses = [
        Series("training", _points(history, "loss"), BLUE),
        Series("validation", _points(history, "validation_loss"), RED),
    ]
    charts: list[tuple[str, object]] = [
        ("Loss", line_chart(losses, "Loss by epoch", "epoch", mark=mark)),
        (
            "Validation accuracy",
            line_chart([Series("accuracy", accuracy, GREEN)], "Validation accuracy by epoch",
                       "epoch", span, percent, mark),
        ),
    ]  # fmt: skip
    if rates := _points(history, "spike_rate"):
        series = [Series("spike rate", rates, BLUE)]
        drawn = line_chart(series, "Spike rate by epoch", "epoch", show=percent, mark=mark)
        charts.append(("Spike rate, mean of the layers", drawn))
    return charts
