"""The verbs that look at what has been made, or put it to use."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..recipe import RecipeError
from .options import DataDir, Out, RecipeFile, known_run, numbers, run_of
from .terminal import console


def evaluate(
    network: Annotated[Path, typer.Argument(help="A network file.", show_default=False)],
    data: Annotated[str, typer.Option(help="Name of the data set.")] = "digits",
    data_dir: DataDir = None,
    split: Annotated[str, typer.Option(help="stratified or file_order.")] = "stratified",
    seed: Annotated[int, typer.Option(help="That drew the split, as in the recipe.")] = 0,
    samples: Annotated[int, typer.Option(help="The first so many test samples; 0: all.")] = 0,
) -> None:
    """Accuracy of a network file by the golden model."""
    from ..data import load_dataset
    from ..evaluate import check_fits, measure
    from ..network_file import load_network
    from ..progress import Progress

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


def widths(
    run: Annotated[Path, typer.Argument(help="The run folder, or its recipe.", show_default=False)],
    out: Out = None,
    data_dir: DataDir = None,
    bits: Annotated[str, typer.Option(help="Widths of the weights.")] = "8,6,4,3,2",
    train: Annotated[bool, typer.Option("--train", help="Train each on, too.")] = False,
    samples: Annotated[int, typer.Option(help="The first so many test samples; 0: all.")] = 0,
) -> None:
    """Accuracy of a trained network with weights of several widths, for its report."""
    from ..flow.widths import sweep

    sweep(known_run(run, out, data_dir), numbers("bits", bits), train, samples)


def program(recipe: RecipeFile, out: Out = None) -> None:
    """Load the bitstream of a recipe into its board (needs openFPGALoader)."""
    from ..flow import program as load

    load(run_of(recipe, out))


def run(
    recipe: RecipeFile,
    port: Annotated[str, typer.Option(help="The board's serial port.", show_default=False)],
    samples: Annotated[int, typer.Option(help="How many test samples; 0 for all.")] = 0,
    out: Out = None,
    data_dir: DataDir = None,
) -> None:
    """Send test samples to a board and compare its scores with the golden model."""
    from ..flow import run_on_board

    run_on_board(run_of(recipe, out, data_dir), port, samples)


def wave(
    run: Annotated[Path, typer.Argument(help="The run folder, or its recipe.", show_default=False)],
    sample: Annotated[int, typer.Option(help="Number of the test sample.")] = 0,
    first: Annotated[int, typer.Option("--from", help="The first timestep.")] = 0,
    last: Annotated[int | None, typer.Option("--to", help="The last timestep.")] = None,
    out: Out = None,
    data_dir: DataDir = None,
) -> None:
    """Write the waveform of some timesteps of a test sample, for GTKWave and Surfer."""
    from ..flow.waves import wave as write

    if not run.exists():
        raise RecipeError(f"{run} does not exist, must be a run folder or a recipe")
    write(known_run(run, out, data_dir), sample, first, last)
