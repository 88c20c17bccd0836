"""Arrays of neurons with an adaptive threshold against the golden step."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from neuron_sim import RESETS, assert_same, differ, expected, random_currents, simulate
from reslif.hw.adaptive import AdaptiveModel
from reslif.sw.formats import Format
from reslif.sw.network import Adaptive

CURRENT = Format(7, 1)
MEMBRANE = Format(10, 4)
ADAPTATION = Format(7, 4, signed=False)


def node_of(reset: Any, delayed: bool, *, strict=True, per_neuron=False, size=7) -> Adaptive:
    rng = np.random.default_rng(5)
    numbers = {"leak": 13, "adaptation_leak": 15, "threshold": 60, "increment": 45}
    if per_neuron:
        numbers = {
            "leak": rng.integers(0, 17, size),
            "adaptation_leak": rng.integers(0, 17, size),
            "threshold": rng.integers(1, 300, size),
            "increment": rng.integers(0, 100, size),
        }
    return Adaptive(
        "n",
        size,
        MEMBRANE,
        ADAPTATION,
        leak_shift=4,
        reset=reset,
        reset_delay=delayed,
        strict=strict,
        **numbers,  # pyright: ignore[reportArgumentType]
    )


@pytest.mark.parametrize(("reset", "delayed"), RESETS)
@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("per_neuron", [False, True])
@pytest.mark.parametrize("lanes", [1, 2, 4, 7])
def test_step_equals_golden(reset, delayed, strict, per_neuron, lanes):
    node = node_of(reset, delayed, strict=strict, per_neuron=per_neuron)
    currents = random_currents(CURRENT, node.size, 16)
    want = expected(node, currents, CURRENT)
    got = simulate(node, lanes, currents, CURRENT, idle=0.2, stall=0.3)
    assert_same(got, want)
    assert 0 < want.values["sent.spike"].mean() < 1
    assert want.values["adaptation"].max() == ADAPTATION.max
    assert want.values["membrane"].min() == MEMBRANE.min
    assert want.values["membrane"].max() == MEMBRANE.max or reset != "none"
    assert sum(int(beat.end_of_sample) for _, beat in got.beats) == 3


@pytest.mark.parametrize(
    ("change", "value"),
    [
        ("leak", 12),
        ("adaptation_leak", 14),
        ("threshold", 61),
        ("increment", 46),
        ("strict", False),
        ("reset_delay", False),
        ("reset", "zero"),
        ("adaptation", Format(6, 4, signed=False)),
        ("membrane", Format(11, 4)),
    ],
)
def test_faults_are_caught(change, value):
    """Each planted fault changes what the comparison above sees."""
    node = node_of("subtract", True)
    currents = random_currents(CURRENT, node.size, 100)
    got = simulate(replace(node, **{change: value}), 4, currents, CURRENT)
    assert "sent.spike" in differ(got, expected(node, currents, CURRENT))


@pytest.mark.parametrize("lanes", [1, 4])
def test_latency_and_throughput(lanes):
    node = node_of("subtract", True, size=32)
    currents = random_currents(CURRENT, 32, 6)
    cycles = [cycle for cycle, _ in simulate(node, lanes, currents, CURRENT).beats]
    assert cycles == list(range(AdaptiveModel.latency, AdaptiveModel.latency + len(cycles)))
