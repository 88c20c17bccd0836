"""Recipes: one TOML file that says how a network is trained, built and checked."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any


class RecipeError(ValueError):
    """A recipe that cannot be used."""


LIMIT = 2**63
"""What numbers must be below, whatever they are of: what PyTorch and numpy hold."""


@dataclass(frozen=True)
class DataRecipe:
    """``set`` names a data set, ``split`` one of its splits, ``seed`` draws it.

    ``dir`` is the folder of its files; without one they are looked for where they usually lie.
    With ``samples`` each split is cut to that many, for a quick try (0: all). Of moving digits
    ``moving`` holds the fields of :class:`reslif.sw.moving_digits.MovingDigits`, and ``cache`` is
    the folder in which the clips are kept.
    """

    set: str = "digits"
    split: str = "stratified"
    seed: int = 0
    dir: str = ""
    samples: int = 0
    cache: str = ""
    moving: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("seed", "samples"):
            if getattr(self, name) < 0:
                raise RecipeError(f"[data] {name} is {getattr(self, name)}, must be at least 0")
        if self.set != "moving_digits" and (self.moving or self.cache):
            what = "moving" if self.moving else "cache"
            raise RecipeError(f"[data] has {what}, with set {self.set!r} it must have none")


@dataclass(frozen=True)
class HardwareRecipe:
    """The engine, ``"dataflow"`` or ``"sequential"``, and its folding.

    ``layers`` has exceptions by the name of a layer. With ``target_fps`` the folding is chosen, so
    that as many samples a second pass on the device. The sequential engine has ``lanes`` alone, and
    ``weights``: where they are, see :class:`reslif.hw.sequential.program.Sequence`.
    """

    engine: str = "dataflow"
    lanes: int = 16
    neuron_lanes: int = 4
    taps: int = 1
    layers: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    target_fps: float = 0.0
    weights: str = "block"

    def __post_init__(self) -> None:
        if not self.target_fps >= 0:  # nor is it "not a number"
            raise RecipeError(f"[hardware] target_fps is {self.target_fps}, must be at least 0")


@dataclass(frozen=True)
class CosimRecipe:
    """Co-simulation of the first ``samples`` test samples (0: all of them).

    ``idle`` and ``stall`` are the probabilities of random pauses on input and output. Of the first
    ``results`` samples scores, classes and numbers of spikes alone are compared, without pauses:
    for many samples of a large network.
    """

    harness: str = "cocotb"
    samples: int = 0
    results: int = 0
    idle: float = 0.0
    stall: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise RecipeError(f"[cosim] seed is {self.seed}, must be at least 0")


@dataclass(frozen=True)
class BuildRecipe:
    """The device to build for, and its clock (0: the device's usual one)."""

    device: str = "ecp5-85k"
    clock_mhz: float = 0.0

    def __post_init__(self) -> None:
        if self.clock_mhz < 0:
            raise RecipeError(f"[build] clock_mhz is {self.clock_mhz}, must be at least 0")


@dataclass(frozen=True)
class Recipe:
    """A whole recipe; ``train`` holds the fields of :class:`reslif.sw.train.TrainConfig`."""

    name: str
    data: DataRecipe = field(default_factory=DataRecipe)
    train: Mapping[str, Any] = field(default_factory=dict)
    hardware: HardwareRecipe = field(default_factory=HardwareRecipe)
    cosim: CosimRecipe = CosimRecipe()
    build: BuildRecipe = BuildRecipe()


_SECTIONS = {
    "data": DataRecipe,
    "hardware": HardwareRecipe,
    "cosim": CosimRecipe,
    "build": BuildRecipe,
}


def load_recipe(path: Path) -> Recipe:
    """Read a recipe; :class:`RecipeError` names the key that is wrong and what it must be."""
    try:
        content = tomllib.loads(path.read_text())
    except FileNotFoundError:
        raise RecipeError(f"recipe {path} does not exist") from None
    except OSError as error:
        raise RecipeError(f"recipe {path} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"recipe {path} is no TOML file: {error}") from None
    known = {item.name for item in fields(Recipe)}
    for key in content:
        if key not in known:
            raise RecipeError(f"recipe {path}: unknown key '{key}', must be one of {_list(known)}")
    name = content.get("name", path.stem)
    if not isinstance(name, str) or not re.fullmatch(r"[\w-]+", name, re.ASCII):
        raise RecipeError(f"recipe {path}: name is {name!r}, must be letters, digits, - and _")
    sections: dict[str, Any] = {
        key: _section(path, key, kind, content.get(key, {})) for key, kind in _SECTIONS.items()
    }
    train = content.get("train", {})
    if not isinstance(train, dict):
        raise RecipeError(f"recipe {path}: train is {train!r}, must be a table")
    return Recipe(name=name, train=train, **sections)


def checked(kind: type, values: Mapping[str, Any], where: str) -> Any:
    """``kind(**values)``, or a :class:`RecipeError` that names the unknown or ill-typed key."""
    return kind(**typed(kind, values, where))


def typed(kind: type, values: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The ``values``, each of the type of that field of ``kind``; a list as a tuple where it is
    one. Or a :class:`RecipeError`.
    """
    known = {item.name: item for item in fields(kind)}
    arguments = {}
    for key, value in values.items():
        if key not in known:
            raise RecipeError(f"{where}: unknown key '{key}', must be one of {_list(set(known))}")
        default = known[key].default
        if known[key].default_factory is not MISSING and not isinstance(value, dict):
            raise RecipeError(f"{where}: {key} is {value!r}, must be a table")
        if isinstance(default, bool | int | float | str) and not _is_like(value, default):
            raise RecipeError(
                f"{where}: {key} is {value!r}, must be {type(default).__name__} such as {default!r}"
            )
        if isinstance(value, int | float) and not abs(value) < LIMIT:  # nor is "not a number"
            raise RecipeError(f"{where}: {key} is {value!r}, must be finite and below 2^63")
        if isinstance(default, tuple):
            if not isinstance(value, list) or not all(_is_like(v, default[0]) for v in value):
                raise RecipeError(
                    f"{where}: {key} is {value!r}, must be a list such as {list(default)}"
                )
            value = tuple(value)
        arguments[key] = value
    return arguments


def _is_like(value: Any, default: bool | int | float | str) -> bool:
    """Whether ``value`` is of the type of ``default``; an integer will do for a float."""
    if isinstance(value, bool) or isinstance(default, bool):
        return isinstance(value, bool) and isinstance(default, bool)
    return isinstance(value, (int, float) if isinstance(default, float) else type(default))


def _section(path: Path, key: str, kind: type, values: Any) -> Any:
    if not isinstance(values, dict):
        raise RecipeError(f"recipe {path}: {key} is {values!r}, must be a table")
    return checked(kind, values, f"recipe {path}: [{key}]")


def _list(names: set[str]) -> str:
    return ", ".join(sorted(names))
