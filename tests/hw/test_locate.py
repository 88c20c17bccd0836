import numpy as np
import pytest
from amaranth.hdl import Shape, signed
from reslif.hw.locate import Locate, reciprocal
from streams_sim import run

SHAPES = [(1, 1, 1), (1, 4, 4), (3, 5, 7), (16, 2, 3), (5, 1, 6), (7, 6, 1), (3, 32, 32)]


def test_reciprocals_divide_exactly():
    for divisor in range(1, 80):
        for below in (1, 2, 5, 63, 64, 65, 1000, 12_544):
            multiplier, shift = reciprocal(divisor, below)
            numbers = np.arange(below)
            np.testing.assert_array_equal(numbers * multiplier >> shift, numbers // divisor)


def test_a_smaller_reciprocal_is_inexact():
    """The search stops no earlier than it must, and its check can fail."""
    _, shift = reciprocal(28, 784)
    assert shift > 5
    for less in range(shift):
        numbers = np.arange(784)
        assert (numbers * -(-(1 << less) // 28) >> less != numbers // 28).any()


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: "x".join(map(str, shape)))
@pytest.mark.parametrize("stall", [0.0, 0.5])
def test_every_event_is_located_in_any_order(shape, stall):
    channels, height, width = shape
    rng = np.random.default_rng(0)
    indices = rng.permutation(channels * height * width)[:400]
    values = rng.integers(-8, 8, len(indices))
    events = [
        {"index": int(i), "value": int(v), "end_of_step": 0, "end_of_sample": 0}
        for i, v in zip(indices, values, strict=True)
    ]
    end = {"index": 0, "value": 0, "end_of_step": 1, "end_of_sample": 1}
    got = run(
        Locate(shape, signed(4)),
        {"input": [*events, end]},
        "output",
        len(events) + 1,
        idle=stall,
        stall=stall,
    )
    places = [place for _, place in got]
    assert [int(p.end_of_step) for p in places] == [0] * len(events) + [1]
    assert [int(p.end_of_sample) for p in places] == [0] * len(events) + [1]
    assert [int(p.value) for p in places[:-1]] == values.tolist()
    found = [(int(p.y) * width + int(p.x)) * channels + int(p.channel) for p in places[:-1]]
    assert found == indices.tolist()
    assert all(int(p.x) < width and int(p.channel) < channels for p in places)
    if not stall:
        assert [cycle for cycle, _ in got] == [Locate.latency + i for i in range(len(got))]


def test_a_stalled_event_waits_with_its_place():
    """Values of other events do not overtake it."""
    event = {"index": 5, "value": 1, "end_of_step": 0, "end_of_sample": 0}
    other = {**event, "index": 0}
    got = run(Locate((1, 2, 3), Shape(1)), {"input": [event, other] * 20}, "output", 40, stall=0.9)
    assert [(int(p.y), int(p.x)) for _, p in got] == [(1, 2), (0, 0)] * 20
