"""Convolutional residual blocks against the formulas of their papers, written as plain loops."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from reslif.sw.nn import (
    LIF,
    ConvOverTime,
    LayerError,
    MSBasicBlock,
    PlainBasicBlock,
    SEWBasicBlock,
)
from torch import Tensor, nn

T, B = 4, 3
BETA, THETA = 0.5, 0.8
NEURON = {"beta": torch.tensor(BETA).double(), "threshold": torch.tensor(THETA).double()}


def fire(current: Tensor) -> Tensor:
    """LIF neurons with a delayed reset by subtraction, one step after the other."""
    u, r, spikes = torch.zeros_like(current[0]), torch.zeros_like(current[0]), []
    for x in current:
        u = BETA * u + x - r * THETA
        r = (u > THETA).to(u)
        spikes.append(r)
    return torch.stack(spikes)


def norm(layer: nn.Module, x: Tensor) -> Tensor:
    """Batch norm in training mode: over steps, batch and image."""
    mean = x.mean((0, 1, 3, 4), keepdim=True)
    variance = x.var((0, 1, 3, 4), unbiased=False, keepdim=True)
    scale, shift = layer.weight.view(1, 1, -1, 1, 1), layer.bias.view(1, 1, -1, 1, 1)
    return (x - mean) / torch.sqrt(variance + 1e-5) * scale + shift


def conv(layer: nn.Module, x: Tensor, stride: int = 1, padding: int = 1) -> Tensor:
    return torch.stack([F.conv2d(s, layer.weight, stride=stride, padding=padding) for s in x])


def shortcut(block: nn.Module, x: Tensor, stride: int, kind: str) -> Tensor:
    if stride == 1:
        return x
    if kind == "pool":
        x = torch.stack([F.avg_pool2d(step, stride) for step in x])
        _, layer, batch_norm, *_ = block.shortcut
        return norm(batch_norm, conv(layer, x, padding=0))
    layer, batch_norm, *_ = block.shortcut
    return norm(batch_norm, conv(layer, x, stride, 0))


def ms(block: nn.Module, x: Tensor, stride: int, kind: str) -> Tensor:
    y = norm(block.norm1, conv(block.conv1, fire(x), stride))
    return norm(block.norm2, conv(block.conv2, fire(y))) + shortcut(block, x, stride, kind)


def branch(block: nn.Module, x: Tensor, stride: int) -> Tensor:
    s = fire(norm(block.norm1, conv(block.conv1, x, stride)))
    return norm(block.norm2, conv(block.conv2, s))


def sew(
    join: Callable[[Tensor, Tensor], Tensor],
) -> Callable[[nn.Module, Tensor, int, str], Tensor]:
    def reference(block: nn.Module, x: Tensor, stride: int, kind: str) -> Tensor:
        short = shortcut(block, x, stride, kind)
        return join(fire(branch(block, x, stride)), x if stride == 1 else fire(short))

    return reference


def plain(block: nn.Module, x: Tensor, stride: int, kind: str) -> Tensor:
    return fire(branch(block, x, stride) + shortcut(block, x, stride, kind))


BLOCKS = {
    "ms": (MSBasicBlock, {}, ms),
    "plain": (PlainBasicBlock, {}, plain),
    "add": (SEWBasicBlock, {"op": "add"}, sew(lambda s, x: s + x)),
    "and": (SEWBasicBlock, {"op": "and"}, sew(lambda s, x: s * x)),
    "iand": (SEWBasicBlock, {"op": "iand"}, sew(lambda s, x: x * (1 - s))),
    "or": (SEWBasicBlock, {"op": "or"}, sew(lambda s, x: torch.maximum(s, x))),
}


def inputs(name: str) -> Tensor:
    random = torch.Generator().manual_seed(1)
    x = torch.randn((T, B, 5, 6, 6), generator=random, dtype=torch.float64)
    return x if name == "ms" else (x > 0.4).to(x)


@pytest.mark.parametrize("name", BLOCKS)
@pytest.mark.parametrize(("stride", "kind"), [(1, "conv"), (2, "conv"), (2, "pool")])
def test_a_block_is_its_formula(name: str, stride: int, kind: str) -> None:
    torch.manual_seed(0)
    make, options, reference = BLOCKS[name]
    out_channels = 5 if stride == 1 else 7
    block = make(5, out_channels, stride, shortcut=kind, neuron=NEURON, **options).double()
    with torch.no_grad():
        for parameter in block.parameters():
            if parameter.dim() == 1:  # batch norms that differ in every channel
                parameter.add_(torch.linspace(-0.2, 0.5, len(parameter)))
    x = inputs(name)
    out, expected = block(x), reference(block, x, stride, kind)
    assert out.shape == (T, B, out_channels, 6 // stride, 6 // stride)
    torch.testing.assert_close(out, expected, rtol=1e-9, atol=1e-9)
    assert float((out != 0).double().mean()) > 0.01, "nothing spiked: nothing was compared"
    if name != "and":
        other = reference(block, x.flip(0), stride, kind)
        assert not torch.allclose(out, other), "time does not matter: nothing was compared"


@pytest.mark.parametrize("name", BLOCKS)
def test_gradients_are_finite_and_reach_everything(name: str) -> None:
    torch.manual_seed(0)
    make, options, _ = BLOCKS[name]
    block = make(5, 7, 2, neuron={"beta": BETA}, **options)
    x = inputs(name).float().requires_grad_()
    block(x).square().mean().backward()
    for tensor in (x, *block.parameters()):
        assert tensor.grad is not None
        assert torch.isfinite(tensor.grad).all()
        assert float(tensor.grad.abs().max()) > 0


def test_a_membrane_shortcut_has_no_neuron_on_it() -> None:
    """With the branch off the block is its shortcut, of any size of current."""
    block = MSBasicBlock(5, 5, branch_gain=0.0)
    x = inputs("ms").float() * 100
    assert torch.equal(block(x), x)
    assert not any(isinstance(module, LIF) for module in block.shortcut.modules())
    plain = PlainBasicBlock(5, 5, branch_gain=0.0)
    assert set(plain(x).unique().tolist()) == {0.0, 1.0}


def test_bad_options_are_named() -> None:
    with pytest.raises(LayerError, match="shortcut is 'max'; it must be conv or pool"):
        MSBasicBlock(4, 8, 2, shortcut="max")
    with pytest.raises(LayerError, match="SEWBasicBlock: op is 'xor'; it must be one of or, add"):
        SEWBasicBlock(4, 4, op="xor")
    with pytest.raises(LayerError, match=r"images are \[7, 7\]; height and width must be mult"):
        MSBasicBlock(4, 8, 2, shortcut="pool")(torch.zeros(1, 1, 4, 7, 7))


def test_only_a_change_of_channels_or_size_has_weights_on_the_shortcut() -> None:
    def convolutions(block: nn.Module) -> int:
        return sum(isinstance(module, ConvOverTime) for module in block.modules())

    assert [convolutions(MSBasicBlock(*args)) for args in ((4, 4), (4, 6), (4, 4, 2))] == [2, 3, 3]
