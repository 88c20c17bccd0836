"""From a float graph to an integer network, without training."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import nn

from . import golden
from .formats import SPIKE, Format, IntArray
from .graph import FloatArray, FloatDense, FloatGraph, FloatLIF, GraphError, run_float
from .network import LIF, Dense, Network, Node
from .scales import Scales, search_scales, sent_fracs, symmetric_limit, weight_codes
from .tracing import from_torch


@dataclass(frozen=True)
class QuantiseConfig:
    """Widths of the integer network.

    Attributes:
        bits: weight bits of every synapse, 2 to 16; codes are symmetric, 2 bits are ternary.
        layer_bits: weight bits of single synapses, by node name, in place of ``bits``.
        guard_bits: fraction bits of a membrane beyond those of its current, because the floor
            leak is biased; None is the neuron's leak shift + 2, enough without training.
        leak_shift: n of ``leak / 2^n``; None is 4, or 8 where β is learnt, per neuron or no
            multiple of 1/16.
        membrane_bits: width of every membrane; None is, for each layer, the narrower of what
            holds every possible value and of twice the range seen in calibration.
    """

    bits: int = 4
    layer_bits: Mapping[str, int] = field(default_factory=dict)
    guard_bits: int | None = None
    leak_shift: int | None = None
    membrane_bits: int | None = None

    def __post_init__(self) -> None:
        for bits in (self.bits, *self.layer_bits.values()):
            if not 2 <= bits <= 16:
                raise GraphError(f"weight bits are {bits}, must be 2 to 16")
        if self.guard_bits is not None and not 0 <= self.guard_bits <= 16:
            raise GraphError(f"guard_bits is {self.guard_bits}, must be 0 to 16")


@dataclass(frozen=True, eq=False)
class Quantised:
    """An integer network and the real scales behind its integers."""

    network: Network
    scales: Scales


def quantise(
    model: FloatGraph | nn.Module,
    calibration: IntArray,
    config: QuantiseConfig | None = None,
    input_format: Format = SPIKE,
) -> Network:
    """The integer network of a float graph (or module, which is traced first), untrained.

    ``calibration`` holds typical inputs, ``[T, B, inputs]`` integers of ``input_format`` (of a
    graph: of its own input); T becomes ``max_steps``. Raises :class:`GraphError` for what cannot
    be quantised, NaN weights included.
    """
    if isinstance(model, nn.Module):
        real = torch.as_tensor(np.asarray(calibration, np.float64) * input_format.step)
        model = from_torch(model, real, input_format)
    return plan(model, calibration, config or QuantiseConfig()).network


def plan(graph: FloatGraph, calibration: IntArray, config: QuantiseConfig) -> Quantised:
    """As :func:`quantise`, with the scales."""
    synapses = [node for node in graph.nodes if isinstance(node, FloatDense)]
    if unknown := set(config.layer_bits) - {node.name for node in synapses}:
        raise GraphError(f"layer_bits names '{min(unknown)}', which is no synapse")
    bits = {node.name: config.layer_bits.get(node.name, config.bits) for node in synapses}
    scales = search_scales(graph, bits, input_moments(graph, calibration))
    fracs = sent_fracs(graph, scales.frac)
    nodes: list[Node] = []
    for node in graph.nodes:
        if isinstance(node, FloatDense):
            nodes.append(_dense(node, bits[node.name], scales, fracs))
        elif isinstance(node, FloatLIF):
            incoming = max(fracs[source] for source in graph.sources(node.name))
            nodes.append(_lif(node, scales.of(node.name), incoming, config))
        else:
            nodes.append(node)
    steps = len(calibration)
    wide = Network(tuple(nodes), graph.edges, steps)
    bounds = {node.name: _bound(wide, node) for node in wide.nodes_of(LIF)}
    wide = _with_membranes(wide, bounds)
    if config.membrane_bits is not None:
        widths = dict.fromkeys(bounds, config.membrane_bits)
    else:
        widths = _observed_widths(wide, calibration)
    notes = {
        "scales": {name: scales.of(name) for name in sorted(scales.group)},
        "membranes": {
            name: {
                "width": width,
                "bound": bounds[name],
                "from": _origin(config, width, bounds[name]),
            }
            for name, width in widths.items()
        },
    }
    network = replace(_with_membranes(wide, widths), notes=notes)
    return Quantised(network, scales)


def _origin(config: QuantiseConfig, width: int, bound: int) -> str:
    """Where a membrane's width comes from; below its ``bound`` it may saturate."""
    if config.membrane_bits is not None:
        return "recipe"
    return "bound" if width == bound else "calibration"


