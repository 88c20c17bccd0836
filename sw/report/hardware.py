"""The design: who works when, what it takes, how fast it is and why not faster."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .charts import DEEP, legend, line_chart, over_depth, staircase
from .facts import Hop, Module, Placed, RunFacts, Schedule
from .section import Section

MODULES = 24
"""Modules in the table of areas; the rest is added up."""
DEPTH = 3
"""Parts of a module's name, such as ``top.core.lif1``: what is below counts to it."""
SLOWEST = 5
_AREA = ("luts", "ffs", "brams", "dsps")


def section(facts: RunFacts) -> Section:
    title = "Hardware"
    if "generate" not in facts.stages:
        return Section("hardware", title, missing="No Verilog has been generated yet.",
                       command="reslif generate")  # fmt: skip
    values: dict[str, Any] = {
        "engine": facts.engine,
        "built": "build" in facts.stages,
        "estimate": facts.stages["generate"].get("estimate"),
        "simulated": "cosim" in facts.stages,
        "per_second": _per_second(facts),
        "schedule": None,
        "placed": facts.placed,
        "why": facts.why.get("data", ""),
    }
    if facts.schedule is not None:
        values["schedule"] = _schedule(facts.schedule)
    if facts.placed is not None:
        values["path"] = critical_path(facts.placed.path)
        values["modules"] = modules_of(facts.placed)
    return Section("hardware", title, values)


def _per_second(facts: RunFacts) -> float | None:
    clock, cycles = facts.figure("build.clock_mhz"), facts.figure("cosim.cycles_per_sample")
    return clock * 1e6 / cycles if clock and cycles else None


def _schedule(schedule: Schedule) -> dict[str, Any]:
    rows = [
        (name, [(span.start, span.end, span.step) for span in spans])
        for name, spans in schedule.rows
    ]
    busy = {name: sum(s.end - s.start for s in spans) for name, spans in schedule.rows}
    depth = None
    if len(rows) > DEEP:
        series = over_depth(busy)
        depth = legend(series) + line_chart(series, "Cycles of each layer", "layer of weights")
    slowest = sorted(busy, key=lambda name: -busy[name])[:SLOWEST]
    return {
        "chart": staircase(rows, schedule.cycles, "Which layer works when on one sample"),
        "depth": depth,
        "rows": len(rows),
        "thin": len(rows) > 48,
        "cycles": schedule.cycles,
        "sample": schedule.sample,
        "take_turns": schedule.take_turns,
        "slowest": [(name, busy[name], busy[name] / schedule.cycles) for name in slowest],
        "rams": schedule.block_rams,
        "most": max((count for _, count in schedule.block_rams), default=1),
        "total": sum(count for _, count in schedule.block_rams),
    }


def modules_of(placed: Placed) -> list[Module]:
    """The rows of the table of areas, the largest first."""
    groups: dict[str, list[Module]] = {}
    for module in placed.modules:
        groups.setdefault(".".join(module.name.split(".")[:DEPTH]), []).append(module)
    rows = [_summed(name, modules) for name, modules in groups.items()]
    rows.sort(key=lambda row: (-row.luts, row.name))
    if rest := rows[MODULES:]:
        rows[MODULES:] = [_summed(f"{len(rest)} others", rest)]
    return rows


def _summed(name: str, modules: Sequence[Module]) -> Module:
    return Module(name, *(sum(getattr(module, what) for module in modules) for what in _AREA))


def critical_path(path: Sequence[Hop]) -> dict[str, Any] | None:
    """The slowest way between two registers in words and nanoseconds."""
    if not path:
        return None
    wires = [hop for hop in path if hop.kind == "routing"]
    gates = [hop for hop in path if hop.kind == "logic"]
    longest = max(wires, key=lambda hop: hop.ns, default=None)
    total = sum(hop.ns for hop in path)
    return {
        "ns": total,
        "start": path[0].cell,
        "out": path[0].ns,
        "end": path[-1].cell,
        "levels": len(gates),
        "logic": sum(hop.ns for hop in gates),
        "wires": sum(hop.ns for hop in wires),
        "share": sum(hop.ns for hop in wires) / total if total else 0.0,
        "longest": longest,
        "hops": [(hop.kind, hop.ns, hop.ns / total if total else 0.0) for hop in path if hop.ns],
    }
