"""What depth does to the networks of a recipe: every block type at several depths, untrained, and
the recipe's own once it is trained.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from ..data import Dataset
from ..fit import TrainError, load_module, one_thread
from ..float_passes import accuracy_float, reestimate
from ..models import TrainConfig, build_model, seen
from ..nn import ResidualSNN
from ..progress import Progress
from ..train import FLOAT_FILE
from .blocks import (
    MEASURES,
    Figures,
    first_over_last,
    measure_blocks,
    quarters,
    without_branches,
)

KINDS = ("ms", "sew", "plain")
DEPTHS = (10, 50, 110, 482)

Row = dict[str, Any]


def depth_study(
    config: TrainConfig,
    data: Dataset,
    folder: Path,
    depths: Sequence[int] = DEPTHS,
    samples: int = 64,
    jacobians: int = 4,
) -> Row:
    """Figures of untrained networks at ``depths`` and of the trained one of the run ``folder``.

    All have the settings of ``config`` but for block type and depth. The figures are those of the
    first training ``samples`` (Jacobians: of the first ``jacobians`` of them); accuracies, whole
    and without the branches of each quarter of the blocks, are on the test samples.
    """
    check_residual(config)
    if samples < 1 or jacobians < 1:
        raise TrainError(f"samples are {samples} and jacobians {jacobians}, must be at least 1")
    trained = folder / FLOAT_FILE
    samples = min(samples, len(data.train))
    jobs = [of_depth(config, kind, depth) for kind in KINDS for depth in depths]
    if not jobs and not trained.is_file():
        raise TrainError(f"no depths are given and {trained} does not exist, must be one of them")
    rows: list[Row] = []
    with one_thread(), Progress("depth", len(jobs) + trained.is_file()) as progress:
        for chosen in jobs:
            model = _residual(chosen, data)
            reestimate(model, data.train[:256], chosen, data.format.step)
            rows.append(_row(model, chosen, data, samples, jacobians))
            progress.update(len(rows), f"{chosen.block_type} {model.depth}")
        if trained.is_file():
            model = trained_network(config, data, trained)
            rows.append(
                _row(model, config, data, samples, jacobians)
                | {"trained": True, "accuracy": _accuracy(model, config, data)}
                | {"without": without_quarters(model, config, data)}
            )
            progress.update(len(rows), "trained")
    return {
        "steps": config.steps, "width": config.width, "seed": config.seed, "samples": samples,
        "jacobians": jacobians, "data": data.digest, "networks": rows,
    }  # fmt: skip


def check_residual(config: TrainConfig) -> None:
    """Raises :class:`TrainError` if ``config`` has no residual blocks to study."""
    if config.model != "residual":
        raise TrainError(f"model is {config.model}, of a study of depth it must be residual")


def of_depth(config: TrainConfig, kind: str, layers: int) -> TrainConfig:
    """``config`` for another block type and so many layers in residual blocks; or
    :class:`TrainError`.
    """
    if layers < 2 or layers % 2:
        raise TrainError(f"depth is {layers}, must be even and not 0: two layers a block")
    scaled = config.scaled_lr and kind == "ms"  # the others have no such branches
    return replace(config, block_type=kind, blocks=layers // 2, scaled_lr=scaled)  # type: ignore[arg-type]


def trained_network(config: TrainConfig, data: Dataset, file: Path) -> ResidualSNN:
    """The residual classifier of ``config`` with the parameters in ``file``."""
    model = _residual(config, data)
    load_module(model, file)
    return model


def _residual(config: TrainConfig, data: Dataset) -> ResidualSNN:
    model = build_model(config, data)
    assert isinstance(model, ResidualSNN)
    return model


def figures(
    model: ResidualSNN, config: TrainConfig, data: Dataset, samples: int, jacobians: int
) -> Figures:
    """All measures of all blocks on the first training ``samples``."""
    part = data.train[:samples]
    raw = torch.tensor(part.over_time(config.steps), dtype=torch.float32)
    labels = torch.tensor(part.labels)
    return measure_blocks(model, seen(raw, data.format.step, None), labels, jacobians)


def _row(
    model: ResidualSNN, config: TrainConfig, data: Dataset, samples: int, jacobians: int
) -> Row:
    blocks = figures(model, config, data, samples, jacobians)
    return {
        "kind": config.block_type,
        "depth": model.depth,
        "trained": False,
        "first_over_last": {
            name: _short(first_over_last(blocks[name])) for name in ("gradient", "signal")
        },
        "blocks": {name: [_short(value) for value in blocks[name]] for name in MEASURES},
    }


def without_quarters(model: ResidualSNN, config: TrainConfig, data: Dataset) -> list[float]:
    """Whether the branches count: test accuracy without those of each quarter of the blocks."""
    found = []
    for part in quarters(len(model.stack.blocks)):
        with without_branches(model, part):
            found.append(_accuracy(model, config, data))
    return found


def _accuracy(model: ResidualSNN, config: TrainConfig, data: Dataset) -> float:
    return accuracy_float(model, data.test, config.steps, data.format.step)


def _short(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.5g}")


NOTE = "gradient, signal: first block over last; ‖F‖/‖x‖, φ, spread: means over blocks"


def lines(report: Row) -> list[str]:
    """The report as a table of 80 columns at most, and what is known of the trained network."""
    heading = (
        "network", "layers", "spike rate", "‖F‖/‖x‖", "gradient", "signal", "φ", "spread",
    )  # fmt: skip
    table = [heading, *(_cells(row) for row in report["networks"])]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    out = []
    for name, *cells in table:
        parts = [cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True)]
        out.append("  ".join((name.ljust(widths[0]), *parts)))
    out.append(NOTE)
    for row in report["networks"]:
        if row["trained"]:
            without = ", ".join(f"{value:.1%}" for value in row["without"])
            out.append(f"trained ({row['kind']}): {row['accuracy']:.2%} of the test samples right;")
            out.append(f"  without the branches of each quarter of its blocks {without}")
    return out


def _cells(row: Row) -> tuple[str, ...]:
    blocks: Figures = row["blocks"]
    ratios = row["first_over_last"]

    def mean(name: str) -> str:
        return f"{sum(blocks[name]) / len(blocks[name]):.3g}"

    return (
        "trained" if row["trained"] else row["kind"],
        str(row["depth"]),
        f"{min(blocks['spike_rate']):.3f}-{max(blocks['spike_rate']):.3f}",
        mean("ratio"),
        *("-" if ratios[name] is None else f"{ratios[name]:.3g}" for name in ratios),
        mean("phi"),
        mean("spread"),
    )
