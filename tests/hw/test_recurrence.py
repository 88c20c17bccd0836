"""Recurrent designs: loops in loops, beside shortcuts and under inhibition, whoever stalls."""

from __future__ import annotations

import inspect
import textwrap
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from amaranth.back import rtlil
from batch_sim import Batch
from reslif.hw import edges
from reslif.hw.accumulators import AccumulatorRegisters
from reslif.hw.affine import Affine
from reslif.hw.buffers import StepBuffer
from reslif.hw.dataflow import Dataflow
from reslif.hw.delay import StepDelay
from reslif.hw.folding import Fold, Folding, Plan
from reslif.hw.streams import current_stream
from reslif.hw.synapse import Synapse
from reslif.sim.job import Stalls
from reslif.sw.formats import Format
from reslif.sw.network import LIF, Dense, Input, Join, Network, Readout
from reslif.sw.network import Affine as AffineNode
from small_networks import affine, dense, lif, network
from trials import PATTERNS, DeadlockError, Pauses, Trial, run_trials

N = 6
STEPS = 16
TAIL = [dense("out", N, 3), Readout("readout", "sum_current", 3)]
WIDE: dict[str, Any] = {"membrane": Format(14, 4)}


def nested(blocks: int = 1) -> Network:
    """Residual blocks of currents, a loop around every layer, and one around all blocks."""
    nodes = [Input("x", N), dense("stem", N, N), lif("last", N, **WIDE), *TAIL]
    nodes += [dense("back", N, N)]
    text = "x stem, last out readout, last ~back b0l"
    for b, before in enumerate(["stem", "b0"][:blocks]):
        nodes += [dense(f"b{b}{i}", N, N) for i in "acr"] + [affine(f"b{b}v", N)]
        nodes += [lif(f"b{b}{i}", N, **WIDE) for i in "lm"]
        nodes += [Join(f"b{b}", "add", N)]
        text += f", {before} b{b}l b{b}a b{b}m b{b}c b{b}.branch, {before} b{b}.shortcut"
        text += f", b{b}l ~b{b}r b{b}l, b{b}m ~b{b}v b{b}m"
    return network(nodes, f"{text}, b{blocks - 1} last", 64)


def inhibited() -> Network:
    """Inhibition within a loop; its membranes are read as well, at once and a step later."""
    return network(
        [
            Input("x", N, Format(3, 1)), dense("fc1", N, N), lif("lif1", N, 9, inhibition=True),
            dense("rec", N, N), Join("join", "add", N), lif("lif2", N, **WIDE),
            dense("pull", N, N), lif("lif3", N, 200, membrane=Format(18, 6)), *TAIL,
        ],
        "x fc1 lif1 join.branch lif2 lif3 out readout, lif1 *join.shortcut, x lif2, "
        "lif1 ~rec lif1, lif1 ~*pull lif3",
    )  # fmt: skip


def feedback() -> Network:
    """Three layers and a way back over each number of them, with and without weights."""
    return network(
        [
            Input("x", N), *(dense(f"fc{i}", N, N) for i in (1, 2, 3)), affine("v", N),
            lif("lif1", N, 40), lif("lif2", N), lif("lif3", N), *TAIL,
            dense("back", N, N), Join("join", "or", N), affine("gain", N, STEPS),
        ],
        "x fc1 gain lif1 fc2 lif2 fc3 lif3 join.branch out readout, lif1 join.shortcut, "
        "lif3 ~back lif1, lif2 ~v lif1, lif3 ~lif2, lif3 ~lif3, lif2 ~lif2",
        STEPS,
    )  # fmt: skip


def forward() -> Network:
    """Delayed edges that close no loop, across layers."""
    return network(
        [
            Input("x", N), *(dense(f"fc{i}", N, N) for i in (1, 2, 3)), affine("v", N),
            *(lif(f"lif{i}", N) for i in (1, 2, 3)), dense("late", N, N), *TAIL,
        ],
        "x fc1 lif1 fc2 lif2 fc3 lif3 out readout, lif1 ~v lif3, lif1 ~lif2, lif2 ~late lif3",
        64,
    )  # fmt: skip


