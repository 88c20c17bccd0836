"""The stages of the road, each a function of a recipe and a run folder.

Part of the front door, beside :mod:`reslif.sw.cli`: these two alone import the other rooms, and
only when a stage needs them. Every stage reads what earlier stages left in the run folder, writes
its own files and a ``<stage>.json``, and can be repeated alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .board import build, program, run_on_board
from .hardware import check_engine, folding_of, generate
from .report import report
from .run import Run, StageError, versions
from .simulation import cosim, stalls_of
from .training import quantise, train

__all__ = [
    "STAGES",
    "Run",
    "StageError",
    "check",
    "folding_of",
    "program",
    "run_on_board",
    "versions",
]


def check(run: Run, until: str = "build") -> None:
    """Raise now what a later stage of ``run``, up to ``until``, would refuse after minutes of
    work.
    """
    from ...bitstreams.clocks import check_clock
    from ...bitstreams.devices import device
    from ...bitstreams.flow import check_weights
    from ..quantiser import QuantiseConfig
    from ..train import build_model

    config = run.train_config()
    QuantiseConfig(bits=config.bits, guard_bits=config.guard_bits)
    build_model(config, run.data())
    folding_of(run.recipe)
    stalls_of(run.recipe)
    target = device(run.recipe.build.device)
    if until == "build":
        check_weights(run.recipe.hardware.weights, target)
        check_clock(target, run.recipe.build.clock_mhz or target.clock_mhz)
    check_engine(run.recipe, config, run.data())


STAGES: dict[str, Callable[[Run], dict[str, Any]]] = {
    "train": train,
    "quantise": quantise,
    "generate": generate,
    "cosim": cosim,
    "build": build,
    "report": report,
}
"""Every stage, in the order in which ``flow`` runs them."""
