"""Clips of digits that move: made in integers alone, the same on every machine.

A digit, each of its pixels ``scale`` × ``scale`` pixels, moves at a constant velocity over a black
square frame and bounces off its borders without loss. All that is random comes from
:func:`random_words`, which a few lines repeat in any language.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

from .data_files import Bytes, DataError
from .formats import Format, IntArray

VERSION = 1
"""Of what is made from given settings; goes into the name of its file."""

PLACES = 1024
"""The pixels of which ``noise`` says how many."""

Words = npt.NDArray[np.uint64]

_LEAST = {
    "frame": 1, "frames": 1, "scale": 1, "speed": 1, "noise": 0, "event_threshold": 1,
    "train": 1, "validation": 1, "test": 1,
}  # fmt: skip
_MOST = {
    "frame": 1024, "frames": 4096, "scale": 1024, "speed": 1024, "noise": PLACES,
    "event_threshold": 16, "train": 10**7, "validation": 10**7, "test": 10**7,
}  # fmt: skip
_MOTION, _PARTNER, _NOISE = range(3)
"""What random words are for."""


@dataclass(frozen=True)
class MovingDigits:
    """What clips are made.

    Attributes:
        source: the set whose images move, ``"digits"`` (8×8) or a grey image set.
        frame: height and width of a frame in pixels.
        frames: how many a clip has.
        digits: 1, or 2 of the same class, of different writing and each on its own way; where they
            meet, the lighter pixel is seen.
        scale: a pixel of the source becomes ``scale`` × ``scale`` pixels.
        speed: pixels that a digit moves in a frame at most, along each axis; every velocity but
            standstill is equally likely.
        noise: of 1024 pixels so many on average have a random grey instead, other ones each frame.
        events: not greys but what an event camera would see: channel ON is 1 where a pixel became
            lighter since the frame before, channel OFF where darker.
        event_threshold: by how many sixteenths of white, at least.
        train, validation, test: clips of each; clip k shows image k of that part's images, which
            start over when they are used up.
    """

    source: str = "digits"
    frame: int = 32
    frames: int = 20
    digits: int = 1
    scale: int = 2
    speed: int = 2
    noise: int = 0
    events: bool = False
    event_threshold: int = 4
    train: int = 10000
    validation: int = 1000
    test: int = 1000

    def __post_init__(self) -> None:
        for name, low in _LEAST.items():
            value, high = getattr(self, name), _MOST.get(name)
            if value < low or (high is not None and value > high):
                limits = f"at least {low}" if high is None else f"{low} to {high}"
                raise DataError(f"moving digits: {name} is {value}, must be {limits}")
        if self.digits not in (1, 2):
            raise DataError(f"moving digits: digits is {self.digits}, must be 1 or 2")

    @property
    def parts(self) -> dict[str, int]:
        """Clips by part, in the order of the file."""
        return {"train": self.train, "validation": self.validation, "test": self.test}

    @property
    def channels(self) -> int:
        return 2 if self.events else 1

    @property
    def values(self) -> int:
        """Of a clip: frame after frame, pixel after pixel, the channels of one side by side."""
        return self.frames * self.frame**2 * self.channels

    def format(self, source: Format) -> Format:
        """Of the clips' values, where the images' are of ``source``."""
        return Format(1, 0, signed=False) if self.events else source

    def digest(self, source: str, split: str, seed: int) -> str:
        """SHA-256 of all that the clips depend on; ``source`` is the images' own digest."""
        content = {**asdict(self), "of": source, "split": split, "seed": seed, "version": VERSION}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, eq=False)
class Images:
    """What moves: grey images ``[N, height, width]``, their classes, and the value of white."""

    pixels: Bytes
    labels: IntArray
    white: int


@dataclass(frozen=True, eq=False)
class Paths:
    """Which image each digit of a clip is, ``image`` ``[digits, N]``, and where its upper left
    corner is, ``row`` and ``column`` ``[digits, N, frames]`` (with events one frame more, before
    the first).
    """

    image: IntArray
    row: IntArray
    column: IntArray


def random_words(seed: int, *places: IntArray | int) -> Words:
    """64 random bits for each place: SplitMix64's mixing function, once for each coordinate.

    Sums and products are modulo 2^64. The arrays of ``places`` broadcast.
    """
    word = np.full(1, seed, np.uint64)
    for place in places:
        word = _mixed((word ^ np.asarray(place, np.int64).astype(np.uint64)) + _GOLDEN)
    return word


