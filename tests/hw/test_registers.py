"""The register bank: every register, every order of arrival on the bus, counters, refusals."""

from __future__ import annotations

import itertools
import random

import pytest
from amaranth.hdl import Signal
from amaranth.sim import Simulator
from reslif.hw import registers
from reslif.hw.registers import (
    OFFSETS,
    OKAY,
    REGISTERS,
    SLVERR,
    DesignInfo,
    Registers,
    register_map,
    register_table,
)
from reslif.sw.formats import Format

DIGEST = bytes(range(1, 33)).hex()
INFO = DesignInfo((1, 2, 3), DIGEST, 784, 10, 100, Format(5, 1, signed=True))


def simulate(testbench) -> None:
    dut = Registers(INFO, saturated_width=4)

    async def run(ctx):
        await testbench(ctx, dut)

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(run)
    simulator.run()


async def read(ctx, dut, offset: int, stall: int = 0) -> tuple[int, int]:
    """(data, response) of one read; the answer is left waiting for ``stall`` cycles."""
    bus = dut.bus
    ctx.set(bus.araddr, offset)
    ctx.set(bus.arvalid, 1)
    await ctx.tick().until(bus.arready)
    ctx.set(bus.arvalid, 0)
    ctx.set(bus.araddr, 0xFF)
    latency = 1
    while not ctx.get(bus.rvalid):
        await ctx.tick()
        latency += 1
    assert latency == dut.read_latency
    answer = ctx.get(bus.rdata), ctx.get(bus.rresp)
    for _ in range(stall):
        await ctx.tick()
        assert ctx.get(bus.rvalid)
        assert (ctx.get(bus.rdata), ctx.get(bus.rresp)) == answer
    ctx.set(bus.rready, 1)
    await ctx.tick()
    ctx.set(bus.rready, 0)
    assert not ctx.get(bus.rvalid)
    return answer


async def write(
    ctx, dut, offset: int, data: int, strobe: int = 0xF, lead: int = 0, stall: int = 0
) -> int:
    """The response to one write, whose address comes ``lead`` cycles before its data."""
    bus = dut.bus
    ctx.set(bus.awaddr, offset)
    ctx.set(bus.wdata, data)
    ctx.set(bus.wstrb, strobe)
    order = [bus.awvalid, bus.wvalid] if lead >= 0 else [bus.wvalid, bus.awvalid]
    ctx.set(order[0], 1)
    for _ in range(abs(lead)):
        await ctx.tick()
        assert not ctx.get(bus.bvalid)
    ctx.set(order[1], 1)
    await ctx.tick().until(bus.awready & bus.wready)
    ctx.set(bus.awvalid, 0)
    ctx.set(bus.wvalid, 0)
    while not ctx.get(bus.bvalid):
        await ctx.tick()
    for _ in range(stall):
        await ctx.tick()
        assert ctx.get(bus.bvalid)
    ctx.set(bus.bready, 1)
    response = ctx.get(bus.bresp)
    await ctx.tick()
    ctx.set(bus.bready, 0)
    assert not ctx.get(bus.bvalid)
    return response


def test_constant_registers() -> None:
    async def testbench(ctx, dut):
        found = {r.name: await read(ctx, dut, r.offset) for r in REGISTERS}
        assert {response for _, response in found.values()} == {OKAY}
        data = {name: value for name, (value, _) in found.items()}
        assert data.pop("identity").to_bytes(4, "big") == b"RSLF"
        digest = [data.pop(f"digest_{i}") for i in range(8)]
        assert b"".join(word.to_bytes(4, "big") for word in digest).hex() == DIGEST
        assert data == {
            "version": 0x010203,
            "control": 0,
            "status": 0,
            "inputs": 784,
            "classes": 10,
            "max_steps": 100,
            "input_format": 0x80000005,
            "saturations": 0,
            "cycles_low": 0,
            "cycles_high": 0,
            "samples": 0,
        }

    simulate(testbench)


def test_addresses_that_do_not_exist_answer_slverr() -> None:
    async def testbench(ctx, dut):
        for offset in range(0x50, 0x100, 4):
            assert await read(ctx, dut, offset) == (0, SLVERR)
            assert await write(ctx, dut, offset, 3) == SLVERR
        assert not ctx.get(dut.packed)

    simulate(testbench)


def test_only_control_can_be_written() -> None:
    async def testbench(ctx, dut):
        for register in REGISTERS:
            before = await read(ctx, dut, register.offset)
            response = await write(ctx, dut, register.offset, 1)
            after = await read(ctx, dut, register.offset)
            assert response == (OKAY if register.access == "read/write" else SLVERR)
            assert (before == after) == (register.name != "control")
            assert ctx.get(dut.packed) == (register.offset >= OFFSETS["control"])

    simulate(testbench)


