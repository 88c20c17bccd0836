"""Image sets from their files: small folders of the same form, read, and spoilt in every way."""

import gzip
import pickle
from pathlib import Path

import numpy as np
import pytest
from data_folders import cifar_pickle, idx_bytes, pictures, write_cifar, write_idx
from reslif.sw import cifar, image_sets
from reslif.sw.data import DataError, load_dataset
from reslif.sw.data_files import FOLDER_VARIABLE, Layout
from reslif.sw.idx import IDX_NAMES, read_idx
from reslif.sw.images import to_flat

GREY, COLOUR = (1, 5, 7), (3, 32, 32)
GREY_TRAIN, GREY_TEST = pictures(200, GREY), pictures(30, GREY, seed=1)
TRAIN, TEST = pictures(50, COLOUR), pictures(10, COLOUR, seed=1)


@pytest.fixture(autouse=True)
def _no_folders_of_the_user(monkeypatch):
    """What lies on this machine must not decide a test."""
    monkeypatch.delenv(FOLDER_VARIABLE, raising=False)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
def test_idx_folders(name: str, packed: bool, tmp_path: Path) -> None:
    data = load_dataset(name, folder=write_idx(tmp_path, GREY_TRAIN, GREY_TEST, packed))
    assert (data.inputs, data.image, data.classes, str(data.format)) == (35, GREY, 10, "u8.8")
    assert [len(part) for part in (data.train, data.validation, data.test)] == [180, 20, 30]
    for part in (data.train, data.validation, data.test):
        assert part.inputs.dtype == np.uint8
        assert part.inputs.flags.writeable  # PyTorch warns of others
    assert np.array_equal(data.test.inputs, GREY_TEST[0].reshape(30, -1))
    assert np.array_equal(data.test.labels, GREY_TEST[1])


@pytest.mark.parametrize("pickled", [False, True])
def test_cifar_folders(pickled: bool, tmp_path: Path) -> None:
    data = load_dataset("cifar10", folder=write_cifar(tmp_path, TRAIN, TEST, pickled))
    assert (data.inputs, data.image, data.classes, str(data.format)) == (3072, COLOUR, 10, "u8.8")
    assert [len(part) for part in (data.train, data.validation, data.test)] == [45, 5, 10]
    assert np.array_equal(data.test.inputs, to_flat(TEST[0]))
    assert np.array_equal(data.test.labels, TEST[1])
    # Red, green and blue of one pixel lie side by side.
    assert data.test.inputs[3, :3].tolist() == TEST[0][3, :, 0, 0].tolist()


def test_both_forms_of_cifar_have_one_digest(tmp_path: Path) -> None:
    first = load_dataset("cifar10", folder=write_cifar(tmp_path / "a", TRAIN, TEST))
    other = load_dataset("cifar10", folder=write_cifar(tmp_path / "b", TRAIN, TEST, pickled=True))
    changed = (TRAIN[0] ^ (np.arange(50) == 7)[:, None, None, None], TRAIN[1])
    spoilt = load_dataset("cifar10", folder=write_cifar(tmp_path / "c", changed, TEST))
    assert first.digest == other.digest != spoilt.digest


def test_validation_is_drawn_from_the_training_images(tmp_path: Path) -> None:
    folder = write_idx(tmp_path, GREY_TRAIN, GREY_TEST)
    first, other = (
        load_dataset("mnist", folder=folder),
        load_dataset("mnist", "stratified", 1, folder),
    )
    assert np.array_equal(first.test.inputs, other.test.inputs)
    assert not np.array_equal(first.validation.inputs, other.validation.inputs)
    assert first.digest == other.digest
    for data in (first, other):
        both = np.vstack([data.train.inputs, data.validation.inputs])
        assert sorted(map(bytes, both)) == sorted(map(bytes, GREY_TRAIN[0].reshape(200, -1)))
        assert np.bincount(data.validation.labels).tolist() == [2] * 10


def test_an_image_set_has_one_split() -> None:
    with pytest.raises(DataError, match="split is 'file_order', of mnist it must be 'stratified'"):
        load_dataset("mnist", "file_order")


