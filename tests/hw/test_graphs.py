"""Every graph becomes hardware of its own: each edge is built, and the result is bit-exact."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from batch_sim import Batch
from reslif.hw.emit import generate, to_verilog
from reslif.hw.folding import Fold, Folding
from reslif.sim.job import Stalls
from reslif.sw.formats import Format
from reslif.sw.network import Input, Join, Network, NetworkError, Readout
from small_networks import affine, dense, lif, network

N, CLASSES = 6, 3
FOLDS = [Fold(4, 2), Fold(6, 6), Fold(1, 1), Fold(3, 3), Fold(2, 1), Fold(8, 4)]

LAYERS = [
    Input("x", N),
    dense("fc1", N, N), lif("lif1", N),
    dense("fc2", N, N), lif("lif2", N),
    dense("fc3", N, N), lif("lif3", N),
    dense("out", N, CLASSES), Readout("readout", "sum_current", CLASSES),
]  # fmt: skip
ADD = Join("add", "add", N)

SAME_LAYERS = {
    "chain": network(LAYERS, "x fc1 lif1 fc2 lif2 fc3 lif3 out readout"),
    "sew_add": network(
        [*LAYERS, ADD],
        "x fc1 lif1 fc2 lif2 add.branch fc3 lif3 out readout, lif1 add.shortcut",
    ),
    "membrane_shortcut": network(
        [*LAYERS, ADD],
        "x fc1 lif1 fc2 lif2 fc3 add.branch lif3 out readout, fc2 add.shortcut",
    ),
    "spike_skip_across_two_layers": network(
        [*LAYERS, ADD],
        "x fc1 lif1 fc2 lif2 fc3 lif3 add.branch out readout, lif1 add.shortcut",
    ),
    "input_skip": network(
        [*LAYERS, ADD],
        "x fc1 lif1 fc2 lif2 fc3 lif3 add.branch out readout, x add.shortcut",
    ),
}
"""Five graphs over the same layers with the same weights."""

TAIL = [dense("out", N, CLASSES), Readout("readout", "sum_current", CLASSES)]
X, FC1, LIF1, FC2, LIF2 = LAYERS[:5]


def sew(op):
    return network(
        [X, FC1, LIF1, FC2, LIF2, Join("join", op, N), *TAIL],
        "x fc1 lif1 fc2 lif2 join.branch out readout, lif1 join.shortcut",
    )


def readout(kind, **options):
    return network(
        [X, FC1, LIF1, FC2, lif("lif2", N, **options), Readout("readout", kind, N)],
        "x fc1 lif1 fc2 lif2 readout",
    )


LOOP_LAYERS = [*LAYERS, dense("rec", N, N, bits=2, frac=0), affine("v", N)]
CHAIN = "x fc1 lif1 fc2 lif2 fc3 lif3 out readout"
LOOPS = {
    "all_to_all": network(LOOP_LAYERS, f"{CHAIN}, lif1 ~rec lif1, lif2 ~v lif2"),
    "all_to_all_later": network(LOOP_LAYERS, f"{CHAIN}, lif2 ~rec lif2, lif1 ~v lif1"),
    "around_two_layers": network(LOOP_LAYERS, f"{CHAIN}, lif2 ~rec lif1, lif2 ~v lif2"),
    "around_all_layers": network(LOOP_LAYERS, f"{CHAIN}, lif3 ~rec lif1, lif2 ~v lif2"),
    "of_the_membrane": network(LOOP_LAYERS, f"{CHAIN}, lif1 ~*rec lif1, lif2 ~v lif2"),
    "no_loop": network(LOOP_LAYERS, f"{CHAIN}, lif1 rec lif3, lif2 ~v lif2"),
}
"""One dense layer and an affine unit beside the same chain; the last reads without a delay."""

OTHERS = {
    "sew_and": sew("and"),
    "sew_iand": sew("iand"),
    "sew_or": sew("or"),
    "two_dense_into_one_lif": network(
        [X, FC1, LIF1, FC2, dense("fc2b", N, N, frac=1), LIF2, *TAIL],
        "x fc1 lif1 fc2 lif2 out readout, x fc2b lif2",
    ),
    "five_edges_into_one_lif": network(
        [X, FC1, LIF1, FC2, dense("fc2b", N, N, frac=0), LIF2, *TAIL],
        "x fc1 lif1 fc2 lif2 out readout, x fc2b lif2, x lif2, lif1 lif2, fc1 lif2",
    ),
    "plain_residual_block": network(
        [X, FC1, LIF1, FC2, LIF2, *TAIL], "x fc1 lif1 fc2 lif2 out readout, lif1 lif2"
    ),
    "count": readout("count", reset="zero", keep_input=False),
    "last_membrane": readout("last_membrane", reset="none"),
    "max_membrane": readout("max_membrane", reset="subtract", reset_delay=False),
    "inhibition": network(
        [X, FC1, lif("lif1", N, inhibition=True), FC2, lif("lif2", N, inhibition=True), *TAIL],
        "x fc1 lif1 fc2 lif2 out readout, lif1 lif2",
    ),
    "per_neuron": network(
        [
            X, FC1, lif("lif1", N, [9, 20, 31, 40, 5, 60], leak=np.arange(16, 4, -2)),
            FC2, lif("lif2", N, [20] * N, leak=np.arange(6), reset="zero", strict=False), *TAIL,
        ],
        "x fc1 lif1 fc2 lif2 out readout",
    ),
    "narrow_join": network(
        [X, FC1, LIF1, FC2, Join("join", "add", N, Format(5, 1)), LIF2, *TAIL],
        "x fc1 lif1 fc2 join.branch lif2 out readout, fc1 join.shortcut",
    ),
    "narrow_signed_and": network(
        [
            Input("x", N, Format(4, 1)), FC1, Join("join", "and", N, Format(4, 1)),
            lif("lif2", N, 2), *TAIL,
        ],
        "x fc1 join.branch lif2 out readout, x join.shortcut",
    ),
    "input_into_join_and_neuron": network(
        [
            Input("x", N, Format(3, 1)), FC1, Join("join", "iand", N), lif("lif1", N, 2),
            FC2, LIF2, *TAIL,
        ],
        "x fc1 join.branch lif1 fc2 lif2 out readout, x join.shortcut, x lif2",
    ),
    "operand_with_itself": network(
        [X, FC1, LIF1, Join("join", "add", N), Join("twice", "add", N), *TAIL],
        "x fc1 lif1 join.branch out readout, lif1 join.shortcut, "
        "x twice.branch lif1, x twice.shortcut",
    ),
    "neurons_without_synapse": network(
        [X, lif("lif1", N, 5), Readout("readout", "count", N)], "x lif1 readout"
    ),
    "synapse_without_neurons": network(
        [X, dense("fc1", N, N), Readout("readout", "sum_current", N)], "x fc1 readout"
    ),
    "neurons_that_read_themselves": network(
        [X, FC1, LIF1, LIF2, *TAIL],
        "x fc1 lif1 lif2 out readout, lif1 ~lif1, lif2 ~*lif2, lif2 ~lif2",
    ),
    "membranes_as_beats_and_events": network(
        [
            X, FC1, LIF1, FC2, Join("join", "iand", N),
            lif("lif2", N, 90, membrane=Format(16, 6)), *TAIL,
        ],
        "x fc1 lif1 *fc2 join.branch lif2 out readout, lif1 *join.shortcut, lif1 *lif2, lif1 lif2",
    ),
    "gain_and_bias_of_each_timestep": network(
        [X, FC1, affine("gain", N, 16), LIF1, affine("scale", N), lif("lif2", N), *TAIL],
        "x fc1 gain lif1 scale lif2 out readout",
    ),
    "affine_input_and_scores": network(
        [Input("x", N, Format(3, 1)), affine("in", N, 16), LIF1, FC2, affine("last", N, 16),
         Readout("readout", "sum_current", N)],
        "x in lif1 fc2 last readout",
    ),
    "one_of_everything": network(
        [
            Input("x", 1), dense("fc1", 1, 1, seed=5), lif("lif1", 1, 3),
            dense("fc2", 1, 1, seed=1), Readout("readout", "sum_current", 1),
        ],
        "x fc1 lif1 fc2 readout",
    ),
}  # fmt: skip

GRAPHS = SAME_LAYERS | LOOPS | OTHERS


@pytest.fixture(scope="module")
def batch() -> Batch:
    same = SAME_LAYERS | LOOPS
    designs = {name: (net, Folding(FOLDS[0])) for name, net in same.items()}
    for number, (name, net) in enumerate(OTHERS.items()):
        designs[name] = net, Folding(FOLDS[number % len(FOLDS)])
    return Batch(designs)


def samples_of(net: Network, steps: int = 9, batch: int = 5, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    form, size = net.input.format, net.input.size
    low = min(form.min, 0)
    return random.integers(low, form.max + 1, (steps, batch, size))


@pytest.mark.parametrize("name", GRAPHS)
def test_bit_exact(name, batch):
    """Every probe of every node, timestep and neuron, whatever the stalls."""
    net = GRAPHS[name]
    data = samples_of(net)
    values = 0
    for seed, stalls in enumerate([Stalls(), Stalls(0.3, 0.3), Stalls(0.02, 0.6)]):
        values += batch.run(name, data, stalls=stalls, seed=seed).comparisons
    values += batch.run(name, data, mode="packed", stalls=Stalls(0.2, 0.2)).comparisons
    probed = sum(p.words * p.lanes for p in batch.probes(name).values())
    assert values >= 4 * data.shape[0] * data.shape[1] * probed // 2


def engine(text: str) -> str:
    """A design's text without its name, and without the registers, which hold its digest."""
    text, count = re.subn(r"module \\g\d+\.registers .*?endmodule\n", "", text, flags=re.DOTALL)
    assert count == 1
    return re.sub(r"\bg\d+\b", "top", text)


