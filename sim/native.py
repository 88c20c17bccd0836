"""The bare C++ harness: whole data sets on the Verilated top, no Python while the clock runs."""

from __future__ import annotations

import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np

from .design import Design, Streamed
from .errors import SimulationError
from .job import PACKED_MODE, REGISTERS, WEIGHTS_BASE, Job, Outcome, deadlock, read_words
from .recorder import COUNTS, PLUSARG, bind_file
from .verilator import TOP, Recipe, build

HARNESS = Path(__file__).parent / "harness.cpp"
MEMORY = Path(__file__).parent / "memory.hpp"


def recipe(design: Design, *, fast: bool = True, trace: bool = False) -> Recipe:
    """What to build for ``design``."""
    sources = {"top.v": design.verilog, "recorder.sv": bind_file(design)}
    text = HARNESS.read_text()
    if design.streamed is not None:
        text = text.replace('#include "memory.hpp"\n', MEMORY.read_text())
        text = f"#define M_AXI_BYTES {design.streamed.bus_bytes}\n" + text
    return Recipe(sources, text, fast, trace)


def run(
    design: Design, job: Job, records: Path, *, fast: bool = True, counts: bool = False
) -> Outcome:
    """Run ``job`` and record all probes below the folder ``records``; with ``counts`` only how
    many spikes each layer sent.

    Raises :class:`SimulationError` if the design deadlocks.
    """
    program = build(recipe(design, fast=fast)) / TOP
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        begin = time.perf_counter()
        plusarg = f"+{COUNTS if counts else PLUSARG}={records}"
        cycles = execute(design, program, job, folder, [plusarg])
        seconds = time.perf_counter() - begin
        registers = np.fromfile(folder / "registers", "<u4")
        return Outcome(
            read_words(folder / "outputs"),
            {address: int(v) for address, v in zip(REGISTERS, registers, strict=True)},
            cycles,
            seconds,
        )


def waves(design: Design, job: Job, sample: int, path: Path, records: Path) -> Path:
    """Run ``job`` again up to ``sample`` and write the waveform of that sample alone (VCD)."""
    program = build(recipe(design, fast=False, trace=True)) / TOP
    with tempfile.TemporaryDirectory() as name:
        extra = [f"+{PLUSARG}={records}", f"waves={path}", f"wave_sample={sample}"]
        execute(design, program, job, Path(name), extra)
    return path


def execute(design: Design, program: Path, job: Job, folder: Path, extra: list[str]) -> int:
    """Run ``program`` on ``job`` in ``folder`` with ``extra`` arguments; the cycles it took."""
    words = [sample.astype("<u8") for sample in job.words]
    for sample in words:
        sample[-1] |= 1 << 32
    before = np.zeros(0) if design.loaded is None else design.loaded
    np.concatenate([before.astype("<u8"), *words]).tofile(folder / "words")
    options = {
        "words": folder / "words",
        "outputs": folder / "outputs",
        "registers": folder / "registers",
        "before": len(before),
        "samples": len(words),
        "seed": job.seed,
        "idle": int(job.stalls.idle * 2**32),
        "stall": int(job.stalls.stall * 2**32),
        "timeout": job.timeout,
        "control": PACKED_MODE if job.mode == "packed" else 0,
    }
    if design.streamed is not None:
        options |= _memory(design.streamed, job, folder)
    command = [str(program), *(f"{key}={value}" for key, value in options.items()), *extra]
    outcome = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    if outcome.returncode == 3:
        _, accepted, classes, status = map(int, outcome.stdout.split())
        raise deadlock(job, classes, status, accepted)
    if outcome.returncode:
        message = (outcome.stdout + outcome.stderr).strip() or f"status {outcome.returncode}"
        raise SimulationError(f"native harness failed: {message}")
    return int(outcome.stdout.split()[0])


def _memory(streamed: Streamed, job: Job, folder: Path) -> dict[str, Path | int]:
    """What the harness must know of the memory that holds the weights."""
    memory = job.memory
    (folder / "weights").write_bytes(streamed.image)
    return {
        "weights": folder / "weights",
        "base": WEIGHTS_BASE,
        "interval": memory.interval,
        "latency": memory.latency,
        "memory_stall": int(memory.stall * 2**32),
        "error_at": len(streamed.image) if memory.error_at is None else memory.error_at,
    }
