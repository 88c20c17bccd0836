"""Helpers that compare an array of neurons with the golden step of its node, bit for bit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator
from reslif.hw.models import neuron_array, neuron_config
from reslif.hw.streams import current_stream, shape_of, words_of
from reslif.sw.formats import Format
from reslif.sw.golden import neuron_step
from reslif.sw.network import LIF, LSTM, Adaptive, Alpha, Neuron, Synaptic
from reslif.sw.neurons.table import Tanh
from streams_sim import beats_of, stream_get, stream_put, values_of

RESETS = [
    ("subtract", True),
    ("subtract", False),
    ("zero", True),
    ("zero", False),
    ("none", True),
]
_THRESHOLDS = np.array([20, 40, 60, 80, 90, 100])
_TANH = Tanh.of(step=4, frac=7)
EXAMPLES: tuple[Neuron, ...] = (
    LIF("n", 6, Format(9, 5), np.array(13), 4, _THRESHOLDS),
    Synaptic("n", 6, Format(9, 5), Format(8, 4), np.array(9), np.array(13), 4, _THRESHOLDS),
    Alpha(
        "n",
        6,
        Format(10, 4),
        Format(9, 4),
        *(np.array(14), np.array(9), 4, np.array(30), 3, _THRESHOLDS, "subtract"),
    ),
    Adaptive(
        "n",
        6,
        Format(9, 5),
        Format(7, 5, signed=False),
        *(np.array(13), np.array(15), 4, _THRESHOLDS, np.array(30)),
    ),
    LSTM(
        "n",
        6,
        Format(9, 8),
        Format(10, 8),
        *(6, _TANH.entries, _TANH.step, _TANH.frac, _THRESHOLDS, "subtract"),
    ),
)
"""A node of each kind, six neurons each, with numbers of their own."""
SENDS = ("spike", "membrane", "margin")


def random_currents(form: Format, size: int, steps: int, batch: int = 3) -> np.ndarray:
    """``[T, B, n]``: some steps saturate what they drive, in others the currents are small."""
    rng = np.random.default_rng(2)
    currents = rng.integers(form.min, form.max + 1, (steps, batch, size))
    return currents >> rng.choice([0, 0, 1, 3, 4], (steps, batch, 1))


class Array(wiring.Component):
    """The neurons of a node, configured."""

    def __init__(self, node: Neuron, lanes: int, current: Format) -> None:
        self.node = node
        align = node.current_frac - current.frac
        self.array = neuron_array(node, lanes, shape_of(current), align, SENDS)
        spike = self.array.spikes.payload.values[0].shape()
        super().__init__(
            {
                "currents": In(current_stream(lanes, shape_of(current))),
                "spikes": Out(current_stream(lanes, spike)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.array = self.array
        m.d.comb += self.array.config.eq(neuron_config(self.node))
        wiring.connect(m, wiring.flipped(self.currents), self.array.currents)
        wiring.connect(m, self.array.spikes, wiring.flipped(self.spikes))
        return m


@dataclass
class Seen:
    """``[T, B, n]`` by state, and as ``sent.spike`` and so on; clipped values; output beats."""

    values: dict[str, np.ndarray]
    saturated: int
    beats: list[tuple[int, Any]]


def expected(node: Neuron, currents: np.ndarray, current: Format) -> Seen:
    """What the golden step makes of raw ``currents`` ``[T, B, n]`` in the format ``current``."""
    zero = np.zeros((currents.shape[1], node.size), np.int64)
    state = dict.fromkeys([*node.states, "fired"], zero)
    rows, saturated = [], 0
    for step in currents << (node.current_frac - current.frac):
        update, clipped = neuron_step(node, state, step)
        saturated += clipped
        state = update.state | {"fired": update.fired}
        sent = {
            "sent.spike": update.fired,
            "sent.membrane": update.state["membrane"],
            "sent.margin": update.margin,
        }
        rows.append(update.state | sent)
    return Seen({name: np.stack([row[name] for row in rows]) for name in rows[0]}, saturated, [])


def simulate(
    node: Neuron,
    lanes: int,
    currents: np.ndarray,
    current: Format,
    idle: float = 0.0,
    stall: float = 0.0,
    seed: int = 0,
) -> Seen:
    """What the hardware makes of the same, with random pauses of its source and its sink."""
    dut = Array(node, lanes, current)
    shape = (currents.shape[0], currents.shape[1], node.size)
    count = words_of(node.size, lanes) * shape[0] * shape[1]
    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    rows: dict[str, list[int]] = {name: [] for name in node.states}
    got: list[tuple[int, Any]] = []
    saturated = 0

    async def feed(ctx: Any) -> None:
        await stream_put(ctx, dut.currents, beats_of(currents, lanes), idle, seed + 1)

    async def collect(ctx: Any) -> None:
        got.extend(await stream_get(ctx, dut.spikes, count, stall, seed))
        await ctx.tick().repeat(3)

    async def watch(ctx: Any) -> None:
        nonlocal saturated
        signals = [signal for pair in dut.array.probes.values() for signal in pair]
        while True:
            _, _, clipped, *probed = await ctx.tick().sample(dut.array.saturated, *signals)
            saturated += clipped
            for name, valid, word in zip(dut.array.probes, probed[::2], probed[1::2], strict=True):
                if valid:
                    rows[name].append(word)

    simulator.add_testbench(feed, background=True)
    simulator.add_testbench(watch, background=True)
    simulator.add_testbench(collect)
    simulator.run()
    values = {f"sent.{field}": values_of(got, shape, lanes, field) for field in SENDS}
    for name, form in node.states.items():
        values[name] = _unpacked(rows[name], form, shape, lanes)
    return Seen(values, saturated, got)


def _unpacked(rows: list[int], form: Format, shape: tuple[int, int, int], lanes: int) -> np.ndarray:
    """Words of ``lanes`` values as ``[T, B, n]``."""
    mask = (1 << form.width) - 1
    raw = [[row >> (lane * form.width) & mask for lane in range(lanes)] for row in rows]
    array = np.array(raw, np.int64).reshape(shape[1], shape[0], -1)[:, :, : shape[2]]
    array -= (array > form.max) * (1 << form.width)
    return array.transpose(1, 0, 2)


def assert_same(got: Seen, want: Seen) -> None:
    assert got.values.keys() == want.values.keys()
    for name, value in want.values.items():
        np.testing.assert_array_equal(got.values[name], value, err_msg=name)
    assert got.saturated == want.saturated


def differ(got: Seen, want: Seen) -> set[str]:
    """The quantities in which the two differ."""
    return {name for name, value in want.values.items() if (got.values[name] != value).any()}
