"""The serial link, bit by bit: bytes, words, line breaks, lost input."""

from __future__ import annotations

import random

import pytest
from amaranth.sim import Simulator
from reslif.hw.serial import SerialLink, SerialReceiver, SerialTransmitter, check_divisor

BITS = 10
BREAK = 24


async def idle(ctx, cycles: int) -> None:
    for _ in range(cycles):
        await ctx.tick()


async def until(ctx, condition, *sampled) -> list[int]:
    """What is sampled at the first clock edge at which ``condition`` holds."""
    while True:
        _, _, done, *values = await ctx.tick().sample(condition, *sampled)
        if done:
            return values


async def send(ctx, line, data: bytes, divisor: float, stop: int = 1) -> None:
    """Bytes as a host sends them; ``divisor`` need not be the receiver's exact one."""
    cycle = due = 0.0
    for byte in data:
        for bit in (0, *((byte >> i) & 1 for i in range(8)), stop):
            ctx.set(line, bit)
            due += divisor
            while cycle < due:
                await ctx.tick()
                cycle += 1
    ctx.set(line, 1)


async def send_break(ctx, line, divisor: int) -> None:
    ctx.set(line, 0)
    await idle(ctx, BREAK * divisor)
    ctx.set(line, 1)
    await idle(ctx, 2 * divisor)


