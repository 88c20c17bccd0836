"""Convolutions and pools of the contract, against PyTorch in double precision."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from reslif.sw import golden
from reslif.sw.formats import Format
from reslif.sw.images import chw_to_hwc, to_flat, to_image
from reslif.sw.network import (
    Conv2d,
    Dense,
    Edge,
    Input,
    Network,
    NetworkError,
    Pool,
    Readout,
    Values,
)
from reslif.sw.network_file import load_network, save_network

FORM = Format(5, 2)


def conv(seed: int = 0, channels: int = 4, out: int = 6, image=(5, 7), kernel=(3, 3), **options):
    random = np.random.default_rng(seed)
    groups = options.get("groups", 1)
    weight = random.integers(FORM.min, FORM.max + 1, (out, channels // groups, *kernel))
    bias = random.integers(-9, 10, out)
    return Conv2d("conv", weight, FORM, (channels, *image), bias=bias, **options)


CONVS = [
    {"kernel": kernel, "stride": stride, "padding": padding, "groups": groups}
    for kernel, stride, padding, groups in itertools.product(
        [(3, 3), (1, 1), (2, 3), (5, 3)], [(1, 1), (2, 2), (3, 1)], [(0, 0), (1, 1), (0, 2)], [1, 2]
    )
    if padding[0] < kernel[0] and padding[1] < kernel[1]
]


@pytest.mark.parametrize("options", CONVS, ids=range(len(CONVS)))
def test_a_convolution_is_that_of_pytorch(options):
    node = conv(**options)
    random = np.random.default_rng(1)
    images = random.integers(-7, 8, (3, *node.shape))
    expected = torch.nn.functional.conv2d(
        torch.tensor(images).double(), torch.tensor(node.weight).double(),
        torch.tensor(node.bias).double(), node.stride, node.padding, 1, node.groups,
    ).numpy()  # fmt: skip
    found = golden.conv_step(node, to_flat(images))
    assert node.out_shape == expected.shape[1:]
    assert np.array_equal(to_image(found, node.out_shape), expected)


def test_a_depthwise_convolution():
    node = conv(channels=6, out=6, groups=6, padding=(1, 1))
    images = np.random.default_rng(2).integers(0, 2, (2, *node.shape))
    expected = torch.nn.functional.conv2d(
        torch.tensor(images).double(), torch.tensor(node.weight).double(),
        torch.tensor(node.bias).double(), padding=1, groups=6,
    ).numpy()  # fmt: skip
    assert np.array_equal(
        to_image(golden.conv_step(node, to_flat(images)), node.out_shape), expected
    )


@pytest.mark.parametrize("high", [1, 1 << 20, 1 << 45], ids=["float32", "float64", "integers"])
def test_sums_are_exact_whatever_their_size(high):
    node = conv()
    images = np.random.default_rng(3).integers(high // 2, high + 1, (2, node.inputs))
    slow = [
        sum(
            int(node.weight[m, c, k, j]) * int(images[b, ((y + k) * 7 + x + j) * 4 + c])
            for c in range(4) for k in range(3) for j in range(3)
        ) + int(node.bias[m])
        for b in range(2) for y in range(3) for x in range(5) for m in range(6)
    ]  # fmt: skip
    assert golden.conv_step(node, images).ravel().tolist() == slow


@pytest.mark.parametrize("op", ["sum", "max"])
@pytest.mark.parametrize(
    ("window", "stride", "padding"),
    [((2, 2), (2, 2), (0, 0)), ((5, 7), (5, 7), (0, 0)), ((3, 3), (2, 2), (1, 1))],
)
def test_a_pool_is_that_of_pytorch(op, window, stride, padding):
    node = Pool("pool", op, (3, 5, 7), window, stride, padding)
    images = np.random.default_rng(4).integers(-9, 10, (2, *node.shape))
    real = torch.tensor(images).double()
    if op == "max":
        expected = torch.nn.functional.max_pool2d(real, window, stride, padding)
    else:
        average = torch.nn.functional.avg_pool2d(real, window, stride, padding)
        expected = (average * window[0] * window[1]).round()
    assert node.out_shape == tuple(expected.shape[1:])
    found = to_image(node.apply(to_flat(images)), node.out_shape)
    assert np.array_equal(found, expected.numpy())


def test_bounds_hold_and_are_reached():
    node = conv(padding=(1, 1))
    values = Values.full(Format(3), node.inputs)
    bounds = node.output({"input": [values]})
    random = np.random.default_rng(5)
    found = golden.conv_step(node, random.choice([-4, 0, 3], (500, node.inputs)))
    assert (found >= bounds.low).all()
    assert (found <= bounds.high).all()
    # The worst case of one neuron in the middle, input by input.
    middle = (2 * 7 + 3) * 6
    impulses = golden.conv_step(node, np.eye(node.inputs, dtype=np.int64)) - np.tile(node.bias, 35)
    worst = np.where(impulses[:, middle] > 0, 3, -4)
    assert golden.conv_step(node, worst[None])[0, middle] == bounds.high[middle]


def test_bounds_of_numbers_too_large_for_floats_are_exact():
    node = replace(conv(), bias=None)
    wide = Values.full(Format(46), node.inputs)
    bounds = node.output({"input": [wide]})
    reach = [
        sum(int(w) * ((1 << 45) - 1 if w > 0 else -(1 << 45)) for w in kernel.ravel())
        for kernel in node.weight
    ]
    assert bounds.high[:6].tolist() == reach


def test_a_network_with_them_runs_and_survives_its_file(tmp_path):
    node = replace(conv(padding=(1, 1), stride=(2, 2)), weight_format=FORM)
    pool = Pool("pool", "max", node.out_shape, (2, 2), (2, 2))
    head = Dense("head", np.ones((3, pool.size), np.int64), Format(2))
    nodes = (Input("input", node.inputs, Format(4)), node, pool, head)
    edges = [Edge(a.name, b.name) for a, b in itertools.pairwise(nodes)]
    readout = Readout("readout", "sum_current", 3)
    with pytest.raises(NetworkError, match="reads"):
        Network((*nodes, readout), tuple(edges), 4)
    network = Network((*nodes, readout), (*edges, Edge("head", "readout")), 4)
    samples = np.random.default_rng(6).integers(-8, 8, (4, 5, node.inputs))
    trace = golden.run(network, samples, None)
    assert trace["pool", "value"].any()
    assert np.array_equal(trace["pool", "value"][2], pool.apply(trace["conv", "current"][2]))
    save_network(network, tmp_path / "n.safetensors")
    loaded = load_network(tmp_path / "n.safetensors")
    assert loaded.digest == network.digest
    assert loaded.by_name["conv"].stride == (2, 2)  # pyright: ignore


def test_order_of_neurons():
    images = np.arange(24).reshape(2, 3, 4)
    flat = to_flat(images)
    assert flat[(1 * 4 + 2) * 2 + 1] == images[1, 1, 2]
    assert np.array_equal(to_image(flat, (2, 3, 4)), images)
    assert np.array_equal(images.ravel()[chw_to_hwc(2, 3, 4)], flat)
    assert torch.equal(to_flat(torch.tensor(images)), torch.tensor(flat))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stride": (0, 1)}, "stride is \\(0, 1\\), must be 2 integers from 1"),
        ({"stride": [1, 1]}, "stride is \\[1, 1\\], must be"),
        ({"padding": (3, 0)}, "padding is \\(3, 0\\), must be less than the window \\(3, 3\\)"),
        ({"shape": (4, 2, 7)}, "window \\(3, 3\\) does not fit the image of 2 × 7 pixels"),
        ({"groups": 3}, "groups is 3, must divide the 4 channels it reads and the 6"),
        ({"groups": 2}, "weight has 4 input channels a group, must have 2"),
        ({"bias": np.zeros(5, int)}, "bias has shape \\[5\\], must be \\[6\\]"),
        ({"weight": np.full((6, 4, 3, 3), 99)}, "weight spans 99 to 99"),
        ({"weight": np.zeros((6, 4), int)}, "weight has shape \\[6, 4\\], must be \\[out"),
    ],
)
def test_a_convolution_that_cannot_be(changes, message):
    with pytest.raises(NetworkError, match=f"node 'conv': {message}"):
        replace(conv(), **changes)


def test_a_pool_that_cannot_be():
    with pytest.raises(NetworkError, match="op is 'mean', must be sum or max"):
        Pool("pool", "mean", (1, 4, 4), (2, 2), (2, 2))  # pyright: ignore
    with pytest.raises(NetworkError, match="window is \\(0, 2\\), must be 2 integers from 1"):
        Pool("pool", "sum", (1, 4, 4), (0, 2), (2, 2))
    with pytest.raises(NetworkError, match="its shape has 16 values, its source sends 9"):
        Pool("pool", "sum", (1, 4, 4), (2, 2), (2, 2)).output(
            {"input": [Values.full(Format(3), 9)]}
        )
