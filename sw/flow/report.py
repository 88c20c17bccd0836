"""The stage that gathers the results of all others, in ``report.json`` and on a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..recipe import BuildRecipe, DataRecipe, Recipe, checked
from .run import Run, StageError, versions
from .widths import sha256

if TYPE_CHECKING:
    from ..report import RunFacts

ORDER = ("train", "quantise", "generate", "cosim", "build")
PAGE = "report.html"


def report(run: Run) -> dict[str, Any]:
    """Gather the results of all stages that have run into ``report.json`` and ``report.html``."""
    from ..network_file import write_atomically
    from ..report.page import page

    result = run.write("report", gathered(run))
    write_atomically(run.folder / PAGE, page(facts_of(run, result)).encode())
    return result


def compare(runs: Sequence[Run], path: Path) -> None:
    """Put ``runs`` side by side on the page ``path``."""
    from ..network_file import write_atomically
    from ..report.compare import compare as side_by_side

    facts = [facts_of(run, gathered(run), brief=True) for run in runs]
    write_atomically(path, side_by_side(facts).encode())


def gathered(run: Run) -> dict[str, Any]:
    """The content of ``report.json``."""
    stages = stages_of(run)
    if not stages:
        raise StageError(f"{run.folder} holds no results, run `reslif flow` first")
    check_same_design(stages)
    trained, quantised = stages.get("train", {}), stages.get("quantise", {})
    simulated = stages.get("cosim", {})
    spikes, most = simulated.get("spikes", {}), simulated.get("results", simulated)
    kept = ("samples", "probes", "comparisons", "mismatches", "harness", "results")
    return {
        "recipe": run.recipe.name,
        "accuracy": {
            "float": trained.get("accuracy"),
            "golden": quantised.get("accuracy"),
            "hardware": most.get("accuracy"),
        },
        "bits": quantised.get("bits"),
        "widths": _widths(run),
        "network": {"digest": quantised.get("digest")},
        "verilog_sha256": stages.get("generate", {}).get("verilog_sha256"),
        "cosim": {key: simulated.get(key) for key in (*kept, "verilog_sha256")}
        | {"cycles_per_sample": most.get("cycles_per_sample")}
        | {"spikes": sum(spikes.values()) if spikes else None, "spikes_by_layer": spikes},
        "build": stages.get("build", {}),
        "seeds": trained.get("seeds", {}) | {"cosim": run.recipe.cosim.seed},
        "data": trained.get("data", {}),
        "settings": {"data": asdict(run.recipe.data)},
        "seconds": {stage: content.get("seconds") for stage, content in stages.items()},
        "versions": versions(),
    }


def stages_of(run: Run) -> dict[str, dict[str, Any]]:
    """The results of the stages that have run, each as it must be."""
    return {stage: run.read(stage) for stage in ORDER if (run.folder / f"{stage}.json").is_file()}


def _widths(run: Run) -> dict[str, Any]:
    """What `reslif widths` found of the float network that is here; an empty table if nothing."""
    path = run.folder / "widths.json"
    if not path.is_file():
        return {}
    from ..train import FLOAT_FILE

    content, trained = run.read("widths"), run.folder / FLOAT_FILE
    if trained.is_file() and sha256(trained) != content.get("float_sha256"):
        raise StageError(f"{path} is of another {FLOAT_FILE}, run `reslif widths` again")
    return content


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


def recipe_of(folder: Path, data_dir: Path | None = None) -> Recipe:
    """The recipe of a run folder, as far as a report needs it, from what its stages wrote."""
    from ..report.read import check_stage, read_json, read_report

    content = {}
    for stage in ("train", "build"):
        path = folder / f"{stage}.json"
        content[stage] = read_json(path, stage) if path.is_file() else {}
        check_stage(stage, content[stage], path)
    trained, known = content["train"], read_report(folder / "report.json")
    data = {key: trained.get("data", {}).get(key) for key in ("set", "split")}
    data["seed"] = trained.get("seeds", {}).get("data")
    # An earlier report knows all of it.
    data |= known.get("settings", {}).get("data", {})
    given = {key: value for key, value in data.items() if value is not None}
    recipe = checked(DataRecipe, given, f"{folder}: data")
    return Recipe(
        name=known.get("recipe", folder.resolve().name),
        data=recipe if data_dir is None else replace(recipe, dir=str(data_dir)),
        train=trained.get("config", {}),
        build=BuildRecipe(device=content["build"].get("device", BuildRecipe.device)),
    )


def facts_of(run: Run, result: Mapping[str, Any], brief: bool = False) -> RunFacts:
    """What the page of ``run`` shows, ``result`` being its ``report.json``; ``brief``: what it
    takes to compare it with others.
    """
    from ..report import RunFacts
    from ..report.placed import placed
    from ..report.read import read_history, read_manifest

    folder, stages, why = run.folder, stages_of(run), {}
    facts: dict[str, Any] = {
        "histories": {
            label: history
            for label in ("float", "quantised")
            if (history := read_history(folder / f"{label}.state.safetensors"))
        },
    }
    data = _data(run, stages.get("train", {}), why)
    network = _network(run, stages)
    manifest = None
    if "generate" in stages and (folder / "manifest.json").is_file():
        manifest = read_manifest(folder / "manifest.json")
        facts["engine"] = manifest.get("engine", "dataflow")
    if network is not None and data is not None:
        facts["seen"] = _seen(network, data, stages, why)
    if not brief:
        facts |= _compared(run, stages, network, data, why)
        if facts.get("seen") is not None and manifest is not None:
            facts["schedule"] = _schedule(run, network, manifest, data)
        if "build" in stages:
            facts["placed"] = placed(folder / stages["build"].get("device", ""))
    return RunFacts(
        name=run.recipe.name,
        report=result,
        stages=stages,
        written={stage: _time_of(folder / f"{stage}.json") for stage in stages},
        network=network,
        windows=tuple(sorted(path.name for path in folder.glob("mismatch_*.vcd"))),
        why=why,
        **facts,
    )


def _time_of(path: Path) -> str:
    return datetime.fromtimestamp(path.stat().st_mtime, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _network(run: Run, stages: Mapping[str, Any]) -> Any:
    if "quantise" not in stages:
        return None
    network, digest = run.network, stages["quantise"].get("digest")
    if digest is not None and network.digest != digest:
        raise StageError(
            f"{run.folder}: network.safetensors is {network.digest[:12]}, but quantise.json is of "
            f"{digest[:12]}, run `reslif quantise` again"
        )
    return network


def trained_on(data: Any, trained: Mapping[str, Any]) -> bool:
    """Whether ``data`` are the samples of the run whose ``train.json`` is ``trained``, as far as
    that says.
    """
    return trained.get("data", {}).get("digest", data.digest) == data.digest


def _data(run: Run, trained: Mapping[str, Any], why: dict[str, str]) -> Any:
    """The data that the run was trained on; None, and why, if it is not here."""
    from ..data import DataError

    try:
        data = run.data()
    except DataError as error:
        why["data"] = f"{error}. Run `reslif report` with --data-dir."
        return None
    if not trained_on(data, trained):
        why["data"] = (
            f"The data set {data.name} is not the one that the run was trained on; "
            "a recipe in place of the run folder says all of it."
        )
        return None
    # A quick try's recipe cuts the splits; of a folder's recipe nothing says so but this.
    count = trained.get("test_samples", 0)
    return data.first(count) if 0 < count < len(data.test) else data


def _seen(network: Any, data: Any, stages: Mapping[str, Any], why: dict[str, str]) -> Any:
    from ..data import DataError
    from ..evaluate import check_fits
    from ..report.golden_facts import see

    try:
        check_fits(network, data)
    except DataError as error:
        why["data"] = f"{error}."
        return None
    seen = see(network, data)
    wanted = stages["quantise"].get("accuracy")
    found = float((seen.labels == seen.classes).mean())
    if wanted is not None and seen.count == seen.total and abs(found - wanted) > 1e-9:
        raise StageError(
            f"quantise.json has accuracy {wanted:.4%}, but the golden model now gets {found:.4%}: "
            "run `reslif quantise` again"
        )
    return seen


def _compared(
    run: Run, stages: Mapping[str, Any], network: Any, data: Any, why: dict[str, str]
) -> dict[str, Any]:
    """Weights of each stage, and how float and golden model agree."""
    from ..report.floats import agreement, float_graphs, integer_weights, weights_of
    from ..train import FLOAT_FILE

    quantised = () if network is None else integer_weights(network)
    trained = run.folder / FLOAT_FILE
    if data is None or "train" not in stages or not trained.is_file():
        return {"weights": quantised}
    before, after = float_graphs(run.train_config(), data, trained)
    found: dict[str, Any] = {
        "weights": (*weights_of(before, "before"), *weights_of(after, "after"), *quantised)
    }
    if network is not None and "data" not in why:
        found["agreement"] = agreement(after, network, data)
    return found


def _schedule(run: Run, network: Any, manifest: Mapping[str, Any], data: Any) -> Any:
    from ...bitstreams.devices import device
    from .schedule import schedule

    family: Any = device(run.recipe.build.device).family
    return schedule(network, manifest, data.test[:1].over_time(network.max_steps), 0, family)
