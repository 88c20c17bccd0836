"""The front door: ``reslif``, one command with a verb for each stage of the road."""

from __future__ import annotations

import os
import sys
import time
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from .flow import STAGES, Run, check
from .recipe import RecipeError, load_recipe

app = typer.Typer(
    name="reslif",
    help="Residual spiking neural networks from PyTorch to FPGA, proven bit-exact on the way.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
console = Console(soft_wrap=True, highlight=False)

RecipeFile = Annotated[Path, typer.Argument(help="The recipe, a TOML file.", show_default=False)]
DataDir = Annotated[
    Path | None,
    typer.Option(help="The data set's folder; by default that of the recipe, or the usual one."),
]
Out = Annotated[Path | None, typer.Option(help="The run folder; by default runs/<recipe name>.")]


def _say(text: str) -> None:
    console.print(f"  {text}", markup=False)


def _run(recipe: Path, out: Path | None, data_dir: Path | None = None) -> Run:
    loaded = load_recipe(recipe)
    if data_dir is not None:
        loaded = replace(loaded, data=replace(loaded.data, dir=str(data_dir)))
    return Run(loaded, out or Path("runs") / loaded.name, _say)


def _known_run(path: Path, out: Path | None, data_dir: Path | None) -> Run:
    """The run of a recipe, or that of a run folder."""
    if not path.is_dir():
        return _run(path, out, data_dir)
    from .flow.report import recipe_of

    if out is not None:
        raise RecipeError(f"{path} is a run folder, with it --out must not be given")
    return Run(recipe_of(path, data_dir), path, _say)


def _check_folder(folder: Path) -> None:
    """Raise now what would be refused when the first result is written, perhaps hours later."""
    place = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not place.is_dir():
        raise RecipeError(f"{folder} cannot be a folder for results: {place} is a file")
    if not os.access(place, os.W_OK | os.X_OK):
        raise RecipeError(f"{folder} cannot be a folder for results: {place} cannot be written to")


def _numbers(name: str, text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",") if part]
    except ValueError:
        raise RecipeError(f"{name} is {text!r}, must be numbers such as 10,482") from None


def _stage(name: str, run: Run) -> dict[str, Any]:
    _check_folder(run.folder)
    console.print(f"[bold]{name}[/] {run.recipe.name}")
    start = time.monotonic()
    try:
        result = STAGES[name](run)
    except KeyboardInterrupt:
        print(f"reslif: {name} interrupted, the same command resumes", file=sys.stderr)
        raise typer.Exit(130) from None
    console.print(f"  [dim]{time.monotonic() - start:.1f} s[/]")
    return result


@app.command()
def train(recipe: RecipeFile, out: Out = None, data_dir: DataDir = None) -> None:
    """Train the network of a recipe in floating point."""
    _stage("train", _run(recipe, out, data_dir))


@app.command()
def quantise(recipe: RecipeFile, out: Out = None, data_dir: DataDir = None) -> None:
    """Train on with integer weights, and write the network file."""
    _stage("quantise", _run(recipe, out, data_dir))


@app.command()
def generate(
    recipe: RecipeFile,
    out: Out = None,
    data_dir: DataDir = None,
    target_fps: Annotated[float, typer.Option(help="Choose lanes and taps for so many.")] = 0.0,
    device: Annotated[str, typer.Option(help="The device, by default the recipe's.")] = "",
) -> None:
    """Write Verilog, manifest and a self-checking Verilog test bench."""
    run = _run(recipe, out, data_dir)
    loaded = run.recipe
    fps = target_fps or loaded.hardware.target_fps
    hardware = replace(loaded.hardware, target_fps=fps)
    build = replace(loaded.build, device=device or loaded.build.device)
    _stage("generate", replace(run, recipe=replace(loaded, hardware=hardware, build=build)))


@app.command()
def cosim(recipe: RecipeFile, out: Out = None, data_dir: DataDir = None) -> None:
    """Compare the Verilog with the golden model: every probe, every timestep."""
    _stage("cosim", _run(recipe, out, data_dir))


@app.command()
def build(recipe: RecipeFile, out: Out = None) -> None:
    """Synthesise, place, route and pack a bitstream."""
    _stage("build", _run(recipe, out))


@app.command()
def report(
    runs: Annotated[list[Path], typer.Argument(help="A recipe or run folder.", metavar="RUN...")],
    out: Out = None,
    data_dir: DataDir = None,
    compare: Annotated[bool, typer.Option(help="Several RUNs, in OUT/compare.html.")] = False,
) -> None:
    """Gather all results of a run into report.json and report.html, and show them."""
    from .flow.report import compare as side_by_side

    if compare:
        page = (out or Path("runs")) / "compare.html"
        _check_folder(page.parent)
        side_by_side([_known_run(path, None, data_dir) for path in runs], page)
        console.print(page, markup=False)
        return
    if len(runs) > 1:
        raise RecipeError(f"{len(runs)} runs are given, must be 1, or more with --compare")
    run = _known_run(runs[0], out, data_dir)
    show(_stage("report", run), run.folder)


