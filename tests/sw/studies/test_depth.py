"""The study of depth: its measures against definitions, its report, picture and command."""

import json
import math
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from commands import reslif
from reslif.sw.cli import terminal
from reslif.sw.data import Dataset, load_dataset
from reslif.sw.fit import TrainError, save_module
from reslif.sw.float_passes import accuracy_float, reestimate
from reslif.sw.models import TrainConfig, build_model, seen
from reslif.sw.nn import BatchNormOverTime, ResidualSNN
from reslif.sw.studies import blocks as measures
from reslif.sw.studies.blocks import (
    MEASURES,
    first_over_last,
    isometry,
    jacobian,
    measure_blocks,
    quarters,
    run_block,
    without_branches,
)
from reslif.sw.studies.depth import KINDS, depth_study, lines
from reslif.sw.studies.depth_plot import PANELS, plot
from reslif.sw.train import FLOAT_FILE, train_float
from torch import Tensor, nn

SMALL = TrainConfig(
    width=8, blocks=3, steps=3, epochs=10, batch=16, augment=0.0, activity=0.0, device="cpu"
)


@pytest.fixture(scope="module")
def data() -> Dataset:
    return load_dataset("digits").first(192)


def network(data: Dataset, kind: Any, **changes: Any) -> ResidualSNN:
    config = replace(SMALL, block_type=kind, **changes)
    model = build_model(config, data)
    assert isinstance(model, ResidualSNN)
    reestimate(model, data.train, config, data.format.step)
    return model


def batch(data: Dataset, steps: int = 3, count: int = 32) -> tuple[Tensor, Tensor]:
    raw = torch.tensor(data.train[:count].over_time(steps)).float()
    return seen(raw, data.format.step, None), torch.tensor(data.train.labels[:count])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("norm", ["batch", "none"])
def test_the_jacobian_is_autograds(data, kind: str, norm: str) -> None:
    block = network(data, kind, norm=norm).double().eval().stack.blocks[0]
    x = torch.randn(3, 2, 8, dtype=torch.float64)
    x = x if kind == "ms" else (x > 0).double()
    found = jacobian(block, x)
    for sample in range(2):
        (expected,) = torch.autograd.functional.jacobian(
            lambda one: run_block(block, one[:, None])[:, 0], (x[:, sample],)
        )
        torch.testing.assert_close(found[sample], expected.reshape(24, 24))
    assert found.abs().max() > 0


def test_isometry_is_mean_and_variance_of_squared_singular_values() -> None:
    matrices = torch.randn(3, 6, 6, dtype=torch.float64)
    squares = torch.linalg.svdvals(matrices).square()
    phi, spread = isometry(matrices)
    assert phi == pytest.approx(float(squares.mean()))
    assert spread == pytest.approx(float(squares.var(1, unbiased=False).mean()))
    phi, spread = isometry(torch.linalg.qr(matrices).Q)
    assert phi == pytest.approx(1)
    assert spread == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_measures_of_every_block(data, kind: str) -> None:
    model = network(data, kind)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    figures = measure_blocks(model, *batch(data), jacobians=2)
    assert set(figures) == set(MEASURES)
    assert all(len(values) == 3 for values in figures.values())
    assert all(math.isfinite(v) and v >= 0 for values in figures.values() for v in values)
    for name in ("spike_rate", "ratio", "gradient", "signal", "phi"):
        assert min(figures[name]) > 0, name
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])
    assert all(parameter.grad is None for parameter in model.parameters())


def test_the_training_step_leaves_no_trace_in_the_rest(data) -> None:
    """It moves batch norm's statistics, which are those of evaluation."""
    model = network(data, "ms")
    inputs, labels = batch(data)
    figures = measure_blocks(model, inputs, labels, jacobians=1)
    model.eval()
    with torch.no_grad():
        x = model.stem_lif(model.stem_norm(model.stem(inputs)))
        first = model.stack.blocks[0]
        ratio = first.branch(first.lif1(x)).norm() / x.norm()
        model.train()(inputs)
        moved = first.eval().branch(first.lif1(x)).norm() / x.norm()
    assert figures["ratio"][0] == pytest.approx(float(ratio), rel=1e-5)
    assert figures["ratio"][0] != pytest.approx(float(moved), rel=1e-3)


def test_gradients_are_those_of_a_training_step(data) -> None:
    model = network(data, "ms")
    figures = measure_blocks(model, *batch(data), jacobians=1)
    inputs, labels = batch(data)
    model.train()
    nn.functional.cross_entropy(model(inputs) / 3, labels).backward()
    for block, value in zip(model.stack.blocks, figures["gradient"], strict=True):
        grads = [m.weight.grad for m in block.modules() if isinstance(m, nn.Linear)]
        norm = torch.cat([g.flatten() for g in grads if g is not None]).norm()
        assert value == pytest.approx(float(norm), rel=1e-5)


