"""The sequential engine against the golden model: every probe, with random stalls, lanes, joins."""

from __future__ import annotations

import numpy as np
import pytest
from batch_sim import Batch
from random_networks import layered_network, random_samples
from reslif.hw.program import LANES, Program, Sequence
from reslif.hw.program_words import OVERHEAD, ProgramWords
from reslif.sim.job import Stalls
from reslif.sim.verdict import spikes

PER_TOP = 14


def sequence(seed: int) -> Sequence:
    random = np.random.default_rng([seed, 6])
    return Sequence(int(random.choice([lanes for lanes in LANES if lanes <= 32])))


def check(first: int, count: int) -> tuple[int, int, int]:
    """Values compared, layers of neurons, and how many of those spiked."""
    seeds = range(first, first + count)
    batch = Batch({str(seed): (layered_network(seed), sequence(seed)) for seed in seeds})
    compared = layers = alive = 0
    for seed in seeds:
        network = batch.networks[str(seed)]
        random = np.random.default_rng([seed, 3])
        samples = random_samples(network, seed, steps=int(random.integers(1, 10)))
        stalls = Stalls(*random.choice([0.0, 0.1, 0.5], 2))
        mode = "packed" if random.random() < 0.3 else "event"
        run = batch.run(str(seed), samples, mode=mode, stalls=stalls, seed=seed, alive=False)
        check_cycles(batch, str(seed), samples[:, :1])
        counts = spikes(network, run.trace).values()
        compared += run.comparisons
        layers += len(counts)
        alive += sum(count > 0 for count in counts)
    return compared, layers, alive


def check_cycles(batch: Batch, name: str, sample: np.ndarray) -> None:
    """One sample takes exactly the cycles that are derived, and no layer more than it may."""
    network = batch.networks[name]
    words = ProgramWords(Program(network, Sequence(batch.manifests[name]["lanes"])))
    run = batch.run(name, sample, alive=False)
    events = []
    for operation in words.program.operations:
        source = network.by_name[operation.source]
        read = sample if source is network.input else run.trace[source.name, source.quantities[-1]]
        events.append(int(np.count_nonzero(read)))
    # Events and ends of timesteps come in as words; scores, and the class, leave as words.
    before = np.count_nonzero(sample) + len(sample)
    after = 3 * network.readout.size + 10
    cycles = words.cycles(len(sample), events)
    assert before + cycles <= run.cycles <= before + cycles + after
    assert OVERHEAD <= 24


@pytest.mark.parametrize("top", range(2))
def test_random_networks_are_bit_exact(top):
    compared, layers, alive = check(PER_TOP * top, PER_TOP)
    assert compared > 500 * PER_TOP
    assert layers > PER_TOP
    assert alive > layers / 2  # equal silence would prove little
