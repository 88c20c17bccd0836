import numpy as np
import pytest
from amaranth.hdl import signed
from amaranth.sim import Simulator
from reslif.hw.buffers import StepBuffer
from reslif.hw.streams import Fork, current_stream
from streams_sim import beats_of, run, stream_get, stream_put

BEATS = beats_of(np.random.default_rng(8).integers(-8, 8, (10, 2, 6)), 3)


def plain(got):
    return [
        {
            "values": [int(v) for v in beat.values],
            "end_of_step": int(beat.end_of_step),
            "end_of_sample": int(beat.end_of_sample),
        }
        for _, beat in got
    ]


@pytest.mark.parametrize("depth", [1, 2, 3, 8])
@pytest.mark.parametrize(("idle", "stall"), [(0, 0), (0.5, 0), (0, 0.5), (0.3, 0.3)])
def test_buffer_keeps_order(depth, idle, stall):
    dut = StepBuffer(current_stream(3, signed(4)), depth)
    got = run(dut, {"input": BEATS}, "output", len(BEATS), idle=idle, stall=stall)
    assert plain(got) == BEATS
    if not idle and not stall:
        assert got[0][0] == dut.latency


@pytest.mark.parametrize("depth", [1, 5])
def test_buffer_holds_its_depth_and_one(depth):
    dut = StepBuffer(current_stream(3, signed(4)), depth)
    taken = []

    async def fill(ctx):
        for beat in BEATS:
            ctx.set(dut.input.payload, beat)
            ctx.set(dut.input.valid, 1)
            _, _, ready = await ctx.tick().sample(dut.input.ready)
            taken.append(int(ready))

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(fill)
    simulator.run()
    assert sum(taken) == depth + 1


def test_fork_serves_a_ready_output_while_another_stalls():
    dut = Fork(current_stream(3, signed(4)), 2)
    got = {}

    async def quick(ctx):
        got["output0"] = await stream_get(ctx, dut.output0, len(BEATS), 0.0, 1)

    async def slow(ctx):
        got["output1"] = await stream_get(ctx, dut.output1, len(BEATS), 0.8, 2)

    async def feed(ctx):
        await stream_put(ctx, dut.input, BEATS, 0.2, 3)

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(feed, background=True)
    simulator.add_testbench(quick)
    simulator.add_testbench(slow)
    simulator.run()
    assert plain(got["output0"]) == plain(got["output1"]) == BEATS
    firsts = [got[name][0][0] for name in ("output0", "output1")]
    assert firsts[0] <= firsts[1]