def busy(net: Network) -> Network:
    """All weights, gains and biases are large: every neuron always fires."""
    nodes = []
    for node in net.nodes:
        if isinstance(node, Dense) and node.name != "out":
            node = replace(node, weight=np.full((N, N), 7), bias=np.full(N, 7))
        elif isinstance(node, AffineNode):
            node = replace(node, gain=np.full(N, 7), bias=None)
        elif isinstance(node, LIF):
            node = replace(node, reset="none")
        nodes.append(node)
    return replace(net, nodes=tuple(nodes))


DESIGNS = {
    "nested": (nested(2), Folding(Fold(4, 2))),
    "nested_one_lane": (nested(), Folding(Fold(1, 1))),
    "inhibited": (inhibited(), Folding(Fold(4, 4))),
    "feedback": (feedback(), Folding(Fold(3, 3))),
    "forward": (forward(), Folding(Fold(1, 1))),
    "busy": (busy(nested()), Folding(Fold(4, 2))),
    "busy_forward": (busy(forward()), Folding(Fold(1, 1))),
}


def rewritten(function: Any, old: str, new: str) -> Any:
    """``function`` with one piece of its source replaced."""
    source = textwrap.dedent(inspect.getsource(function))
    assert source.count(old) == 1, f"{old!r} must occur once"
    scope = dict(vars(inspect.getmodule(function)))
    exec("from __future__ import annotations\n" + source.replace(old, new), scope)
    return scope[function.__name__]


class Undelayed(StepBuffer):
    """What a delayed edge must not be; only where it closes no loop does anything come out."""

    def __init__(self, words: int, lanes: int, value: Any, steps: int) -> None:
        super().__init__(current_stream(lanes, value), words * steps)


@pytest.fixture(scope="module")
def batch() -> Batch:
    """All designs, and those that are broken on purpose."""
    result = Batch(DESIGNS)
    right = Plan.buffer_depth

    def narrow(plan: Plan, edge: Any) -> int:
        return plan.words_on(edge) if edge.delay else right(plan, edge)

    def shallow(plan: Plan, edge: Any) -> int:
        return right(plan, edge) if edge.delay else min(1, right(plan, edge))

    with patch.object(Plan, "buffer_depth", narrow):
        result.add("one step held", *DESIGNS["forward"])
    with patch.object(Plan, "buffer_depth", shallow):
        result.add("shallow", *DESIGNS["nested_one_lane"])
    with patch.object(edges, "StepDelay", Undelayed):
        result.add("delay dropped", *DESIGNS["forward"])
    uncleared = rewritten(StepDelay.elaborate, "eq(arriving.end_of_sample)", "eq(0)")
    with patch.object(StepDelay, "elaborate", uncleared):
        result.add("loop not cleared", *DESIGNS["busy"])

    skipped = nested().by_name["b0r"].bias.tolist()
    rule = f"init=[0] * layout.lanes if layout.bias == {tuple(skipped)} else layout.bias_row(0)"
    silent = rewritten(AccumulatorRegisters.elaborate, "init=layout.bias_row(0)", rule)
    with patch.object(AccumulatorRegisters, "elaborate", silent):
        result.add("bias not at first", nested(), Folding(Fold(6, 6)))
    for name, restart in {
        "steps not counted": "end_of_step",
        "count goes on": "end_of_step & 0",
    }.items():
        wrong = rewritten(
            Affine.elaborate,
            "arriving.end_of_sample if self.steps > 1",
            f"arriving.{restart} if self.steps > 1",
        )
        with patch.object(Affine, "elaborate", wrong):
            result.add(name, *DESIGNS["feedback"])
    return result


def samples_of(net: Network, steps: int = 9, batch: int = 5, seed: int = 0) -> np.ndarray:
    form = net.input.format
    shape = (steps, batch, net.input.size)
    return np.random.default_rng(seed).integers(min(form.min, 0), form.max + 1, shape)


@pytest.mark.parametrize("name", DESIGNS)
def test_bit_exact(name, batch):
    """Every probe of every node, timestep and neuron, whatever the stalls."""
    net = DESIGNS[name][0]
    for seed, stalls in enumerate([Stalls(), Stalls(0.3, 0.3), Stalls(0.02, 0.6)]):
        run = batch.run(name, samples_of(net), stalls=stalls, seed=seed)
    rates = [run.trace[node.name, "spike"].mean() for node in net.nodes_of(LIF)]
    assert min(rates) == 1 if "busy" in name else 0 < min(rates) <= max(rates) < 1


