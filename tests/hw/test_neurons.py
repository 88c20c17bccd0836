from dataclasses import replace

import numpy as np
import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from reslif.hw.lanes import signed_digits
from reslif.hw.lif import LIFModel
from reslif.hw.models import neuron_array, neuron_config
from reslif.hw.streams import current_stream, shape_of, words_of
from reslif.sw.formats import Format
from reslif.sw.golden import lif_step
from reslif.sw.network import LIF
from streams_sim import beats_of, run, values_of

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


class Array(wiring.Component):
    """The neurons of a node, configured."""

    def __init__(self, node: LIF, lanes: int) -> None:
        align = node.membrane.frac - CURRENT.frac
        self.node = node
        sends = ("spike", "membrane", "margin")
        self.array = neuron_array(node, lanes, shape_of(CURRENT), align, sends)
        super().__init__(
            {
                "currents": In(current_stream(lanes, shape_of(CURRENT))),
                "spikes": Out(current_stream(lanes, self.array.spikes.payload.values[0].shape())),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.array = self.array
        m.d.comb += self.array.config.eq(neuron_config(self.node))
        wiring.connect(m, wiring.flipped(self.currents), self.array.currents)
        wiring.connect(m, self.array.spikes, wiring.flipped(self.spikes))
        return m


def expected(node, currents):
    """Membrane, spike and margin ``[T, B, n]`` by the golden step."""
    batch = currents.shape[1]
    u, f = np.zeros((batch, node.size), np.int64), np.zeros((batch, node.size), bool)
    seen = []
    for current in currents << (node.membrane.frac - CURRENT.frac):
        u, f, v, _ = lif_step(node, u, f, current)
        seen.append((u, f.astype(int), v - node.threshold))
    return [np.stack(parts) for parts in zip(*seen, strict=True)]


def node_of(reset, delayed, keep, *, strict=True, per_neuron=False, size=7):
    rng = np.random.default_rng(5)
    leak, threshold = np.array(13), np.array(40)
    if per_neuron:
        leak, threshold = rng.integers(0, 17, size), rng.integers(1, 90, size)
    return LIF("lif", size, MEMBRANE, leak, 4, threshold, reset, delayed, strict, keep)


def simulate(node, lanes, currents, **stalls):
    count = words_of(node.size, lanes) * currents.shape[0] * currents.shape[1]
    got = run(
        Array(node, lanes), {"currents": beats_of(currents, lanes)}, "spikes", count, **stalls
    )
    return [
        values_of(got, currents.shape, lanes, field) for field in ("membrane", "spike", "margin")
    ], got


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
    want = expected(node, currents)
    got, beats = simulate(node, lanes, currents, idle=0.2, stall=0.3)
    for name, a, b in zip(("membrane", "spike", "margin"), got, want, strict=True):
        np.testing.assert_array_equal(a, b, err_msg=name)
    assert 0 < want[1].mean() < 1
    assert want[0].max() == MEMBRANE.max or reset != "none"
    assert sum(int(beat.end_of_sample) for _, beat in beats) == 3


@pytest.mark.parametrize("fault", ["strict", "delay", "leak", "threshold"])
def test_faults_are_caught(fault):
    """Each planted fault changes what the comparison above sees."""
    node = node_of("subtract", True, True)
    changes = {
        "strict": {"strict": False},
        "delay": {"reset_delay": False},
        "leak": {"leak": 14},
        "threshold": {"threshold": 41},
    }
    currents = currents_for(node.size, steps=40)
    got, _ = simulate(replace(node, **changes[fault]), 4, currents)
    assert (got[1] != expected(node, currents)[1]).any()


@pytest.mark.parametrize("lanes", [1, 4])
def test_latency_and_throughput(lanes):
    node = node_of("subtract", True, True, size=16)
    _, beats = simulate(node, lanes, currents_for(16))
    cycles = [cycle for cycle, _ in beats]
    # A beat that is offered in cycle 0 is seen `latency` cycles later; then one comes each cycle.
    assert cycles[0] == LIFModel.latency
    assert cycles == list(range(cycles[0], cycles[0] + len(cycles)))


@pytest.mark.parametrize("value", range(257))
def test_signed_digits(value):
    plus, minus = signed_digits(value)
    assert plus - minus == value
    assert plus & minus == 0
    digits = plus | minus
    assert digits & digits << 1 == 0
