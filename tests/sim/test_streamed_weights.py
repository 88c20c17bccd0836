"""A network whose weights are in external memory: exact at any timing of that memory."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from reslif.hw.emit import generate
from reslif.hw.sequential.program import Program, Sequence
from reslif.hw.sequential.words import ProgramWords
from reslif.sim.cosim import MismatchError, cosim
from reslif.sim.errors import SimulationError
from reslif.sim.job import Memory, Stalls
from reslif.sim.testbench import write_testbench
from reslif.sw import golden
from small_networks import residual

SEQUENCE = Sequence(2, "stream")
NETWORK = residual(2, 7, classes=3)
SAMPLES = np.random.default_rng(1).integers(0, 2, (6, 5, 7))
CALM = Memory()


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("streamed")
    generate(NETWORK, path, SEQUENCE)
    return path


def test_files(folder):
    facts = json.loads((folder / "manifest.json").read_text())["weights"]
    image = (folder / "weights.bin").read_bytes()
    assert facts["source"] == "stream"
    assert facts["sha256"] == hashlib.sha256(image).hexdigest()
    assert facts["bytes"] == len(image) == facts["rows"] * facts["bus_bits"] // 8
    # The weights of neurons 0 and 1 of the first layer from input 0.
    stem = NETWORK.by_name["stem"].weight
    bits = facts["row_bits"] // 2
    row = int.from_bytes(image[:4], "little")
    assert [row % (1 << bits), row >> bits] == [int(w) % (1 << bits) for w in stem[:2, 0]]


@pytest.mark.parametrize("harness", ["native", "cocotb"])
def test_results_do_not_depend_on_the_memory(folder, harness):
    calm = cosim(folder, NETWORK, SAMPLES, harness=harness, fast=False)
    assert calm.mismatches == 0
    assert all(calm.spikes.values())
    slow = cosim(folder, NETWORK, SAMPLES, harness=harness, memory=Memory(8), fast=False)
    assert slow.cycles > 1.5 * calm.cycles
    timings = [Memory(1, 0, 0.3), Memory(3, 0, 0.1)]
    timings += [Memory(1, 100), Memory(2, 30, 0.2)] if harness == "native" else []
    for seed, memory in enumerate(timings):
        stalls = Stalls(0.1, 0.1)
        found = cosim(
            folder, NETWORK, SAMPLES,
            harness=harness, memory=memory, stalls=stalls, seed=seed, fast=False,
        )  # fmt: skip
        assert (found.classes, found.spikes) == (calm.classes, calm.spikes)
        assert found.cycles > calm.cycles


def test_a_layer_runs_while_the_next_is_fetched(folder):
    """At a beat a cycle it takes no longer than the engine, whatever the latency: but for the
    first layer of all.
    """
    latency = 200
    near = cosim(folder, NETWORK, SAMPLES, harness="native", fast=False)
    far = cosim(folder, NETWORK, SAMPLES, harness="native", memory=Memory(1, 20), fast=False)
    assert far.cycles - near.cycles < 2 * 20
    further = cosim(
        folder, NETWORK, SAMPLES, harness="native", memory=Memory(1, latency), fast=False
    )
    assert further.cycles - near.cycles > 2 * latency


@pytest.mark.parametrize("harness", ["native", "cocotb"])
def test_an_error_of_the_memory_is_told_and_no_result_is_made_of_it(folder, harness):
    with pytest.raises(
        SimulationError, match=r"deadlock: .* after 0 of 5 .* answered with an error"
    ):
        cosim(
            folder, NETWORK, SAMPLES,
            harness=harness, memory=Memory(error_at=100), timeout=3000, fast=False,
        )  # fmt: skip


def corrupted(folder: Path, target: Path, name: str) -> None:
    """A copy of the design with one bit of a weight of layer ``name`` wrong, of the neuron that
    spikes most often among those that the layer reads.
    """
    words = ProgramWords(Program(NETWORK, SEQUENCE))
    operations = words.program.operations
    (k,) = [k for k, op in enumerate(operations) if op.dense.name == name]
    trace = golden.run(NETWORK, SAMPLES, {(operations[k].source, "spike")})
    busiest = int(trace[operations[k].source, "spike"].sum(axis=(0, 1)).argmax())
    shutil.copytree(folder, target)
    image = bytearray((target / "weights.bin").read_bytes())
    image[4 * (words.rows.weight_bases[k] + busiest)] ^= 1
    (target / "weights.bin").write_bytes(image)


def test_a_wrong_bit_in_memory_is_found_and_its_layer_named(folder, tmp_path):
    corrupted(folder, tmp_path / "wrong", "b1b")
    with pytest.raises(SimulationError, match=r"weights\.bin has SHA-256 .* altered"):
        cosim(tmp_path / "wrong", NETWORK, SAMPLES, harness="native", fast=False)
    manifest = json.loads((tmp_path / "wrong" / "manifest.json").read_text())
    image = (tmp_path / "wrong" / "weights.bin").read_bytes()
    manifest["weights"]["sha256"] = hashlib.sha256(image).hexdigest()
    (tmp_path / "wrong" / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(MismatchError, match="node 'b1b' current, sample"):
        cosim(tmp_path / "wrong", NETWORK, SAMPLES, harness="native", fast=False)


@pytest.mark.parametrize(
    ("fields", "message"),
    [({"stall": 1.0}, "stall is 1.0, must be at least 0"), ({"interval": 0}, "interval is 0")],
)
def test_timings_of_the_memory_are_checked(fields, message):
    with pytest.raises(SimulationError, match=message):
        Memory(**fields)


def test_what_cannot_be_simulated_is_refused(folder):
    with pytest.raises(SimulationError, match="latency is simulated by the native harness only"):
        cosim(folder, NETWORK, SAMPLES, memory=Memory(latency=1), fast=False)
    with pytest.raises(SimulationError, match=r"tb\.v has no memory for weights"):
        write_testbench(folder, NETWORK, SAMPLES)
