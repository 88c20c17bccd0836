"""The whole engine: resets, stalls, samples of any length, and how fast it runs."""

from __future__ import annotations

import re
from unittest.mock import patch

import numpy as np
import pytest
from amaranth.back import rtlil
from batch_sim import Batch
from reslif.hw.dataflow import Dataflow
from reslif.hw.folding import Fold, Folding, Plan
from reslif.hw.synapse import Synapse
from reslif.sw import golden
from reslif.sw.formats import Format
from reslif.sw.network import LIF, Dense, Input, Join, Network, Readout
from small_networks import dense, lif, network, residual
from trials import PATTERNS, DeadlockError, Pauses, Trial, reset_trials, run_trials, sample_of

BUSY = {"weight": 7, "bias": 7, "threshold": 1}
SILENT = {"weight": 0, "bias": -1}
N = 6


def everything() -> Network:
    """A signed input that is decoded, inhibition, neurons of their own parameters, a join."""
    return network(
        [
            Input("x", N, Format(3, 1)),
            dense("fc1", N, N), lif("lif1", N, 9, inhibition=True),
            dense("fc2", N, N), Join("join", "iand", N),
            lif("lif2", N, [4, 8, 12, 16, 20, 24], leak=np.arange(9, 15)),
            dense("out", N, 3), lif("lif3", 3), Readout("readout", "max_membrane", 3),
        ],
        "x fc1 lif1 fc2 join.branch lif2 out lif3 readout, x join.shortcut, lif1 lif2",
    )  # fmt: skip


DEEP = {"size": 12, "long_skip": True, "max_steps": 64}
DESIGNS = {
    "ms": (residual(2), Folding(Fold(4, 2))),
    "sew": (residual(2, membrane=False, long_skip=True), Folding(Fold(3, 3))),
    "everything": (everything(), Folding(Fold(2, 1))),
    "one_lane": (residual(4, **DEEP, **BUSY), Folding(Fold(1, 1))),
    "busy_sew": (residual(2, membrane=False, **DEEP, **BUSY), Folding(Fold(4, 2))),
    "short_steps": (residual(2, **DEEP, **BUSY), Folding(Fold(16, 4))),
    "silent": (residual(2, **DEEP, **SILENT), Folding(Fold(4, 2))),
}


@pytest.fixture(scope="module")
def batch() -> Batch:
    """All designs, and two that are broken on purpose."""
    result = Batch(DESIGNS)
    right = Plan.buffer_depth
    with patch.object(Plan, "buffer_depth", lambda plan, edge: min(1, right(plan, edge))):
        result.add("shallow", *DESIGNS["one_lane"])
    result.add("unreset", *DESIGNS["ms"])
    text, count = re.subn(
        r"(\\g\d+\.core\.b0a  b0a \([^;]*)\.rst\(rst\)", r"\1.rst(1'h0)", result.texts["unreset"]
    )
    assert count == 1
    result.texts["unreset"] = text
    return result


@pytest.mark.parametrize("name", ["ms", "sew", "everything"])
@pytest.mark.parametrize("pauses", [Pauses(), Pauses(0.2, 0.4, 8)], ids=["free", "stalled"])
def test_reset_in_any_cycle_recovers(name, pauses, batch):
    """Whatever a reset interrupts, the samples after it get the scores of the golden model."""
    net = DESIGNS[name][0]
    (whole,) = run_trials(batch, name, [Trial([sample_of(net, 5, 2, density=0.9)])], pauses)
    trials = reset_trials(net, whole + 20, 5)
    assert len(trials) > 100
    run_trials(batch, name, trials, pauses)


def test_a_register_without_reset_is_caught(batch):
    net = DESIGNS["ms"][0]
    run_trials(batch, "unreset", [Trial([sample_of(net, 5, 0)])])
    with pytest.raises(AssertionError):
        run_trials(batch, "unreset", reset_trials(net, 300, 5))


@pytest.mark.parametrize("name", ["ms", "sew", "everything", "one_lane"])
def test_samples_of_any_length_follow_each_other(name, batch):
    net = DESIGNS[name][0]
    lengths = [1, 1, 7, 2, 1, 12, 3, 1, 1, 5] * 2
    samples = [sample_of(net, steps, seed) for seed, steps in enumerate(lengths)]
    run_trials(batch, name, [Trial(samples)])
    run_trials(batch, name, [Trial(samples)], Pauses(0.3, 0.3, 4), seed=1)


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("name", ["one_lane", "busy_sew", "short_steps", "silent", "sew"])
def test_no_deadlock(name, pattern, batch):
    """All neurons spike, or none does; samples of one step fill the pipeline behind a stall."""
    net = DESIGNS[name][0]
    size = net.input.size
    samples = [np.full((steps, size), on) for steps in (1, 1, 1, 2, 9) for on in (1, 0, 1)]
    samples += [sample_of(net, steps, steps) for steps in range(1, 9)] * 2
    run_trials(batch, name, [Trial(samples)], PATTERNS[pattern], seed=7)


@pytest.mark.parametrize(("name", "rate"), [("one_lane", 1), ("busy_sew", 1), ("silent", 0)])
def test_the_extremes_are_extreme(name, rate):
    net = DESIGNS[name][0]
    trace = golden.run(net, np.ones((9, 1, net.input.size), int), None)
    for node in net.nodes_of(LIF):
        assert trace[node.name, "spike"].mean() == rate


def test_a_skip_buffer_of_less_than_a_step_deadlocks(batch):
    """So the tests above would see it."""
    net = DESIGNS["one_lane"][0]
    with pytest.raises(DeadlockError):
        run_trials(batch, "shallow", [Trial([np.ones((4, net.input.size), int)])], timeout=5000)


def synapses(name: str) -> dict[str, Synapse]:
    net, folding = DESIGNS[name]
    engine = Dataflow(Plan(net, folding))
    rtlil.convert(engine)
    return {
        n.name: unit
        for n in net.nodes_of(Dense)
        if isinstance(unit := engine.units[n.name], Synapse)
    }


def cycles_per_step(name: str, data: np.ndarray) -> dict[str, float]:
    """What each layer takes for a timestep of ``data``, by its own account (mean)."""
    net = DESIGNS[name][0]
    trace = golden.run(net, data[:, None], None)
    kinds = {Input: "spike", LIF: "spike", Join: "value", Dense: "current"}
    result = {}
    for layer, unit in synapses(name).items():
        (edge,) = net.incoming(layer, "input")
        sent = trace[edge.source, kinds[type(net.by_name[edge.source])]][:, 0]
        events = np.count_nonzero(sent, axis=1)
        result[layer] = float(np.mean([unit.cycles_per_step(int(n)) for n in events]))
    return result


@pytest.mark.parametrize("name", ["one_lane", "busy_sew", "short_steps", "silent"])
def test_a_timestep_takes_as_long_as_the_slowest_layer(name, batch):
    """All layers work at once, so depth costs latency only.

    The buffers of a shortcut hold whole timesteps. Where a step is not much longer than the
    pipelines of a layer (some ten cycles), they hold a little less than the shortcut's wait: a
    step may then take up to 3 cycles longer, still within the 8 that a layer is allowed.
    """
    net = DESIGNS[name][0]
    data = np.ones((60, net.input.size), int)
    short, long = (run_trials(batch, name, [Trial([data[:steps]])])[0] for steps in (30, 60))
    measured = (long - short) / 30
    layers = cycles_per_step(name, data)
    slowest = max(layers.values())
    assert slowest <= measured <= slowest + (3 if slowest < 20 else 0)
    assert sum(layers.values()) > 1.5 * measured