@app.command()
def flow(
    recipe: RecipeFile,
    out: Out = None,
    data_dir: DataDir = None,
    until: Annotated[str, typer.Option(help="The last stage but for the report.")] = "build",
) -> None:
    """Run all stages of a recipe, one after the other, and show the report."""
    run = _run(recipe, out, data_dir)
    stages = [name for name in STAGES if name != "report"]
    if until not in stages:
        raise RecipeError(f"until is {until!r}, must be one of {', '.join(stages)}")
    check(run, until)
    for name in stages[: stages.index(until) + 1]:
        _stage(name, run)
    show(_stage("report", run), run.folder)


@app.command()
def evaluate(
    network: Annotated[Path, typer.Argument(help="A network file.", show_default=False)],
    data: Annotated[str, typer.Option(help="Name of the data set.")] = "digits",
    data_dir: DataDir = None,
    split: Annotated[str, typer.Option(help="stratified or file_order.")] = "stratified",
    seed: Annotated[int, typer.Option(help="That drew the split, as in the recipe.")] = 0,
    samples: Annotated[int, typer.Option(help="The first so many test samples; 0: all.")] = 0,
) -> None:
    """Accuracy of a network file by the golden model."""
    from .data import load_dataset
    from .evaluate import check_fits, measure
    from .network_file import load_network
    from .progress import Progress

    if samples < 0:
        raise RecipeError(f"samples is {samples}, must be at least 0")
    loaded = load_network(network)
    found = load_dataset(data, split, seed, data_dir)  # type: ignore[arg-type]
    check_fits(loaded, found)
    test = found.test[: samples or len(found.test)]
    with Progress("samples", len(test)) as progress:
        result = measure(loaded, test, loaded.max_steps, progress.update)
    console.print(
        f"{network}: accuracy {result.accuracy:.2%} on {result.samples} test samples of {data}\n"
        f"  {result.steps} timesteps, {result.spike_rate:.4f} spikes of a neuron in each\n"
        f"  data {found.digest}\n  network {loaded.digest}",
        markup=False,
    )


@app.command()
def widths(
    run: Annotated[Path, typer.Argument(help="The run folder, or its recipe.", show_default=False)],
    out: Out = None,
    data_dir: DataDir = None,
    bits: Annotated[str, typer.Option(help="Widths of the weights.")] = "8,6,4,3,2",
    train: Annotated[bool, typer.Option("--train", help="Train each on, too.")] = False,
    samples: Annotated[int, typer.Option(help="The first so many test samples; 0: all.")] = 0,
) -> None:
    """Accuracy of a trained network with weights of several widths, for its report."""
    from .flow.widths import sweep

    sweep(_known_run(run, out, data_dir), _numbers("bits", bits), train, samples)


@app.command()
def program(recipe: RecipeFile, out: Out = None) -> None:
    """Load the bitstream of a recipe into its board (needs openFPGALoader)."""
    from .flow import program as load

    load(_run(recipe, out))


@app.command()
def run(
    recipe: RecipeFile,
    port: Annotated[str, typer.Option(help="The board's serial port.", show_default=False)],
    samples: Annotated[int, typer.Option(help="How many test samples; 0 for all.")] = 0,
    out: Out = None,
    data_dir: DataDir = None,
) -> None:
    """Send test samples to a board and compare its scores with the golden model."""
    from .flow import run_on_board

    run_on_board(_run(recipe, out, data_dir), port, samples)


@app.command()
def wave(
    run: Annotated[Path, typer.Argument(help="The run folder, or its recipe.", show_default=False)],
    sample: Annotated[int, typer.Option(help="Number of the test sample.")] = 0,
    first: Annotated[int, typer.Option("--from", help="The first timestep.")] = 0,
    last: Annotated[int | None, typer.Option("--to", help="The last timestep.")] = None,
    out: Out = None,
    data_dir: DataDir = None,
) -> None:
    """Write the waveform of some timesteps of a test sample, for GTKWave and Surfer."""
    from .flow.waves import wave as write

    if not run.exists():
        raise RecipeError(f"{run} does not exist, must be a run folder or a recipe")
    write(_known_run(run, out, data_dir), sample, first, last)


@app.command()
def bench(
    out: Annotated[Path, typer.Option(help="Where designs and figures go.")] = Path("runs/bench"),
) -> None:
    """Area, speed and cycles of two published networks, built with this flow."""
    from .studies.bench import bench as measure
    from .studies.bench import show as show_bench

    _check_folder(out)
    show_bench(measure(out, console.print), console)


