"""The host's end of the serial line: samples to a board, scores back."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import serial

from .devices import Device
from .errors import BuildError

BREAK_SECONDS = 0.02
QUIET_SECONDS = 0.05
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class RunResult:
    """What a board answered: ``scores`` ``[samples, classes]`` and ``predicted`` ``[samples]``.

    ``mismatches`` counts the scores that differ from the expected ones, ``first`` describes the
    first of them; both are ``None`` if nothing was expected.
    """

    scores: IntArray
    predicted: IntArray
    mismatches: int | None
    first: str | None
    seconds: float


def open_line(port: str, device: Device, timeout: float = 5.0) -> serial.Serial:
    """The serial line at ``port`` (a device file or a pyserial URL), at the device's rate.

    ``timeout`` is how long to wait for each answer, in seconds. Raises :class:`BuildError` if
    the port cannot be opened.
    """
    try:
        return serial.serial_for_url(port, baudrate=device.baud, timeout=timeout)
    except (serial.SerialException, ValueError, OSError) as error:
        raise BuildError(f"serial port '{port}' cannot be opened: {error}") from None


def restart(line: serial.Serial) -> None:
    """Send a line break: the board forgets what it was doing and starts afresh."""
    line.send_break(BREAK_SECONDS)
    time.sleep(QUIET_SECONDS)
    line.reset_input_buffer()


def run_samples(
    line: serial.Serial,
    words: Sequence[npt.NDArray[np.uint32]],
    classes: int,
    expected: npt.ArrayLike | None = None,
    progress: Callable[[int, int], None] | None = None,
    weights: npt.NDArray[np.uint32] | None = None,
) -> RunResult:
    """Have a board classify samples, each given as its event words, and collect its scores.

    ``expected`` are the golden scores, ``[samples, classes]``. ``progress`` is called after each
    sample with the number done and the number of all. ``weights`` are the words that a design
    whose weights are loaded must have first.

    A sample is sent when the one before has been answered, so the board is never flooded. Raises
    :class:`BuildError` if it does not answer in time, or if what it says is no answer.
    """
    if expected is not None and np.shape(expected) != (len(words), classes):
        raise BuildError(
            f"expected scores have shape {list(np.shape(expected))}, "
            f"must have {[len(words), classes]}"
        )
    begin = time.perf_counter()
    restart(line)
    if weights is not None:
        _send(line, weights, "the weights")
    answers = np.zeros((len(words), classes + 1), np.int64)
    for i, sample in enumerate(words):
        _send(line, sample, f"sample {i}")
        try:
            heard = line.read(4 * (classes + 1))
        except serial.SerialException as error:
            raise BuildError(f"serial line failed at sample {i}: {error}") from None
        if len(heard) < 4 * (classes + 1):
            raise BuildError(
                f"board sent {len(heard)} of {4 * (classes + 1)} bytes for sample {i} within "
                f"{line.timeout} s: is it this port, this bitstream, {line.baudrate} baud?"
            )
        answers[i] = np.frombuffer(heard, "<i4")
        if answers[i, classes] != answers[i, :classes].argmax():
            raise BuildError(
                f"board named class {answers[i, classes]} for sample {i}, but its highest score "
                f"is that of class {answers[i, :classes].argmax()}: is it this network's bitstream?"
            )
        if progress is not None:
            progress(i + 1, len(words))
    scores = answers[:, :classes]
    count, first = (None, None) if expected is None else _compare(scores, np.asarray(expected))
    return RunResult(scores, answers[:, classes], count, first, time.perf_counter() - begin)


def _send(line: serial.Serial, words: npt.NDArray[np.uint32], what: str) -> None:
    try:
        line.write(words.astype("<u4").tobytes())
    except serial.SerialException as error:
        raise BuildError(f"serial line failed at {what}: {error}") from None


def _compare(scores: IntArray, expected: IntArray) -> tuple[int, str | None]:
    wrong = np.argwhere(scores != expected)
    if not len(wrong):
        return 0, None
    sample, label = (int(index) for index in wrong[0])
    return len(wrong), (
        f"sample {sample}, class {label}: expected score {expected[sample, label]}, "
        f"found {scores[sample, label]}"
    )