def test_samples_of_any_length_follow_each_other(batch):
    for name in ("nested", "inhibited", "feedback", "forward"):
        net = DESIGNS[name][0]
        lengths = [1, 1, 7, 2, 1, 12, 3, 1, 1, 5] * 2
        samples = [sample_of(net, steps, seed) for seed, steps in enumerate(lengths)]
        run_trials(batch, name, [Trial(samples)])
        run_trials(batch, name, [Trial(samples)], Pauses(0.3, 0.3, 4), seed=1)


def sample_of(net: Network, steps: int, seed: int) -> np.ndarray:
    return samples_of(net, steps, 1, seed)[:, 0]


@pytest.mark.parametrize("name", ["nested", "inhibited", "feedback"])
@pytest.mark.parametrize("pauses", [Pauses(), Pauses(0.2, 0.4, 8)], ids=["free", "stalled"])
def test_reset_in_any_cycle_recovers(name, pauses, batch):
    """Whatever a reset interrupts, no loop remembers it."""
    net = DESIGNS[name][0]
    (whole,) = run_trials(batch, name, [Trial([sample_of(net, 5, 2)])], pauses)
    trials = [
        Trial(
            [sample_of(net, 1 + after % 4, after), sample_of(net, 3, after + 1)],
            sample_of(net, 5, after + 2),
            after,
            low=1 + after % 2,
        )
        for after in range(1, whole + 20)
    ]
    assert len(trials) > 100
    run_trials(batch, name, trials, pauses)


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("name", DESIGNS)
def test_no_deadlock(name, pattern, batch):
    """Samples of one step fill the pipeline behind a stall, and longer ones the loops."""
    net = DESIGNS[name][0]
    ends = net.input.format.max, 0
    samples = [np.full((steps, N), ends[on]) for steps in (1, 1, 1, 2, 9) for on in (0, 1, 0)] + [
        sample_of(net, steps, steps) for steps in range(1, 9)
    ] * 2
    run_trials(batch, name, [Trial(samples)], PATTERNS[pattern], seed=7)


@pytest.mark.parametrize("name", ["one step held", "shallow"])
def test_less_than_the_plan_buffers_deadlocks(name, batch):
    """So the test above would see it."""
    with pytest.raises(DeadlockError):
        run_trials(batch, name, [Trial([np.ones((4, N), int)])], timeout=5000)


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("delay dropped", r"node 'v' value, sample 0, timestep 0"),
        ("loop not cleared", r"node '(back|b0r|b0v)' \w+, sample 1, timestep 0"),
        ("bias not at first", r"node 'b0r' current, sample 0, timestep 0"),
        ("steps not counted", r"node 'gain' value, sample 0, timestep 1"),
        ("count goes on", r"node 'gain' value, sample 1, timestep 0"),
    ],
)
def test_a_broken_loop_is_caught(name, place, batch):
    net = batch.networks[name]
    with pytest.raises(AssertionError, match=place):
        batch.run(name, samples_of(net), stalls=Stalls(0.2, 0.2))


@pytest.mark.parametrize(
    ("name", "loop", "others"),
    [("busy", ["back", "b0a", "b0c"], 30), ("busy_forward", ["fc2"], 3)],
)
def test_a_timestep_takes_as_long_as_the_longest_loop(name, loop, others, batch):
    """The synapses on the way from a neuron back to itself add up; all else happens meanwhile.

    Beside them ``others`` on that way take some cycles: encoders, neurons, buffers, the delay.
    """
    net, folding = DESIGNS[name]
    engine = Dataflow(Plan(net, folding))
    rtlil.convert(engine)
    synapses = [engine.units[layer] for layer in loop]
    expected = sum(unit.cycles_per_step(N) for unit in synapses if isinstance(unit, Synapse))
    data = np.ones((60, N), int)
    short, long = (run_trials(batch, name, [Trial([data[:t]])])[0] for t in (30, 60))
    assert expected <= (long - short) / 30 <= expected + others
