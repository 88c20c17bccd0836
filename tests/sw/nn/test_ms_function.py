"""The membrane-shortcut block as one function: the single layers' numbers, to the bit."""

import copy
from typing import Any

import pytest
import torch
from reslif.sw.nn import LIF, MembraneShortcutBlock, blocks, fast_sigmoid
from reslif.sw.nn.ms_function import can_fuse
from torch import Tensor

T, B, N = 5, 16, 12


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture
def fused(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """What was decided, block by block, from here on."""
    made: list[bool] = []

    def record(*arguments: Any) -> bool:
        made.append(can_fuse(*arguments))
        return made[-1]

    monkeypatch.setattr(blocks, "can_fuse", record)
    return made


def block_of(**neuron: object) -> MembraneShortcutBlock:
    block = MembraneShortcutBlock(N, norm=True, branch_gain=0.5, neuron=neuron)
    with torch.no_grad():
        block.norm1.bias.uniform_(-0.5, 0.5)
    return block


def passes(block: MembraneShortcutBlock, x: Tensor, activity: float) -> list[Tensor]:
    """Two training steps of a loss on currents and spikes: everything that comes of them."""
    rates: list[Tensor] = []
    for lif in (block.lif1, block.lif2):
        lif.register_forward_hook(lambda _, __, spikes: rates.append(spikes.mean()))
    weight = torch.linspace(-1, 1, N)
    found: list[Tensor] = []
    for _ in range(2):
        leaf = x.clone().requires_grad_()
        result = block.body(leaf)
        loss = (result * weight).sum() + activity * torch.stack(rates).sum()
        loss.backward()
        assert leaf.grad is not None
        found += [result.detach(), leaf.grad, torch.stack(rates).detach()]
        assert all(0.02 < rate < 0.9 for rate in rates)
        rates.clear()
    found += [p.grad for p in block.parameters() if p.grad is not None]
    return [*found, *block.state_dict().values()]


@pytest.mark.parametrize("activity", [0.0, 3.0])
@pytest.mark.parametrize(
    "neuron",
    [
        {},
        {"reset_delay": False},
        {"reset_mechanism": "zero"},
        {"reset_mechanism": "zero", "reset_keeps_input": False},
        {"reset_mechanism": "none", "surrogate": fast_sigmoid(5), "beta": 0.5},
        {"threshold": torch.linspace(0.5, 1, N), "normalise_surrogate": False, "strict": False},
    ],
    ids=str,
)
def test_it_is_the_single_layers_to_the_bit(neuron, activity, fused, monkeypatch) -> None:
    one = block_of(**neuron)
    other = copy.deepcopy(one)
    x = torch.randn(T, B, N) + 0.5
    whole = passes(one, x, activity)
    assert fused == [True, True]
    monkeypatch.setattr(blocks, "can_fuse", lambda *_: False)
    layers = passes(other, x, activity)
    assert len(whole) == len(layers) == 6 + 6 + len(one.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(whole, layers, strict=True))


def test_the_comparison_sees_one_flipped_spike(fused, monkeypatch) -> None:
    one = block_of()
    other = copy.deepcopy(one)
    x = torch.randn(T, B, N)
    whole = passes(one, x, 1.0)
    monkeypatch.setattr(blocks, "can_fuse", lambda *_: False)
    x[1, 2, 3] += 2
    assert not torch.equal(whole[0], passes(other, x, 1.0)[0])
    assert fused


def test_spikes_alone_have_a_gradient(fused) -> None:
    block = block_of()
    x = torch.randn(T, B, N, requires_grad=True)
    seen: list[Tensor] = []
    block.lif2.register_forward_hook(lambda _, __, spikes: seen.append(spikes))
    block.body(x)
    seen[0].sum().backward()
    assert fused == [True]
    assert x.grad is not None
    assert x.grad.abs().max() > 0
    assert block.linear1.weight.grad is not None
    assert block.linear2.weight.grad is None


@pytest.mark.parametrize(
    "change",
    [
        lambda block: block.eval(),
        lambda block: setattr(block.lif1, "inhibition", True),
        lambda block: setattr(block.lif2, "detach_reset", False),
        lambda block: setattr(block, "norm2", torch.nn.Identity()),
        lambda block: setattr(block, "lif1", LIF(learn_beta=True)),
    ],
    ids=["evaluation", "inhibition", "attached", "without norm", "learning"],
)
def test_what_it_cannot_do_is_left_to_the_layers(change, fused) -> None:
    block = block_of()
    change(block)
    x = torch.randn(T, B, N)
    torch.testing.assert_close(block.body(x), x + block.branch(block.lif1(x)))
    assert fused == [False]


def test_without_gradients_and_in_short_numbers_too(fused) -> None:
    block = block_of()
    with torch.no_grad():
        block.body(torch.randn(T, B, N))
    with torch.autocast("cpu", torch.bfloat16):
        block.body(torch.randn(T, B, N))
    assert fused == [False, False]
