"""The stage that compares the Verilog with the golden model."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, replace
from typing import Any

from ..recipe import Recipe, RecipeError
from .run import Run


def cosim(run: Run) -> dict[str, Any]:
    """Run test samples through the Verilog and compare: everything, then results of more."""
    recipe, data = run.recipe.cosim, run.data()
    start = time.monotonic()
    stalls = stalls_of(run.recipe)
    result = _simulated(run, recipe.samples or len(data.test), "all", stalls)
    if recipe.results:
        count = min(recipe.results, len(data.test))
        wide = _simulated(run, count, "results", replace(stalls, idle=0.0, stall=0.0))
        kept = ("accuracy", "samples", "comparisons", "mismatches", "cycles_per_sample")
        bound = _event_bound(run, count)
        result["results"] = {key: wide[key] for key in kept} | {
            "simulation_seconds": wide["simulation_seconds"],
            "spikes": sum(wide["spikes"].values()),
            "event_bound": round(bound, 1),
            "cycles_over_bound": round(wide["cycles_per_sample"] / bound, 3),
        }
        run.say(f"{wide['cycles_per_sample'] / bound:.3f} times the cycles of its additions alone")
    return run.write("cosim", result | {"seconds": round(time.monotonic() - start, 1)})


def _simulated(run: Run, count: int, probes: str, stalls: Any) -> dict[str, Any]:
    """A co-simulation of the first ``count`` test samples."""
    from ...sim.cosim import cosim as simulate

    recipe, network, test = run.recipe.cosim, run.network, run.data().test[:count]
    found = simulate(
        run.folder,
        network,
        test.over_time(network.max_steps),
        harness=recipe.harness,  # pyright: ignore[reportArgumentType] - checked in stalls_of
        probes=probes,  # pyright: ignore[reportArgumentType]
        stalls=stalls,
        seed=recipe.seed,
    )
    right = sum(a == b for a, b in zip(found.classes, test.labels.tolist(), strict=True))
    compared = f"of {found.probes} probes" if probes == "all" else "of results and spike counts"
    run.say(
        f"{found.comparisons:,} comparisons {compared} over {found.samples} samples: "
        f"{found.mismatches} mismatches, {found.cycles_per_sample:,.0f} cycles a sample"
    )
    return asdict(found) | {
        "accuracy": right / found.samples,
        "simulation_seconds": round(found.seconds, 2),
    }


def _event_bound(run: Run, count: int) -> float:
    """The cycles a sample that its additions alone need, over ``count``: of layers that work at
    the same time where they are most, of layers that take turns all of them.
    """
    from ...hw.bound import event_bound
    from ...sim.activity import measured

    network, test = run.network, run.data().test[:count]
    manifest = json.loads((run.folder / "manifest.json").read_text())
    layers, take_turns = manifest["layers"], manifest["engine"] == "sequential"
    parallel = {e["name"]: e["lanes"] * e.get("taps", 1) for e in layers if "lanes" in e}
    total: dict[str, float] = {}
    for first in range(0, count, 32):  # what fits the memory at once
        part = test[first : first + 32]
        activity = measured(network, part.over_time(network.max_steps))
        for name, cycles in event_bound(network, parallel, activity).items():
            total[name] = total.get(name, 0.0) + cycles * len(part) * network.max_steps
    return (sum if take_turns else max)(total.values()) / count


def stalls_of(recipe: Recipe) -> Any:
    """The pauses of a recipe's co-simulation, whose other fields are checked too."""
    from ...sim.job import Stalls

    if recipe.cosim.harness not in ("cocotb", "native"):
        raise RecipeError(f"harness is {recipe.cosim.harness!r}, must be 'cocotb' or 'native'")
    for what in ("samples", "results"):
        if getattr(recipe.cosim, what) < 0:
            raise RecipeError(f"{what} is {getattr(recipe.cosim, what)}, must be at least 0")
    return Stalls(recipe.cosim.idle, recipe.cosim.stall)
