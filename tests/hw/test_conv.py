from dataclasses import replace

import numpy as np
import pytest
import torch
from amaranth.hdl import ResetInserter, Signal, signed, unsigned
from amaranth.sim import Simulator
from conv_sim import SPIKES, Case, Layer, gathered, layout_of, random_case, random_layout
from reslif.hw.conv_bank import ConvBank
from streams_sim import beats_of, events_of, stream_get, stream_put, values_of

GRADED, SIGNED = {"spike": SPIKES["graded"]}, {"spike": SPIKES["signed"]}
LAYOUTS = {
    "one tap": layout_of((2, 4, 4), 4, 3, padding=1, lanes=2, out_lanes=1),
    "a row of taps": layout_of((2, 4, 5), 4, 3, padding=1, lanes=4, out_lanes=2, taps=3, **GRADED),
    "all taps": layout_of((2, 5, 4), 4, 3, padding=1, lanes=2, out_lanes=2, taps=9),
    "strides that differ": layout_of(
        (2, 5, 6), 2, 3, stride=(2, 1), padding=1, lanes=2, taps=9, **SIGNED
    ),
    "stride 2, row": layout_of((2, 5, 6), 2, 3, stride=2, padding=(0, 1), lanes=1, taps=3),
    "stride beyond the kernel": layout_of(
        (3, 7, 7), 2, 2, stride=3, padding=1, lanes=2, taps=4, **SIGNED
    ),
    "pixel by pixel": layout_of((4, 3, 3), 4, 1, lanes=4, out_lanes=4, **SIGNED),
    "1x1, stride 2": layout_of((4, 5, 4), 4, 1, stride=2, lanes=2, out_lanes=2, **SIGNED),
    "widest padding": layout_of((2, 3, 2), 2, 3, padding=2, lanes=2, out_lanes=1, taps=3, **GRADED),
    "groups": layout_of((4, 3, 4), 4, 3, padding=1, groups=2, lanes=1),
    "depthwise": layout_of((3, 4, 3), 3, 3, padding=1, groups=3, taps=9, **SIGNED),
    "depthwise, two each": layout_of((3, 3, 4), 6, 2, groups=3, lanes=2, taps=2, **GRADED),
    "column kernel": layout_of((2, 5, 3), 2, (3, 1), padding=(1, 0), lanes=2, taps=3),
    "the whole image": layout_of((2, 3, 3), 4, 3, lanes=4, out_lanes=4, **SIGNED),
    "one value": layout_of((1, 1, 1), 1, 1),
    "starts from a shortcut": layout_of(
        (2, 4, 4), 4, 3, padding=1, lanes=4, out_lanes=2, initial=signed(8), align=(1, 3)
    ),
    "shortcut to banks": layout_of(
        (2, 4, 3), 2, 3, padding=1, lanes=2, out_lanes=2, taps=9, initial=unsigned(6), **GRADED),
    "unsigned": layout_of((2, 3, 3), 2, 3, padding=1, weight=unsigned(3), current=unsigned(14),
        **GRADED, bias=(0, 3)),
}  # fmt: skip


def check(case: Case, **options) -> list[int]:
    """Compares all; returns the cycles."""
    result = case.simulate(**options)
    np.testing.assert_array_equal(result.sums, case.expected)
    assert result.ends == case.ends
    return result.cycles


@pytest.mark.parametrize("name", LAYOUTS)
def test_sums_equal_plain_loops(name):
    layout = LAYOUTS[name]
    case = random_case(layout, len(name), 3, 1)
    assert (case.expected != case.expected.ravel()[0]).any() or layout.size == 1
    cycles = check(case)[:: layout.beats]
    # From the first beat of a timestep to that of the next.
    assert np.diff(cycles).tolist() == case.step_cycles[1:]
    check(case, idle=0.4, stall=0.4, seed=1)


def test_plain_loops_equal_pytorch():
    """The oracle's oracle, in float64, which holds these sums exactly."""
    for seed in range(40):
        layout = random_layout(seed)
        case = random_case(layout, seed, 1, 1)
        channels, height, width = layout.shape
        image = case.values.reshape(height, width, channels)
        own = gathered(
            case.weight, np.array(layout.bias), image,
            layout.stride, layout.padding, layout.groups,
        )  # fmt: skip
        reference = torch.nn.functional.conv2d(
            torch.tensor(image).permute(2, 0, 1)[None].double(),
            torch.tensor(case.weight).double(),
            torch.tensor(layout.bias).double(),
            layout.stride, layout.padding, 1, layout.groups,
        )[0]  # fmt: skip
        np.testing.assert_array_equal(own, reference.permute(1, 2, 0).numpy())
        assert layout.out_shape == tuple(reference.shape)


