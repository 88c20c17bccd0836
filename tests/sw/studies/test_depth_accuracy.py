"""The study of accuracy over depth: its bookkeeping, on small networks."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from commands import reslif
from reslif.sw.data import load_dataset
from reslif.sw.fit import TrainError
from reslif.sw.models import TrainConfig
from reslif.sw.studies import depth_accuracy as module

CONFIG = TrainConfig(width=16, steps=3, epochs=8, qat_epochs=2, scaled_lr=True, branch_power=1.0)
RECIPE = """
name = "shallow"
[data]
samples = 0
[train]
width = 8
steps = 2
epochs = 1
qat_epochs = 1
"""


def test_rows(tmp_path: Path, monkeypatch) -> None:
    data = replace(load_dataset("digits").first(400), test=load_dataset("digits").test)
    networks = ["ms:4", "plain:2"]
    rows = list(module.depth_accuracy(CONFIG, data, tmp_path, networks, 2))
    assert [(row["kind"], row["layers"], row["seed"]) for row in rows] == [
        ("ms", 4, 0), ("ms", 4, 1), ("plain", 2, 0), ("plain", 2, 1),
    ]  # fmt: skip
    assert all(row["float"] > 0.3 and len(row["without"]) == 4 for row in rows)
    assert all(min(row["without"]) < row["float"] for row in rows[:2])  # the branches count
    assert rows[0]["4bit"] > 0.3
    assert "4bit" not in rows[2]
    assert rows[0]["4bit_digest"] != rows[1]["4bit_digest"]
    table = module.lines(rows)
    assert table[2].startswith("| ms, 4 layers |")
    assert table[3].split(" | ")[2] == "-"

    def no_training(*_):
        raise AssertionError("what is trained is trained again")

    monkeypatch.setattr("reslif.sw.fit._train_epoch", no_training)
    (again,) = module.depth_accuracy(CONFIG, data, tmp_path, ["ms:4"], 1)
    assert {**again, "seconds": 0} == {**rows[0], "seconds": 0}


def test_the_command(tmp_path: Path, monkeypatch, capsys) -> None:
    recipe, run = tmp_path / "shallow.toml", tmp_path / "run"
    recipe.write_text(RECIPE)
    chosen = ("--networks", "ms:2", "--seeds", 1)
    assert reslif(monkeypatch, "depth-accuracy", recipe, "--out", run, *chosen) == 0
    report = json.loads((run / "depth_accuracy.json").read_text())
    assert report["recipe"] == "shallow"
    assert len(report["rows"]) == 1
    assert report["data"] == load_dataset("digits").digest
    shown = capsys.readouterr()
    assert "| ms, 2 layers |" in shown.out
    assert shown.err.startswith("ms, 2 layers, seed 0\n")


@pytest.mark.parametrize("name", ["resnet:4", "ms", "ms:3"], ids=str)
def test_an_unknown_network(name: str, tmp_path: Path, monkeypatch, capsys) -> None:
    with pytest.raises(ValueError, match="must be"):
        list(module.depth_accuracy(CONFIG, load_dataset("digits"), tmp_path, [name], 1))
    recipe = tmp_path / "shallow.toml"
    recipe.write_text(RECIPE)
    assert reslif(monkeypatch, "depth-accuracy", recipe, "--out", tmp_path, "--networks", name) == 2
    assert name.partition(":")[0] in capsys.readouterr().err


@pytest.mark.parametrize(
    ("config", "networks", "seeds", "message"),
    [
        (replace(CONFIG, scaled_lr=False, model="layers"), ["ms:2"], 1, "model is layers"),
        (CONFIG, ["ms:2"], 0, "seeds is 0, must be at least 1"),
        (CONFIG, ["ms:2", "ms:3"], 1, "depth is 3, must be even"),
    ],
    ids=["model", "seeds", "second"],
)
def test_mistakes_are_found_before_anything_is_trained(
    config, networks, seeds, message, tmp_path: Path
) -> None:
    with pytest.raises(TrainError, match=message):
        next(iter(module.depth_accuracy(config, load_dataset("digits"), tmp_path, networks, seeds)))
    assert not list(tmp_path.iterdir())
