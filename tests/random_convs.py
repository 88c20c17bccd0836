"""Random small convolutional networks that use everything the contract offers for images.

``random_conv_network(seed)`` and ``random_conv_samples(network, seed)`` are plain functions of one
integer, like those of :mod:`random_networks`. While it is built, a network runs on samples of its
own, so that thresholds lie where neurons fire now and then.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from random_networks import BITS, RESETS, _Builder
from reslif.sw import golden
from reslif.sw.formats import SPIKE, Format
from reslif.sw.images import Shape3
from reslif.sw.network import LIF, Conv2d, Dense, Edge, Input, Join, Network, Node, Pool, Readout

STEPS, BATCH = 5, 4


@dataclass
class _ConvBuilder(_Builder):
    """``shapes`` and ``seen`` (``[T, B, n]``, on the builder's own samples) are by node."""

    shapes: dict[str, Shape3] = field(default_factory=dict)
    seen: dict[str, np.ndarray] = field(default_factory=dict)

    def put(self, node: Node, shape: Shape3, **ports: list[str]) -> str:
        name = self.add(node, **ports)
        self.shapes[name] = shape
        read = {port: [self.seen[s] for s in sources] for port, sources in ports.items()}
        fracs = {
            port: [self.values[s].format.frac for s in sources] for port, sources in ports.items()
        }
        self.seen[name] = self._run(node, read, fracs)
        return name

    def _run(self, node: Node, operands: dict, fracs: dict) -> np.ndarray:
        if isinstance(node, Input):
            return random_values(node, self.random, STEPS, BATCH)
        if isinstance(node, Join):
            (a,), (b,) = operands["branch"], operands["shortcut"]
            (at_a,), (at_b,) = fracs["branch"], fracs["shortcut"]
            return golden.join_step(node, a, at_a, b, at_b)[0]
        if isinstance(node, LIF):
            state = dict.fromkeys((*node.states, "fired"), np.zeros((BATCH, node.size), np.int64))
            spikes = []
            for current in self.current(node.current_frac, operands["input"], fracs["input"]):
                update, _ = golden.neuron_step(node, state, current)
                state = update.state | {"fired": update.fired}
                spikes.append(update.fired)
            return np.stack(spikes)
        (source,) = operands["input"]
        step = {Conv2d: golden.conv_step, Dense: golden.dense_step, Pool: Pool.apply}[type(node)]
        return np.stack([step(node, now) for now in source])  # pyright: ignore[reportArgumentType]

    @staticmethod
    def current(frac: int, sources: list[np.ndarray], fracs: list[int]) -> np.ndarray:
        return np.sum([s << (frac - at) for s, at in zip(sources, fracs, strict=True)], axis=0)

    def conv(self, source: str, *, like: Shape3 | None = None, residual: bool = False) -> str:
        """A convolution of any geometry; one whose output has the shape ``like``; or one with
        which a 1 × 1 shortcut of the same stride keeps up.
        """
        shape = self.shapes[source]
        kernel = self.pick([(3, 3), (3, 3), (1, 1), (2, 2), (1, 3), (3, 2), (5, 5)])
        stride = self.pick([(1, 1), (1, 1), (2, 2), (1, 2)])
        padding = tuple(int(self.random.integers(0, k)) for k in kernel)
        out = self.pick([1, 2, 3, 4, 4, 6, 8]) if like is None else like[0]
        if like is not None or residual:
            stride = (1, 1) if like is not None else self.pick([(1, 1), (1, 1), (2, 2)])
            out = shape[0] if residual and stride == (1, 1) and self.chance(0.6) else out
            kernel = self.pick([(3, 3), (3, 3), (1, 3), (1, 1)])
            padding = (kernel[0] // 2, kernel[1] // 2)
        fits = all(s + 2 * p >= k for s, p, k in zip(shape[1:], padding, kernel, strict=True))
        if not fits:
            kernel, padding = (1, 1), (0, 0)
        node = self.make(source, out, kernel, stride, padding)
        current = np.stack([golden.conv_step(node, now) for now in self.seen[source]])
        if (current > 0).mean() < 0.2:  # no neuron behind it would fire
            bias = None if node.bias is None else -node.bias
            node = replace(node, weight=-node.weight, bias=bias)
        return self.put(node, node.out_shape, input=[source])

    def make(self, source: str, out: int, kernel, stride=(1, 1), padding=(0, 0)) -> Conv2d:
        shape = self.shapes[source]
        channels = shape[0]
        groups = [g for g in (1, 2, 3, 4, 6, 8) if channels % g == 0 and out % g == 0]
        group = channels if out % channels == 0 and self.chance(0.15) else 1
        group = self.pick(groups) if self.chance(0.25) else group
        form = Format(self.pick(BITS), int(self.random.integers(-1, 4)))
        weight = self.random.integers(-form.max, form.max + 1, (out, channels // group, *kernel))
        # Somewhat towards positive currents: a network that falls silent shows nothing.
        lifted = np.abs(weight) * np.sign(self.seen[source].mean() + 1e-9).astype(np.int64)
        weight = np.where(self.random.random(weight.shape) < 0.4, lifted, weight)
        bias = self.random.integers(-form.max, form.max + 1, out) if self.chance(0.6) else None
        return Conv2d(f"conv{len(self.nodes)}", weight, form, shape, stride, padding, group, bias)

    def pool(self, source: str, overlapping: bool) -> str:
        shape = self.shapes[source]
        window = tuple(min(self.pick([2, 2, 3]), size) for size in shape[1:])
        stride, padding = window, (0, 0)
        if overlapping and self.chance(0.3):
            stride = tuple(int(self.random.integers(1, w + 1)) for w in window)
            padding = tuple(int(self.random.integers(0, w)) for w in window)
        elif self.chance(0.2):
            window = stride = shape[1:]
        op, name = self.pick(["sum", "max"]), f"pool{len(self.nodes)}"
        node = Pool(name, op, shape, window, stride, padding)
        return self.put(node, node.out_shape, input=[source])

    def fire(self, sources: list[str]) -> str:
        """LIF neurons that now and then fire on the builder's samples."""
        shape = self.shapes[sources[0]]
        fracs = [self.values[s].format.frac for s in sources]
        frac = max(*fracs, 0) + int(self.random.integers(0, 4))
        current = self.current(frac, [self.seen[s] for s in sources], fracs)
        driven = current[current > 0] if (current > 0).any() else np.ones(1)
        level = max(1.0, float(np.quantile(driven, self.random.uniform(0.1, 0.8))))
        theta = np.asarray(level)
        if self.chance(0.6):  # a threshold for each channel
            theta = level * np.tile(self.random.uniform(0.5, 1.6, shape[0]), shape[1] * shape[2])
        theta = np.maximum(theta.astype(np.int64), 1)
        width = (int(theta.max()) + 1).bit_length() + 1 + int(self.random.integers(0, 5))
        shift = int(self.random.integers(0, 7))
        leak = int(self.random.integers((1 << shift) // 2, (1 << shift) + 1))
        reset, delay, keep = self.pick(RESETS)
        node = LIF(
            f"lif{len(self.nodes)}", int(np.prod(shape)), Format(width, frac), np.array(leak),
            shift, theta, reset, delay, self.chance(0.7), keep,
        )  # fmt: skip
        return self.put(node, shape, input=sources)

    def meet(self, branch: str, shortcut: str, narrow: bool, op: str | None = None) -> str:
        """A join, of any kind unless ``op``."""
        if op is None:
            name = self.join(branch, shortcut, narrow)
            join = self.nodes.pop()
            self.edges = [edge for edge in self.edges if edge.target != name]
            self.unread = [n for n in (*self.unread, branch, shortcut) if n != name]
        else:
            join = Join(f"join{len(self.nodes)}", op, int(np.prod(self.shapes[branch])))  # pyright: ignore
        return self.put(join, self.shapes[branch], branch=[branch], shortcut=[shortcut])

    def across(self, source: str, like: Shape3) -> str | None:
        """``source``, currents or spikes, brought to the shape ``like``; None if nothing can."""
        channels, height, width = self.shapes[source]
        if (channels, height, width) == like:
            return source
        for step in (1, 2, 3):
            if (-(-height // step), -(-width // step)) == like[1:]:
                node = self.make(source, like[0], (1, 1), (step, step))
                return self.put(node, node.out_shape, input=[source])
        return None


def random_conv_network(
    seed: int, *, overlapping: bool = True, narrow_joins: bool = True, loops: bool = True
) -> Network:
    """One to three blocks of up to 8 channels on up to 8 × 8 pixels, then a dense head.

    The switches leave out what a test's subject does not build: pools that overlap or are padded,
    joins of a declared format, convolutions of delayed spikes.
    """
    b = _ConvBuilder(np.random.default_rng([seed, 7]))
    height, width = (int(n) for n in b.random.integers(3, 9, 2))
    shape = (b.pick([1, 1, 2, 3]), height, width)
    form = b.pick([SPIKE, Format(4, 2, False), Format(5, 4, False), Format(3, 1, True)])
    source = b.put(Input("input", int(np.prod(shape)), form), shape)
    if b.chance(0.1):
        source = b.pool(source, overlapping)
    current, waiting = b.conv(source), []
    for _ in range(int(b.random.integers(1, 4))):
        kind = b.pick(["ms", "ms", "sew", "plain", "pool"])
        spikes = b.fire([current])
        if loops and b.chance(0.2):
            waiting.append(spikes)
        if kind == "pool":
            spikes = b.pool(spikes, overlapping)
        branch = b.conv(spikes, residual=kind in ("ms", "sew"))
        if kind in ("ms", "sew") and b.chance(0.5):
            branch = b.conv(b.fire([branch]), like=b.shapes[branch])
        if kind == "sew":
            branch = b.fire([branch])
        if kind in ("ms", "sew"):
            shortcut = b.across(current if kind == "ms" else spikes, b.shapes[branch])
            if shortcut is not None and kind == "sew" and b.values[shortcut].format.frac:
                shortcut = b.fire([shortcut])
            if shortcut is not None:
                op = "add" if kind == "ms" and b.chance(0.7) else None
                branch = b.meet(branch, shortcut, narrow_joins, op)
        # What is no current goes through one more synapse, as hardware's neurons read currents.
        current = b.conv(branch) if kind == "sew" else branch
    last = b.fire([current])
    if b.chance(0.4):
        size = b.shapes[last]
        node = Pool(f"pool{len(b.nodes)}", "sum", size, size[1:], size[1:])
        last = b.put(node, node.out_shape, input=[last])
    classes = int(b.random.integers(2, 6))
    name = b.dense(last, classes)
    if b.chance(0.5):
        b.add(Readout("readout", "sum_current", classes), input=[name])
    else:
        head = b.nodes[-1]
        assert isinstance(head, Dense)
        b.shapes[name] = (classes, 1, 1)
        b.seen[name] = np.stack([golden.dense_step(head, now) for now in b.seen[last]])
        b.add(Readout("readout", "count", classes), input=[b.fire([name])])
    for spikes in waiting:
        _close(b, spikes)
    return Network(tuple(b.nodes), tuple(b.edges), max_steps=16)


def _close(b: _ConvBuilder, spikes: str) -> None:
    """Feed ``spikes`` back to their own neurons one step late, through a convolution."""
    shape = b.shapes[spikes]
    node = b.make(spikes, shape[0], (3, 3), (1, 1), (1, 1))
    neuron = next(n for n in b.nodes if n.name == spikes)
    assert isinstance(neuron, LIF)
    # On the neurons' grid, or coarser: it must hold what it adds.
    frac = min(node.weight_format.frac, neuron.current_frac)
    node = replace(node, weight_format=replace(node.weight_format, frac=frac))
    b.nodes.append(node)
    b.edges += [Edge(spikes, node.name, delay=1), Edge(node.name, spikes)]


def random_values(node: Input, random: np.random.Generator, steps: int, batch: int) -> np.ndarray:
    """``[T, B, inputs]`` integers over the whole range of an input, a third of them 0."""
    shape = (steps, batch, node.size)
    values = random.integers(node.format.min, node.format.max + 1, shape)
    return values * (random.random(shape) < 0.67)


def random_conv_samples(
    network: Network, seed: int, steps: int = STEPS, batch: int = BATCH
) -> np.ndarray:
    """``[T, B, inputs]`` integers for ``network``."""
    return random_values(network.input, np.random.default_rng([seed, 8]), steps, batch)
