"""Learning rates of what adds up over depth: whose, how much, and that training uses them."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from reslif.sw.data import load_dataset
from reslif.sw.fit import TrainError, load_module
from reslif.sw.models import TrainConfig, build_model, seen
from reslif.sw.nn import ResidualSNN
from reslif.sw.pace import branch_paces, graph_paces
from reslif.sw.qat import QATNetwork
from reslif.sw.quantiser import QuantiseConfig, plan
from reslif.sw.tracing import from_torch
from reslif.sw.train import FLOAT_FILE, train_float, train_quantised

SMALL = TrainConfig(
    width=8, blocks=4, steps=2, epochs=1, qat_epochs=1, batch=64, augment=0.0, weight_decay=0.0,
    scaled_lr=True, device="cpu",
)  # fmt: skip
HALF = 1 / math.sqrt(4)


@pytest.mark.parametrize(("norm", "last"), [("batch", "norm2"), ("none", "linear2")])
def test_the_last_parameters_of_each_branch_are_named(norm: str, last: str) -> None:
    model = ResidualSNN(16, 3, 8, 4, "ms", norm=norm)
    paces = branch_paces(model)
    expected = {f"stack.blocks.{i}.{last}.weight" for i in range(4)}
    expected |= {name.replace("weight", "bias") for name in expected} if norm == "batch" else set()
    assert set(paces) == expected <= {name for name, _ in model.named_parameters()}
    assert set(paces.values()) == {HALF}
    assert branch_paces(ResidualSNN(16, 3, 8, 4, "sew")) == {}
    assert set(branch_paces(model.stack)) == {name.removeprefix("stack.") for name in expected}


def test_the_power_is_that_of_the_branches_start() -> None:
    for power in (0.5, 1.0):
        model = ResidualSNN(16, 3, 8, 4, "ms", branch_power=power)
        assert set(branch_paces(model).values()) == {4**-power}
        assert model.stack.blocks[0].norm2.weight.unique().tolist() == [4**-power]
    with pytest.raises(TrainError, match="branch_power is -1"):
        replace(SMALL, branch_power=-1)


def test_so_are_their_synapses_in_the_graph() -> None:
    data = load_dataset("digits").first(64)
    samples = data.train.over_time(2)
    real = seen(torch.tensor(samples[:, :8], dtype=torch.float64), data.format.step, None)
    graph = from_torch(build_model(SMALL, data).eval(), real, data.format)
    paces = graph_paces(graph, 0.5)
    module = QATNetwork(plan(graph, samples, QuantiseConfig()), graph)
    names = {name for name, _ in module.named_parameters()}
    assert set(paces) <= names
    assert {name.rpartition("__")[0] for name in paces} == {
        f"stack_blocks_{i}_linear2" for i in range(4)
    }
    assert len(paces) == 8
    assert set(paces.values()) == {HALF}
    assert set(graph_paces(graph, 1.0).values()) == {1 / 4}


def moved(folder: Path, scaled: bool) -> dict[str, float]:
    """How far one epoch moves the shifts of the inner and of the last norms, on average."""
    data = load_dataset("digits").first(64)  # one batch, one step an epoch: AdamW moves by the rate
    config = replace(SMALL, scaled_lr=scaled, lr=0.01, epochs=2)
    before = build_model(config, data)
    train_float(config, data, folder)
    after = build_model(config, data)
    load_module(after, folder / FLOAT_FILE)
    found = {}
    for name in ("norm1", "norm2"):
        pairs = zip(before.stack.blocks, after.stack.blocks, strict=True)
        steps = [getattr(b, name).bias - getattr(a, name).bias for a, b in pairs]
        found[name] = float(torch.cat(steps).detach().abs().mean())
    return found


def test_training_moves_them_less_and_the_others_as_before(tmp_path: Path) -> None:
    plain, scaled = moved(tmp_path / "plain", False), moved(tmp_path / "scaled", True)
    assert plain["norm1"] == pytest.approx(scaled["norm1"], rel=0.2)
    assert scaled["norm2"] == pytest.approx(HALF * plain["norm2"], rel=0.2)
    assert scaled["norm2"] > 0


def test_quantised_training_takes_them_too(tmp_path: Path, monkeypatch) -> None:
    data = load_dataset("digits").first(64)
    asked = []

    def watched(graph, power):
        asked.append(graph_paces(graph, power))
        return asked[-1]

    monkeypatch.setattr("reslif.sw.train.graph_paces", watched)
    model = build_model(SMALL, data)
    train_quantised(SMALL, data, model.eval(), tmp_path)
    train_quantised(replace(SMALL, scaled_lr=False), data, model.eval(), tmp_path / "other")
    assert len(asked) == 1
    assert len(asked[0]) == 8


@pytest.mark.parametrize("changes", [{"block_type": "sew"}, {"model": "layers"}], ids=str)
def test_only_membrane_shortcuts_have_such_branches(changes) -> None:
    with pytest.raises(TrainError, match="scaled_lr is true"):
        TrainConfig(scaled_lr=True, **changes)
