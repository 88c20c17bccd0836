"""The words that a host sends, decoded into events."""

from __future__ import annotations

import numpy as np
import pytest
from reslif.hw.emit import to_verilog
from reslif.hw.folding import Folding
from reslif.hw.words import WordDecoder, check_input, score_shape, values_per_word
from reslif.sim.encoding import encode
from reslif.sw.formats import SPIKE, Format
from reslif.sw.network import Dense, Input, NetworkError, Readout
from small_networks import network
from streams_sim import events_of, run

STEP, SAMPLE = 1 << 31, 1 << 30
END, LAST = (0, 0, 1, 0), (0, 0, 1, 1)


def word(index: int, value: int = 1) -> int:
    return (value & 0x3FFF) << 16 | index


def decode(size, form, words, count, *, packed=False, stall=0.0):
    """The first ``count`` events that ``words`` (of data and last) become."""
    payloads = [{"data": data, "last": last} for data, last in words]
    got = run(
        WordDecoder(size, form),
        {"words": payloads},
        "events",
        count,
        idle=stall,
        stall=stall,
        settings={"packed": int(packed)},
    )
    return [
        (0, 0, int(e.end_of_step), int(e.end_of_sample))
        if e.end_of_step
        else (int(e.index), int(e.value), 0, int(e.end_of_sample))
        for _, e in got
    ]


def test_events_and_markers():
    words = [(word(3), 0), (word(0), 0), (STEP, 0), (STEP, 0), (word(4), 0), (STEP | SAMPLE, 0)]
    want = [(3, 1, 0, 0), (0, 1, 0, 0), END, END, (4, 1, 0, 0), LAST]
    assert decode(5, SPIKE, words, 6) == want


@pytest.mark.parametrize("stall", [0.0, 0.5])
def test_last_means_what_bit_30_means(stall):
    words = [(word(1), 0), (STEP, 1), (STEP | SAMPLE, 0), (STEP | SAMPLE, 1), (word(2), 0)]
    want = [(1, 1, 0, 0), LAST, LAST, LAST, (2, 1, 0, 0)]
    assert decode(5, SPIKE, words, 5, stall=stall) == want


@pytest.mark.parametrize("stall", [0.0, 0.5])
def test_last_on_an_event_ends_its_step_and_sample(stall):
    words = [(word(1), 0), (word(2), 1), (word(3), 1), (word(4), 0), (STEP, 0)]
    want = [(1, 1, 0, 0), (2, 1, 0, 0), LAST, (3, 1, 0, 0), LAST, (4, 1, 0, 0), END]
    assert decode(5, SPIKE, words, 7, stall=stall) == want


@pytest.mark.parametrize("stall", [0.0, 0.5])
def test_last_on_a_dropped_event_still_ends_the_sample(stall):
    words = [(word(1), 0), (word(9), 1), (word(2, 0), 1), (STEP | SAMPLE, 0)]
    got = decode(5, Format(2, 0, False), words, 4, stall=stall)
    assert got == [(1, 1, 0, 0), LAST, LAST, LAST]


def test_bit_30_alone_means_nothing():
    assert decode(5, SPIKE, [(word(1) | SAMPLE, 0), (STEP, 0)], 2) == [(1, 1, 0, 0), END]


def test_a_marker_carries_no_event():
    assert decode(5, SPIKE, [(STEP | word(3), 0), (word(1), 0)], 2) == [END, (1, 1, 0, 0)]


@pytest.mark.parametrize(("size", "bad"), [(5, [5, 7, 8, 65535]), (8, [8, 16, 1 << 15]), (1, [1])])
def test_an_index_that_does_not_exist_is_dropped(size, bad):
    words = [(word(index), 0) for index in [*bad, size - 1, *bad]] + [(STEP, 0)]
    assert decode(size, SPIKE, words, 2) == [(size - 1, 1, 0, 0), END]


def test_the_largest_index():
    assert decode(1 << 16, SPIKE, [(word(65535), 0)], 1) == [(65535, 1, 0, 0)]


