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

from .formats import IntArray
from .golden import Probe
from .graph import FloatDense, FloatGraph, FloatLIF, GraphError
from .network import LIF, Dense, Input, Join, Network, NetworkError, Node
from .nn.surrogate import ATan, FastSigmoid, Surrogate
from .qat_lif import run_integer_lif
from .qat_ops import join_through, round_through, score_over_time
from .quantiser import Quantised
from .scales import Scales


class QATNetwork(nn.Module):
    """A network in training: ``[T, B, inputs]`` integers to real-valued scores ``[B, classes]``.

    Args:
        quantised: formats and scales, from :func:`reslif.sw.quantiser.plan`.
        graph: the real parameters it was planned from.
        surrogate: for every neuron; default atan(2) where a synapse has 4 bits or fewer, else
            each neuron's own from ``graph``.

    Raises :class:`GraphError` for recurrent networks, and if floating point cannot hold every
    integer that may occur (2^53).
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
                self._own(node.name, "weight", node.weight, learn=True)
                if node.bias is not None:
                    self._own(node.name, "bias", node.bias, learn=True)
            elif isinstance(node, FloatLIF):
                self._own(node.name, "beta", node.beta, node.learn_beta)
                self._own(node.name, "threshold", node.threshold, node.learn_threshold)
                own = ATan() if few_bits else node.rule.surrogate
                self.surrogates[node.name] = surrogate or own
        self._graph = graph
        self.replan(quantised)

    @classmethod
    def of_network(cls, network: Network) -> QATNetwork:
        """A finished network in trainable form: its integers are the parameters."""
        module = cls.__new__(cls)
        nn.Module.__init__(module)
        module.surrogates = {node.name: FastSigmoid() for node in network.nodes_of(LIF)}
        ones = Scales({n.name: "1" for n in network.nodes}, {"1": 1.0}, {})
        for node in network.nodes_of(Dense):
            unit = node.weight_format.step
            module._own(node.name, "weight", node.weight * unit, learn=True)
            if node.bias is not None:
                unit = network.values[node.name].format.step
                module._own(node.name, "bias", node.bias * unit, learn=True)
        for node in network.nodes_of(LIF):
            module._own(node.name, "beta", node.leak * 2.0**-node.leak_shift, learn=False)
            threshold = node.threshold * node.membrane.step
            module._own(node.name, "threshold", threshold, learn=False)
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
        if any(edge.delay for edge in quantised.network.edges):
            raise GraphError("the network is recurrent, which quantised training cannot do")
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
            elif isinstance(node, FloatLIF):
                beta, threshold = self._real(node.name, "beta"), self._real(node.name, "threshold")
                node = replace(
                    node,
                    beta=np.clip(_numpy(beta), 0, 1),
                    threshold=np.maximum(_numpy(threshold), 1e-3),
                )
            nodes.append(node)
        return replace(self._graph, nodes=tuple(nodes))

    def integers(self, node: Dense | LIF) -> dict[str, Tensor]:
        """The integers (in float64) that the forward pass uses for ``node``, by field."""
        network, scale = self.quantised.network, self.quantised.scales.of(node.name)

        def rounded(what: str, unit: float, low: int, high: int) -> Tensor | None:
            real = self._real(node.name, what)
            return None if real is None else round_through(real / unit).clamp(low, high)

        if isinstance(node, Dense):
            form = node.weight_format
            # Codes are symmetric, but a finished network may use its format's minimum.
            low = form.min if self._graph is None else -form.max
            bias_limit = self._bias_limit[node.name]
            values = {
                "weight": rounded("weight", scale * form.step, low, form.max),
                "bias": rounded(
                    "bias", scale * network.values[node.name].format.step, -bias_limit, bias_limit
                ),
            }
        else:
            whole = 1 << node.leak_shift
            values = {
                "leak": rounded("beta", 1 / whole, 0, whole),
                "threshold": rounded(
                    "threshold", scale * node.membrane.step, 1, node.membrane.max - 1
                ),
            }
        return {what: value for what, value in values.items() if value is not None}

    def export(self) -> Network:
        """The network of exactly the integers that the forward pass uses."""
        nodes: list[Node] = []
        with torch.no_grad():
            for node in self.quantised.network.nodes:
                if isinstance(node, Dense | LIF):
                    values = self.integers(node)
                    node = replace(node, **{k: _integer(v) for k, v in values.items()})
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
        if isinstance(source, LIF) and not network.readout.reads_membrane:
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
        seen: dict[Probe, Tensor] = {}
        out: dict[str, Tensor] = {}

        def arriving(node: Node, port: str) -> list[tuple[Tensor, int]]:
            return [
                (out[edge.source], network.values[edge.source].format.frac)
                for edge in network.incoming(node.name, port)
            ]

        for node in network.order:
            name = node.name
            if isinstance(node, Input):
                out[name] = seen[name, "spike"] = samples.to(self.dtype)
                continue
            if isinstance(node, Join):
                ((branch, at_branch),) = arriving(node, "branch")
                ((shortcut, at_shortcut),) = arriving(node, "shortcut")
                out[name] = join_through(node, branch, at_branch, shortcut, at_shortcut)
                seen[name, "value"] = out[name]
            elif isinstance(node, Dense):
                ((spikes, _),) = arriving(node, "input")
                numbers = {k: v.to(self.dtype) for k, v in self.integers(node).items()}
                out[name] = nn.functional.linear(spikes, numbers["weight"], numbers.get("bias"))
                seen[name, "current"] = out[name]
            elif isinstance(node, LIF):
                numbers = {k: v.to(self.dtype) for k, v in self.integers(node).items()}
                current = torch.zeros((), dtype=self.dtype, device=samples.device)
                for value, frac in arriving(node, "input"):
                    current = current + value * 2.0 ** (node.membrane.frac - frac)
                seen[name, "current"] = current
                out[name], seen[name, "membrane"] = run_integer_lif(
                    current, numbers["leak"], numbers["threshold"], node, self.surrogates[name]
                )
                seen[name, "spike"] = out[name]
            else:
                (edge,) = network.incoming(name, "input")
                source = seen[edge.source, "membrane"] if node.reads_membrane else out[edge.source]
                seen[name, "score"] = score_over_time(node, source)
        return seen


def _reach(network: Network) -> tuple[dict[str, int], int]:
    """Limits for biases by synapse, and what no integer can then exceed, whatever the weights."""
    magnitude: dict[str, int] = {}
    bias_limit: dict[str, int] = {}
    largest = 0
    fracs = {name: values.format.frac for name, values in network.values.items()}
    for node in network.order:
        name = node.name
        sources = [
            (magnitude[e.source], fracs[e.source])
            for port in node.ports
            for e in network.incoming(name, port)
        ]
        if isinstance(node, Input):
            magnitude[name] = max(-node.format.min, node.format.max)
        elif isinstance(node, Dense):
            bound = -node.weight_format.min * node.inputs * sources[0][0]
            bias = 0 if node.bias is None else int(np.abs(node.bias).max())
            # Training may move a bias, but has no use for one that drowns its synapses.
            bias_limit[name] = max(2 * bias, bound)
            magnitude[name] = bound + bias_limit[name]
        elif isinstance(node, LIF):
            current = sum(size << (node.membrane.frac - frac) for size, frac in sources)
            stored = 2 * -node.membrane.min
            largest = max(largest, current + stored, stored << node.leak_shift)
            magnitude[name] = 1
        elif isinstance(node, Join):
            frac = max(frac for _, frac in sources)
            if node.op == "and":
                magnitude[name] = sources[0][0] * sources[1][0]
            else:
                magnitude[name] = sum(size << (frac - at) for size, at in sources)
            if node.format is not None:
                largest = max(largest, magnitude[name])
                magnitude[name] = max(-node.format.min, node.format.max)
        elif node.reads_membrane:
            continue
        else:
            magnitude[name] = sources[0][0] * network.max_steps
        largest = max(largest, magnitude[name])
    return bias_limit, largest


def _numpy(value: Tensor | None) -> np.ndarray:
    assert value is not None
    return value.detach().cpu().numpy().astype(np.float64)


def _integer(value: Tensor) -> IntArray:
    return _numpy(value).astype(np.int64)
