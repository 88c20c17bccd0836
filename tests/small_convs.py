"""Small convolutional networks of every kind of residual block, with random weights."""

from __future__ import annotations

from typing import Any

import numpy as np
from reslif.sw.formats import Format
from reslif.sw.images import Shape3
from reslif.sw.network import Conv2d, Input, Join, Network, Node, Pool, Readout
from small_networks import dense, lif, network

PIXELS = Format(4, 0, signed=False)


def conv(
    name: str,
    shape: Shape3,
    out: int,
    kernel: int = 3,
    stride: int = 1,
    *,
    groups: int = 1,
    padding: int | None = None,
    bits: int = 4,
    frac: int = 2,
    bias: bool = True,
) -> Conv2d:
    """Random weights and biases; padded so that stride 1 keeps the size."""
    random = np.random.default_rng([out, kernel, stride, *shape, *name.encode()])
    form = Format(bits, frac)
    weight = random.integers(-form.max + 1, form.max + 1, (out, shape[0] // groups, kernel, kernel))
    pad = kernel // 2 if padding is None else padding
    biases = random.integers(-form.max, form.max + 1, out) if bias else None
    return Conv2d(name, weight, form, shape, (stride, stride), (pad, pad), groups, biases)


def neurons(name: str, shape: Shape3, threshold: int = 60, **options: Any) -> Node:
    """LIF neurons whose thresholds are those of their channels."""
    channels, height, width = shape
    thresholds = threshold + 8 * (np.arange(height * width * channels) % channels)
    settings: dict[str, Any] = {"membrane": Format(14, 4)}
    return lif(name, height * width * channels, thresholds, **(settings | options))


def pool(name: str, op: Any, shape: Shape3, window: int) -> Pool:
    return Pool(name, op, shape, (window, window), (window, window))


def ms_resnet(channels: int = 4, size: int = 8, classes: int = 3) -> Network:
    """Currents on the shortcuts: identity, strided 1×1 convolution, average pool and 1×1."""
    c, half, quarter = channels, size // 2, size // 4
    full, wide, last = (c, size, size), (2 * c, half, half), (2 * c, quarter, quarter)
    nodes: list[Node] = [Input("x", size * size, PIXELS), conv("stem", (1, size, size), c)]
    chains = ["x stem"]

    def block(name: str, source: str, before: Shape3, after: Shape3, shortcut: str) -> None:
        stride = before[1] // after[1]
        nodes.extend(
            [
                neurons(f"{name}l", before), conv(f"{name}a", before, after[0], stride=stride),
                neurons(f"{name}m", after), conv(f"{name}b", after, after[0]),
                Join(name, "add", int(np.prod(after))),
            ]
        )  # fmt: skip
        chains.append(f"{source} {name}l {name}a {name}m {name}b {name}.branch")
        chains.append(f"{shortcut} {name}.shortcut")

    block("one", "stem", full, full, "stem")
    nodes.append(conv("down", full, 2 * c, 1, 2, bits=3, frac=0))
    block("two", "one", full, wide, "one down")
    nodes += [pool("mean", "sum", wide, 2), conv("mix", last, 2 * c, 1, bits=3, frac=1)]
    block("three", "two", wide, last, "two mean mix")
    nodes += [neurons("lif", last, 90), pool("all", "sum", last, quarter)]
    nodes += [dense("out", 2 * c, classes), Readout("readout", "sum_current", classes)]
    return network(nodes, ", ".join([*chains, "three lif all out readout"]))


def sew_resnet(channels: int = 4, size: int = 6, classes: int = 3) -> Network:
    """Spikes on the shortcuts: add, and, iand, each with convolutions that read graded spikes."""
    shape = (channels, size, size)
    n = channels * size * size
    nodes: list[Node] = [
        Input("x", 2 * size * size), conv("stem", (2, size, size), channels),
        neurons("stem_lif", shape, 20),
    ]  # fmt: skip
    chains, last = ["x stem stem_lif"], "stem_lif"
    for op in ("add", "and", "iand"):
        nodes += [conv(f"{op}_a", shape, channels), neurons(f"{op}_l", shape, 30)]
        nodes += [conv(f"{op}_b", shape, channels), neurons(f"{op}_m", shape, 30)]
        nodes.append(Join(op, op, n))
        chains.append(f"{last} {op}_a {op}_l {op}_b {op}_m {op}.branch")
        chains.append(f"{last} {op}.shortcut")
        last = op
    half = (channels, size // 2, size // 2)
    nodes += [pool("most", "max", shape, 2), dense("out", int(np.prod(half)), classes)]
    nodes += [lif("last", classes, 1), Readout("readout", "count", classes)]
    chains.append(f"{last} most out last readout")
    return network(nodes, ", ".join(chains))


def depthwise(size: int = 5, classes: int = 3) -> Network:
    """Depthwise, pointwise and grouped convolutions, strides and borders, a pooled input."""
    shape = (2, size, size)
    nodes: list[Node] = [
        Input("x", 2 * 2 * size * (2 * size + 1), Format(3, 1)),
        pool("small", "sum", (2, 2 * size, 2 * size + 1), 2),
        conv("deep", shape, 4, 3, groups=2), neurons("lif1", (4, size, size), 30),
        conv("point", (4, size, size), 6, 1), neurons("lif2", (6, size, size), 30),
        conv("share", (6, size, size), 4, 3, 2, groups=2, padding=0),
        neurons("lif3", (4, 2, 2), 30),
        conv("each", (4, 2, 2), 4, 2, groups=4, padding=1), neurons("lif4", (4, 3, 3), 30),
        conv("last", (4, 3, 3), classes, 3, padding=0), Readout("readout", "sum_current", classes),
    ]  # fmt: skip
    chain = "x small deep lif1 point lif2 share lif3 each lif4 last readout"
    return network(nodes, chain)


def loop(channels: int = 4, size: int = 4, classes: int = 3) -> Network:
    """Convolutions that read the spikes of the step before: one keeps the size, one is strided."""
    shape, half = (channels, size, size), (channels, size // 2, size // 2)
    nodes: list[Node] = [
        Input("x", size * size, PIXELS), conv("in1", (1, size, size), channels),
        conv("back1", shape, channels, bits=3), neurons("lif1", shape, 60),
        conv("in2", shape, channels, stride=2), conv("back2", shape, channels, 1, 2, bits=3),
        neurons("lif2", half, 60),
        dense("out", int(np.prod(half)), classes), Readout("readout", "sum_current", classes),
    ]  # fmt: skip
    text = "x in1 lif1 in2 lif2 out readout, lif1 ~back1 lif1, lif1 ~back2 lif2"
    return network(nodes, text)


def conv_samples(net: Network, seed: int = 0, steps: int = 4, batch: int = 3) -> np.ndarray:
    """``[T, B, inputs]`` over the whole range of the input, some of them 0."""
    random = np.random.default_rng(seed)
    form = net.input.format
    shape = (steps, batch, net.input.size)
    return random.integers(form.min, form.max + 1, shape) * (random.random(shape) < 0.7)


def tiny_ms(classes: int = 2) -> Network:
    """A stem, a block whose shortcut is strided and pooled on its way, few neurons."""
    shape, half = (2, 4, 4), (2, 2, 2)
    nodes: list[Node] = [
        Input("x", 16, PIXELS), conv("stem", (1, 4, 4), 2), neurons("lif1", shape),
        conv("a", shape, 2, stride=2), neurons("lif2", half), conv("b", half, 2),
        conv("down", shape, 2, 1, 2, bits=3, frac=0), Join("one", "add", 8),
        neurons("lif3", half), conv("c", half, 2), Join("two", "add", 8), neurons("lif4", half),
        pool("all", "sum", half, 2), dense("out", 2, classes),
        Readout("readout", "sum_current", classes),
    ]  # fmt: skip
    text = """x stem lif1 a lif2 b one.branch lif3 c two.branch lif4 all out readout,
        stem down one.shortcut, one two.shortcut"""
    return network(nodes, text)
