"""The verbs that measure the kit itself."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .options import DataDir, Out, RecipeFile, check_folder, numbers, run_of
from .terminal import console


def bench(
    out: Annotated[Path, typer.Option(help="Where designs and figures go.")] = Path("runs/bench"),
) -> None:
    """Area, speed and cycles of two published networks, built with this flow."""
    from ..studies.bench import bench as measure
    from ..studies.bench import show as show_bench

    check_folder(out)
    show_bench(measure(out, console.print), console)


def scaling(
    out: Annotated[Path, typer.Option(help="Where designs and figures go.")] = Path("runs/scaling"),
    layers: Annotated[str, typer.Option(help="Depths.")] = "10,50,110,482,1000",
    place: Annotated[bool, typer.Option(help="Place and route each for its area.")] = True,
) -> None:
    """Cycles, area and times of the sequential engine over depth."""
    from ..network_file import write_atomically
    from ..studies.scaling import lines
    from ..studies.scaling import scaling as measure
    from ..studies.scaling_plot import plot

    check_folder(out)
    rows = measure(out, console.print, numbers("layers", layers), place)
    write_atomically(out / "scaling.svg", plot(rows).encode())
    console.print("\n".join(lines(rows)), markup=False)


def depth(
    recipe: RecipeFile,
    out: Out = None,
    data_dir: DataDir = None,
    depths: Annotated[str, typer.Option(help="Layers of untrained networks.")] = "10,50,110,482",
    samples: Annotated[int, typer.Option(help="Training samples to measure on.")] = 64,
) -> None:
    """Measure what depth does to a recipe's network, block by block, trained or not."""
    from ..network_file import write_atomically
    from ..studies.depth import depth_study, lines
    from ..studies.depth_plot import plot

    layers = numbers("depths", depths)
    run = run_of(recipe, out, data_dir)
    check_folder(run.folder)
    result = depth_study(run.train_config(), run.data(), run.folder, layers, samples)
    run.write("depth", {"recipe": run.recipe.name, **result})
    write_atomically(run.folder / "depth.svg", plot(result).encode())
    console.print("\n".join(lines(result)), markup=False)
    console.print(f"  {run.folder / 'depth.json'}, {run.folder / 'depth.svg'}", markup=False)


def depth_accuracy(
    recipe: RecipeFile,
    out: Out = None,
    data_dir: DataDir = None,
    networks: Annotated[str, typer.Option(help="Kinds and layers.")] = "ms:482,ms:10,plain:482",
    seeds: Annotated[int, typer.Option(help="Networks of each.")] = 3,
) -> None:
    """Train a recipe's network at several depths, with several seeds: means and spread."""
    from ..studies.depth_accuracy import depth_accuracy as measure
    from ..studies.depth_accuracy import lines, report

    run = run_of(recipe, out, data_dir)
    check_folder(run.folder)
    config, data, rows = run.train_config(), run.data(), []
    folder = run.folder / "depth_accuracy"
    for row in measure(config, data, folder, networks.split(","), seeds):
        rows.append(row)
        run.write("depth_accuracy", {"recipe": run.recipe.name, **report(config, data, rows)})
    console.print("\n".join(lines(rows)), markup=False)
