"""Waveform files: the VCD of a window, and lists of its signals for GTKWave and Surfer.

The list for GTKWave is a save file; its flags are those of GTKWave's own source (``TR_*``). The
list for Surfer is a command file: the commands that its manual documents, without the state file,
whose format it does not.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import ClassVar, TextIO

import numpy as np
import numpy.typing as npt

ROOT = "layers"
"""The scope of the VCD file below which every layer has its own."""

CYCLE = 10
"""Time of a clock cycle in the VCD file; its rising edge is in the middle."""

Scopes = Mapping[str, Sequence[str]]
"""Names of single-bit signals by their scope, such as ``top.core.lif1``."""


@dataclass(frozen=True, eq=False)
class Track:
    """Words of one quantity of a node, in the order of time.

    Of each word ``steps``, ``words`` and ``cycles`` (``[k]``) are its timestep, its number therein
    and the clock cycle; ``lanes`` (``[k, lanes]``) are integers of ``width`` bits, or ``NOTHING``.
    ``module`` is where the quantity is seen.
    """

    NOTHING: ClassVar[int] = 1 << 62

    node: str
    quantity: str
    width: int
    signed: bool
    steps: npt.NDArray[np.int64]
    words: npt.NDArray[np.int64]
    cycles: npt.NDArray[np.int64]
    lanes: npt.NDArray[np.int64]
    module: str = ""

    def within(self, first: int, last: int) -> Track:
        """The words of the timesteps ``first`` to ``last``."""
        kept = (self.steps >= first) & (self.steps <= last)
        parts = (self.steps, self.words, self.cycles, self.lanes)
        steps, words, cycles, lanes = (part[kept] for part in parts)
        return replace(self, steps=steps, words=words, cycles=cycles, lanes=lanes)

    @property
    def signals(self) -> dict[str, int]:
        """Names and widths: ``valid``, timestep, number of the word, then its lanes."""
        numbers = {"valid": 1, "step": 16, "word": 16}
        return numbers | {f"lane_{lane}": self.width for lane in range(self.lanes.shape[1])}

    def changes(self, codes: Sequence[str]) -> Iterator[tuple[int, str]]:
        """Cycles and the lines of the VCD file that say what is there from then on."""
        for k, cycle in enumerate(self.cycles.tolist()):
            values = [1, int(self.steps[k]), int(self.words[k]), *self.lanes[k].tolist()]
            yield cycle, _lines(values, self.signals.values(), codes)
            if k + 1 == len(self.cycles) or self.cycles[k + 1] != cycle + 1:
                yield cycle + 1, f"0{codes[0]}\n"


def _lines(values: Sequence[int], widths: Iterable[int], codes: Sequence[str]) -> str:
    lines = []
    for value, width, code in zip(values, widths, codes, strict=True):
        bits = "x" if value == Track.NOTHING else f"{value & ((1 << width) - 1):b}"
        lines.append(f"{bits}{code}\n" if width == 1 else f"b{bits} {code}\n")
    return "".join(lines)


def write_vcd(
    source: Path, target: Path, tracks: Sequence[Track], first: int, last: int
) -> dict[str, list[str]]:
    """Copy the VCD file ``source``, add ``tracks``, keep the cycles ``first`` to ``last`` only.

    Left out are recorders, nets without a name of their own, and the scope around ``top``. Returns
    the single-bit signals by scope.
    """
    partial = target.with_suffix(".part")
    with source.open() as lines, partial.open("w") as out:
        known, scopes = _copy_header(lines, out)
        added: defaultdict[int, list[str]] = defaultdict(list)
        for track, codes in zip(tracks, _declare(tracks, out), strict=True):
            names = track.signals
            unknown = ["x" if width > 1 else "0" for width in names.values()]
            added[first].append(
                "".join(
                    f"{bit}{code}\n" if width == 1 else f"b{bit} {code}\n"
                    for bit, width, code in zip(unknown, names.values(), codes, strict=True)
                )
            )
            for cycle, text in track.changes(codes):
                added[cycle].append(text)
        out.write("$enddefinitions $end\n")
        _copy_changes(lines, out, known, added, last)
    partial.replace(target)
    return scopes


def _copy_header(lines: TextIO, out: TextIO) -> tuple[set[str], dict[str, list[str]]]:
    """What is declared and kept: the codes of the signals, and single bits by scope."""
    known: set[str] = set()
    scopes: dict[str, list[str]] = {}
    path: list[str] = []
    for line in lines:
        words = line.split()
        if words[:1] == ["$enddefinitions"]:
            break
        hidden = any(name.startswith("reslif_") for name in path)
        if words[:1] == ["$scope"]:
            path.append(words[2])
            hidden = hidden or len(path) == 1 or words[2].startswith("reslif_")
        elif words[:1] == ["$upscope"]:
            path.pop()
            hidden = hidden or not path
        elif words[:1] == ["$var"]:
            hidden = hidden or len(path) == 1 or words[4].startswith("$")
            if not hidden:
                known.add(words[3])
                if words[2] == "1":
                    scopes.setdefault(".".join(path[1:]), []).append(words[4])
        if not hidden:
            out.write(line)
    return known, scopes


def _declare(tracks: Sequence[Track], out: TextIO) -> list[list[str]]:
    """Declare the signals of ``tracks``; their codes, longer than any of a simulator's."""
    number = count()
    result = [[f"~~~~~~~~{next(number)}" for _ in track.signals] for track in tracks]
    out.write(f"$scope module {ROOT} $end\n")
    for node in dict.fromkeys(track.node for track in tracks):
        out.write(f"$scope module {node} $end\n")
        for track, codes in zip(tracks, result, strict=True):
            if track.node != node:
                continue
            out.write(f"$scope module {track.quantity} $end\n")
            for (name, width), code in zip(track.signals.items(), codes, strict=True):
                out.write(f"$var wire {width} {code} {name}{_range(width)} $end\n")
            out.write("$upscope $end\n")
        out.write("$upscope $end\n")
    out.write("$upscope $end\n")
    return result