_GOLDEN = np.full(1, 0x9E3779B97F4A7C15, np.uint64)  # an array, because numpy's scalars warn


def _mixed(word: Words) -> Words:
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        word = (word ^ (word >> np.uint64(shift))) * np.uint64(factor)
    return word ^ (word >> np.uint64(31))


def below(words: Words, limit: int | IntArray) -> IntArray:
    """Integers 0 to ``limit`` − 1 (at most 2^31) from the upper halves of ``words``."""
    high = words >> np.uint64(32)
    return ((high * np.asarray(limit).astype(np.uint64)) >> np.uint64(32)).astype(np.int64)


def bounced(place: IntArray, way: int) -> IntArray:
    """Where something is that would be at ``place`` if it did not bounce at 0 and ``way``."""
    if way == 0:
        return np.zeros_like(place)
    turn = place % (2 * way)
    return np.minimum(turn, 2 * way - turn)


def paths(settings: MovingDigits, images: Images, part: int, seed: int) -> Paths:
    """The ways of all clips of a part (0 training, 1 validation, 2 test), whose are ``images``."""
    way = settings.frame - max(images.pixels.shape[1:]) * settings.scale
    if way < 0:
        raise DataError(
            f"moving digits: frame is {settings.frame}, must be at least {settings.frame - way}: "
            f"the digits are so large at scale {settings.scale}"
        )
    clips = np.arange(tuple(settings.parts.values())[part])
    image = [clips % len(images.labels)]
    if settings.digits == 2:
        words = random_words(seed, part, _PARTNER, clips)
        image.append(_partners(images.labels, image[0], words))
    digit = np.arange(settings.digits)[:, None]
    row, column, motion = (
        random_words(seed, part, _MOTION, clips, digit, what) for what in range(3)
    )
    across = 2 * settings.speed + 1
    still = across**2 // 2
    velocity = below(motion, across**2 - 1)
    velocity += velocity >= still
    steps = np.arange(settings.frames + settings.events)

    def moving(start: Words, by: IntArray) -> IntArray:
        straight = below(start, way + 1)[..., None] + (by - settings.speed)[..., None] * steps
        return bounced(straight, way)

    return Paths(
        np.stack(image), moving(row, velocity // across), moving(column, velocity % across)
    )


def _partners(labels: IntArray, first: IntArray, words: Words) -> IntArray:
    """For each image another one of its class."""
    partners = np.empty_like(first)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        if len(members) < 2:
            raise DataError(
                f"moving digits: class {label} has a single image, digits = 2 needs at least 2"
            )
        of = labels[first] == label
        own = np.searchsorted(members, first[of])
        away = 1 + below(words[of], len(members) - 1)
        partners[of] = members[(own + away) % len(members)]
    return partners


def clips(settings: MovingDigits, images: Images, part: int, seed: int) -> Iterator[Bytes]:
    """The clips of a part one after the other, each ``settings.values`` raw integers."""
    found = paths(settings, images, part, seed)
    large = np.repeat(np.repeat(images.pixels, settings.scale, 1), settings.scale, 2)
    height, width = large.shape[1:]
    digits, count, frames = found.row.shape
    for k in range(count):
        clip = np.zeros((frames, settings.frame, settings.frame), np.uint8)
        for d in range(digits):
            digit = large[found.image[d, k]]
            for frame, y, x in zip(clip, found.row[d, k], found.column[d, k], strict=True):
                under = frame[y : y + height, x : x + width]
                np.maximum(under, digit, out=under)
        if settings.noise:
            words = random_words(seed, part, _NOISE, k, np.arange(clip.size)).reshape(clip.shape)
            struck = (words & np.uint64(PLACES - 1)).astype(np.int64) < settings.noise
            clip = np.where(struck, below(words, images.white + 1), clip).astype(np.uint8)
        yield (_events(settings, clip, images.white) if settings.events else clip).reshape(-1)


def _events(settings: MovingDigits, clip: Bytes, white: int) -> Bytes:
    """``[frames, height, width, 2]``: ON and OFF of each frame against the one before."""
    rise = 16 * np.diff(clip.astype(np.int32), axis=0)
    least = settings.event_threshold * white
    return np.stack([rise >= least, rise <= -least], axis=-1).astype(np.uint8)
