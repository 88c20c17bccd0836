"""Part 2 of `make neurons`: every integer neuron's RTL and quantised training against golden.

Each case of `neuron_cases` × two sets of formats × two lane counts: generated Verilog on Verilator
with random stalls, all probes of all steps compared; and the quantised training of the same
network. For each family faults are planted in what the hardware is built from, and must be seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from batch_sim import Batch
from neuron_cases import CASES, FORMATS, Case, samples
from reslif.hw.folding import Fold, Folding
from reslif.sim.job import Stalls
from reslif.sw import golden
from reslif.sw.network import Network, Neuron
from reslif.sw.qat import QATNetwork

LANES = (1, 4)
STALLS = Stalls(idle=0.1, stall=0.1)
BUILD = 48
"""Designs of one Verilator build."""

FAULTS = {
    "LIF": {"leak": 1, "strict": False},
    "Synaptic": {"synaptic_leak": 1, "strict": False},
    "Alpha": {"gain": 1, "strict": False},
    "Adaptive": {"increment": 1, "strict": False},
    "LSTM": {"threshold": 1, "table": 1},
}
"""For each family what is planted: one unit in a number, ``≥`` for ``>``, one entry of a table."""


@dataclass(frozen=True)
class Design:
    """One case in one set of formats with one number of neuron lanes."""

    case: Case
    formats: int
    lanes: int

    @property
    def name(self) -> str:
        return f"{self.case.name}, formats {self.formats}, {self.lanes} lanes"

    @property
    def folding(self) -> Folding:
        return Folding(Fold(2 * self.lanes, self.lanes))


def designs(cases: Sequence[Case] = CASES) -> list[Design]:
    """All designs of ``cases``."""
    return [Design(c, formats, lanes) for c in cases for formats in FORMATS for lanes in LANES]


def run(wanted: Sequence[Design], say: Callable[[str], None] = print) -> list[dict[str, Any]]:
    """A row for each design; a mismatch raises with node, timestep and neuron."""
    rows = []
    for start in range(0, len(wanted), BUILD):
        part = wanted[start : start + BUILD]
        batch = Batch({d.name: (d.case.network(d.formats), d.folding) for d in part})
        for number, design in enumerate(part):
            inputs = samples(design.case)
            found = batch.run(design.name, inputs, stalls=STALLS, seed=start + number)
            compared, different = quantised(batch.networks[design.name], found.trace, inputs)
            assert not different, f"{design.name}: quantised training differs in {different}"
            rows.append(
                {
                    "family": design.case.family,
                    "case": design.case.name,
                    "formats": design.formats,
                    "lanes": design.lanes,
                    "rtl_comparisons": found.comparisons,
                    "rtl_mismatches": found.mismatches,
                    "qat_comparisons": compared,
                    "qat_mismatches": different,
                    "spikes": int(found.trace["neuron", "spike"].sum()),
                    "saturations": found.trace.saturations["neuron"],
                }
            )
        say(f"{len(rows)} of {len(wanted)} designs are bit-exact")
    return rows


def quantised(network: Network, trace: golden.Trace, inputs: Any) -> tuple[int, int]:
    """Values that quantised training has in common with a golden run, and how many differ."""
    with torch.no_grad():
        seen = QATNetwork.of_network(network).run(torch.as_tensor(inputs))
    assert set(seen) == set(trace.probes)
    different = sum(int((value.numpy() != trace[p]).sum()) for p, value in seen.items())
    return sum(value.numel() for value in seen.values()), different


def faulty(network: Network, what: str, change: Any) -> Network:
    """``network`` with a fault in its neurons; a number changes by ``change``."""
    (neuron,) = network.nodes_of(Neuron)
    value = getattr(neuron, what)
    if what == "table":
        value = value.copy()
        value[2] += change
        change = value
    elif not isinstance(value, bool):
        change = value + change
    changed: Any = replace(neuron, **{what: change})  # pyright: ignore[reportArgumentType]
    nodes = tuple(changed if node is neuron else node for node in network.nodes)
    return replace(network, nodes=nodes)


def controls() -> Iterator[dict[str, str]]:
    """For every fault the message that caught it; a fault that nobody sees raises."""
    batch, right = Batch({}), {}
    for family, faults in FAULTS.items():
        case = next(c for c in CASES if c.family == family and c.reset != "none")
        network = case.network(1)
        for what, change in faults.items():
            name = f"{family} {what}"
            batch.add(name, faulty(network, what, change), Folding(Fold(8, 4)))
            right[name] = (network, case)
    for name, (network, case) in right.items():
        batch.networks[name] = network
        try:
            batch.run(name, samples(case, 32))
        except AssertionError as error:
            message = str(error).splitlines()[0]
        else:
            raise AssertionError(f"{name}: a planted fault was not seen")
        assert "neuron" in message
        yield {"fault": name, "seen": message.removeprefix(f"{name}: ")}
