"""The regulariser in training, its sweep and its picture, on digits and in seconds."""

import json
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from reslif.sw.data import Dataset, load_dataset
from reslif.sw.fit import TrainError
from reslif.sw.models import CHAINS, build_model, seen
from reslif.sw.nn import LIF, SumCurrent
from reslif.sw.studies.lyapunov import CONFIG, means, part, sweep, table
from reslif.sw.studies.lyapunov_plot import plot
from reslif.sw.train import TrainConfig, train_float

ROOT = Path(__file__).parents[3]
TINY = replace(CONFIG, widths=(4, 8), steps=4, epochs=2, batch=16, lr=1e-2)


@pytest.fixture(scope="module")
def digits() -> Dataset:
    data = load_dataset("digits")
    return replace(data, train=data.train[:96], validation=data.validation[:32])


@pytest.mark.parametrize("model", CHAINS)
def test_chains_are_built_from_a_recipe(model: str, digits: Dataset) -> None:
    config = replace(TINY, model=model, reset="zero", reset_delay=False, beta=0.75, threshold=0.5)
    net = build_model(config, digits)
    raw = torch.tensor(digits.train[:6].over_time(4)).float()
    assert net(seen(raw, digits.format.step, digits.image)).shape == (6, 10)
    assert isinstance(net[-1], SumCurrent)
    neurons = [m for m in net.modules() if isinstance(m, LIF)]
    assert len(neurons) == (2 if model == "conv_lyapunov" else 5)
    assert all(n.reset_mechanism == "zero" and not n.reset_delay for n in neurons)
    assert all(n.beta.item() == 0.75 and n.threshold.item() == 0.5 for n in neurons)


def test_other_models_have_no_gain_to_train() -> None:
    with pytest.raises(
        TrainError, match=r"lyapunov_weight is 0\.5, of model residual it must be 0"
    ):
        TrainConfig(lyapunov_weight=0.5)
    with pytest.raises(TrainError, match="lyapunov_weight is -1"):
        TrainConfig(model="conv_lyapunov", lyapunov_weight=-1)


def test_the_gain_is_reported_per_epoch_and_the_term_moves_it(
    digits: Dataset, tmp_path: Path
) -> None:
    found = {}
    for weight in (0.0, 30.0):
        config = replace(TINY, lyapunov_weight=weight, lyapunov_target=-1.0, epochs=4)
        folder = tmp_path / str(weight)
        folder.mkdir()
        _, fit = train_float(config, digits, folder)
        assert {"gain", "spike_rate"} <= set(fit.history[0])
        assert all(np.isfinite(epoch["gain"]) for epoch in fit.history)
        assert fit.history[-1]["spike_rate"] > 0.01
        found[weight] = fit.history[-1]["gain"]
    assert found[30.0] < found[0.0] - 0.05


def test_an_interrupted_run_ends_as_an_unbroken_one(digits: Dataset, tmp_path: Path) -> None:
    config = replace(TINY, lyapunov_weight=1.0)
    folders = [tmp_path / name for name in ("whole", "broken")]
    for folder in folders:
        folder.mkdir()
    _, whole = train_float(config, digits, folders[0])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("reslif.sw.fit._save_state", _stopping(after=1))
        with pytest.raises(KeyboardInterrupt):
            train_float(config, digits, folders[1])
    _, broken = train_float(config, digits, folders[1])
    assert broken.history[-1]["gain"] == pytest.approx(whole.history[-1]["gain"], abs=1e-6)
    assert broken.history[-1]["loss"] == pytest.approx(whole.history[-1]["loss"], abs=1e-6)


def _stopping(after: int):
    from reslif.sw import fit

    save, calls = fit._save_state, []

    def stop(*arguments: object) -> None:
        save(*arguments)  # pyright: ignore[reportArgumentType]
        calls.append(1)
        if len(calls) == after:
            raise KeyboardInterrupt

    return stop


def test_a_sweep_goes_on_where_it_stopped(
    digits: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs: list[tuple[float, float, int]] = []

    def fake(config: TrainConfig, _data: Dataset, _folder: Path) -> dict[str, float]:
        key = config.lyapunov_target, config.lyapunov_weight, config.seed
        runs.append(key)
        if len(runs) == 4:
            raise KeyboardInterrupt
        target, weight, seed = key
        return {
            "target": target, "weight": weight, "seed": seed, "gain": -0.3 + weight / 10,
            "spike_rate": 0.2, "accuracy": 0.7 + seed / 100, "exponent": -0.1,
        }  # fmt: skip

    monkeypatch.setattr("reslif.sw.studies.lyapunov.run", fake)
    out = tmp_path / "report.json"
    arguments = (CONFIG, digits, out, tmp_path, (0.0, 1.0), (0.0, -0.6), 2)
    with pytest.raises(KeyboardInterrupt):
        sweep(*arguments)
    report = sweep(*arguments)
    assert len(runs) == 7  # one of the six was begun twice
    assert len(report["rows"]) == len(
        {(r["target"], r["weight"], r["seed"]) for r in report["rows"]}
    )
    assert len(report["rows"]) == 6
    assert len(report["means"]) == 4  # weight 0 counts for both targets
    first = report["means"][0]
    assert (first["accuracy"], first["seeds"]) == (0.705, 2)
    assert first["accuracy_spread"] == pytest.approx(0.0071, abs=1e-4)
    assert "| 0 | 1 | −0.200 ± 0.000 | 20.0% ± 0.0 | 70.5% ± 0.7 |" in table(report["means"])
    # Other settings are another study.
    runs.clear()
    runs.extend([(0.0, 0.0, 0)] * 4)
    sweep(replace(CONFIG, steps=5), *arguments[1:])
    assert len(runs) == 10
    ET.fromstring(plot(report["means"]))


def test_images_are_halved(digits: Dataset) -> None:
    small = part(digits, 5, 3, 2)
    assert (len(small.train), len(small.validation), len(small.test)) == (5, 3, 2)
    assert small.image == (1, 4, 4)
    image = digits.test.inputs[1].reshape(8, 8).astype(float)
    mean = image.reshape(4, 2, 4, 2).mean((1, 3)) * digits.format.step
    np.testing.assert_allclose(small.test.inputs[1].reshape(4, 4) * small.format.step, mean)


def test_the_page_shows_the_report() -> None:
    report = json.loads((ROOT / "docs" / "results" / "lyapunov.json").read_text())
    found = re.search(
        r"<!-- sweep -->\n(.*?)<!-- /sweep -->",
        (ROOT / "docs" / "lyapunov.md").read_text(),
        re.DOTALL,
    )
    assert found is not None
    assert found[1] == table(report["means"])
    targets = list(dict.fromkeys(line["target"] for line in report["means"]))
    assert report["means"] == means(report["rows"], targets)
    assert (ROOT / "docs" / "lyapunov.svg").read_text() == plot(report["means"])
    # What it must show: the heavier the term, the nearer the gain is to its target.
    for target in targets:
        lines = [line for line in report["means"] if line["target"] == target]
        distances = [abs(line["gain"] - target) for line in lines]
        assert distances == sorted(distances, reverse=True)
