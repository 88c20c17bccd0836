"""From a PyTorch module to a float graph, by symbolic tracing (torch.fx)."""

from __future__ import annotations

import copy
import operator
import re
import traceback
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn

from .formats import SPIKE, Format
from .graph import (
    FloatDense,
    FloatGraph,
    FloatNeuron,
    FloatNode,
    GraphError,
    float_lif,
    run_float,
)
from .network import Edge, Input, Join, JoinOp, Readout, ReadoutKind
from .nn import (
    LIF,
    BatchNormOverTime,
    DirectEncoder,
    LastMembrane,
    LayerError,
    MaxMembrane,
    SpikeAnd,
    SpikeCount,
    SpikeIAnd,
    SpikeOr,
    SpikeRate,
    SumCurrent,
)

_JOINS: dict[type[nn.Module], JoinOp] = {SpikeAnd: "and", SpikeIAnd: "iand", SpikeOr: "or"}
_READOUTS: dict[type[nn.Module], ReadoutKind] = {
    SpikeCount: "count",
    SpikeRate: "count",
    SumCurrent: "sum_current",
    LastMembrane: "last_membrane",
    MaxMembrane: "max_membrane",
}
_TRANSPARENT = (nn.Identity, nn.Dropout, nn.Flatten)
_LEAVES = (LIF, BatchNormOverTime, DirectEncoder, *_JOINS, *_READOUTS)
_ADDS = (operator.add, operator.iadd, torch.add)
_MULTIPLIES = (operator.mul, operator.imul, torch.mul)

_TORCH = str(Path(torch.__file__).parent)


def from_torch(module: nn.Module, sample: Tensor, input_format: Format = SPIKE) -> FloatGraph:
    """The float graph of ``module`` in evaluation mode.

    Carried over: ``nn.Linear`` with a ``BatchNormOverTime`` behind it (folded, running
    statistics), the neurons, joins and readouts of :mod:`reslif.sw.nn`, ``+`` and ``*`` of two
    signals, a final ``sum(0)`` or ``mean(0)`` over time, a leading ``DirectEncoder``, and
    ``Identity``, ``Dropout`` and shape-keeping ``Flatten``. A module called twice becomes two
    nodes with copies of its parameters. A mean over time becomes a sum: same classes.

    ``sample`` is an example input ``[T, B, inputs]`` (``[B, inputs]`` before a
    ``DirectEncoder``), on which the graph must reproduce the module's output. ``input_format``
    is what the network's input will have. Raises :class:`GraphError`, with the line of source
    that did it, for whatever the contract cannot hold.
    """
    if not torch.isfinite(sample).all():
        raise GraphError("the example input holds NaN or infinity, must be finite")
    # In double precision, so that folding batch norm cannot tip a membrane over its threshold.
    module = copy.deepcopy(module).cpu().double().eval()
    sample = sample.cpu().double()
    tracer = _Tracer()
    tracer.record_stack_traces = True
    try:
        traced = fx.GraphModule(module, tracer.trace(module))
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        raise GraphError(
            f"{_last_user_line([(f.filename, f.lineno) for f in frames])}cannot trace "
            f"{type(module).__name__}: {str(error).splitlines()[0]}"
        ) from None
    builder = _Builder(traced, input_format)
    with torch.no_grad():
        expected = builder.run(sample)
    graph = builder.float_graph()
    steps = sample if builder.steps is None else sample.expand(builder.steps, *sample.shape)
    found, _ = run_float(graph, steps)
    difference = float((found / builder.divisor - expected).abs().max())
    if difference > 1e-6 * max(1.0, float(expected.abs().max())):
        raise GraphError(
            f"the traced graph differs from {type(module).__name__} by {difference:.3g} "
            "on the example input"
        )
    return graph


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, _LEAVES) or super().is_leaf_module(m, module_qualified_name)


def _last_user_line(frames: list[tuple[str, int | None]]) -> str:
    """``file:line: `` of the innermost frame that is neither PyTorch's nor this module's."""
    own = [f for f in frames if not f[0].startswith((_TORCH, __file__)) and f[0] != "<frozen"]
    return f"{own[-1][0]}:{own[-1][1]}: " if own else ""