def test_large_gradients_are_numbers(data, monkeypatch) -> None:
    """Those whose squares single precision cannot hold, and those that it cannot hold at all."""
    model = network(data, "plain")
    with torch.no_grad():
        model.head.weight *= 1e25
    figures = measure_blocks(model, *batch(data), jacobians=1)
    assert all(1e19 < value < math.inf for value in figures["gradient"] + figures["signal"])

    def overflows(grads: Any) -> float:
        return norm(grads) if grads[0].dtype == torch.float64 else math.inf

    norm = measures._norm
    monkeypatch.setattr(measures, "_norm", overflows)
    again = measure_blocks(model, *batch(data), jacobians=1)
    for name in ("gradient", "signal"):
        assert again[name] == pytest.approx(figures[name], rel=1e-3)
        assert again[name] != figures[name]
    assert model.head.weight.dtype == torch.float32


def test_a_block_that_is_switched_off_is_an_isometry_and_decoration(data) -> None:
    model = network(data, "ms")
    norm = model.stack.blocks[1].norm2
    assert isinstance(norm, BatchNormOverTime)
    with torch.no_grad():
        norm.weight.zero_()
        norm.bias.zero_()
    figures = measure_blocks(model, *batch(data))
    assert figures["ratio"][1] == 0
    assert figures["phi"][1] == 1
    assert figures["spread"][1] == 0
    assert all(figures["ratio"][i] > 0.1 and figures["spread"][i] > 0.1 for i in (0, 2))
    assert all(figures["phi"][i] > 1.1 for i in (0, 2))


def test_a_dead_network_is_seen_to_be_dead(data) -> None:
    figures = measure_blocks(network(data, "sew", threshold=1e6), *batch(data))
    assert figures["spike_rate"] == [0, 0, 0]
    assert figures["ratio"] == [0, 0, 0]
    assert max(figures["gradient"]) < 1e-6


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("norm", ["batch", "mean", "none"])
def test_without_branches_and_back(data, kind: str, norm: str) -> None:
    model = network(data, kind, norm=norm).eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    x = (torch.rand(3, 16, 8) < 0.5).float()
    with torch.no_grad():
        whole = model.stack(x)
        with without_branches(model, range(3)):
            removed = model.stack(x)
            last = model.stack.lif if kind == "ms" else None
            expected = x if last is None else last(x)
            for block in model.stack.blocks if kind == "plain" else []:
                expected = block.lif2(expected)
            assert torch.equal(removed, expected)
        assert torch.equal(model.stack(x), whole)
    assert not torch.equal(removed, whole)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])


def test_quarters_share_the_blocks() -> None:
    assert [len(part) for part in quarters(241)] == [60, 60, 61, 60]
    for blocks in (1, 3, 5, 55):
        assert [i for part in quarters(blocks) for i in part] == list(range(blocks))


def test_first_over_last() -> None:
    assert first_over_last([3.0, 1.0, 2.0]) == 1.5
    assert first_over_last([3.0, 0.0]) is None


