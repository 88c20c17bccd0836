"""The tools on the toy design of conftest.py: what must pass passes, what must not does not."""

import dataclasses
import hashlib
import json
import sys

import pytest
from reslif.sim.cosim import MismatchError, cosim, python_share
from reslif.sim.design import Design
from reslif.sim.errors import SimulationError
from reslif.sim.job import Stalls

STALLS = Stalls(0.2, 0.2)


@pytest.mark.parametrize("harness", ["cocotb", "native"])
def test_both_harnesses_agree_with_the_golden_model(toy, samples, harness):
    folder, network = toy()
    plain = cosim(folder, network, samples, harness=harness, fast=False)
    assert plain.samples == 7
    assert plain.steps == 5
    assert plain.probes == 4
    assert plain.comparisons == 4 * 4 * 5 * 7
    assert plain.mismatches == 0
    assert plain.spikes["lif1"] > 0
    assert plain.network_digest == network.digest
    assert plain.verilog_sha256 == hashlib.sha256((folder / "top.v").read_bytes()).hexdigest()
    events = int(samples.sum()) + 5 * 7
    assert plain.cycles == events + 3 * 5 * 7 + 5 * 7  # a word, three states a step, five words out
    json.dumps(dataclasses.asdict(plain))

    stalled = cosim(folder, network, samples, harness=harness, stalls=STALLS, fast=False)
    assert stalled.cycles > plain.cycles
    assert stalled.classes == plain.classes
    again = cosim(folder, network, samples, harness=harness, stalls=STALLS, fast=False)
    assert again.cycles == stalled.cycles
    other = cosim(folder, network, samples, harness=harness, stalls=STALLS, seed=1, fast=False)
    assert other.cycles != stalled.cycles
    packed = cosim(folder, network, samples, harness=harness, mode="packed", fast=False)
    assert packed.classes == plain.classes
    assert packed.cycles == 5 * 7 + 3 * 5 * 7 + 5 * 7


@pytest.mark.parametrize("harness", ["cocotb", "native"])
def test_results_and_numbers_of_spikes_alone(toy, samples, harness):
    folder, network = toy()
    whole = cosim(folder, network, samples, harness=harness, fast=False)
    found = cosim(folder, network, samples, harness=harness, probes="results", fast=False)
    assert (found.compared, found.probes, found.mismatches) == ("results", 1, 0)
    assert found.comparisons == 7 * 4 + 7 + 1
    assert found.spikes == whole.spikes
    assert (found.cycles, found.classes) == (whole.cycles, whole.classes)
    broken, _ = toy(("fired[i] <= v > ", "fired[i] <= v >= "))
    with pytest.raises(SimulationError, match=r"^output of sample .* samples differ\)$"):
        cosim(broken, network, samples, harness=harness, probes="results", fast=False)


def test_a_large_data_set_is_run_in_parts(toy, samples, monkeypatch):
    folder, network = toy()
    whole = cosim(folder, network, samples, harness="native", fast=False)
    monkeypatch.setattr(sys.modules["reslif.sim.cosim"], "VALUES_AT_ONCE", 3 * 5 * 16)
    parts = cosim(folder, network, samples, harness="native", fast=False)
    drop = {"seconds", "cycles_per_second"}
    expected, found = (
        {key: value for key, value in dataclasses.asdict(result).items() if key not in drop}
        for result in (whole, parts)
    )
    assert found == expected
    # Only sample 4, in the second part, has events of the input whose weights are wrong.
    samples[:, :, 5] = 0
    samples[1, 4, 5] = 1
    add = "acc[i] + w[i * 6 + s_axis_tdata[15:0]]"
    wrong = "acc[i] + (s_axis_tdata[15:0] == 5 ? w[0] - w[6] : w[i * 6 + s_axis_tdata[15:0]])"
    broken, _ = toy((add, wrong))
    with pytest.raises(MismatchError, match="node 'fc' current, sample 4, timestep 1") as error:
        cosim(broken, network, samples, harness="native", fast=False)
    assert error.value.waves.name == "mismatch_fc_sample4.vcd"


def test_python_share_compares_time_a_cycle(toy, samples):
    folder, network = toy()
    result = cosim(folder, network, samples, harness="native", fast=False)
    native = dataclasses.replace(result, cycles=1000, seconds=0.1)
    cocotb = dataclasses.replace(result, cycles=2000, seconds=0.8)
    assert python_share(cocotb, native) == pytest.approx(0.75)
    assert python_share(native, cocotb) == 0.0


