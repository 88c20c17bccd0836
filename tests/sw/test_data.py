import subprocess
import sys

import numpy as np
import pytest
import torch
from reslif.sw.data import DataError, Dataset, Samples, load_dataset, shown
from sklearn.datasets import load_digits


def rows(samples: Samples) -> set[bytes]:
    return {
        row.tobytes() + label.tobytes()
        for row, label in zip(samples.inputs, samples.labels, strict=True)
    }


@pytest.fixture(scope="module", params=["stratified", "file_order"])
def digits(request) -> Dataset:
    return load_dataset("digits", request.param)


def test_the_parts_are_disjoint_and_complete(digits: Dataset) -> None:
    parts = (digits.train, digits.validation, digits.test)
    assert [len(part) for part in parts] == [1257, 180, 360]
    sets = [rows(part) for part in parts]
    # No two digits are alike, so any overlap would make the union smaller.
    assert len(set.union(*sets)) == 1797
    assert digits.inputs == 64
    assert digits.classes == 10


def test_inputs_are_integers_of_the_format(digits: Dataset) -> None:
    for part in (digits.train, digits.validation, digits.test):
        assert part.inputs.dtype == np.uint8
        assert part.over_time(2).dtype == np.int64
        assert digits.format.contains(part.inputs)
        assert part.inputs.max() == 16


def test_the_stratified_split_keeps_every_class_share() -> None:
    digits = load_dataset("digits")
    everything = np.bincount(load_digits().target)
    for part, share in ((digits.test, 360 / 1797), (digits.validation, 180 / 1797)):
        assert np.abs(np.bincount(part.labels) - everything * share).max() < 1.5


def test_the_file_order_split_tests_on_the_last_samples() -> None:
    digits = load_dataset("digits", "file_order")
    pixels, labels = load_digits(return_X_y=True)
    assert np.array_equal(digits.test.inputs, pixels[-360:])
    assert np.array_equal(digits.test.labels, labels[-360:])


def test_splits_are_reproducible_and_share_one_digest() -> None:
    first, again, other = (
        load_dataset("digits"), load_dataset("digits"), load_dataset("digits", seed=1),
    )  # fmt: skip
    assert np.array_equal(first.test.inputs, again.test.inputs)
    assert not np.array_equal(first.test.inputs, other.test.inputs)
    assert first.digest == other.digest == load_dataset("digits", "file_order").digest
    assert len(first.digest) == 64


def test_direct_encoding_repeats_the_sample() -> None:
    samples = Samples(np.array([[1, 2], [3, 4]]), np.array([0, 1]))
    assert samples.over_time(3).tolist() == [[[1, 2], [3, 4]]] * 3
    assert samples[1:].over_time(2).tolist() == [[[3, 4]]] * 2


def test_the_first_samples_of_each_split(digits: Dataset) -> None:
    few = digits.first(200)
    assert [len(part) for part in (few.train, few.validation, few.test)] == [200, 180, 200]
    assert (few.train.inputs == digits.train.inputs[:200]).all()
    assert few.digest == digits.digest


def test_unknown_names_are_refused() -> None:
    with pytest.raises(DataError, match="data set is 'mnist8', must be one of 'digits', 'digit_r"):
        load_dataset("mnist8")
    with pytest.raises(DataError, match="split is 'random', must be 'stratified' or 'file_order'"):
        load_dataset("digits", "random")  # pyright: ignore[reportArgumentType]


def test_data_and_contract_import_without_torch() -> None:
    modules = "data, evaluate, formats, golden, network, network_file, progress"
    code = f"import sys; from reslif.sw import {modules}; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_rows_come_one_after_the_other() -> None:
    whole, rows = load_dataset("digits"), load_dataset("digit_rows")
    assert (rows.inputs, rows.train.frames, rows.digest) == (8, 8, whole.digest)
    images = whole.test.inputs.reshape(-1, 8, 8)
    assert np.array_equal(rows.test.over_time(8), images.transpose(1, 0, 2))
    held = rows.test.over_time(16)
    assert np.array_equal(held[::2], held[1::2])
    assert np.array_equal(held[::2], rows.test.over_time(8))
    with pytest.raises(DataError, match="steps is 12, must be a multiple of the data's 8 frames"):
        rows.test.over_time(12)


def test_numpy_and_torch_show_the_same() -> None:
    inputs = np.arange(24).reshape(2, 12)
    for frames in (1, 3, 4):
        steps = 12
        expected = shown(inputs, steps, frames)
        assert expected.shape == (steps, 2, 12 // frames)
        assert np.array_equal(shown(torch.as_tensor(inputs), steps, frames).numpy(), expected)
