import numpy as np
import pytest
from amaranth.hdl import Module, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from reslif.hw.dataflow import Dataflow
from reslif.hw.folding import Plan
from reslif.hw.streams import current_stream, spike_stream, words_of
from reslif.hw.synapse import Synapse
from reslif.hw.weights import WeightMemory
from reslif.sw.formats import Format
from reslif.sw.golden import dense_step
from reslif.sw.network import Dense, Edge, Input, Network, Readout
from streams_sim import events_of, run, values_of


class Layer(wiring.Component):
    """A synapse and its weights."""

    def __init__(self, dense: Dense, lanes: int, out_lanes: int, spike_bits: int) -> None:
        bias = tuple(int(b) for b in dense.bias) if dense.bias is not None else (0,) * dense.size
        self.synapse = Synapse(
            dense.inputs,
            dense.size,
            lanes=lanes,
            out_lanes=out_lanes,
            spike=unsigned(spike_bits),
            weight=signed(4),
            current=signed(16),
            bias=bias,
        )
        self.memory = WeightMemory(dense.weight.tolist(), lanes, signed(4))
        super().__init__(
            {
                "spikes": In(spike_stream(dense.inputs, unsigned(spike_bits))),
                "currents": Out(current_stream(out_lanes, signed(16))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.synapse, m.submodules.memory = self.synapse, self.memory
        wiring.connect(m, self.synapse.rows, self.memory.port)
        wiring.connect(m, wiring.flipped(self.spikes), self.synapse.spikes)
        wiring.connect(m, self.synapse.currents, wiring.flipped(self.currents))
        return m


FOLDS = [(1, 1), (2, 1), (3, 3), (4, 2), (8, 4), (16, 4), (12, 12)]


def layer(lanes, out_lanes, spike_bits, *, inputs=9, size=11, seed=0):
    rng = np.random.default_rng(seed)
    dense = Dense(
        "dense", rng.integers(-7, 8, (size, inputs)), Format(4), rng.integers(-50, 50, size)
    )
    return dense, Layer(dense, lanes, out_lanes, spike_bits)


@pytest.mark.parametrize(("lanes", "out_lanes"), FOLDS)
@pytest.mark.parametrize("spike_bits", [1, 3])
@pytest.mark.parametrize("stall", [0.0, 0.4])
def test_currents_equal_golden(lanes, out_lanes, spike_bits, stall):
    dense, dut = layer(lanes, out_lanes, spike_bits)
    rng = np.random.default_rng(1)
    # Steps without events, and with all of them, included.
    density = rng.choice([0, 0.3, 1], (6, 3, 1))
    samples = rng.integers(1, 1 << spike_bits, (6, 3, 9)) * (rng.random((6, 3, 9)) < density)
    beats = words_of(dense.size, out_lanes)
    got = run(dut, {"spikes": events_of(samples)}, "currents", 18 * beats, idle=stall, stall=stall)
    currents = values_of(got, (6, 3, dense.size), out_lanes)
    expected = dense_step(dense, samples.reshape(18, 9)).reshape(6, 3, dense.size)
    np.testing.assert_array_equal(currents, expected)
    ends = [(int(beat.end_of_step), int(beat.end_of_sample)) for _, beat in got]
    step = [(0, 0)] * (beats - 1)
    assert ends == ([*step, (1, 0)] * 5 + [*step, (1, 1)]) * 3


@pytest.mark.parametrize(("lanes", "out_lanes"), FOLDS)
@pytest.mark.parametrize("spike_bits", [1, 3])
@pytest.mark.parametrize("events", [0, 1, 5, 9])
def test_cycles_per_step_and_latency(lanes, out_lanes, spike_bits, events):
    """Both are read from the component, and the first keeps the promised bound."""
    dense, dut = layer(lanes, out_lanes, spike_bits)
    samples = np.zeros((8, 1, 9), int)
    samples[:, :, :events] = 1
    beats = words_of(dense.size, out_lanes)
    got = run(dut, {"spikes": events_of(samples)}, "currents", 8 * beats)
    firsts = [cycle for cycle, _ in got][::beats]
    steady = np.diff(firsts)[2:]
    cycles = dut.synapse.cycles_per_step(events)
    assert set(steady.tolist()) == {cycles}
    assert cycles <= events * words_of(dense.size, lanes) + beats + 8

    alone = run(dut, {"spikes": events_of(np.zeros((1, 1, 9), int))}, "currents", beats)
    # The end-of-step beat is offered from cycle 0 on.
    assert alone[0][0] == dut.synapse.latency


def test_a_wrong_weight_is_caught():
    """The comparison above can fail."""
    rng = np.random.default_rng(0)
    dense = Dense("dense", rng.integers(-7, 8, (11, 9)), Format(4), rng.integers(-50, 50, 11))
    weight = dense.weight.copy()
    weight[3, 2] ^= 1
    dut = Layer(Dense("dense", weight, Format(4), dense.bias), 4, 2, 1)
    samples = np.ones((1, 1, 9), int)
    got = run(dut, {"spikes": events_of(samples)}, "currents", 6)
    currents = values_of(got, (1, 1, 11), 2)
    wrong = np.argwhere(currents != dense_step(dense, samples[0])[None])
    assert wrong.tolist() == [[0, 0, 3]]


@pytest.mark.parametrize("graded", [False, True])
def test_unsigned_weights(graded):
    """The product of two unsigned numbers needs their widths together, and no sign."""
    dense = Dense("dense", np.full((2, 2), 15), Format(4, 0, signed=False))
    form = Format(4 if graded else 1, 0, signed=False)
    nodes = (Input("x", 2, form), dense, Readout("out", "sum_current", 2))
    network = Network(nodes, (Edge("x", "dense"), Edge("dense", "out")), 1)
    samples = np.array([[[form.max, 0]]])
    got = run(Dataflow(Plan(network)), {"events": events_of(samples)}, "results", 3)
    expected = 15 * form.max
    assert [int(result.value) for _, result in got] == [expected, expected, 0]
