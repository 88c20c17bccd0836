"""Convolutional residual networks: their layouts, any image, alive at any depth."""

import math

import pytest
import torch
from reslif.sw.nn import (
    LIF,
    ConvOverTime,
    LayerError,
    MSBasicBlock,
    MSResNet,
    PlainResNet,
    SEWBasicBlock,
    SEWResNet,
)
from torch import Tensor, nn

NETWORKS = [MSResNet, SEWResNet, PlainResNet]
KIND = pytest.mark.parametrize("kind", NETWORKS, ids=lambda kind: kind.__name__)


def noise(batch: int, *image: int) -> Tensor:
    return torch.rand(batch, *image, generator=torch.Generator().manual_seed(3))


def rates(network: nn.Module, x: Tensor, steps: int) -> list[float]:
    """The spike rate of every LIF, with batch statistics, in the order in which they run."""
    found: list[float] = []
    hooks = [
        module.register_forward_hook(lambda _m, _i, out: found.append(float(out.mean())))
        for module in network.modules()
        if isinstance(module, LIF)
    ]
    with torch.no_grad():
        network.train()(x.expand(steps, *x.shape))
    for hook in hooks:
        hook.remove()
    return found


@KIND
@pytest.mark.parametrize("image", [(3, 32, 32), (1, 28, 28), (2, 17, 23)], ids=str)
def test_any_image_gives_logits(kind, image: tuple[int, int, int]) -> None:
    network = kind(image[0], 7, depth=20, widths=(4, 6, 8))
    assert network.depth == 20
    out = network(noise(2, *image).expand(2, -1, -1, -1, -1))
    assert out.shape == (2, 7)
    assert torch.isfinite(out).all()


@KIND
def test_depth_counts_weight_layers(kind) -> None:
    for options, depth in (
        ({}, 20),
        ({"depth": 32}, 32),
        ({"depth": 482, "widths": (1, 1, 1)}, 482),
        ({"depth": 10, "widths": (2, 2)}, 10),
        ({"widths": (2, 3, 4, 5, 6), "blocks": (1, 2, 1, 1, 3)}, 18),
        ({"widths": (3,), "blocks": 2}, 6),
        ({"layout": "imagenet", "depth": 34, "widths": (1, 2, 3, 4)}, 34),
        ({"layout": "imagenet", "depth": 104, "widths": (1, 1, 1, 1)}, 104),
    ):
        network = kind(**options)
        layers = [m for m in network.modules() if isinstance(m, ConvOverTime | nn.Linear)]
        shortcuts = sum(m.kernel_size == (1, 1) for m in layers if isinstance(m, ConvOverTime))
        assert network.depth == depth == len(layers) - shortcuts


def test_the_layouts_are_those_of_the_papers() -> None:
    """Channels, blocks and strides; images of 224 pixels shrink to 7, of 32 to 8."""
    network = MSResNet(3, 1000, 18, layout="imagenet")
    assert [len(stage) for stage in network.stages] == [2, 2, 2, 2]  # pyright: ignore[reportArgumentType]
    assert [c.out_channels for c in convolutions(network, "conv2")] == [
        64, 64, 128, 128, 256, 256, 512, 512,
    ]  # fmt: skip
    strides = math.prod(c.stride[0] for c in convolutions(network, "conv1"))
    assert network.stem.kernel_size == (7, 7)
    assert network.stem.stride[0] * strides == 32
    cifar = MSResNet(depth=20)
    assert [len(stage) for stage in cifar.stages] == [3, 3, 3]  # pyright: ignore[reportArgumentType]
    assert math.prod(c.stride[0] for c in convolutions(cifar, "conv1")) == 4
    assert cifar.stem.stride == (1, 1)
    # ResNet-20 as published has 269,722 parameters; ours projects where channels change.
    projections = 16 * 32 + 32 * 64 + 2 * (32 + 64)
    assert sum(p.numel() for p in cifar.parameters()) == 269_722 + projections


