"""Trials of generated designs in C++: words in, a reset in any cycle, samples of any length."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from batch_sim import Batch
from reslif.sim.encoding import encode
from reslif.sim.recorder import PLUSARG, bind_file
from reslif.sim.verilator import TOP, Recipe, build
from reslif.sw import golden
from reslif.sw.network import Network

MAIN = Path(__file__).parent / "trials.cpp"


class DeadlockError(AssertionError):
    """A trial whose classes never came."""


@dataclass(frozen=True)
class Trial:
    """Samples, each ``[T, inputs]``; first a sample ``cut`` off by a reset, if any.

    The reset comes ``after`` that many cycles and lasts ``low`` cycles.
    """

    samples: Sequence[np.ndarray]
    cut: np.ndarray | None = None
    after: int = 0
    low: int = 0


@dataclass(frozen=True)
class Pauses:
    """Chances of starting a pause of the input or the output, and the longest pause in cycles."""

    idle: float = 0.0
    stall: float = 0.0
    longest: int = 1


PATTERNS = {
    "free": Pauses(),
    "idle input": Pauses(idle=0.5, longest=100),
    "seldom, long": Pauses(0.01, 0.01, longest=2000),
    "stalled output": Pauses(stall=0.5, longest=1000),
    "both": Pauses(0.6, 0.8, longest=30),
}
"""Patterns under which nothing may deadlock."""


def sample_of(net: Network, steps: int, seed: int, density: float = 0.6) -> np.ndarray:
    """``[T, inputs]``, with steps that are silent and steps that are full."""
    random = np.random.default_rng(seed)
    form = net.input.format
    shape = (steps, net.input.size)
    values = random.integers(form.min, form.max, shape, endpoint=True)
    here = random.choice([0, density, density, 1], (steps, 1))
    return values * (random.random(shape) < here)


def reset_trials(net: Network, cycles: int, steps: int) -> list[Trial]:
    """A sample of ``steps`` cut off after each number of cycles, then two whole ones."""
    return [
        Trial(
            [sample_of(net, 1 + after % 4, after), sample_of(net, 3, after + 1)],
            sample_of(net, steps, after + 2, density=0.9),
            after,
            low=1 + after % 2,
        )
        for after in range(1, cycles)
    ]


def words_of(network: Network, sample: np.ndarray) -> np.ndarray:
    """The event words of one sample, TLAST in bit 32 of the last."""
    (words,) = encode(network, sample[:, None])
    words = words.astype("<u8")
    words[-1] |= np.uint64(1 << 32)
    return words


def run_trials(
    batch: Batch,
    name: str,
    trials: Sequence[Trial],
    pauses: Pauses | None = None,
    *,
    seed: int = 0,
    timeout: int = 50_000,
) -> list[int]:
    """Compare scores and classes with the golden model; return the cycles of each trial."""
    network, pauses = batch.networks[name], pauses or Pauses()
    script: list[np.ndarray] = []
    for trial in trials:
        words = [words_of(network, sample) for sample in trial.samples]
        cut = 0
        if trial.cut is not None:
            words.insert(0, words_of(network, trial.cut))
            cut = len(words[0])
        count = sum(map(len, words))
        head = [count, cut, trial.after, trial.low, len(trial.samples)]
        script += [np.array(head, "<u8"), *words]
    sources = {"top.v": batch.design.verilog, "recorder.sv": bind_file(batch.design)}
    program = build(Recipe(sources, MAIN.read_text(), fast=False)) / TOP
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        np.concatenate(script).tofile(place / "trials")
        options = {
            "trials": place / "trials",
            "outputs": place / "outputs",
            "seed": seed,
            "idle": int(pauses.idle * 2**32),
            "stall": int(pauses.stall * 2**32),
            "longest": pauses.longest,
            "timeout": timeout,
        }
        command = [str(program), *(f"{key}={value}" for key, value in options.items())]
        command.append(f"+{PLUSARG}={batch.records(name, folder)}")
        status = subprocess.run(command, check=False).returncode
        if status == 3:
            raise DeadlockError(f"{name}: no class for {timeout} cycles, {pauses}")
        assert status == 0
        outputs = np.fromfile(place / "outputs", "<u4").astype(np.int64)
    return [
        _check(network, number, trial, outputs_)
        for number, trial, outputs_ in zip(
            range(len(trials)), trials, _split(outputs, len(trials)), strict=True
        )
    ]


def _split(outputs: np.ndarray, trials: int) -> list[np.ndarray]:
    """What belongs to each trial: its cycles, then its words."""
    parts = []
    for _ in range(trials):
        count = int(outputs[0])
        parts.append(outputs[1 : 2 + count])
        outputs = outputs[2 + count :]
    assert not len(outputs)
    return parts


def _check(network: Network, number: int, trial: Trial, outputs: np.ndarray) -> int:
    expected = []
    for sample in trial.samples:
        trace = golden.run(network, sample[:, None])
        expected += [*trace.scores[0].tolist(), int(trace.classes[0])]
    words = outputs[1:].astype(np.uint32).view(np.int32).tolist()
    assert words == expected, f"trial {number}: {trial.after} cycles, then {trial.low} of reset"
    return int(outputs[0])