def test_different_graphs_are_different_hardware(batch):
    texts = {engine(batch.texts[name]) for name in SAME_LAYERS}
    assert len(texts) == len(SAME_LAYERS) == 5


def test_only_the_registers_know_the_digest(batch):
    """Else the texts above would differ whatever is built."""
    chain = SAME_LAYERS["chain"]
    other = replace(chain, max_steps=chain.max_steps - 1)
    assert other.digest != chain.digest
    text, _ = to_verilog(other, Folding(FOLDS[0]), "g99")
    assert engine(text) == engine(batch.texts["chain"])


def test_different_loops_are_different_hardware(batch):
    texts = {engine(batch.texts[name]) for name in LOOPS}
    assert len(texts) == len(LOOPS) == 6


def test_what_cannot_be_built_is_an_error(tmp_path):
    nodes = [X, FC1, LIF1, dense("rec", N, N), LIF2, ADD, *TAIL]
    net = network(nodes, "x fc1 lif1 add.branch out readout, lif1 ~rec lif2 add.shortcut")
    with pytest.raises(NetworkError, match=r"^node 'lif2': .* cannot know when a sample ends"):
        generate(net, tmp_path / "design")
    assert not (tmp_path / "design").exists()


def test_names_of_nodes_never_clash_with_each_other():
    """Names that the builder might use itself, and words of Verilog."""
    net = network(
        [
            Input("input", N),
            *(dense("fc", N, N), lif("fc_fork", N), dense("fc_weights", N, N)),
            *(lif("clk", N), dense("module", N, N), lif("fc_spike_fork", N)),
            *(Join("rst", "add", N), Join("results", "add", N)),
            *(dense("words", N, N), Readout("output", "sum_current", N)),
        ],
        "input fc fc_fork fc_weights clk module fc_spike_fork rst.branch results.branch words "
        "output, fc_fork rst.shortcut, clk results.shortcut",
    )
    _, manifest = to_verilog(net, Folding())
    assert {layer["name"] for layer in manifest["layers"]} == set(net.by_name)
