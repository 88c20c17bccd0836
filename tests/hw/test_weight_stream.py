"""Streamed weights: whatever the memory's timing, the ring holds what the engine asked for."""

from __future__ import annotations

import random

import pytest
from amaranth.hdl import signed
from amaranth.sim import Simulator
from poisoned_memory import Poisoned
from reslif.hw.folds import FoldingError
from reslif.hw.sequential import weight_stream
from reslif.hw.sequential.program import Sequence
from reslif.hw.sequential.weight_stream import StreamedWeights, StreamLayout

LANES, BASE = 3, 0x1234_5000
SLVERR = 2


def drawn(seed: int) -> tuple[StreamLayout, tuple[int, ...]]:
    """A layout of rows of three weights, and the rows."""
    generator = random.Random(seed)
    bits = generator.choice([4, 11, 20, 40])
    counts = [
        generator.randrange(1, generator.choice([4, 40]))
        for _ in range(generator.choice([1, 2, 5]))
    ]
    layout = StreamLayout(LANES * bits, tuple(counts), generator.choice([32, 64, 1024]))
    return layout, tuple(generator.getrandbits(LANES * bits) for _ in range(layout.rows))


class Bench:
    """An engine and a memory, both with pauses of random length."""

    def __init__(self, layout, rows, seed, *, laps=3, error_at=None, wrong=None) -> None:
        self.layout, self.rows, self.laps = layout, rows, laps
        self.random = random.Random(seed)
        self.image, self.error_at = bytearray(layout.image(rows)), error_at
        if wrong is not None:
            self.image[wrong] ^= 1
        self.unit = StreamedWeights(layout, LANES, signed(layout.row_bits // LANES))
        self.found: list[list[int]] = []
        """The rows of each operation, as they were while the engine had them."""
        self.asked: list[tuple[int, int]] = []
        """Address and size in bytes of each burst."""

    def run(self, cycles: int = 20_000) -> None:
        simulator = Simulator(self.unit)
        simulator.add_clock(1e-8)
        simulator.add_testbench(self.memory, background=True)
        simulator.add_testbench(self.engine, background=True)
        self.cycles = cycles
        simulator.add_testbench(self.wait)
        simulator.run()

    async def wait(self, ctx) -> None:
        """Until the engine has gone through the program ``laps`` times, or for ``cycles``."""
        for _ in range(self.cycles):
            await ctx.tick()
            if len(self.found) == self.laps * len(self.layout.counts):
                break
        self.failed = bool(ctx.get(self.unit.failed))

    async def engine(self, ctx) -> None:
        port = self.unit.port
        ctx.set(self.unit.base, BASE >> 12)
        ctx.set(self.unit.started, 1)
        eager = self.random.random() < 0.5
        while True:
            for count in self.layout.counts:
                ctx.set(port.count, count)
                while not ctx.get(port.ready):
                    await ctx.tick()
                base = ctx.get(port.base)
                for _ in range(0 if eager else self.random.randrange(60)):
                    await ctx.tick()
                found = []
                ctx.set(port.rows.enable, 1)
                for i in range(count):
                    ctx.set(port.rows.addr, (base + i) % self.layout.depth)
                    await ctx.tick()
                    found.append(ctx.get(port.rows.data.as_value()))
                ctx.set(port.rows.enable, 0)
                ctx.set(port.done, 1)
                await ctx.tick()
                ctx.set(port.done, 0)
                self.found.append(found)

    async def memory(self, ctx) -> None:
        bus, size = self.unit.memory, self.layout.bus_bits // 8
        waiting: list[tuple[int, bool]] = []
        chance = self.random.choice([1.0, 0.5, 0.1])
        while True:
            ctx.set(bus.arready, self.random.random() < chance)
            valid = bool(waiting) and self.random.random() < chance
            ctx.set(bus.rvalid, valid)
            if valid:
                offset, last = waiting.pop(0)
                failed = self.error_at is not None and offset <= self.error_at < offset + size
                ctx.set(bus.rdata, int.from_bytes(self.image[offset : offset + size], "little"))
                ctx.set(bus.rlast, last)
                ctx.set(bus.rresp, SLVERR if failed else 0)
            asks = ctx.get(bus.arvalid) and ctx.get(bus.arready)
            if asks:
                address, beats = ctx.get(bus.araddr), ctx.get(bus.arlen) + 1
                assert ctx.get(bus.arsize) == size.bit_length() - 1
                assert ctx.get(bus.arburst) == 1
                self.asked.append((address, beats * size))
                offset = address - BASE
                waiting += [(offset + i * size, i == beats - 1) for i in range(beats)]
            assert ctx.get(bus.rready)
            await ctx.tick()

    @property
    def expected(self) -> list[list[int]]:
        rows, first = [], 0
        for count in self.layout.counts:
            rows.append(list(self.rows[first : first + count]))
            first += count
        return rows * self.laps


@pytest.mark.parametrize("seed", range(20))
def test_rows_are_there_whatever_the_timing(seed, monkeypatch):
    # Nor does it use what it reads in the cycle that writes it.
    monkeypatch.setattr(weight_stream, "memory", Poisoned)
    layout, rows = drawn(seed)
    bench = Bench(layout, rows, seed)
    bench.run()
    assert not bench.failed
    assert bench.found == bench.expected
    end = BASE + len(bench.image)
    for address, size in bench.asked:
        assert BASE <= address < address + size <= end
        assert address // 4096 == (address + size - 1) // 4096
    # Fetched ahead: more than the engine has had, and no more than there is room for.
    fetched = sum(size for _, size in bench.asked) * 8 // layout.padded
    used = bench.laps * layout.rows
    assert used <= fetched <= used + layout.depth


def test_one_wrong_bit_in_memory_is_one_wrong_row():
    layout, rows = drawn(2)
    bench = Bench(layout, rows, 2, laps=1, wrong=layout.padded // 8 * 1)
    bench.run()
    pairs = [
        pair
        for a, b in zip(bench.found, bench.expected, strict=True)
        for pair in zip(a, b, strict=True)
    ]
    assert [i for i, (a, b) in enumerate(pairs) if a != b] == [1]
    assert pairs[1][0] ^ pairs[1][1] == 1


@pytest.mark.parametrize("seed", range(20, 26))
def test_a_row_that_came_with_an_error_is_never_used(seed):
    layout, rows = drawn(seed)
    generator = random.Random(seed)
    bad = generator.randrange(layout.rows)
    bench = Bench(layout, rows, seed, error_at=bad * layout.padded // 8)
    bench.run(2000)
    clean = [count for i, count in enumerate(layout.counts) if sum(layout.counts[: i + 1]) <= bad]
    assert bench.failed
    assert len(bench.found) <= len(clean)
    assert bench.found == bench.expected[: len(bench.found)]


class Careless(StreamLayout):
    """Bursts as long as can be."""

    burst_rows = 16  # pyright: ignore[reportAssignmentType, reportIncompatibleMethodOverride]


@pytest.mark.parametrize(("kind", "operations"), [(StreamLayout, 9), (Careless, 2)])
def test_an_operation_never_waits_for_room_that_it_takes_itself(kind, operations):
    layout = kind(LANES * 11, (3, 5, 27))
    bench = Bench(layout, tuple(range(layout.rows)), 1)
    bench.run(4000)
    assert len(bench.found) == operations


def test_layouts():
    layout = StreamLayout(64, (128, 64, 64, 32))
    assert (layout.padded, layout.bus_bits, layout.beats, layout.burst_rows) == (64, 64, 1, 16)
    assert (layout.rows, layout.bursts, layout.depth) == (288, 18, 256)
    wide = StreamLayout(33 * 40, (10, 5), widest=512)
    assert (wide.padded, wide.bus_bits, wide.beats, wide.burst_rows) == (2048, 512, 4, 4)
    assert StreamLayout(12, (3, 9)).burst_rows == 2
    assert StreamLayout(12, (3,)).image((1, 0x1FF, 2)) == bytes(
        [1, 0, 0, 0, 0xFF, 1, 0, 0, 2, 0, 0, 0]
    )


def test_a_source_that_does_not_exist_is_refused():
    with pytest.raises(FoldingError, match=r"weights is 'disk', .* must be one of block"):
        Sequence(8, "disk")  # pyright: ignore[reportArgumentType]
