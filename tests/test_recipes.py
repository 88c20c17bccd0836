"""The recipes in examples/: every one can be checked, traced, quantised and laid out."""

from pathlib import Path

import pytest
import torch
from reslif.hw.folding import Plan
from reslif.sw import from_torch
from reslif.sw.flow import Run, check, folding_of
from reslif.sw.network import Neuron
from reslif.sw.nn.layered import NEURONS
from reslif.sw.quantiser import QuantiseConfig, plan
from reslif.sw.recipe import load_recipe
from reslif.sw.train import build_model

EXAMPLES = Path(__file__).parent.parent / "examples"
RECIPES = sorted(EXAMPLES.rglob("*.toml"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_leads_to_a_design(path: Path, tmp_path: Path) -> None:
    run = Run(load_recipe(path), tmp_path, print)
    check(run)
    config, data = run.train_config(), run.data()
    model = build_model(config, data).eval()
    inputs = data.train.over_time(config.steps)[:, :16]
    graph = from_torch(model, torch.as_tensor(inputs[:, :4] * data.format.step), data.format)
    settings = QuantiseConfig(bits=config.bits, guard_bits=config.guard_bits)
    network = plan(graph, inputs, settings).network
    assert network.nodes_of(Neuron)
    assert Plan(network, folding_of(run.recipe)).folds


def test_there_is_a_recipe_for_every_neuron() -> None:
    recipes = [load_recipe(path) for path in RECIPES]
    named = {recipe.train.get("neuron") for recipe in recipes}
    assert set(NEURONS) <= named
    assert len({recipe.name for recipe in recipes}) == len(recipes)
