"""What was run, when, for how long, and what came out, at a glance."""

from __future__ import annotations

from .facts import RunFacts
from .section import Section

STAGES = ("train", "quantise", "generate", "cosim", "build")


def section(facts: RunFacts) -> Section:
    rows = []
    for stage in STAGES:
        done = stage in facts.stages
        rows.append((stage, done, facts.written.get(stage), f"seconds.{stage}"))
    config = facts.stages.get("train", {}).get("config", {})
    known = facts.report.get("seconds", {})
    return Section(
        "summary",
        "Summary",
        {
            "stages": rows,
            "total": sum(value for value in known.values() if value is not None),
            "config": sorted((key, str(value)) for key, value in config.items()),
            "versions": sorted(facts.report.get("versions", {}).items()),
            "next": next((name for name, done, _, _ in rows if not done), None),
        },
    )
