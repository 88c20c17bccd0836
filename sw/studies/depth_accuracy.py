"""What depth does to accuracy: one recipe's network at several depths, with several seeds."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..data import Dataset
from ..fit import TrainError, one_thread
from ..models import TrainConfig
from ..train import FLOAT_FILE
from .accuracy import Row, study
from .blocks import first_over_last
from .depth import check_residual, figures, of_depth, trained_network, without_quarters

SAMPLES = 512
"""Training samples of which gradients are measured."""


def depth_accuracy(
    config: TrainConfig, data: Dataset, folder: Path, networks: Iterable[str], seeds: int
) -> Iterable[Row]:
    """A row for each of ``networks`` (kind:layers) and each seed, as they come.

    Accuracies are on the test samples; ``bits`` of them by the golden model of the network after
    quantised training, but of plain networks, which are there for contrast. What an earlier call
    trained below ``folder`` is not trained again. Standard error says which network's turn it is.
    Raises :class:`TrainError`.
    """
    check_residual(config)
    if seeds < 1:
        raise TrainError(f"seeds is {seeds}, must be at least 1")
    # All are checked before the first is trained for long.
    for chosen in [_of(config, name) for name in networks]:
        kind, layers = chosen.block_type, 2 * chosen.blocks
        for seed in range(seeds):
            print(f"{kind}, {layers} layers, seed {seed}", file=sys.stderr, flush=True)
            seeded = replace(chosen, seed=seed)
            place = folder / f"{kind}_{layers}_{seed}"
            place.mkdir(parents=True, exist_ok=True)
            bits = [] if kind == "plain" else [config.bits]
            first, quantised = study(seeded, data, bits, place)
            model = trained_network(seeded, data, place / FLOAT_FILE)
            with one_thread():
                blocks = figures(model, seeded, data, SAMPLES, jacobians=1)
                without = without_quarters(model, seeded, data)
            yield {
                "kind": kind, "layers": layers, "seed": seed, "float": first["accuracy"],
                **{f"{row['bits']}bit": row["accuracy"] for row in quantised},
                **{f"{row['bits']}bit_digest": row["digest"] for row in quantised},
                "without": without,
                "gradient": first_over_last(blocks["gradient"]),
                "signal": first_over_last(blocks["signal"]),
                "ratio": float(np.mean(blocks["ratio"])),
                "seconds": sum(row["seconds"] for row in (first, *quantised)),
            }  # fmt: skip


def _of(config: TrainConfig, name: str) -> TrainConfig:
    """``config`` for the network ``name``, kind:layers."""
    kind, _, layers = name.partition(":")
    if not layers.isdecimal():
        raise TrainError(f"network is {name!r}, must be kind:layers, as ms:482")
    try:
        return of_depth(config, kind, int(layers))
    except TrainError as error:
        raise TrainError(f"network {name!r}: {error}") from None


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
