"""Progress of long work: a bar on a terminal, a line now and then in a log."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as _Bar
from rich.status import Status


class _Display:
    """Something on the terminal, if there is one, for as long as the context lasts."""

    _live: _Bar | Status | None = None

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.stop()


class Progress(_Display):
    """Reports ``done`` of ``total`` steps with the time left, on standard error.

    Away from a terminal it prints the first and last step and a line every ``interval`` seconds.
    """

    def __init__(self, label: str, total: int, interval: float = 5.0) -> None:
        self.label, self.total, self.interval = label, total, interval
        self._start = self._printed = time.monotonic()
        self._first: int | None = None
        self._bar: _Bar | None = None
        if sys.stderr.isatty():
            self._bar = self._live = _Bar(
                TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
                TimeRemainingColumn(), TextColumn("{task.fields[note]}"),
                console=Console(stderr=True),
            )  # fmt: skip
            self._task = self._bar.add_task(label, total=total, note="")

    def update(self, done: int, note: str = "") -> None:
        """Report that ``done`` steps (counted from the very start) are finished."""
        if self._bar is not None:
            self._bar.update(self._task, completed=done, note=note)
            return
        now = time.monotonic()
        first = self._first is None
        if self._first is None:
            # After a resume the steps of the earlier run took no time of this one.
            self._first = done - 1
        if first or done == self.total or now - self._printed >= self.interval:
            self._printed = now
            left = (now - self._start) / (done - self._first) * (self.total - done)
            print(
                f"{self.label} {done}/{self.total}, {left:.0f} s left  {note}".rstrip(),
                file=sys.stderr,
                flush=True,
            )


class Elapsed(_Display):
    """Reports the stage of work whose length is unknown, with the seconds it has taken.

    On a terminal one line is kept up to date; elsewhere each stage is announced once.
    """

    def __init__(self) -> None:
        self._stage = ""
        self._status: Status | None = None
        if sys.stderr.isatty():
            self._status = self._live = Console(stderr=True).status("")

    def __call__(self, stage: str, seconds: float) -> None:
        """Report that ``stage`` has taken ``seconds`` so far."""
        if self._status is not None:
            self._status.update(f"{stage}, {seconds:.0f} s")
        elif stage != self._stage:
            print(f"{stage} ...", file=sys.stderr, flush=True)
        self._stage = stage