def listener(line, divisor: int, heard: bytearray):
    """A background process that appends the characters on ``line`` to ``heard``."""

    async def listen(ctx):
        while True:
            await until(ctx, ~line)
            await idle(ctx, divisor // 2)
            assert ctx.get(line) == 0
            byte = 0
            for i in range(8):
                await idle(ctx, divisor)
                byte |= ctx.get(line) << i
            await idle(ctx, divisor)
            assert ctx.get(line) == 1, "no stop bit"
            heard.append(byte)

    return listen


def run(dut, testbench, *processes) -> None:
    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    for process in processes:
        simulator.add_testbench(process, background=True)
    simulator.add_testbench(testbench)
    simulator.run()


@pytest.mark.parametrize(
    ("divisor", "error"), [(4, -0.01), (4, 0.01), (7, 0.0), (16, -0.03), (16, 0.03)]
)
def test_receiver_hears_bytes_at_any_phase_and_a_slightly_wrong_rate(divisor, error) -> None:
    dut = SerialReceiver(divisor)
    data = bytes(random.Random(4).randbytes(24)) + b"\x00\xff\x55\xaa"
    heard = bytearray()

    async def host(ctx):
        await idle(ctx, 3)
        await send(ctx, dut.rx, data, divisor * (1 + error))
        await idle(ctx, 2 * divisor)

    async def listen(ctx):
        while True:
            _, _, received, byte, broken, garbled = await ctx.tick().sample(
                dut.received, dut.data, dut.broken, dut.garbled
            )
            assert not broken
            assert not garbled
            if received:
                heard.append(byte)

    run(dut, host, listen)
    assert heard == data


def test_receiver_tells_a_break_a_garbled_character_and_a_glitch_apart() -> None:
    dut = SerialReceiver(8)
    seen: list[str] = []

    async def host(ctx):
        await idle(ctx, 3)
        ctx.set(dut.rx, 0)
        await idle(ctx, 2)  # shorter than half a bit: no start bit
        ctx.set(dut.rx, 1)
        await idle(ctx, 20)
        await send(ctx, dut.rx, b"\x12", 8)
        await send(ctx, dut.rx, b"\x34", 8, stop=0)
        await idle(ctx, 20)
        await send(ctx, dut.rx, b"\x56", 8)
        for length in (10, 18, 22, 400):
            ctx.set(dut.rx, 0)
            await idle(ctx, length * 8)
            ctx.set(dut.rx, 1)
            await idle(ctx, 16)
        await send(ctx, dut.rx, b"\x00\x78", 8)
        for first in range(1, 8):  # a break that begins amid a character
            await send(ctx, dut.rx, b"\x9a", 8)
            for bit in (0, *([1] * first)):
                ctx.set(dut.rx, bit)
                await idle(ctx, 8)
            await send_break(ctx, dut.rx, 8)

    async def listen(ctx):
        while True:
            _, _, received, byte, broken, garbled = await ctx.tick().sample(
                dut.received, dut.data, dut.broken, dut.garbled
            )
            if received:
                seen.append(f"{byte:02x}")
            if broken:
                seen.append("break")
            if garbled:
                seen.append("garbled")

    run(dut, host, listen)
    broken = ["garbled", "break"]
    once = ["12", "garbled", "56", "garbled", "garbled", *broken, *broken, "00", "78"]
    assert seen == once + ["9a", *broken] * 7


@pytest.mark.parametrize("divisor", [4, 9])
def test_transmitter(divisor) -> None:
    dut = SerialTransmitter(divisor)
    data, heard = random.Random(5).randbytes(20), bytearray()

    async def core(ctx):
        generator = random.Random(6)
        for i, byte in enumerate(data):
            if i % 4 == 0:
                await idle(ctx, generator.randrange(30))
            ctx.set(dut.bytes.payload, byte)
            ctx.set(dut.bytes.valid, 1)
            await until(ctx, dut.bytes.ready)
            ctx.set(dut.bytes.valid, 0)
        await idle(ctx, (BITS + 1) * divisor)

    run(dut, core, listener(dut.tx, divisor, heard))
    assert heard == data


def test_divisor_below_its_least_is_refused() -> None:
    check_divisor(4)
    with pytest.raises(ValueError, match="serial divisor is 3, must be at least 4 cycles"):
        check_divisor(3)


DIVISOR = 4


def words_of(data: bytes) -> list[int]:
    return [int.from_bytes(data[i : i + 4], "little") for i in range(0, len(data), 4)]


def core(dut: SerialLink, seed: int, stall: int, taken: list[int]):
    """A design that answers every word with its complement, after up to ``stall`` cycles."""

    async def process(ctx):
        generator = random.Random(seed)
        while True:
            await idle(ctx, generator.randrange(stall + 1))
            ctx.set(dut.words.ready, 1)
            (word,) = await until(ctx, dut.words.valid, dut.words.payload)
            ctx.set(dut.words.ready, 0)
            taken.append(word)
            ctx.set(dut.results.payload, word ^ 0xFFFF_FFFF)
            ctx.set(dut.results.valid, 1)
            await until(ctx, dut.results.ready)
            ctx.set(dut.results.valid, 0)

    return process


@pytest.mark.parametrize("stall", [0, 100])
def test_link_carries_words_both_ways(stall) -> None:
    dut = SerialLink(DIVISOR, depth=16)
    data, heard, taken = random.Random(7).randbytes(64), bytearray(), []

    async def host(ctx):
        await idle(ctx, 4)
        await send(ctx, dut.rx, data, DIVISOR)
        await idle(ctx, 3 * dut.cycles_per_word)
        assert not ctx.get(dut.fault)

    run(dut, host, core(dut, 1, stall, taken), listener(dut.tx, DIVISOR, heard))
    assert taken == words_of(data)
    assert heard == bytes(255 - byte for byte in data)


@pytest.mark.parametrize("depth", [7, 8])
@pytest.mark.parametrize("surplus", [0, 1])
def test_link_holds_a_burst_of_its_depth_and_no_more(depth, surplus) -> None:
    """Bytes wait while the design does; the first that finds no room silences the link."""
    dut = SerialLink(DIVISOR, depth=depth)
    count = depth + 5 + surplus  # a word and a byte more than the depth wait in registers
    data, heard, taken = random.Random(8).randbytes(count), bytearray(), []
    whole = data[: count // 4 * 4]

    async def host(ctx):
        await idle(ctx, 4)
        await send(ctx, dut.rx, data, DIVISOR)
        await idle(ctx, 4)
        assert ctx.get(dut.fault) == surplus
        await idle(ctx, 10 * dut.cycles_per_word)

    async def late(ctx):
        await idle(ctx, (count // 4 + 2) * dut.cycles_per_word)
        await core(dut, 2, 0, taken)(ctx)

    run(dut, host, late, listener(dut.tx, DIVISOR, heard))
    assert heard == (b"" if surplus else bytes(255 - byte for byte in whole))


@pytest.mark.parametrize("position", [1, 2, 3, 5])
def test_break_restores_word_alignment(position) -> None:
    dut = SerialLink(DIVISOR, depth=16)
    data, heard, taken, resets = random.Random(9).randbytes(12), bytearray(), [], []

    async def host(ctx):
        await idle(ctx, 4)
        await send(ctx, dut.rx, b"\xa5" * position, DIVISOR)
        await send_break(ctx, dut.rx, DIVISOR)
        await idle(ctx, dut.cycles_per_word)
        heard.clear()
        taken.clear()
        await send(ctx, dut.rx, data, DIVISOR)
        await idle(ctx, 2 * dut.cycles_per_word)

    async def watch(ctx):
        while True:
            _, _, reset = await ctx.tick().sample(dut.reset)
            resets.append(reset)

    run(dut, host, core(dut, 3, 5, taken), listener(dut.tx, DIVISOR, heard), watch)
    assert sum(resets) == 1
    assert taken == words_of(data)
    assert heard == bytes(255 - byte for byte in data)


def test_fault_lasts_until_a_break_which_empties_the_link() -> None:
    dut = SerialLink(DIVISOR, depth=8)
    data, heard, taken = random.Random(10).randbytes(8), bytearray(), []

    async def host(ctx):
        await idle(ctx, 4)
        await send(ctx, dut.rx, b"\x01", DIVISOR, stop=0)
        await idle(ctx, 10)
        assert ctx.get(dut.fault)
        await send(ctx, dut.rx, bytes(16), DIVISOR)
        await idle(ctx, dut.cycles_per_word)
        assert ctx.get(dut.fault)
        assert not taken
        assert not heard
        await send_break(ctx, dut.rx, DIVISOR)
        assert not ctx.get(dut.fault)
        await send(ctx, dut.rx, data, DIVISOR)
        await idle(ctx, 2 * dut.cycles_per_word)

    run(dut, host, core(dut, 4, 0, taken), listener(dut.tx, DIVISOR, heard))
    assert taken == words_of(data)
    assert heard == bytes(255 - byte for byte in data)
