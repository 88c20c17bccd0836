"""Deep stacks: alive at 482 layers, switched off at the start, and checkpointed."""

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from reslif.sw.data import Dataset, load_dataset, shown
from reslif.sw.float_nodes import GraphError
from reslif.sw.graph import run_float
from reslif.sw.models import TrainConfig
from reslif.sw.nn import (
    LIF,
    BatchNormOverTime,
    DeepSNNStack,
    LayerError,
    MeanNormOverTime,
    ResidualSNN,
)
from reslif.sw.nn.again import computing_again
from reslif.sw.tracing import from_torch
from reslif.sw.train import train_float
from torch import Tensor, nn

DEEP = 241


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture(scope="module")
def data() -> Dataset:
    return load_dataset("digits")


def digits(data: Dataset, steps: int, count: int = 64) -> Tensor:
    return shown(torch.as_tensor(data.train.inputs[:count], dtype=torch.float32) / 16, steps, 1)


def rates_of(model: nn.Module, x: Tensor) -> list[float]:
    """The spike rate of every layer, in order."""
    rates: list[float] = []
    for module in model.modules():
        if isinstance(module, LIF):
            module.register_forward_hook(lambda _, __, out: rates.append(out.mean().item()))
    with torch.no_grad():
        model(x)
    return rates


def alive(rates: list[float]) -> bool:
    return min(rates) > 0.005 and max(rates) < 0.9


@pytest.mark.parametrize("steps", [4, 8])
@pytest.mark.parametrize("norm", ["batch", "mean", "none"])
def test_every_block_of_482_layers_is_alive_at_the_start(data, norm: str, steps: int) -> None:
    model = ResidualSNN(64, 10, 32, DEEP, "ms", norm=norm)
    rates = rates_of(model, digits(data, steps))
    assert model.depth == 482
    assert len(rates) == 483
    assert alive(rates)


def test_so_is_every_block_of_a_spike_element_wise_stack(data) -> None:
    model = ResidualSNN(64, 10, 32, DEEP, "sew")
    outputs: list[float] = []
    for block in model.stack.blocks:
        block.register_forward_hook(lambda _, __, out: outputs.append(out.mean().item()))
    assert alive(rates_of(model, digits(data, 8)))
    assert outputs[0] < outputs[-1] < 0.95  # or only ever adds spikes


@pytest.mark.parametrize("norm", ["batch", "mean", "none"])
def test_zero_gamma_starts_as_the_identity(norm: str) -> None:
    stack = DeepSNNStack(8, 3, "ms", norm=norm, zero_gamma=True)
    assert stack.lif is not None
    x = torch.randn(5, 4, 8)
    assert torch.equal(stack(x), stack.lif(x))
    stack(x).sum().backward()
    last = stack.blocks[0].norm2 if norm != "none" else stack.blocks[0].linear2
    grads = [p.grad.abs().max() for p in last.parameters() if p.grad is not None]
    assert max(grads) > 0  # it can be switched on
    switched_on = DeepSNNStack(8, 3, "ms", norm=norm)
    assert switched_on.lif is not None
    assert not torch.equal(switched_on(x), switched_on.lif(x))


def test_zero_gamma_of_the_others() -> None:
    x = (torch.rand(5, 4, 8) < 0.3).float()
    assert torch.equal(DeepSNNStack(8, 3, "sew", norm=True, zero_gamma=True)(x), x)
    plain = DeepSNNStack(8, 1, "plain", norm=True, zero_gamma=True)
    assert torch.equal(plain(x), plain.blocks[0].lif2(x))


def step_of(model: nn.Module, x: Tensor) -> list[Tensor]:
    """Two training steps: results, gradients, and the module's state."""
    found = []
    for _ in range(2):
        leaf = x.clone().requires_grad_()
        result = model(leaf)
        (result * torch.linspace(-1, 1, result.shape[-1])).sum().backward()
        assert leaf.grad is not None
        found += [result.detach(), leaf.grad]
    found += [p.grad for p in model.parameters() if p.grad is not None]
    return [*found, *model.state_dict().values()]


@pytest.mark.parametrize("norm", ["batch", "mean", "none"])
@pytest.mark.parametrize("kind", ["ms", "sew", "plain"])
@pytest.mark.parametrize("every", [1, 3, 100])
def test_checkpoints_change_no_number(kind: str, norm: str, every: int) -> None:
    whole = DeepSNNStack(8, 7, kind, norm=norm, threshold=0.5)
    parts = copy.deepcopy(whole)
    parts.checkpoint = every
    x = (torch.rand(5, 16, 8) < 0.5).float()
    one, other = step_of(whole, x), step_of(parts, x)
    assert len(one) == len(other)
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    assert one[0].any()
    assert not computing_again()