def convolutions(network: nn.Module, name: str) -> list[ConvOverTime]:
    return [
        module
        for path, module in network.named_modules()
        if path.endswith(name) and isinstance(module, ConvOverTime)
    ]


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (MSResNet, {}),
        (MSResNet, {"shortcut": "pool"}),
        (PlainResNet, {}),
        (SEWResNet, {"op": "add"}),
        (SEWResNet, {"op": "or"}),
    ],
    ids=["ms", "ms-pool", "plain", "add", "or"],
)
@pytest.mark.parametrize("depth", [20, 110])
def test_every_layer_spikes_at_any_depth(kind, options, depth: int) -> None:
    torch.manual_seed(0)
    network = kind(3, 10, depth, widths=(6, 8, 10), neuron={"beta": 0.5}, **options)
    found = rates(network, noise(8, 3, 16, 16), 3)
    assert len(found) >= depth - 1
    assert min(found) > 0.01
    assert max(found) < 0.6
    silent = kind(3, 10, depth, widths=(6, 8, 10), alpha=0.05, neuron={"beta": 0.5}, **options)
    assert min(rates(silent, noise(8, 3, 16, 16), 3)) < 0.01, "the check sees silent layers"


def test_iand_lets_less_through_with_every_block() -> None:
    """As its formula says: a few blocks live, a hundred do not, unless their branches are off."""
    for depth, gain, alive in ((20, None, True), (110, None, False), (110, 0.0, True)):
        torch.manual_seed(0)
        network = SEWResNet(3, 10, depth, op="iand", widths=(6, 8, 10), branch_gain=gain)
        found = rates(network, noise(8, 3, 16, 16), 3)
        inner = found if gain is None else [rate for rate in found if rate > 0]
        assert (min(inner) > 0.01) == alive
        assert len(inner) > depth / 2


@KIND
def test_gradients_reach_every_weight(kind) -> None:
    torch.manual_seed(0)
    network = kind(1, 10, widths=(4, 6, 8), blocks=1, stem_stride=2, neuron={"beta": 0.5})
    x = noise(8, 1, 16, 16)
    loss = nn.functional.cross_entropy(network(x.expand(3, *x.shape)), torch.arange(8))
    loss.backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None
        assert torch.isfinite(parameter.grad).all()
        assert float(parameter.grad.abs().max()) > 0, name


def test_batch_norm_starts_at_the_threshold() -> None:
    """γ = α·θ, and the last one of a membrane-shortcut branch 1/√blocks of it."""
    network = MSResNet(depth=20, alpha=0.5, neuron={"threshold": 0.4})
    block = network.stages[0][1]  # pyright: ignore[reportIndexIssue]
    assert isinstance(block, MSBasicBlock)
    assert torch.allclose(block.norm1.weight, torch.tensor(0.2))
    assert torch.allclose(block.norm2.weight, torch.tensor(0.2 / 3))
    off = MSResNet(depth=20, branch_gain=0.0).stages[0][1]  # pyright: ignore[reportIndexIssue]
    assert float(off.norm2.weight.detach().abs().max()) == 0
    sew = SEWResNet(depth=20, alpha=0.5).stages[0][1]  # pyright: ignore[reportIndexIssue]
    assert isinstance(sew, SEWBasicBlock)
    assert torch.allclose(sew.norm2.weight, torch.tensor(0.5))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"depth": 21}, "MSResNet: depth is 21; with 3 stages it must be 6n \\+ 2"),
        ({"depth": 2}, "MSResNet: depth is 2; with 3 stages"),
        ({"layout": "imagenet", "depth": 50}, "depth is 50 with 4 stages; layout imagenet has 18"),
        ({"layout": "imagenet", "widths": (8, 8)}, "depth is 18 with 2 stages; layout imagenet"),
        ({"layout": "mnist"}, "layout is 'mnist'; it must be cifar or imagenet"),
        ({"widths": ()}, r"widths are \(\); there must be one or more"),
        ({"blocks": (1, 2)}, r"blocks are \(1, 2\); there must be 3, one for each of widths"),
        ({"blocks": 0}, r"blocks are \(0, 0, 0\); there must be 3"),
        ({"blocks": 1, "depth": 20}, "depth is 20 and blocks 1; give one of them"),
    ],
    ids=str,
)
def test_bad_layouts_are_named(options, message: str) -> None:
    with pytest.raises(LayerError, match=message):
        MSResNet(**options)
