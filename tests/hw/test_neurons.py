"""Arrays of LIF neurons against the golden step, and what all arrays share."""

from dataclasses import replace

import numpy as np
import pytest
from amaranth.hdl import Fragment
from neuron_sim import EXAMPLES, assert_same, differ, expected, random_currents, simulate
from reslif.hw import neuron_model
from reslif.hw.lanes import signed_digits
from reslif.hw.lif import LIFModel
from reslif.hw.models import MODELS, neuron_array
from reslif.hw.streams import shape_of
from reslif.sw.formats import Format
from reslif.sw.network import LIF, NODE_TYPES, Neuron

CURRENT = Format(7, 1)
MEMBRANE = Format(9, 4)
RESETS = [
    ("subtract", True, True),
    ("subtract", False, True),
    ("zero", True, True),
    ("zero", True, False),
    ("zero", False, True),
    ("none", True, True),
]


def node_of(reset, delayed, keep=False, *, strict=True, per_neuron=False, size=7, rectify=False):
    rng = np.random.default_rng(5)
    leak, threshold = np.array(13), np.array(40)
    if per_neuron:
        leak, threshold = rng.integers(0, 17, size), rng.integers(1, 90, size)
    return LIF(
        "lif", size, MEMBRANE, leak, 4, threshold, reset, delayed, strict, keep, rectify=rectify
    )


def currents_for(size, steps=9, batch=3):
    # Large enough that membranes saturate at both ends.
    return np.random.default_rng(2).integers(CURRENT.min, CURRENT.max + 1, (steps, batch, size))


@pytest.mark.parametrize(("reset", "delayed", "keep"), RESETS)
@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("per_neuron", [False, True])
@pytest.mark.parametrize("lanes", [1, 2, 4, 7])
def test_step_equals_golden(reset, delayed, keep, strict, per_neuron, lanes):
    node = node_of(reset, delayed, keep, strict=strict, per_neuron=per_neuron)
    currents = currents_for(node.size)
    want = expected(node, currents, CURRENT)
    got = simulate(node, lanes, currents, CURRENT, idle=0.2, stall=0.3)
    assert_same(got, want)
    assert 0 < want.values["sent.spike"].mean() < 1
    assert want.values["membrane"].max() == MEMBRANE.max or reset != "none"
    assert want.saturated > 0
    assert sum(int(beat.end_of_sample) for _, beat in got.beats) == 3


@pytest.mark.parametrize(("reset", "delayed", "keep"), RESETS)
@pytest.mark.parametrize("lanes", [2, 7])
def test_rectified_step_equals_golden(reset, delayed, keep, lanes):
    """What rectification takes away is not counted as saturated."""
    node = node_of(reset, delayed, keep, rectify=True, per_neuron=True)
    currents = currents_for(node.size)
    want = expected(node, currents, CURRENT)
    plain = expected(replace(node, rectify=False), currents, CURRENT)
    assert_same(simulate(node, lanes, currents, CURRENT, idle=0.2, stall=0.3), want)
    assert 0 < want.values["sent.spike"].mean() < 1
    assert want.values["membrane"].min() == 0 > plain.values["membrane"].min()
    assert want.saturated > 0


def test_unsigned_currents_and_those_on_the_membranes_grid():
    form = Format(6, 4, signed=False)
    node = node_of("subtract", True, per_neuron=True)
    currents = random_currents(form, node.size, 16)
    want = expected(node, currents, form)
    assert_same(simulate(node, 2, currents, form), want)
    assert 0 < want.values["sent.spike"].mean() < 1


@pytest.mark.parametrize("fault", ["strict", "delay", "leak", "threshold", "rectify"])
def test_faults_are_caught(fault):
    """Each planted fault changes what the comparison above sees."""
    node = node_of("subtract", True, keep=True)
    changes = {
        "strict": {"strict": False},
        "delay": {"reset_delay": False},
        "leak": {"leak": 14},
        "threshold": {"threshold": 41},
        "rectify": {"rectify": True},
    }
    currents = currents_for(node.size, steps=40)
    got = simulate(replace(node, **changes[fault]), 4, currents, CURRENT)
    assert "sent.spike" in differ(got, expected(node, currents, CURRENT))