class _Builder(fx.Interpreter):
    """Runs the traced module on the sample and translates each operation on the way."""

    def __init__(self, traced: fx.GraphModule, input_format: Format) -> None:
        super().__init__(traced)
        self.extra_traceback = False  # our errors are one line
        self.input_format = input_format
        self.steps: int | None = None
        self.divisor = 1.0
        self.nodes: dict[str, FloatNode] = {}
        self.edges: list[Edge] = []
        self.names: dict[fx.Node, str] = {}
        """The graph node whose value an fx node stands for."""

    def float_graph(self) -> FloatGraph:
        return FloatGraph(tuple(self.nodes.values()), tuple(self.edges))

    def run_node(self, n: fx.Node) -> Any:
        try:
            result = super().run_node(n)
        except (RuntimeError, LayerError, IndexError, TypeError) as error:
            raise self._refuse(n, str(error).splitlines()[0]) from None
        if n.op == "placeholder":
            if "input" in self.nodes:
                raise self._refuse(n, f"a second input '{n.name}', a network has one")
            self._check_signal(n, result, leading_time=not self._feeds_encoder(n))
            self.nodes["input"] = Input("input", result.shape[-1], self.input_format)
            self.names[n] = "input"
        elif n.op == "output":
            last = n.args[0]
            name = self.names.get(last) if isinstance(last, fx.Node) else None
            if name is None or not isinstance(self.nodes[name], Readout):
                raise self._refuse(n, "the module must return one readout, such as SumCurrent")
        else:
            self._translate(n, result)
        return result

    def _translate(self, n: fx.Node, result: Any) -> None:
        if n.op == "call_module":
            module = self.fetch_attr(str(n.target))
            self._module(n, module, result)
        elif n.op == "call_function" and n.target in (*_ADDS, *_MULTIPLIES):
            if len(n.args) != 2 or n.kwargs:
                raise self._refuse(n, f"{n.name} with options, must have two signals only")
            self._join(n, "add" if n.target in _ADDS else "and", result)
        elif n.op == "call_method" and n.target in ("sum", "mean"):
            options = {"dim": n.args[1] if len(n.args) == 2 else None, **n.kwargs}
            if options != {"dim": 0}:
                raise self._refuse(n, f"{n.target} over {options}, must be over time (dim 0) only")
            source = self._source(n, n.args[0])
            spiking = isinstance(self.nodes[source], FloatNeuron)
            self._readout(n, "count" if spiking else "sum_current", source, result)
            if n.target == "mean":
                self._mean(n)
        else:
            what = getattr(n.target, "__name__", n.target)
            raise self._refuse(n, f"operation '{what}' has no counterpart in a network")

    def _module(self, n: fx.Node, module: nn.Module, result: Any) -> None:
        kind = type(module)
        if kind in _JOINS:
            self._join(n, _JOINS[kind], result)
            return
        if len(n.args) != 1 or n.kwargs:
            raise self._refuse(n, f"{kind.__name__} called with options, must have one signal")
        source = self._source(n, n.args[0])
        if isinstance(module, _TRANSPARENT):
            before = self.env[n.args[0]].shape  # pyright: ignore[reportArgumentType]
            if result.shape != before:
                raise self._refuse(
                    n, f"{kind.__name__} turns {list(before)} into {list(result.shape)}, "
                    "must keep [T, B, N]",
                )  # fmt: skip
            self.names[n] = source
        elif isinstance(module, DirectEncoder):
            if source != "input":
                raise self._refuse(n, "DirectEncoder inside the network, must be at its input")
            self._check_signal(n, result)
            self.steps = module.steps
            self.names[n] = source
        elif isinstance(module, nn.Linear):
            bias = None if module.bias is None else _array(module.bias)
            dense = FloatDense(self._name(n), _array(module.weight), bias)
            self._add(n, dense, {"input": source}, result)
        elif isinstance(module, BatchNormOverTime):
            self._fold(n, module, source)
        elif isinstance(module, LIF):
            self._add(n, _lif(self._name(n), module, result.shape[-1]), {"input": source}, result)
        elif kind in _READOUTS:
            if isinstance(module, LastMembrane | MaxMembrane):
                lif = _lif(self._name(n, "_lif"), module.lif, result.shape[-1])
                self.nodes[lif.name] = lif
                self.edges.append(Edge(source, lif.name))
                source = lif.name
            self._readout(n, _READOUTS[kind], source, result)
            if kind is SpikeRate:
                self._mean(n)
        elif isinstance(module, nn.BatchNorm1d):
            raise self._refuse(
                n, "BatchNorm1d takes the batch of [T, B, N] for its features, "
                "must be BatchNormOverTime",
            )  # fmt: skip
        else:
            raise self._refuse(n, f"layer {kind.__name__} has no counterpart in a network")

    def _fold(self, n: fx.Node, norm: BatchNormOverTime, source: str) -> None:
        dense = self.nodes[source]
        if not isinstance(dense, FloatDense):
            raise self._refuse(n, "batch norm must directly follow a Linear to be folded into it")
        readers = [
            f for f, name in self.names.items() if name == source for _ in f.users
        ]  # one entry for every use of the Linear's value
        aliases = sum(name == source for name in self.names.values()) - 1
        if len(readers) - aliases != 1:
            raise self._refuse(n, "batch norm follows a Linear that is also read without it")
        scale, shift = (_array(value) for value in norm.scale_and_shift())
        bias = shift if dense.bias is None else scale * dense.bias + shift
        self.nodes[source] = replace(dense, weight=scale[:, None] * dense.weight, bias=bias)
        self.names[n] = source

    def _join(self, n: fx.Node, op: JoinOp, result: Any) -> None:
        operands = [self._source(n, argument) for argument in n.args]
        if op == "add":
            # Of two sides that mean the same, the longer way round is the branch.
            order = list(self.nodes)
            operands.sort(key=order.index, reverse=True)
        branch, shortcut = operands
        if self.env[n.args[0]].shape != self.env[n.args[1]].shape:  # pyright: ignore[reportArgumentType]
            raise self._refuse(n, "joins two signals of different shapes, must be the same")
        join = Join(self._name(n), op, result.shape[-1])
        self._add(n, join, {"branch": branch, "shortcut": shortcut}, result)

    def _readout(self, n: fx.Node, kind: ReadoutKind, source: str, result: Any) -> None:
        self.nodes["readout"] = Readout("readout", kind, result.shape[-1])
        self.edges.append(Edge(source, "readout"))
        self.names[n] = "readout"

    def _mean(self, n: fx.Node) -> None:
        self.divisor = float(len(self.env[n.args[0]]))  # pyright: ignore[reportArgumentType]

    def _add(self, n: fx.Node, node: FloatNode, ports: dict[str, str], result: Any) -> None:
        self._check_signal(n, result)
        self.nodes[node.name] = node
        self.edges += [Edge(source, node.name, port) for port, source in ports.items()]
        self.names[n] = node.name

    def _source(self, n: fx.Node, argument: Any) -> str:
        if not isinstance(argument, fx.Node):
            raise self._refuse(n, f"operand {argument!r} is a constant, must be a signal")
        name = self.names[argument]
        if isinstance(self.nodes[name], Readout):
            raise self._refuse(n, "reads the readout, which must be the module's output")
        if self._feeds_encoder(argument) and not isinstance(self._called(n), DirectEncoder):
            raise self._refuse(n, "reads the input beside its DirectEncoder, must read behind it")
        return name

    def _called(self, n: fx.Node) -> nn.Module | None:
        return self.fetch_attr(str(n.target)) if n.op == "call_module" else None

    def _feeds_encoder(self, n: fx.Node) -> bool:
        return n.op == "placeholder" and any(
            isinstance(self._called(user), DirectEncoder) for user in n.users
        )

    def _check_signal(self, n: fx.Node, value: Any, leading_time: bool = True) -> None:
        dimensions = 3 if leading_time else 2
        if not isinstance(value, Tensor) or value.dim() != dimensions:
            shape = list(value.shape) if isinstance(value, Tensor) else type(value).__name__
            must = "[T, B, N]" if leading_time else "[B, N]"
            raise self._refuse(n, f"{n.name} has shape {shape}, must be {must}")

    def _name(self, n: fx.Node, suffix: str = "") -> str:
        base = str(n.target) if n.op == "call_module" else n.name
        base = re.sub(r"\W", "_", base, flags=re.ASCII) + suffix
        base = base if base[0].isalpha() else f"layer{base}"
        name, count = base, 1
        while name in self.nodes or name in ("input", "readout"):
            count += 1
            name = f"{base}_{count}"
        return name

    def _refuse(self, n: fx.Node, why: str) -> GraphError:
        frames = re.findall(r'File "(.+)", line (\d+)', n.stack_trace or "")
        module = f"layer '{n.target}': " if n.op == "call_module" else ""
        return GraphError(f"{_last_user_line(frames)}{module}{why}")


def _array(value: Tensor) -> np.ndarray:
    return value.detach().cpu().numpy().astype(np.float64)


def _lif(name: str, module: LIF, size: int) -> FloatNeuron:
    learn = {"leak": module.learn_beta, "threshold": module.learn_threshold}
    return float_lif(
        name,
        size,
        _array(module.effective_beta()),
        _array(module.effective_threshold()),
        module.rule(),
        frozenset(what for what, learnt in learn.items() if learnt),
    )
