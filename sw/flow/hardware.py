"""The stage that writes Verilog, and what a design is estimated to need."""

from __future__ import annotations

import time
from dataclasses import asdict, replace
from typing import Any

from ..network import Network
from ..recipe import Recipe, RecipeError, checked
from .run import Run

VECTORS = 4
"""Samples in the Verilog test bench that each design folder holds."""


def generate(run: Run) -> dict[str, Any]:
    """Write the Verilog, its manifest and a self-checking test bench."""
    from ...hw.emit import generate as emit
    from ...sim.testbench import write_testbench

    start = time.monotonic()
    network = run.network
    run.check_finished("quantised", "qat_epochs", "quantise")
    vectors = run.data().test[:VECTORS].over_time(network.max_steps)
    folding, found, clock = fitted(run.recipe, network, vectors)
    show_fit(run, found, clock)
    manifest = emit(network, run.folder, folding)
    if run.recipe.hardware.weights == "stream":
        (run.folder / "tb.v").unlink(missing_ok=True)  # it has no memory to stream from
    else:
        write_testbench(run.folder, network, vectors)
    slowest = max(layer.get("cycles_per_event", 0) for layer in manifest["layers"])
    run.say(f"top.v for {len(network.nodes)} nodes, at most {slowest} cycles per event")
    return run.write(
        "generate",
        {
            "verilog_sha256": manifest["verilog_sha256"],
            "network_digest": network.digest,
            "estimate": {
                "cycles_per_sample": round(found.cycles_per_sample, 1),
                "bottleneck": found.bottleneck.name,
                "block_rams": found.block_rams,
            },
            "seconds": round(time.monotonic() - start, 1),
        },
    )


def show_fit(run: Run, found: Any, clock: float) -> None:
    """The estimate of a design, on the device of ``run``."""
    from ...bitstreams.devices import device

    for line in found.lines():
        run.say(line)
    have = device(run.recipe.build.device).capacities
    run.say(
        f"{found.block_rams} of {have.block_rams} block RAMs, beside the serial link's, about "
        f"{found.luts:,} of {have.luts:,} LUTs, {found.cycles_per_sample:,.0f} cycles a sample: "
        f"{found.samples_per_second(clock):,.1f} samples a second at {clock:g} MHz (estimated)"
    )
    short = {
        "block RAMs": found.block_rams > have.block_rams,
        "SPRAMs": getattr(found, "sprams", 0) > have.sprams,
    }
    for what in (what for what in short if short[what]):
        run.say(f"more {what} than {have.name} has: by this estimate a build is refused")


def show_budget(run: Run, config: Any, data: Any) -> None:
    """The estimate of the design of a network that has yet to be trained."""
    from ...bitstreams.devices import device
    from ...hw.activity import assumed
    from ..budget import untrained_network

    target = device(run.recipe.build.device)
    try:
        network = untrained_network(config, data)
        found = estimate(network, folding_of(run.recipe), assumed(network), target.family)
    except ValueError as error:
        if not type(error).__module__.startswith("reslif."):
            raise
        run.say(f"no estimate of its hardware: {error}")
        return
    run.say("memory budget, if a tenth of the neurons fire:")
    show_fit(run, found, run.recipe.build.clock_mhz or target.clock_mhz)


def check_engine(recipe: Recipe, config: Any, data: Any) -> None:
    """Raise if ``recipe`` asks for the sequential engine, which cannot go through its network."""
    from ...hw.sequential.program import Program, Sequence
    from ...hw.sequential.words import ProgramWords
    from ..budget import untrained_network

    folding = folding_of(recipe)
    if isinstance(folding, Sequence):
        # All blocks are alike, and hundreds take a while.
        shallow = replace(config, blocks=min(config.blocks, 2))
        ProgramWords(Program(untrained_network(shallow, data), folding)).fields  # noqa: B018


def fitted(recipe: Recipe, network: Network, samples: Any) -> tuple[Any, Any, float]:
    """The folding that a recipe asks for, or that reaches the speed it asks for; the estimate of
    that design at the spike rates of ``samples``; the clock in MHz.
    """
    from ...bitstreams.devices import device
    from ...hw.target import choose
    from ...sim.activity import measured

    target, activity = device(recipe.build.device), measured(network, samples)
    clock, folding = recipe.build.clock_mhz or target.clock_mhz, folding_of(recipe)
    if fps := recipe.hardware.target_fps:
        return *choose(network, activity, target.capacities, fps, clock), clock
    return folding, estimate(network, folding, activity, target.family), clock


def estimate(network: Network, folding: Any, activity: Any, family: Any) -> Any:
    """What a design takes and how fast it is, on the engine that ``folding`` is for."""
    from ...hw.fit import fit
    from ...hw.folding import Plan
    from ...hw.sequential.fit import SequentialFit
    from ...hw.sequential.program import Program, Sequence
    from ...hw.sequential.words import ProgramWords

    if isinstance(folding, Sequence):
        return SequentialFit(ProgramWords(Program(network, folding)), activity, family)
    return fit(Plan(network, folding), activity, family)


def folding_of(recipe: Recipe) -> Any:
    """The engine that a recipe asks for, and its folding."""
    from ...hw.folding import Fold, Folding
    from ...hw.sequential.program import Sequence

    hardware = recipe.hardware
    if hardware.engine == "sequential":
        if hardware.layers or hardware.target_fps:
            what = "layers" if hardware.layers else "target_fps"
            raise RecipeError(f"[hardware] has {what}, with engine 'sequential' it must have none")
        return Sequence(hardware.lanes, hardware.weights)  # pyright: ignore[reportArgumentType]
    if hardware.engine != "dataflow":
        raise RecipeError(f"engine is {hardware.engine!r}, must be 'dataflow' or 'sequential'")
    if hardware.weights != "block":
        raise RecipeError(
            f"[hardware] weights is {hardware.weights!r}, of the dataflow engine it must be 'block'"
        )
    default = Fold(hardware.lanes, hardware.neuron_lanes, hardware.taps)
    layers = {}
    for name, values in hardware.layers.items():
        if not isinstance(values, dict):
            raise RecipeError(f"[hardware.layers] {name} is {values!r}, must be a table")
        merged = asdict(default) | values
        layers[name] = checked(Fold, merged, f"[hardware.layers.{name}]")
    return Folding(default, layers)