def test_zero_is_no_event_and_a_spike_needs_no_value():
    words = [(word(1, 0), 0), (word(2, 5), 0), (STEP, 0)]
    assert decode(5, Format(4, 0, False), words, 2) == [(2, 5, 0, 0), END]
    assert decode(5, SPIKE, words, 3) == [(1, 1, 0, 0), (2, 1, 0, 0), END]


def test_signed_values():
    """The bits above the format's width are not looked at."""
    values = [-8, -1, 7, 3]
    words = [(word(i, value), 0) for i, value in enumerate(values)]
    words += [(word(4, 0b110000), 0), (STEP, 0)]
    want = [(i, value, 0, 0) for i, value in enumerate(values)] + [END]
    assert decode(5, Format(4, 1), words, 5) == want


FORMATS = [
    SPIKE,
    Format(3, 0, False),
    Format(4, 2),
    Format(8, 0),
    Format(14, 3),
    Format(14, 0, False),
]


def network_of(size: int, form: Format):
    layer = Dense("fc", np.ones((1, size), int), Format(2))
    return network([Input("x", size, form), layer, Readout("out", "sum_current", 1)], "x fc out")


@pytest.mark.parametrize("mode", ["event", "packed"])
@pytest.mark.parametrize("form", FORMATS, ids=str)
@pytest.mark.parametrize("size", [1, 7, 33])
@pytest.mark.parametrize("stall", [0.0, 0.4])
def test_both_modes_decode_what_a_host_encodes(mode, form, size, stall):
    """Step after step, sample after sample; last comes with each sample's last word."""
    random = np.random.default_rng(size)
    samples = random.integers(form.min, form.max, (3, 4, size), endpoint=True)
    samples *= random.choice([0, 1], (3, 4, 1)) | (random.random((3, 4, size)) < 0.3)
    words = [
        (int(w), int(i == len(sample) - 1))
        for sample in encode(network_of(size, form), samples, mode)
        for i, w in enumerate(sample)
    ]
    events = [tuple(e.values()) for e in events_of(samples)]
    assert decode(size, form, words, len(events), packed=mode == "packed", stall=stall) == events
    if mode == "packed":
        assert len(words) == 12 * -(-size // values_per_word(form))


@pytest.mark.parametrize(
    ("width", "count"), [(1, 32), (2, 16), (3, 10), (5, 6), (8, 4), (11, 2), (14, 2)]
)
def test_values_of_a_packed_word(width, count):
    assert values_per_word(Format(width)) == count


def test_a_packed_word_may_hold_more_than_a_step():
    """A step begins with a new word; what lies beyond its last value is not looked at."""
    words = [(0xFFFFFFF5, 0), (0xFFFFFFF8, 1)]
    want = [(0, 1, 0, 0), (2, 1, 0, 0), END, LAST]
    assert decode(3, SPIKE, words, 4, packed=True) == want


def test_a_packed_value_takes_a_cycle():
    got = run(
        WordDecoder(8, SPIKE),
        {"words": [{"data": 0xFF, "last": 0}] * 4},
        "events",
        36,
        settings={"packed": 1},
    )
    assert [cycle for cycle, _ in got] == list(range(36))


def test_an_input_that_words_cannot_carry_is_an_error():
    check_input(1 << 16, Format(14))
    with pytest.raises(
        NetworkError, match=r"^network has 65537 inputs, words carry at most 65536$"
    ):
        check_input((1 << 16) + 1, SPIKE)
    with pytest.raises(
        NetworkError, match=r"^input format is s15\.0, words carry at most 14 bits$"
    ):
        check_input(4, Format(15))
    with pytest.raises(NetworkError, match="words carry at most 14 bits"):
        to_verilog(network_of(4, Format(15)), Folding())


def test_a_score_that_a_word_cannot_carry_is_an_error():
    assert score_shape(Format(32)).width == 32
    assert score_shape(Format(31, signed=False)).width == 31
    for form in (Format(33), Format(32, signed=False)):
        with pytest.raises(NetworkError, match=f"^scores need {form}, words carry at most s32"):
            score_shape(form)
    wide = Dense("fc", np.array([[(1 << 30) - 1]]), Format(31))
    net = network([Input("x", 1), wide, Readout("out", "sum_current", 1)], "x fc out")
    with pytest.raises(NetworkError, match="scores need"):
        to_verilog(net, Folding())
