"""Arrays of LSTM cells, and the lookup of their activations, against the golden step."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from amaranth.hdl import signed
from neuron_sim import RESETS, assert_same, differ, expected, random_currents, simulate
from reslif.hw.folding import FoldingError
from reslif.hw.lstm import LSTMModel
from reslif.hw.models import neuron_array
from reslif.sw.formats import Format
from reslif.sw.network import LSTM
from reslif.sw.neurons.table import Tanh

CURRENT = Format(9, 5)
CELL = Format(10, 8)
MEMBRANE = Format(9, 8)
TABLE = Tanh.of(step=4, frac=7)


def node_of(
    reset: Any = "subtract",
    delayed: bool = True,
    *,
    size=6,
    table=TABLE,
    gate_frac=6,
    **changes: Any,
) -> LSTM:
    fields: dict[str, Any] = {"membrane": MEMBRANE, "cell": CELL, "threshold": 70} | changes
    return LSTM(
        "n",
        size,
        gate_frac=gate_frac,
        table=table.entries,
        table_step=table.step,
        table_frac=table.frac,
        reset=reset,
        reset_delay=delayed,
        **fields,
    )


def currents_for(size, steps=16, form=CURRENT):
    """Forget gates lean to open, so that the cell saturates."""
    currents = random_currents(form, 4 * size, steps)
    currents[..., size : 2 * size] |= 1 << (form.width - 2)
    return np.clip(currents, form.min, form.max)


@pytest.mark.parametrize(("reset", "delayed"), RESETS)
@pytest.mark.parametrize(("strict", "per_neuron"), [(True, False), (False, True)])
@pytest.mark.parametrize("lanes", [1, 3, 6])
def test_step_equals_golden(reset, delayed, strict, per_neuron, lanes):
    threshold = np.array([1, 20, 70, 71, 90, 140]) if per_neuron else 70
    node = node_of(reset, delayed, strict=strict, threshold=threshold)
    currents = currents_for(node.size, 12)
    want = expected(node, currents, CURRENT)
    got = simulate(node, lanes, currents, CURRENT, idle=0.2, stall=0.3)
    assert_same(got, want)
    assert 0 < want.values["sent.spike"].mean() < 1
    assert want.values["cell"].min() == CELL.min
    assert want.values["cell"].max() == CELL.max
    assert want.values["membrane"].min() < -100
    assert sum(int(beat.end_of_sample) for _, beat in got.beats) == 3


SHAPES = {
    "as coarse as the table": (Tanh.of(5, 6), {"gate_frac": 5}, CURRENT),
    "a step finer": (Tanh.of(4, 7), {"gate_frac": 5}, CURRENT),
    "table in block RAM": (Tanh.of(6, 8), {"gate_frac": 8}, CURRENT),
    "tiny table": (Tanh.of(0, 1, 3), {"gate_frac": 7, "membrane": Format(5, 3)}, Format(9, 6)),
    "argument within the table": (Tanh.of(4, 7), {"gate_frac": 6}, Format(5, 5)),
    "unsigned gates": (Tanh.of(4, 7), {"gate_frac": 6}, Format(7, 5, signed=False)),
    "finest membrane": (Tanh.of(4, 5), {"gate_frac": 6, "membrane": Format(11, 11)}, CURRENT),
    "coarse membrane": (Tanh.of(4, 7), {"gate_frac": 6, "membrane": Format(4, 3)}, CURRENT),
    "fine cell": (Tanh.of(4, 7), {"gate_frac": 6, "cell": Format(14, 13)}, CURRENT),
    "cell as coarse as the table": (Tanh.of(7, 7), {"gate_frac": 8, "cell": Format(9, 7)}, CURRENT),
}


@pytest.mark.parametrize("name", SHAPES)
def test_all_formats_equal_golden(name):
    table, changes, form = SHAPES[name]
    threshold = 1 if name in ("tiny table", "coarse membrane") else 10
    node = node_of(table=table, threshold=threshold, **changes)
    currents = currents_for(node.size, 40, form)
    want = expected(node, currents, form)
    assert_same(simulate(node, 3, currents, form, stall=0.1), want)
    assert 0 < want.values["sent.spike"].mean() < 1
    assert len(np.unique(want.values["membrane"])) > 5


def moved(entries: np.ndarray, index: int) -> np.ndarray:
    result = entries.copy()
    result[index] += 1
    return result


FAULTS = {
    "an entry": {"table": moved(TABLE.entries, 20)},
    "a short table": {"table": TABLE.entries[:-20]},
    "the table's step": {"table_step": 5},
    "the threshold": {"threshold": 71},
    "strict": {"strict": False},
    "the reset": {"reset": "none"},
    "its delay": {"reset_delay": False},
    "the cell's bounds": {"cell": Format(9, 8)},
    "the membrane's bounds": {"membrane": Format(8, 8)},
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_caught(fault):
    """Each planted fault changes what the comparison above sees."""
    node = node_of()
    currents = currents_for(node.size, 60)
    got = simulate(replace(node, **FAULTS[fault]), 3, currents, CURRENT)
    differing = differ(got, expected(node, currents, CURRENT))
    assert differing & {"sent.spike", "sent.membrane"}


def test_gates_in_another_order_are_caught():
    node = node_of()
    currents = currents_for(node.size)
    halves = np.split(currents, 4, axis=2)
    swapped = np.concatenate([halves[0], halves[1], halves[3], halves[2]], axis=2)
    got = simulate(node, 3, swapped, CURRENT)
    assert "cell" in differ(got, expected(node, currents, CURRENT))


def test_lanes_that_mix_gates_are_refused():
    with pytest.raises(FoldingError, match=r"^node 'n': 4 lanes, must divide its 6 neurons$"):
        neuron_array(node_of(), 4, signed(9), 0)


@pytest.mark.parametrize("lanes", [1, 4])
def test_latency_and_throughput(lanes):
    """A word's update takes four beats; its result follows the output gate's."""
    words = 16 // lanes
    node = node_of(size=16)
    cycles = [cycle for cycle, _ in simulate(node, lanes, currents_for(16, 6), CURRENT).beats]
    first = 3 * words + LSTMModel.latency
    steps = [range(first + 4 * words * t, first + 4 * words * t + words) for t in range(6 * 3)]
    assert cycles == [cycle for step in steps for cycle in step]
