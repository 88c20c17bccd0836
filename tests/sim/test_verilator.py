import os

import pytest
from reslif.sim import verilator
from reslif.sim.errors import SimulationError
from reslif.sim.verilator import TOP, Recipe, build, environment, lint

CLEAN = "module top(input wire a, output wire b);\n  assign b = !a;\nendmodule\n"
MAIN = '#include "Vtop.h"\nint main() { Vtop top; top.a = 1; top.eval(); return top.b; }\n'


@pytest.fixture(scope="module")
def own_folder(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def own_cache(own_folder, monkeypatch):
    """A cache that was empty before this module's tests."""
    monkeypatch.setenv("RESLIF_CACHE", str(own_folder))


@pytest.mark.parametrize(
    ("missing", "message"), [("c++", r"C\+\+ compiler"), ("make", "make"), ("perl", "perl")]
)
def test_a_missing_program_is_one_clear_error(missing, message, tmp_path, monkeypatch, own_cache):
    for name in {"c++", "make", "perl"} - {missing}:
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SimulationError, match=f"needs .*{message}.*install it"):
        build(Recipe({"top.v": CLEAN}, MAIN))


def test_a_build_is_made_once(own_cache, monkeypatch):
    recipe = Recipe({"top.v": CLEAN}, MAIN, fast=False)
    folder = build(recipe)
    assert os.access(folder / TOP, os.X_OK)
    monkeypatch.setattr(verilator, "_build", None)  # calling it would raise
    assert build(recipe) == folder
    with pytest.raises(TypeError):
        build(Recipe({"top.v": CLEAN + "// other\n"}, MAIN, fast=False))


def test_everything_that_matters_is_in_the_digest():
    recipes = [
        Recipe({"top.v": CLEAN}),
        Recipe({"top.v": CLEAN}, MAIN),
        Recipe({"top.v": CLEAN}, MAIN, fast=False),
        Recipe({"top.v": CLEAN}, MAIN, trace=True),
        Recipe({"top.v": CLEAN + " "}, MAIN),
        Recipe({"top.v": CLEAN, "b.sv": ""}, MAIN),
    ]
    assert len({recipe.digest for recipe in recipes}) == len(recipes)


def test_a_failed_build_is_one_line_and_no_build(own_cache):
    recipe = Recipe({"top.v": CLEAN.replace("!a", "!nothing")}, MAIN)
    for _ in range(2):  # the second must not find the ruins of the first
        with pytest.raises(SimulationError, match=r"%Error: .*nothing") as error:
            build(recipe)
        assert "\n" not in str(error.value)
    recipe = Recipe({"top.v": CLEAN}, MAIN.replace("top.eval", "top.nothing"), fast=False)
    with pytest.raises(SimulationError, match=r"main\.cpp.*error.*nothing"):
        build(recipe)


def test_the_environment_is_left_alone(monkeypatch):
    before = dict(os.environ)
    assert environment()["VERILATOR_ROOT"]
    assert dict(os.environ) == before


def test_lint_finds_what_no_waiver_covers(tmp_path):
    top = tmp_path / "top.v"
    top.write_text(CLEAN)
    lint(top)
    top.write_text(CLEAN.replace("!a", "!c"))
    with pytest.raises(SimulationError, match=r"lint is not clean, first of .*%Error"):
        lint(top)
    top.write_text(CLEAN.replace("wire b", "wire b, output wire c"))
    with pytest.raises(SimulationError, match="lint is not clean, first of 1: %Warning-UNDRIVEN"):
        lint(top)
    waivers = tmp_path / "waivers.vlt"
    waivers.write_text('`verilator_config\n// Because.\nlint_off -rule UNDRIVEN -file "*"\n')
    lint(top, waivers)
    waivers.write_text('`verilator_config\nlint_off -rule UNDRIVEN -file "*"\n')
    with pytest.raises(SimulationError, match="no comment gives the reason of 'lint_off"):
        lint(top, waivers)
