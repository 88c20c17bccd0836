"""Random small networks in hardware: bit-exact in every probe, with random stalls and foldings."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from batch_sim import Batch
from random_networks import random_network, random_samples, recurrent_network
from reslif.hw.folding import Fold, Folding
from reslif.sim.job import Stalls
from reslif.sim.verdict import spikes
from reslif.sw.network import LIF, LSTM, Adaptive, Affine, Alpha, Network, Synaptic

PER_TOP = 14
TOPS = 4
LOOP_TOPS = 2


def folding(seed: int) -> Folding:
    """One to four neuron lanes, up to four times as many synapse lanes."""
    random = np.random.default_rng([seed, 2])
    neuron_lanes = int(random.integers(1, 5))
    return Folding(Fold(neuron_lanes * int(random.integers(1, 5)), neuron_lanes))


def check(
    first: int, count: int, draw: Callable[[int], Network] = random_network
) -> tuple[int, int, int]:
    """Values compared, layers of neurons, and how many of those spiked."""
    seeds = range(first, first + count)
    batch = Batch({str(seed): (draw(seed), folding(seed)) for seed in seeds})
    compared = layers = alive = 0
    for seed in seeds:
        samples = random_samples(batch.networks[str(seed)], seed)
        random = np.random.default_rng([seed, 3])
        stalls = Stalls(*random.choice([0.0, 0.1, 0.5], 2))
        mode = "packed" if random.random() < 0.3 else "event"
        run = batch.run(str(seed), samples, mode=mode, stalls=stalls, seed=seed, alive=False)
        counts = spikes(batch.networks[str(seed)], run.trace).values()
        compared += run.comparisons
        layers += len(counts)
        alive += sum(count > 0 for count in counts)
    return compared, layers, alive


@pytest.mark.parametrize("top", range(TOPS))
def test_random_networks_are_bit_exact(top):
    compared, layers, alive = check(PER_TOP * top, PER_TOP)
    assert compared > 1000 * PER_TOP
    assert layers > PER_TOP
    assert alive > layers / 2  # equal silence would prove little


@pytest.mark.parametrize("top", range(LOOP_TOPS))
def test_random_recurrent_networks_are_bit_exact(top):
    compared, layers, alive = check(PER_TOP * top, PER_TOP, recurrent_network)
    assert compared > 1000 * PER_TOP
    assert layers > PER_TOP
    assert alive > layers / 2


def test_random_recurrent_networks_use_everything():
    nets = [recurrent_network(seed) for seed in range(PER_TOP * LOOP_TOPS)]
    for kind in (LIF, Synaptic, Alpha, Adaptive, LSTM):
        assert sum(bool(net.nodes_of(kind)) for net in nets) > 3
    assert sum(any(node.steps for node in net.nodes_of(Affine)) for net in nets) > 3
    for quantity, delay in (("output", 1), ("membrane", 0), ("membrane", 1)):
        here = [any((e.quantity, e.delay) == (quantity, delay) for e in n.edges) for n in nets]
        assert sum(here) > 3
    assert sum(len(group) > 3 for net in nets for group in net.groups) > 3


@pytest.mark.slow
@pytest.mark.parametrize("top", range(20))
def test_many_more_random_recurrent_networks_are_bit_exact(top):
    compared, layers, alive = check(1000 + PER_TOP * top, PER_TOP, recurrent_network)
    assert compared > 1000 * PER_TOP
    assert alive > layers / 2


@pytest.mark.slow
@pytest.mark.parametrize("top", range(20))
def test_many_more_random_networks_are_bit_exact(top):
    compared, layers, alive = check(1000 + PER_TOP * top, PER_TOP)
    assert compared > 1000 * PER_TOP
    assert alive > layers / 2
