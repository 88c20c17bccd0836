"""The front door: ``reslif``, one command with a verb for each stage of the road."""

from __future__ import annotations

import sys
import warnings

import typer

from . import runs, stages, studies

app = typer.Typer(
    name="reslif",
    help="Residual spiking neural networks from PyTorch to FPGA, proven bit-exact on the way.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
VERBS = (
    stages.train, stages.quantise, stages.generate, stages.cosim, stages.build, stages.report,
    stages.flow, runs.evaluate, runs.widths, runs.wave, runs.program, runs.run, studies.bench,
    studies.scaling, studies.depth, studies.depth_accuracy,
)  # fmt: skip
for verb in VERBS:
    app.command()(verb)


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
