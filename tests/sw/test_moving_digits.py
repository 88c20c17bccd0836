"""Moving digits: the same clips everywhere, digits that were not seen, files that are whole."""

import hashlib
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from data_folders import pictures, write_idx
from reslif.sw import clip_file
from reslif.sw.clip_file import cache_folder
from reslif.sw.data import DataError, Dataset, Samples, load_dataset
from reslif.sw.flow import Run
from reslif.sw.moving_digits import (
    Images,
    MovingDigits,
    below,
    bounced,
    clips,
    paths,
    random_words,
)
from reslif.sw.recipe import RecipeError, load_recipe
from safetensors import safe_open

FEW = MovingDigits(train=40, validation=12, test=20)


def load(settings: MovingDigits, folder: Path, seed: int = 0) -> Dataset:
    return load_dataset("moving_digits", "stratified", seed, None, settings, folder)


def images_of_the_test() -> Images:
    samples = load_dataset("digits").test
    return Images(samples.inputs.reshape(-1, 8, 8).astype(np.uint8), samples.labels, 16)


def frames_of(samples: Samples, size: int = 32, channels: int = 1) -> np.ndarray:
    shown = samples.over_time(samples.frames).swapaxes(0, 1)
    return shown.reshape(len(samples), samples.frames, size, size, channels)


def test_random_words_are_those_of_the_published_mixing_function() -> None:
    """By Python's own integers; the second step is SplitMix64's first number for seed 0."""

    def mixed(word: int) -> int:
        mask = (1 << 64) - 1
        word = ((word ^ (word >> 30)) * 0xBF58476D1CE4E5B9) & mask
        word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) & mask
        return word ^ (word >> 31)

    golden = 0x9E3779B97F4A7C15
    assert mixed(golden) == 0xE220A8397B1DCDAF
    expected = [mixed(((mixed((5 ^ 7) + golden) ^ place) + golden) % (1 << 64)) for place in (0, 3)]
    assert random_words(5, 7, np.array([0, 3])).tolist() == expected
    assert random_words(0, 0).tolist() == [0xE220A8397B1DCDAF]


def test_random_integers_are_spread_evenly() -> None:
    drawn = below(random_words(1, np.arange(70000)), 7)
    assert np.abs(np.bincount(drawn) / 10000 - 1).max() < 0.05


@pytest.mark.parametrize("way", [0, 1, 5, 16])
def test_a_bounce_is_a_turn_at_the_border(way: int) -> None:
    for speed in (-7, -1, 0, 2):
        place, direction, walked = 0, 1 if speed >= 0 else -1, [0]
        for _ in range(40):
            for _ in range(abs(speed)):
                if way and not 0 <= place + direction <= way:
                    direction = -direction
                place += direction if way else 0
            walked.append(place)
        assert bounced(speed * np.arange(41), way).tolist() == walked


def test_the_clips_are_the_same_on_every_machine(tmp_path: Path) -> None:
    """And other ones for every other setting."""
    changes: list[dict] = [
        {}, {"digits": 2}, {"noise": 20}, {"events": True}, {"speed": 3}, {"scale": 3},
        {"frame": 24}, {"frames": 4}, {"digits": 2, "noise": 20, "events": True},
    ]  # fmt: skip
    digests = [load(replace(FEW, **change), tmp_path).digest for change in changes]
    digests.append(load(FEW, tmp_path, seed=1).digest)
    assert len(set(digests)) == len(digests) == len(list(tmp_path.iterdir()))
    assert (digests[0], digests[8]) == PINNED


PINNED = (
    "a1a2457f9896df0754e2560f22c98c5346d702b7126a711b44288d57285d00fb",
    "f77f20f6cad9ed427c70c1f7ac56e936dc6a98c293a8e91b36eec9457113208c",
)


def test_a_clip_is_its_digit_on_its_way(tmp_path: Path) -> None:
    images, data = images_of_the_test(), load(FEW, tmp_path)
    found = paths(FEW, images, 2, 0)
    assert len(np.unique(found.row)) == len(np.unique(found.column)) == 17
    turns = 0
    for k, clip in enumerate(frames_of(data.test)[..., 0]):
        large = np.kron(images.pixels[k], np.ones((2, 2), int))
        for frame, y, x in zip(clip, found.row[0, k], found.column[0, k], strict=True):
            assert np.array_equal(frame[y : y + 16, x : x + 16], large)
            assert frame.sum() == large.sum()
        for way in (found.row[0, k], found.column[0, k]):
            steps = np.diff(way)
            assert np.abs(steps).max() <= FEW.speed
            turns += int(np.count_nonzero(steps[1:] * steps[:-1] < 0))
        assert (np.diff(found.row[0, k]) != 0).any() or (np.diff(found.column[0, k]) != 0).any()
    assert turns > 10
    assert data.test.labels.tolist() == images.labels[:20].tolist()


