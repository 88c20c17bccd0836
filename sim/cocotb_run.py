"""Runs a job in cocotb: the test bench is :mod:`.tb_top`, which lives inside the simulator."""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict
from pathlib import Path

import numpy as np
from cocotb_tools.runner import get_runner

from .design import Design
from .errors import SimulationError
from .job import PACKED_MODE, REGISTERS, WEIGHTS_BASE, Job, Outcome, deadlock, read_words
from .recorder import COUNTS, PLUSARG, bind_file
from .verilator import TOP, Recipe, build, environment_set

# cocotb needs to see the top's ports, and nothing slows the simulation like all signals.
_PUBLIC = """\
`verilator_config
public_flat_rw -module "top" -var "aclk"
public_flat_rw -module "top" -var "aresetn"
public_flat_rw -module "top" -var "s_axi*"
public_flat_rw -module "top" -var "m_axi*"
"""


def recipe(design: Design, *, fast: bool = True) -> Recipe:
    """What to build for ``design``."""
    sources = {"public.vlt": _PUBLIC, "top.v": design.verilog, "recorder.sv": bind_file(design)}
    return Recipe(sources, None, fast)


def run(
    design: Design, job: Job, records: Path, *, fast: bool = True, counts: bool = False
) -> Outcome:
    """Run ``job`` and record all probes below the folder ``records``; with ``counts`` only how
    many spikes each layer sent.

    Raises :class:`SimulationError` if the design deadlocks.
    """
    folder = build(recipe(design, fast=fast))
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        np.save(place / "words.npy", np.concatenate(list(job.words)))
        before = np.zeros(0, np.uint32) if design.loaded is None else design.loaded
        np.save(place / "before.npy", before)
        lengths = [len(words) for words in job.words]
        settings = {
            "ends": np.cumsum(lengths)[:-1].tolist(),
            "control": PACKED_MODE if job.mode == "packed" else 0,
            "idle": job.stalls.idle,
            "stall": job.stalls.stall,
            "seed": job.seed,
            "timeout": job.timeout,
            "addresses": list(REGISTERS),
        }
        if design.streamed is not None:
            settings["memory"] = _memory(job)
            (place / "weights").write_bytes(design.streamed.image)
        (place / "job.json").write_text(json.dumps(settings))
        _execute(folder, place, f"+{COUNTS if counts else PLUSARG}={records}")
        result = json.loads((place / "result.json").read_text())
        if result["cycles"] is None:
            raise deadlock(job, result["received"], result["status"])
        return Outcome(
            read_words(place / "outputs"),
            dict(zip(REGISTERS, result["registers"], strict=True)),
            result["cycles"],
            result["seconds"],
        )


def _memory(job: Job) -> dict[str, int | float | None]:
    """What the test bench must know of the memory that holds the weights."""
    if job.memory.latency:
        raise SimulationError("memory: a latency is simulated by the native harness only")
    return {"base": WEIGHTS_BASE, **asdict(job.memory)}


def _execute(build_folder: Path, place: Path, plusarg: str) -> None:
    log = place / "cocotb.log"
    try:
        # The variable makes the runner end the process on failure, as it should under pytest only.
        with environment_set({"RESLIF_JOB": str(place), "PYTEST_CURRENT_TEST": ""}):
            get_runner("verilator").test(
                test_module="reslif.sim.tb_top",
                hdl_toplevel=TOP,
                hdl_toplevel_lang="verilog",
                build_dir=build_folder,
                test_dir=place,
                results_xml=str(place / "results.xml"),
                plusargs=[plusarg],
                seed=1,
                log_file=log,
            )
    except (RuntimeError, SystemExit):
        pass
    if not (place / "result.json").exists():
        text = log.read_text(errors="replace") if log.exists() else "no log"
        raise SimulationError(f"cocotb run ended without a result:\n{text[-3000:]}")
