"""What nextpnr and Yosys left beside a bitstream: utilisation, critical path, area by module."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .facts import Hop, Module, Placed
from .read import ReportError, read_json

SHOWN = {
    "TRELLIS_COMB": "LUTs", "TRELLIS_FF": "flip-flops", "DP16KD": "block RAMs (18 kbit)",
    "MULT18X18D": "multipliers", "EHXPLLL": "PLLs", "TRELLIS_IO": "pins",
    "ICESTORM_LC": "logic cells", "ICESTORM_RAM": "block RAMs (4 kbit)",
    "ICESTORM_DSP": "multipliers", "ICESTORM_SPRAM": "SPRAMs (256 kbit)", "ICESTORM_PLL": "PLLs",
    "SB_IO": "pins",
}  # fmt: skip
"""nextpnr's names of the resources that are shown, in words."""

_LUTS = {"LUT4": 1, "CCU2C": 2, "SB_LUT4": 1, "TRELLIS_DPR16X4": 4}
_FF = re.compile(r"SB_DFF\w*|TRELLIS_FF")
_RAMS = ("DP16KD", "SB_RAM40_4K", "SB_SPRAM256KA")
_DSPS = ("MULT18X18D", "SB_MAC16")


def placed(folder: Path) -> Placed | None:
    """What was built in ``folder``, or None if it holds no report of nextpnr."""
    path = folder / "report.json"
    if not path.is_file():
        return None
    content = read_json(path, "build")
    try:
        there = content["utilization"]
        utilisation = tuple(
            (words, int(there[name]["used"]), int(there[name]["available"]))
            for name, words in SHOWN.items()
            if name in there and there[name]["available"]
        )
        # Of clocked paths the longest; others begin or end at a pin.
        paths = [
            entry["path"]
            for entry in content["critical_paths"]
            if "async" not in entry["from"] and "async" not in entry["to"]
        ]
        hops = [
            tuple(Hop(str(h["type"]), float(h["delay"]), str(h["to"]["cell"])) for h in path)
            for path in paths
        ]
    except (KeyError, TypeError, ValueError, AttributeError):
        raise ReportError(f"{path} is no report of nextpnr, run `reslif build` again") from None
    longest = max(hops, key=lambda path: sum(hop.ns for hop in path), default=())
    return Placed(utilisation, longest, _modules(folder / "netlist.json"))


def _modules(path: Path) -> tuple[Module, ...]:
    """Cells of the flattened netlist by the module that their names come from."""
    if not path.is_file():
        return ()
    content = read_json(path, "build")
    try:
        cells = content["modules"]["board"]["cells"]
        scopes = {
            name: cell["attributes"].get("module", name)
            for name, cell in cells.items()
            if cell["type"] == "$scopeinfo"
        }
        return _counted(cells, scopes)
    except (KeyError, TypeError, AttributeError):
        raise ReportError(f"{path} is no netlist of Yosys, run `reslif build` again") from None


def _counted(cells: Mapping[str, Any], scopes: Mapping[str, str]) -> tuple[Module, ...]:
    plain = {_plain(name): module for name, module in scopes.items()}
    counts: dict[str, list[int]] = {}
    for name, cell in cells.items():
        kind = cell["type"]
        worth = (
            _LUTS.get(kind, 0),
            int(bool(_FF.fullmatch(kind))),
            int(kind in _RAMS),
            int(kind in _DSPS),
        )
        if any(worth):
            row = counts.setdefault(scope_of(name, plain), [0, 0, 0, 0])
            for place, value in enumerate(worth):
                row[place] += value
    table = [Module(name, *row) for name, row in counts.items()]
    return tuple(sorted(table, key=lambda module: (-module.luts, module.name)))


def _plain(name: str) -> str:
    return re.sub(r"\W", "_", name)


def scope_of(cell: str, scopes: Mapping[str, str]) -> str:
    """The module of a flattened cell: Yosys glues names with ``_`` or ``.``, so the longest
    ``scopes`` that its name begins with."""
    parts = _plain(cell).split("_")
    for count in range(len(parts), 0, -1):
        if (module := scopes.get("_".join(parts[:count]))) is not None:
            return module
    return "board"
