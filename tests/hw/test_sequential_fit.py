"""What a sequential design is said to take, against what it does take."""

from __future__ import annotations

import pytest
from reslif.hw.activity import assumed
from reslif.hw.emit import generate
from reslif.hw.sequential.fit import SequentialFit
from reslif.hw.sequential.program import Program, Sequence
from reslif.hw.sequential.words import ProgramWords
from reslif.sim.activity import measured
from reslif.sim.cosim import cosim
from reslif.sw.studies.scaling import network_of, samples_of

NETWORK = network_of(4)


def fit_of(sequence: Sequence, activity=None) -> SequentialFit:
    words = ProgramWords(Program(NETWORK, sequence))
    return SequentialFit(words, activity or assumed(NETWORK), "ecp5")


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


def test_weights_elsewhere_take_no_line():
    assert any(line.startswith("weights") for line in fit_of(Sequence(4)).lines())
    assert not any(line.startswith("weights") for line in fit_of(Sequence(4, "loaded")).lines())
