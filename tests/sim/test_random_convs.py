"""Random convolutional networks in hardware: bit-exact in every probe, stalled, folded anyhow."""

from __future__ import annotations

from unittest.mock import patch

import numpy as np
import pytest
from batch_sim import Batch
from random_convs import random_conv_network, random_conv_samples
from reslif.hw.folding import Fold, Folding, Plan
from reslif.sim.job import Stalls
from reslif.sim.verdict import spikes

PER_TOP = 6


def folding(seed: int) -> Folding:
    """One to four neuron lanes, up to three times as many synapse lanes, taps of any kind."""
    random = np.random.default_rng([seed, 2])
    neuron_lanes = int(random.integers(1, 5))
    lanes = neuron_lanes * int(random.integers(1, 4))
    return Folding(Fold(lanes, neuron_lanes, int(random.choice([1, 3, 9, 25]))))


def check(first: int) -> tuple[int, int, int]:
    """Values compared, layers of neurons, and how many of those spiked."""
    batch = Batch({})
    for seed in range(first, first + PER_TOP):
        # Every other one starts its sums from shortcuts wherever that is possible.
        with patch.object(Plan, "_saved", lambda *_, seed=seed: seed % 2):
            net = random_conv_network(seed, overlapping=False)
            batch.add(str(seed), net, folding(seed))
    compared = layers = alive = 0
    for name in batch.names:
        seed, net = int(name), batch.networks[name]
        stalls = Stalls(*np.random.default_rng([seed, 3]).choice([0.0, 0.1, 0.5], 2))
        mode = "packed" if seed % 3 == 0 else "event"
        samples = random_conv_samples(net, seed)
        run = batch.run(name, samples, mode=mode, stalls=stalls, seed=seed, alive=False)
        assert run.mismatches == 0
        counts = spikes(net, run.trace).values()
        compared += run.comparisons
        layers += len(counts)
        alive += sum(count > 0 for count in counts)
    return compared, layers, alive


def test_random_convolutional_networks_are_bit_exact():
    compared, layers, alive = check(0)
    assert compared > 1000 * PER_TOP
    assert layers > PER_TOP
    assert alive > 0.8 * layers  # equal silence would prove little


@pytest.mark.slow
@pytest.mark.parametrize("top", range(1, 6))
def test_more_random_convolutional_networks_are_bit_exact(top):
    compared, layers, alive = check(PER_TOP * top)
    assert compared > 1000 * PER_TOP
    assert alive > 0.8 * layers
