import numpy as np
import pytest
from amaranth.hdl import signed, unsigned
from amaranth.lib import data
from reslif.hw.events import EventDecoder, EventEncoder
from reslif.hw.inhibition import Inhibition
from streams_sim import beats_of, events_of, run, values_of

SIZES = [(1, 1), (5, 1), (8, 4), (9, 4), (10, 3), (6, 8)]


def plain(events):
    return [
        (
            int(e.index) if not e.end_of_step else 0,
            int(e.value) if not e.end_of_step else 0,
            int(e.end_of_step),
            int(e.end_of_sample),
        )
        for _, e in events
    ]


def samples_of(size, *, low=0, high=2, density=0.4):
    rng = np.random.default_rng(4)
    return rng.integers(low, high, (5, 3, size)) * (rng.random((5, 3, size)) < density)


@pytest.mark.parametrize(("size", "lanes"), SIZES)
@pytest.mark.parametrize("shape", [unsigned(1), signed(4)])
@pytest.mark.parametrize("stall", [0.0, 0.5])
def test_encoder(size, lanes, shape, stall):
    samples = samples_of(size) if shape.width == 1 else samples_of(size, low=-8, high=8)
    events = events_of(samples)
    got = run(
        EventEncoder(size, lanes, shape),
        {"input": beats_of(samples, lanes)},
        "output",
        len(events),
        idle=stall,
        stall=stall,
    )
    assert plain(got) == [tuple(e.values()) for e in events]


def test_encoder_takes_a_cycle_for_each_event_and_step_end():
    samples = np.ones((4, 1, 8), int)
    got = run(EventEncoder(8, 4, unsigned(1)), {"input": beats_of(samples, 4)}, "output", 36)
    assert [cycle for cycle, _ in got] == list(range(1, 37))


@pytest.mark.parametrize(("size", "lanes"), SIZES)
@pytest.mark.parametrize("stall", [0.0, 0.5])
def test_decoder_inverts_encoding(size, lanes, stall):
    samples = samples_of(size, low=-8, high=8)
    got = run(
        EventDecoder(size, lanes, signed(4)),
        {"input": events_of(samples)},
        "output",
        15 * -(-size // lanes),
        idle=stall,
        stall=stall,
    )
    np.testing.assert_array_equal(values_of(got, samples.shape, lanes), samples)
    assert sum(int(beat.end_of_sample) for _, beat in got) == 3


@pytest.mark.parametrize(("size", "lanes"), SIZES)
def test_inhibition(size, lanes):
    """Only the arg-max neuron's spike passes; ties go to the lowest index."""
    spike = data.StructLayout({"spike": 1, "margin": signed(6)})
    rng = np.random.default_rng(6)
    margins = rng.integers(-3, 3, (20, 2, size))
    spikes = (margins > 0).astype(int)
    beats = beats_of(margins, lanes)
    for beat in beats:
        beat["values"] = [{"spike": int(v > 0), "margin": int(v)} for v in beat["values"]]
    got = run(
        Inhibition(size, lanes, spike),
        {"input": beats},
        "output",
        len(beats),
        idle=0.2,
        stall=0.3,
    )
    winner = np.argmax(margins, axis=2)
    want = spikes * (np.arange(size) == winner[..., None])
    np.testing.assert_array_equal(values_of(got, margins.shape, lanes), want)
    assert want.any()
