"""The verdict: what the hardware did against what the golden model says, value by value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..sw.formats import IntArray
from ..sw.golden import Probe, Trace
from ..sw.network import Network, Neuron
from .errors import SimulationError


@dataclass(frozen=True)
class Mismatch:
    """The first value, in the order of cause and effect, that the hardware got wrong.

    ``count`` values differ in all, in the probes that ``probes`` names.
    """

    node: str
    quantity: str
    sample: int
    step: int
    neuron: int
    expected: int
    found: int
    count: int
    probes: tuple[str, ...]

    def __str__(self) -> str:
        return (
            f"node '{self.node}' {self.quantity}, sample {self.sample}, timestep {self.step}, "
            f"neuron {self.neuron}: expected {self.expected}, found {self.found} "
            f"({self.count} values differ, in {', '.join(self.probes)})"
        )


def first_mismatch(
    network: Network, recorded: Mapping[Probe, IntArray], trace: Trace
) -> Mismatch | None:
    """Compare every recorded ``[T, B, n]`` with ``trace``.

    The first mismatch is that of the lowest sample, then timestep, then node in the order of the
    network: the place where it began, not the places it spread to.
    """
    best: tuple[tuple[int, int, int, int, int], Probe] | None = None
    count, wrong = 0, []
    rank = {node.name: number for number, node in enumerate(network.order)}
    for probe, found in recorded.items():
        node, quantity = probe
        differs = found != trace[probe]
        here = int(np.count_nonzero(differs))
        if not here:
            continue
        count += here
        wrong.append(f"{node}.{quantity}")
        places = np.argwhere(differs)
        step, sample, neuron = places[np.lexsort((places[:, 2], places[:, 0], places[:, 1]))[0]]
        within = network.by_name[node].quantities.index(quantity)
        key = (int(sample), int(step), rank[node], within, int(neuron))
        if best is None or key < best[0]:
            best = key, probe
    if best is None:
        return None
    (sample, step, _, _, neuron), probe = best
    return Mismatch(
        *probe,
        sample=sample,
        step=step,
        neuron=neuron,
        expected=int(trace[probe][step, sample, neuron]),
        found=int(recorded[probe][step, sample, neuron]),
        count=count,
        probes=tuple(wrong),
    )


def check_outputs(
    scores: IntArray, classes: IntArray, trace: Trace, first: int = 0, *, probed: bool = True
) -> None:
    """Raise :class:`SimulationError` unless ``[B, classes]`` scores and ``[B]`` classes agree.

    ``first`` is the number by which the message calls the first sample; ``probed`` if all probes
    were compared before.
    """
    wrong = (scores != trace.scores).any(axis=1) | (classes != trace.classes)
    if wrong.any():
        one = int(np.argmax(wrong))
        raise SimulationError(
            f"output of sample {one + first}: expected scores {trace.scores[one].tolist()} and "
            f"class {trace.classes[one]}, found {scores[one].tolist()} and {classes[one]} "
            f"({np.count_nonzero(wrong)} samples differ"
            f"{', although all probes agree' if probed else ''})"
        )


def spikes(network: Network, trace: Trace) -> dict[str, int]:
    """Spikes of each layer of neurons, over all samples and timesteps."""
    return {node.name: int(trace[node.name, "spike"].sum()) for node in network.nodes_of(Neuron)}


def check_alive(network: Network, counts: Mapping[str, int]) -> None:
    """Raise :class:`SimulationError` if a layer of neurons never spiked: it proves nothing.

    A layer of which only the membrane is read need not spike.
    """
    for name, count in counts.items():
        silent = all(network.carries_membrane(edge) for edge in network.leaving(name))
        if count == 0 and not silent:
            raise SimulationError(
                f"node '{name}' is dead: no spike in the whole run, must spike at least once"
            )


def check_counts(counts: Mapping[str, int], trace: Trace) -> None:
    """Raise :class:`SimulationError` unless each layer sent as many spikes as it must."""
    for name, found in counts.items():
        expected = int(trace[name, "spike"].sum())
        if found != expected:
            raise SimulationError(
                f"node '{name}' sent {found} spikes, must send {expected}: compare all probes to "
                "see where it began"
            )


def expected_registers(
    network: Network, trace: Trace, status: int = 0
) -> dict[int, tuple[str, int]]:
    """Name and value of the registers after a run that began with a reset, by byte address."""
    form = network.input.format
    result = {
        0x00: ("identity", 0x52534C46),
        0x0C: ("status", status),
        0x10: ("inputs", network.input.size),
        0x14: ("classes", network.readout.size),
        0x18: ("max_steps", network.max_steps),
        0x1C: ("input format", int(form.signed) << 31 | form.width),
        0x20: ("saturations", sum(trace.saturations.values()) & 0xFFFFFFFF),
        0x2C: ("samples", len(trace.classes)),
    }
    for word in range(8):
        part = network.digest[8 * word : 8 * word + 8]
        result[0x30 + 4 * word] = (f"network digest word {word}", int(part, 16))
    return result


def check_registers(
    network: Network, found: Mapping[int, int], trace: Trace, status: int = 0
) -> None:
    """Raise :class:`SimulationError` if a register does not say what it must after the run."""
    for address, (name, expected) in expected_registers(network, trace, status).items():
        if found[address] != expected:
            raise SimulationError(
                f"register 0x{address:02X} ({name}): expected {expected}, found {found[address]}"
            )
