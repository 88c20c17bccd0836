"""What a sequential design is said to take, against what it does take."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import pytest
from random_networks import layered_network
from reslif.hw.activity import assumed
from reslif.hw.blockram import Family, block_rams
from reslif.hw.emit import generate, to_verilog
from reslif.hw.sequential.fit import SequentialFit
from reslif.hw.sequential.program import Program, Sequence
from reslif.hw.sequential.words import ProgramWords
from reslif.sim.activity import measured
from reslif.sim.cosim import cosim
from reslif.sw.network import Network
from reslif.sw.network_file import load_network
from reslif.sw.studies.scaling import network_of, samples_of
from small_networks import residual

NETWORK = network_of(4)
ROOT = Path(__file__).parent.parent.parent


def fit_of(
    sequence: Sequence, activity=None, network: Network = NETWORK, family: Family = "ecp5"
) -> SequentialFit:
    words = ProgramWords(Program(network, sequence))
    return SequentialFit(words, activity or assumed(network), family)


def test_cycles_are_those_of_the_verilog(tmp_path):
    samples, sequence = samples_of(24), Sequence(8)  # the first is waited for
    generate(NETWORK, tmp_path, sequence)
    found = cosim(tmp_path, NETWORK, samples, harness="native", fast=False)
    said = fit_of(sequence, measured(NETWORK, samples)).cycles_per_sample
    assert said == pytest.approx(found.cycles_per_sample, rel=0.02)
    quiet = assumed(NETWORK)  # a tenth of the neurons
    assert fit_of(sequence, quiet).cycles_per_sample != pytest.approx(said, rel=0.02)


def test_memories_alike_share_a_line():
    fit = fit_of(Sequence(8))
    spikes = [line for line in fit.lines() if line.startswith("spikes")]
    alike = [memory for memory in fit.memories if memory.name == "spikes"]
    assert len(alike) > 1
    assert len(spikes) == 1
    assert spikes[0].endswith(f"{len(alike)} of these")


def test_weights_of_the_host_are_in_spram():
    assert any(
        re.match(r"weights .* \d+ block RAMs$", line) for line in fit_of(Sequence(4)).lines()
    )
    loaded = fit_of(Sequence(4, "loaded"))
    assert any(re.match(r"weights .* 1 SPRAMs$", line) for line in loaded.lines())
    assert loaded.sprams == 1
    assert loaded.block_rams < fit_of(Sequence(4)).block_rams


NETWORKS = {
    "ms": (NETWORK, Sequence(8)),
    "loaded": (NETWORK, Sequence(4, "loaded")),
    "streamed": (NETWORK, Sequence(16, "stream")),
    "graded": (residual(2, size=10, membrane=False, op="add"), Sequence(4)),
    **{f"random {seed}": (layered_network(seed), Sequence(2)) for seed in range(4)},
}


@pytest.mark.parametrize("name", NETWORKS)
def test_every_memory_is_known_before_it_is_built(name):
    network, sequence = NETWORKS[name]
    text, _ = to_verilog(network, sequence)
    found = re.findall(r"reg (?:signed )?\[(\d+):0\] \S+ +\[(\d+):0\];", text)
    built = Counter((int(depth) + 1, int(width) + 1) for width, depth in found)
    known = fit_of(sequence, network=network).memories
    assert built == Counter((max(2, memory.depth), memory.width) for memory in known)
    assert ("values" in {memory.name for memory in known}) >= (name == "graded")


@pytest.mark.parametrize(
    ("size", "options", "want"),
    [
        ((31008, 64), {}, 114),  # cut across the words of all parts of the depth
        ((52, 27), {"block": False, "rom": True}, 0),
        ((112, 32), {"block": False, "rom": True}, 1),
        ((4, 40), {"family": "ice40", "block": False}, 0),
        ((8, 4), {"family": "ice40", "block": False}, 0),
        ((16, 10), {"family": "ice40", "block": False}, 1),
        ((254, 60), {"family": "ice40", "block": False, "rom": True}, 4),
    ],
    ids=lambda value: "x".join(map(str, value)) if isinstance(value, tuple) else None,
)
def test_block_rams_are_those_of_the_synthesis(size, options, want):
    """As Yosys 0.70 mapped memories of designs that were built."""
    assert block_rams(*size, **options) == want


def placed(name: str) -> int:
    return json.loads((ROOT / "docs" / "results" / f"{name}.json").read_text())["build"]["brams"]


def test_block_rams_are_those_that_were_placed():
    """Of networks over depth, and of one that has biases, beside its serial link's one."""
    for row in json.loads((ROOT / "docs" / "results" / "scaling.json").read_text()):
        sequence = Sequence(16, row["weights"])
        assert fit_of(sequence, network=network_of(row["layers"])).block_rams == row["brams"]
    trained = load_network(ROOT / "examples" / "digits_482.safetensors")
    found = fit_of(Sequence(16), network=trained)
    assert found.block_rams == placed("digits_482") - 1
    # What is the same in all words of the program is no memory.
    (program,) = (memory for memory in found.memories if memory.name == "program")
    assert 0 < program.mapped < program.width


@pytest.mark.parametrize(("layers", "sprams"), [(48, 1), (148, 3), (252, 4), (256, 5)])
def test_sprams_are_counted(layers, sprams):
    fit = fit_of(Sequence(4, "loaded"), network=network_of(layers), family="ice40")
    assert fit.sprams == sprams
    assert not fit_of(Sequence(4), network=network_of(10)).sprams
