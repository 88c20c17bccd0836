"""What depth does to accuracy: one recipe's network at several depths, with several seeds."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..data import Dataset
from ..fit import TrainError, load_module, one_thread
from ..models import TrainConfig, seen
from ..train import FLOAT_FILE
from .accuracy import Row, study
from .blocks import first_over_last, measure_blocks
from .depth import of_depth, residual, used

SAMPLES = 512
"""Training samples of which gradients are measured."""
NETWORKS = ("ms:482", "ms:10", "plain:482")


def depth_accuracy(
    config: TrainConfig, data: Dataset, folder: Path, networks: Iterable[str], seeds: int
) -> Iterable[Row]:
    """A row for each of ``networks`` (kind:layers) and each seed, as they come.

    Accuracies are on the test samples; ``bits`` of them by the golden model of the network after
    quantised training, but of plain networks, which are there for contrast. What an earlier call
    trained below ``folder`` is not trained again.
    """
    for name in networks:
        kind, layers = _parts(name)
        for seed in range(seeds):
            chosen = replace(of_depth(config, kind, layers), seed=seed)
            place = folder / f"{kind}_{layers}_{seed}"
            place.mkdir(parents=True, exist_ok=True)
            bits = [] if kind == "plain" else [config.bits]
            first, quantised = study(chosen, data, bits, place)
            model = residual(chosen, data)
            load_module(model, place / FLOAT_FILE)
            part = data.train[:SAMPLES]
            raw = torch.tensor(part.over_time(config.steps), dtype=torch.float32)
            with one_thread():
                blocks = measure_blocks(
                    model, seen(raw, data.format.step, None), torch.tensor(part.labels), 1
                )
                parts = used(model, chosen, data)
            yield {
                "kind": kind, "layers": layers, "seed": seed, "float": first["accuracy"],
                **{f"{row['bits']}bit": row["accuracy"] for row in quantised},
                **{f"{row['bits']}bit_digest": row["digest"] for row in quantised},
                "without": parts["without"],
                "gradient": first_over_last(blocks["gradient"]),
                "signal": first_over_last(blocks["signal"]),
                "ratio": float(np.mean(blocks["ratio"])),
                "seconds": sum(row["seconds"] for row in (first, *quantised)),
            }  # fmt: skip


def _parts(name: str) -> tuple[str, int]:
    kind, _, layers = name.partition(":")
    if not layers.isdecimal() or not int(layers) or int(layers) % 2:
        raise TrainError(f"network is {name!r}, must be kind:layers, as ms:482; layers are even")
    return kind, int(layers)


def lines(rows: Sequence[Row]) -> list[str]:
    """A Markdown table of means over seeds and, of accuracies, lowest and highest."""
    out = [
        "| network | float | quantised | gradient 1st / last | without a quarter |",
        "|" + "---|" * 5,
    ]
    for kind, layers in dict.fromkeys((row["kind"], row["layers"]) for row in rows):
        mine = [row for row in rows if (row["kind"], row["layers"]) == (kind, layers)]
        bits = next((key for key in mine[0] if key.endswith("bit")), None)
        quarters = np.mean([row["without"] for row in mine], axis=0)
        gradients = [row["gradient"] for row in mine if row["gradient"] is not None]
        cells = (
            f"{kind}, {layers} layers",
            _spread([row["float"] for row in mine]),
            _spread([row[bits] for row in mine]) if bits else "-",
            f"{min(gradients):.2g} to {max(gradients):.2g}" if gradients else "-",
            ", ".join(f"{part:.1%}" for part in quarters),
        )
        out.append("| " + " | ".join(cells) + " |")
    return out


def _spread(values: Sequence[float]) -> str:
    return f"{np.mean(values):.2%} ({min(values):.2%} to {max(values):.2%})"


def report(config: TrainConfig, data: Dataset, rows: Sequence[Row]) -> dict[str, Any]:
    """``rows`` and what they depend on, for a file."""
    return {
        "config": asdict(config),
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "data": data.digest,
        "samples": SAMPLES,
        "rows": list(rows),
    }