def input_moments(graph: FloatGraph, calibration: IntArray) -> dict[str, FloatArray]:
    """The second moment ``[inputs, inputs]`` of each synapse's input, run in floating point."""
    source_of = {
        node.name: graph.sources(node.name)[0]
        for node in graph.nodes
        if isinstance(node, FloatDense)
    }
    real = torch.as_tensor(np.asarray(calibration, np.float64) * graph.input.format.step)
    with torch.no_grad():
        _, seen = run_float(graph, real, sorted(set(source_of.values())))
    moments = {}
    for name in seen:
        x = seen[name].flatten(0, 1).numpy()
        moment = x.T @ x / len(x)
        # Inputs that calibration never saw must not make their weights free of error.
        moments[name] = moment + np.eye(len(moment)) * (
            0.01 * np.trace(moment) / len(moment) + 1e-9
        )
    return {name: moments[source] for name, source in source_of.items()}


def _dense(node: FloatDense, bits: int, scales: Scales, fracs: Mapping[str, int]) -> Dense:
    scale, frac = scales.of(node.name), scales.frac[node.name]
    codes = weight_codes(node.weight, scale * 2.0**-frac, symmetric_limit(bits))
    bias = None
    if node.bias is not None:
        bias = np.rint(node.bias / (scale * 2.0 ** -fracs[node.name])).astype(np.int64)
    return Dense(node.name, codes.astype(np.int64), Format(bits, frac), bias)


def _lif(node: FloatLIF, scale: float, incoming: int, config: QuantiseConfig) -> LIF:
    shift = _leak_shift(node) if config.leak_shift is None else config.leak_shift
    guard = shift + 2 if config.guard_bits is None else config.guard_bits
    membrane = Format(46, incoming + guard)
    threshold = np.maximum(np.rint(node.threshold / (scale * membrane.step)), 1)
    rule = node.rule
    return LIF(
        node.name,
        node.size,
        membrane,
        leak=np.clip(np.rint(node.beta * 2**shift), 0, 2**shift).astype(np.int64),
        leak_shift=shift,
        threshold=threshold.astype(np.int64),
        reset=rule.reset_mechanism,  # pyright: ignore[reportArgumentType]
        reset_delay=rule.reset_delay,
        strict=rule.strict,
        keep_input=rule.reset_keeps_input,
        inhibition=rule.inhibition,
    )


def _leak_shift(node: FloatLIF) -> int:
    sixteenths = node.beta * 16
    exact = node.beta.ndim == 0 and abs(sixteenths - np.rint(sixteenths)) < 1e-5
    return 4 if exact and not node.learn_beta else 8


def _bound(network: Network, node: LIF) -> int:
    """A width that no membrane of ``node`` leaves, from the integers of what feeds it."""
    current = 0
    for values in network.operands(node)["input"]:
        largest = max(abs(int(values.low.min())), abs(int(values.high.max())))
        current += largest << (node.membrane.frac - values.format.frac)
    whole = 1 << node.leak_shift
    # Σ_t (k/2^n)^t of a constant current; a floor takes 1 off in each step.
    steps = min(network.max_steps, whole / max(whole - int(node.leak.max()), 1e-9))
    reach = math.ceil((current + 1) * steps) + 2 * int(node.threshold.max())
    return reach.bit_length() + 1


def _observed_widths(network: Network, calibration: IntArray) -> dict[str, int]:
    """Widths for twice the range seen, twice the threshold, and no more than all that can be."""
    lifs = network.nodes_of(LIF)
    trace = golden.run(network, calibration, [(node.name, "membrane") for node in lifs])
    widths = {}
    for node in lifs:
        membrane = trace[node.name, "membrane"]
        threshold = int(node.threshold.max())
        # What is stored after an immediate reset was larger by θ (or was cleared) before it.
        high = int(membrane.max()) + (0 if node.reset_delay else threshold)
        form = Format.for_range(2 * min(int(membrane.min()), -1), 2 * max(high, threshold + 1))
        widths[node.name] = min(form.width, node.membrane.width)
    return widths


def _with_membranes(network: Network, widths: Mapping[str, int]) -> Network:
    nodes = tuple(
        replace(n, membrane=replace(n.membrane, width=widths[n.name])) if isinstance(n, LIF) else n
        for n in network.nodes
    )
    return Network(nodes, network.edges, network.max_steps, network.notes)