PLACES = {
    "the folder": (".", None),
    "a folder named after the set": ("mnist", None),
    "torchvision's": ("MNIST/raw", None),
    "of the environment": ("mnist", FOLDER_VARIABLE),
}


@pytest.mark.parametrize("case", PLACES)
def test_where_files_are_looked_for(case: str, tmp_path: Path, monkeypatch) -> None:
    below, variable = PLACES[case]
    write_idx(tmp_path / below, GREY_TRAIN, GREY_TEST)
    if variable:
        monkeypatch.setenv(variable, str(tmp_path))
    folder = None if variable else tmp_path
    assert len(load_dataset("mnist", folder=folder).test) == 30


def test_debians_package_is_found_by_itself(tmp_path: Path, monkeypatch) -> None:
    (layout,) = image_sets.IMAGE_SETS["fashion-mnist"][1]
    assert str(layout.system) == "/usr/share/datasets/fashion-mnist"
    there = Layout(layout.names, layout.folders, layout.read, tmp_path)
    monkeypatch.setitem(image_sets.IMAGE_SETS, "fashion-mnist", ("", (there,)))
    write_idx(tmp_path, GREY_TRAIN, GREY_TEST, packed=True)
    assert len(load_dataset("fashion-mnist").test) == 30
    # A folder that the user names is the only one.
    with pytest.raises(DataError, match="is missing"):
        load_dataset("fashion-mnist", folder=tmp_path / "none")


def test_files_of_another_set_are_not_taken_from_the_environment(tmp_path, monkeypatch) -> None:
    """MNIST and Fashion-MNIST have the same file names."""
    write_idx(tmp_path, GREY_TRAIN, GREY_TEST)
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    with pytest.raises(DataError, match="data set 'mnist' is missing"):
        load_dataset("mnist")


@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_a_missing_set_says_what_where_and_how(name: str, tmp_path: Path, monkeypatch) -> None:
    for folder in (None, tmp_path):
        monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
        with pytest.raises(DataError) as caught:
            load_dataset(name, folder=folder)
        text = str(caught.value)
        assert "\n" not in text
        assert f"data set '{name}' is missing" in text
        assert str(tmp_path / name) in text
        assert "archive" in text or "the four IDX files" in text
        assert all(hint in text for hint in ("--data-dir", "[data] dir", FOLDER_VARIABLE))


def test_a_lone_file_is_not_a_set(tmp_path: Path) -> None:
    write_idx(tmp_path, GREY_TRAIN, GREY_TEST)
    (tmp_path / IDX_NAMES[3]).unlink()
    with pytest.raises(DataError, match="is missing"):
        load_dataset("mnist", folder=tmp_path)


GOOD = idx_bytes(GREY_TEST[0][:, 0])
IDX = {
    "foreign": (b"GIF89a" * 9, "no IDX file of unsigned bytes in 3 dimensions"),
    "empty": (b"", "no IDX file"),
    "labels": (idx_bytes(GREY_TEST[1]), "no IDX file"),
    "32 bits a value": (GOOD[:2] + b"\x0c" + GOOD[3:], "no IDX file"),
    "header only": (GOOD[:9], "no IDX file"),
    "truncated": (GOOD[:-1], r"holds 1049 values, its header says \[30, 5, 7\]"),
    "too long": (GOOD + b"\0", "holds 1051 values"),
    "no image": (idx_bytes(np.zeros((0, 5, 7), np.uint8)), r"says \[0, 5, 7\]"),
}


@pytest.mark.parametrize("case", IDX)
def test_bad_idx_files(case: str, tmp_path: Path) -> None:
    content, expected = IDX[case]
    path = tmp_path / "images"
    path.write_bytes(content)
    with pytest.raises(DataError, match=expected) as caught:
        read_idx(path, 3)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    "spoil", [lambda packed: packed[:-9], lambda _: b"plain"], ids=["cut", "no"]
)
def test_bad_gzip_files(spoil, tmp_path: Path) -> None:
    path = tmp_path / "images.gz"
    path.write_bytes(spoil(gzip.compress(GOOD)))
    with pytest.raises(DataError, match="cannot be read"):
        read_idx(path, 3)


