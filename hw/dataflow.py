"""The dataflow engine: one component per node, all at work on successive timesteps.

Every edge of the network becomes a stream, or building fails: no edge is ever dropped.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from amaranth.hdl import Module, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..sw.formats import SPIKE, Format
from ..sw.network import Affine as AffineNode
from ..sw.network import Conv2d, Dense, Edge, Input, Neuron, Readout, Values
from ..sw.network import Join as JoinNode
from ..sw.network import Pool as PoolNode
from .affine import Affine
from .conv import Conv
from .conv_layout import conv_rows
from .folding import Plan
from .inhibition import Inhibition
from .joins import Join, JoinKind, JoinLayout
from .models import clips, neuron_array, neuron_config
from .pool import Pool
from .popcount import tree_sum
from .probes import Probe, Probes
from .readout import Readout as ReadoutUnit
from .readout import ReadoutKind, result_stream
from .streams import shape_of, spike_stream
from .synapse import Synapse
from .weights import WeightMemory


class Dataflow(wiring.Component):
    """``plan.network`` as hardware.

    Members
    -------
    events: the input's spikes.
    results: class scores and class of each sample.
    saturated: how many values were clipped, a count per cycle, some cycles late.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.network = plan.network
        self.probes: list[Probe] = []
        """Filled by elaboration."""
        self.units: dict[str, wiring.Component] = {}
        """The component of each node, by elaboration."""
        node, readout = self.network.input, self.network.readout
        clipped = {n.name: clips(n) for n in self.network.nodes_of(Neuron)}
        joins = (n.name for n in self.network.nodes_of(JoinNode) if n.name not in plan.merged)
        clipped |= dict.fromkeys(joins, 1)
        # At least 1: a port of no bits breaks tools.
        most = max(1, sum(plan.neuron_lanes[name] * each for name, each in clipped.items()))
        super().__init__(
            {
                "events": In(spike_stream(node.size, shape_of(node.format))),
                "results": Out(result_stream(shape_of(self.network.scores.format), readout.size)),
                "saturated": Out(range(most + 1)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        self.probes.clear()
        self.units.clear()
        return _Build(self).module


class _Term(NamedTuple):
    """An operand of a join; ``timed`` if it says when a sample ends."""

    stream: Any
    values: Values
    timed: bool


class _Build(Probes):
    """One elaboration: a component for each node, and streams for the edges that leave it."""

    def __init__(self, engine: Dataflow) -> None:
        super().__init__(engine.plan, engine.probes)
        self.engine = engine
        self.saturated: list[Value] = []
        build: dict[type, Callable[[Any], None]] = {
            Input: self.input,
            Dense: self.dense,
            Conv2d: self.conv,
            PoolNode: self.pool,
            AffineNode: self.affine,
            JoinNode: self.join,
            Neuron: self.neuron,
            Readout: self.readout,
        }
        for node in self.network.order:
            build[Neuron if isinstance(node, Neuron) else type(node)](node)
        self.module.d.comb += engine.saturated.eq(tree_sum(self.module, self.saturated))

    # Nodes

    def input(self, node: Input) -> None:
        self.leave(node.name, self.network.leaving(node.name), wiring.flipped(self.engine.events))

    def dense(self, node: Dense) -> None:
        (source,) = self.network.operands(node)["input"]
        fold = self.plan.folds[node.name]
        weight = shape_of(node.weight_format)
        bias = (0,) * node.size if node.bias is None else tuple(int(b) for b in node.bias)
        synapse = Synapse(
            node.inputs,
            node.size,
            lanes=fold.lanes,
            out_lanes=fold.neuron_lanes,
            spike=shape_of(source.format),
            weight=weight,
            current=shape_of(self.network.values[node.name].format),
            bias=bias,
        )
        memory = WeightMemory(node.weight.tolist(), fold.lanes, weight)
        self.module.submodules[node.name] = self.engine.units[node.name] = synapse
        self.module.submodules[f"{node.name}-weights"] = memory
        wiring.connect(self.module, synapse.rows, memory.port)
        wiring.connect(self.module, self.operand(node.name, "input"), synapse.spikes)
        self.probe(node, "current", synapse.currents, self.network.values[node.name].format)
        self.leave(node.name, self.network.leaving(node.name), synapse.currents)

    def conv(self, node: Conv2d) -> None:
        layout = self.plan.layout(node)
        conv = Conv(layout)
        lanes = layout.row_taps * layout.lanes
        memory = WeightMemory(conv_rows(node.weight, layout).T.tolist(), lanes, layout.weight)
        self.module.submodules[node.name] = self.engine.units[node.name] = conv
        self.module.submodules[f"{node.name}-weights"] = memory
        wiring.connect(self.module, conv.rows, memory.port)
        wiring.connect(self.module, self.operand(node.name, "input"), conv.spikes)
        if layout.initial is None:
            self.probe(node, "current", conv.currents, self.network.values[node.name].format)
            self.leave(node.name, self.network.leaving(node.name), conv.currents)

    def pool(self, node: PoolNode) -> None:
        (source,) = self.network.operands(node)["input"]
        result = self.network.values[node.name].format
        pool = Pool(
            node.op,
            node.shape,
            node.window,
            node.out_shape[1:],
            lanes=self.plan.neuron_lanes[node.name],
            value=shape_of(source.format),
            result=shape_of(result),
        )
        self.module.submodules[node.name] = self.engine.units[node.name] = pool
        wiring.connect(self.module, self.operand(node.name, "input"), pool.input)
        self.probe(node, "value", pool.output, result)
        self.leave(node.name, self.network.leaving(node.name), pool.output)

    def affine(self, node: AffineNode) -> None:
        (source,) = self.network.operands(node)["input"]
        result = self.network.values[node.name].format
        steps = max(node.steps, default=1), node.size
        unit = Affine(
            np.broadcast_to(node.gain, steps).tolist(),
            np.broadcast_to(0 if node.bias is None else node.bias, steps).tolist(),
            lanes=self.plan.neuron_lanes[node.name],
            value=shape_of(source.format),
            factor=shape_of(node.gain_format),
            result=shape_of(result),
        )
        self.module.submodules[node.name] = self.engine.units[node.name] = unit
        wiring.connect(self.module, self.operand(node.name, "input"), unit.input)
        self.probe(node, "value", unit.output, result)
        self.leave(node.name, self.network.leaving(node.name), unit.output)

    def join(self, node: JoinNode) -> None:
        if conv := self.plan.merged.get(node.name):
            unit: Any = self.engine.units[conv]
            wiring.connect(self.module, self.operand(node.name, "shortcut"), unit.initial)
            self.probe(node, "value", unit.currents, self.network.values[node.name].format)
            self.leave(node.name, self.network.leaving(node.name), unit.currents)
            return
        exact = node.exact(self.network.operands(node)).format
        branch, shortcut = (
            self.term(*self.network.incoming(node.name, port)) for port in ("branch", "shortcut")
        )
        kind = JoinKind[node.op.upper()]
        join = self.add_join(node.name, kind, branch, shortcut, exact, node.format or exact)
        self.probe(node, "value", join.output, join.layout.result)
        self.leave(node.name, self.network.leaving(node.name), join.output)

    def neuron(self, node: Neuron) -> None:
        current, values = self.total(node)
        align = node.current_frac - values.format.frac
        edges = self.network.leaving(node.name)
        membranes = [edge for edge in edges if self.network.carries_membrane(edge)]
        spikes = [edge for edge in edges if not self.network.carries_membrane(edge)]
        sends = ("spike",) * bool(spikes) + ("membrane",) * bool(membranes)
        sends += ("margin",) * bool(spikes and node.inhibition)
        lanes = self.plan.neuron_lanes[node.name]
        array = neuron_array(node, lanes, shape_of(values.format), align, sends)
        self.module.submodules[node.name] = self.engine.units[node.name] = array
        wiring.connect(self.module, current, array.currents)
        self.module.d.comb += array.config.eq(neuron_config(node))
        self.saturated.append(array.saturated)
        if len(self.network.incoming(node.name, "input")) > 1:
            form = Format(values.format.width + align, node.current_frac, values.format.signed)
            self.probe(node, "current", current, form, lambda value: value << align)
        for state, form in node.states.items():
            self.inner_probe(node, state, lanes, form)

        branches = self.fork(f"{node.name}-fork", array.spikes, len(membranes) + bool(spikes))
        for edge, branch in zip(membranes, branches, strict=False):
            self.leave(node.name, [edge], self.select(branch, "membrane"))
        if spikes:
            if node.inhibition:
                output = self.inhibit(node, branches[-1])
            else:
                output = self.select(branches[-1], "spike")
            self.probe(node, "spike", output, SPIKE)
            self.leave(f"{node.name}-spike", spikes, output)

    def inhibit(self, node: Neuron, source: Any) -> Any:
        unit = Inhibition(
            node.size, self.plan.neuron_lanes[node.name], source.payload.values[0].shape()
        )
        self.module.submodules[f"{node.name}-inhibition"] = unit
        wiring.connect(self.module, source, unit.input)
        return unit.output

    def readout(self, node: Readout) -> None:
        values, operand = self.total(node)
        unit = ReadoutUnit(
            node.size, shape_of(operand.format), shape_of(self.network.scores.format)
        )
        self.module.submodules[node.name] = self.engine.units[node.name] = unit
        wiring.connect(self.module, values, unit.values)
        kinds = {"last_membrane": ReadoutKind.LAST, "max_membrane": ReadoutKind.MAX}
        self.module.d.comb += unit.kind.eq(kinds.get(node.kind, ReadoutKind.SUM))
        wiring.connect(self.module, unit.results, wiring.flipped(self.engine.results))
        self.inner_probe(node, "score", 1, self.network.scores.format)

    # Sums

    def total(self, node: Neuron | Readout) -> tuple[Any, Values]:
        """The sum of all edges into ``node``, by a tree of joins, and its values."""
        terms = [self.term(edge) for edge in self.network.incoming(node.name, "input")]
        for i in range(len(terms) - 1):
            first, second = terms.pop(0), terms.pop(0)
            operands = {"branch": [first.values], "shortcut": [second.values]}
            values = JoinNode(node.name, "add", first.values.size).exact(operands)
            name, form = f"{node.name}-sum{i}", values.format
            join = self.add_join(name, JoinKind.ADD, first, second, form, form)
            terms.append(_Term(join.output, values, first.timed or second.timed))
        return terms[0].stream, terms[0].values

    def term(self, edge: Edge) -> _Term:
        timed = not edge.delay and edge.source in self.plan.timed
        return _Term(self.arriving[edge], self.network.carried(edge), timed)

    def add_join(
        self,
        name: str,
        kind: JoinKind,
        branch: _Term,
        shortcut: _Term,
        exact: Format,
        result: Format,
    ) -> Join:
        add = kind == JoinKind.ADD
        layout = JoinLayout(
            lanes=len(branch.stream.payload.values),
            branch=shape_of(branch.values.format),
            shortcut=shape_of(shortcut.values.format),
            align_branch=exact.frac - branch.values.format.frac if add else 0,
            align_shortcut=exact.frac - shortcut.values.format.frac if add else 0,
            drop=exact.frac - result.frac,
            result=result,
            exact=result == exact,
            timed="branch" if branch.timed else "shortcut",
        )
        join = self.module.submodules[name] = self.engine.units[name] = Join(layout)
        wiring.connect(self.module, branch.stream, join.branch)
        wiring.connect(self.module, shortcut.stream, join.shortcut)
        self.module.d.comb += join.kind.eq(kind)
        self.saturated.append(join.saturated)
        return join
