"""The waveform of some timesteps of a test sample."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ..recipe import DataRecipe, Recipe, RecipeError
from .run import Run, StageError

FOLDER = "waves"
"""Where waveforms go, below the run folder."""


def folder_run(folder: Path, say: Callable[[str], None], data_dir: Path | None = None) -> Run:
    """The run in ``folder`` as far as its own results tell: its network and its data set.

    Raises :class:`StageError` if the test samples would not be those of the run.
    """
    content = Run(Recipe(folder.name), folder, say).read("train")
    data, seeds = content["data"], content["seeds"]
    recipe = DataRecipe(data["set"], data["split"], seeds["data"], str(data_dir or ""))
    run = Run(Recipe(folder.name, recipe), folder, say)
    if run.data().digest != data["digest"]:
        raise StageError(
            f"{folder} does not say all of its data set '{data['set']}', "
            "name the recipe in place of the folder"
        )
    return run


def wave(run: Run, sample: int, first: int = 0, last: int | None = None) -> Path:
    """Write the timesteps ``first`` to ``last`` (by default the last one) of the test sample of
    that number, with lists of signals for GTKWave and Surfer; the VCD file.
    """
    from ...sim.wave import wave as write

    network, test = run.network, run.data().test
    if not 0 <= sample < len(test):
        raise RecipeError(f"sample is {sample}, must be from 0 to {len(test) - 1}, a test sample")
    inputs = test[sample : sample + 1].over_time(network.max_steps)[:, 0]
    last = len(inputs) - 1 if last is None else last
    vcd = run.folder / FOLDER / f"sample{sample}_steps{first}-{last}.vcd"
    found = write(run.folder, network, inputs, (first, last), vcd)
    run.say(
        f"{vcd}: {vcd.stat().st_size / 1e6:.1f} MB, cycles {found.first:,} to {found.last:,} of "
        f"sample {sample} alone"
    )
    run.say(f"gtkwave {vcd} {found.gtkwave}")
    run.say(f"surfer {vcd} --command-file {found.surfer}")
    if found.mismatch is not None:
        run.say(f"hardware differs from the golden model at {found.mismatch}")
    return vcd
