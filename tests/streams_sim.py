"""Helpers that drive streams in Amaranth's simulator, with seeded stalls."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from amaranth.sim import Simulator


async def stream_put(
    ctx: Any, stream: Any, payloads: Iterable[Any], idle: float = 0.0, seed: int = 0
) -> None:
    """Offer ``payloads`` one after the other, pausing with probability ``idle``."""
    pause = random.Random(seed)
    for payload in payloads:
        while pause.random() < idle:
            ctx.set(stream.valid, 0)
            await ctx.tick()
        ctx.set(stream.payload, payload)
        ctx.set(stream.valid, 1)
        await ctx.tick().until(stream.ready)
    ctx.set(stream.valid, 0)


async def stream_get(
    ctx: Any, stream: Any, count: int, stall: float = 0.0, seed: int = 0, limit: int = 20_000
) -> list[tuple[int, Any]]:
    """Take ``count`` payloads, each with the cycle in which it came."""
    pause = random.Random(seed)
    taken: list[tuple[int, Any]] = []
    ready = False
    for cycle in range(limit):
        ready = pause.random() >= stall
        ctx.set(stream.ready, ready)
        _, _, valid, payload = await ctx.tick().sample(stream.valid, stream.payload)
        if valid and ready:
            taken.append((cycle, payload))
            if len(taken) == count:
                ctx.set(stream.ready, 0)
                return taken
    raise AssertionError(f"{len(taken)} of {count} payloads after {limit} cycles: deadlock")


def run(
    dut: Any,
    inputs: dict[str, Sequence[Any]],
    output: str,
    count: int,
    *,
    idle: float = 0.0,
    stall: float = 0.0,
    settings: dict[str, Any] | None = None,
    seed: int = 0,
) -> list[tuple[int, Any]]:
    """Feed each stream of ``inputs``, and collect ``count`` payloads of ``output``."""
    result: list[tuple[int, Any]] = []

    async def collect(ctx: Any) -> None:
        result.extend(await stream_get(ctx, getattr(dut, output), count, stall, seed))

    async def configure(ctx: Any) -> None:
        for name, value in (settings or {}).items():
            ctx.set(getattr(dut, name), value)

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(configure)
    for i, (name, payloads) in enumerate(inputs.items()):

        async def feed(ctx: Any, name: str = name, payloads: Any = payloads, i: int = i) -> None:
            await stream_put(ctx, getattr(dut, name), payloads, idle, seed + 1 + i)

        simulator.add_testbench(feed, background=True)
    simulator.add_testbench(collect)
    simulator.run()
    return result


def events_of(samples: np.ndarray) -> list[dict[str, int]]:
    """``[T, B, n]`` values as the events of sample after sample."""
    steps, batch, _ = samples.shape
    events = []
    for b in range(batch):
        for t in range(steps):
            for i in np.flatnonzero(samples[t, b]):
                events.append(
                    {
                        "index": int(i),
                        "value": int(samples[t, b, i]),
                        "end_of_step": 0,
                        "end_of_sample": 0,
                    }
                )
            last = int(t == steps - 1)
            events.append({"index": 0, "value": 0, "end_of_step": 1, "end_of_sample": last})
    return events


def beats_of(samples: np.ndarray, lanes: int) -> list[dict[str, Any]]:
    """``[T, B, n]`` values as beats of ``lanes``, the last of a step filled with zeros."""
    steps, batch, size = samples.shape
    beats = []
    for b in range(batch):
        for t in range(steps):
            for first in range(0, size, lanes):
                values = [int(v) for v in samples[t, b, first : first + lanes]]
                last = first + lanes >= size
                beats.append(
                    {
                        "values": values + [0] * (lanes - len(values)),
                        "end_of_step": int(last),
                        "end_of_sample": int(last and t == steps - 1),
                    }
                )
    return beats


def values_of(
    beats: Sequence[tuple[int, Any]], shape: tuple[int, int, int], lanes: int, field: str = ""
) -> np.ndarray:
    """The inverse of :func:`beats_of`; ``field`` selects one of each value's fields."""
    steps, batch, size = shape
    words = -(-size // lanes)
    rows = [
        [int(value[field]) if field else int(value) for value in beat.values] for _, beat in beats
    ]
    array = np.array(rows, np.int64).reshape(batch, steps, words * lanes)[:, :, :size]
    return array.transpose(1, 0, 2)