def test_write_strobes_and_orders_of_arrival() -> None:
    async def testbench(ctx, dut):
        expected = 0
        cases = itertools.product((0, 1), (0xF, 0x1, 0xE, 0x0), (-3, -1, 0, 1, 3), (0, 2))
        for value, strobe, lead, stall in cases:
            offset = OFFSETS["control"]
            assert await write(ctx, dut, offset, value, strobe, lead, stall) == OKAY
            expected = value if strobe & 1 else expected
            assert ctx.get(dut.packed) == expected
            assert await read(ctx, dut, offset, stall) == (expected, OKAY)

    simulate(testbench)


def test_counters() -> None:
    async def testbench(ctx, dut):
        generator = random.Random(1)
        saturations = cycles = samples = 0
        for _ in range(200):
            saturated, busy, done = generator.randrange(16), generator.random() < 0.6, False
            done = generator.random() < 0.1
            ctx.set(dut.saturated, saturated)
            ctx.set(dut.busy, busy)
            ctx.set(dut.sample_done, done)
            await ctx.tick()
            saturations, cycles, samples = saturations + saturated, cycles + busy, samples + done
        ctx.set(dut.saturated, 0)
        ctx.set(dut.sample_done, 0)
        ctx.set(dut.busy, 0)
        assert await read(ctx, dut, OFFSETS["saturations"]) == (saturations, OKAY)
        assert await read(ctx, dut, OFFSETS["samples"]) == (samples, OKAY)
        assert await read(ctx, dut, OFFSETS["cycles_low"]) == (cycles, OKAY)
        assert await read(ctx, dut, OFFSETS["status"]) == (0, OKAY)
        ctx.set(dut.busy, 1)
        assert await read(ctx, dut, OFFSETS["status"]) == (1, OKAY)
        ctx.set(dut.busy, 0)
        assert await write(ctx, dut, OFFSETS["control"], 3) == OKAY
        for name in ("saturations", "samples", "cycles_low"):
            assert await read(ctx, dut, OFFSETS[name]) == (0, OKAY)
        assert await read(ctx, dut, OFFSETS["control"]) == (1, OKAY)

    simulate(testbench)


def test_cycles_are_read_as_one_64_bit_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """The low word is about to wrap while a host reads both."""

    def about_to_wrap(shape: int = 1) -> Signal:
        return Signal(shape, init=0xFFFF_FFF0 if shape == 64 else 0)

    monkeypatch.setattr(registers, "Signal", about_to_wrap)

    async def testbench(ctx, dut):
        ctx.set(dut.busy, 1)
        before, carried = 0, set()
        for _ in range(8):
            low, _ = await read(ctx, dut, OFFSETS["cycles_low"], stall=3)
            high, _ = await read(ctx, dut, OFFSETS["cycles_high"])
            now = high << 32 | low
            assert 0 < now - (before or now - 1) < 20
            before = now
            carried.add(high)
        assert carried == {0, 1}

    simulate(testbench)


def test_reads_and_writes_at_once_with_random_stalls() -> None:
    dut = Registers(INFO, saturated_width=4)
    answers: list[tuple[int, int]] = []

    async def reads(ctx):
        generator = random.Random(2)
        for _ in range(150):
            for _ in range(generator.randrange(3)):
                await ctx.tick()
            offset = generator.randrange(0, 0x60, 4)
            data, response = await read(ctx, dut, offset, generator.randrange(3))
            answers.append((offset, response))
            if offset == OFFSETS["inputs"]:
                assert data == 784
            if offset == OFFSETS["digest_7"]:
                assert data == int(DIGEST[-8:], 16)

    async def writes(ctx):
        generator = random.Random(3)
        for i in range(100):
            lead, stall = generator.randrange(-3, 4), generator.randrange(3)
            assert await write(ctx, dut, OFFSETS["control"], i & 1, 1, lead, stall) == OKAY
            assert ctx.get(dut.packed) == i & 1

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(reads)
    simulator.add_testbench(writes)
    simulator.run()
    assert all(response == (OKAY if offset < 0x50 else SLVERR) for offset, response in answers)
    assert len({response for _, response in answers}) == 2


def test_map_for_manifest_and_documentation() -> None:
    entries = register_map()
    assert [entry["offset"] for entry in entries] == list(range(0, 0x50, 4))
    assert entries[2] == {
        "offset": 8,
        "name": "control",
        "access": "read/write",
        "meaning": REGISTERS[2].meaning,
    }
    lines = register_table().splitlines()
    assert len(lines) == len(REGISTERS) + 2
    assert all(register.name in line for register, line in zip(REGISTERS, lines[2:], strict=True))