@pytest.mark.parametrize("harness", ["cocotb", "native"])
def test_a_mismatch_is_named_and_its_waveform_written(toy, samples, harness):
    folder, network = toy(("fired[i] <= v > ", "fired[i] <= v >= "))
    with pytest.raises(MismatchError) as error:
        cosim(folder, network, samples, harness=harness, stalls=STALLS, fast=False)
    mismatch = error.value.mismatch
    assert (mismatch.node, mismatch.quantity) == ("lif1", "spike")
    assert (mismatch.expected, mismatch.found) == (0, 1)
    place = (
        f"node 'lif1' spike, sample {mismatch.sample}, timestep {mismatch.step}, "
        f"neuron {mismatch.neuron}: expected 0, found 1"
    )
    assert place in str(error.value)
    assert str(error.value.waves) in str(error.value)
    text = error.value.waves.read_text()
    assert "probe_spike" in text
    times = [int(line[1:]) for line in text.splitlines() if line.startswith("#")]
    cycles = (times[-1] - times[0]) / 10
    assert 30 < cycles < 300  # one sample, not all seven


BROKEN = {
    "deadlock": (
        ("state <= last ? SEND : TAKE", "state <= last && samples != 3 ? SEND : TAKE"),
        "deadlock: no class for 2000 cycles, after 3 of 7 samples",
    ),
    "a probe that stops": (
        ("state == EMIT0), .data({score", "state == EMIT0 && samples == 0), .data({score"),
        r"probe out\.score recorded 5 words, must be 35",
    ),
    "a wrong class": (
        ("{30'd0, best}", "{30'd0, best ^ 2'd1}"),
        "output of sample 0: expected scores .* and class .* although all probes agree",
    ),
    "TLAST too early": (("m_axis_tlast = index == 4", "m_axis_tlast = index == 3"), "top sent "),
    "samples not counted": (
        ("samples <= samples + 1", "samples <= samples"),
        r"register 0x2C \(samples\): expected 7, found 0",
    ),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_design_is_caught(toy, samples, fault):
    patch, message = BROKEN[fault]
    folder, network = toy(patch)
    with pytest.raises(SimulationError, match=message):
        cosim(folder, network, samples, harness="native", timeout=2000, fast=False)


def test_a_deadlock_ends_cocotb_too(toy, samples):
    patch, message = BROKEN["deadlock"]
    folder, network = toy(patch)
    with pytest.raises(SimulationError, match=message):
        cosim(folder, network, samples, timeout=2000, fast=False)


def test_a_dead_network_proves_nothing(toy, samples):
    folder, network = toy(threshold=2000)
    with pytest.raises(SimulationError, match="node 'lif1' is dead"):
        cosim(folder, network, samples, harness="native", fast=False)
    result = cosim(folder, network, samples, harness="native", alive=False, fast=False)
    assert result.spikes == {"lif1": 0}


def test_only_the_very_files_that_were_generated_are_simulated(toy, samples):
    folder, network = toy()
    (folder / "top.v").write_text((folder / "top.v").read_text() + "\n")
    with pytest.raises(SimulationError, match="altered since it was generated"):
        cosim(folder, network, samples)


def test_a_design_of_another_network_is_refused(toy, samples):
    folder, _ = toy()
    other = dataclasses.replace(toy()[1], max_steps=9)
    with pytest.raises(SimulationError, match="was generated from network"):
        cosim(folder, other, samples)


def test_every_node_must_be_probed(toy):
    folder, network = toy()
    design = Design.read(folder)
    fewer = dataclasses.replace(design, probes=design.probes[1:])
    with pytest.raises(SimulationError, match=r"node 'fc' has no probe, .* one of: current"):
        fewer.check_network(network)
    wrong = dataclasses.replace(design.probes[0], words=2)
    with pytest.raises(SimulationError, match=r"probe fc\.current has 2 words of 4 lanes, must be"):
        dataclasses.replace(design, probes=(wrong,)).check_network(network)


def test_missing_and_foreign_files_are_named(toy, tmp_path):
    folder, _ = toy()
    with pytest.raises(SimulationError, match=r"has no .*manifest\.json"):
        Design.read(tmp_path)
    manifest = folder / "manifest.json"
    content = json.loads(manifest.read_text())
    manifest.write_text("{")
    with pytest.raises(SimulationError, match="is not JSON"):
        Design.read(folder)
    del content["probes"][0]["lanes"]
    manifest.write_text(json.dumps(content))
    with pytest.raises(SimulationError, match=r"not a manifest of this version .*lanes"):
        Design.read(folder)


@pytest.mark.parametrize("value", [-0.1, 1.0, float("nan")])
def test_stall_probabilities_are_checked(value):
    with pytest.raises(SimulationError, match=r"stalls: idle is .*, must be at least 0"):
        Stalls(idle=value)
