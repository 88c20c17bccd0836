"""Both engines run the network of every digits recipe, and do the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from reslif.hw.emit import generate
from reslif.hw.folding import Folding
from reslif.hw.sequential.program import Sequence
from reslif.sim.cosim import CosimResult, cosim
from reslif.sw import from_torch
from reslif.sw.float_passes import reestimate
from reslif.sw.flow import Run, folding_of
from reslif.sw.models import build_model, seen
from reslif.sw.network import LIF, Network
from reslif.sw.quantiser import QuantiseConfig, plan
from reslif.sw.recipe import Recipe, load_recipe

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
RECIPES = sorted(EXAMPLES.glob("digits_*.toml"))
ROWS = EXAMPLES / "digit_rows_482.toml"
"""Other inputs in every timestep."""
DEEP = 100
SAMPLES = 8


def untrained(recipe: Recipe, folder: Path) -> tuple[Network, torch.Tensor]:
    """The recipe's network with the weights it starts from, all layers alive, and test samples."""
    run = Run(recipe, folder, print)
    config, data = run.train_config(), run.data()
    model = build_model(config, data)
    reestimate(model, data.train[:256], config, data.format.step)
    inputs = data.train[:64].over_time(config.steps)
    real = seen(torch.tensor(inputs[:, :4], dtype=torch.float64), data.format.step, None)
    settings = QuantiseConfig(bits=config.bits, guard_bits=config.guard_bits)
    graph = from_torch(model.eval(), real, data.format)
    return plan(graph, inputs, settings).network, data.test[:SAMPLES].over_time(config.steps)


def both(recipe: Recipe, folder: Path) -> None:
    network, samples = untrained(recipe, folder)
    chosen = folding_of(recipe)
    other = Sequence(16) if isinstance(chosen, Folding) else Folding()
    found: list[CosimResult] = []
    for name, folding in (("own", chosen), ("other", other)):
        place = folder / name
        manifest = generate(network, place, folding)
        assert manifest["engine"] == ("dataflow" if isinstance(folding, Folding) else "sequential")
        found.append(cosim(place, network, samples, harness="native", fast=False))
    own, other_result = found
    assert own.mismatches == other_result.mismatches == 0
    assert own.classes == other_result.classes
    assert own.spikes == other_result.spikes
    assert set(own.spikes) == {node.name for node in network.nodes_of(LIF)}
    assert all(own.spikes.values())


def deep(path: Path) -> bool:
    return load_recipe(path).train["blocks"] >= DEEP


@pytest.mark.parametrize("path", [p for p in RECIPES if not deep(p)], ids=lambda path: path.stem)
def test_they_do_the_same(path: Path, tmp_path: Path) -> None:
    both(load_recipe(path), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("path", [p for p in RECIPES if deep(p)], ids=lambda path: path.stem)
def test_they_do_the_same_where_the_dataflow_engine_is_huge(path: Path, tmp_path: Path) -> None:
    both(load_recipe(path), tmp_path)


def test_deep_recipes_with_few_blocks(tmp_path: Path) -> None:
    for path in (*filter(deep, RECIPES), ROWS):
        recipe = load_recipe(path)
        train = {**recipe.train, "blocks": 3}
        both(replace(recipe, train=train), tmp_path / recipe.name)
