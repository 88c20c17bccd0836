"""Convolutional networks in hardware: every probe of residual blocks of each kind, any folding."""

from __future__ import annotations

from unittest.mock import patch

import numpy as np
import pytest
from batch_sim import Batch
from reslif.hw.fit import fit
from reslif.hw.folding import Fold, Folding, Plan
from reslif.sim.activity import measured
from reslif.sim.job import Stalls
from reslif.sw.network import Join
from small_convs import conv_samples, depthwise, loop, ms_resnet, sew_resnet, tiny_ms
from trials import PATTERNS, DeadlockError, Pauses, Trial, run_trials

DESIGNS = {
    "ms": (ms_resnet(), Folding(Fold(8, 4, 3), {"twoa": Fold(4, 4, 9), "threeb": Fold(8, 4)})),
    "sew": (sew_resnet(), Folding(Fold(2, 1))),
    "depthwise": (depthwise(), Folding(Fold(4, 2, 9))),
    "loop": (loop(), Folding(Fold(4, 4, 3))),
}
MERGED = {"ms_accumulators": (ms_resnet(), Folding(Fold(4, 2, 3)))}
STALLS = [Stalls(), Stalls(0.3, 0.3), Stalls(0.01, 0.6)]


def always(*_: object) -> int:
    """Block RAMs saved, as if there were always some."""
    return 1


@pytest.fixture(scope="module")
def batch() -> Batch:
    result = Batch(DESIGNS)
    with patch.object(Plan, "_saved", always):
        for name, design in MERGED.items():
            result.add(name, *design)
    return result


@pytest.mark.parametrize("name", [*DESIGNS, *MERGED])
def test_bit_exact(name, batch):
    net = batch.networks[name]
    samples = conv_samples(net, batch=2)
    for seed, stalls in enumerate(STALLS):
        mode = "packed" if seed == 1 else "event"
        run = batch.run(name, samples, mode=mode, stalls=stalls, seed=seed)
        assert run.mismatches == 0
        assert run.comparisons >= run.trace.probes[net.input.name, "spike"].size


def test_the_manifest_says_what_became_of_each_shortcut(batch):
    for name, want in (("ms", "adder"), ("ms_accumulators", "accumulator")):
        manifest = batch.manifests[name]
        layers = {layer["name"]: layer for layer in manifest["layers"]}
        joins = [node.name for node in batch.networks[name].nodes_of(Join)]
        assert joins == ["one", "two", "three"]
        assert {layers[join]["shortcut"] for join in joins} == {want}
        convs = [f"{join}b" for join in joins] if want == "accumulator" else []
        assert manifest["merged"] == sorted(convs)
        probed = {probe["node"] for probe in manifest["probes"]}
        assert not probed & set(convs)
        assert probed >= set(joins)
    assert {layer.get("taps") for layer in layers.values()} == {None, 1, 3}


def test_a_buffer_of_a_merged_shortcut_is_a_step_shorter(batch):
    beats = {
        name: {
            entry["edge"]: entry["beats"] for entry in batch.manifests[name]["buffers"]
        }["stem -> one.shortcut"]
        for name in ("ms", "ms_accumulators")
    }  # fmt: skip
    step = 8 * 8 * 4
    assert beats == {"ms": 3 * step // 4, "ms_accumulators": 2 * step // 2}


@pytest.mark.parametrize("name", [*DESIGNS, *MERGED])
def test_cycles_are_those_estimated(name, batch):
    """From sample to sample, when they follow each other: all layers work at once."""
    net, folding = (DESIGNS | MERGED)[name]
    steps, few, many = 4, 4, 12
    samples = conv_samples(net, 5, steps, many)
    first, whole = (batch.run(name, samples[:, :n], alive=False).cycles for n in (few, many))
    with patch.object(Plan, "_saved", lambda *_: int(name in MERGED)):
        found = fit(Plan(net, folding), measured(net, samples[:, few:]))
    estimate = found.cycles_per_sample / net.max_steps * steps
    assert (whole - first) / (many - few) == pytest.approx(estimate, rel=0.05), found.bottleneck


TINY = {
    "adder": (tiny_ms(), Folding(Fold(4, 2, 9))),
    "accumulator": (tiny_ms(), Folding(Fold(2, 1, 3))),
}


@pytest.fixture(scope="module")
def tiny() -> Batch:
    """Small enough to be reset in any cycle; one with buffers that are too shallow."""
    result = Batch({"adder": TINY["adder"]})
    with patch.object(Plan, "_saved", always):
        result.add("accumulator", *TINY["accumulator"])
    right = Plan.buffer_depth
    with patch.object(Plan, "buffer_depth", lambda plan, edge: min(1, right(plan, edge))):
        result.add("shallow", *TINY["adder"])
    return result


def sample_of(net, steps: int, seed: int) -> np.ndarray:
    """``[T, inputs]``, with steps that are silent and steps that are full."""
    values = conv_samples(net, seed, steps, 1)[:, 0]
    return values * np.random.default_rng(seed).choice([0, 1, 1], (steps, 1))


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("name", TINY)
def test_no_deadlock(name, pattern, tiny):
    """All neurons spike, or none does; samples of one step fill the pipeline behind a stall."""
    net = tiny.networks[name]
    samples = [np.full((t, net.input.size), on) for t in (1, 1, 1, 2, 9) for on in (15, 0, 15)]
    samples += [sample_of(net, steps, steps) for steps in range(1, 9)]
    run_trials(tiny, name, [Trial(samples)], PATTERNS[pattern], seed=7)


def test_a_skip_buffer_of_less_than_a_step_deadlocks(tiny):
    """So the test above would see it."""
    net = tiny.networks["shallow"]
    with pytest.raises(DeadlockError):
        run_trials(tiny, "shallow", [Trial([np.full((4, net.input.size), 15)])], timeout=5000)


@pytest.mark.parametrize("pauses", [Pauses(), Pauses(0.2, 0.4, 8)], ids=["free", "stalled"])
@pytest.mark.parametrize("name", TINY)
def test_reset_in_any_cycle_recovers(name, pauses, tiny):
    """Whatever a reset interrupts, the samples after it get the scores of the golden model."""
    net = tiny.networks[name]
    (whole,) = run_trials(tiny, name, [Trial([sample_of(net, 2, 2)])], pauses)
    trials = [
        Trial([sample_of(net, 1 + n % 3, n)], sample_of(net, 3, n + 2), n, low=1 + n % 2)
        for n in range(1, whole + 20)
    ]
    assert len(trials) > 100
    run_trials(tiny, name, trials, pauses)


@pytest.mark.slow
@pytest.mark.parametrize("taps", [1, 3, 9])
@pytest.mark.parametrize("merge", [False, True])
def test_many_more_foldings_are_bit_exact(taps, merge):
    designs = {
        f"{make.__name__} {lanes} {neuron_lanes}": (
            make(),
            Folding(Fold(lanes, neuron_lanes, taps)),
        )
        for make in (ms_resnet, sew_resnet, depthwise, loop)
        for lanes, neuron_lanes in ((1, 1), (4, 1), (8, 8))
    }
    with patch.object(Plan, "_saved", lambda *_: int(merge)):
        batch = Batch(designs)
    for seed, name in enumerate(designs):
        samples = conv_samples(batch.networks[name], seed)
        for stalls in STALLS:
            batch.run(name, samples, stalls=stalls, seed=seed)
