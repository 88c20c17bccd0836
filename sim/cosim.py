"""Co-simulation: a generated design against the golden model, every probe, every timestep."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy.typing as npt

from ..sw import golden
from ..sw.formats import IntArray
from ..sw.network import Network, Neuron
from . import cocotb_run, native
from .design import Design
from .encoding import Mode, decode, encode
from .errors import SimulationError
from .job import LOADED, Job, Memory, Outcome, Stalls
from .recorder import read_count, read_records, read_some
from .verdict import (
    Mismatch,
    check_alive,
    check_counts,
    check_outputs,
    check_registers,
    first_mismatch,
    spikes,
)

Harness = Literal["cocotb", "native"]
Probes = Literal["all", "results"]
HARNESSES = {"cocotb": cocotb_run.run, "native": native.run}

VALUES_AT_ONCE = 20_000_000
"""A larger data set is run in parts that hold at most so many recorded values in memory."""


@dataclass(frozen=True)
class CosimResult:
    """A co-simulation in which hardware and golden model agreed; ``asdict`` of it is JSON.

    ``comparisons`` counts the values compared, of ``probes`` probes; ``mismatches`` is 0.
    ``compared`` is ``all`` if that was every value of every timestep, ``results`` if it was scores,
    classes, and how many spikes each layer sent.
    ``classes`` is the class that the hardware gave each sample, ``spikes`` counts by layer.
    ``cycles`` runs from the first input word to the last class, ``seconds`` is the time of the
    simulation without the Verilator build.
    """

    harness: Harness
    mode: Mode
    compared: Probes
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
    probes: Probes = "all",
    stalls: Stalls | None = None,
    memory: Memory | None = None,
    seed: int = 0,
    timeout: int = 200_000,
    alive: bool = True,
    fast: bool = True,
) -> CosimResult:
    """Run ``samples`` (``[T, B, inputs]`` integers) through the design in ``folder``.

    Compares every probe of every node at every timestep, the scores, the classes and the
    registers with the golden model; if ``probes`` are ``results``, in place of the probes only the
    number of spikes of each layer, for whole data sets of large networks. ``stalls`` adds random
    pauses on both streams, seeded; ``memory`` is how the memory of streamed weights answers;
    ``timeout`` is in cycles without a class. ``alive`` also demands spikes of every layer.
    ``fast`` builds for long runs. Raises :class:`MismatchError` for a value that differs, after
    writing the waveform of that sample below ``folder``; :class:`SimulationError` for everything
    else that is not as it must be.
    """
    design = Design.read(folder)
    design.check_network(network)
    data = golden.checked_samples(network, samples)
    steps, batch, _ = data.shape
    looked_at = [p for p in design.probes if probes == "all" or p.quantity == "spike"]
    each = steps * sum(probe.size_in(network) for probe in looked_at)
    chunk = max(1, VALUES_AT_ONCE // each)
    counts = {node.name: 0 for node in network.nodes_of(Neuron)}
    classes: list[int] = []
    saturations = comparisons = cycles = 0
    seconds = 0.0
    stalls, memory = stalls or Stalls(), memory or Memory()
    for first in range(0, batch, chunk):
        part = data[:, first : first + chunk]
        job = Job(encode(network, part, mode), mode, stalls, seed + first, timeout, memory)
        run = _run if probes == "all" else _run_counting
        trace, outcome, compared = run(design, network, part, job, first, harness, fast)
        for name, count in spikes(network, trace).items():
            counts[name] += count
        classes += trace.classes.tolist()
        saturations += sum(trace.saturations.values())
        comparisons += compared
        cycles += outcome.cycles
        seconds += outcome.seconds
    if alive:
        check_alive(network, counts)
    return CosimResult(
        harness=harness,
        mode=mode,
        compared=probes,
        samples=batch,
        steps=steps,
        probes=len(looked_at),
        comparisons=comparisons,
        mismatches=0,
        spikes=counts,
        saturations=saturations,
        classes=tuple(classes),
        cycles=cycles,
        cycles_per_sample=cycles / batch,
        seconds=seconds,
        cycles_per_second=cycles / seconds,
        idle=stalls.idle,
        stall=stalls.stall,
        seed=seed,
        verilog_sha256=design.verilog_sha256,
        network_digest=network.digest,
    )


def _run(
    design: Design,
    network: Network,
    samples: IntArray,
    job: Job,
    first: int,
    harness: Harness,
    fast: bool,
) -> tuple[golden.Trace, Outcome, int]:
    """One simulation, from sample ``first`` on: what must happen, what did, values compared."""
    probes = {(probe.node, probe.quantity): probe for probe in design.probes}
    wanted = {*probes, *((node.name, "spike") for node in network.nodes_of(Neuron))}
    trace = golden.run(network, samples, wanted)
    steps, batch, _ = samples.shape
    with tempfile.TemporaryDirectory() as name:
        records = Path(name)
        outcome = HARNESSES[harness](design, job, records, fast=fast)
        recorded = {
            key: read_records(records, probe, probe.size_in(network), steps, batch)
            for key, probe in probes.items()
        }
    if mismatch := first_mismatch(network, recorded, trace):
        raise _with_waves(design, network, job, mismatch, steps, first)
    _check_results(design, network, outcome, trace, first, probed=True)
    return trace, outcome, sum(values.size for values in recorded.values())


def _run_counting(
    design: Design,
    network: Network,
    samples: IntArray,
    job: Job,
    first: int,
    harness: Harness,
    fast: bool,
) -> tuple[golden.Trace, Outcome, int]:
    """As :func:`_run`, of results and numbers of spikes alone."""
    probes = [probe for probe in design.probes if probe.quantity == "spike"]
    trace = golden.run(network, samples, {(probe.node, "spike") for probe in probes})
    with tempfile.TemporaryDirectory() as name:
        outcome = HARNESSES[harness](design, job, Path(name), fast=fast, counts=True)
        counts = {probe.node: read_count(Path(name), probe) for probe in probes}
    results = _check_results(design, network, outcome, trace, first, probed=False)
    check_counts(counts, trace)
    return trace, outcome, results + len(counts)


def _check_results(
    design: Design,
    network: Network,
    outcome: Outcome,
    trace: golden.Trace,
    first: int,
    *,
    probed: bool,
) -> int:
    """Check scores, classes and registers; how many of the first two there are."""
    scores, classes = decode(outcome.outputs, network.readout.size)
    check_outputs(scores, classes, trace, first, probed=probed)
    status = 0 if design.loaded is None else LOADED
    check_registers(network, outcome.registers, trace, status)
    return scores.size + classes.size


def python_share(cocotb: CosimResult, native: CosimResult) -> float:
    """What part of a cocotb run is Python (and its interface), against the same run without."""
    return max(0.0, 1 - native.seconds / native.cycles * cocotb.cycles / cocotb.seconds)


def _with_waves(
    design: Design, network: Network, job: Job, mismatch: Mismatch, steps: int, first: int
) -> MismatchError:
    """Run up to the sample of ``mismatch`` again, its waveform written, and say what was seen.

    Sample numbers in ``job`` begin at 0, those in the message at ``first``.
    """
    sample = mismatch.sample + first
    path = (design.folder / f"mismatch_{mismatch.node}_sample{sample}.vcd").resolve()
    probe = next(
        p for p in design.probes if (p.node, p.quantity) == (mismatch.node, mismatch.quantity)
    )
    with tempfile.TemporaryDirectory() as name:
        records = Path(name)
        native.waves(design, job, mismatch.sample, path, records)
        size, samples = probe.size_in(network), mismatch.sample + 1
        again = read_some(records, probe, size, steps, samples)[mismatch.step, mismatch.sample]
    note = "waveform of that sample"
    if again[mismatch.neuron] != mismatch.found:
        note = f"waveform of that sample run again, where the value was {again[mismatch.neuron]}"
    return MismatchError(replace(mismatch, sample=sample), path, note)
