import numpy as np
import pytest
from reslif.sim.encoding import END_OF_SAMPLE, END_OF_STEP, decode, encode
from reslif.sim.errors import SimulationError
from reslif.sw.formats import SPIKE, Format
from reslif.sw.network import Dense, Edge, Input, Network, NetworkError, Readout

FORMATS = [SPIKE, Format(8), Format(14), Format(14, 3, signed=False)]


def network(size: int, form: Format) -> Network:
    nodes = (
        Input("x", size, form),
        Dense("fc", np.ones((2, size), np.int64), Format(4)),
        Readout("out", "sum_current", 2),
    )
    return Network(nodes, (Edge("x", "fc"), Edge("fc", "out")), max_steps=9)


def read_events(words, size, form):
    """The receiver's view: an independent, word-by-word reading of the protocol."""
    steps, current = [], [0] * size
    for word in words.tolist():
        if word >> 31:
            steps.append(current)
            current = [0] * size
        else:
            value = word >> 16 & 0x3FFF
            if form.signed and value >> 13:
                value -= 1 << 14
            assert value != 0
            current[word & 0xFFFF] = value
    return np.array(steps)


@pytest.mark.parametrize("form", FORMATS, ids=str)
def test_events_carry_every_value(form):
    rng = np.random.default_rng(0)
    samples = rng.integers(form.min, form.max + 1, (5, 3, 70)) * rng.integers(0, 2, (5, 3, 70))
    packets = encode(network(70, form), samples)
    for number, words in enumerate(packets):
        np.testing.assert_array_equal(read_events(words, 70, form), samples[:, number])
        ends = words & (END_OF_STEP | END_OF_SAMPLE)
        assert np.count_nonzero(words & np.uint32(END_OF_SAMPLE)) >= 1
        assert ends[-1] == END_OF_STEP | END_OF_SAMPLE
        markers = words[words >> 31 == 1]
        assert (markers[:-1] == END_OF_STEP).all()


def test_a_step_without_events_is_a_lone_marker():
    (words,) = encode(network(3, SPIKE), np.zeros((2, 1, 3), np.int64))
    assert words.tolist() == [END_OF_STEP, END_OF_STEP | END_OF_SAMPLE]


@pytest.mark.parametrize(("form", "per_word"), [(SPIKE, 32), (Format(8), 4), (Format(5), 6)])
def test_packed_words_hold_the_first_value_lowest(form, per_word):
    samples = np.random.default_rng(0).integers(form.min, form.max + 1, (4, 2, 37))
    for number, words in enumerate(encode(network(37, form), samples, "packed")):
        by_step = words.reshape(4, -(-37 // per_word)).tolist()
        mask = (1 << form.width) - 1
        for step, row in enumerate(by_step):
            values = [row[i // per_word] >> i % per_word * form.width & mask for i in range(37)]
            np.testing.assert_array_equal(values, samples[step, number] & mask)


def test_decode_reads_signed_scores_and_the_class():
    words = np.array([5, 0xFFFFFFFF, 0, 1, 2, 1], np.uint32)
    scores, classes = decode(words, 2)
    assert scores.tolist() == [[5, -1], [1, 2]]
    assert classes.tolist() == [0, 1]


def test_bad_input_is_named():
    with pytest.raises(SimulationError, match="top sent 4 words, must be a multiple of 3"):
        decode(np.zeros(4, np.uint32), 2)
    with pytest.raises(SimulationError, match=r"70 values of s15\.0, events carry at most"):
        encode(network(70, Format(15)), np.zeros((1, 1, 70), np.int64))
    with pytest.raises(SimulationError, match="at most 32 bits to be packed"):
        encode(network(2, Format(33)), np.zeros((1, 1, 2), np.int64), "packed")
    with pytest.raises(NetworkError, match="samples span"):
        encode(network(2, SPIKE), np.full((1, 1, 2), 2))
