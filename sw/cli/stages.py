"""The verbs that make a network and its hardware: a stage each, and all of them."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from ..flow import STAGES, Run, check
from ..recipe import RecipeError
from .options import DataDir, Out, RecipeFile, check_folder, known_run, run_of
from .terminal import console, show


def stage(name: str, run: Run) -> dict[str, Any]:
    check_folder(run.folder)
    console.print(f"[bold]{name}[/] {run.recipe.name}")
    start = time.monotonic()
    try:
        result = STAGES[name](run)
    except KeyboardInterrupt:
        again = "resumes" if name in ("train", "quantise") else "starts it again"
        print(f"reslif: {name} interrupted, the same command {again}", file=sys.stderr)
        raise typer.Exit(130) from None
    console.print(f"  [dim]{time.monotonic() - start:.1f} s[/]")
    return result


def train(recipe: RecipeFile, out: Out = None, data_dir: DataDir = None) -> None:
    """Train the network of a recipe in floating point."""
    stage("train", run_of(recipe, out, data_dir))


def quantise(recipe: RecipeFile, out: Out = None, data_dir: DataDir = None) -> None:
    """Train on with integer weights, and write the network file."""
    stage("quantise", run_of(recipe, out, data_dir))


def generate(
    recipe: RecipeFile,
    out: Out = None,
    data_dir: DataDir = None,
    target_fps: Annotated[float, typer.Option(help="Choose lanes and taps for so many.")] = 0.0,
    device: Annotated[str, typer.Option(help="The device, by default the recipe's.")] = "",
) -> None:
    """Write Verilog, manifest and a self-checking Verilog test bench."""
    run = run_of(recipe, out, data_dir)
    loaded = run.recipe
    fps = target_fps or loaded.hardware.target_fps
    hardware = replace(loaded.hardware, target_fps=fps)
    build = replace(loaded.build, device=device or loaded.build.device)
    stage("generate", replace(run, recipe=replace(loaded, hardware=hardware, build=build)))


def cosim(recipe: RecipeFile, out: Out = None, data_dir: DataDir = None) -> None:
    """Compare the Verilog with the golden model: every probe, every timestep."""
    stage("cosim", run_of(recipe, out, data_dir))


def build(recipe: RecipeFile, out: Out = None) -> None:
    """Synthesise, place, route and pack a bitstream."""
    stage("build", run_of(recipe, out))


def report(
    runs: Annotated[list[Path], typer.Argument(help="A recipe or run folder.", metavar="RUN...")],
    out: Out = None,
    data_dir: DataDir = None,
    compare: Annotated[bool, typer.Option(help="Several RUNs, in OUT/compare.html.")] = False,
) -> None:
    """Gather all results of a run into report.json and report.html, and show them."""
    from ..flow.report import compare as side_by_side

    if compare:
        page = (out or Path("runs")) / "compare.html"
        check_folder(page.parent)
        side_by_side([known_run(path, None, data_dir) for path in runs], page)
        console.print(page, markup=False)
        return
    if len(runs) > 1:
        raise RecipeError(f"{len(runs)} runs are given, must be 1, or more with --compare")
    run = known_run(runs[0], out, data_dir)
    show(stage("report", run), run.folder)


def flow(
    recipe: RecipeFile,
    out: Out = None,
    data_dir: DataDir = None,
    until: Annotated[str, typer.Option(help="The last stage but for the report.")] = "build",
) -> None:
    """Run all stages of a recipe, one after the other, and show the report."""
    run = run_of(recipe, out, data_dir)
    stages = [name for name in STAGES if name != "report"]
    if until not in stages:
        raise RecipeError(f"until is {until!r}, must be one of {', '.join(stages)}")
    check(run, until)
    for name in stages[: stages.index(until) + 1]:
        stage(name, run)
    show(stage("report", run), run.folder)
