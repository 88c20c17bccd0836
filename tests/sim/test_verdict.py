import dataclasses

import pytest
from reslif.sim.errors import SimulationError
from reslif.sim.verdict import (
    check_alive,
    check_outputs,
    check_registers,
    expected_registers,
    first_mismatch,
    spikes,
)
from reslif.sw import golden


@pytest.fixture
def ran(toy, samples):
    _, network = toy()
    return network, golden.run(network, samples, None)


def test_equal_records_pass(ran):
    network, trace = ran
    assert first_mismatch(network, dict(trace.probes), trace) is None
    check_outputs(trace.scores, trace.classes, trace)
    check_alive(network, spikes(network, trace))


def test_the_first_cause_is_named(ran):
    network, trace = ran
    recorded = {probe: values.copy() for probe, values in trace.probes.items()}
    recorded["out", "score"][4, 1, 0] += 1  # later in the same sample
    recorded["lif1", "spike"][2, 1, 3] ^= 1  # same step as the cause, later in the graph
    recorded["lif1", "membrane"][2, 1, 2] += 9  # the cause
    recorded["fc", "current"][0, 6, 1] += 1  # earlier in the graph, but a later sample
    mismatch = first_mismatch(network, recorded, trace)
    assert mismatch is not None
    assert (mismatch.node, mismatch.quantity) == ("lif1", "membrane")
    assert (mismatch.sample, mismatch.step, mismatch.neuron) == (1, 2, 2)
    assert mismatch.found == mismatch.expected + 9
    assert mismatch.count == 4
    assert "node 'lif1' membrane, sample 1, timestep 2, neuron 2: expected" in str(mismatch)


def test_a_wrong_output_is_named(ran):
    _, trace = ran
    scores = trace.scores.copy()
    scores[3, 1] += 1
    with pytest.raises(SimulationError, match="output of sample 3: expected scores"):
        check_outputs(scores, trace.classes, trace)
    with pytest.raises(SimulationError, match="output of sample 103: expected scores"):
        check_outputs(scores, trace.classes, trace, 100)
    with pytest.raises(SimulationError, match=r"output of sample 0: .*7 samples differ"):
        check_outputs(trace.scores, trace.classes + 1, trace)


def test_a_dead_layer_is_named(toy, samples):
    _, network = toy(threshold=2000)
    trace = golden.run(network, samples, None)
    with pytest.raises(SimulationError, match="node 'lif1' is dead: no spike"):
        check_alive(network, spikes(network, trace))


def test_a_wrong_register_is_named(ran):
    network, trace = ran
    found = {address: value for address, (_, value) in expected_registers(network, trace).items()}
    check_registers(network, found, trace)
    with pytest.raises(SimulationError, match=r"0x2C \(samples\): expected 7, found 8"):
        check_registers(network, found | {0x2C: 8}, trace)
    clipped = dataclasses.replace(trace, saturations={"lif1": 2})
    with pytest.raises(SimulationError, match=r"0x20 \(saturations\): expected 2, found 0"):
        check_registers(network, found, clipped)
