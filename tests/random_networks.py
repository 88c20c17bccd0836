"""Random small networks that use everything the contract offers, each from one integer seed.

``random_network(seed)`` and ``random_samples(network, seed)`` are plain functions, so that any
test (quantised training, golden model, RTL) can draw the same networks; hypothesis draws seeds.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from random_neurons import FAMILIES, hidden, lstm, neuron
from reslif.sw.formats import SPIKE, Format
from reslif.sw.network import (
    LIF,
    Affine,
    Dense,
    Edge,
    Input,
    Join,
    Network,
    Neuron,
    Node,
    Readout,
    Values,
)

RESETS = (
    ("subtract", True, True),
    ("subtract", False, True),
    ("zero", True, True),
    ("zero", True, False),
    ("zero", False, True),
    ("none", True, True),
)
"""Every distinct (reset, reset_delay, keep_input)."""

OPS = ("add", "and", "iand", "or")
READOUTS = ("count", "sum_current", "last_membrane", "max_membrane")
BITS = (2, 3, 4, 6, 8)


@dataclass
class _Builder:
    random: np.random.Generator
    nodes: list[Node] = field(default_factory=list)
    edges: list[Edge] = field(default_factory=list)
    values: dict[str, Values] = field(default_factory=dict)
    unread: list[str] = field(default_factory=list)

    def chance(self, probability: float) -> bool:
        return bool(self.random.random() < probability)

    def pick(self, options):
        return options[int(self.random.integers(len(options)))]

    def add(self, node: Node, **ports: list[str]) -> str:
        """Add ``node`` with its edges; ``name*`` stands for the membrane of a neuron."""
        self.nodes.append(node)
        for port, sources in ports.items():
            self.edges += [
                Edge(s.rstrip("*"), node.name, port, 0, "membrane" if "*" in s else "output")
                for s in sources
            ]
        read = [source for sources in ports.values() for source in sources]
        self.unread = [name for name in self.unread if name not in read]
        if not isinstance(node, Readout):
            self.values[node.name] = node.output(
                {port: [self.values[s] for s in sources] for port, sources in ports.items()}
            )
            self.unread.append(node.name)
        if isinstance(node, Neuron):
            self.values[f"{node.name}*"] = Values.full(node.membrane, node.size)
        return node.name

    def dense(self, source: str, size: int) -> str:
        form = Format(self.pick(BITS), int(self.random.integers(-1, 4)))
        fan_in = self.values[source].size
        weight = self.random.integers(-form.max, form.max + 1, (size, fan_in))
        bias = self.random.integers(-form.max, form.max + 1, size) if self.chance(0.6) else None
        name = f"dense{len(self.nodes)}"
        return self.add(Dense(name, weight, form, bias), input=[source])

    def affine(self, source: str, steps: int = 0) -> str:
        size, form = self.values[source].size, Format(self.pick(BITS), 0)
        shapes = [(steps, size) if steps and self.chance(0.5) else (size,) for _ in range(2)]
        gain, bias = (self.random.integers(-form.max, form.max + 1, shape) for shape in shapes)
        node = Affine(f"affine{len(self.nodes)}", gain, form, bias if self.chance(0.7) else None)
        return self.add(node, input=[source])

    def lif(self, sources: list[str], inhibition: bool = False) -> str:
        size = self.values[sources[0]].size
        frac = max(self.values[s].format.frac for s in sources) + int(self.random.integers(0, 4))
        # A typical current, so that neurons fire now and then, whatever the weights.
        scale = 1 + sum(
            float(np.abs(np.stack([v.low, v.high])).mean()) * 2.0 ** (frac - v.format.frac)
            for v in (self.values[s] for s in sources)
        )
        theta = scale * self.random.uniform(0.1, 0.8, size if self.chance(0.4) else None)
        theta = np.maximum(np.asarray(theta, np.int64), 1)
        # From widths that saturate often to ones that never do.
        width = (int(theta.max()) + 1).bit_length() + 1 + int(self.random.integers(0, 5))
        shift = int(self.random.integers(0, 9))
        whole = 1 << shift
        leak = self.random.integers(max(0, whole // 2), whole + 1, size)
        if self.chance(0.7):
            leak = leak[0]
        reset, delay, keep = self.pick(RESETS)
        node = LIF(
            f"lif{len(self.nodes)}", size, Format(width, frac), np.asarray(leak), shift, theta,
            reset, delay, self.chance(0.7), keep, inhibition and self.chance(0.2),
        )  # fmt: skip
        return self.add(node, input=sources)

    def stored_join(self, branch: str, shortcut: str, op: str) -> str:
        """A join now and then in a narrower format, of spikes without fractions; either operand
        may be the branch.
        """
        if self.chance(0.3):
            branch, shortcut = shortcut, branch
        node = Join(f"join{len(self.nodes)}", op, self.values[branch].size)
        operands = {"branch": [self.values[branch]], "shortcut": [self.values[shortcut]]}
        exact = node.exact(operands).format
        if self.chance(0.3):
            width = int(self.random.integers(1 + exact.signed, exact.width + 1))
            drop = int(self.random.integers(0, 3)) if exact.signed else 0
            node = replace(node, format=Format(width, exact.frac - drop, exact.signed))
        return self.add(node, branch=[branch], shortcut=[shortcut])

    def join(self, branch: str, shortcut: str, narrow: bool) -> str:
        sources = [self.values[branch], self.values[shortcut]]
        plain = all(not v.format.signed and v.format.frac == 0 for v in sources)
        wide = sum(v.format.width for v in sources) > 20
        op = self.pick([op for op in OPS if (op != "or" or plain) and (op != "and" or not wide)])
        name = f"join{len(self.nodes)}"
        node = Join(name, op, sources[0].size)
        if narrow and self.chance(0.25):
            exact = node.exact({"branch": sources[:1], "shortcut": sources[1:]}).format
            form = Format(
                int(self.random.integers(1 + exact.signed, exact.width + 2)),
                exact.frac - int(self.random.integers(0, 3)),
                exact.signed,
            )
            node = Join(name, op, sources[0].size, form)
        return self.add(node, branch=[branch], shortcut=[shortcut])


def random_network(
    seed: int, *, max_size: int = 9, narrow_joins: bool = True, inhibition: bool = True
) -> Network:
    """A network of up to ``max_size`` neurons a layer and one to four blocks.

    It mixes chains, multi-edge neurons, input skips and joins of spikes or currents; every node
    is read. The switches leave out what a test's subject does not build.
    """
    b = _Builder(np.random.default_rng(seed))
    size = int(b.random.integers(1, max_size + 1))
    form = b.pick([Format(1, 0, False)] * 3 + [Format(4, 2, False), Format(3, 1, True)])
    inputs = size if b.chance(0.5) else int(b.random.integers(1, max_size + 1))
    source = b.add(Input("input", inputs, form))
    same = [source] if inputs == size else []
    """Everything of the hidden size, to join."""
    for _ in range(int(b.random.integers(1, 5))):
        current = b.dense(source, size)
        if same and b.chance(0.4):
            same.append(b.join(current, b.pick(same), narrow_joins))
            current = same[-1]
        edges = [current]
        if same and b.chance(0.3):
            edges += [s for s in {b.pick(same), b.pick(same)} if s != current]
        source = b.lif(edges, inhibition)
        if same and b.chance(0.5):
            same.append(source)
            source = b.join(source, b.pick(same), narrow_joins)
        same += [current, source]
    gather = [source, *(n for n in b.unread if n != source and b.values[n].size == size)]
    gather += [b.dense(n, size) for n in b.unread if b.values[n].size != size]
    if len(gather) > 1:
        source = b.lif(gather, inhibition)
    classes = int(b.random.integers(1, max_size + 1))
    last = b.dense(source, classes)
    kind = b.pick(READOUTS)
    if kind != "sum_current":
        last = b.lif([last], inhibition and kind == "count")
    b.add(Readout("readout", kind, classes), input=[last])
    return Network(tuple(b.nodes), tuple(b.edges), max_steps=16)


def layered_network(seed: int, *, max_size: int = 20) -> Network:
    """One to six layers that the sequential engine can go through: each joins what one before it
    left, currents or spikes, or nothing.
    """
    b = _Builder(np.random.default_rng([seed, 5]))
    form = b.pick([SPIKE, SPIKE, Format(4, 2, False), Format(3, 1, True)])
    source = b.add(Input("input", int(b.random.integers(1, max_size + 1)), form))
    size = int(b.random.integers(1, max_size + 1))
    currents: list[str] = []
    spikes: list[str] = []
    """What may be joined, of the layers of the present size."""
    for _ in range(int(b.random.integers(1, 7))):
        if b.chance(0.25):
            size, currents, spikes = int(b.random.integers(1, max_size + 1)), [], []
        current = b.dense(source, size)
        adds = bool(currents) and b.chance(0.6)
        if adds:
            current = b.stored_join(current, b.pick(currents), "add")
        kept = b.pick(["current", "spike", ""])
        source = b.lif([current])
        if spikes and not adds and b.chance(0.7):
            source = b.stored_join(source, b.pick(spikes), b.pick(OPS))
        currents += [current] * (kept == "current")
        spikes += [source] * (kept == "spike")
    last = b.dense(source, int(b.random.integers(1, max_size + 1)))
    kind = b.pick(READOUTS)
    if kind != "sum_current":
        last = b.lif([last])
    b.add(Readout("readout", kind, b.values[last].size), input=[last])
    return Network(tuple(b.nodes), tuple(b.edges), max_steps=16)


def recurrent_network(seed: int, *, max_size: int = 7, steps: int = 16) -> Network:
    """One to three layers of neurons of any family, with loops of any kind.

    A layer may read itself or one behind it, all to all or one to one or as it is; membranes go
    where currents and spikes go; affine units scale currents, each timestep differently or not.
    """
    b = _Builder(np.random.default_rng([seed, 4]))
    size = int(b.random.integers(1, max_size + 1))
    form = b.pick([SPIKE, SPIKE, Format(3, 1)])
    source = b.add(Input("input", size, form))
    same, loops, cells = [source], [], []
    """What can be joined; edges that wait for their neurons; the neurons."""
    for _ in range(int(b.random.integers(1, 4))):
        if b.chance(0.2):
            source = _lstm_layer(b, source, size)
        else:
            current = b.dense(f"{b.pick(cells)}*" if cells and b.chance(0.15) else source, size)
            if b.chance(0.3):
                current = b.affine(current, steps)
            sources = [current]
            if b.chance(0.3):
                sources.append(b.pick(same))
            if cells and b.chance(0.2):
                sources.append(f"{b.pick(cells)}*")
            waiting = [_loop(b, size) for _ in range(b.pick([0, 1, 1, 2]))]
            name = f"neuron{len(b.nodes)}"
            values = [b.values[s] for s in [*sources, *waiting]]
            node = neuron(b.pick(FAMILIES), name, size, b.random, values)
            node = replace(node, inhibition=b.chance(0.1))
            source = b.add(node, input=sources)
            loops += [(way, name, len(cells)) for way in waiting]
        cells.append(source)
        if b.chance(0.3):
            source = b.join(source, b.pick(same), False)
        same.append(source)
    for way, reader, first in loops:
        # A neuron at or behind the one that reads it: the loop must close.
        origin = b.pick(cells[first:])
        if way == "":
            b.edges.append(Edge(origin, reader, delay=1))
        else:
            b.edges += [Edge(origin, way, delay=1), Edge(way, reader)]
    gather = [source, *(n for n in b.unread if n != source and b.values[n].size == size)]
    b.unread = [n for n in b.unread if n in gather]
    classes = int(b.random.integers(1, max_size + 1))
    if len(gather) > 1:
        source = b.lif(gather)
    last = b.dense(source, classes)
    kind = b.pick(READOUTS)
    if kind != "sum_current":
        last = b.lif([last])
    b.add(Readout("readout", kind, classes), input=[last])
    return Network(tuple(b.nodes), tuple(dict.fromkeys(b.edges)), max_steps=steps)


def _loop(b: _Builder, size: int) -> str:
    """A node whose delayed edge comes later, or nothing: the spikes themselves."""
    kind = b.pick(["dense", "affine", ""])
    b.values[""] = Values.full(SPIKE, size)
    if kind:
        name = b.dense("", size) if kind == "dense" else b.affine("")
        b.edges = [edge for edge in b.edges if edge.source]
        b.unread.remove(name)
        return name
    return ""


def _lstm_layer(b: _Builder, source: str, size: int) -> str:
    """LSTM cells; what they remember may feed back through a dense layer."""
    sources, name, form = [b.dense(source, 4 * size)], f"lstm{len(b.nodes)}", hidden(b.random)
    b.values[f"{name}*"] = Values.full(form, size)
    back = b.dense(f"{name}*", 4 * size) if b.chance(0.8) else ""
    sources += [back] * bool(back)
    node = lstm(name, size, form, b.random, [b.values[s] for s in sources])
    b.edges = [replace(edge, delay=1) if edge.source == name else edge for edge in b.edges]
    return b.add(node, input=sources)


def random_samples(network: Network, seed: int, steps: int = 9, batch: int = 4) -> np.ndarray:
    """``[T, B, inputs]`` integers over the whole range of the input, half of them 0."""
    random = np.random.default_rng([seed, 1])
    form = network.input.format
    shape = (steps, batch, network.input.size)
    values = random.integers(form.min, form.max + 1, shape)
    return values * (random.random(shape) < 0.7)
