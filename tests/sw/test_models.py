"""Classifiers of images by recipe: built, shown their data, trained, quantised, resumed."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from interruption import interrupt
from reslif.sw.data import Dataset, Samples
from reslif.sw.evaluate import evaluate
from reslif.sw.fit import TrainError, load_module
from reslif.sw.formats import Format
from reslif.sw.images import to_flat, to_image
from reslif.sw.models import TrainConfig, build_model, image_of, seen
from reslif.sw.network import Conv2d
from reslif.sw.nn import LIF, BatchNormOverTime2d, MSResNet, PlainResNet, SEWBasicBlock, SEWResNet
from reslif.sw.train import FLOAT_FILE, accuracy_float, reestimate, train_float, train_quantised
from torch import nn

SHAPE = (2, 8, 8)
SMALL = TrainConfig(
    model="ms_resnet", widths=(6, 8, 10), blocks=1, steps=2, beta=0.5, epochs=3, qat_epochs=2,
    batch=32, activity=0.1, augment=0.0, device="cpu",
)  # fmt: skip


def bars(count: int, seed: int) -> Samples:
    """Noise, and in one channel a bright bar: upright, level, or in the other channel level."""
    random = np.random.default_rng(seed)
    images = random.integers(0, 6, (count, *SHAPE))
    labels = random.integers(0, 3, count)
    for image, label, at in zip(images, labels, random.integers(1, 7, count), strict=True):
        if label == 0:
            image[0, :, at] = 15
        else:
            image[label - 1, at, :] = 15
    return Samples(to_flat(images).astype(np.uint8), labels)


@pytest.fixture(scope="module")
def data() -> Dataset:
    return Dataset(
        "bars", "stratified", bars(320, 0), bars(90, 1), bars(90, 2), classes=3,
        format=Format(4, 4, signed=False), digest="bars", image=SHAPE,
    )  # fmt: skip


@pytest.mark.parametrize("model", ["ms_resnet", "sew_resnet", "plain_resnet"])
def test_both_stages_learn(data: Dataset, tmp_path: Path, model) -> None:
    config = replace(SMALL, model=model, op="add", epochs=10, qat_epochs=2, batch=16)
    module, result = train_float(config, data, tmp_path)
    step, image = data.format.step, image_of(config, data)
    assert accuracy_float(module, data.validation, 2, step, image=image) > 0.7
    assert 0.01 < result.history[-1]["spike_rate"] < 0.6
    network, quantised = train_quantised(config, data, module, tmp_path)
    samples = data.validation.over_time(2)
    assert evaluate(network, samples, data.validation.labels) == pytest.approx(quantised.accuracy)
    assert quantised.accuracy > 0.7
    assert 0.01 < quantised.history[-1]["spike_rate"] < 0.6
    assert {node.weight_format.width for node in network.nodes_of(Conv2d)} == {4}


def test_settings_reach_the_module(data: Dataset) -> None:
    config = replace(
        SMALL, model="sew_resnet", op="iand", blocks=2, widths=[4, 6], stem_stride=2,
        shortcut="pool", beta=0.75, threshold=0.5, reset="zero", reset_delay=False,
    )  # fmt: skip
    model = build_model(config, data)
    assert isinstance(model, SEWResNet)
    assert config.widths == (4, 6)
    assert model.depth == 2 + 2 * 2 * 2
    assert model.stem.in_channels == 2
    assert model.stem.stride == (2, 2)
    blocks = [module for module in model.modules() if isinstance(module, SEWBasicBlock)]
    assert [type(block.join).__name__ for block in blocks] == ["SpikeIAnd"] * 4
    assert type(blocks[2].shortcut[0]).__name__ == "AvgPoolOverTime"  # pyright: ignore[reportIndexIssue]
    for lif in (module for module in model.modules() if isinstance(module, LIF)):
        assert (float(lif.beta), float(lif.threshold)) == (0.75, 0.5)
        assert (lif.reset_mechanism, lif.reset_delay) == ("zero", False)
    assert isinstance(build_model(SMALL, data), MSResNet)
    assert isinstance(build_model(replace(SMALL, model="plain_resnet"), data), PlainResNet)


def test_the_seed_alone_decides_the_weights(data: Dataset) -> None:
    a, b, c = (build_model(replace(SMALL, seed=seed), data).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert not torch.equal(a["stem.weight"], c["stem.weight"])


def test_modules_see_real_images_and_one_frame_stays_one(data: Dataset) -> None:
    raw = torch.as_tensor(data.train.inputs[:5]).float()
    still, moving = raw.expand(3, -1, -1), torch.stack([raw, raw.flip(0), raw])
    for inputs in (still, moving):
        images = seen(inputs, 1 / 16, SHAPE)
        assert images.shape == (3, 5, *SHAPE)
        assert torch.equal(to_flat(images) * 16, inputs)
        assert torch.equal(images, to_image(inputs / 16, SHAPE))
        assert (images.stride(0) == 0) == (inputs is still)
    assert torch.equal(seen(moving, 0.5, None), moving * 0.5)
    assert image_of(SMALL, data) == SHAPE
    assert image_of(replace(SMALL, model="residual"), data) is None


def test_reestimated_statistics_are_those_of_the_whole_set(data: Dataset) -> None:
    model = build_model(SMALL, data)
    assert isinstance(model, MSResNet)
    reestimate(model, data.train, SMALL, data.format.step, SHAPE)
    images = to_image(torch.as_tensor(data.train.inputs) / 16, SHAPE)
    currents = nn.functional.conv2d(images, model.stem.weight, padding=1)
    norms = [module for module in model.modules() if isinstance(module, BatchNormOverTime2d)]
    assert len(norms) == 9
    assert all(norm.momentum is not None and int(norm.num_batches_tracked) == 1 for norm in norms)  # pyright: ignore[reportArgumentType]
    assert norms[0].running_mean is not None
    torch.testing.assert_close(norms[0].running_mean, currents.mean((0, 2, 3)), atol=1e-5, rtol=0)
    assert not model.training


def test_an_interrupted_run_resumes_to_the_same_result(
    data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(SMALL, shift=1, flip=True)
    train_float(config, data, tmp_path / "whole")
    with monkeypatch.context() as patch:
        interrupt(patch, 2)
        with pytest.raises(KeyboardInterrupt):
            train_float(config, data, tmp_path / "parts")
    _, result = train_float(config, data, tmp_path / "parts")
    assert len(result.history) == 3
    whole, parts = (tmp_path / part / FLOAT_FILE for part in ("whole", "parts"))
    assert whole.read_bytes() == parts.read_bytes()


def test_a_run_may_start_from_the_weights_of_one_before(data: Dataset, tmp_path: Path) -> None:
    alone = replace(SMALL, steps=1, lr=0.01, epochs=2)
    train_float(alone, data, tmp_path / "alone")
    config = replace(SMALL, epochs=1, lr=1e-9, before={"steps": 1, "lr": 0.01, "epochs": 2})
    assert config.first() == alone
    assert alone.first() is None
    module, result = train_float(config, data, tmp_path / "both")
    first, second = tmp_path / "alone" / FLOAT_FILE, tmp_path / "both" / "before" / FLOAT_FILE
    assert first.read_bytes() == second.read_bytes()
    assert len(result.history) == 1
    started = build_model(alone, data)
    load_module(started, first)
    for (name, ours), theirs in zip(module.named_parameters(), started.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0, msg=name)
    second.unlink()  # not needed again: the second run has a state of its own
    train_float(config, data, tmp_path / "both")
    assert not second.exists()
    with pytest.raises(TrainError, match="before makes another network, must leave its layers"):
        train_float(replace(config, before={"widths": (4, 4, 4)}), data, tmp_path / "other")


def test_augmentation_and_precision_change_training_alone(data: Dataset, tmp_path: Path) -> None:
    files, validations = {}, {}
    for name, changes in {
        "plain": {},
        "again": {},
        "shift": {"shift": 1},
        "flip": {"flip": True},
        "distort": {"augment": 0.5},
        "smooth": {"label_smoothing": 0.1},
        "short": {"precision": "bfloat16"},
    }.items():
        config = replace(SMALL, epochs=1, **changes)
        module, _ = train_float(config, data, tmp_path / name)
        files[name] = (tmp_path / name / FLOAT_FILE).read_bytes()
        validations[name] = next(module.parameters()).dtype
    assert files["plain"] == files["again"]
    assert len(set(files.values())) == len(files) - 1
    assert set(validations.values()) == {torch.float32}


def test_progress_reports_the_spike_rate(data: Dataset, tmp_path: Path, capsys) -> None:
    train_float(replace(SMALL, epochs=1), data, tmp_path)
    assert "%, spike rate 0." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "resnet"}, "model is 'resnet', must be one of residual, layers, ms_resnet"),
        ({"widths": ()}, r"widths is \[\], must be channels of 1 or more stages"),
        ({"widths": (8, 0)}, r"widths is \[8, 0\], must be channels"),
        ({"stem_stride": 0}, "stem_stride is 0, must be at least 1"),
        ({"shift": -1}, "shift is -1, must be at least 0"),
        ({"readout": "count"}, "readout is 'count', of model ms_resnet it must be sum_current"),
        ({"before": {"epoch": 3}}, "before has 'epoch', must have settings of training"),
        ({"before": {"epochs": 0}}, "before: epochs is 0, must be at least 1"),
        ({"precision": "float16"}, "precision is 'float16', must be float32 or bfloat16"),
        ({"model": "rsnn"}, "readout is 'sum_current', of model rsnn it must be count"),
        ({"dropout": 0.5}, "dropout is 0.5, of model ms_resnet it must be 0"),
        ({"dropout": -0.5}, "dropout is -0.5, must be at least 0"),
        ({"truncate": 2}, "truncate is 2, of model ms_resnet it must be 0"),
        ({"truncate": -1}, "truncate is -1, must be at least 0"),
    ],
    ids=str,
)
def test_bad_settings_are_refused(changes: dict, message: str) -> None:
    with pytest.raises(TrainError, match=message):
        replace(SMALL, **changes)


def test_images_are_needed(data: Dataset) -> None:
    with pytest.raises(TrainError, match="model is ms_resnet, but the samples of bars are no ima"):
        build_model(SMALL, replace(data, image=None))
