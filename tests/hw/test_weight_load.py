"""Weights that a host sends: every row in its place, none before all are there, SPRAM."""

from __future__ import annotations

import json
import random
import subprocess

import numpy as np
import pytest
from amaranth.back import verilog
from amaranth.hdl import signed
from amaranth.sim import Simulator
from poisoned_memory import Poisoned
from reslif.bitstreams.tools import find
from reslif.hw.registers import OFFSETS, DesignInfo, Registers, registers_of
from reslif.hw.sequential import weight_load
from reslif.hw.sequential.weight_load import LoadedWeights, load_image, without_contents
from reslif.sw.formats import Format

LANES = 4


async def send(ctx, unit, image: bytes, generator: random.Random) -> None:
    for word in np.frombuffer(image, "<u4"):
        while generator.random() < 0.3:
            await ctx.tick()
        assert ctx.get(unit.words.ready)
        assert not ctx.get(unit.port.ready)
        ctx.set(unit.words.payload, int(word))
        ctx.set(unit.words.valid, 1)
        await ctx.tick()
        ctx.set(unit.words.valid, 0)
        ctx.set(unit.words.payload, 0)


async def read(ctx, unit, row: int) -> int:
    ctx.set(unit.port.row, row)
    ctx.set(unit.port.rows.addr, ctx.get(unit.port.base))
    ctx.set(unit.port.rows.enable, 1)
    await ctx.tick()
    ctx.set(unit.port.rows.enable, 0)
    await ctx.tick()
    return ctx.get(unit.port.rows.data.as_value())


@pytest.mark.parametrize(("bits", "count"), [(3, 1), (8, 5), (9, 13), (16, 4), (24, 7)])
def test_rows_are_loaded_and_loaded_anew(bits, count, monkeypatch):
    """Of part of a word, of one, of one and a bit, of two, of three."""
    # Nor does it use what it reads in the cycle that writes it.
    monkeypatch.setattr(weight_load, "memory", Poisoned)
    unit, generator = LoadedWeights(count, LANES, signed(bits)), random.Random(bits)

    async def testbench(ctx):
        for _ in range(3):
            rows = tuple(generator.getrandbits(LANES * bits) for _ in range(count))
            await send(ctx, unit, load_image(rows, LANES * bits), generator)
            assert ctx.get(unit.port.ready)
            assert ctx.get(unit.loaded)
            assert not ctx.get(unit.words.ready)
            ctx.set(unit.words.valid, 1)  # what comes later is not for the weights
            ctx.set(unit.words.payload, 0xFFFF_FFFF)
            await ctx.tick().repeat(3)
            ctx.set(unit.words.valid, 0)
            order = generator.sample(range(count), count)
            assert [await read(ctx, unit, i) for i in order] == [rows[i] for i in order]
            ctx.set(unit.reload, 1)
            await ctx.tick()
            ctx.set(unit.reload, 0)

    simulator = Simulator(unit)
    simulator.add_clock(1e-8)
    simulator.add_testbench(testbench)
    simulator.run()


def test_registers_of_loaded_and_of_streamed_weights():
    info = DesignInfo((1, 2, 3), "00" * 32, 4, 2, 8, Format(1, 0, signed=False))
    for weights in ("loaded", "stream"):
        unit = Registers(info, 4, weights)

        async def testbench(ctx, unit=unit, weights=weights):
            async def write(offset, value, strobe=0xF):
                bus = unit.bus
                ctx.set(bus.awaddr, offset)
                ctx.set(bus.wdata, value)
                ctx.set(bus.wstrb, strobe)
                ctx.set(bus.awvalid, 1)
                ctx.set(bus.wvalid, 1)
                ctx.set(bus.bready, 1)
                reloads, response = 0, None
                while response is None:
                    await ctx.tick()
                    if ctx.get(bus.awready):
                        reloads += ctx.get(unit.reload) if weights == "loaded" else 0
                        await ctx.tick()
                        ctx.set(bus.awvalid, 0)
                        ctx.set(bus.wvalid, 0)
                        response = ctx.get(bus.bresp)
                await ctx.tick()
                return response, reloads

            async def value(name):
                bus = unit.bus
                ctx.set(bus.araddr, OFFSETS[name])
                ctx.set(bus.arvalid, 1)
                ctx.set(bus.rready, 1)
                await ctx.tick()
                ctx.set(bus.arvalid, 0)
                while not ctx.get(bus.rvalid):
                    await ctx.tick()
                found = ctx.get(bus.rdata), ctx.get(bus.rresp)
                await ctx.tick()
                return found

            if weights == "loaded":
                assert await value("status") == (0, 0)
                ctx.set(unit.weights_loaded, 1)
                assert await value("status") == (4, 0)
                assert await write(0x08, 4) == (0, 1)
                ctx.set(unit.busy, 1)
                assert await write(0x08, 4) == (0, 0)
                assert await value("status") == (5, 0)
                assert await value("weights_base") == (0, 2)
                return
            assert (await write(0x50, 0x1234_5678, 0x7))[0] == 2
            assert not ctx.get(unit.weights_started)
            assert (await write(0x50, 0x1234_5678))[0] == 0
            assert ctx.get(unit.weights_started)
            assert ctx.get(unit.weights_base) == 0x12345
            assert await value("weights_base") == (0x1234_5000, 0)
            assert (await write(0x50, 0))[0] == 2
            assert await value("weights_base") == (0x1234_5000, 0)
            ctx.set(unit.weights_failed, 1)
            assert await value("status") == (2, 0)

        simulator = Simulator(unit)
        simulator.add_clock(1e-8)
        simulator.add_testbench(testbench)
        simulator.run()
    assert [r.name for r in registers_of("stream")][-1] == "weights_base"


@pytest.mark.parametrize(("rows", "bits", "expected"), [(16384, 4, 1), (40000, 4, 3), (8192, 8, 2)])
def test_rows_lie_in_spram(rows, bits, expected, tmp_path):
    unit = LoadedWeights(rows, LANES, signed(bits))
    text = verilog.convert(unit, name="top", emit_src=False)
    (tmp_path / "top.v").write_text(without_contents(text))
    with pytest.raises(ValueError, match="has 0 huge memories with contents"):
        without_contents(without_contents(text))
    script = "read_verilog top.v; synth_ice40 -device u -top top -run begin:map_ffram; "
    script += "tee -q -o stat.json stat -json"
    subprocess.run(
        [find("YOSYS"), "-q", "-l", "log", "-p", script], cwd=tmp_path, check=True,
        capture_output=True,
    )  # fmt: skip
    cells = json.loads((tmp_path / "stat.json").read_text())["modules"]["\\top"]
    assert cells["num_cells_by_type"].get("SB_SPRAM256KA") == expected
    assert "SB_RAM40_4K" not in cells["num_cells_by_type"]
