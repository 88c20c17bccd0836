"""The tables of `make neurons` on few rows, and what they would say of faults."""

from __future__ import annotations

from pathlib import Path

import neuron_report
import pytest
import report_exactness
import report_oracle
import torch
from neuron_cases import CASES
from report_exactness import Design
from reslif.sw import golden


@pytest.fixture(scope="module")
def rows():
    torch.set_num_threads(1)  # tensors this small lose to a thread pool
    return report_oracle.table()


def test_every_float_neuron_agrees_with_its_reference(rows) -> None:
    assert all(row["ok"] for row in rows), [row for row in rows if not row["ok"]]
    assert {row["neuron"] for row in rows} == {
        *("Leaky", "Lapicque", "Synaptic", "Alpha", "RLeaky", "RSynaptic"),
        *("LeakyParallel", "SLSTM", "SConv2dLSTM"),
    }


@pytest.mark.parametrize("neuron", ["Leaky", "Synaptic", "Alpha", "RLeaky", "SLSTM"])
def test_another_threshold_is_seen(neuron: str, monkeypatch: pytest.MonkeyPatch) -> None:
    setting = next(s for s in report_oracle.settings() if s.neuron == neuron)
    pair = report_oracle._pair

    def faulty(setting):
        ours, theirs, current, names = pair(setting)
        ours.threshold = ours.threshold * 1.01
        return ours, theirs, current, names

    monkeypatch.setattr(report_oracle, "_pair", faulty)
    row = report_oracle.run(setting)
    assert not row["ok"]
    assert row["spike_differences"] or row["error"] > 1e-9


def test_each_difference_from_snntorch_has_its_test(tmp_path: Path) -> None:
    root = Path(__file__).parent.parent
    neuron_report.check_differences(root)
    for _, _, path, _ in neuron_report.DIFFERENCES:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("def test_something_else(): ...\n")
    with pytest.raises(AssertionError, match="has no test"):
        neuron_report.check_differences(tmp_path)


def sampled() -> list[Design]:
    """One design of each family, recurrence and option, formats and lanes in turn."""
    found: dict[tuple, Design] = {}
    for i, case in enumerate(CASES):
        key = (case.family, case.recurrence, *case.options, case.through_time)
        found.setdefault(key, Design(case, i % 2, (1, 4)[i // 2 % 2]))
    return list(found.values())


def test_hardware_and_training_equal_golden() -> None:
    designs = sampled()
    rows = report_exactness.run(designs)
    assert len(rows) == len(designs) > 20
    assert {row["family"] for row in rows} == {"LIF", "Synaptic", "Alpha", "Adaptive", "LSTM"}
    assert all(row["spikes"] for row in rows)
    assert sum(row["saturations"] for row in rows) > 0


def test_planted_faults_are_seen_in_hardware() -> None:
    controls = list(report_exactness.controls())
    assert len(controls) == sum(map(len, report_exactness.FAULTS.values()))
    assert all("neuron" in row["seen"] and "timestep" in row["seen"] for row in controls)


def test_a_fault_is_seen_in_training() -> None:
    case = CASES[0]
    network, inputs = case.network(), report_exactness.samples(case)
    trace = golden.run(network, inputs, None)
    assert report_exactness.quantised(network, trace, inputs)[1] == 0
    wrong = report_exactness.faulty(network, "leak", 1)
    assert report_exactness.quantised(wrong, trace, inputs)[1] > 0


@pytest.mark.slow
def test_the_whole_table_is_bit_exact() -> None:
    torch.set_num_threads(1)
    designs = report_exactness.designs()
    assert len(report_exactness.run(designs)) == len(designs) > 300


def test_the_page_holds_every_row(rows) -> None:
    exact = {
        "family": "LIF", "case": "LIF zero delayed", "formats": 0, "lanes": 1, "spikes": 5,
        "saturations": 2, "rtl_comparisons": 1234, "rtl_mismatches": 0, "qat_comparisons": 77,
        "qat_mismatches": 0,
    }  # fmt: skip
    found = {
        "oracle": rows,
        "exactness": [exact, replace_lanes(exact, 4)],
        "controls": [{"fault": "LIF leak", "seen": "neuron.membrane differs"}],
        "area": [{"neuron": "LIF", "LUTs": 99}],
        "versions": {"reslif": "0"},
    }
    page = neuron_report.page(found)
    assert "| LIF zero delayed | 2 | 10 | 4 | 2,468 | 154 | 0 |" in page
    assert "| LIF | 99 |" in page
    for neuron in {row["neuron"] for row in rows}:
        assert f"| {neuron} |" in page


def replace_lanes(row: dict, lanes: int) -> dict:
    return {**row, "lanes": lanes}
