"""The recipes in examples/: every one can be checked, traced, quantised and laid out."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from data_folders import pictures, write_cifar, write_idx
from reslif.hw.folding import Folding, Plan
from reslif.hw.sequential.program import Program
from reslif.sw import from_torch
from reslif.sw.data import MOVING
from reslif.sw.flow import Run, check, folding_of
from reslif.sw.image_sets import IMAGE_SETS
from reslif.sw.models import image_of, seen
from reslif.sw.network import Neuron
from reslif.sw.nn.layered import NEURONS
from reslif.sw.quantiser import QuantiseConfig, plan
from reslif.sw.recipe import Recipe, load_recipe
from reslif.sw.train import build_model

EXAMPLES = Path(__file__).parent.parent / "examples"
RECIPES = sorted(EXAMPLES.rglob("*.toml"))


def with_pictures(recipe: Recipe, folder: Path) -> Recipe:
    """``recipe`` for a few made-up images of the size of its set's, where that set is of files; for
    a few clips where they move.
    """
    if recipe.data.set == MOVING:
        few = {**recipe.data.moving, "train": 16, "validation": 4, "test": 4}
        return replace(recipe, data=replace(recipe.data, moving=few, cache=str(folder)))
    if recipe.data.set not in IMAGE_SETS:
        return recipe
    write, shape = (
        (write_cifar, (3, 32, 32)) if recipe.data.set == "cifar10" else (write_idx, (1, 28, 28))
    )
    write(folder, pictures(40, shape), pictures(10, shape, seed=1))
    return replace(recipe, data=replace(recipe.data, dir=str(folder)))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_leads_to_a_design(path: Path, tmp_path: Path) -> None:
    run = Run(with_pictures(load_recipe(path), tmp_path), tmp_path, print)
    check(run)
    config, data = run.train_config(), run.data()
    model = build_model(config, data).eval()
    image = image_of(config, data)
    inputs = data.train[: 4 if image else 16].over_time(config.steps)
    raw = torch.tensor(inputs[:, :4], dtype=torch.float64)
    real = seen(raw, data.format.step, image)
    graph = from_torch(model, real, data.format)
    settings = QuantiseConfig(bits=config.bits, guard_bits=config.guard_bits)
    network = plan(graph, inputs, settings).network
    assert network.nodes_of(Neuron)
    folding = folding_of(run.recipe)
    if isinstance(folding, Folding):
        assert Plan(network, folding).folds
    else:
        assert Program(network, folding).operations


def test_there_is_a_recipe_for_every_neuron() -> None:
    recipes = [load_recipe(path) for path in RECIPES]
    named = {recipe.train.get("neuron") for recipe in recipes}
    assert set(NEURONS) <= named
    assert len({recipe.name for recipe in recipes}) == len(recipes)
