"""What a harness is asked to run, and what it hands back: the same for all harnesses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .encoding import Mode, Words
from .errors import SimulationError

PACKED_MODE = 1
"""Bit 0 of the control register."""

FAILED = 2
"""Bit 1 of the status register: a read of streamed weights was answered with an error."""

LOADED = 4
"""Bit 2 of the status register: weights that a host sends are all there."""

WEIGHTS_BASE = 0x1234_5000
"""Where a simulated memory holds streamed weights."""

REGISTERS = tuple(range(0x00, 0x50, 4))
"""Byte addresses of the registers that every harness reads after the run."""


@dataclass(frozen=True)
class Stalls:
    """Random pauses, by the probability of starting one in a cycle without.

    ``idle`` holds back input words, ``stall`` holds back the output's ready. Most pauses last one
    cycle, one in 32 up to 256.
    """

    idle: float = 0.0
    stall: float = 0.0

    def __post_init__(self) -> None:
        for name, value in (("idle", self.idle), ("stall", self.stall)):
            if not 0 <= value < 1:
                raise SimulationError(f"stalls: {name} is {value}, must be at least 0 and below 1")


@dataclass(frozen=True)
class Memory:
    """How the external memory of streamed weights answers.

    It sends at most one beat in ``interval`` cycles, the first of a burst ``latency`` cycles after
    the request at the earliest; ``stall`` is the probability of starting a pause, of requests and
    of beats, as in :class:`Stalls`. The beat that holds byte ``error_at`` of the weights comes with
    an error.
    """

    interval: int = 1
    latency: int = 0
    stall: float = 0.0
    error_at: int | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.stall < 1:
            raise SimulationError(f"memory: stall is {self.stall}, must be at least 0 and below 1")
        if self.interval < 1 or self.latency < 0:
            raise SimulationError(
                f"memory: interval is {self.interval} and latency {self.latency}, "
                "must be at least 1 and 0"
            )


@dataclass(frozen=True, eq=False)
class Job:
    """Samples to send, and how.

    ``words`` has one array for each sample; ``timeout`` is the number of cycles without a class
    after which the design counts as deadlocked. ``memory`` is that of designs that stream
    their weights.
    """

    words: Sequence[Words]
    mode: Mode
    stalls: Stalls
    seed: int
    timeout: int
    memory: Memory = Memory()


@dataclass(frozen=True, eq=False)
class Outcome:
    """What came back.

    ``outputs`` are the words sent, ``registers`` the values at :data:`REGISTERS`, ``cycles`` runs
    from the first word in to the last class out, ``seconds`` is the time of the whole simulation.
    """

    outputs: Words
    registers: dict[int, int]
    cycles: int
    seconds: float


def deadlock(job: Job, outputs: int, status: int, accepted: int | None = None) -> SimulationError:
    """The error of a design that stopped sending classes after ``outputs`` of them, and what its
    ``status`` register says then.
    """
    taken = "" if accepted is None else f", {accepted} input words were taken"
    why = "; status: the memory of the weights answered with an error" * bool(status & FAILED)
    return SimulationError(
        f"deadlock: no class for {job.timeout} cycles, after {outputs} of {len(job.words)} "
        f"samples{taken}{why}"
    )


def read_words(path: Path) -> Words:
    """The 32-bit words of a file."""
    return np.fromfile(path, "<u4").astype(np.uint32)
