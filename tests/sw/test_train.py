"""The training loop: it learns, keeps the best epoch, resumes exactly, and explains itself."""

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from interruption import interrupt
from reslif.sw import float_passes
from reslif.sw.data import DataError, Dataset, Samples, load_dataset
from reslif.sw.evaluate import classify, evaluate
from reslif.sw.fit import TrainError, load_module, save_module
from reslif.sw.network import LIF, Dense
from reslif.sw.network_file import load_network
from reslif.sw.nn import BatchNormOverTime
from reslif.sw.qat import QATNetwork
from reslif.sw.train import (
    FLOAT_FILE,
    NETWORK_FILE,
    TrainConfig,
    accuracy_float,
    build_model,
    reestimate,
    train_float,
    train_quantised,
)

SMALL = TrainConfig(blocks=1, width=12, steps=3, epochs=5, qat_epochs=5, device="cpu")


@pytest.fixture(scope="module")
def data() -> Dataset:
    digits = load_dataset("digits")

    def first(samples: Samples, count: int) -> Samples:
        return Samples(samples.inputs[:count], samples.labels[:count])

    return replace(
        digits,
        train=first(digits.train, 320),
        validation=first(digits.validation, 60),
        test=first(digits.test, 60),
    )


@pytest.mark.parametrize("block_type", ["ms", "sew", "plain"])
def test_both_stages_learn(data: Dataset, tmp_path: Path, block_type) -> None:
    config = replace(SMALL, block_type=block_type, width=32, epochs=8, batch=32)
    model, result = train_float(config, data, tmp_path)
    assert result.history[-1]["loss"] < result.history[0]["loss"]
    assert accuracy_float(model, data.validation, 3, data.format.step) > 0.5
    network, quantised = train_quantised(config, data, model, tmp_path)
    samples = data.validation.over_time(3)
    assert evaluate(network, samples, data.validation.labels) == pytest.approx(quantised.accuracy)
    assert quantised.accuracy > 0.5
    assert {node.weight_format.width for node in network.nodes_of(Dense)} == {4}
    assert all(node.leak_shift == 4 for node in network.nodes_of(LIF))
    assert load_network(tmp_path / NETWORK_FILE).digest == network.digest
    assert network.notes["training"]["block_type"] == block_type
    best = quantised.history[quantised.best_epoch]
    assert best["accuracy"] == max(epoch["accuracy"] for epoch in quantised.history)


@pytest.mark.parametrize("readout", ["count", "last_membrane", "max_membrane"])
def test_other_readouts_learn(data: Dataset, tmp_path: Path, readout) -> None:
    config = replace(SMALL, readout=readout, width=32, epochs=8, batch=32)
    model, result = train_float(config, data, tmp_path)
    assert result.accuracy > 0.4
    network, quantised = train_quantised(config, data, model, tmp_path)
    assert network.readout.kind == readout
    assert quantised.accuracy > 0.4


@pytest.mark.parametrize("epochs", [2, 4])
def test_an_interrupted_run_resumes_to_the_same_result(
    data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, epochs: int
) -> None:
    """Four of five epochs lie within the frozen scales' last fifth, two before it."""
    whole, _ = train_float(SMALL, data, tmp_path / "whole")
    expected, _ = train_quantised(SMALL, data, whole, tmp_path / "whole")

    parts = tmp_path / "parts"
    with monkeypatch.context() as patch:
        interrupt(patch, epochs)
        with pytest.raises(KeyboardInterrupt):
            train_float(SMALL, data, parts)
    model, result = train_float(SMALL, data, parts)
    assert len(result.history) == 5
    assert (parts / FLOAT_FILE).read_bytes() == (tmp_path / "whole" / FLOAT_FILE).read_bytes()
    with monkeypatch.context() as patch:
        interrupt(patch, epochs)
        with pytest.raises(KeyboardInterrupt):
            train_quantised(SMALL, data, model, parts)
    found, _ = train_quantised(SMALL, data, model, parts)
    assert found.digest == expected.digest


def test_a_finished_run_is_not_repeated(data: Dataset, tmp_path: Path, monkeypatch) -> None:
    train_float(SMALL, data, tmp_path)
    interrupt(monkeypatch, 0)
    _, result = train_float(SMALL, data, tmp_path)
    assert len(result.history) == 5


