"""A network whose weights the host sends before the first sample."""

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
from reslif.sim.encoding import encode
from reslif.sim.errors import SimulationError
from reslif.sim.job import Stalls
from reslif.sim.testbench import write_testbench
from small_networks import residual

# Rows of more than one word.
SEQUENCE = Sequence(16, "loaded")
NETWORK = residual(2, 12, classes=3)
SAMPLES = np.random.default_rng(1).integers(0, 2, (6, 5, 12))


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("loaded")
    generate(NETWORK, path, SEQUENCE)
    return path


def altered(folder: Path, target: Path, image: bytes) -> Path:
    """A copy of the design with other weights."""
    shutil.copytree(folder, target)
    manifest = json.loads((target / "manifest.json").read_text())
    manifest["weights"]["sha256"] = hashlib.sha256(image).hexdigest()
    (target / "manifest.json").write_text(json.dumps(manifest))
    (target / "weights.bin").write_bytes(image)
    return target


@pytest.mark.parametrize("harness", ["native", "cocotb"])
def test_weights_come_first(folder, harness):
    calm = cosim(folder, NETWORK, SAMPLES, harness=harness, fast=False)
    assert calm.mismatches == 0
    assert all(calm.spikes.values())
    stalls = Stalls(0.2, 0.2)
    packed = cosim(
        folder, NETWORK, SAMPLES, harness=harness, mode="packed", stalls=stalls, fast=False
    )
    assert (packed.classes, packed.spikes) == (calm.classes, calm.spikes)
    # Loading is not of the cycles that count.
    one = cosim(folder, NETWORK, SAMPLES[:, :1], harness=harness, fast=False, alive=False)
    assert one.cycles < 1.2 * calm.cycles_per_sample


def test_a_wrong_bit_is_found_and_its_layer_named(folder, tmp_path):
    words = ProgramWords(Program(NETWORK, SEQUENCE))
    image = bytearray((folder / "weights.bin").read_bytes())
    size = len(image) // len(words.rows.weights)
    assert size == 8
    (k,) = [k for k, op in enumerate(words.program.operations) if op.dense.name == "b0a"]
    for i in range(12):  # of each input's weight, as not all of its neurons may spike
        image[size * (words.rows.weight_bases[k] + i)] ^= 1
    wrong = altered(folder, tmp_path / "wrong", bytes(image))
    with pytest.raises(MismatchError, match="node 'b0a' current, sample"):
        cosim(wrong, NETWORK, SAMPLES, harness="native", fast=False)


def test_nothing_begins_before_all_weights_are_there(folder, tmp_path):
    """The host says too little: what comes next is taken for weights, and no class comes."""
    few = altered(folder, tmp_path / "few", (folder / "weights.bin").read_bytes()[:8])
    with pytest.raises(SimulationError, match="deadlock: no class for 3000 cycles, after 0 of 1"):
        cosim(few, NETWORK, SAMPLES[:, :1], harness="native", timeout=3000, fast=False)


def test_the_test_bench_sends_them_too(folder):
    write_testbench(folder, NETWORK, SAMPLES)
    lines = (folder / "vectors.hex").read_text().split()
    weights = np.frombuffer((folder / "weights.bin").read_bytes(), "<u4")
    assert [int(line[1:], 16) for line in lines[: len(weights)]] == weights.tolist()
    assert len(lines) == len(weights) + sum(len(words) for words in encode(NETWORK, SAMPLES))
