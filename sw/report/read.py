"""Reading what stages and tools left in a run folder, and refusing what they cannot have left."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from ..values import shown
from .facts import History


class ReportError(ValueError):
    """A file of a run that no page can be made of."""


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _width(bits: Any, row: Any) -> bool:
    """A row of ``widths.json``: bits, and the accuracy rounded and, perhaps, trained on."""
    if not (isinstance(bits, str) and bits.isdecimal() and isinstance(row, dict)):
        return False
    share, _ = _KINDS["share"]
    trained = row.get("trained")
    return share(row.get("rounded")) and (trained is None or share(trained))


_KINDS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "share": (lambda v: _number(v) and 0 <= v <= 1, "a number from 0 to 1"),
    "amount": (lambda v: _number(v) and v >= 0, "a number of at least 0"),
    "count": (lambda v: _number(v) and isinstance(v, int) and v >= 0, "an integer of at least 0"),
    "text": (lambda v: isinstance(v, str), "text"),
    "widths": (
        lambda v: isinstance(v, dict) and all(_width(bits, row) for bits, row in v.items()),
        "a table of accuracies by bits",
    ),
    "counts": (
        lambda v: isinstance(v, dict) and all(isinstance(n, int) and n >= 0 for n in v.values()),
        "a table of counts",
    ),
    "table": (lambda v: isinstance(v, dict), "a table"),
    "classes": (
        lambda v: isinstance(v, list) and all(isinstance(n, int) and n >= 0 for n in v),
        "a list of classes",
    ),
}

_STAGES: dict[str, dict[str, str]] = {
    "train": {
        "accuracy": "share", "validation_accuracy": "share", "best_epoch": "count",
        "test_samples": "count", "seeds": "table", "data": "table", "config": "table",
        "seconds": "amount",
    },
    "quantise": {
        "accuracy": "share", "validation_accuracy": "share", "spike_rate": "amount",
        "bits": "count", "digest": "text", "seconds": "amount",
    },
    "generate": {
        "verilog_sha256": "text", "network_digest": "text", "estimate": "table",
        "seconds": "amount",
    },
    "cosim": {
        "verilog_sha256": "text", "network_digest": "text",
        "accuracy": "share", "samples": "count", "steps": "count", "probes": "count",
        "comparisons": "count", "mismatches": "count", "spikes": "counts", "harness": "text",
        "cycles_per_sample": "amount", "seconds": "amount", "results": "table",
        "classes": "classes",
    },
    "build": {
        "verilog_sha256": "text", "network_digest": "text",
        "device": "text", "luts": "count", "ffs": "count", "brams": "count", "sprams": "count",
        "dsps": "count", "fmax_mhz": "amount", "clock_mhz": "amount", "bitstream": "text",
        "seconds": "amount", "stages": "table",
    },
    "widths": {
        "float": "share", "samples": "count", "bits": "widths", "float_sha256": "text",
        "seconds": "amount",
    },
}  # fmt: skip
"""What the stages write, as far as a page shows it; earlier versions may lack some of it."""


def check_stage(stage: str, content: Any, path: Path) -> None:
    """Raise :class:`ReportError` if ``content`` of ``path`` is nothing that ``stage`` writes."""
    again = f"run `reslif {stage}` again"
    if not isinstance(content, dict):
        raise ReportError(f"{path} holds {shown(content)}, must be a table: {again}")
    for key, kind in _STAGES[stage].items():
        good, must = _KINDS[kind]
        if key in content and not good(content[key]):
            raise ReportError(f"{path}: {key} is {shown(content[key])}, must be {must}: {again}")


def read_json(path: Path, stage: str) -> Any:
    """The JSON in ``path``, which ``stage`` wrote; :class:`ReportError` if it is none."""
    try:
        return json.loads(path.read_text())
    except (ValueError, OSError):
        raise ReportError(f"{path} is no JSON file, run `reslif {stage}` again") from None


def read_report(path: Path) -> Mapping[str, Any]:
    """An earlier ``report.json``, as far as the next needs it; an empty one if there is none."""
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text())
        good = isinstance(content["recipe"], str)
        good = good and isinstance(content.get("settings", {}).get("data", {}), dict)
    except (ValueError, OSError, KeyError, TypeError, AttributeError):
        content, good = {}, False
    if not good:
        raise ReportError(f"{path} is no report of a run, delete it or name the recipe instead")
    return content


def read_manifest(path: Path) -> Mapping[str, Any]:
    """A design's manifest, as far as a page needs it."""
    content = read_json(path, "generate")
    layers = content.get("layers") if isinstance(content, dict) else None
    good = isinstance(layers, list) and all(isinstance(e, dict) and "name" in e for e in layers)
    if not good or content.get("engine") not in ("dataflow", "sequential", None):
        raise ReportError(f"{path} is no manifest of a design, run `reslif generate` again")
    return content


def read_history(path: Path) -> History:
    """The epochs in a training state; none if it does not exist."""
    if not path.is_file():
        return ()
    try:
        with safe_open(path, framework="np") as file:
            history = json.loads((file.metadata() or {})["reslif_training"])["history"]
        if not all(_number(value) for epoch in history for value in epoch.values()):
            raise ValueError("epochs must hold numbers")
        return tuple(history)
    except (SafetensorError, KeyError, ValueError, TypeError, AttributeError):
        raise ReportError(f"{path} is no readable training state; delete it") from None
