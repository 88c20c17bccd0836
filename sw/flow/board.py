"""The stage that makes a bitstream, and what is done with one."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from ..recipe import RecipeError
from .report import check_same_design
from .run import Run, StageError


def build(run: Run) -> dict[str, Any]:
    """Synthesise, place, route and pack."""
    from ...bitstreams.devices import device
    from ...bitstreams.flow import build as implement
    from ..progress import Elapsed

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
    from ...bitstreams.devices import device
    from ...bitstreams.program import program as load

    built = _built(run)
    target = device(built["device"])
    load(run.folder / target.name / Path(built["bitstream"]).name, target)
    return built


def _built(run: Run) -> dict[str, Any]:
    """The results of a build, if it is one of the present Verilog of the present network."""
    built = run.read("build")
    for key in ("device", "bitstream", "verilog_sha256"):
        if key not in built:
            raise StageError(f"{run.folder / 'build.json'} lacks {key}, run `reslif build` again")
    check_same_design(
        {stage: run.read(stage) for stage in ("quantise", "generate")} | {"build": built}
    )
    return built


def run_on_board(run: Run, port: str, count: int = 0) -> dict[str, Any]:
    """Send test samples over the serial line at ``port``; compare with the golden model."""
    from ...bitstreams.devices import device
    from ...bitstreams.host import open_line, run_samples
    from ...sim.design import Design
    from ...sim.encoding import encode
    from .. import golden
    from ..progress import Progress

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
            Design.read(run.folder).loaded,
        )
    if found.mismatches:
        raise StageError(f"the board differs from the golden model: {found.first}")
    labels = data.test.labels[: len(words)]
    accuracy = float((found.predicted == labels).mean())
    run.say(f"{len(words)} samples on the board: 0 mismatches, accuracy {accuracy:.2%}")
    return {"samples": len(words), "mismatches": found.mismatches, "accuracy": accuracy}
