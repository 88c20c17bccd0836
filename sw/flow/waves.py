"""The waveform of some timesteps of a test sample."""

from __future__ import annotations

from pathlib import Path

from ..recipe import RecipeError
from .report import stages_of, trained_on
from .run import Run, StageError

FOLDER = "waves"
"""Where waveforms go, below the run folder."""


def wave(run: Run, sample: int, first: int = 0, last: int | None = None) -> Path:
    """Write the timesteps ``first`` to ``last`` (by default the last one) of the test sample of
    that number, with lists of signals for GTKWave and Surfer; the VCD file.

    Raises :class:`StageError` if the samples would not be those that the run was trained with.
    """
    from ...sim.wave import wave as write

    network, data = run.network, run.data()
    if not trained_on(data, stages_of(run).get("train", {})):
        raise StageError(
            f"{run.folder} was trained with another data set '{data.name}' than this; "
            "if the run folder does not say all of it, name the recipe"
        )
    if not 0 <= sample < len(data.test):
        raise RecipeError(
            f"sample is {sample}, must be from 0 to {len(data.test) - 1}, a test sample"
        )
    inputs = data.test[sample : sample + 1].over_time(network.max_steps)[:, 0]
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