def test_the_seed_alone_decides(data: Dataset, tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        train_float(replace(SMALL, epochs=1, seed=seed), data, tmp_path / name)
    a, b, c = ((tmp_path / name / FLOAT_FILE).read_bytes() for name in "abc")
    assert a == b != c


def test_scales_freeze_in_the_last_fifth(data: Dataset, tmp_path: Path, monkeypatch) -> None:
    plans: list[int] = []
    real = QATNetwork.replan
    monkeypatch.setattr(
        QATNetwork, "replan", lambda self, quantised: plans.append(1) or real(self, quantised)
    )
    model = build_model(SMALL, data)
    train_quantised(replace(SMALL, qat_epochs=10), data, model, tmp_path)
    assert len(plans) == 1 + 8


def test_test_samples_are_never_seen(data: Dataset, tmp_path: Path) -> None:
    shape = (60, 64)
    poisoned = Samples(np.full(shape, 10**9), np.full(60, 77))
    model, _ = train_float(replace(SMALL, epochs=1), replace(data, test=poisoned), tmp_path)
    train_quantised(replace(SMALL, qat_epochs=1), replace(data, test=poisoned), model, tmp_path)


def test_other_settings_or_a_broken_state_are_refused(data: Dataset, tmp_path: Path) -> None:
    short = replace(SMALL, epochs=1)
    train_float(short, data, tmp_path)
    with pytest.raises(TrainError, match=r"other settings \(lr, width differ\); delete it"):
        train_float(replace(short, lr=1e-4, width=16), data, tmp_path)
    state = tmp_path / "float.state.safetensors"
    state.write_bytes(state.read_bytes()[:100])
    with pytest.raises(TrainError, match="no readable training state; delete it"):
        train_float(short, data, tmp_path)


def test_divergence_is_reported(data: Dataset, tmp_path: Path, monkeypatch) -> None:
    def broken(config: TrainConfig, data: Dataset) -> torch.nn.Module:
        model = build_model(config, data)
        torch.nn.init.constant_(model.head.weight, torch.nan)
        return model

    monkeypatch.setattr("reslif.sw.train.build_model", broken)
    with pytest.raises(TrainError, match="diverged in epoch 1: the loss is nan; lower the"):
        train_float(SMALL, data, tmp_path)


def test_progress_is_shown_without_a_terminal(data: Dataset, tmp_path: Path, capsys) -> None:
    train_float(SMALL, data, tmp_path)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("train float 1/5, ")
    assert lines[-1].startswith("train float 5/5, 0 s left")
    assert "validation" in lines[-1]


def test_reestimated_statistics_are_those_of_the_whole_set(data: Dataset) -> None:
    model = build_model(SMALL, data)
    reestimate(model, data.train, SMALL, data.format.step)
    inputs = torch.as_tensor(data.train.inputs * data.format.step, dtype=torch.float32)
    currents = model.stem(inputs)
    assert isinstance(model.stem_norm, BatchNormOverTime)
    assert torch.allclose(model.stem_norm.running_mean, currents.mean(0), atol=1e-4)  # pyright: ignore[reportArgumentType]
    assert model.stem_norm.momentum is not None
    assert not model.training


def test_figures_do_not_depend_on_the_number_of_cores(
    data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(SMALL, width=64, steps=8)
    threads = torch.get_num_threads()

    def statistics(count: int) -> list[torch.Tensor]:
        torch.set_num_threads(count)
        model = build_model(config, data)
        reestimate(model, data.train, config, data.format.step)
        assert torch.get_num_threads() == count
        return [buffer.clone() for name, buffer in model.named_buffers() if "running" in name]

    def same(first: list[torch.Tensor], second: list[torch.Tensor]) -> bool:
        return all(map(torch.equal, first, second))

    try:
        assert same(statistics(1), statistics(2))
        monkeypatch.setattr(float_passes, "one_thread", nullcontext)
        assert not same(statistics(1), statistics(2))  # so it is not for nothing
    finally:
        torch.set_num_threads(threads)


def test_files_of_another_model_are_refused(data: Dataset, tmp_path: Path) -> None:
    model = build_model(SMALL, data)
    with pytest.raises(TrainError, match="does not exist; train first"):
        load_module(model, tmp_path / "missing")
    (tmp_path / "junk").write_bytes(b"junk")
    with pytest.raises(TrainError, match="does not hold the parameters of this model"):
        load_module(model, tmp_path / "junk")
    save_module(build_model(replace(SMALL, width=13), data), tmp_path / "other")
    with pytest.raises(TrainError, match="does not hold the parameters of this model"):
        load_module(model, tmp_path / "other")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"blocks": 0}, "blocks is 0, must be at least 1"),
        ({"epochs": 0}, "epochs is 0, must be at least 1"),
        ({"lr": 0.0}, "lr is 0.0, must be above 0"),
        ({"block_type": "resnet"}, "block_type is 'resnet', must be ms, sew or plain"),
        ({"readout": "mean"}, "readout is 'mean', must be one of count, sum_current, last_mem"),
        ({"device": "tpu"}, "device is 'tpu', must be auto, cpu or cuda"),
    ],
)
def test_bad_settings_are_refused(changes: dict, message: str) -> None:
    with pytest.raises(TrainError, match=message):
        replace(SMALL, **changes)


def test_a_missing_gpu_is_one_clear_error(data: Dataset, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(TrainError, match="device is cuda, but this machine offers no CUDA"):
        train_float(replace(SMALL, device="cuda"), data, tmp_path)


def test_evaluate_counts_right_answers(data: Dataset, tmp_path: Path) -> None:
    network, _ = train_quantised(
        replace(SMALL, qat_epochs=1), data, build_model(SMALL, data), tmp_path
    )
    samples = data.test.over_time(3)
    classes = classify(network, samples)
    assert np.array_equal(classes, classify(network, samples, batch=7))
    assert evaluate(network, samples, classes) == 1.0
    assert evaluate(network, samples, (classes + 1) % 10) == 0.0
    half = np.where(np.arange(60) < 30, classes, (classes + 1) % 10)
    assert evaluate(network, samples, half) == 0.5
    with pytest.raises(DataError, match=r"labels have shape \[59\]"):
        evaluate(network, samples, classes[:59])
