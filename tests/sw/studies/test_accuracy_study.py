"""The accuracy that the README states, and that the study's bookkeeping is right."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from reslif.sw import golden
from reslif.sw.data import Samples, load_dataset
from reslif.sw.network import LIF
from reslif.sw.studies import accuracy as study
from reslif.sw.train import TrainConfig


def test_means_are_by_split_block_and_bits() -> None:
    rows = [
        {"split": "a", "block_type": "ms", "seed": s, "bits": b, "accuracy": v}
        for s, b, v in [(0, 4, 0.9), (1, 4, 0.8), (0, "float", 1.0)]
    ]
    means = {m["bits"]: m for m in study.means(rows)}
    assert means["4"]["mean"] == pytest.approx(0.85)
    assert (means["4"]["lowest"], means["4"]["seeds"]) == (0.8, 2)
    assert means["float"]["mean"] == 1.0


def test_a_small_study(tmp_path: Path) -> None:
    data = load_dataset("digits")
    data = replace(data, train=Samples(data.train.inputs[:256], data.train.labels[:256]))
    config = TrainConfig(blocks=1, width=16, steps=3, epochs=2, qat_epochs=2)
    first, rows = study.study(config, data, [8, 2], tmp_path)
    assert first["bits"] == "float"
    assert [row["bits"] for row in rows] == [8, 2]
    assert all(0 < row["spike_rate"] < 1 for row in rows)
    assert all(0 < row["accuracy"] < 1 for row in (first, *rows))
    assert rows[0]["digest"] != rows[1]["digest"]


@pytest.mark.slow
def test_digits_reach_the_stated_accuracy(tmp_path: Path) -> None:
    """Means of three seeds on the stratified split's 360 test samples, four residual blocks."""
    path = tmp_path / "accuracy.json"
    study.main([str(path), "--splits", "stratified", "--more-bits"])
    report = json.loads(path.read_text())
    assert report["config"]["blocks"] >= 4
    assert len(report["rows"]) == 2 * 3 * 3
    found = {(m["block_type"], m["bits"]): m["mean"] for m in report["means"]}
    for block in ("ms", "sew"):
        assert found[block, "float"] >= 0.97
        assert found[block, "4"] >= 0.965
        assert found[block, "8"] >= found[block, "float"] - 0.006


def test_no_hidden_layer_is_silent_after_training(tmp_path: Path) -> None:
    """A short training run of four blocks leaves every neuron layer alive."""
    data = load_dataset("digits")
    for block in ("ms", "sew"):
        config = TrainConfig(block_type=block, epochs=3, qat_epochs=1, width=32)
        model, _ = study.train_float(config, data, tmp_path / block)
        network, _ = study.train_quantised(config, data, model, tmp_path / block)
        probes = [(node.name, "spike") for node in network.nodes_of(LIF)]
        trace = golden.run(network, data.validation.over_time(8), probes)
        rates = np.array([trace[probe].mean() for probe in probes])
        assert len(rates) == 9
        assert (rates > 0.001).all()
        assert (rates < 0.7).all()