def test_no_digit_of_a_test_clip_is_seen_elsewhere(tmp_path: Path) -> None:
    """A frame away from any border holds the whole digit: its greys tell which it is."""

    def digits(part: Samples) -> set[bytes]:
        found = set()
        for clip in frames_of(part)[..., 0]:
            rows, columns = (np.flatnonzero(clip[0].any(axis)) for axis in (1, 0))
            found.add(clip[0, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].tobytes())
        return found

    data = load(replace(FEW, train=1257, validation=180, test=360, frames=1), tmp_path)
    seen = digits(data.train) | digits(data.validation)
    assert not digits(data.test) & seen
    assert len(digits(data.test)) == 360
    assert digits(data.train[:5]) & seen  # what the check would find


def test_two_digits_are_two_of_one_class() -> None:
    images, settings = images_of_the_test(), replace(FEW, digits=2, test=400)
    found = paths(settings, images, 2, 0)
    labels = images.labels[found.image]
    assert (labels[0] == labels[1]).all()
    assert (found.image[0] != found.image[1]).all()
    assert (found.row[0] != found.row[1]).any(1).mean() > 0.9
    clip = next(clips(settings, images, 2, 0)).reshape(20, 32, 32)
    large = [np.kron(images.pixels[i], np.ones((2, 2), int)) for i in found.image[:, 0]]
    sheets = np.zeros((2, 20, 32, 32), int)
    for sheet, digit, rows, columns in zip(
        sheets, large, found.row[:, 0], found.column[:, 0], strict=True
    ):
        for frame, y, x in zip(sheet, rows, columns, strict=True):
            frame[y : y + 16, x : x + 16] = digit
    assert np.array_equal(clip, sheets.max(0))


def test_noise_strikes_so_many_pixels(tmp_path: Path) -> None:
    still, noisy = load(FEW, tmp_path), load(replace(FEW, noise=64), tmp_path)
    struck = (frames_of(still.train) != frames_of(noisy.train)).mean()
    assert struck == pytest.approx(64 / 1024 * 0.95, rel=0.05)  # some by the grey that was there
    assert noisy.train.inputs.max() == 16
    changing = (np.diff(frames_of(noisy.train), axis=1) != 0).mean((0, 1))
    assert changing.min() > 0.02  # everywhere, anew in each frame


def test_events_are_what_changed() -> None:
    images = images_of_the_test()
    settings = replace(FEW, events=True)
    longer = replace(FEW, frames=21)  # the ways of both begin with the frame before the first
    for events, clip, _ in zip(
        clips(settings, images, 2, 0), clips(longer, images, 2, 0), range(20), strict=False
    ):
        on, off = np.moveaxis(events.reshape(20, 32, 32, 2).astype(int), -1, 0)
        rise = np.diff(clip.reshape(21, 32, 32).astype(int), axis=0)
        assert np.array_equal(on, rise >= 4)
        assert np.array_equal(off, rise <= -4)
        assert not (on & off).any()
        assert min(on.sum(), off.sum()) > 100


def test_events_are_single_bits_of_two_channels(tmp_path: Path) -> None:
    data = load(replace(FEW, events=True), tmp_path)
    assert (str(data.format), data.image, data.inputs) == ("u1.0", (2, 32, 32), 2048)
    assert data.format.contains(data.train.inputs)


def test_an_idx_folder_moves_too(tmp_path: Path) -> None:
    folder = write_idx(tmp_path / "idx", pictures(60, (1, 12, 12)), pictures(20, (1, 12, 12), 1))
    settings = replace(FEW, source="mnist", noise=10)
    data = load_dataset("moving_digits", folder=folder, moving=settings, cache=tmp_path)
    assert (str(data.format), data.inputs, data.classes) == ("u8.8", 1024, 10)
    assert data.train.inputs.max() > 200
    assert [len(part) for part in (data.train, data.validation, data.test)] == [40, 12, 20]


def test_a_clip_shows_a_frame_in_each_step(tmp_path: Path) -> None:
    data = load(FEW, tmp_path)
    assert (data.inputs, data.train.frames, data.image) == (1024, 20, (1, 32, 32))
    shown = data.train[:3].over_time(20)
    assert shown.shape == (20, 3, 1024)
    assert (np.diff(shown, axis=0) != 0).any((0, 2)).all()
    with pytest.raises(DataError, match="steps is 8, must be a multiple of the data's 20 frames"):
        data.train.over_time(8)