@pytest.mark.parametrize("seed", range(16))
def test_random_layouts(seed):
    """Bit-exact, and as fast as the formula says when nothing stalls."""
    layout = random_layout(seed)
    case = random_case(layout, seed, 3, 1)
    if seed % 2:
        check(case, idle=0.3, stall=0.3, seed=seed)
        return
    cycles = np.diff(check(case)[:: layout.beats])
    assert cycles.tolist() == case.step_cycles[1:]
    counts = np.count_nonzero(case.values, axis=2).T.ravel()[1:]
    bounds = [layout.cycles_per_step(int(count)) for count in counts]
    assert (cycles <= bounds).all()


def test_latency():
    """Of a timestep that ends while all rests: its sums come after so many cycles."""
    for name in ("one tap", "all taps", "one value"):
        layout = LAYOUTS[name]
        quiet = random_case(layout, 0, 1, 1)
        quiet = replace(quiet, values=quiet.values * 0)
        dut = Layer(layout, quiet.weight)
        # After reset all sums are started first, which takes a cycle a word.
        wait = layout.size // layout.lanes + 2
        cycles: list[int] = []

        async def drive(ctx, dut=dut, wait=wait, cycles=cycles):
            ctx.set(dut.currents.ready, 1)
            await ctx.tick().repeat(wait)
            ctx.set(dut.spikes.payload, {"end_of_step": 1})
            ctx.set(dut.spikes.valid, 1)
            for cycle in range(40):
                if ctx.get(dut.currents.valid):
                    cycles.append(cycle)
                    return
                await ctx.tick()
                ctx.set(dut.spikes.valid, 0)

        _simulate(dut, drive)
        assert cycles == [dut.conv.latency]


HAMMERS = {
    "one word": layout_of((12, 1, 2), 4, 1, lanes=4, out_lanes=4),
    "two words": layout_of((12, 2, 1), 4, 1, lanes=2, out_lanes=2),
    "three words": layout_of((12, 1, 1), 6, 1, lanes=2, out_lanes=2),
    "stride 2, one tap": layout_of((8, 3, 3), 2, 1, stride=2, lanes=2, out_lanes=2),
    "stride 3, two words": layout_of((8, 5, 5), 4, 3, stride=3, lanes=2, out_lanes=2),
    "all taps": layout_of((8, 2, 3), 4, 3, padding=1, lanes=2, out_lanes=2, taps=9),
}


def hammered(name: str, spike: str) -> Case:
    """Every channel of every pixel sends an event each timestep."""
    case = random_case(replace(HAMMERS[name], spike=SPIKES[spike]), 0, 2, 1)
    return replace(case, values=np.where(case.values, case.values, 1))


@pytest.mark.parametrize("name", HAMMERS)
@pytest.mark.parametrize("spike", ["binary", "signed"])
def test_events_that_follow_each_other_to_the_same_sums(name, spike):
    case = hammered(name, spike)
    check(case)
    check(case, idle=0.4, stall=0.5)


@pytest.mark.parametrize(
    ("name", "forward", "seen"),
    [
        ("one word", (), True),
        ("one word", (2,), True),
        ("two words", (1,), True),
        ("two words", (2,), False),
        ("three words", (), False),
    ],
)
def test_without_forwarding_they_would_be_lost(name, forward, seen, monkeypatch):
    monkeypatch.setattr(ConvBank, "FORWARD", forward)
    case = hammered(name, "binary")
    assert (case.simulate().sums != case.expected).any() == seen


def test_a_wrong_weight_is_caught():
    """The comparison above can fail."""
    case = random_case(LAYOUTS["pixel by pixel"], 0, 1, 1)
    case = replace(case, values=np.ones_like(case.values))
    weight = case.weight.copy()
    weight[3, 2, 0, 0] ^= 1
    wrong = case.simulate(dut=Layer(case.layout, weight)).sums != case.expected
    assert np.unique(np.argwhere(wrong)[:, 2] % 4).tolist() == [3]