@app.command()
def scaling(
    out: Annotated[Path, typer.Option(help="Where designs and figures go.")] = Path("runs/scaling"),
    layers: Annotated[str, typer.Option(help="Depths.")] = "10,50,110,482,1000",
    place: Annotated[bool, typer.Option(help="Place and route each for its area.")] = True,
) -> None:
    """Cycles, area and times of the sequential engine over depth."""
    from .network_file import write_atomically
    from .studies.scaling import lines
    from .studies.scaling import scaling as measure
    from .studies.scaling_plot import plot

    _check_folder(out)
    rows = measure(out, console.print, _numbers("layers", layers), place)
    write_atomically(out / "scaling.svg", plot(rows).encode())
    console.print("\n".join(lines(rows)), markup=False)


@app.command()
def depth(
    recipe: RecipeFile,
    out: Out = None,
    data_dir: DataDir = None,
    depths: Annotated[str, typer.Option(help="Layers of untrained networks.")] = "10,50,110,482",
    samples: Annotated[int, typer.Option(help="Training samples to measure on.")] = 64,
) -> None:
    """Measure what depth does to a recipe's network, block by block, trained or not."""
    from .network_file import write_atomically
    from .studies.depth import depth_study, lines
    from .studies.depth_plot import plot

    layers = _numbers("depths", depths)
    run = _run(recipe, out, data_dir)
    _check_folder(run.folder)
    result = depth_study(run.train_config(), run.data(), run.folder, layers, samples)
    run.write("depth", {"recipe": run.recipe.name, **result})
    write_atomically(run.folder / "depth.svg", plot(result).encode())
    console.print("\n".join(lines(result)), markup=False)
    console.print(f"  {run.folder / 'depth.json'}, {run.folder / 'depth.svg'}", markup=False)


@app.command("depth-accuracy")
def depth_accuracy(
    recipe: RecipeFile,
    out: Out = None,
    data_dir: DataDir = None,
    networks: Annotated[str, typer.Option(help="Kinds and layers.")] = "ms:482,ms:10,plain:482",
    seeds: Annotated[int, typer.Option(help="Networks of each.")] = 3,
) -> None:
    """Train a recipe's network at several depths, with several seeds: means and spread."""
    from .studies.depth_accuracy import depth_accuracy as measure
    from .studies.depth_accuracy import lines, report

    run = _run(recipe, out, data_dir)
    _check_folder(run.folder)
    config, data, rows = run.train_config(), run.data(), []
    folder = run.folder / "depth_accuracy"
    for row in measure(config, data, folder, networks.split(","), seeds):
        rows.append(row)
        run.write("depth_accuracy", {"recipe": run.recipe.name, **report(config, data, rows)})
    console.print("\n".join(lines(rows)), markup=False)


def show(result: dict[str, Any], folder: Path) -> None:
    """The table at the end of a flow, and where the page is."""
    accuracy, cosim, build = result["accuracy"], result["cosim"], result["build"]
    table = Table(title=result["recipe"], show_header=False)

    def row(what: str, value: Any, text: str = "{}") -> None:
        table.add_row(what, "-" if value is None else text.format(value))

    row("accuracy, float", accuracy["float"], "{:.2%}")
    row("accuracy, golden model", accuracy["golden"], f"{{:.2%}} ({result['bits']}-bit weights)")
    row("accuracy, hardware", accuracy["hardware"], "{:.2%}")
    row("samples simulated", cosim["samples"])
    row("values compared", cosim["comparisons"], "{:,}")
    row("mismatches", cosim["mismatches"])
    row("spikes seen", cosim["spikes"], "{:,}")
    row("cycles per inference", cosim["cycles_per_sample"], "{:,.0f}")
    row("device", build.get("device"))
    row("LUTs", build.get("luts"), "{:,}")
    row("block RAMs", build.get("brams"))
    row("fmax", build.get("fmax_mhz"), "{:.1f} MHz")
    row("bitstream", build.get("bitstream"))
    console.print(table)
    console.print(f"  {folder / 'report.html'}", markup=False)


def main() -> None:
    """Run the command; a user's mistake is one line on standard error and exit status 2."""
    # Components of a design that was refused half-way are no news to the user.
    warnings.filterwarnings("ignore", module="amaranth")
    try:
        app()
    except ValueError as error:
        if not type(error).__module__.startswith("reslif."):
            raise
        print(f"reslif: {error}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print(f"reslif: {where}{error.strerror or error}", file=sys.stderr)
        sys.exit(2)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("reslif"):
            raise
        hint = "install it with: pip install 'reslif[train,sim,fpga]'"
        print(f"reslif: Python package '{error.name}' is missing, {hint}", file=sys.stderr)
        sys.exit(2)
