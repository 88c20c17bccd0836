"""The accuracy study: float against integers, by block, weight bits, split and seed.

``python -m reslif.sw.studies.accuracy accuracy.json`` repeats it; the test samples are used here
only.
"""

from __future__ import annotations

import argparse
import json
import platform
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from .. import golden
from ..data import Dataset, Split, load_dataset
from ..evaluate import evaluate
from ..models import image_of
from ..network import LIF, Network
from ..network_file import write_atomically
from ..train import TrainConfig, accuracy_float, train_float, train_quantised
from .widths import rounded

Row = dict[str, Any]


def study(
    config: TrainConfig, data: Dataset, bits: Iterable[int], folder: Path
) -> tuple[Row, list[Row]]:
    """Train ``config`` once in floating point and once for each of ``bits``.

    The rows have the accuracies on the test samples and, of the integer networks, the accuracy
    without any quantised training and the spike rate over all hidden neurons.
    """
    common = {"block_type": config.block_type, "split": data.split, "seed": config.seed}
    model, fit = train_float(config, data, folder)
    image = image_of(config, data)
    accuracy = accuracy_float(model, data.test, config.steps, data.format.step, image=image)
    first = {**common, "bits": "float", "accuracy": accuracy, "seconds": round(fit.seconds, 1)}
    samples = data.test.over_time(config.steps)
    rows = []
    for width in bits:
        chosen = replace(config, bits=width)
        untrained = rounded(config, data, model, width)
        network, fit = train_quantised(chosen, data, model, folder / f"{width}bit")
        rows.append(
            {
                **common,
                "bits": width,
                "accuracy": evaluate(network, samples, data.test.labels),
                "untrained": evaluate(untrained, samples, data.test.labels),
                "spike_rate": round(spike_rate(network, samples), 4),
                "seconds": round(fit.seconds, 1),
                "digest": network.digest,
            }
        )
    return first, rows


def spike_rate(network: Network, samples: np.ndarray) -> float:
    """The mean spikes per neuron and timestep."""
    trace = golden.run(network, samples, [(node.name, "spike") for node in network.nodes_of(LIF)])
    spikes = sum(int(probe.sum()) for probe in trace.probes.values())
    return spikes / sum(probe.size for probe in trace.probes.values())


def means(rows: Sequence[Row]) -> list[Row]:
    """The mean accuracy over seeds, one row for each block type, split and width."""
    keys = sorted({(r["split"], r["block_type"], str(r["bits"])) for r in rows}, reverse=True)
    result = []
    for split, block_type, bits in keys:
        group = [
            r["accuracy"]
            for r in rows
            if (r["split"], r["block_type"], str(r["bits"])) == (split, block_type, bits)
        ]
        result.append(
            {
                "split": split, "block_type": block_type, "bits": bits, "seeds": len(group),
                "mean": float(np.mean(group)), "lowest": min(group),
            }
        )  # fmt: skip
    return result


def main(arguments: Sequence[str] | None = None) -> None:
    """See ``--help``."""
    parser = argparse.ArgumentParser(
        prog="python -m reslif.sw.studies.accuracy", description=__doc__
    )
    parser.add_argument("output", type=Path, help="JSON file to write")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--splits", nargs="+", default=["stratified", "file_order"])
    parser.add_argument("--blocks", nargs="+", default=["ms", "sew"])
    parser.add_argument("--bits", type=int, nargs="+", default=[8, 4])
    parser.add_argument(
        "--more-bits", type=int, nargs="*", default=[6, 3, 2], help="for seed 0, stratified, alone"
    )
    chosen = parser.parse_args(arguments)
    rows: list[Row] = []
    for split, block, seed in _runs(chosen.splits, chosen.blocks, chosen.seeds):
        widths = list(chosen.bits)
        if seed == 0 and split == "stratified":
            widths += chosen.more_bits
        config = TrainConfig(block_type=block, seed=seed)
        data = load_dataset("digits", split)
        with tempfile.TemporaryDirectory() as folder:
            first, others = study(config, data, widths, Path(folder))
        rows += [first, *others]
        report = {
            "config": asdict(TrainConfig()),
            "versions": {
                "python": platform.python_version(),
                "torch": torch.__version__,
                "numpy": np.__version__,
            },
            "data": data.digest,
            "means": means(rows),
            "rows": rows,
        }
        write_atomically(chosen.output, json.dumps(report, indent=1).encode())
    for mean in means(rows):
        print(
            f"{mean['split']:10} {mean['block_type']:5} {mean['bits']:>5} "
            f"{mean['mean']:7.2%}  (lowest of {mean['seeds']}: {mean['lowest']:.2%})"
        )


def _runs(
    splits: Sequence[Split], blocks: Sequence[Literal["ms", "sew", "plain"]], seeds: int
) -> Iterable[tuple[Split, Literal["ms", "sew", "plain"], int]]:
    for split in splits:
        for block in blocks:
            for seed in range(seeds):
                yield split, block, seed


if __name__ == "__main__":
    main()