def test_the_file_is_made_once_and_read_by_anyone(tmp_path: Path, monkeypatch) -> None:
    first = load(FEW, tmp_path)
    (path,) = tmp_path.iterdir()
    with safe_open(path, framework="numpy") as file:
        assert np.array_equal(file.get_tensor("test.clips"), first.test.inputs)
        assert np.array_equal(file.get_tensor("train.labels"), first.train.labels)
        assert file.metadata()["reslif_samples"] == first.digest
    monkeypatch.setattr(clip_file, "clips", None)  # making anything now would fail
    assert np.array_equal(load(FEW, tmp_path).train.inputs, first.train.inputs)


def test_the_digest_is_that_of_every_sample(tmp_path: Path) -> None:
    data = load(FEW, tmp_path)
    parts = (data.train, data.validation, data.test)
    content = b"".join(part.inputs.astype("<i8").tobytes() for part in parts)
    content += b"".join(part.labels.astype("<i8").tobytes() for part in parts)
    assert data.digest == hashlib.sha256(content).hexdigest()


def test_clips_are_never_in_memory_as_a_whole(tmp_path: Path) -> None:
    settings = replace(FEW, train=1500)
    size = sum(settings.parts.values()) * settings.values
    load(settings, tmp_path)
    tracemalloc.start()
    try:
        data = load(settings, tmp_path)
        data.train[100:200].over_time(20)
        assert tracemalloc.get_traced_memory()[1] < size  # those 100 in 64 bits are half of it
    finally:
        tracemalloc.stop()
    data.train.inputs[:4] = 0  # a private copy, not the file
    assert load(settings, tmp_path).train.inputs[:4].any()


def test_an_interrupted_file_is_not_left_behind(tmp_path: Path, monkeypatch) -> None:
    def broken(*arguments):
        yield from list(clips(*arguments))[:3]
        raise KeyboardInterrupt

    monkeypatch.setattr(clip_file, "clips", broken)
    with pytest.raises(KeyboardInterrupt):
        load(FEW, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    load(FEW, tmp_path)
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    spoilt = whole.replace(b'"U8"', b'"I8"', 1)
    for content in (whole[:-1], whole[:40], b"", spoilt, b"\xff" * 200):
        path.write_bytes(content)
        with pytest.raises(DataError, match="does not hold the clips that it is named after"):
            load(FEW, tmp_path)


def test_where_clips_are_kept(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.delenv("RESLIF_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder(None) == tmp_path / "reslif" / "clips"
    monkeypatch.setenv("RESLIF_CACHE", str(tmp_path / "own"))
    assert cache_folder(None) == tmp_path / "own" / "clips"
    assert cache_folder(tmp_path) == tmp_path
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"cannot be written to .*; name another folder with"):
        load(FEW, tmp_path / "file")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"frame": 0}, "frame is 0, must be 1 to 1024"),
        ({"frames": 0}, "frames is 0, must be 1 to 4096"),
        ({"digits": 3}, "digits is 3, must be 1 or 2"),
        ({"speed": 0}, "speed is 0, must be 1 to 1024"),
        ({"noise": 1025}, "noise is 1025, must be 0 to 1024"),
        ({"test": 0}, "test is 0, must be 1 to 10000000"),
        ({"frame": 15}, "frame is 15, must be at least 16: the digits are so large at scale 2"),
        ({"source": "cifar10"}, "source is 'cifar10', must be one of 'digits', 'fashion-mnist', "),
    ],
)
def test_settings_that_cannot_be_are_one_line(changes: dict, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"^moving digits: {message}"):
        load(replace(FEW, **changes), tmp_path)


def test_a_recipe_says_what_moves(tmp_path: Path) -> None:
    path = tmp_path / "clips.toml"
    text = f"""
        [data]
        set = "moving_digits"
        cache = "{tmp_path / "cache"}"
        [data.moving]
        frame = 20
        train = 40
        validation = 12
        test = 20
    """
    path.write_text(text)
    data = Run(load_recipe(path), tmp_path, print).data()
    assert (data.image, len(data.test)) == ((1, 20, 20), 20)
    assert len(list((tmp_path / "cache").iterdir())) == 1
    for change, message in (
        ("frame = 20.5", "frame is 20.5, must be int such as 32"),
        ("size = 20", "unknown key 'size', must be one of digits, event_threshold, events, frame"),
    ):
        path.write_text(text.replace("frame = 20", change))
        with pytest.raises(RecipeError, match=rf"\[data.moving\]: {message}"):
            Run(load_recipe(path), tmp_path, print).data()
    path.write_text(text.replace("moving_digits", "digits"))
    with pytest.raises(RecipeError, match="has moving, with set 'digits' it must have none"):
        load_recipe(path)


def test_a_class_of_one_image_has_no_partner() -> None:
    images = Images(np.ones((3, 8, 8), np.uint8), np.array([0, 1, 1]), 16)
    with pytest.raises(DataError, match="class 0 has a single image, digits = 2 needs at least 2"):
        paths(replace(FEW, digits=2), images, 0, 0)