def _range(width: int) -> str:
    return f" [{width - 1}:0]" if width > 1 else ""


def _copy_changes(
    lines: TextIO,
    out: TextIO,
    known: set[str],
    added: Mapping[int, Sequence[str]],
    last: int,
) -> None:
    """Merge the changes of the simulation with ``added``, which go to the beginnings of cycles."""
    waiting = sorted(added, reverse=True)
    for line in lines:
        if line.startswith("#"):
            cycle, rest = divmod(int(line[1:]), CYCLE)
            if cycle > last:
                break
            out.write(line)
            while rest == 0 and waiting and waiting[-1] <= cycle:
                out.writelines(added[waiting.pop()])
            continue
        if line[0] == "b":
            kept = line.split()[1] in known
        else:
            kept = line[0] in "01xz" and line[1:].rstrip() in known
        if kept:
            out.write(line)


# Flags of GTKWave's save files, hexadecimal: what begins and ends groups, and formats.
_OPEN, _CLOSED, _END, _COMMENT = "@800200", "@c00200", "@1000200", "@200"
_CLOSED_END = "@1400200"
_BINARY, _UNSIGNED, _SIGNED, _HEX = "@28", "@24", "@420", "@22"
MANY_LANES = 8
"""A quantity with more lanes is a closed group in GTKWave."""


def gtkwave_list(dump: str, tracks: Sequence[Track], scopes: Scopes, first: int) -> str:
    """A GTKWave save file for the file ``dump``: a group for each layer, beginning at ``first``."""
    lines = [
        f"[*] gtkwave {dump} {Path(dump).stem}.gtkw",
        f'[dumpfile] "{dump}"',
        f"[timestart] {first * CYCLE}",
        _BINARY,
        "top.aclk",
        "top.aresetn",
    ]
    for node, parts in _by_node(tracks).items():
        lines += [_OPEN, f"-{node}"]
        for track in parts:
            closed = track.lanes.shape[1] > MANY_LANES
            lines += [_CLOSED if closed else _OPEN, f"-{track.quantity}"]
            for name, width in track.signals.items():
                path = f"{ROOT}.{node}.{track.quantity}.{name}"
                lines += [_format(track, name, width), f"{path}{_range(width).strip()}"]
            lines += [_CLOSED_END if closed else _END, f"-{track.quantity}"]
        lines += [_BINARY, *_handshakes(node, parts, scopes), _END, f"-{node}"]
    lines += [_OPEN, "-result", _BINARY]
    lines += [f"top.m_axis_{name}" for name in ("tvalid", "tready", "tlast")]
    lines += [_SIGNED, "top.m_axis_tdata[31:0]", _END, "-result"]
    return "\n".join([*lines, ""])


def _format(track: Track, name: str, width: int) -> str:
    if width == 1:
        return _BINARY
    if track.quantity == "word" and name.startswith("lane"):
        return _HEX
    return _SIGNED if track.signed and name.startswith("lane") else _UNSIGNED


def surfer_list(tracks: Sequence[Track], scopes: Scopes) -> str:
    """A Surfer command file: a divider and the signals of each layer."""
    lines = ["variable_add top.aclk", "variable_add top.aresetn"]
    for node, parts in _by_node(tracks).items():
        lines.append(f"divider_add {node}")
        for track in parts:
            lines += [
                f"variable_add {ROOT}.{node}.{track.quantity}.{name}" for name in track.signals
            ]
        lines += [f"variable_add {name}" for name in _handshakes(node, parts, scopes)]
    lines.append("divider_add result")
    lines += [f"variable_add top.m_axis_{n}" for n in ("tvalid", "tready", "tlast", "tdata")]
    return "\n".join([*lines, "zoom_fit", ""])


def _by_node(tracks: Sequence[Track]) -> dict[str, list[Track]]:
    result: dict[str, list[Track]] = {}
    for track in tracks:
        result.setdefault(track.node, []).append(track)
    return result


def _handshakes(node: str, tracks: Sequence[Track], scopes: Scopes) -> list[str]:
    """Ready and valid of the streams of a node's own module, if it has one."""
    for track in tracks:
        if track.quantity == "word":
            return [f"top.s_axis_{name}" for name in ("tvalid", "tready", "tlast")]
    found = []
    for scope, names in scopes.items():
        if scope.split(".")[-1] == node:
            found += [
                f"{scope}.{name}"
                for name in names
                if name.endswith(("ready", "valid")) and not name.startswith("probe_")
            ]
    return found
