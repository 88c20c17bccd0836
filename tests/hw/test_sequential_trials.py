"""The sequential engine under resets, stalls and samples of any length."""

from __future__ import annotations

import re

import numpy as np
import pytest
from batch_sim import Batch
from reslif.hw.sequential.program import Sequence
from reslif.sw import golden
from reslif.sw.formats import Format
from reslif.sw.network import LIF, Input, Network, Readout
from small_networks import dense, lif, network, residual
from trials import PATTERNS, Pauses, Trial, reset_trials, run_trials, sample_of

BUSY = {"weight": 7, "bias": 7, "threshold": 1}
SILENT = {"weight": 0, "bias": -1}


def signed() -> Network:
    """A signed input, neurons of their own parameters, a readout of membranes."""
    nodes = [
        Input("x", 6, Format(3, 1)), dense("fc1", 6, 6), lif("lif1", 6, reset="zero"),
        dense("fc2", 6, 6), lif("lif2", 6, [4, 8, 12, 16, 20, 24], leak=np.arange(9, 15)),
        dense("out", 6, 3), lif("lif3", 3), Readout("readout", "max_membrane", 3),
    ]  # fmt: skip
    return network(nodes, "x fc1 lif1 fc2 lif2 out lif3 readout")


DESIGNS = {
    "ms": (residual(2), Sequence(4)),
    "sew": (residual(2, membrane=False, op="add"), Sequence(2)),
    "signed": (signed(), Sequence(8)),
    "busy": (residual(3, size=12, max_steps=64, **BUSY), Sequence(4)),
    "silent": (residual(3, size=12, max_steps=64, **SILENT), Sequence(4)),
}


@pytest.fixture(scope="module")
def batch() -> Batch:
    """All designs, and one whose lanes are never reset."""
    result = Batch(DESIGNS)
    result.add("unreset", *DESIGNS["ms"])
    lanes = r"(\\g\d+\.core\.lanes  lanes \([^;]*)\.rst\(rst\)"
    text, count = re.subn(lanes, r"\1.rst(1'h0)", result.texts["unreset"])
    assert count == 1
    result.texts["unreset"] = text
    return result


@pytest.mark.parametrize("name", ["ms", "sew", "signed"])
def test_reset_in_any_cycle_recovers(name, batch):
    """Whatever a reset interrupts, the samples after it get the scores of the golden model."""
    net, pauses = DESIGNS[name][0], Pauses(0.1, 0.3, 8)
    (whole,) = run_trials(batch, name, [Trial([sample_of(net, 4, 2, density=0.9)])], pauses)
    trials = reset_trials(net, whole + 20, 4)
    assert len(trials) > 100
    run_trials(batch, name, trials, pauses)


def test_a_register_without_reset_is_caught(batch):
    net = DESIGNS["ms"][0]
    run_trials(batch, "unreset", [Trial([sample_of(net, 4, 0)])])
    with pytest.raises(AssertionError):
        run_trials(batch, "unreset", reset_trials(net, 300, 4))


@pytest.mark.parametrize("name", ["ms", "sew", "signed"])
def test_samples_of_any_length_follow_each_other(name, batch):
    net = DESIGNS[name][0]
    lengths = [1, 1, 7, 2, 1, 8, 3, 1, 1, 5] * 2
    samples = [sample_of(net, min(steps, net.max_steps), k) for k, steps in enumerate(lengths)]
    run_trials(batch, name, [Trial(samples)])
    run_trials(batch, name, [Trial(samples)], Pauses(0.3, 0.3, 4), seed=1)


@pytest.mark.parametrize(("name", "rate"), [("busy", 1), ("silent", 0)])
def test_the_extremes_are_extreme(name, rate):
    net = DESIGNS[name][0]
    probes = [(node.name, "spike") for node in net.nodes_of(LIF)]
    trace = golden.run(net, np.full((9, 1, net.input.size), rate), probes)
    assert all((trace[probe] == rate).all() for probe in probes)


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("name", ["busy", "silent"])
def test_no_deadlock(name, pattern, batch):
    """All neurons spike, or none does."""
    net = DESIGNS[name][0]
    samples = [np.full((steps, net.input.size), on) for steps in (1, 2, 9) for on in (1, 0, 1)]
    samples += [sample_of(net, steps, steps) for steps in range(1, 6)]
    run_trials(batch, name, [Trial(samples)], PATTERNS[pattern], seed=7)
