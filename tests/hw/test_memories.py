"""No component uses what it reads from an address in the cycle that writes it.

Here such data is poisoned: every bit is inverted. Designs that still equal the golden model in
every probe do not use it, so the synthesis may leave it undefined (``no_rw_check``).
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Fragment, Module, Signal, Value, signed
from amaranth.lib import stream
from batch_sim import Batch
from conv_sim import layout_of, random_case
from neuron_sim import EXAMPLES, assert_same, expected, random_currents, simulate
from poisoned_memory import Poisoned
from reslif import hw
from reslif.hw import (
    accumulators,
    activation,
    affine,
    buffers,
    conv_bank,
    delay,
    events,
    lstm,
    neurons,
    pool,
    readout,
    weights,
)
from reslif.hw.buffers import StepBuffer
from reslif.hw.emit import to_verilog
from reslif.hw.folding import Fold, Folding
from reslif.hw.models import neuron_array
from reslif.hw.sequential import (
    engine,
    input_store,
    lanes,
    results,
    spike_store,
    weight_load,
    weight_stream,
)
from reslif.hw.sequential.program import Sequence
from reslif.hw.streams import index_shape
from reslif.sim.job import Stalls
from reslif.sw.formats import Format
from reslif.sw.network import Input, Join, Network, Readout
from small_networks import affine as gain_and_bias
from small_networks import dense, lif, network, residual
from streams_sim import run

USERS = (
    accumulators,
    activation,
    affine,
    buffers,
    conv_bank,
    delay,
    events,
    lstm,
    neurons,
    pool,
    readout,
    weights,
    engine,
    input_store,
    lanes,
    results,
    spike_store,
    weight_load,
    weight_stream,
)
HW = Path(next(iter(hw.__path__)))


@pytest.fixture
def poison(monkeypatch) -> None:
    for module in USERS:
        monkeypatch.setattr(module, "memory", Poisoned)


def mixed(size: int, classes: int, kind: Any) -> Network:
    """Every component that has a memory, at ``size`` neurons."""
    return network(
        [
            Input("x", size, Format(3, 1)),
            dense("fc1", size, size), lif("lif1", size, 9, inhibition=size > 2),
            dense("fc2", size, size), Join("join", "add", size),
            lif("lif2", size, np.arange(size) + 20, leak=np.arange(size) % 3 + 13),
            dense("out", size, classes), lif("lif3", classes, 2), Readout("readout", kind, classes),
        ],
        "x fc1 lif1 fc2 join.branch lif2 out lif3 readout, x join.shortcut, lif1 lif2",
    )  # fmt: skip


def looped(size: int) -> Network:
    """A loop through a synapse, one through an affine unit, gains of each timestep."""
    return network(
        [
            Input("x", size), dense("fc1", size, size),
            gain_and_bias("gain", size, 16), lif("lif1", size),
            dense("rec", size, size), gain_and_bias("v", size), lif("lif2", size, 2),
            dense("out", size, 2), Readout("readout", "sum_current", 2),
        ],
        "x fc1 gain lif1 lif2 out readout, fc1 lif2, lif1 ~rec lif1, lif2 ~v lif2",
    )  # fmt: skip


DESIGNS = {
    "one word": (mixed(6, 1, "count"), Folding(Fold(6, 6))),
    "two words": (mixed(6, 2, "max_membrane"), Folding(Fold(3, 3))),
    "three words": (mixed(6, 3, "last_membrane"), Folding(Fold(2, 2))),
    "five words": (mixed(9, 4, "count"), Folding(Fold(4, 2))),
    "one lane": (mixed(5, 3, "max_membrane"), Folding(Fold(1, 1))),
    "loops, one word": (looped(4), Folding(Fold(4, 4))),
    "loops, four words": (looped(7), Folding(Fold(2, 2))),
    "currents": (residual(2, 6, long_skip=True), Folding(Fold(4, 2))),
    "one engine, currents": (residual(2, 10), Sequence(4)),
    "one engine, spikes": (residual(2, 10, membrane=False), Sequence(4)),
    "one engine, one word": (residual(1, 3), Sequence(8)),
}
"""Streamed and loaded weights are poisoned in their own tests."""


@pytest.mark.usefixtures("poison")
def test_designs_with_poisoned_memories_equal_the_golden_model():
    batch = Batch(DESIGNS)
    assert all(text.count("collided") > 10 for text in batch.texts.values())
    for name, (net, _) in DESIGNS.items():
        random = np.random.default_rng(len(name))
        form = net.input.format
        shape = (9, 6, net.input.size)
        samples = random.integers(form.min, form.max, shape, endpoint=True)
        samples *= random.random(shape) < random.choice([0.2, 0.6, 1], (9, 6, 1))
        for seed, stalls in enumerate([Stalls(), Stalls(0.3, 0.3), Stalls(0, 0.7), Stalls(0.1, 0)]):
            batch.run(name, samples, stalls=stalls, seed=seed)


@pytest.mark.usefixtures("poison")
@pytest.mark.parametrize("words", [1, 2, 3, 6])
@pytest.mark.parametrize("node", EXAMPLES, ids=lambda node: type(node).__name__)
def test_arrays_with_poisoned_memories_equal_the_golden_step(node, words):
    form = Format(8, 4)
    currents = random_currents(form, node.size * node.INPUTS, 12)
    for idle, stall in [(0.0, 0.0), (0.0, 0.6), (0.5, 0.0), (0.3, 0.3)]:
        got = simulate(node, 6 // words, currents, form, idle, stall)
        assert_same(got, expected(node, currents, form))
    assert 0 < got.values["sent.spike"].mean() < 1


CONVS = {
    "one word": layout_of((6, 1, 1), 2, 1, lanes=2, out_lanes=2, initial=signed(8)),
    "two words": layout_of((6, 1, 2), 4, 1, lanes=2, out_lanes=1),
    "one tap": layout_of((3, 3, 3), 2, 3, padding=1, lanes=2, out_lanes=2, initial=signed(8)),
    "all taps": layout_of((4, 3, 2), 4, 2, padding=1, lanes=2, out_lanes=1, taps=4),
}


@pytest.mark.usefixtures("poison")
@pytest.mark.parametrize("name", CONVS)
def test_convolutions_with_poisoned_memories_equal_plain_loops(name):
    case = random_case(CONVS[name], 0, 3, 1)
    assert case.values.any()
    for idle, stall in [(0.0, 0.0), (0.0, 0.6), (0.4, 0.0)]:
        np.testing.assert_array_equal(case.simulate(idle, stall).sums, case.expected)


@pytest.mark.usefixtures("poison")
def test_a_convolution_reads_such_data_where_it_forwards(monkeypatch):
    """Two additions on, the word is written in the cycle that reads it."""
    monkeypatch.setattr(conv_bank.ConvBank, "FORWARD", (1,))
    case = random_case(CONVS["two words"], 0, 3, 1)
    wrong = case.simulate().sums != case.expected
    assert wrong.any()


@pytest.mark.usefixtures("poison")
@pytest.mark.parametrize("node", EXAMPLES, ids=lambda node: type(node).__name__)
def test_memory_ports_are_those_there_are(node, monkeypatch):
    made = []
    for module in USERS:
        monkeypatch.setattr(
            module, "memory", lambda *a, **k: made.append(Poisoned(*a, **k)) or made[-1]
        )
    for numbers in (node, replace(node, threshold=50)):
        made.clear()
        array = neuron_array(numbers, 2, signed(8), 0)
        Fragment.get(array, None)
        assert array.memory_ports == sum(len(m.reads) + len(m.writes) for m in made) > 1


class HastyBuffer(StepBuffer):
    """Takes a beat into a full queue where one leaves: reads and writes the same address."""

    def elaborate(self, platform: object) -> Module:
        m = Module()
        queue = m.submodules.queue = buffers.memory(
            Value.cast(self.input.payload).shape().width, self.depth
        )
        write, read = queue.write_port(), queue.read_port()
        at, level = Signal(index_shape(self.depth)), Signal(range(self.depth + 1))
        full, pull = Signal(), Signal()
        m.d.comb += [
            full.eq(level == self.depth),
            pull.eq(full & (~self.output.valid | self.output.ready) & self.input.valid),
            self.input.ready.eq(~full | pull),
            write.addr.eq(at),
            write.data.eq(self.input.payload),
            write.en.eq(self.input.valid & self.input.ready),
            read.addr.eq(at),
            read.en.eq(pull),
            Value.cast(self.output.payload).eq(read.data),
        ]
        with m.If(write.en):
            m.d.sync += at.eq(at + 1)
            with m.If(at == self.depth - 1):
                m.d.sync += at.eq(0)
            with m.If(~full):
                m.d.sync += level.eq(level + 1)
        with m.If(pull):
            m.d.sync += self.output.valid.eq(1)
        with m.Elif(self.output.ready):
            m.d.sync += self.output.valid.eq(0)
        return m


def taken(buffer: StepBuffer) -> list[int]:
    numbers = list(range(20))
    got = run(buffer, {"input": numbers}, "output", 16, idle=0.3, stall=0.3)
    return [int(value) for _, value in got]


def test_a_component_that_uses_such_data_works_as_simulated():
    assert taken(HastyBuffer(stream.Signature(8), 4)) == list(range(16))


@pytest.mark.usefixtures("poison")
def test_and_is_caught():
    assert taken(HastyBuffer(stream.Signature(8), 4)) == [n ^ 0xFF for n in range(16)]


@pytest.mark.usefixtures("poison")
def test_poison_leaves_other_data_alone():
    assert taken(StepBuffer(stream.Signature(8), 4)) == list(range(16))


def test_all_memories_are_made_in_one_place():
    """Else one would escape the check above."""
    texts = {
        ".".join(path.relative_to(HW).with_suffix("").parts): path.read_text()
        for path in HW.rglob("*.py")
    }
    users = {name for name, text in texts.items() if "memory(" in text}
    assert users == {"memories", *(m.__name__.removeprefix("reslif.hw.") for m in USERS)}
    assert [name for name, text in texts.items() if "lib.memory" in text] == ["memories"]


def test_memories_say_so_to_synthesis():
    text, _ = to_verilog(*DESIGNS["five words"])
    memories = re.findall(r"((?:\(\* [^\n]* \*\)\s*)*)reg (?:signed )?\[[^\]]*\] \S+ \[", text)
    assert len(memories) > 10
    assert all("no_rw_check" in attributes for attributes in memories)
