"""What the Lyapunov regulariser changes: a sweep over its weight, three seeds each.

``python -m reslif.sw.studies.lyapunov --out docs/results/lyapunov.json --plot docs/lyapunov.svg``
trains a small chain of LIF convolutions on a part of Fashion-MNIST, at 14×14 pixels, towards a gain
of 0, above the one that training finds by itself, and measures on test images. Called again it goes
on where it was interrupted.
"""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..data import Dataset, Samples, load_dataset
from ..formats import Format
from ..models import TrainConfig, seen
from ..network_file import write_atomically
from ..nn.lyapunov import benettin
from ..nn.lyapunov_gain import finite_time_gain
from ..train import accuracy_float, train_float
from .lyapunov_plot import plot

Row = dict[str, Any]

CONFIG = TrainConfig(
    model="conv_lyapunov", widths=(8, 16, 32), steps=6, beta=0.9, epochs=6, lr=5e-3,
    weight_decay=0.01, activity=0.0, augment=0.0, batch=64,
)  # fmt: skip
WEIGHTS = (0.0, 0.1, 1.0, 10.0)
TARGETS = (0.0,)
TRAIN, VALIDATION, TEST = 1500, 300, 1000
"""Images of each part."""
MEASURES = ("gain", "spike_rate", "accuracy", "exponent")
LONG = 25
"""Timesteps over which the largest exponent is measured, on the first 25 test images."""


