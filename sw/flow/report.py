"""The stage that gathers the results of all others."""

from __future__ import annotations

from typing import Any

from .run import Run, StageError, versions


def report(run: Run) -> dict[str, Any]:
    """Gather the results of all stages that have run into ``report.json``."""
    stages = {}
    for stage in ("train", "quantise", "generate", "cosim", "build"):
        if (run.folder / f"{stage}.json").is_file():
            stages[stage] = run.read(stage)
    if not stages:
        raise StageError(f"{run.folder} holds no results, run `reslif flow` first")
    check_same_design(stages)
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


def check_same_design(stages: dict[str, dict[str, Any]]) -> None:
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
