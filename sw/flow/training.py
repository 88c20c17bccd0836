"""The stages in software: training, then quantised training."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Any

from .hardware import show_budget
from .run import Run, StageError


def train(run: Run) -> dict[str, Any]:
    """Train in floating point; ``float.safetensors``."""
    from ..models import image_of
    from ..train import accuracy_float, train_float

    config, data = run.train_config(), run.data()
    start = time.monotonic()
    image = image_of(config, data)
    if image is not None:
        show_budget(run, config, data)
    model, fit = train_float(config, data, run.folder)
    accuracy = accuracy_float(model, data.test, config.steps, data.format.step, image=image)
    result = {
        "accuracy": accuracy,
        "validation_accuracy": fit.accuracy,
        "best_epoch": fit.best_epoch,
        "test_samples": len(data.test),
        "seeds": {"train": config.seed, "data": run.recipe.data.seed},
        "data": {"set": data.name, "split": data.split, "digest": data.digest},
        "config": asdict(config),
        "seconds": round(time.monotonic() - start, 1),
    }
    run.say(f"float accuracy {accuracy:.2%} on {len(data.test)} test samples")
    return run.write("train", result)


def quantise(run: Run) -> dict[str, Any]:
    """Train on with integer weights; ``network.safetensors``."""
    from ..evaluate import measure
    from ..train import FLOAT_FILE, train_quantised, trained_model

    config, data = run.train_config(), run.data()
    path = run.folder / FLOAT_FILE
    if not path.is_file():
        raise StageError(f"{path} does not exist, run `reslif train` first")
    run.check_finished("float", "epochs", "train")
    start = time.monotonic()
    model = trained_model(config, data, run.folder)
    network, fit = train_quantised(config, data, model, run.folder)
    found = measure(network, data.test, config.steps)
    result = {
        "accuracy": found.accuracy,
        "validation_accuracy": fit.accuracy,
        "spike_rate": round(found.spike_rate, 4),
        "bits": config.bits,
        "digest": network.digest,
        "seconds": round(time.monotonic() - start, 1),
    }
    run.say(f"{config.bits}-bit golden accuracy {found.accuracy:.2%}")
    return run.write("quantise", result)