def test_images_and_labels_must_belong_together(tmp_path: Path) -> None:
    images, labels = GREY_TEST
    for spoilt, expected in (
        ((images, labels[:-1]), "has 30 test images, but 29 labels"),
        ((images[..., :-1], labels), "training and test images of different sizes"),
        ((images, labels + 1), "has label 10, must be 0 to 9"),
    ):
        with pytest.raises(DataError, match=expected):
            load_dataset("mnist", folder=write_idx(tmp_path, GREY_TRAIN, spoilt))


def batch(tmp_path: Path, content: bytes, pickled: bool = True) -> Path:
    """A folder of CIFAR-10 whose fourth file has ``content``; the path of that file."""
    write_cifar(tmp_path, TRAIN, TEST, pickled)
    path = tmp_path / ("data_batch_4" if pickled else "data_batch_4.bin")
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("content", [b"", b"x" * 3072, b"x" * 3074], ids=["none", "less", "more"])
def test_bad_binary_batches(content: bytes, tmp_path: Path) -> None:
    path = batch(tmp_path, content, pickled=False)
    with pytest.raises(
        DataError, match=f"has {len(content)} bytes, must be records of 3073"
    ) as caught:
        load_dataset("cifar10", folder=tmp_path)
    assert str(path) in str(caught.value)


class Evil:
    def __reduce__(self):
        return Path.touch, (Path("touched"),)


PIXELS, LABELS = TEST[0].reshape(10, -1), TEST[1]
PICKLED = cifar_pickle(PIXELS, LABELS)
PICKLES = {
    "empty": b"",
    "foreign": b"GIF89a" * 200,
    "truncated": PICKLED[:-40],
    "cut inside the data": PICKLED[: len(PICKLED) // 2],
    "code": pickle.dumps(Evil(), protocol=2),
    "code in the dictionary": pickle.dumps({"data": Evil(), "labels": [1]}, protocol=2),
    "another array type": PICKLED.replace(b"U\x02u1", b"U\x02u2"),
    "columns first": PICKLED.replace(b"\x89T", b"\x88T"),
    "another shape": PICKLED.replace(b"K\nM\x00\x0c", b"K\x05M\x00\x0c"),
    "other images": cifar_pickle(PIXELS[:, :-1], LABELS),
    "another name": PICKLED.replace(b"cnumpy\ndtype\n", b"cnumpy\nload\n"),
    "system": b"\x80\x02cos\nsystem\nU\x04true\x85R.",
    "a list": pickle.dumps([1, 2], protocol=2),
    "labels missing": cifar_pickle(PIXELS, LABELS[:-1]),
    "no labels": PICKLED.replace(b"labels", b"lables"),
    "no data": PICKLED.replace(b"U\x04data", b"U\x04date"),
    "a stack too small": b"\x80\x02\x86.",
    "no mark": b"\x80\x02t.",
    "unknown memo": b"\x80\x02h\x07.",
    "extended": b"\x80\x02\x82\x01.",
    "newer": pickle.dumps({b"data": b"12", b"labels": [1]}, protocol=4),
    "called on a number": b"\x80\x02K\x01K\x02R.",
}  # fmt: skip


@pytest.mark.parametrize("case", PICKLES)
def test_bad_pickles_are_refused_and_never_run(case: str, tmp_path: Path, monkeypatch) -> None:
    assert PICKLES[case] != PICKLED
    path = batch(tmp_path, PICKLES[case])
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError) as caught:
        load_dataset("cifar10", folder=tmp_path)
    text = str(caught.value)
    assert str(path) in text
    assert "CIFAR-10" in text
    assert "\n" not in text
    assert not Path("touched").exists()


def test_nothing_here_can_run_a_pickle() -> None:
    source = Path(cifar.__file__).parent
    for path in source.rglob("*.py"):
        text = path.read_text()
        assert "import pickle\n" not in text, path
        assert "allow_pickle=True" not in text, path
        assert "torch.load" not in text, path
