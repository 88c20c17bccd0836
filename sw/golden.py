"""The integer golden model: it *defines* the result that training and hardware must equal.

Plain numpy, vectorised over the batch, one timestep after the other. ``docs/arithmetic.md``
states the same step in prose.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from .formats import IntArray
from .network import (
    LIF,
    Affine,
    Conv2d,
    Dense,
    Edge,
    Input,
    Join,
    Network,
    NetworkError,
    Neuron,
    Node,
    Pool,
    Readout,
)
from .neurons import Update
from .neurons.arithmetic import IntegerOps

Probe = tuple[str, str]
"""Node name and quantity, such as ``("lif1", "membrane")``."""


@dataclass(frozen=True, eq=False)
class Trace:
    """What a run of the golden model saw.

    ``scores`` are ``[B, classes]`` raw integers, ``classes`` are ``[B]``; ``probes`` maps (node,
    quantity) to ``[T, B, n]``; ``saturations`` counts clipped values by node.
    """

    scores: IntArray
    classes: IntArray
    probes: dict[Probe, IntArray]
    saturations: dict[str, int]

    def __getitem__(self, probe: Probe) -> IntArray:
        return self.probes[probe]


def all_probes(network: Network) -> tuple[Probe, ...]:
    """Every quantity of every node."""
    return tuple((node.name, what) for node in network.order for what in node.quantities)


@dataclass
class _Run:
    network: Network
    batch: int
    states: dict[str, dict[str, IntArray]] = field(default_factory=dict)
    """The state of each neuron, with its last ``spike`` sent."""
    scores: IntArray | None = None
    saturations: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for node in self.network.nodes_of(Neuron):
            zero = np.zeros((self.batch, node.size), np.int64)
            self.states[node.name] = dict.fromkeys((*node.states, "fired", "spike"), zero)
            self.saturations[node.name] = 0
        for node in self.network.nodes_of(Join):
            self.saturations[node.name] = 0


def run(network: Network, samples: npt.ArrayLike, probes: Collection[Probe] | None = ()) -> Trace:
    """Run ``samples`` (``[T, B, inputs]`` integers) through ``network``.

    ``probes`` names what to record; ``None`` records everything. Raises :class:`NetworkError`
    if the samples do not fit the network's input.
    """
    data = checked_samples(network, samples)
    wanted = set(all_probes(network) if probes is None else probes)
    if unknown := wanted - set(all_probes(network)):
        node, what = min(unknown)
        raise NetworkError(f"probe {node}.{what} does not exist in this network")
    state = _Run(network, data.shape[1])
    recorded: dict[Probe, list[IntArray]] = {probe: [] for probe in wanted}
    for t, step in enumerate(data):
        for probe, value in _step(state, step, t).items():
            if probe in wanted:
                recorded[probe].append(value)
    scores = state.scores
    assert scores is not None  # data holds at least one timestep
    return Trace(
        scores,
        np.argmax(scores, axis=1).astype(np.int64),
        {probe: np.stack(values) for probe, values in recorded.items()},
        state.saturations,
    )


def checked_samples(network: Network, samples: npt.ArrayLike) -> IntArray:
    """``samples`` as int64 ``[T, B, inputs]``, or an error that says why they do not fit."""
    data = np.asarray(samples)
    node = network.input
    if data.ndim != 3 or data.shape[2] != node.size or 0 in data.shape:
        raise NetworkError(
            f"samples have shape {list(data.shape)}, must be [T, B, {node.size}] and not empty"
        )
    if data.dtype.kind not in "iub":
        raise NetworkError(f"samples are {data.dtype}, must be integers")
    if data.shape[0] > network.max_steps:
        raise NetworkError(
            f"samples have {data.shape[0]} timesteps, must have at most {network.max_steps}"
        )
    if not node.format.contains(data):
        raise NetworkError(
            f"samples span {data.min()} to {data.max()}, must fit the input's {node.format}"
        )
    return data.astype(np.int64)


def _step(run: _Run, data: IntArray, t: int) -> dict[Probe, IntArray]:
    network = run.network
    out: dict[str, IntArray] = {}
    seen: dict[Probe, IntArray] = {}
    previous = dict(run.states)

    def carried(edge: Edge) -> IntArray:
        states = previous if edge.delay else run.states
        if network.carries_membrane(edge):
            return states[edge.source]["membrane"]
        return states[edge.source]["spike"] if edge.delay else out[edge.source]

    def arriving(node: Node, port: str) -> list[tuple[IntArray, int]]:
        """The operands of a port and their binary points."""
        return [
            (carried(edge), network.carried(edge).format.frac)
            for edge in network.incoming(node.name, port)
        ]

    for node in network.order:
        name = node.name
        if isinstance(node, Input):
            out[name] = seen[name, "spike"] = data
        elif isinstance(node, Dense):
            ((spikes, _),) = arriving(node, "input")
            out[name] = seen[name, "current"] = dense_step(node, spikes)
        elif isinstance(node, Conv2d):
            ((spikes, _),) = arriving(node, "input")
            out[name] = seen[name, "current"] = conv_step(node, spikes)
        elif isinstance(node, Pool):
            ((value, _),) = arriving(node, "input")
            out[name] = seen[name, "value"] = node.apply(value)
        elif isinstance(node, Join):
            ((branch, branch_frac),) = arriving(node, "branch")
            ((shortcut, shortcut_frac),) = arriving(node, "shortcut")
            value, clipped = join_step(node, branch, branch_frac, shortcut, shortcut_frac)
            run.saturations[name] += clipped
            out[name] = seen[name, "value"] = value
        elif isinstance(node, Affine):
            ((value, _),) = arriving(node, "input")
            out[name] = seen[name, "value"] = affine_step(node, value, t)
        elif isinstance(node, Neuron):
            current = np.zeros((run.batch, node.INPUTS * node.size), np.int64)
            for value, frac in arriving(node, "input"):
                current = current + (value << (node.current_frac - frac))
            out[name] = _neuron(run, node, current)
            seen[name, "current"] = current
            for state in node.states:
                seen[name, state] = run.states[name][state]
            seen[name, "spike"] = out[name]
        else:
            ((source, _),) = arriving(node, "input")
            run.scores = readout_step(node, run.scores, source)
            seen[name, "score"] = run.scores
    return seen


def dense_step(node: Dense, spikes: IntArray) -> IntArray:
    """``[B, inputs]`` spikes to ``[B, n]`` currents, exact."""
    # float64 is exact below 2**53 and runs on BLAS; the bound is on every partial sum.
    bound = int(np.abs(node.weight).sum(axis=1).max()) * int(np.abs(spikes).max(initial=0))
    if bound < 1 << 53:
        current = (spikes.astype(np.float64) @ node.weight.T.astype(np.float64)).astype(np.int64)
    else:
        current = spikes @ node.weight.T
    return current if node.bias is None else current + node.bias


def conv_step(node: Conv2d, spikes: IntArray) -> IntArray:
    """``[B, inputs]`` spikes to ``[B, n]`` currents, exact."""
    bound = node.reach * int(np.abs(spikes).max(initial=0))
    # As for a dense synapse; half the bits suffice for most feature maps.
    dtype = np.float32 if bound < 1 << 24 else np.float64 if bound < 1 << 53 else np.int64
    current = node.apply(spikes.astype(dtype), node.weight.astype(dtype))
    return current.astype(np.int64) + node.everywhere


def join_step(
    node: Join, branch: IntArray, branch_frac: int, shortcut: IntArray, shortcut_frac: int
) -> tuple[IntArray, int]:
    """The join of two ``[B, n]`` operands, and how many values a declared format clipped."""
    if node.op == "add":
        frac = max(branch_frac, shortcut_frac)
        value = (branch << (frac - branch_frac)) + (shortcut << (frac - shortcut_frac))
    elif node.op == "and":
        frac = branch_frac + shortcut_frac
        value = branch * shortcut
    elif node.op == "iand":
        frac = shortcut_frac
        value = np.where(branch != 0, 0, shortcut)
    else:
        frac = 0
        value = np.minimum(branch + shortcut, 1)
    if node.format is None:
        return value, 0
    return node.format.saturate(value >> (frac - node.format.frac))


def affine_step(node: Affine, value: IntArray, t: int) -> IntArray:
    """``[B, n]`` values of timestep ``t`` with their gain and bias."""
    result = value * (node.gain[t] if node.gain.ndim == 2 else node.gain)
    if node.bias is None:
        return result
    return result + (node.bias[t] if node.bias.ndim == 2 else node.bias)


def _neuron(run: _Run, node: Neuron, current: IntArray) -> IntArray:
    update, clipped = neuron_step(node, run.states[node.name], current)
    run.saturations[node.name] += clipped
    spike = update.fired
    if node.inhibition:
        winner = np.argmax(update.margin, axis=1)
        spike = spike * (np.arange(node.size) == winner[:, None])
    run.states[node.name] = update.state | {"fired": update.fired, "spike": spike}
    return spike


def neuron_step(
    node: Neuron, state: Mapping[str, IntArray], current: IntArray
) -> tuple[Update, int]:
    """One step of ``node``, and how many values it clipped.

    ``state`` holds the node's state variables and ``fired`` (0 or 1), all ``[B, n]``; ``current``
    ``[B, n]`` (of an LSTM ``[B, 4n]``) lies on the grid of ``node.current_frac``.
    """
    ops = IntegerOps()
    return node.step(ops, node.numbers, state, current), ops.clipped


def lif_step(
    node: LIF, membrane: IntArray, fired: npt.NDArray[np.bool_], current: IntArray
) -> tuple[IntArray, npt.NDArray[np.bool_], IntArray, int]:
    """One LIF step: new membrane ``u``, fire ``f``, saturated ``v``, and the clipped count."""
    state = {"membrane": membrane, "fired": fired.astype(np.int64)}
    update, clipped = neuron_step(node, state, current)
    value = update.margin + node.threshold
    return update.state["membrane"], update.fired.astype(bool), value, clipped


def readout_step(node: Readout, scores: IntArray | None, source: IntArray) -> IntArray:
    """The scores after one more timestep; ``scores`` is None before the first."""
    if scores is None or node.kind == "last_membrane":
        return source.copy()
    if node.kind == "max_membrane":
        return np.maximum(scores, source)
    return scores + source