@pytest.mark.parametrize("name", ["one tap", "all taps", "starts from a shortcut"])
def test_a_reset_in_the_middle_leaves_nothing_behind(name):
    layout = LAYOUTS[name]
    case = random_case(layout, 1, 2, 1)
    sent = {"spikes": events_of(case.values)}
    if case.shortcut is not None:
        sent["initial"] = beats_of(case.shortcut, layout.out_lanes)
    length = sum(case.step_cycles)
    for cycles in range(5, length, length // 6):
        beats = _interrupted(Layer(layout, case.weight), sent, cycles)
        got = values_of(list(enumerate(beats)), case.expected.shape, layout.out_lanes)
        np.testing.assert_array_equal(got, case.expected, err_msg=f"reset after {cycles}")


def _interrupted(layer: Layer, sent: dict, cycles: int) -> list:
    """The beats that come after a reset, upon which all is sent again."""
    reset = Signal()
    streams = [getattr(layer, name) for name in sent]
    beats: list = []

    async def drive(ctx):
        positions = dict.fromkeys(sent, 0)
        ctx.set(layer.currents.ready, 1)
        for cycle in range(5000):
            ctx.set(reset, cycle == cycles)
            for stream, (name, payloads) in zip(streams, sent.items(), strict=True):
                there = positions[name] < len(payloads) and cycle != cycles
                ctx.set(stream.valid, there)
                if there:
                    ctx.set(stream.payload, payloads[positions[name]])
            _, _, came, beat, *moved = await ctx.tick().sample(
                layer.currents.valid,
                layer.currents.payload,
                *(stream.valid & stream.ready for stream in streams),
            )
            for name, one in zip(sent, moved, strict=True):
                positions[name] += one
            if cycle == cycles:
                assert positions["spikes"], "nothing was interrupted"
                positions = dict.fromkeys(sent, 0)
            elif came and cycle > cycles:
                beats.append(beat)
                if beat.end_of_sample:
                    return

    _simulate(ResetInserter(reset)(layer), drive)
    return beats


def test_sums_leave_although_the_next_shortcut_never_comes():
    """Each timestep's shortcut is sent only after all sums of the one before have arrived."""
    layout = LAYOUTS["starts from a shortcut"]
    case = random_case(layout, 2, 3, 2)
    assert case.shortcut is not None
    beats = beats_of(case.shortcut, layout.out_lanes)
    dut = Layer(layout, case.weight)
    got: list = []

    async def shortcut(ctx):
        for step in range(6):
            while len(got) < step * layout.beats:
                await ctx.tick()
            await stream_put(
                ctx, dut.initial, beats[step * layout.beats : (step + 1) * layout.beats]
            )

    async def feed(ctx):
        await stream_put(ctx, dut.spikes, events_of(case.values))

    async def collect(ctx):
        for step in range(6):
            got.extend(await stream_get(ctx, dut.currents, layout.beats, 0.3, step))

    _simulate(dut, collect, feed, shortcut)
    np.testing.assert_array_equal(
        values_of(got, case.expected.shape, layout.out_lanes), case.expected
    )


@pytest.mark.parametrize("name", ["one tap", "a row of taps"])
def test_beats_wait_unchanged_and_come_unasked(name):
    """A payload holds until it is taken, and what is offered does not wait for the taker."""
    layout = LAYOUTS[name]
    case = random_case(layout, 5, 2, 1)
    dut = Layer(layout, case.weight)
    taken: list[int] = []

    async def feed(ctx):
        await stream_put(ctx, dut.spikes, events_of(case.values))

    async def watch(ctx):
        random = np.random.default_rng(0)
        offered = None
        while len(taken) < 2 * layout.beats:
            # Not ready until something is offered, and then some cycles more.
            ready = offered is not None and random.random() < 0.4
            ctx.set(dut.currents.ready, ready)
            _, _, valid, payload = await ctx.tick().sample(
                dut.currents.valid, dut.currents.payload.as_value()
            )
            assert offered is None or (valid and payload == offered)
            offered = payload if valid and not ready else None
            if valid and ready:
                taken.append(payload)

    _simulate(dut, watch, feed)
    assert len(taken) == 2 * layout.beats


def _simulate(dut, main, *background) -> None:
    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    for process in background:
        simulator.add_testbench(process, background=True)
    simulator.add_testbench(main)
    simulator.run()
