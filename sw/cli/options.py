"""What several verbs are told, and the runs, folders and numbers that are meant."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from ..flow import Run
from ..recipe import RecipeError, load_recipe
from .terminal import say

RecipeFile = Annotated[Path, typer.Argument(help="The recipe, a TOML file.", show_default=False)]
DataDir = Annotated[
    Path | None,
    typer.Option(help="The data set's folder; by default that of the recipe, or the usual one."),
]
Out = Annotated[Path | None, typer.Option(help="The run folder; by default runs/<recipe name>.")]


def run_of(recipe: Path, out: Path | None, data_dir: Path | None = None) -> Run:
    loaded = load_recipe(recipe)
    if data_dir is not None:
        loaded = replace(loaded, data=replace(loaded.data, dir=str(data_dir)))
    return Run(loaded, out or Path("runs") / loaded.name, say)


def known_run(path: Path, out: Path | None, data_dir: Path | None) -> Run:
    """The run of a recipe, or that of a run folder."""
    if not path.is_dir():
        return run_of(path, out, data_dir)
    from ..flow.report import recipe_of

    if out is not None:
        raise RecipeError(f"{path} is a run folder, with it --out must not be given")
    return Run(recipe_of(path, data_dir), path, say)


def check_folder(folder: Path) -> None:
    """Raise now what would be refused when the first result is written, perhaps hours later."""
    place = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not place.is_dir():
        raise RecipeError(f"{folder} cannot be a folder for results: {place} is a file")
    if not os.access(place, os.W_OK | os.X_OK):
        raise RecipeError(f"{folder} cannot be a folder for results: {place} cannot be written to")


def numbers(name: str, text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",") if part]
    except ValueError:
        raise RecipeError(f"{name} is {text!r}, must be numbers such as 10,482") from None
