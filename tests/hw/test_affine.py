import numpy as np
import pytest
from amaranth.hdl import ResetInserter, Signal
from amaranth.sim import Simulator
from reslif.hw.affine import Affine
from reslif.hw.streams import shape_of
from reslif.sw.formats import Format
from streams_sim import beats_of, run, stream_get, stream_put, values_of

STEPS = 6
GAIN = Format(5, 2)


def rows(steps, size, bias=300, seed=0):
    """Gains and biases ``[T, n]``, the ends of their ranges among them."""
    random = np.random.default_rng(seed)
    gain = random.integers(GAIN.min, GAIN.max + 1, (steps, size))
    gain[0, 0], gain[-1, -1] = GAIN.min, GAIN.max
    return gain, random.integers(-bias, bias + 1, (steps, size))


def unit(gain, bias, value, lanes):
    ends = np.stack([gain * value.min + bias, gain * value.max + bias])
    result = Format.for_range(int(ends.min()), int(ends.max()))
    return Affine(
        gain.tolist(), bias.tolist(),
        lanes=lanes, value=shape_of(value), factor=shape_of(GAIN), result=shape_of(result),
    )  # fmt: skip


def samples_of(lengths, size, value, seed=1):
    random = np.random.default_rng(seed)
    return [random.integers(value.min, value.max + 1, (steps, size)) for steps in lengths]


def beats(samples, lanes):
    return [beat for sample in samples for beat in beats_of(sample[:, None], lanes)]


def expected(samples, gain, bias):
    """Each sample counts its timesteps from 0."""
    steps = [t % len(gain) for sample in samples for t in range(len(sample))]
    return gain[steps] * np.concatenate(samples) + bias[steps]


@pytest.mark.parametrize("value", [Format(1, 0, False), Format(4, 2), Format(3, 0, False)], ids=str)
@pytest.mark.parametrize(("size", "lanes"), [(1, 1), (7, 1), (8, 4), (7, 3), (5, 8)])
@pytest.mark.parametrize("steps", [1, STEPS])
@pytest.mark.parametrize(("idle", "stall"), [(0, 0), (0.3, 0.3)])
def test_equals_the_product_and_the_sum(value, size, lanes, steps, idle, stall):
    gain, bias = rows(steps, size)
    samples = samples_of([1, 6, 2, 1, 1, 5, 6], size, value)
    want = expected(samples, gain, bias)
    words = -(-size // lanes)
    got = run(
        unit(gain, bias, value, lanes), {"input": beats(samples, lanes)}, "output",
        len(want) * words, idle=idle, stall=stall,
    )  # fmt: skip
    np.testing.assert_array_equal(values_of(got, (len(want), 1, size), lanes)[:, 0], want)
    ends = [(int(b.end_of_step), int(b.end_of_sample)) for _, b in got]
    sent = [(b["end_of_step"], b["end_of_sample"]) for b in beats(samples, lanes)]
    assert ends == sent
    if steps > 1:
        # The rows of any other step would not pass.
        assert (expected(samples, np.roll(gain, 1, 0), np.roll(bias, 1, 0)) != want).any()


def test_surplus_lanes_hold_nothing():
    """An encoder may read them."""
    value = Format(4)
    gain, bias = rows(1, 5)
    got = run(
        unit(gain, bias, value, 4), {"input": beats(samples_of([3], 5, value), 4)}, "output", 6
    )
    for _, beat in got[1::2]:
        assert [int(v) for v in beat.values][1:] == [0, 0, 0]


@pytest.mark.parametrize("bias", [0, 1, 100_000])
def test_biases_of_any_width(bias):
    value = Format(1, 0, False)
    gain, _ = rows(1, 6)
    offsets = np.array([[bias, -bias, bias, 0, -bias, bias]])
    samples = samples_of([8], 6, value)
    got = run(unit(gain, offsets, value, 2), {"input": beats(samples, 2)}, "output", 24)
    want = expected(samples, gain, offsets)
    np.testing.assert_array_equal(values_of(got, (8, 1, 6), 2)[:, 0], want)


@pytest.mark.parametrize("lanes", [1, 4])
def test_latency_and_throughput(lanes):
    value = Format(4)
    gain, bias = rows(STEPS, 8)
    dut = unit(gain, bias, value, lanes)
    sent = beats(samples_of([6], 8, value), lanes)
    cycles = [cycle for cycle, _ in run(dut, {"input": sent}, "output", len(sent))]
    assert cycles == list(range(dut.latency, dut.latency + len(sent)))


@pytest.mark.parametrize("after", range(1, 20))
def test_a_reset_in_mid_sample_restarts_the_count(after):
    value = Format(4)
    gain, bias = rows(STEPS, 6)
    inner = unit(gain, bias, value, 2)
    clear = Signal()
    first, second = samples_of([6], 6, value)[0], samples_of([2, 4], 6, value, seed=2)
    got = []

    async def put(ctx):
        ctx.set(inner.output.ready, 1)
        pending = iter(beats([first], 2))
        for _ in range(after):
            ctx.set(inner.input.valid, 1)
            ctx.set(inner.input.payload, next(pending, beats([first], 2)[-1]))
            await ctx.tick()
        ctx.set(inner.input.valid, 0)
        ctx.set(clear, 1)
        await ctx.tick()
        ctx.set(clear, 0)
        await stream_put(ctx, inner.input, beats(second, 2))

    async def get(ctx):
        for _ in range(after + 1):
            await ctx.tick()
        got.extend(await stream_get(ctx, inner.output, 18))

    simulator = Simulator(ResetInserter(clear)(inner))
    simulator.add_clock(1e-6)
    simulator.add_testbench(put, background=True)
    simulator.add_testbench(get)
    simulator.run()
    want = expected(second, gain, bias)
    np.testing.assert_array_equal(values_of(got, (6, 1, 6), 2)[:, 0], want)
