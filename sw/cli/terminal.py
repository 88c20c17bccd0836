"""What the command prints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

console = Console(soft_wrap=True, highlight=False)


def say(text: str) -> None:
    console.print(f"  {text}", markup=False)


def show(result: dict[str, Any], folder: Path) -> None:
    """The table at the end of a flow, and where the page is."""
    accuracy, cosim, build = result["accuracy"], result["cosim"], result["build"]
    table = Table(title=result["recipe"], show_header=False)

    def row(what: str, value: Any, text: str = "{}") -> None:
        table.add_row(what, "-" if value is None else text.format(value))

    row("accuracy, float", accuracy["float"], "{:.2%}")
    row("accuracy, golden model", accuracy["golden"], f"{{:.2%}} ({result['bits']}-bit weights)")
    row("accuracy, hardware", accuracy["hardware"], "{:.2%}")
    row("samples simulated", cosim["samples"])
    row("values compared", cosim["comparisons"], "{:,}")
    row("mismatches", cosim["mismatches"])
    row("spikes seen", cosim["spikes"], "{:,}")
    row("cycles per inference", cosim["cycles_per_sample"], "{:,.0f}")
    row("device", build.get("device"))
    row("LUTs", build.get("luts"), "{:,}")
    row("block RAMs", build.get("brams"))
    row("fmax", build.get("fmax_mhz"), "{:.1f} MHz")
    row("bitstream", build.get("bitstream"))
    console.print(table)
    console.print(f"  {folder / 'report.html'}", markup=False)
