"""From ``top.v`` to a bitstream, or to the area and speed of the bare design."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..sw.network_file import write_atomically
from .board import write_board
from .constraints import constraints
from .devices import Device
from .errors import BuildError
from .tools import Progress, check, find, run

SYNTHESIS, PLACE_AND_ROUTE, PACK = "synthesis", "place-and-route", "pack"
BARE_MHZ = 100.0
_FF = re.compile(r"SB_DFF\w*|TRELLIS_FF")
_RAM = {"ice40": "ICESTORM_RAM", "ecp5": "DP16KD"}
_SPRAM = "ICESTORM_SPRAM"
_DSP = {"ice40": "ICESTORM_DSP", "ecp5": "MULT18X18D"}
_LUT = {"ice40": "ICESTORM_LC", "ecp5": "TRELLIS_COMB"}
_SYNTHESIS = {
    # Short queues would each take one of the few block RAMs; there is no smaller RAM.
    "ice40": "memory_collect; "
    'setattr -set ram_style "logic" t:$mem_v2 r:SIZE<=32 %i r:WIDTH<=4 %i; '
    "synth_ice40 -device u -dsp",
    "ecp5": "synth_ecp5",
}


@dataclass(frozen=True)
class Usage:
    """Area and speed of a placed and routed design.

    ``luts`` counts logic cells as nextpnr does (ICESTORM_LC, TRELLIS_COMB), ``brams`` SB_RAM40_4K
    or DP16KD, ``sprams`` SB_SPRAM256KA, ``dsps`` SB_MAC16 or MULT18X18D. ``fmax_mhz`` is the
    slowest corner's. ``verilog_sha256`` is the digest of the ``top.v`` that was built.
    ``seconds``: by stage.
    """

    device: str
    luts: int
    ffs: int
    brams: int
    sprams: int
    dsps: int
    fmax_mhz: float
    verilog_sha256: str
    seconds: dict[str, float]
    versions: dict[str, str]

    def to_json(self) -> dict[str, Any]:
        """As JSON-compatible values."""
        result = asdict(self)
        return {key: str(v) if isinstance(v, Path) else v for key, v in result.items()}


@dataclass(frozen=True)
class BuildResult(Usage):
    """A bitstream beside its :class:`Usage`; it runs at ``clock_mhz``."""

    clock_mhz: float
    baud: int
    bitstream: Path
    bitstream_sha256: str


def build(
    folder: Path,
    device: Device,
    *,
    clock_mhz: float | None = None,
    attempts: int = 3,
    progress: Progress | None = None,
) -> BuildResult:
    """Make the bitstream ``<folder>/<device>/top.bit`` (``.bin``) of ``<folder>/top.v``.

    Beside it lie ``board.v`` (what surrounds ``top``), the constraints, the logs and
    ``build.json`` (the result). The design runs at ``clock_mhz``, by default the device's; should
    it come out too slow, placement is tried again, ``attempts`` times with seeds 1, 2, and so on.

    Raises :class:`BuildError` if the design does not fit, or is too slow for the clock.
    """
    clock_mhz = clock_mhz or device.clock_mhz
    check_weights(_weights(folder), device, folder)
    job = _Job(folder, folder / device.name, device, progress)
    bitstream = job.folder / f"top.{device.suffix}"
    record = job.folder / "build.json"
    for stale in (bitstream, record):
        stale.unlink(missing_ok=True)
    write_board(job.folder, device, clock_mhz)
    write_atomically(job.folder / "board.pins", constraints(device).encode())

    job.synthesise("board", "../top.v", "board.v")
    flag = "--pcf" if device.family == "ice40" else "--lpf"
    reached = []
    for seed in range(1, attempts + 1):
        fmax = job.place_and_route(device.package, clock_mhz, seed, flag, "board.pins")
        reached.append(fmax)
        if fmax >= clock_mhz:
            break
    else:
        raise BuildError(
            f"{device.name}: reaches {max(reached):.2f} MHz, its clock is {clock_mhz:g} MHz: "
            "choose a slower clock or fewer lanes"
        )
    content = job.pack()
    write_atomically(bitstream, content)
    result = BuildResult(
        **job.usage(reached[-1]),
        clock_mhz=clock_mhz,
        baud=device.baud,
        bitstream=bitstream,
        bitstream_sha256=hashlib.sha256(content).hexdigest(),
    )
    write_atomically(record, (json.dumps(result.to_json(), indent=2) + "\n").encode())
    return result


def measure(folder: Path, device: Device, *, progress: Progress | None = None) -> Usage:
    """Area and speed of ``<folder>/top.v`` alone, its ports on pins that the tools choose.

    Raises :class:`BuildError` if the device has no package with so many pins.
    """
    if device.bare_package is None:
        raise BuildError(f"{device.name} has too few pins for a bare design: build it instead")
    _check_spram(_weights(folder), device, folder)
    job = _Job(folder, folder / f"{device.name}-bare", device, progress)
    job.synthesise("top", "../top.v")
    fmax = job.place_and_route(device.bare_package, BARE_MHZ, 1, "--lpf-allow-unconstrained")
    return Usage(**job.usage(fmax))


def check_weights(source: str, device: Device, design: Path | str = "the recipe") -> None:
    """Raise if the board of ``device`` has no place for weights from ``source``."""
    _check_spram(source, device, design)
    if source == "stream":
        raise BuildError(
            f"weights of {design} are streamed, {device.board} offers no memory for them here: "
            "flow --until cosim ends before the build"
        )


def _check_spram(source: str, device: Device, design: Path | str) -> None:
    if source == "loaded" and _SPRAM not in device.capacity:
        raise BuildError(f"weights of {design} are loaded into SPRAM, {device.name} has none")


def _weights(folder: Path) -> str:
    """Where the weights of a design are."""
    path = folder / "manifest.json"
    if not path.is_file():
        return "block"
    try:
        return json.loads(path.read_text()).get("weights", {}).get("source", "block")
    except (ValueError, AttributeError):
        raise BuildError(f"{path} is no manifest of a design: generate the design again") from None


class _Job:
    """The tools at work in one folder; ``top.v`` lies in its parent."""

    def __init__(
        self, source: Path, folder: Path, device: Device, progress: Progress | None
    ) -> None:
        if not (source / "top.v").is_file():
            raise BuildError(f"{source} holds no top.v: generate the design first")
        self.digest = hashlib.sha256((source / "top.v").read_bytes()).hexdigest()
        self.folder = folder
        self.device = device
        self.progress = progress
        self.seconds: dict[str, float] = {}
        self.yosys = find("YOSYS")
        family = device.family.upper()
        self.nextpnr = find(f"NEXTPNR_{family}")
        self.packer = find("ICEPACK" if device.family == "ice40" else "ECPPACK")
        folder.mkdir(parents=True, exist_ok=True)

    def execute(self, stage: str, *command: str) -> tuple[int, str]:
        start = time.monotonic()
        result = run(stage, command, self.folder, self.progress)
        seconds = self.seconds.get(stage, 0.0) + time.monotonic() - start
        self.seconds[stage] = round(seconds, 1)
        return result

    def synthesise(self, top: str, *sources: str) -> None:
        # Names such as "data[0]" of whole wires crash ABC9's reader (Yosys 0.70), so they go.
        script = (
            f"read_verilog {' '.join(sources)}; hierarchy -top {top}; proc; flatten; "
            f"rename -unescape; {_SYNTHESIS[self.device.family]} -top {top} -json netlist.json; "
            "tee -q -o cells.json stat -json"
        )
        # Its standard output may be lost, so the log is a file of its own.
        status, text = self.execute(SYNTHESIS, self.yosys, "-q", "-l", "yosys.log", "-p", script)
        log = self.folder / "yosys.log"
        text += log.read_text(errors="replace") if log.is_file() else ""
        check(SYNTHESIS, (status, text), self.folder)

    def place_and_route(self, package: str, mhz: float, seed: int, *extra: str) -> float:
        """Fmax in MHz."""
        placed = {"ice40": "--asc", "ecp5": "--textcfg"}[self.device.family]
        status, text = self.execute(
            PLACE_AND_ROUTE,
            *(self.nextpnr, *self.device.nextpnr, "--package", package),
            *("--json", "netlist.json", placed, "placed.txt", "--report", "report.json"),
            *("--freq", f"{mhz:g}", "--seed", str(seed), "--timing-allow-fail", *extra),
        )
        if status:
            self.explain(text)
        check(PLACE_AND_ROUTE, (status, text), self.folder)
        self.report = json.loads((self.folder / "report.json").read_text())
        return round(min(clock["achieved"] for clock in self.report["fmax"].values()), 2)

    def explain(self, text: str) -> None:
        """Raises an error if the log shows that the design does not fit."""
        used = dict.fromkeys(self.device.capacity, 0)
        for name, count in re.findall(
            r"^Info:\s+(\w+):\s+(\d+)/\s*\d+\s+\d+%$", text, re.MULTILINE
        ):
            used[name] = int(count)
        for name, available in self.device.capacity.items():
            if used[name] > available:
                raise BuildError(
                    f"design does not fit {self.device.name}: it needs {used[name]} {name}, "
                    f"there are {available}"
                )

    def pack(self) -> bytes:
        command = [self.packer, "placed.txt", "packed"]
        if self.device.family == "ecp5":
            command.insert(1, "--compress")
        check(PACK, self.execute(PACK, *command), self.folder)
        packed = self.folder / "packed"
        content = packed.read_bytes()
        packed.unlink()
        return content

    def usage(self, fmax: float) -> dict[str, Any]:
        """The fields of :class:`Usage`."""
        used = {name: entry["used"] for name, entry in self.report["utilization"].items()}
        cells = json.loads((self.folder / "cells.json").read_text())["design"]
        family = self.device.family
        return {
            "device": self.device.name,
            "luts": used[_LUT[family]],
            "ffs": sum(n for cell, n in cells["num_cells_by_type"].items() if _FF.match(cell)),
            "brams": used[_RAM[family]],
            "sprams": used.get(_SPRAM, 0),
            "dsps": used[_DSP[family]],
            "fmax_mhz": fmax,
            "verilog_sha256": self.digest,
            "seconds": self.seconds,
            "versions": {"yosys": _version(self.yosys), "nextpnr": _version(self.nextpnr)},
        }


def _version(program: str) -> str:
    result = subprocess.run([program, "--version"], capture_output=True, text=True)
    found = re.search(r"\d+\.\d+[\w.+-]*", result.stdout + result.stderr)
    return found.group() if found else "unknown"
