"""Translates a traced module, operation by operation, into the parts of a float graph."""

from __future__ import annotations

import operator
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from torch import Tensor, fx, nn

from ..formats import Format, IntArray
from ..graph import FloatAffine, FloatDense, FloatNeuron
from ..images import Shape3
from ..network import Input, Join, JoinOp, Readout, ReadoutKind
from ..nn import (
    BatchNormOverTime,
    BatchNormOverTime2d,
    BatchNormTT1d,
    ConvOverTime,
    DirectEncoder,
    LastMembrane,
    MaxMembrane,
    MeanNormOverTime,
    SpikeRate,
    SpikingNeuron,
)
from .images import POOLS, convolution, pooling, reshaped
from .layers import NEURONS, lower
from .lines import Translator
from .neurons import to_array
from .parts import Parts, Signal
from .vocabulary import (
    ADDS,
    FLATTENS,
    FOLDED,
    JOINS,
    MULTIPLIES,
    NORMS,
    READOUTS,
    REDUCTIONS,
    RESHAPING,
    TRANSPARENT,
)


class Builder(Translator):
    """Translates operations one by one.

    After ``run`` it has the ``parts``, the encoder's ``steps`` if there is one, and ``divisor``,
    by which the graph's scores are larger than the module's.
    """

    def __init__(self, traced: fx.GraphModule, input_format: Format) -> None:
        super().__init__(traced)
        self.input_format = input_format
        self.steps: int | None = None
        self.divisor = 1.0
        self.parts = Parts()
        self.signals: dict[fx.Node, Signal] = {}
        self.tuples: dict[fx.Node, tuple[Signal | str, ...]] = {}
        """Of a value that is a tuple: its elements, or why one cannot be read."""
        self.unreadable: dict[fx.Node, str] = {}
        self._check_neurons(traced.graph)

    def _check_neurons(self, graph: fx.Graph) -> None:
        called: set[Any] = set()
        for n in graph.nodes:
            module = self._called(n)
            if isinstance(module, SpikingNeuron):
                kind = type(module).__name__
                if not module.multi_step:
                    raise self._refuse(n, f"{kind} has multi_step=False, must be multi_step=True")
                if module.init_hidden and n.target in called:
                    raise self._refuse(n, f"{kind} of init_hidden is called twice, must be once")
                called.add(n.target)

    def run_node(self, n: fx.Node) -> Any:
        if n.target is not operator.getitem and n.op != "output":
            for whole in (value for value in n.all_input_nodes if value in self.tuples):
                raise self._refuse(n, f"reads all that '{whole}' returns, must read one part")
        return super().run_node(n)

    def _translate(self, n: fx.Node, result: Any) -> None:
        if n.op == "placeholder":
            self._input(n, result)
        elif n.op == "output":
            last = n.args[0]
            signal = self.signals.get(last) if isinstance(last, fx.Node) else None
            if signal is None or not isinstance(self.parts.nodes[signal.node], Readout):
                raise self._refuse(n, "the module must return one readout, such as SumCurrent")
        elif (module := self._called(n)) is not None:
            self._module(n, module, result)
        elif n.op == "get_attr":
            raise self._refuse(n, f"operand '{n.target}' is a constant, must be a signal")
        elif n.target in (*ADDS, *MULTIPLIES):
            if len(n.args) != 2 or n.kwargs:
                raise self._refuse(n, f"{n.name} with options, must have two signals only")
            self._join(n, "add" if n.target in ADDS else "and", result)
        elif n.target in REDUCTIONS:
            self._reduction(n, result)
        elif n.target in FLATTENS:
            options = dict(zip(("start_dim", "end_dim"), n.args[1:], strict=False)) | n.kwargs
            self._reshaped(n, "flatten", options.get("start_dim", 0), result)
        elif n.target is operator.getitem and n.args[0] in self.tuples:
            element = self.tuples[n.args[0]][n.args[1]]  # pyright: ignore
            if isinstance(element, Signal):
                self.signals[n] = element
            else:
                self.unreadable[n] = str(element)
        elif n.target is operator.getitem and n.args[1] == -1 and self._is_membrane(n.args[0]):
            self._readout(n, "last_membrane", self._source(n, n.args[0]), result)
        else:
            what = getattr(n.target, "__name__", n.target)
            raise self._refuse(n, f"operation '{what}' has no counterpart in a network")

    def _input(self, n: fx.Node, value: Any) -> None:
        if "input" in self.parts.nodes:
            raise self._refuse(n, f"a second input '{n.name}', a network has one")
        encoded = self._feeds_encoder(n)
        self._check_signal(n, value, leading_time=not encoded)
        size = int(np.prod(value.shape[1 if encoded else 2 :]))
        self.signals[n] = self.parts.add(Input("input", size, self.input_format), {})

    def _module(self, n: fx.Node, module: nn.Module, result: Any) -> None:
        kind = type(module)
        if kind in JOINS:
            self._join(n, JOINS[kind], result)
            return
        if len(n.args) != 1 or n.kwargs:
            raise self._refuse(n, f"{kind.__name__} called with options, must have one signal")
        source = self._source(n, n.args[0])
        if isinstance(module, TRANSPARENT):
            start = getattr(module, RESHAPING[kind]) if kind in RESHAPING else 2
            self._reshaped(n, kind.__name__, start, result)
        elif isinstance(module, DirectEncoder):
            if source.node != "input":
                raise self._refuse(n, "DirectEncoder inside the network, must be at its input")
            self._check_signal(n, result)
            self.steps = module.steps
            self.signals[n] = source
        elif isinstance(module, nn.Linear):
            self._check_signal(n, result, features=True)
            bias = None if module.bias is None else to_array(module.bias)
            dense = FloatDense(self._name(n), to_array(module.weight), bias)
            self.signals[n] = self.parts.synapse(dense, source)
        elif isinstance(module, ConvOverTime):
            conv = convolution(module, self._name(n), self._image(n))
            self.signals[n] = self.parts.synapse(conv, source)
        elif isinstance(module, POOLS):
            pool, divisor = pooling(module, self._name(n), self._image(n))
            self.signals[n] = self.parts.pool(pool, source, divisor)
        elif isinstance(module, BatchNormOverTime | BatchNormOverTime2d | MeanNormOverTime):
            self._check_signal(n, result, features=not isinstance(module, BatchNormOverTime2d))
            synapse, what = FOLDED[kind]
            if not isinstance(self.parts.nodes[source.node], synapse):
                raise self._refuse(n, f"batch norm must directly follow {what} to fold into it")
            if not self._alone(source):
                raise self._refuse(n, f"batch norm follows {what} that is also read without it")
            scale, shift = (to_array(value) for value in module.scale_and_shift())
            self.parts.rescale(source.node, scale, shift)
            self.signals[n] = source
        elif isinstance(module, NORMS):
            self._check_signal(n, result, features=isinstance(module, BatchNormTT1d))
            pixels = result[0, 0, 0].numel()  # with the channels of each side by side
            gain, bias = (
                np.tile(to_array(value), (1, pixels)) for value in module.scale_and_shift()
            )
            self.signals[n] = self.parts.synapse(FloatAffine(self._name(n), gain, bias), source)
        elif isinstance(module, NEURONS):
            self._neuron(n, module, source, result)
        elif kind in READOUTS:
            if isinstance(module, LastMembrane | MaxMembrane):
                source, _ = self._place(n, module.lif, source, result.shape[1:], "_lif")
            self._readout(n, READOUTS[kind], source, result)
            if kind is SpikeRate:
                self._mean(n)
        elif isinstance(module, nn.BatchNorm1d):
            raise self._refuse(
                n, "BatchNorm1d takes the batch of [T, B, N] for its features, "
                "must be BatchNormOverTime",
            )  # fmt: skip
        else:
            raise self._refuse(n, f"layer {kind.__name__} has no counterpart in a network")

    def _neuron(self, n: fx.Node, module: nn.Module, source: Signal, result: Any) -> None:
        spikes = result[0] if isinstance(result, tuple) else result
        self._check_signal(n, spikes)
        signal, neuron = self._place(n, module, source, spikes.shape[2:])
        if not isinstance(result, tuple):
            self.signals[n] = signal
            return
        assert isinstance(module, SpikingNeuron)
        refused = f"reads a state of {type(module).__name__} other than its 'mem', must read that"
        # Recurrent neurons return their spikes, a state themselves, once.
        states = [name for name in module.state_names if name != "spk"]
        parts = (Signal(neuron, "membrane") if name == "mem" else refused for name in states)
        self.tuples[n] = (signal, *parts)

    def _place(
        self,
        n: fx.Node,
        module: nn.Module,
        source: Signal,
        outputs: Sequence[int],
        suffix: str = "",
    ) -> tuple[Signal, str]:
        """What the neurons of ``module`` send, and their node's name."""
        inputs = self._before(n).shape[2:]
        layer = lower(module, lambda more: self._name(n, suffix + more), inputs, outputs)
        return self.parts.place(layer, source, self._alone(source)), layer.neuron.name

    def _image(self, n: fx.Node) -> Shape3:
        """The shape of the images that a layer reads."""
        channels, height, width = self._before(n).shape[2:]
        return channels, height, width

    def _reshaped(self, n: fx.Node, what: str, start: Any, result: Tensor) -> None:
        before = self._before(n).shape
        if start % len(before) < 2:
            raise self._refuse(
                n, f"{what} turns {list(before)} into {list(result.shape)}, "
                "must keep [T, B] and begin at dimension 2",
            )  # fmt: skip
        source = self._source(n, n.args[0])
        order = reshaped(source.order, before[2:], result.shape[2:])
        made = self.parts.nodes[source.node]
        if order is not None and isinstance(made, FloatDense) and self._alone(source):
            self.parts.permute(source.node, np.argsort(order))
            order = None
        self.signals[n] = replace(source, order=order)

    def _join(self, n: fx.Node, op: JoinOp, result: Any) -> None:
        operands = [self._source(n, argument) for argument in n.args]
        if op == "add":
            # Of two sides that mean the same, the longer way round is the branch.
            order = list(self.parts.nodes)
            ways = {s.node: (self.parts.depth[s.node], order.index(s.node)) for s in operands}
            operands.sort(key=lambda signal: ways[signal.node], reverse=True)
        if self._before(n, 0).shape != self._before(n, 1).shape:
            raise self._refuse(n, "joins two signals of different shapes, must be the same")
        self._check_signal(n, result)
        if not _alike(operands[0].order, operands[1].order):
            raise self._refuse(n, "joins a flattened image with what is none, must be both")
        join, order = Join(self._name(n), op, int(np.prod(result.shape[2:]))), operands[0].order
        branch, shortcut = (replace(signal, order=None) for signal in operands)
        joined = self.parts.add(join, {"branch": branch, "shortcut": shortcut})
        self.signals[n] = replace(joined, order=order)

    def _reduction(self, n: fx.Node, result: Any) -> None:
        what = getattr(n.target, "__name__", n.target)
        options = {"dim": n.args[1] if len(n.args) == 2 else None, **n.kwargs}
        if options != {"dim": 0}:
            raise self._refuse(n, f"{what} over {options}, must be over time (dim 0) only")
        source = self._source(n, n.args[0])
        if what != "amax":
            spiking = isinstance(self.parts.nodes[source.node], FloatNeuron)
            self._readout(n, "count" if spiking else "sum_current", source, result)
            if what == "mean":
                self._mean(n)
        elif self._is_membrane(n.args[0]):
            self._readout(n, "max_membrane", source, result)
        else:
            raise self._refuse(n, "amax of what is no membrane has no counterpart in a network")

    def _readout(self, n: fx.Node, kind: ReadoutKind, source: Signal, result: Any) -> None:
        if kind == "count" and source.quantity == "membrane":
            kind = "sum_current"
        if kind.endswith("membrane"):
            source = Signal(source.node, order=source.order)  # reads the membrane of itself
        if source.factor is not None:
            if source.factor.size > 1 or source.factor <= 0:
                raise self._refuse(n, "graded spikes are counted, their factor must be one above 0")
            self.divisor /= float(source.factor)
            source = replace(source, factor=None)
        if source.order is not None or result.dim() == 4:
            raise self._refuse(n, "the classes are an image, must be behind a Linear or a pool")
        node = Readout("readout", kind, int(np.prod(result.shape[1:])))
        self.signals[n] = self.parts.add(node, {"input": source})

    def _mean(self, n: fx.Node) -> None:
        self.divisor *= float(len(self._before(n)))

    def _source(self, n: fx.Node, argument: Any) -> Signal:
        if not isinstance(argument, fx.Node):
            raise self._refuse(n, f"operand {argument!r} is a constant, must be a signal")
        if argument in self.unreadable:
            raise self._refuse(n, self.unreadable[argument])
        signal = self.signals[argument]
        if isinstance(self.parts.nodes[signal.node], Readout):
            raise self._refuse(n, "reads the readout, which must be the module's output")
        if self._feeds_encoder(argument) and not isinstance(self._called(n), DirectEncoder):
            raise self._refuse(n, "reads the input beside its DirectEncoder, must read behind it")
        return signal

    def _is_membrane(self, argument: Any) -> bool:
        return argument in self.signals and self.signals[argument].quantity == "membrane"

    def _alone(self, source: Signal) -> bool:
        """Whether the operation at hand is all that reads a node."""
        values = [f for f, signal in self.signals.items() if signal.node == source.node]
        uses = sum(len(f.users) for f in values)  # those that pass the value on among them
        return uses - (len(values) - 1) == 1

    def _feeds_encoder(self, n: fx.Node) -> bool:
        return n.op == "placeholder" and any(
            isinstance(self._called(user), DirectEncoder) for user in n.users
        )

    def _name(self, n: fx.Node, suffix: str = "") -> str:
        base = str(n.target) if n.op == "call_module" else n.name
        base = re.sub(r"\W", "_", base, flags=re.ASCII) + suffix
        return self.parts.free_name(base if base[0].isalpha() else f"layer{base}")


def _alike(order: IntArray | None, other: IntArray | None) -> bool:
    if order is None or other is None:
        return order is other
    return np.array_equal(order, other)