@pytest.mark.parametrize("lanes", [1, 4])
def test_latency_and_throughput(lanes):
    node = node_of("subtract", True, size=16)
    cycles = [cycle for cycle, _ in simulate(node, lanes, currents_for(16), CURRENT).beats]
    # A beat that is offered in cycle 0 is seen `latency` cycles later; then one comes each cycle.
    assert cycles == list(range(LIFModel.latency, LIFModel.latency + len(cycles)))


def test_every_neuron_of_the_contract_has_a_model():
    contract = {kind for kind in NODE_TYPES if issubclass(kind, Neuron)}
    assert contract == MODELS.keys()


@pytest.mark.parametrize("value", range(257))
def test_signed_digits(value):
    plus, minus = signed_digits(value)
    assert plus - minus == value
    assert plus & minus == 0
    digits = plus | minus
    assert digits & digits << 1 == 0


@pytest.mark.parametrize("node", EXAMPLES, ids=lambda node: type(node).__name__)
@pytest.mark.parametrize("lanes", [1, 2, 3])
def test_masked_states_equal_golden(node, lanes, monkeypatch):
    """As where the zeros of a sample's first timestep would take block RAMs of their own."""
    form = Format(8, 4)
    assert not neuron_array_of(node, lanes, form).layout.masked
    monkeypatch.setattr(neuron_model, "block_rams", lambda depth, _: depth)
    array = neuron_array_of(node, lanes, form)
    assert array.layout.masked
    assert array.layout.rows == array.layout.words == 6 // lanes
    currents = random_currents(form, node.size * node.INPUTS, 12)
    want = expected(node, currents, form)
    assert_same(simulate(node, lanes, currents, form, 0.2, 0.3), want)
    assert 0 < want.values["sent.spike"].mean() < 1


def neuron_array_of(node, lanes, form):
    array = neuron_array(node, lanes, shape_of(form), 0)
    Fragment.get(array, None)
    return array


def test_masks_only_where_they_save_block_ram():
    node = node_of("subtract", True, size=7)
    assert not neuron_array_of(node, 1, CURRENT).layout.masked
    # 784 words of 40 bits take three block RAMs, twice as many five.
    large = neuron_array_of(replace(node, size=3136), 4, CURRENT)
    assert large.layout.masked
    assert large.layout.rows == 784


@pytest.mark.parametrize(("lanes", "period"), [(1, 3), (3, 1), (2, 3), (6, 1), (4, 3), (5, 3)])
def test_numbers_that_repeat_are_stored_once(lanes, period):
    """As those of three channels do from pixel to pixel; surplus lanes need rows of their own."""
    node = node_of("subtract", True, size=12)
    leak, threshold = np.array([3, 9, 16]), np.array([20, 40, 60])
    node = replace(node, leak=np.tile(leak, 4), threshold=np.tile(threshold, 4))
    array = neuron_array_of(node, lanes, CURRENT)
    assert array.layout.period == period
    assert array.memory_ports == 2 + (period > 1)
    currents = currents_for(12)
    want = expected(node, currents, CURRENT)
    assert_same(simulate(node, lanes, currents, CURRENT, 0.2, 0.3), want)
    assert 0 < want.values["sent.spike"].mean() < 1


def test_numbers_that_all_but_repeat_are_stored():
    threshold = np.tile([20, 40, 60], 4)
    threshold[-1] += 1
    node = replace(node_of("subtract", True, size=12), threshold=threshold)
    assert neuron_array_of(node, 1, CURRENT).layout.period == 12
    assert neuron_array_of(node, 3, CURRENT).layout.period == 4
