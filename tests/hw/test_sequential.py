"""The sequential engine against the golden model: every probe, with random stalls, lanes, joins."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from batch_sim import Batch
from random_networks import layered_network, random_samples
from reslif.hw.emit import to_verilog
from reslif.hw.folding import Fold, Folding, FoldingError
from reslif.hw.sequential.program import LANES, Program, Sequence
from reslif.hw.sequential.words import OVERHEAD, ProgramWords
from reslif.sim.job import Stalls
from reslif.sim.verdict import spikes
from reslif.sw.network import LIF, Dense, Input, Join, Network, NetworkError, Node, Readout
from small_convs import tiny_ms
from small_networks import affine, dense, lif, network, residual

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
        net = batch.networks[str(seed)]
        random = np.random.default_rng([seed, 3])
        samples = random_samples(net, seed, steps=int(random.integers(1, 10)))
        stalls = Stalls(*random.choice([0.0, 0.1, 0.5], 2))
        mode = "packed" if random.random() < 0.3 else "event"
        run = batch.run(str(seed), samples, mode=mode, stalls=stalls, seed=seed, alive=False)
        check_cycles(batch, str(seed), samples[:, :1])
        counts = spikes(net, run.trace).values()
        compared += run.comparisons
        layers += len(counts)
        alive += sum(count > 0 for count in counts)
    return compared, layers, alive


def check_cycles(batch: Batch, name: str, sample: np.ndarray) -> None:
    """One sample takes exactly the cycles that are derived, and no layer more than it may."""
    net = batch.networks[name]
    words = ProgramWords(Program(net, Sequence(batch.manifests[name]["lanes"])))
    run = batch.run(name, sample, alive=False)
    events = []
    for operation in words.program.operations:
        source = net.by_name[operation.source]
        read = sample if source is net.input else run.trace[source.name, source.quantities[-1]]
        events.append(int(np.count_nonzero(read)))
    # Events and ends of timesteps come in as words; scores, and the class, leave as words.
    before = np.count_nonzero(sample) + len(sample)
    after = 3 * net.readout.size + 10
    cycles = words.cycles(len(sample), events)
    assert before + cycles <= run.cycles <= before + cycles + after
    assert OVERHEAD <= 24


@pytest.mark.parametrize("top", range(2))
def test_random_networks_are_bit_exact(top):
    compared, layers, alive = check(PER_TOP * top, PER_TOP)
    assert compared > 500 * PER_TOP
    assert layers > PER_TOP
    assert alive > layers / 2  # equal silence would prove little


KINDS = {"ms": {}} | {op: {"membrane": False, "op": op} for op in ("add", "or", "and", "iand")}


def test_both_engines_do_the_same():
    networks = {name: residual(2, size=10, **options) for name, options in KINDS.items()}
    designs: dict[str, tuple[Network, Folding | Sequence]] = {}
    for name, net in networks.items():
        designs[f"{name}-dataflow"] = net, Folding(Fold(4, 2))
        designs[f"{name}-sequential"] = net, Sequence(4)
    batch = Batch(designs)
    for name, net in networks.items():
        samples = random_samples(net, 1, steps=6, batch=8)
        dataflow, sequential = (
            batch.run(f"{name}-{engine}", samples, alive=engine == "dataflow")
            for engine in ("dataflow", "sequential")
        )
        # Each equals the golden model in every probe; so they equal each other.
        assert dataflow.comparisons == sequential.comparisons > 1000


FAULTS = {
    "b0a": (Dense, lambda node: replace(node, weight=flipped(node.weight)), "'b0a' current"),
    "b0l": (LIF, lambda node: replace(node, strict=False), "'b0l' spike"),
    "b1l": (LIF, lambda node: replace(node, leak=node.leak + 1), "'b1l' membrane"),
    "b1m": (LIF, lambda node: replace(node, reset="zero"), "'b1m' membrane"),
}


def flipped(weight: np.ndarray) -> np.ndarray:
    result = weight.copy()
    result[1, 5] ^= 1
    return result


def test_faults_are_named():
    right = residual(2, size=10, threshold=20)
    samples = random_samples(right, 1, steps=8, batch=60)
    wrong = {}
    for name, (kind, change, _) in FAULTS.items():
        nodes = tuple(change(node) if node.name == name else node for node in right.nodes)
        assert isinstance(right.by_name[name], kind)
        wrong[name] = Network(nodes, right.edges, right.max_steps), Sequence(4)
    batch = Batch(wrong)
    for name, (*_, place) in FAULTS.items():
        batch.networks[name] = right
        with pytest.raises(AssertionError, match=f"node {place}, sample .*, timestep .*, neuron"):
            batch.run(name, samples, alive=False)


def refused(nodes: list[Node], text: str) -> str:
    with pytest.raises(NetworkError) as error:
        ProgramWords(Program(network(nodes, text))).fields  # noqa: B018
    return str(error.value)


def test_what_it_cannot_build_is_named():
    x, d, out = Input("x", 4), dense("d", 4, 4), Readout("out", "sum_current", 4)
    head, first = dense("head", 4, 4), lif("first", 4)
    loop = [x, d, first, dense("loop", 4, 4), head, out]
    error = refused(loop, "x d first head out, first ~loop first")
    assert "node 'loop': has a delayed edge into it, must have none" in error
    sums = [x, d, dense("e", 4, 4), first, head, out]
    error = refused(sums, "x d first head out, x e first")
    assert "node 'first': has 2 edges into it, must have 1" in error
    winner = lif("winner", 4, inhibition=True)
    error = refused([x, d, winner, head, out], "x d winner head out")
    assert "node 'winner': has inhibition" in error
    error = refused([x, d, head, out], "x d head out")
    assert "node 'head': reads the currents of 'd', must read spikes" in error
    scaled = affine("scaled", 4)
    error = refused([x, d, scaled, first, head, out], "x d scaled first head out")
    assert "node 'scaled': is of type Affine, must be dense, LIF neurons or a join" in error
    two = lif("second", 4)
    both = [x, d, first, two, Join("both", "add", 4), head, out]
    error = refused(both, "x d first both.branch, d second both.shortcut, both head out")
    assert "node 'd': feeds neurons first, second, must feed at most one layer" in error
    pair = [x, d, first, Join("pair", "add", 4), head, out]
    error = refused(pair, "x d first pair.branch, x pair.shortcut, pair head out")
    assert "node 'x': feeds 'pair', must feed dense layers" in error
    with pytest.raises(NetworkError, match="node 'stem': is of type Conv2d, must be dense"):
        Program(tiny_ms())
    with pytest.raises(FoldingError, match="lanes is 12, of the sequential engine it must be one"):
        Sequence(12)


def test_a_chain_of_any_depth_needs_two_slots():
    words = ProgramWords(Program(residual(20), Sequence(4)))
    assert max(words.spike_slots.values()) == 1
    assert max(words.shortcut_slots.values()) == 0
    assert len(words.program.operations) == 42


def test_depth_adds_no_logic():
    """Two depths differ in memories and the bits that address them."""
    texts = [to_verilog(residual(blocks), Sequence(4))[0] for blocks in (8, 15)]
    lines = [
        [line for line in text.splitlines() if not re.match(r"\s*\S+\[\d+\] = |.*'h", line)]
        for text in texts
    ]
    assert abs(len(lines[0]) - len(lines[1])) < 20
