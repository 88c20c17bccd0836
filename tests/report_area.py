"""Part 4 of `make neurons`: what each family's hardware takes, in cells and in cycles."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from amaranth.back import verilog
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from neuron_sim import random_currents, simulate
from reslif.bitstreams.devices import device
from reslif.bitstreams.flow import measure
from reslif.hw.models import neuron_array, neuron_config
from reslif.hw.streams import current_stream, shape_of
from reslif.sw.formats import Format
from reslif.sw.network import LIF, LSTM, Adaptive, Alpha, Neuron, Synaptic, Tanh

SIZE, LANES, STEPS = 256, 16, 6
CURRENT = Format(10, 0)

CAPTION = (
    f"An array of {SIZE} neurons alone, {LANES} of them updated a cycle, on an ECP5-85k (Yosys "
    "`synth_ecp5`, nextpnr, seed 1): logic cells are TRELLIS_COMB, multipliers MULT18X18D, memory "
    "ports those of all block RAMs together. Membranes have 12 bits (of the LSTM 10), other states "
    "8 to 12, currents 10. *Cycles* are measured in simulation, per timestep of all neurons in "
    "steady state, and per neuron."
)


def families() -> dict[str, Neuron]:
    """One node of each family, and LIF with numbers of each neuron's own."""
    membrane, table = Format(12, 4), Tanh.of(6, 8)
    leak, theta = np.array(13), np.array(400)
    own = np.random.default_rng(0)
    leaks, thetas = own.integers(1, 16, SIZE), own.integers(100, 900, SIZE)
    return {
        "LIF": LIF("n", SIZE, membrane, leak, 4, theta),
        "LIF, leak 15/16": LIF("n", SIZE, membrane, np.array(15), 4, theta),
        "LIF, per neuron": LIF("n", SIZE, membrane, leaks, 4, thetas),
        "Synaptic": Synaptic("n", SIZE, membrane, Format(10, 3), np.array(11), leak, 4, theta),
        "Alpha": Alpha(
            "n", SIZE, membrane, Format(12, 4), leak, np.array(11), 4, np.array(27), 4, theta
        ),
        "Adaptive": Adaptive(
            "n", SIZE, membrane, Format(8, 4, False), leak, leak, 4, theta, np.array(40)
        ),
        "LSTM": LSTM(
            "n", SIZE, Format(10, 8), Format(12, 8), 8, table.entries, table.step, table.frac,
            np.array(60),
        ),
    }  # fmt: skip


class _Alone(wiring.Component):
    """An array with its configuration tied, as a dataflow design has it."""

    def __init__(self, node: Neuron) -> None:
        self.node = node
        self.array = neuron_array(node, LANES, shape_of(CURRENT), node.current_frac - CURRENT.frac)
        sent = self.array.spikes.payload.values[0].shape()
        super().__init__(
            {
                "currents": In(current_stream(LANES, shape_of(CURRENT))),
                "spikes": Out(current_stream(LANES, sent)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.array = self.array
        m.d.comb += self.array.config.eq(neuron_config(self.node))
        wiring.connect(m, wiring.flipped(self.currents), self.array.currents)
        wiring.connect(m, self.array.spikes, wiring.flipped(self.spikes))
        return m


def cycles(node: Neuron) -> float:
    """Cycles of a timestep in steady state: from the third step's first beat to the last's."""
    currents = random_currents(CURRENT, node.INPUTS * node.size, STEPS, batch=1)
    if isinstance(node, LSTM):
        currents = currents.reshape(STEPS, 1, -1)
    starts = [cycle for cycle, _ in simulate(node, LANES, currents, CURRENT).beats]
    words = node.size // LANES
    return (starts[-words] - starts[2 * words]) / (STEPS - 3)


def table(
    say: Callable[[str], None] = print, wanted: Mapping[str, Neuron] | None = None
) -> list[dict[str, Any]]:
    """A row for each family."""
    rows = []
    for name, node in (families() if wanted is None else wanted).items():
        design = _Alone(node)
        with tempfile.TemporaryDirectory() as folder:
            text = verilog.convert(design, name="top", strip_internal_attrs=True, emit_src=False)
            (Path(folder) / "top.v").write_text(text)
            usage = measure(Path(folder), device("ecp5-85k"))
        per_step = cycles(node)
        rows.append(
            {
                "neuron": name,
                "logic cells": usage.luts,
                "flip-flops": usage.ffs,
                "block RAMs": usage.brams,
                "multipliers": usage.dsps,
                "memory ports": design.array.memory_ports,
                "fmax MHz": round(usage.fmax_mhz, 1),
                "latency": design.array.latency,
                "cycles a step": round(per_step, 1),
                "cycles a neuron": round(per_step / node.size, 4),
            }
        )
        say(f"{name}: {usage.luts} cells, {per_step:g} cycles a step")
    return rows
