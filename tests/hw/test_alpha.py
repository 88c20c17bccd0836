"""Arrays of alpha neurons against the golden step."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from neuron_sim import RESETS, assert_same, differ, expected, random_currents, simulate
from reslif.hw.alpha import AlphaModel
from reslif.sw.formats import Format
from reslif.sw.network import Alpha

CURRENT = Format(7, 1)
SYNAPTIC = Format(9, 3)
MEMBRANE = Format(9, 3)
ALPHA_RESETS = [pair for pair in RESETS if pair != ("subtract", False)]


def node_of(reset: Any, delayed: bool, *, strict=True, per_neuron=False, size=7) -> Alpha:
    rng = np.random.default_rng(5)
    numbers = {"excitatory_leak": 14, "inhibitory_leak": 10, "gain": 27, "threshold": 60}
    if per_neuron:
        numbers = {
            "excitatory_leak": rng.integers(10, 17, size),
            "inhibitory_leak": rng.integers(0, 13, size),
            "gain": rng.integers(10, 60, size),
            "threshold": rng.integers(1, 180, size),
        }
    return Alpha(
        "n",
        size,
        MEMBRANE,
        SYNAPTIC,
        leak_shift=4,
        gain_shift=3,
        reset=reset,
        reset_delay=delayed,
        strict=strict,
        **numbers,  # pyright: ignore[reportArgumentType]
    )


@pytest.mark.parametrize(("reset", "delayed"), ALPHA_RESETS)
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
    for state in ("excitatory", "inhibitory"):
        assert want.values[state].min() == SYNAPTIC.min
        assert want.values[state].max() == SYNAPTIC.max
    assert want.values["membrane"].min() == MEMBRANE.min
    assert want.values["membrane"].max() == MEMBRANE.max or reset == "zero"
    assert sum(int(beat.end_of_sample) for _, beat in got.beats) == 3


@pytest.mark.parametrize("reset", ["subtract", "zero"])
@pytest.mark.parametrize(
    ("change", "value"),
    [
        ("excitatory_leak", 13),
        ("inhibitory_leak", 9),
        ("gain", 26),
        ("threshold", 59),
        ("strict", False),
        ("reset", "none"),
        ("synaptic", Format(10, 3)),
        ("membrane", Format(10, 3)),
    ],
)
def test_faults_are_caught(reset, change, value):
    """Each planted fault changes what the comparison above sees."""
    node = node_of(reset, True)
    currents = random_currents(CURRENT, node.size, 100)
    seen = {"sent.margin"} if change in ("gain", "membrane") else {"sent.spike"}
    got = simulate(replace(node, **{change: value}), 4, currents, CURRENT)
    assert seen <= differ(got, expected(node, currents, CURRENT))


def test_what_is_clipped_twice_counts_twice():
    """A late subtraction bounds the excitatory state a second time."""
    node = replace(node_of("subtract", True, size=1), excitatory_leak=10, inhibitory_leak=16)
    currents = np.array([-64, 0, -64])[:, None, None]
    want = expected(node, currents, CURRENT)
    assert want.values["sent.spike"][:, 0, 0].tolist() == [0, 1, 1]
    # The inhibitory state twice, the membrane, and the excitatory state twice in the last step.
    assert want.saturated == 5
    assert_same(simulate(node, 1, currents, CURRENT), want)


@pytest.mark.parametrize("lanes", [1, 4])
def test_latency_and_throughput(lanes):
    node = node_of("subtract", True, size=32)
    currents = random_currents(CURRENT, 32, 6)
    cycles = [cycle for cycle, _ in simulate(node, lanes, currents, CURRENT).beats]
    assert cycles == list(range(AlphaModel.latency, AlphaModel.latency + len(cycles)))
