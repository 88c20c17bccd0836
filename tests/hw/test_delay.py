import numpy as np
import pytest
from amaranth.hdl import Module, ResetInserter, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator
from reslif.hw.buffers import StepBuffer
from reslif.hw.delay import StepDelay
from reslif.hw.streams import Fork, current_stream
from streams_sim import beats_of, run, stream_get, stream_put, values_of

SHAPES = [(1, 1), (5, 1), (8, 4), (7, 3), (4, 8)]


def samples_of(lengths, size, seed=0):
    """Samples of the given lengths, one after the other: ``[T, n]`` each."""
    random = np.random.default_rng(seed)
    return [random.integers(-8, 8, (steps, size)) for steps in lengths]


def beats(samples, lanes):
    return [beat for sample in samples for beat in beats_of(sample[:, None], lanes)]


def delayed(samples):
    """All steps one after the other, each sample beginning with zeros in the place of a step."""
    return np.concatenate([np.vstack([0 * s[:1], s[:-1]]) for s in samples])


@pytest.mark.parametrize(("size", "lanes"), SHAPES)
@pytest.mark.parametrize("steps", [2, 3, 5])
@pytest.mark.parametrize(("idle", "stall"), [(0, 0), (0.5, 0), (0, 0.5), (0.3, 0.3)])
def test_each_step_comes_one_later(size, lanes, steps, idle, stall):
    samples = samples_of([1, 1, 4, 2, 1, 3], size)
    words = -(-size // lanes)
    dut = StepDelay(words, lanes, signed(4), steps)
    want = delayed(samples)
    # One step more: the zeros of the sample that would follow.
    got = run(
        dut, {"input": beats(samples, lanes)}, "output", (len(want) + 1) * words,
        idle=idle, stall=stall,
    )  # fmt: skip
    found = values_of(got, (len(want) + 1, 1, size), lanes)[:, 0]
    np.testing.assert_array_equal(found[:-1], want)
    assert not found[-1].any()
    assert [int(b.end_of_step) for _, b in got] == ([0] * (words - 1) + [1]) * (len(want) + 1)
    assert not any(int(b.end_of_sample) for _, b in got)


@pytest.mark.parametrize(("size", "lanes"), SHAPES)
@pytest.mark.parametrize("steps", [2, 4])
def test_it_holds_its_steps(size, lanes, steps):
    """Untouched at its output: the zeros and ``steps - 1`` whole steps, a beat of them moved on."""
    words = -(-size // lanes)
    dut = StepDelay(words, lanes, signed(4), steps)
    taken = 0

    async def fill(ctx):
        nonlocal taken
        for beat in beats(samples_of([9], size), lanes):
            ctx.set(dut.input.payload, beat)
            ctx.set(dut.input.valid, 1)
            for _ in range(8):
                _, _, ready = await ctx.tick().sample(dut.input.ready)
                if ready:
                    taken += 1
                    break
            else:
                return

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(fill)
    simulator.run()
    assert taken == (steps - (words > 1)) * words


@pytest.mark.parametrize(("size", "lanes"), SHAPES)
def test_latency(size, lanes):
    samples = samples_of([6], size)
    words = -(-size // lanes)
    dut = StepDelay(words, lanes, signed(4))
    got = run(dut, {"input": beats(samples, lanes)}, "output", 6 * words)
    cycles = [cycle for cycle, _ in got]
    # The zeros at once; the first step after its last beat, in cycle words - 1.
    assert cycles[0] == 1
    assert cycles[words] == words - 1 + dut.latency
    assert cycles[words:] == list(range(cycles[words], cycles[words] + 5 * words))


@pytest.mark.parametrize("after", range(1, 30))
def test_reset_in_any_cycle_starts_from_rest(after):
    """Also while the zeros, or half a step, are on their way."""
    dut = Resettable(StepDelay(3, 2, signed(4)))
    first, second = samples_of([8], 6)[0], samples_of([2, 4], 6, seed=1)
    got = []

    async def put(ctx):
        pending = iter(beats([first], 2))
        ctx.set(dut.input.valid, 1)
        ctx.set(dut.input.payload, next(pending))
        for _ in range(after):
            _, _, ready = await ctx.tick().sample(dut.input.ready)
            if ready:
                ctx.set(dut.input.payload, next(pending))
        ctx.set(dut.input.valid, 0)
        ctx.set(dut.clear, 1)
        await ctx.tick()
        ctx.set(dut.clear, 0)
        await stream_put(ctx, dut.input, beats(second, 2), 0.2, 1)

    async def get(ctx):
        for cycle in range(after + 1):
            ctx.set(dut.output.ready, cycle % 3 != 1)
            await ctx.tick()
        got.extend(await stream_get(ctx, dut.output, 18, 0.2, 2))

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(put, background=True)
    simulator.add_testbench(get)
    simulator.run()
    np.testing.assert_array_equal(values_of(got, (6, 1, 6), 2)[:, 0], delayed(second))


class Resettable(wiring.Component):
    """``inner`` with a reset of its own."""

    def __init__(self, inner):
        self.inner = inner
        stream = inner.input.signature.flip()
        super().__init__({"clear": In(1), "input": In(stream), "output": Out(stream)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.inner = ResetInserter(self.clear)(self.inner)
        wiring.connect(m, wiring.flipped(self.input), self.inner.input)
        wiring.connect(m, self.inner.output, wiring.flipped(self.output))
        return m


class Loop(wiring.Component):
    """Adds what it sent a step ago: ``y[t] = x[t] + y[t - 1]``, through ``back``."""

    def __init__(self, back, lanes):
        self.back = back
        stream = current_stream(lanes, unsigned(16))
        super().__init__({"input": In(stream), "output": Out(stream)})

    def elaborate(self, platform):
        m = Module()
        back = m.submodules.back = self.back
        fork = m.submodules.fork = Fork(self.output.signature, 2)
        wiring.connect(m, fork.output0, wiring.flipped(self.output))
        wiring.connect(m, fork.output1, back.input)
        new, old, total = self.input, back.output, fork.input
        moves = total.valid & total.ready
        m.d.comb += [
            total.valid.eq(new.valid & old.valid),
            total.payload.eq(new.payload),
            new.ready.eq(moves),
            old.ready.eq(moves),
        ]
        m.d.comb += [
            value.eq(a + b)
            for value, a, b in zip(
                total.payload.values, new.payload.values, old.payload.values, strict=True
            )
        ]
        return m


@pytest.mark.parametrize(("idle", "stall"), [(0, 0), (0.5, 0), (0, 0.8), (0.4, 0.4)])
def test_a_loop_closes_on_each_sample_alone(idle, stall):
    samples = samples_of([5, 1, 1, 7, 3], 7)
    positive = [sample + 8 for sample in samples]
    dut = Loop(StepDelay(3, 3, unsigned(16)), 3)
    got = run(dut, {"input": beats(positive, 3)}, "output", 17 * 3, idle=idle, stall=stall)
    want = np.concatenate([sample.cumsum(axis=0) for sample in positive])
    np.testing.assert_array_equal(values_of(got, (17, 1, 7), 3)[:, 0], want)


@pytest.mark.parametrize("begins", [True, False])
def test_a_loop_without_the_first_step_deadlocks(begins):
    stream = current_stream(3, unsigned(16))
    dut = Loop(StepDelay(3, 3, unsigned(16)) if begins else StepBuffer(stream, 6), 3)
    left = 0

    async def count(ctx):
        nonlocal left
        ctx.set(dut.input.valid, 1)
        ctx.set(dut.output.ready, 1)
        for _ in range(50):
            _, _, valid = await ctx.tick().sample(dut.output.valid)
            left += int(valid)

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(count)
    simulator.run()
    assert (left > 2) == begins