def test_the_comparison_would_see_statistics_counted_twice(monkeypatch) -> None:
    monkeypatch.setattr("reslif.sw.nn.batchnorm.computing_again", lambda: False)
    whole = DeepSNNStack(8, 4, "ms", norm=True)
    parts = copy.deepcopy(whole)
    parts.checkpoint = 2
    x = torch.randn(5, 16, 8)
    one, other = step_of(whole, x), step_of(parts, x)
    assert not all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def kept(checkpoint: int) -> int:
    """Bytes that a stack of 24 blocks keeps for the backward pass."""
    stack = DeepSNNStack(16, 24, "ms", norm=True, checkpoint=checkpoint)
    sizes: list[int] = []

    def keep(tensor: Tensor) -> Tensor:
        sizes.append(tensor.nbytes)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        stack(torch.randn(6, 8, 16))
    return sum(sizes)


def test_checkpoints_forget_what_blocks_computed() -> None:
    one_layer = 6 * 8 * 16 * 4
    assert kept(0) >= 24 * 6 * one_layer
    # What enters each of four groups, and the membranes behind the last block.
    assert kept(6) <= 5.1 * one_layer


def test_a_checkpoint_computes_its_spikes_again_and_says_so() -> None:
    stack = DeepSNNStack(8, 4, "ms", norm=True, checkpoint=2)
    seen: list[bool] = []
    stack.blocks[0].lif1.register_forward_hook(lambda *_: seen.append(computing_again()))
    stack(torch.randn(5, 4, 8, requires_grad=True)).sum().backward()
    assert seen == [False, True]


SMALL = TrainConfig(
    width=12, blocks=3, steps=3, epochs=2, batch=64, augment=0.0, activity=0.5, device="cpu"
)


def test_checkpointed_training_is_the_same_training(data, tmp_path: Path) -> None:
    few = data.first(128)
    models = [
        train_float(replace(SMALL, checkpoint=every), few, tmp_path / str(every))
        for every in (0, 2)
    ]
    (one, fit), (other, again) = models
    assert fit.history[-1]["loss"] == again.history[-1]["loss"]
    assert fit.history[-1]["spike_rate"] == again.history[-1]["spike_rate"] > 0
    assert all(
        torch.equal(a, b)
        for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    )
    # And it may be turned on and off in between.
    train_float(replace(SMALL, checkpoint=1), few, tmp_path / "0")


@pytest.mark.parametrize("norm", ["mean", "none"])
def test_other_norms_train_and_fold(data, norm: str, tmp_path: Path) -> None:
    model, fit = train_float(replace(SMALL, norm=norm, epochs=15), data.first(256), tmp_path)
    assert fit.accuracy > 0.3
    x = digits(data, 3).double()
    graph = from_torch(model.double(), x, data.format)
    with torch.no_grad():
        torch.testing.assert_close(run_float(graph, x)[0], model(x), rtol=1e-9, atol=1e-9)
    first = next(m for m in model.modules() if isinstance(m, MeanNormOverTime | nn.Identity))
    if norm == "mean":
        assert isinstance(first, MeanNormOverTime)
        assert first.running_mean.abs().max() > 0
        assert first.momentum == 0.1  # as before its statistics were estimated anew


def test_mean_norm_centres_and_folds() -> None:
    norm = MeanNormOverTime(5, gain=0.5)
    x = torch.randn(6, 4, 5) * 3 + 1
    y = norm(x)
    torch.testing.assert_close(y.mean((0, 1)), torch.zeros(5), atol=1e-6, rtol=0)
    torch.testing.assert_close(y.std((0, 1)), 0.5 * x.std((0, 1)))  # its own width
    torch.testing.assert_close(norm.running_mean, 0.1 * x.mean((0, 1)))
    with torch.no_grad():
        norm.bias.fill_(0.3)
    scale, shift = norm.eval().scale_and_shift()
    torch.testing.assert_close(norm(x), scale * x + shift)
    batch = BatchNormOverTime(5)
    torch.testing.assert_close(batch(x) * x.std((0, 1), unbiased=False), norm.train()(x) * 2 - 0.6)


def test_a_mean_norm_that_follows_no_synapse_is_refused() -> None:
    model = nn.Sequential(MeanNormOverTime(4), LIF(), nn.Linear(4, 2))
    with pytest.raises(GraphError, match="must directly follow a Linear"):
        from_torch(model.eval(), torch.ones(3, 2, 4, dtype=torch.float64))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"norm": "layer"}, "norm is 'layer'; it must be one of batch, mean, none"),
        ({"checkpoint": -1}, "checkpoint is -1; it must be at least 0"),
    ],
)
def test_bad_arguments_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(LayerError, match=message):
        DeepSNNStack(4, 2, **options)
    assert np.isfinite(DeepSNNStack(4, 2)(torch.ones(2, 1, 4)).detach().numpy()).all()
