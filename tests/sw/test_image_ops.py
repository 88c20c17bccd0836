"""Convolution and pooling of flat images in PyTorch: exact, and with PyTorch's gradients."""

import numpy as np
import pytest
import torch
from reslif.sw import golden, image_ops
from reslif.sw.formats import Format
from reslif.sw.image_ops import convolve, pool
from reslif.sw.images import Shape3, to_flat, to_image
from reslif.sw.network import Conv2d, Pool
from reslif.sw.spatial import Pair
from torch import Tensor
from torch.nn import functional

GEOMETRIES: list[tuple[Shape3, int, Pair, Pair, Pair, int]] = [
    ((3, 7, 6), 4, (3, 3), (1, 1), (1, 1), 1),
    ((3, 7, 6), 4, (3, 2), (2, 1), (2, 0), 1),
    ((4, 5, 5), 8, (1, 1), (2, 2), (0, 0), 2),
    ((8, 6, 6), 8, (3, 3), (1, 1), (1, 1), 8),
    ((1, 8, 8), 16, (5, 5), (2, 2), (2, 2), 1),
    ((1, 5, 4), 6, (1, 3), (1, 2), (0, 0), 1),
    ((2, 3, 3), 5, (3, 3), (1, 1), (0, 0), 1),
]


def node_of(geometry: tuple[Shape3, int, Pair, Pair, Pair, int], seed: int = 0) -> Conv2d:
    shape, out, kernel, stride, padding, groups = geometry
    random = np.random.default_rng(seed)
    weight = random.integers(-7, 8, (out, shape[0] // groups, *kernel))
    bias = random.integers(-50, 50, out)
    return Conv2d("c", weight, Format(4), shape, stride, padding, groups, bias)


def operands(node: Conv2d, dtype: torch.dtype, largest: int) -> list[Tensor]:
    random = np.random.default_rng(1)
    values = (random.integers(-largest, largest + 1, (2, 20, node.inputs)), node.weight, node.bias)
    return [torch.tensor(value, dtype=dtype, requires_grad=True) for value in values]


@pytest.mark.parametrize("columns", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
def test_convolutions_are_exact_up_to_the_last_bit(
    geometry, dtype: torch.dtype, columns: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if columns:
        monkeypatch.setattr(image_ops, "_onednn_is_exact", lambda *_: False)
    node = node_of(geometry)
    largest = ((1 << 24) - 50) // (7 * node.weight[0].size)
    x, weight, bias = operands(node, dtype, largest)
    found = convolve(x, weight, bias, node).detach()
    images = x.detach().long().numpy()
    expected = np.stack([golden.conv_step(node, step) for step in images])
    assert np.array_equal(found.numpy(), expected)
    assert np.abs(expected).max() > 1 << 20  # where a transform would have rounded


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_gradients_are_pytorchs(geometry, dtype: torch.dtype) -> None:
    node = node_of(geometry)
    inputs = operands(node, dtype, 3)
    found = convolve(*inputs, node)
    slope = torch.randn(found.shape, dtype=dtype, generator=torch.Generator().manual_seed(0))
    gradients = torch.autograd.grad(found, inputs, slope)
    images, weight, bias = (value.detach().double().requires_grad_() for value in inputs)
    plain = functional.conv2d(
        to_image(images.flatten(0, 1), node.shape), weight, bias, node.stride, node.padding, 1,
        node.groups,
    )  # fmt: skip
    expected = torch.autograd.grad(
        to_flat(plain).unflatten(0, (2, 20)), (images, weight, bias), slope.double()
    )
    for a, b in zip(gradients, expected, strict=True):
        assert torch.allclose(a.double(), b, rtol=1e-4, atol=1e-3)
        assert b.abs().max() > 0.1


POOLS: list[tuple[Shape3, Pair, Pair, Pair]] = [
    ((3, 7, 6), (2, 2), (2, 2), (0, 0)),
    ((3, 7, 6), (3, 3), (2, 2), (1, 1)),
    ((3, 7, 6), (3, 2), (1, 2), (2, 1)),
    ((3, 7, 6), (7, 6), (7, 6), (0, 0)),
    ((1, 4, 4), (2, 4), (2, 4), (0, 0)),
]


@pytest.mark.parametrize("op", ["sum", "max"])
@pytest.mark.parametrize("geometry", POOLS, ids=str)
def test_pools_are_exact_and_spread_their_gradient(geometry, op) -> None:
    node = Pool("p", op, *geometry)
    values = np.random.default_rng(0).integers(-3000, 100, (2, 5, node.inputs))
    x = torch.tensor(values, dtype=torch.float32, requires_grad=True)
    found = pool(x, node)
    expected = np.stack([node.apply(step) for step in values])
    assert np.array_equal(found.detach().numpy(), expected)
    found.sum().backward()
    ones = torch.ones(1, 1, *node.window)
    count = functional.conv_transpose2d(
        torch.ones(1, 1, *node.out_shape[1:]), ones, stride=node.stride
    )
    (top, left), (_, height, width) = node.padding, node.shape
    whole = torch.zeros(1, 1, height + 2 * top, width + 2 * left)
    whole[:, :, : count.shape[2], : count.shape[3]] = count
    count = whole[:, :, top : top + height, left : left + width]
    assert x.grad is not None
    if op == "sum":  # each pixel counts once in each window that holds it
        assert torch.equal(to_image(x.grad, node.shape), count.expand(2, 5, *node.shape))
    else:  # each window has one largest pixel
        assert x.grad.sum() == found.numel()
        assert (to_image(x.grad, node.shape) <= count).all()


def test_onednn_is_used_where_it_is_exact() -> None:
    """Else training would be several times slower; and not where it is known to read beside."""
    if torch.backends.mkldnn.is_available():
        assert image_ops._onednn_is_exact((16, 14, 14), (16, 16, 3, 3), (1, 1), (1, 1), 1)
    assert not image_ops._onednn_is_exact((1, 5, 4), (6, 1, 1, 3), (1, 2), (0, 0), 1)
