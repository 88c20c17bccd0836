"""Small networks, written as nodes and a line of edges."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from reslif.sw.formats import Format
from reslif.sw.network import LIF, Affine, Dense, Edge, Input, Join, Network, Node, Readout


def edges(text: str) -> tuple[Edge, ...]:
    """``"a b c, a d.shortcut"``: a chain of edges a part; a port other than ``input`` is named.

    ``"a ~b"`` is a delayed edge, ``"a *b"`` one that carries a membrane, ``"a ~*b"`` both.
    """
    result = []
    for chain in text.split(","):
        for source, target in pairwise(chain.split()):
            name, _, port = target.strip("~*").partition(".")
            delay, quantity = int("~" in target), "membrane" if "*" in target else "output"
            source_name = source.strip("~*").partition(".")[0]
            result.append(Edge(source_name, name, port or "input", delay, quantity))
    return tuple(result)


def network(nodes: list[Node], text: str, max_steps: int = 16) -> Network:
    return Network(tuple(nodes), edges(text), max_steps)


def dense(name: str, inputs: int, size: int, seed: int = 0, bits: int = 4, frac: int = 2) -> Dense:
    """Random weights, somewhat more positive than negative, and a bias."""
    random = np.random.default_rng([seed, inputs, size, *name.encode()])
    form = Format(bits, frac)
    weight = random.integers(-form.max + 1, form.max + 1, (size, inputs))
    return Dense(name, weight, form, random.integers(-form.max, form.max + 1, size))


def affine(name: str, size: int, steps: int = 0, seed: int = 0) -> Affine:
    """Random gains of either sign, and biases; with ``steps`` for each timestep."""
    random = np.random.default_rng([seed, size, steps, *name.encode()])
    form = Format(4, 2)
    shape = (steps, size) if steps else (size,)
    return Affine(
        name,
        random.integers(-form.max, form.max + 1, shape),
        form,
        random.integers(-form.max, form.max + 1, shape),
    )


def lif(name: str, size: int, threshold: Any = 24, **options: Any) -> LIF:
    """β = 15/16 and two guard bits on currents of two fraction bits."""
    settings: dict[str, Any] = {
        "membrane": Format(11, 4),
        "leak": np.array(15),
        "leak_shift": 4,
    }
    return LIF(name, size, threshold=np.array(threshold), **(settings | options))


def residual(
    blocks: int,
    size: int = 6,
    *,
    classes: int = 3,
    op: str = "add",
    membrane: bool = True,
    long_skip: bool = False,
    threshold: int = 24,
    max_steps: int = 32,
    weight: int | None = None,
    bias: int | None = None,
    kind: str = "sum_current",
) -> Network:
    """A stem and residual blocks of two dense layers each, as MS-ResNet (currents) or SEW (spikes).

    ``long_skip`` joins the stem to the last block as well; ``weight`` and ``bias`` replace all of
    the hidden layers' random ones, so that every neuron always fires, or never.
    """

    def layer(name: str, inputs: int, outputs: int) -> Dense:
        node = dense(name, inputs, outputs)
        return Dense(
            name,
            node.weight if weight is None else np.full((outputs, inputs), weight),
            node.weight_format,
            node.bias if bias is None else np.full(outputs, bias),
        )

    nodes: list[Node] = [Input("x", size), layer("stem", size, size)]
    chains = ["x stem"]
    wide: dict[str, Any] = {"membrane": Format(14, 4)}
    last = "stem"
    if not membrane:
        nodes.append(lif("stem_lif", size, threshold))
        chains.append("stem stem_lif")
        last = "stem_lif"
    first = last
    for b in range(blocks):
        nodes += [layer(f"b{b}a", size, size), layer(f"b{b}b", size, size)]
        nodes += [lif(f"b{b}l", size, threshold, **wide), lif(f"b{b}m", size, threshold, **wide)]
        nodes.append(Join(f"b{b}", "add" if membrane else op, size))
        if membrane:
            chains.append(f"{last} b{b}l b{b}a b{b}m b{b}b b{b}.branch")
        else:
            chains.append(f"{last} b{b}a b{b}l b{b}b b{b}m b{b}.branch")
        chains.append(f"{last} b{b}.shortcut")
        last = f"b{b}"
    if long_skip:
        nodes.append(Join("skip", "add", size))
        chains += [f"{last} skip.branch", f"{first} skip.shortcut"]
        last = "skip"
    if membrane:
        nodes.append(lif("last", size, threshold, **wide))
        chains.append(f"{last} last")
        last = "last"
    nodes += [dense("out", size, classes), Readout("readout", kind, classes)]
    chains.append(f"{last} out readout")
    return network(nodes, ", ".join(chains), max_steps)
