"""Quantisation-aware training: a module whose forward pass *is* the integer golden model.

Real-valued parameters are rounded to the network's integers in each forward pass, straight-
through; everything after that is exact integer arithmetic held in floating point. ``export``
copies those integers, so the trained module and the exported network agree bit for bit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from ..formats import IntArray
from ..golden import Probe
from ..graph import (
    FloatAffine,
    FloatConv2d,
    FloatDense,
    FloatGraph,
    FloatNeuron,
    GraphError,
)
from ..network import (
    Conv2d,
    Dense,
    Input,
    Network,
    NetworkError,
    Neuron,
    Node,
)
from ..nn.surrogate import ATan, FastSigmoid, Surrogate
from ..over_time import Seen, run_over_time
from ..quantiser import Quantised
from ..scales import Scales
from .nodes import Integers, Weighted, reach_of, weight_field
from .ops import round_through


class QATNetwork(nn.Module):
    """A network in training: ``[T, B, inputs]`` integers to real-valued scores ``[B, classes]``.

    Args:
        quantised: formats and scales, from :func:`reslif.sw.quantiser.plan`.
        graph: the real parameters it was planned from.
        surrogate: for every neuron; default atan(2) where a synapse has 4 bits or fewer, else
            each neuron's own from ``graph``.
        truncate: in training mode time is cut into parts of so many steps, between which no
            gradient flows (truncated BPTT); 0: one part.

    Neurons on a cycle, and all but the LIF, step through time in plain differentiable operations;
    LIF neurons elsewhere in one autograd function. Raises :class:`GraphError` if floating point
    cannot hold every integer that may occur (2^53).
    """

    def __init__(
        self,
        quantised: Quantised,
        graph: FloatGraph,
        surrogate: Surrogate | None = None,
        truncate: int = 0,
    ) -> None:
        super().__init__()
        self.truncate = truncate
        network = quantised.network
        synapses = (*network.nodes_of(Dense), *network.nodes_of(Conv2d))
        few_bits = any(node.weight_format.width <= 4 for node in synapses)
        self.surrogates: dict[str, Surrogate] = {}
        for node in graph.nodes:
            if isinstance(node, FloatDense | FloatConv2d):
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
        module.truncate = 0
        module.surrogates = {node.name: FastSigmoid() for node in network.nodes_of(Neuron)}
        ones = Scales({n.name: "1" for n in network.nodes}, {"1": 1.0}, {})
        for node in network.nodes:
            if isinstance(node, Weighted):
                what, form = weight_field(node)
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
        self._bias_limit, reach = reach_of(quantised.network)
        name, largest = max(reach.items(), key=lambda item: item[1])
        if largest >= 1 << 53:
            raise GraphError(
                f"node '{name}': its integers may reach {largest}, must stay below 2^53 to be "
                "exact in floating point (fewer bits, guard_bits or leak_shift)"
            )
        # Double precision only where it is needed: it costs several times as much.
        self.dtypes = {
            name: torch.float32 if most < 1 << 24 else torch.float64 for name, most in reach.items()
        }

    @property
    def dtype(self) -> torch.dtype:
        """The widest type that any node computes in."""
        return max(self.dtypes.values(), key=lambda dtype: torch.finfo(dtype).bits)

    def float_graph(self) -> FloatGraph:
        """The real parameters as they are now, from which to plan anew."""
        assert self._graph is not None  # a module made from a network has no graph
        nodes = []
        for node in self._graph.nodes:
            if isinstance(node, FloatDense | FloatConv2d):
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

    def integers(self, node: Weighted | Neuron) -> dict[str, Tensor]:
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
            what, form = weight_field(node)
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

    def _operand_scale(self, node: Weighted) -> float:
        """The scale of what a synapse or gain multiplies: 1 but for currents."""
        (edge,) = self.quantised.network.incoming(node.name, "input")
        if isinstance(self.quantised.network.by_name[edge.source], Input | Neuron):
            return 1.0
        return self.quantised.scales.of(edge.source)

    def export(self) -> Network:
        """The network of exactly the integers that the forward pass uses."""
        nodes: list[Node] = []
        with torch.no_grad():
            for node in self.quantised.network.nodes:
                if isinstance(node, Weighted | Neuron):
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
        # Rounded once, however many steps a loop takes.
        numbers = {
            node.name: {
                what: v.to(self.dtypes[node.name]) for what, v in self.integers(node).items()
            }
            for node in network.nodes
            if isinstance(node, Weighted | Neuron)
        }
        truncate = self.truncate if self.training else 0
        evaluator = Integers(network, numbers, self.surrogates, self.dtypes, truncate)
        seen = run_over_time(network, samples.to(self.dtypes[network.input.name]), evaluator)
        return {
            (node.name, what): value
            for node in network.order
            for what, value in _probes(node, seen[node.name]).items()
        }


def _probes(node: Node, shown: Seen) -> Seen:
    """What a node shows, by the golden model's names."""
    if isinstance(node, Neuron):
        return {what: shown[what] for what in node.quantities}
    (quantity,) = node.quantities
    return {quantity: shown["output"]}


def _numpy(value: Tensor | None) -> np.ndarray:
    assert value is not None
    return value.detach().cpu().numpy().astype(np.float64)


def _integer(value: Tensor) -> IntArray:
    return _numpy(value).astype(np.int64)
