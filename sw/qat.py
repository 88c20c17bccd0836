"""Quantisation-aware training: a module whose forward pass *is* the integer golden model.

Real-valued parameters are rounded to the network's integers in each forward pass, straight-
through; everything after that is exact integer arithmetic held in floating point. ``export``
copies those integers, so the trained module and the exported network agree bit for bit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from .formats import Format, IntArray
from .golden import Probe
from .graph import (
    FloatAffine,
    FloatDense,
    FloatGraph,
    FloatNeuron,
    GraphError,
    neuron_step,
    over_steps,
)
from .network import (
    LIF,
    Affine,
    Dense,
    Edge,
    Input,
    Join,
    Network,
    NetworkError,
    Neuron,
    Node,
    Readout,
)
from .nn.surrogate import ATan, FastSigmoid, Surrogate
from .over_time import Seen, run_over_time
from .qat_lif import run_integer_lif
from .qat_ops import ThroughOps, join_through, round_through, score_over_time
from .quantiser import Quantised
from .scales import Scales


class QATNetwork(nn.Module):
    """A network in training: ``[T, B, inputs]`` integers to real-valued scores ``[B, classes]``.

    Args:
        quantised: formats and scales, from :func:`reslif.sw.quantiser.plan`.
        graph: the real parameters it was planned from.
        surrogate: for every neuron; default atan(2) where a synapse has 4 bits or fewer, else
            each neuron's own from ``graph``.

    Neurons on a cycle, and all but the LIF, step through time in plain differentiable operations;
    LIF neurons elsewhere in one autograd function. Raises :class:`GraphError` if floating point
    cannot hold every integer that may occur (2^53).
    """

    def __init__(
        self, quantised: Quantised, graph: FloatGraph, surrogate: Surrogate | None = None
    ) -> None:
        super().__init__()
        network = quantised.network
        few_bits = any(node.weight_format.width <= 4 for node in network.nodes_of(Dense))
        self.surrogates: dict[str, Surrogate] = {}
        for node in graph.nodes:
            if isinstance(node, FloatDense):
                self._own(node.name, "weight", node.weight, node.learn)
                if node.bias is not None:
                    self._own(node.name, "bias", node.bias, node.learn)
            elif isinstance(node, FloatAffine):
                self._own(node.name, "gain", node.gain, learn=True)
                if node.bias is not None:
                    self._own(node.name, "bias", node.bias, learn=True)
            elif isinstance(node, FloatNeuron):
                for what, value in node.numbers.items():
                    self._own(node.name, what, value, what in node.learn)
                own = ATan() if few_bits else node.surrogate
                self.surrogates[node.name] = surrogate or own
        self._graph = graph
        self.replan(quantised)

    @classmethod
    def of_network(cls, network: Network) -> QATNetwork:
        """A finished network in trainable form: its integers are the parameters."""
        module = cls.__new__(cls)
        nn.Module.__init__(module)
        module.surrogates = {node.name: FastSigmoid() for node in network.nodes_of(Neuron)}
        ones = Scales({n.name: "1" for n in network.nodes}, {"1": 1.0}, {})
        for node in network.nodes:
            if isinstance(node, Dense | Affine):
                what, form = _weight_field(node)
                module._own(node.name, what, getattr(node, what) * form.step, learn=True)
                if node.bias is not None:
                    unit = network.values[node.name].format.step
                    module._own(node.name, "bias", node.bias * unit, learn=True)
            elif isinstance(node, Neuron):
                for what, value in node.numbers.items():
                    module._own(node.name, what, value * node.unit(what, 1.0), learn=False)
        module._graph = None
        module.replan(Quantised(network, ones))
        return module

    def _own(self, node: str, what: str, value: np.ndarray, learn: bool) -> None:
        # Double precision: rounding then agrees with numpy's, and parameters are few.
        tensor = torch.tensor(np.asarray(value, np.float64))
        if learn:
            self.register_parameter(f"{node}__{what}", nn.Parameter(tensor))
        else:
            self.register_buffer(f"{node}__{what}", tensor)

    def _real(self, node: str, what: str) -> Tensor | None:
        return getattr(self, f"{node}__{what}", None)

    def replan(self, quantised: Quantised) -> None:
        """Take over new formats and scales for the same graph; parameters stay as they are."""
        self.quantised = quantised
        self._bias_limit, largest = _reach(quantised.network)
        if largest >= 1 << 53:
            raise GraphError(f"values reach {largest}, floating point is exact below 2^53 only")
        self.dtype = torch.float32 if largest < 1 << 24 else torch.float64

    def float_graph(self) -> FloatGraph:
        """The real parameters as they are now, from which to plan anew."""
        assert self._graph is not None  # a module made from a network has no graph
        nodes = []
        for node in self._graph.nodes:
            if isinstance(node, FloatDense):
                bias = self._real(node.name, "bias")
                node = replace(
                    node,
                    weight=_numpy(self._real(node.name, "weight")),
                    bias=None if bias is None else _numpy(bias),
                )
            elif isinstance(node, FloatAffine):
                bias = self._real(node.name, "bias")
                node = replace(
                    node,
                    gain=_numpy(self._real(node.name, "gain")),
                    bias=None if bias is None else _numpy(bias),
                )
            elif isinstance(node, FloatNeuron):
                numbers = {}
                for what in node.numbers:
                    kind = node.template.NUMBERS[what]
                    low = {"leak": 0.0, "increment": 0.0}.get(kind, 1e-3)
                    high = 1.0 if kind == "leak" else np.inf
                    numbers[what] = np.clip(_numpy(self._real(node.name, what)), low, high)
                node = replace(node, numbers=numbers)
            nodes.append(node)
        return replace(self._graph, nodes=tuple(nodes))

    def integers(self, node: Dense | Affine | Neuron) -> dict[str, Tensor]:
        """The integers (in float64) that the forward pass uses for ``node``, by field."""
        network, scales = self.quantised.network, self.quantised.scales
        scale = scales.of(node.name)

        def rounded(what: str, unit: float, low: int, high: int) -> Tensor | None:
            real = self._real(node.name, what)
            return None if real is None else round_through(real / unit).clamp(low, high)

        if isinstance(node, Neuron):
            values = {
                what: rounded(what, node.unit(what, scale), *node.limits(what))
                for what in node.NUMBERS
            }
        else:
            what, form = _weight_field(node)
            # Codes are symmetric, but a finished network may use its format's minimum.
            low = form.min if self._graph is None else -form.max
            bias_limit = self._bias_limit[node.name]
            unit = scale / self._operand_scale(node)
            values = {
                what: rounded(what, unit * form.step, low, form.max),
                "bias": rounded(
                    "bias", scale * network.values[node.name].format.step, -bias_limit, bias_limit
                ),
            }
        return {what: value for what, value in values.items() if value is not None}

    def _operand_scale(self, node: Dense | Affine) -> float:
        """The scale of what a synapse or gain multiplies: 1 but for a gain of currents."""
        (edge,) = self.quantised.network.incoming(node.name, "input")
        source = self.quantised.network.by_name[edge.source]
        if isinstance(node, Dense) or isinstance(source, Input | Neuron):
            return 1.0
        return self.quantised.scales.of(edge.source)

    def export(self) -> Network:
        """The network of exactly the integers that the forward pass uses."""
        nodes: list[Node] = []
        with torch.no_grad():
            for node in self.quantised.network.nodes:
                if isinstance(node, Dense | Affine | Neuron):
                    values = {k: _integer(v) for k, v in self.integers(node).items()}
                    node = replace(node, **values)  # pyright: ignore[reportArgumentType]
                nodes.append(node)
        return replace(self.quantised.network, nodes=tuple(nodes))

    def forward(self, samples: Tensor) -> Tensor:
        """Scores in real units; see the class."""
        return self.scores(self.run(samples))

    def scores(self, values: Mapping[Probe, Tensor]) -> Tensor:
        """The final scores of a :meth:`run`, in real units, ``[B, classes]``."""
        network = self.quantised.network
        name = network.readout.name
        (edge,) = network.incoming(name, "input")
        source = network.by_name[edge.source]
        scale = self.quantised.scales.of(edge.source)
        if isinstance(source, Neuron) and not network.carries_membrane(edge):
            scale = 1.0
        return values[name, "score"][-1] * (scale * network.scores.format.step)

    def run(self, samples: Tensor) -> dict[Probe, Tensor]:
        """Every quantity of every node, ``[T, B, n]``, as the golden model's probes name them.

        ``samples`` are the network's raw integers ``[T, B, inputs]``, of any type.
        """
        network = self.quantised.network
        form = network.input.format
        if torch.is_autocast_enabled(samples.device.type):
            raise GraphError("autocast is on, quantised training must compute in full precision")
        if torch.get_float32_matmul_precision() != "highest":
            raise GraphError(
                f"float32 matmul precision is {torch.get_float32_matmul_precision()!r}, "
                "quantised training must have 'highest'"
            )
        if samples.dim() != 3 or samples.shape[2] != network.input.size or 0 in samples.shape:
            raise NetworkError(
                f"samples have shape {list(samples.shape)}, must be [T, B, {network.input.size}]"
            )
        if samples.shape[0] > network.max_steps:
            raise NetworkError(
                f"samples have {samples.shape[0]} timesteps, must have at most {network.max_steps}"
            )
        if samples.min() < form.min or samples.max() > form.max:
            raise NetworkError(f"samples leave the input's format {form}")
        seen = run_over_time(network, samples.to(self.dtype), _Integers(self))
        return {
            (node.name, what): value
            for node in network.order
            for what, value in _probes(node, seen[node.name]).items()
        }


def _weight_field(node: Dense | Affine) -> tuple[str, Format]:
    """The field of a node that multiplies, and its format."""
    if isinstance(node, Dense):
        return "weight", node.weight_format
    return "gain", node.gain_format


def _probes(node: Node, shown: Seen) -> Seen:
    """What a node shows, by the golden model's names."""
    if isinstance(node, Neuron):
        return {what: shown[what] for what in node.quantities}
    (quantity,) = node.quantities
    return {quantity: shown["output"]}


