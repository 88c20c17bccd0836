"""Helpers that compare a convolution in Amaranth's simulator with integer sums in plain loops."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from amaranth.hdl import Module, Shape, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from reslif.hw.conv import Conv
from reslif.hw.conv_layout import ConvLayout, conv_rows, taps_choices
from reslif.hw.streams import current_stream, spike_stream
from reslif.hw.weights import WeightMemory
from streams_sim import beats_of, events_of, run, values_of

SPIKES = {"binary": Shape(1), "graded": unsigned(3), "signed": signed(4)}


class Layer(wiring.Component):
    """A convolution and its weights."""

    def __init__(self, layout: ConvLayout, weight: np.ndarray) -> None:
        self.layout = layout
        self.conv = Conv(layout)
        rows = conv_rows(weight, layout)
        self.memory = WeightMemory(rows.T.tolist(), rows.shape[1], layout.weight)
        members: dict[str, wiring.Member] = {
            "spikes": In(spike_stream(layout.inputs, layout.spike)),
            "currents": Out(current_stream(layout.out_lanes, layout.current)),
        }
        if layout.initial is not None:
            members["initial"] = In(current_stream(layout.out_lanes, layout.initial))
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.conv, m.submodules.memory = self.conv, self.memory
        wiring.connect(m, self.conv.rows, self.memory.port)
        wiring.connect(m, wiring.flipped(self.spikes), self.conv.spikes)
        wiring.connect(m, self.conv.currents, wiring.flipped(self.currents))
        if self.layout.initial is not None:
            wiring.connect(m, wiring.flipped(self.initial), self.conv.initial)
        return m


@dataclass(frozen=True)
class Case:
    """A layout with weights and ``[T, B, n]`` inputs and, if it has one, ``[T, B, n]`` shortcut."""

    layout: ConvLayout
    weight: np.ndarray
    values: np.ndarray
    shortcut: np.ndarray | None = None

    @cached_property
    def expected(self) -> np.ndarray:
        """``[T, B, n]`` sums."""
        layout = self.layout
        channels, height, width = layout.shape
        flat = self.values.reshape(-1, height, width, channels)
        bias = np.array(layout.bias)
        out = np.stack(
            [
                gathered(self.weight, bias, image, layout.stride, layout.padding, layout.groups)
                for image in flat
            ]
        )
        sums = out.reshape(*self.values.shape[:2], -1) << layout.align[0]
        if self.shortcut is not None:
            sums = sums + (self.shortcut << layout.align[1])
        return sums

    @property
    def step_cycles(self) -> list[int]:
        """Cycles of each timestep, sample after sample."""
        steps = self.values.transpose(1, 0, 2).reshape(-1, self.layout.inputs)
        return [self.layout.cycles_per_step(np.flatnonzero(step)) for step in steps]

    def simulate(
        self, idle: float = 0.0, stall: float = 0.0, seed: int = 0, dut: Any = None
    ) -> Result:
        """What the hardware makes of it, with random pauses of its sources and its sink."""
        layout = self.layout
        inputs: dict[str, Any] = {"spikes": events_of(self.values)}
        if self.shortcut is not None:
            inputs["initial"] = beats_of(self.shortcut, layout.out_lanes)
        steps, batch, _ = self.values.shape
        got = run(
            dut or Layer(layout, self.weight),
            inputs,
            "currents",
            steps * batch * layout.beats,
            idle=idle,
            stall=stall,
            seed=seed,
        )
        sums = values_of(got, (steps, batch, layout.size), layout.out_lanes)
        ends = [(int(beat.end_of_step), int(beat.end_of_sample)) for _, beat in got]
        return Result(sums, ends, [cycle for cycle, _ in got])

    @property
    def ends(self) -> list[tuple[int, int]]:
        """The marks that all beats must carry."""
        steps, batch, _ = self.values.shape
        step = [(0, 0)] * (self.layout.beats - 1)
        return ([*step, (1, 0)] * (steps - 1) + [*step, (1, 1)]) * batch


@dataclass(frozen=True)
class Result:
    """``[T, B, n]`` sums, (end of step, end of sample) of every beat, and its cycle."""

    sums: np.ndarray
    ends: list[tuple[int, int]]
    cycles: list[int]


def gathered(
    weight: np.ndarray,
    bias: np.ndarray,
    image: np.ndarray,
    stride: tuple[int, int],
    padding: tuple[int, int],
    groups: int,
) -> np.ndarray:
    """The convolution ``[out height, out width, out]`` of ``image`` ``[height, width, in]``.

    Each output gathers its inputs, where the hardware scatters each input to its outputs.
    """
    height, width, _ = image.shape
    outputs, inputs, *kernel = weight.shape
    out_height, out_width = (
        (size + 2 * p - k) // s + 1
        for size, k, s, p in zip((height, width), kernel, stride, padding, strict=True)
    )
    out = np.tile(bias, (out_height, out_width, 1)).astype(np.int64)
    for oy, ox, ky, kx in np.ndindex(out_height, out_width, *kernel):
        y, x = oy * stride[0] + ky - padding[0], ox * stride[1] + kx - padding[1]
        if not (0 <= y < height and 0 <= x < width):
            continue
        for output in range(outputs):
            first = output // (outputs // groups) * inputs
            out[oy, ox, output] += weight[output, :, ky, kx] @ image[y, x, first : first + inputs]
    return out


def layout_of(shape: tuple[int, int, int], out: int, kernel: Any, **options: Any) -> ConvLayout:
    """A layout with defaults, and biases that differ."""
    both = {
        name: (value, value) if isinstance(value, int) else value
        for name, value in (
            ("kernel", kernel),
            ("stride", options.pop("stride", 1)),
            ("padding", options.pop("padding", 0)),
        )
    }
    values = {
        "groups": 1, "lanes": 1, "out_lanes": 1, "taps": 1,
        "spike": SPIKES["binary"], "weight": signed(4), "current": signed(16),
        "bias": tuple((7 * i) % 23 - 11 for i in range(out)),
    }  # fmt: skip
    return ConvLayout(shape, out, **both, **{**values, **options})


def random_case(layout: ConvLayout, seed: int, steps: int = 4, batch: int = 2) -> Case:
    """Random weights and inputs: timesteps without events, and with all of them, included."""
    rng = np.random.default_rng(seed)
    weight = _uniform(
        rng,
        layout.weight,
        (layout.out_channels, layout.shape[0] // layout.groups, *layout.kernel),
    )
    shape = (steps, batch, layout.inputs)
    kinds = rng.permutation([0.0, 1.0, *rng.choice([0.15, 0.5], steps * batch)][: steps * batch])
    density = kinds.reshape(steps, batch, 1)
    values = _uniform(rng, layout.spike, shape) if layout.graded else np.ones(shape, np.int64)
    shortcut = None
    if layout.initial is not None:
        shortcut = _uniform(rng, layout.initial, (steps, batch, layout.size))
    return Case(layout, weight, values * (rng.random(shape) < density), shortcut)


def random_layout(seed: int) -> ConvLayout:
    """Any kernel, stride, padding, groups, folding and values, all small."""
    rng = np.random.default_rng(seed)

    def one(*choices: Any) -> Any:
        return choices[rng.integers(len(choices))]

    kernel = one((1, 1), (2, 3), (3, 3), (3, 3), (3, 1), (1, 2), (2, 2))
    padding = tuple(int(rng.integers(k)) for k in kernel)
    image = tuple(
        int(rng.integers(max(1, k - 2 * p), 5)) for k, p in zip(kernel, padding, strict=True)
    )
    groups = one(1, 1, 2, 3)
    channels, each = groups * one(1, 2), one(1, 2, 4, 6)
    lanes = one(*(n for n in range(1, each + 1) if each % n == 0))
    initial = one(None, None, signed(8), unsigned(5))
    return layout_of(
        (channels, *image),
        groups * each,
        kernel,
        stride=(one(1, 1, 2, 3), one(1, 1, 2, 3)),
        padding=padding,
        groups=groups,
        lanes=lanes,
        out_lanes=one(*(n for n in range(1, lanes + 1) if lanes % n == 0)),
        taps=one(*taps_choices(kernel)),
        spike=one(*SPIKES.values()),
        weight=one(signed(4), signed(3), unsigned(2)),
        bias=tuple(rng.integers(-50, 50, groups * each).tolist()),
        initial=initial,
        align=(0, 0) if initial is None else (one(0, 0, 2), one(0, 1, 3)),
    )


def _uniform(rng: np.random.Generator, shape: Shape, size: tuple[int, ...]) -> np.ndarray:
    low = -(1 << shape.width - 1) if shape.signed else 0
    return rng.integers(low, low + (1 << shape.width), size)
