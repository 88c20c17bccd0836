"""A run's network at several widths of its weights, for its page."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..recipe import RecipeError
from .run import Run, StageError

FOLDER = "widths"
"""Where networks of other widths are trained, below the run folder."""


def sha256(path: Path) -> str:
    """Of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def sweep(run: Run, widths: Sequence[int], train: bool = False, samples: int = 0) -> dict[str, Any]:
    """The golden model's accuracy with weights of each of ``widths`` bits; ``widths.json``.

    The trained float network is rounded, and with ``train`` trained on with integer weights as
    ``reslif quantise`` does. Accuracies are of the first ``samples`` test samples, 0 being all.
    """
    from ..models import image_of
    from ..studies.widths import by_width, checked_widths
    from ..train import FLOAT_FILE, accuracy_float, trained_model

    if not widths:
        raise RecipeError("bits is empty, must be widths such as 8,4,2")
    if samples < 0:
        raise RecipeError(f"samples is {samples}, must be at least 0")
    chosen, path = checked_widths(widths), run.folder / FLOAT_FILE
    if not path.is_file():
        raise StageError(f"{path} does not exist, run `reslif train` first")
    run.check_finished("float", "epochs", "train")
    start = time.monotonic()
    config, data = run.train_config(), run.data()
    model = trained_model(config, data, run.folder)
    test = data.test[: samples or len(data.test)]
    image = image_of(config, data)
    real = accuracy_float(model, test, config.steps, data.format.step, image=image)
    run.say(f"float {real:.2%} on {len(test)} test samples")
    rows = {}
    folder = run.folder / FOLDER if train else None
    for row in by_width(config, data, model, chosen, test, folder):
        after = "" if row.trained is None else f", {row.trained:.2%} trained on"
        run.say(f"{row.bits} bits: {row.rounded:.2%} rounded{after}")
        rows[str(row.bits)] = {"rounded": row.rounded, "trained": row.trained}
    return run.write("widths", {
        "float": real, "samples": len(test), "bits": rows, "float_sha256": sha256(path),
        "seconds": round(time.monotonic() - start, 1),
    })  # fmt: skip
