import numpy as np
import pytest
from reslif.sw.formats import SPIKE, Format, FormatError


@pytest.mark.parametrize(
    ("text", "low", "high", "step"),
    [("s4.0", -8, 7, 1.0), ("u5.4", 0, 31, 1 / 16), ("s1.-2", -1, 0, 4.0), ("u1.0", 0, 1, 1.0)],
)
def test_range_and_step_follow_from_the_text(text: str, low: int, high: int, step: float) -> None:
    form = Format.parse(text)
    assert (form.min, form.max, form.step, str(form)) == (low, high, step, text)


def test_for_range_is_the_narrowest() -> None:
    for low in range(-17, 18):
        for high in range(low, 18):
            form = Format.for_range(low, high)
            assert form.min <= low <= high <= form.max
            assert form.signed == (low < 0)
            if form.width > 1 + form.signed:
                narrower = Format(form.width - 1, signed=form.signed)
                assert not (narrower.min <= low and high <= narrower.max)


def test_saturate_counts_what_it_clips() -> None:
    clipped, count = Format(4).saturate(np.array([-9, -8, 0, 7, 8, 100]))
    assert clipped.tolist() == [-8, -8, 0, 7, 7, 7]
    assert count == 3


def test_contains() -> None:
    assert SPIKE.contains(np.array([0, 1]))
    assert SPIKE.contains(np.array([], int))
    assert not SPIKE.contains(np.array([0, 2]))
    assert not SPIKE.contains(np.array([-1]))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Format(0), "width is 0 bits, must be 1 to 62"),
        (lambda: Format(63), "width is 63 bits"),
        (lambda: Format(4, 70), "frac is 70"),
        (lambda: Format(4.0), "width is 4.0, must be an integer"),  # pyright: ignore[reportArgumentType]
        (lambda: Format(True), "width is True, must be an integer"),
        (lambda: Format.for_range(1, 0), r"range is \[1, 0\], must not be empty"),
        (lambda: Format.parse("s0.1"), "width is 0 bits"),
        (lambda: Format.parse("x4.1"), "'x4.1', must look like 's12.4'"),
        (lambda: Format.parse("s4"), "'s4', must look like"),
        (lambda: Format.parse(""), "must look like"),
    ],
)
def test_impossible_formats_are_refused(make, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        make()