class _Integers:
    """Evaluates the nodes of a network in training, in integers held in floating point."""

    def __init__(self, module: QATNetwork) -> None:
        self.network = module.quantised.network
        self.surrogates = module.surrogates
        # Rounded once, however many steps a loop takes.
        self.numbers = {
            node.name: {k: v.to(module.dtype) for k, v in module.integers(node).items()}
            for node in self.network.nodes
            if isinstance(node, Dense | Affine | Neuron)
        }

    def block(self, node: Node, operands: Mapping[str, Sequence[tuple[Edge, Tensor]]]) -> Seen:
        if isinstance(node, LIF) and not node.rectify:
            current, numbers = self.total(node, operands), self.numbers[node.name]
            spikes, membrane = run_integer_lif(
                current, numbers["leak"], numbers["threshold"], node, self.surrogates[node.name]
            )
            return {"current": current, "membrane": membrane, "spike": spikes, "output": spikes}
        if isinstance(node, Neuron):
            current, memory = self.total(node, operands), {}
            steps = [self.neuron(node, now, memory) for now in current]
            return {what: torch.stack([step[what] for step in steps]) for what in steps[0]}
        if isinstance(node, Readout):
            ((_, source),) = operands["input"]
            return {"output": score_over_time(node, source)}
        return self.stateless(node, operands, None)

    def step(
        self,
        node: Node,
        operands: Mapping[str, Sequence[tuple[Edge, Tensor]]],
        memory: dict[str, Tensor],
        t: int,
    ) -> Seen:
        if isinstance(node, Neuron):
            return self.neuron(node, self.total(node, operands), memory)
        return self.stateless(node, operands, t)

    def total(self, node: Neuron, operands: Mapping[str, Sequence[tuple[Edge, Tensor]]]) -> Tensor:
        """The sum of the currents, on the neuron's grid."""
        current: Tensor | float = 0.0
        for edge, value in operands["input"]:
            current = current + value * 2.0 ** (node.current_frac - self.frac(edge))
        assert isinstance(current, Tensor)
        return current

    def frac(self, edge: Edge) -> int:
        return self.network.carried(edge).format.frac

    def neuron(self, node: Neuron, current: Tensor, memory: dict[str, Tensor]) -> Seen:
        ops = ThroughOps(self.surrogates[node.name])
        return neuron_step(node, ops, self.numbers[node.name], current, memory)

    def stateless(
        self, node: Node, operands: Mapping[str, Sequence[tuple[Edge, Tensor]]], t: int | None
    ) -> Seen:
        if isinstance(node, Join):
            ((into, branch),), ((across, shortcut),) = operands["branch"], operands["shortcut"]
            value = join_through(node, branch, self.frac(into), shortcut, self.frac(across))
            return {"output": value}
        ((_, source),) = operands["input"]
        numbers = self.numbers[node.name]
        if isinstance(node, Dense):
            value = nn.functional.linear(source, numbers["weight"], numbers.get("bias"))
            return {"output": value}
        value = source * over_steps(numbers["gain"], t, len(source))
        if "bias" in numbers:
            value = value + over_steps(numbers["bias"], t, len(source))
        return {"output": value}


