"""The recurrent network on moving digits, from clips to integers: learnt, quantised, resumed."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from interruption import interrupt
from reslif.sw import golden
from reslif.sw.augment import side_by_side
from reslif.sw.data import Dataset, load_dataset
from reslif.sw.evaluate import evaluate
from reslif.sw.models import TrainConfig, build_model
from reslif.sw.moving_digits import MovingDigits
from reslif.sw.network import Dense, Neuron
from reslif.sw.nn import RSNNClassifier, SpikingNeuron
from reslif.sw.qat import QATNetwork
from reslif.sw.train import (
    FLOAT_FILE,
    _augmentation,
    _settings,
    accuracy_float,
    train_float,
    train_quantised,
)

MOVING = MovingDigits(frame=10, frames=6, scale=1, speed=1, train=800, validation=80, test=100)
CONFIG = TrainConfig(
    model="rsnn", readout="count", width=48, steps=6, beta=0.5, lr=1e-2, epochs=10, qat_epochs=2,
    batch=20, activity=0.0, augment=0.0, bits=8, guard_bits=3, device="cpu",
)  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return load_dataset("moving_digits", moving=MOVING, cache=tmp_path_factory.mktemp("clips"))


def test_both_stages_learn_digits_that_they_never_saw(data: Dataset, tmp_path: Path) -> None:
    model, _ = train_float(CONFIG, data, tmp_path)
    assert accuracy_float(model, data.test, 6, data.format.step) > 0.6
    network, result = train_quantised(CONFIG, data, model, tmp_path)
    samples = data.test.over_time(6)
    assert evaluate(network, samples, data.test.labels) > 0.6
    validated = evaluate(network, data.validation.over_time(6), data.validation.labels)
    assert validated == pytest.approx(result.accuracy)
    assert {node.weight_format.width for node in network.nodes_of(Dense)} == {8}
    neurons = [node.name for node in network.nodes_of(Neuron)]
    trace = golden.run(network, samples, [(name, "spike") for name in neurons])
    assert neurons == ["rlif1", "rlif2"]
    for name in neurons:
        assert 0.02 < trace[name, "spike"].mean() < 0.5


def test_frames_in_another_order_are_another_clip(data: Dataset) -> None:
    """State passes from frame to frame: this network is no vote over single frames."""
    model = build_model(CONFIG, data).eval()
    x = torch.tensor(data.test[:30].over_time(6) * data.format.step, dtype=torch.float32)
    assert isinstance(model, RSNNClassifier)
    assert not torch.equal(model(x), model(x.flip(0)))


@pytest.mark.parametrize("augment", [0.0, 0.5])
def test_an_interrupted_run_resumes_to_the_same_result(
    data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, augment: float
) -> None:
    config = replace(CONFIG, epochs=3, width=12, dropout=0.0, truncate=2, augment=augment)
    few = data.first(60)
    train_float(config, few, tmp_path / "whole")
    with monkeypatch.context() as patch:
        interrupt(patch, 1)
        with pytest.raises(KeyboardInterrupt):
            train_float(config, few, tmp_path / "parts")
    train_float(config, few, tmp_path / "parts")
    whole, parts = ((tmp_path / name / FLOAT_FILE).read_bytes() for name in ("whole", "parts"))
    assert whole == parts


def test_truncation_reaches_both_trainings(
    data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(CONFIG, epochs=1, qat_epochs=1, width=12)
    few, files = data.first(60), {}
    made: list[int] = []
    real = QATNetwork.__init__

    def init(self: QATNetwork, *arguments, truncate: int = 0) -> None:
        made.append(truncate)
        real(self, *arguments, truncate=truncate)

    monkeypatch.setattr(QATNetwork, "__init__", init)
    for steps in (0, 2, 6):
        folder = tmp_path / str(steps)
        model, _ = train_float(replace(config, truncate=steps), few, folder)
        neurons = [m for m in model.modules() if isinstance(m, SpikingNeuron)]
        assert [neuron.truncate for neuron in neurons] == [steps, steps]
        files[steps] = (folder / FLOAT_FILE).read_bytes()
        train_quantised(replace(config, truncate=steps), few, model, folder)
    assert made == [0, 2, 6]
    assert files[0] == files[6] != files[2]


def test_dropout_is_used(data: Dataset) -> None:
    model = build_model(replace(CONFIG, dropout=0.25), data)
    assert isinstance(model, RSNNClassifier)
    assert model.dropout.p == 0.25


def test_runs_that_know_nothing_of_it_can_be_resumed(data: Dataset) -> None:
    """States of runs from before there was dropout or truncation have other settings' names."""
    assert not {"dropout", "truncate"} & _settings(CONFIG, data, ()).keys()
    assert {"dropout", "truncate"} <= _settings(
        replace(CONFIG, dropout=0.5, truncate=3), data, ()
    ).keys()


def test_all_frames_of_a_clip_are_distorted_alike(data: Dataset) -> None:
    still = np.repeat(data.train.inputs[:20, :100], 6, axis=0).reshape(20, -1)  # a frame, six times
    change = _augmentation(replace(CONFIG, augment=1.0), data)
    assert change is not None
    clips = torch.tensor(still, dtype=torch.float32)
    changed = change(clips, torch.Generator().manual_seed(0))
    assert changed.shape == clips.shape
    frames = changed.reshape(20, 6, 100)
    assert torch.equal(frames, frames[:, :1].expand_as(frames))
    assert (frames[:, 0] != clips[:, :100]).any(1).all()
    assert (changed.min(), changed.max()) >= (0, 10)
    moving = torch.tensor(data.train.inputs[:20], dtype=torch.float32)
    shifted = change(moving, torch.Generator().manual_seed(0)).reshape(20, 6, 100)
    assert (shifted[:, 1:] != shifted[:, :-1]).any(2).all()


def test_frames_side_by_side() -> None:
    clip = torch.arange(2 * 3 * 4 * 2).reshape(2, -1)  # 3 frames, 4 pixels, 2 channels
    there = side_by_side(clip, 3, 4)
    assert there.reshape(2, 4, 3, 2)[0, 1, 2].tolist() == clip.reshape(2, 3, 4, 2)[0, 2, 1].tolist()
    assert torch.equal(side_by_side(there, 4, 3), clip)
