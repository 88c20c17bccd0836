import dataclasses
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from reslif.sim.design import Design, Probe
from reslif.sim.errors import SimulationError
from reslif.sim.verdict import (
    check_alive,
    check_counts,
    check_outputs,
    check_registers,
    expected_registers,
    first_mismatch,
    spikes,
)
from reslif.sw import golden
from reslif.sw.formats import Format
from reslif.sw.network import LSTM, Input, Network, Readout
from small_convs import tiny_ms
from small_networks import dense, network


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


def test_a_wrong_number_of_spikes_is_named(ran):
    network, trace = ran
    counts = spikes(network, trace)
    check_counts(counts, trace)
    message = f"node 'lif1' sent {counts['lif1'] + 1} spikes, must send {counts['lif1']}: compare"
    with pytest.raises(SimulationError, match=message):
        check_counts({"lif1": counts["lif1"] + 1}, trace)


def merged_design(**changes) -> tuple[Design, Network]:
    """As the manifest of a sum whose accumulators start from the shortcut; no hardware."""
    net = tiny_ms()
    probes = [
        Probe(node.name, what, "top", "v", "d", 1, n, 0, Format(9))
        for node in net.order
        for what in node.quantities[-1:]
        if node.name not in ("x", "b")
        for n in [node.size]
    ]
    manifest = {"network": {"digest": net.digest}, "merged": ["b"], "probes": probes} | changes
    return Design(Path(), manifest, "", tuple(manifest["probes"])), net


def test_a_merged_convolution_may_go_without_a_probe():
    design, net = merged_design()
    design.check_network(net)
    design, net = merged_design(merged=[])
    with pytest.raises(SimulationError, match=r"^node 'b' has no probe"):
        design.check_network(net)


@pytest.mark.parametrize("name", ["lif1", "a", "stem", "down", "nothing"])
def test_nothing_else_may(name):
    """Neurons; a convolution that neurons read, that several read, that is a shortcut; no node."""
    design, _ = merged_design()
    probes = [probe for probe in design.probes if probe.node != name]
    design, net = merged_design(merged=["b", name], probes=probes)
    with pytest.raises(SimulationError, match=f"^manifest merges '{name}' with its reader, must"):
        design.check_network(net)


def test_a_merged_convolution_shows_in_its_sum():
    design, _ = merged_design()
    probes = [probe for probe in design.probes if probe.node != "one"]
    design, net = merged_design(probes=probes)
    with pytest.raises(SimulationError, match=r"^manifest merges 'b' with its reader"):
        design.check_network(net)


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


def test_every_family_of_neurons_must_spike_unless_only_its_membrane_is_read():
    form = Format(9, 6)
    cell = LSTM("cell", 2, form, Format(11, 8), 8, np.array([0, 63]), 3, 6, np.array(254))
    nodes = [
        *(Input("x", 3), dense("gates", 3, 8), dense("back", 2, 8), cell),
        *(dense("out", 2, 2), Readout("readout", "sum_current", 2)),
    ]
    loop = "x gates cell, cell ~*back cell, out readout"
    samples = np.ones((4, 2, 3), np.int64)
    for text, silent in (("cell out", False), ("cell *out", True)):
        net = network(nodes, f"{loop}, {text}")
        trace = golden.run(net, samples, None)
        assert spikes(net, trace) == {"cell": 0}
        current = Probe("cell", "current", "top.core", "v", "d", 1, 8, 0, Format(12, 8))
        assert current.size_in(net) == trace["cell", "current"].shape[2] == 8
        assert replace(current, quantity="membrane").size_in(net) == 2
        if silent:
            check_alive(net, spikes(net, trace))
        else:
            with pytest.raises(SimulationError, match="node 'cell' is dead"):
                check_alive(net, spikes(net, trace))