def _reach(network: Network) -> tuple[dict[str, int], int]:
    """Limits for biases by synapse, and what no integer can then exceed, whatever the weights."""
    magnitude = {node.name: 1 for node in network.nodes_of(Neuron)}
    bias_limit: dict[str, int] = {}
    largest = 0

    def arriving(edge: Edge) -> int:
        source = network.by_name[edge.source]
        if isinstance(source, Neuron) and network.carries_membrane(edge):
            return -source.membrane.min
        return magnitude[edge.source]

    for node in network.order:
        name = node.name
        sources = [
            (arriving(e), network.carried(e).format.frac)
            for port in node.ports
            for e in network.incoming(name, port)
        ]
        if isinstance(node, Input):
            magnitude[name] = max(-node.format.min, node.format.max)
        elif isinstance(node, Dense | Affine):
            _, form = _weight_field(node)
            terms = node.inputs if isinstance(node, Dense) else 1
            bound = max(-form.min, form.max) * terms * sources[0][0]
            bias = 0 if node.bias is None else int(np.abs(node.bias).max())
            # Training may move a bias, but has no use for one that drowns its synapses.
            bias_limit[name] = max(2 * bias, bound)
            magnitude[name] = bound + bias_limit[name]
        elif isinstance(node, Neuron):
            current = sum(size << (node.current_frac - frac) for size, frac in sources)
            largest = max(largest, node.reach(current))
        elif isinstance(node, Join):
            frac = max(frac for _, frac in sources)
            if node.op == "and":
                magnitude[name] = sources[0][0] * sources[1][0]
            else:
                magnitude[name] = sum(size << (frac - at) for size, at in sources)
            if node.format is not None:
                largest = max(largest, magnitude[name])
                magnitude[name] = max(-node.format.min, node.format.max)
        elif isinstance(node, Readout):
            steps = network.max_steps if node.kind in ("count", "sum_current") else 1
            magnitude[name] = sources[0][0] * steps
        largest = max(largest, magnitude[name])
    return bias_limit, largest


def _numpy(value: Tensor | None) -> np.ndarray:
    assert value is not None
    return value.detach().cpu().numpy().astype(np.float64)


def _integer(value: Tensor) -> IntArray:
    return _numpy(value).astype(np.int64)