@pytest.fixture(scope="module")
def report(data, tmp_path_factory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("depth")
    train_float(SMALL, data, folder)
    return depth_study(SMALL, data, folder, depths=(2, 10), samples=16, jacobians=1)


def test_a_study_of_untrained_networks_and_the_trained_one(report, data, tmp_path) -> None:
    rows = report["networks"]
    assert [(row["kind"], row["depth"]) for row in rows[:-1]] == [
        (kind, depth) for kind in KINDS for depth in (2, 10)
    ]
    trained = rows[-1]
    assert (trained["kind"], trained["depth"], trained["trained"]) == ("ms", 6, True)
    assert trained["accuracy"] > 0.3
    assert len(trained["without"]) == 4
    assert min(trained["without"]) < trained["accuracy"]
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    assert report["samples"] == 16
    # Repeated, it is the same; without a run folder nothing is trained.
    again = depth_study(SMALL, data, tmp_path, depths=(2, 10), samples=16, jacobians=1)
    assert again["networks"] == rows[:-1]


def test_settings_of_membrane_shortcuts_are_no_hindrance(data, tmp_path) -> None:
    scaled = replace(SMALL, scaled_lr=True, branch_power=1.0)
    rows = depth_study(scaled, data, tmp_path, depths=(2,), samples=16, jacobians=1)["networks"]
    assert [row["kind"] for row in rows] == ["ms", "sew", "plain"]


def test_accuracy_without_a_quarter_is_that_of_the_network_without(data, tmp_path) -> None:
    model, _ = train_float(SMALL, data, tmp_path)
    assert isinstance(model, ResidualSNN)
    row = depth_study(SMALL, data, tmp_path, depths=(), samples=16)["networks"][0]
    norm = model.stack.blocks[0].norm2
    assert isinstance(norm, BatchNormOverTime)
    with torch.no_grad():
        norm.weight.zero_()
        norm.bias.zero_()
    assert quarters(3)[0] == range(1)
    assert row["without"][0] == accuracy_float(model, data.test, 3, data.format.step)


def test_the_table_has_a_line_for_each_network(report) -> None:
    heading, *rows = lines(report)
    assert [row.split()[:2] for row in rows[:7]] == [
        *([kind, depth] for kind in KINDS for depth in ("2", "10")),
        ["trained", "6"],
    ]
    assert len({len(row) for row in (heading, *rows[:7])}) == 1
    assert "trained (ms): " in rows[-2]
    assert rows[-1].count("%") == 4


def test_the_table_fits_a_terminal_of_80_columns(report) -> None:
    """The widest numbers that a study of 482 layers has found, and larger ones."""
    row = report["networks"][-1]
    wide = {
        **row,
        "depth": 1000,
        "first_over_last": {"gradient": 1.43e-13, "signal": 1.43e-13},
        "blocks": {name: [1.2345e-13] * 4 for name in MEASURES},
    }
    found = lines({**report, "networks": [*report["networks"], wide]})
    assert max(map(len, found)) <= 80


def points(picture: str) -> list[tuple[str, np.ndarray]]:
    """Colour and points of every line with more than two points."""
    found = []
    for path in ET.fromstring(picture).iter("{http://www.w3.org/2000/svg}path"):
        pairs = re.findall(r"([-\d.]+),([-\d.]+)", path.attrib["d"])
        found.append((path.attrib["stroke"], np.array(pairs, float)))
    return [(colour, line) for colour, line in found if len(line) > 2]


def test_the_picture_shows_every_network(report) -> None:
    picture = plot(report)
    for _, title, _ in PANELS:
        assert picture.count(f">{title}<") == len(KINDS)
    found = points(picture)
    # Blocks of 10 layers are five points; of 2 layers one, which makes no line.
    assert len(found) == len(PANELS) * (len(KINDS) + 1)
    assert sum(colour == "#000000" for colour, _ in found) == len(PANELS)
    size = [float(part) for part in ET.fromstring(picture).attrib["viewBox"].split()[2:]]
    assert all((line >= 0).all() and (line <= size).all() for _, line in found)
    # Higher values stand higher.
    values = report["networks"][1]["blocks"]["spike_rate"]
    line = found[0][1]
    assert np.array_equal(np.argsort(values), np.argsort(-line[:, 1]))


def test_a_network_that_explodes_leaves_the_others_visible(report) -> None:
    row = report["networks"][1]
    grown = [10.0 ** (40 - 10 * block) for block in range(5)]
    wild = {**row, "kind": "plain", "blocks": {**row["blocks"], "gradient": grown}}
    found = points(plot({**report, "networks": [row, wild]}))
    gradients = [line[:, 1] for _, line in found][1 :: len(PANELS)]
    assert np.unique(gradients[0]).size == 5
    assert np.unique(gradients[1]).size == 2  # but for the last all lie on the edge


def test_a_picture_of_nothing_but_zeros(report) -> None:
    row = report["networks"][1]
    dead = {**row, "blocks": {name: [0.0] * 5 for name in MEASURES}}
    found = points(plot({**report, "networks": [dead]}))
    assert len(found) == len(PANELS)
    assert all(np.isfinite(line).all() for _, line in found)


@pytest.mark.parametrize(
    ("changes", "arguments", "message"),
    [
        ({"model": "layers"}, {}, "model is layers, of a study of depth it must be residual"),
        ({}, {"depths": (7,)}, "depth is 7, must be even"),
        ({}, {"samples": 0}, "samples are 0 and jacobians 4, must be at least 1"),
        ({}, {"depths": ()}, r"no depths are given and .*float\.safetensors does not exist"),
    ],
    ids=["model", "depth", "samples", "nothing"],
)
def test_what_cannot_be_studied(changes, arguments, message, data, tmp_path: Path) -> None:
    with pytest.raises(TrainError, match=message):
        depth_study(replace(SMALL, **changes), data, tmp_path, **arguments)


def test_weights_of_another_network_are_refused(data, tmp_path: Path) -> None:
    save_module(network(data, "sew"), tmp_path / FLOAT_FILE)
    with pytest.raises(TrainError, match="does not hold the parameters of this model"):
        depth_study(SMALL, data, tmp_path, depths=())


RECIPE = """
[data]
samples = 96
[train]
width = 8
blocks = 2
steps = 2
epochs = 1
"""


def test_the_command_leaves_figures_and_a_picture(tmp_path, monkeypatch, capsys) -> None:
    recipe, run = tmp_path / "tiny.toml", tmp_path / "run"
    recipe.write_text(RECIPE)
    monkeypatch.setattr(terminal.console, "width", 40)  # lines stay whole in any terminal
    assert (
        reslif(monkeypatch, "depth", recipe, "--out", run, "--depths", "2,6", "--samples", 8) == 0
    )
    report = json.loads((run / "depth.json").read_text())
    assert report["recipe"] == "tiny"
    assert report["samples"] == 8
    assert [row["depth"] for row in report["networks"]] == [2, 6] * 3
    assert (run / "depth.svg").read_text() == plot(report)
    shown = capsys.readouterr().out
    assert "\n".join(lines(report)) in shown


def test_the_command_names_a_mistake(tmp_path, monkeypatch, capsys) -> None:
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(RECIPE)
    for depths, message in (("ten", "depths is 'ten', must be numbers"), ("7", "depth is 7")):
        assert reslif(monkeypatch, "depth", recipe, "--out", tmp_path, "--depths", depths) == 2
        assert message in capsys.readouterr().err
