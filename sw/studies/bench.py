"""The benchmark: two networks of a published SNN generator, built and measured here.

Part of the front door, as :mod:`reslif.sw.flow` is. Weights and input spikes come from a fixed
seed; the cycles are those of the simulated Verilog, in which every probe is compared with the
golden model first; the area is that of the same Verilog, placed and routed.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from .. import golden
from ..formats import Format, IntArray
from ..network import LIF, Dense, Edge, Input, Network, Readout
from ..network_file import write_atomically

SEED = 0
SAMPLES = 20
RATE = 0.1
WEIGHT = Format(6, 0)
GUARD = 4


@dataclass(frozen=True)
class Case:
    """A fully connected LIF network, how it is folded, and the published figures for its size.

    ``thresholds`` are those of the two layers in units of a weight; ``membranes`` their widths.
    """

    sizes: tuple[int, int, int]
    steps: int
    thresholds: tuple[int, int]
    membranes: tuple[int, int]
    lanes: int
    neuron_lanes: int
    published_cycles: int
    published_cells: int | None
    published_mhz: float | None

    @property
    def name(self) -> str:
        return "-".join(str(size) for size in self.sizes)


CASES = (
    Case((40, 128, 10), 73, (56, 80), (13, 13), 48, 8, 12_695, 15_287, 61.0),
    Case((784, 128, 10), 100, (240, 80), (15, 13), 128, 8, 79_694, None, None),
)


def network_of(case: Case) -> Network:
    """The network of ``case``: 6-bit normal weights, β = 15/16, reset by subtraction."""
    random = np.random.default_rng(SEED)
    nodes: list[Any] = [Input("input", case.sizes[0])]
    edges, previous = [], "input"
    for i, (inputs, size) in enumerate(zip(case.sizes, case.sizes[1:], strict=False)):
        weight = np.rint(random.normal(0, 8, (size, inputs))).astype(np.int64)
        top = WEIGHT.max
        nodes += [
            Dense(f"dense{i}", np.clip(weight, -top, top), WEIGHT),
            LIF(
                f"lif{i}",
                size,
                Format(case.membranes[i], GUARD),
                np.array(15),
                4,
                np.array(case.thresholds[i] << GUARD),
            ),
        ]
        edges += [Edge(previous, f"dense{i}"), Edge(f"dense{i}", f"lif{i}")]
        previous = f"lif{i}"
    nodes.append(Readout("readout", "count", case.sizes[-1]))
    edges.append(Edge(previous, "readout"))
    return Network(tuple(nodes), tuple(edges), case.steps)


def samples_of(case: Case) -> IntArray:
    """``[T, B, inputs]`` input spikes, each with probability ``RATE``."""
    random = np.random.default_rng(SEED + 1)
    return (random.random((case.steps, SAMPLES, case.sizes[0])) < RATE).astype(np.int64)


def bench(folder: Path, say: Callable[[str], None]) -> dict[str, Any]:
    """Build and measure all cases below ``folder``; writes ``bench.json``."""
    results = {}
    for case in CASES:
        say(f"[bold]{case.name}[/]")
        results[case.name] = _measure(case, folder / case.name, say)
    content = {"seed": SEED, "input_rate": RATE, "cases": results}
    write_atomically(folder / "bench.json", (json.dumps(content, indent=2) + "\n").encode())
    return content


def _measure(case: Case, folder: Path, say: Callable[[str], None]) -> dict[str, Any]:
    from ...bitstreams.devices import device
    from ...bitstreams.flow import measure
    from ...hw.emit import generate
    from ...hw.folding import Fold, Folding
    from ...sim.cosim import cosim
    from ..progress import Elapsed

    network, samples = network_of(case), samples_of(case)
    trace = golden.run(network, samples, [("lif0", "spike"), ("lif1", "spike")])
    rates = {name: float(trace[name, "spike"].mean()) for name in ("lif0", "lif1")}
    folding = Folding(Fold(case.lanes, case.neuron_lanes), {"dense1": Fold(case.sizes[-1], 1)})
    generate(network, folder, folding)
    simulated = cosim(folder, network, samples, harness="native")
    alone = cosim(folder, network, samples[:, :1], harness="native")
    say(f"  {alone.cycles:,} cycles, hidden spike rate {rates['lif0']:.1%}")
    with Elapsed() as elapsed:
        usage = measure(folder, device("ecp5-85k"), progress=elapsed)
    say(f"  {usage.luts:,} cells, {usage.brams} block RAMs, {usage.fmax_mhz:.1f} MHz")
    return {
        "cycles": alone.cycles,
        "cycles_per_sample_back_to_back": simulated.cycles_per_sample,
        "comparisons": simulated.comparisons,
        "mismatches": simulated.mismatches,
        "spike_rates": rates,
        "cells": usage.luts,
        "ffs": usage.ffs,
        "brams": usage.brams,
        "fmax_mhz": usage.fmax_mhz,
        "verilog_sha256": usage.verilog_sha256,
        "versions": usage.versions,
        "published": {
            "cycles": case.published_cycles,
            "cells": case.published_cells,
            "fmax_mhz": case.published_mhz,
        },
    }


def show(content: dict[str, Any], console: Console) -> None:
    """The figures beside the published ones."""
    table = Table(title="ECP5-85k, one inference, 10 % input spikes")
    for title in ("network", "", "cycles", "logic cells", "block RAMs", "fmax MHz", "hidden rate"):
        table.add_column(title, justify="right")
    for name, case in content["cases"].items():
        published = case["published"]
        table.add_row(
            name,
            "reslif",
            f"{case['cycles']:,}",
            f"{case['cells']:,}",
            str(case["brams"]),
            f"{case['fmax_mhz']:.1f}",
            f"{case['spike_rates']['lif0']:.1%}",
        )
        table.add_row(
            "",
            "published generator",
            f"{published['cycles']:,}",
            f"{published['cells']:,}" if published["cells"] else "-",
            "-",
            f"{published['fmax_mhz']:.0f}" if published["fmax_mhz"] else "-",
            "-",
        )
    console.print(table)
