"""Pooling and subsampling on the stream, against numpy."""

from __future__ import annotations

import numpy as np
import pytest
from amaranth.hdl import signed
from reslif.hw.folds import FoldingError
from reslif.hw.pool import Pool, Subsample, check_pool
from reslif.hw.streams import shape_of
from reslif.sw.formats import Format
from reslif.sw.network import Pool as PoolNode
from reslif.sw.values import Values
from streams_sim import beats_of, run, values_of

CASES = [
    ("sum", (4, 4, 4), (2, 2), (2, 2), 2, Format(1, 0, False)),
    ("max", (4, 4, 4), (2, 2), (2, 2), 4, Format(1, 0, False)),
    ("sum", (2, 5, 7), (2, 3), (2, 3), 1, Format(4)),
    ("max", (2, 5, 7), (2, 3), (2, 3), 2, Format(4)),
    ("sum", (3, 5, 5), (5, 5), (1, 1), 3, Format(4)),
    ("max", (3, 3, 3), (3, 3), (3, 3), 1, Format(3, 0, False)),
    ("sum", (1, 4, 6), (4, 1), (4, 1), 1, Format(4)),
    ("sum", (2, 1, 6), (1, 2), (1, 2), 2, Format(2, 0, False)),
    ("sum", (2, 3, 3), (1, 1), (1, 1), 1, Format(4)),
    ("max", (6, 7, 3), (3, 1), (3, 1), 2, Format(4)),
    ("sum", (1, 1, 1), (1, 1), (1, 1), 1, Format(4)),
]
STALLS = [(0.0, 0.0), (0.6, 0.0), (0.0, 0.6), (0.3, 0.3)]


def pool(case) -> tuple[PoolNode, Pool, np.ndarray]:
    """A node, its hardware, and samples ``[T, B, n]``: ends of the range among them."""
    op, shape, window, stride, lanes, form = case
    node = PoolNode("pool", op, shape, window, stride)
    check_pool(node)
    result = node.output({"input": [Values.full(form, node.inputs)]}).format
    dut = Pool(
        op, shape, window, node.out_shape[1:],
        lanes=lanes, value=shape_of(form), result=shape_of(result),
    )  # fmt: skip
    random = np.random.default_rng(3)
    data = random.integers(form.min, form.max + 1, (3, 3, node.inputs))
    data[:, 1] = form.min
    data[:, 2] = form.max
    return node, dut, data


def pooled(node: PoolNode, data: np.ndarray) -> np.ndarray:
    """By its definition, window by window."""
    channels, height, width = node.shape
    maps = data.reshape(*data.shape[:2], height, width, channels)
    (down, across), (_, rows, columns) = node.window, node.out_shape
    function = np.sum if node.op == "sum" else np.max
    result = np.stack(
        [
            function(
                maps[:, :, y * down : (y + 1) * down, x * across : (x + 1) * across], axis=(2, 3)
            )
            for y in range(rows)
            for x in range(columns)
        ],
        axis=2,
    )
    return result.reshape(*data.shape[:2], -1)


def ends(beats) -> list[tuple[int, int]]:
    return [(int(b.end_of_step), int(b.end_of_sample)) for _, b in beats]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_pool_equals_numpy(case):
    node, first, data = pool(case)
    want = pooled(node, data)
    assert np.array_equal(node.apply(data.reshape(-1, node.inputs)).reshape(want.shape), want)
    lanes = case[4]
    expected = beats_of(want, lanes)
    for seed, (idle, stall) in enumerate(STALLS):
        dut = pool(case)[1] if seed else first
        feed = {"input": beats_of(data, lanes)}
        got = run(dut, feed, "output", len(expected), idle=idle, stall=stall, seed=seed)
        assert np.array_equal(values_of(got, want.shape, lanes), want)
        assert ends(got) == [(b["end_of_step"], b["end_of_sample"]) for b in expected]


def test_pool_takes_a_beat_a_cycle():
    """Nothing but the last result of a cropped image waits; the first takes ``latency``."""
    node, dut, data = pool(CASES[0])
    beats = beats_of(data, 2)
    got = run(dut, {"input": beats}, "output", len(beats) // 4)
    # The first window is complete with the first word of pixel (1, 1).
    assert got[0][0] == 2 * (4 + 1) + dut.latency
    assert got[-1][0] == len(beats) - 1 + dut.latency
    assert node.size * 4 == node.inputs


@pytest.mark.parametrize(
    ("shape", "stride", "lanes"),
    [((4, 5, 5), (2, 2), 2), ((3, 4, 4), (2, 2), 3), ((2, 6, 5), (3, 2), 1), ((1, 2, 2), (2, 2), 1),
     ((2, 4, 4), (1, 2), 2), ((2, 4, 4), (4, 1), 1)],
    ids=str,
)  # fmt: skip
def test_subsample_keeps_the_first_pixel_of_each_stride(shape, stride, lanes):
    channels, height, width = shape
    data = np.random.default_rng(4).integers(-8, 8, (3, 2, height, width, channels))
    want = data[:, :, :: stride[0], :: stride[1]].reshape(3, 2, -1)
    data = data.reshape(3, 2, -1)
    expected = beats_of(want, lanes)
    for seed, (idle, stall) in enumerate(STALLS):
        dut = Subsample(shape, stride, lanes, signed(4))
        feed = {"input": beats_of(data, lanes)}
        got = run(dut, feed, "output", len(expected), idle=idle, stall=stall, seed=seed)
        assert np.array_equal(values_of(got, want.shape, lanes), want)
        assert ends(got) == [(b["end_of_step"], b["end_of_sample"]) for b in expected]


@pytest.mark.parametrize(
    ("window", "stride", "padding"),
    [((3, 3), (2, 2), (0, 0)), ((2, 2), (2, 2), (1, 1)), ((2, 2), (3, 3), (0, 0)),
     ((3, 3), (1, 1), (0, 0))],
)  # fmt: skip
def test_pools_that_hardware_does_not_have(window, stride, padding):
    message = r"^node 'p': window .*, must have a stride equal to the window and no padding$"
    with pytest.raises(FoldingError, match=message):
        check_pool(PoolNode("p", "sum", (2, 7, 7), window, stride, padding))
