"""How the sequential engine grows with depth: cycles, area, time to generate and to simulate.

Part of the front door, as :mod:`reslif.sw.flow` is. The networks are membrane-shortcut ones of
random weights from a fixed seed, so that depth is all that differs; every probe of the simulated
Verilog is compared with the golden model, and the area is that of the same Verilog, placed and
routed.
"""

from __future__ import annotations

import json
import resource
import time
from collections.abc import Callable, Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from .. import golden
from ..formats import Format, IntArray
from ..network import LIF, Dense, Edge, Input, Join, Network, Readout
from ..network_file import write_atomically
from ..recipe import RecipeError

LAYERS = (10, 50, 110, 482, 1000)
ON_CHIP = 482
"""More layers than these have their weights in external memory: they would not fit the device."""
SEED = 0
WIDTH, INPUTS, CLASSES, STEPS, LANES = 32, 64, 10, 8, 16
SAMPLES = 10
WEIGHT = Format(4, 3)
PIXEL = Format(5, 0, signed=False)


def network_of(layers: int) -> Network:
    """A stem, ``layers`` / 2 residual blocks, a head: 4-bit normal weights, β = 15/16.

    ``layers`` is even; stem and head are not counted, as in every figure of depth here. The
    branches are scaled down with depth, as trained ones are, so that the currents, and the spikes,
    are alike at any depth.
    """
    random = np.random.default_rng(SEED)

    def dense(name: str, inputs: int, size: int, spread: float) -> Dense:
        weight = np.rint(random.normal(0, spread, (size, inputs))).astype(np.int64)
        return Dense(name, np.clip(weight, -WEIGHT.max, WEIGHT.max), WEIGHT)

    def lif(name: str, threshold: int) -> LIF:
        number = np.array(threshold << 2)
        return LIF(name, WIDTH, Format(18, WEIGHT.frac + 2), np.array(15), 4, number)

    nodes: list[Any] = [Input("input", INPUTS, PIXEL), dense("stem", INPUTS, WIDTH, 1.5)]
    edges, last = [Edge("input", "stem")], "stem"
    for block in range(layers // 2):
        first, second, join = f"dense{block}a", f"dense{block}b", f"add{block}"
        nodes += [lif(f"lif{block}a", 200), dense(first, WIDTH, WIDTH, 2.0)]
        nodes += [lif(f"lif{block}b", 12), dense(second, WIDTH, WIDTH, 1.0)]
        nodes.append(Join(join, "add", WIDTH))
        chain = (last, f"lif{block}a", first, f"lif{block}b", second)
        edges += [Edge(a, b) for a, b in pairwise(chain)]
        edges += [Edge(second, join, "branch"), Edge(last, join, "shortcut")]
        last = join
    nodes += [lif("lif", 200), dense("head", WIDTH, CLASSES, 2.0)]
    nodes.append(Readout("readout", "sum_current", CLASSES))
    edges += [Edge(last, "lif"), Edge("lif", "head"), Edge("head", "readout")]
    return Network(tuple(nodes), tuple(edges), STEPS)


def samples_of(count: int) -> IntArray:
    """``[T, B, inputs]``: random pixels, a third of them black, shown in every timestep."""
    random = np.random.default_rng(SEED + 1)
    pixels = random.integers(0, 17, (count, INPUTS)) * (random.random((count, INPUTS)) < 2 / 3)
    return np.broadcast_to(pixels, (STEPS, count, INPUTS))


def scaling(
    folder: Path, say: Callable[[str], None], layers: Iterable[int] = LAYERS, place: bool = True
) -> list[dict[str, Any]]:
    """Measure networks of so many ``layers`` below ``folder``; writes ``scaling.json``.

    Without ``place`` nothing is placed and routed. What an earlier run measured is kept.
    Raises :class:`RecipeError` if ``layers`` are none, or not two a block.
    """
    layers = list(layers)
    wrong = [count for count in layers if count < 2 or count % 2]
    if wrong or not layers:
        found = wrong[0] if wrong else "nothing"
        raise RecipeError(f"layers has {found}, must have even ones from 2 on: two layers a block")
    path = folder / "scaling.json"
    kept = json.loads(path.read_text()) if path.is_file() else []
    rows = {row["layers"]: row for row in kept}
    for count in layers:
        if count not in rows or (place and "luts" not in rows[count]):
            rows[count] = _measure(count, folder / f"layers_{count}", say, place)
        found = [rows[number] for number in sorted(rows)]
        write_atomically(path, (json.dumps(found, indent=2) + "\n").encode())
    return [rows[number] for number in sorted(rows)]


def _measure(layers: int, folder: Path, say: Callable[[str], None], place: bool) -> dict[str, Any]:
    from ...bitstreams.devices import device
    from ...bitstreams.flow import measure
    from ...hw.emit import generate
    from ...hw.sequential.program import Sequence
    from ...sim.cosim import cosim
    from ..progress import Elapsed

    start = time.monotonic()
    network, samples = network_of(layers), samples_of(SAMPLES)
    sequence = Sequence(LANES, "block" if layers <= ON_CHIP else "stream")
    folder.mkdir(parents=True, exist_ok=True)
    manifest = generate(network, folder, sequence)
    generated = time.monotonic()
    cosim(folder, network, samples[:, :1], harness="native")  # Verilator's build may be kept or not
    built = time.monotonic()
    result = cosim(folder, network, samples, harness="native")
    simulated = time.monotonic()
    trace = golden.run(network, samples, [(n.name, "spike") for n in network.nodes_of(LIF)])
    rates = [float(trace[n.name, "spike"].mean()) for n in network.nodes_of(LIF)]
    row: dict[str, Any] = {
        "layers": layers,
        "weights": sequence.weights,
        "spike_rate": round(float(np.mean(rates)), 4),
        "lowest_spike_rate": round(min(rates), 4),
        "cycles_per_sample": result.cycles_per_sample,
        "comparisons": result.comparisons,
        "mismatches": result.mismatches,
        "seconds_generate": round(generated - start, 2),
        "seconds_cosim": round(simulated - built, 2),
        "megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "verilog_sha256": manifest["verilog_sha256"],
    }
    say(f"{layers} layers: {result.cycles_per_sample:,.0f} cycles, spike rate {np.mean(rates):.1%}")
    if place:
        with Elapsed() as elapsed:
            usage = measure(folder, device("ecp5-85k"), progress=elapsed)
        row |= {
            "luts": usage.luts,
            "ffs": usage.ffs,
            "brams": usage.brams,
            "dsps": usage.dsps,
            "fmax_mhz": usage.fmax_mhz,
            "versions": usage.versions,
        }
        say(f"  {usage.luts:,} LUTs, {usage.brams} block RAMs, {usage.fmax_mhz:.1f} MHz")
    return row


def lines(rows: list[dict[str, Any]]) -> list[str]:
    """A table in Markdown, and the slope of each column that has three rows or more."""
    columns = {
        "layers": "layers", "cycles_per_sample": "cycles a sample", "luts": "LUTs",
        "brams": "block RAMs", "fmax_mhz": "fmax MHz", "seconds_generate": "generate, s",
        "seconds_cosim": "co-simulate, s", "megabytes": "memory, MB", "weights": "weights in",
    }  # fmt: skip
    table = ["| " + " | ".join(columns.values()) + " |", "|" + "---|" * len(columns)]
    for row in rows:
        cells = (row.get(name, "-") for name in columns)
        shown = (f"{cell:,}" if isinstance(cell, int | float) else cell for cell in cells)
        table.append("| " + " | ".join(shown) + " |")
    # Without weights on the chip it is another design, with its own area and contents.
    on_chip = [row for row in rows if row["weights"] == "block"]
    found = {}
    for name in ("cycles_per_sample", "luts", "brams", "seconds_generate", "seconds_cosim"):
        of = rows if name in ("cycles_per_sample", "seconds_cosim") else on_chip
        if sum(name in row for row in of) > 2:
            found[name] = slopes(of, name)
    text = (f"{columns[n]} {s:.3g} (within {part:.1%})" for n, (s, part) in found.items())
    return [*table, "", "A layer more: " + ", ".join(text) + "."] if found else table


def slopes(rows: list[dict[str, Any]], what: str) -> tuple[float, float]:
    """The straight line through ``what`` over depth: (a layer's share, the deviation from it).

    The second number is the largest deviation of a row, as a part of the largest value.
    """
    known = [row for row in rows if what in row]
    x, y = (np.array([row[key] for row in known], float) for key in ("layers", what))
    slope, start = np.polyfit(x, y, 1)
    return float(slope), float(np.abs(slope * x + start - y).max() / y.max())