def part(data: Dataset, train: int, validation: int, test: int) -> Dataset:
    """The first samples of each part of ``data``, every four pixels averaged into one."""
    assert data.image is not None
    channels, height, width = data.image

    def small(samples: Samples) -> Samples:
        pixels = samples.inputs.astype(np.int64).reshape(
            -1, height // 2, 2, width // 2, 2, channels
        )
        return replace(samples, inputs=pixels.sum((2, 4)).reshape(len(samples), -1))

    return replace(
        data, train=small(data.train[:train]), validation=small(data.validation[:validation]),
        test=small(data.test[:test]), image=(channels, height // 2, width // 2),
        format=Format(data.format.width + 2, data.format.frac + 2, signed=False),
    )  # fmt: skip


def run(config: TrainConfig, data: Dataset, folder: Path) -> Row:
    """Train ``config`` and measure the result on the test samples."""
    folder.mkdir(parents=True, exist_ok=True)
    model, fit = train_float(config, data, folder)
    gains, spikes, neurons = [], 0.0, 0
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for start in range(0, len(data.test), 250):
            raw = torch.tensor(data.test[start : start + 250].over_time(config.steps)).float()
            x = seen(raw, data.format.step, data.image)
            found = finite_time_gain(model, x, generator=generator)
            gains.append(found.values)
            spikes += sum(float(layer.sum()) for layer in found.spikes)
            neurons += sum(layer.numel() for layer in found.spikes)
        raw = torch.tensor(data.test[:25].over_time(LONG)).float()
        exponent = benettin(model, seen(raw, data.format.step, data.image))
    accuracy = accuracy_float(model, data.test, config.steps, data.format.step, image=data.image)
    return {
        "target": config.lyapunov_target, "weight": config.lyapunov_weight, "seed": config.seed,
        "gain": round(float(torch.cat(gains).mean()), 4),
        "spike_rate": round(spikes / neurons, 4),
        "accuracy": round(accuracy, 4),
        "exponent": round(exponent.value, 4), "flipped": exponent.flipped,
        "best_epoch": fit.best_epoch + 1, "seconds": round(fit.seconds, 1),
    }  # fmt: skip


def sweep(
    config: TrainConfig,
    data: Dataset,
    out: Path,
    folder: Path,
    weights: Sequence[float] = WEIGHTS,
    targets: Sequence[float] = TARGETS,
    seeds: int = 3,
) -> Row:
    """The report of all runs, also in ``out``, which is read first: its runs are not repeated.

    At weight 0 the target makes no difference: that run is made once a seed.
    """
    plain = asdict(TrainConfig())
    chosen = {name: value for name, value in asdict(config).items() if value != plain[name]}
    settings = {
        "config": json.loads(json.dumps(chosen)), "data": data.digest,
        "images": [len(data.train), len(data.validation), len(data.test)],
    }  # fmt: skip
    rows: list[Row] = []
    if out.exists():
        report = json.loads(out.read_text())
        rows = report["rows"] if report["settings"] == settings else []
    for target in targets:
        for seed in range(seeds):
            for weight in weights:
                if weight == 0 and target != targets[0]:
                    continue
                key = (target, weight, seed)
                if any((r["target"], r["weight"], r["seed"]) == key for r in rows):
                    continue
                one = replace(config, lyapunov_target=target, lyapunov_weight=weight, seed=seed)
                rows.append(run(one, data, folder / f"t{target}-w{weight}-s{seed}"))
                _write(out, settings, rows, targets)
    return _write(out, settings, rows, targets)


def _write(out: Path, settings: Row, rows: Sequence[Row], targets: Sequence[float]) -> Row:
    versions = {"python": platform.python_version(), "torch": torch.__version__}
    report = {
        "settings": settings, "versions": versions, "means": means(rows, targets),
        "rows": list(rows),
    }  # fmt: skip
    write_atomically(out, json.dumps(report, indent=1).encode())
    return report


def means(rows: Sequence[Row], targets: Sequence[float]) -> list[Row]:
    """Mean and standard deviation over seeds of every measure, by target and weight."""
    result: list[Row] = []
    for target in targets:
        for weight in sorted({row["weight"] for row in rows}):
            group = [
                row
                for row in rows
                if row["weight"] == weight and (weight == 0 or row["target"] == target)
            ]
            if not group:
                continue
            line: Row = {"target": target, "weight": weight, "seeds": len(group)}
            for name in MEASURES:
                values = np.array([row[name] for row in group])
                line[name] = round(float(values.mean()), 4)
                line[f"{name}_spread"] = round(
                    float(values.std(ddof=1 if len(group) > 1 else 0)), 4
                )
            result.append(line)
    return result


def table(lines: Sequence[Row]) -> str:
    """The means as a Markdown table."""
    text = "| target | weight | Λ_T | spike rate | accuracy | λ |\n|---|---|---|---|---|---|\n"
    for line in lines:
        cells = [f"{line['target']:g}", f"{line['weight']:g}"]
        for name in MEASURES:
            mean, spread = line[name], line[f"{name}_spread"]
            if name in ("spike_rate", "accuracy"):
                cells.append(f"{mean:.1%} ± {spread * 100:.1f}")
            else:
                cells.append(f"{mean:.3f} ± {spread:.3f}".replace("-", "−"))
        cells[0] = cells[0].replace("-", "−")
        text += "| " + " | ".join(cells) + " |\n"
    return text


def main(arguments: Sequence[str] | None = None) -> None:
    """See ``--help``."""
    parser = argparse.ArgumentParser(
        prog="python -m reslif.sw.studies.lyapunov", description=__doc__
    )
    parser.add_argument("--out", type=Path, required=True, help="JSON file, read and written")
    parser.add_argument("--plot", type=Path, help="SVG file to write")
    parser.add_argument("--data-dir", type=Path, help="folder of Fashion-MNIST")
    parser.add_argument("--folder", type=Path, default=Path("runs/lyapunov"), help="of the runs")
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(1)
    data = part(load_dataset("fashion-mnist", folder=chosen.data_dir), TRAIN, VALIDATION, TEST)
    report = sweep(CONFIG, data, chosen.out, chosen.folder)
    if chosen.plot is not None:
        chosen.plot.write_text(plot(report["means"]))
    print(table(report["means"]))


if __name__ == "__main__":
    main()
