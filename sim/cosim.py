"""Co-simulation: a generated design against the golden model, every probe, every timestep."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy.typing as npt

from ..sw import golden
from ..sw.network import LIF, Network
from . import cocotb_run, native
from .design import Design
from .encoding import Mode, decode, encode
from .errors import SimulationError
from .job import Job, Stalls
from .recorder import arranged, read_all_records, read_records
from .verdict import (
    Mismatch,
    check_alive,
    check_outputs,
    check_registers,
    first_mismatch,
    spikes,
)

Harness = Literal["cocotb", "native"]
_RUN = {"cocotb": cocotb_run.run, "native": native.run}


@dataclass(frozen=True)
class CosimResult:
    """A co-simulation in which hardware and golden model agreed; ``asdict`` of it is JSON.

    ``comparisons`` counts the values compared, of ``probes`` probes; ``mismatches`` is 0.
    ``classes`` is the class that the hardware gave each sample, ``spikes`` counts by LIF layer.
    ``cycles`` runs from the first input word to the last class, ``seconds`` is the time of the
    simulation without the Verilator build.
    """

    harness: Harness
    mode: Mode
    samples: int
    steps: int
    probes: int
    comparisons: int
    mismatches: int
    spikes: Mapping[str, int]
    saturations: int
    classes: tuple[int, ...]
    cycles: int
    cycles_per_sample: float
    seconds: float
    cycles_per_second: float
    idle: float
    stall: float
    seed: int
    verilog_sha256: str
    network_digest: str


class MismatchError(SimulationError):
    """Hardware and golden model differ; ``mismatch`` says where, ``waves`` is a VCD file."""

    def __init__(self, mismatch: Mismatch, waves: Path, note: str) -> None:
        super().__init__(f"hardware differs from the golden model at {mismatch}; {note}: {waves}")
        self.mismatch = mismatch
        self.waves = waves


def cosim(
    folder: Path,
    network: Network,
    samples: npt.ArrayLike,
    *,
    harness: Harness = "cocotb",
    mode: Mode = "event",
    stalls: Stalls | None = None,
    seed: int = 0,
    timeout: int = 200_000,
    alive: bool = True,
    fast: bool = True,
) -> CosimResult:
    """Run ``samples`` (``[T, B, inputs]`` integers) through the design in ``folder``.

    Compares every probe of every node at every timestep, the scores, the classes and the
    registers with the golden model. ``stalls`` adds random pauses on both streams, seeded;
    ``timeout`` is in cycles without a class. ``alive`` also demands spikes of every LIF layer.
    ``fast`` builds for long runs. Raises :class:`MismatchError` for a value that differs, after
    writing the waveform of that sample below ``folder``; :class:`SimulationError` for everything
    else that is not as it must be.
    """
    design = Design.read(folder)
    design.check_network(network)
    words = encode(network, samples, mode)
    job = Job(words, mode, stalls or Stalls(), seed, timeout)
    probes = {(probe.node, probe.quantity): probe for probe in design.probes}
    wanted = {*probes, *((node.name, "spike") for node in network.nodes_of(LIF))}
    trace = golden.run(network, samples, wanted)
    counts = spikes(network, trace)
    if alive:
        check_alive(network, counts)
    steps, batch = trace[min(wanted)].shape[:2]
    with tempfile.TemporaryDirectory() as name:
        records = Path(name)
        outcome = _RUN[harness](design, job, records, fast=fast)
        recorded = {
            key: read_records(records, probe, network.by_name[probe.node].size, steps, batch)
            for key, probe in probes.items()
        }
    if mismatch := first_mismatch(network, recorded, trace):
        raise _with_waves(design, network, job, mismatch, steps)
    scores, classes = decode(outcome.outputs, network.readout.size)
    check_outputs(scores, classes, trace)
    check_registers(network, outcome.registers, trace)
    return CosimResult(
        harness=harness,
        mode=mode,
        samples=batch,
        steps=steps,
        probes=len(probes),
        comparisons=sum(values.size for values in recorded.values()),
        mismatches=0,
        spikes=counts,
        saturations=sum(trace.saturations.values()),
        classes=tuple(classes.tolist()),
        cycles=outcome.cycles,
        cycles_per_sample=outcome.cycles / batch,
        seconds=outcome.seconds,
        cycles_per_second=outcome.cycles / outcome.seconds,
        idle=job.stalls.idle,
        stall=job.stalls.stall,
        seed=seed,
        verilog_sha256=design.verilog_sha256,
        network_digest=network.digest,
    )


def python_share(cocotb: CosimResult, native: CosimResult) -> float:
    """What part of a cocotb run is Python (and its interface), against the same run without."""
    return max(0.0, 1 - native.seconds / native.cycles * cocotb.cycles / cocotb.seconds)


def _with_waves(
    design: Design, network: Network, job: Job, mismatch: Mismatch, steps: int
) -> MismatchError:
    """Run up to the sample of ``mismatch`` again, its waveform written, and say what was seen."""
    path = (design.folder / f"mismatch_{mismatch.node}_sample{mismatch.sample}.vcd").resolve()
    probe = next(
        p for p in design.probes if (p.node, p.quantity) == (mismatch.node, mismatch.quantity)
    )
    with tempfile.TemporaryDirectory() as name:
        records = Path(name)
        native.waves(design, job, mismatch.sample, path, records)
        per_sample = steps * probe.words
        values = read_all_records(records, probe)[: (mismatch.sample + 1) * per_sample]
        size = network.by_name[mismatch.node].size
        again = arranged(values, probe, size, steps)[mismatch.step, mismatch.sample]
    note = "waveform of that sample"
    if again[mismatch.neuron] != mismatch.found:
        note = f"waveform of that sample run again, where the value was {again[mismatch.neuron]}"
    return MismatchError(mismatch, path, note)
