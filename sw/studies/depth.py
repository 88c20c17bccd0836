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
    jobs = [of_depth(config, kind, depth) for kind in KINDS for depth in depths]
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
        raise TrainError(f"depth is {layers}, must be even: two layers a block")
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


def lines(report: Row) -> list[list[str]]:
    """The report as a table: a heading and a row for each network."""
    heading = [
        "network", "layers", "spike rate", "‖F‖/‖x‖", "gradient 1st/last", "signal 1st/last", "φ",
        "spread", "accuracy", "without a quarter",
    ]  # fmt: skip
    return [heading, *(_line(row) for row in report["networks"])]


def _line(row: Row) -> list[str]:
    blocks: Figures = row["blocks"]
    ratios = row["first_over_last"]

    def mean(name: str) -> str:
        return f"{sum(blocks[name]) / len(blocks[name]):.3g}"

    return [
        row["kind"] + (" trained" if row["trained"] else ""),
        str(row["depth"]),
        f"{min(blocks['spike_rate']):.3f} to {max(blocks['spike_rate']):.3f}",
        mean("ratio"),
        *("-" if ratios[name] is None else f"{ratios[name]:.3g}" for name in ratios),
        mean("phi"),
        mean("spread"),
        f"{row['accuracy']:.2%}" if row["trained"] else "-",
        ", ".join(f"{value:.1%}" for value in row["without"]) if row["trained"] else "-",
    ]
