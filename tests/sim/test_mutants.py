"""Five faults in real generated hardware: each is caught, and the message names the place.

The generator itself is broken on purpose, so that the design still says it is the network's.
"""

import hashlib
import inspect
import json
import re
import textwrap
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from reslif.hw import buffers, dataflow, emit, lanes, lif, models
from reslif.hw.folding import Fold, Folding
from reslif.sim.cosim import MismatchError, cosim
from reslif.sim.job import Stalls
from reslif.sim.verdict import Mismatch
from reslif.sim.verilator import lint
from reslif.sw.network import LIF
from small_networks import residual

NETWORK = residual(1)
FOLDING = Folding(Fold(4, 2))
SAMPLES = np.random.default_rng(0).integers(0, 2, (6, 8, 6))


def rewritten(function: Callable[..., Any], old: str, new: str, **names: Any) -> Any:
    """``function`` with one piece of its source replaced."""
    source = textwrap.dedent(inspect.getsource(function))
    assert source.count(old) == 1, f"{old!r} must occur once"
    scope = dict(vars(inspect.getmodule(function))) | names
    exec("from __future__ import annotations\n" + source.replace(old, new), scope)
    return scope[function.__name__]


def caught(tmp_path) -> Mismatch:
    """The mismatch that co-simulation of the broken design finds."""
    folder = tmp_path / "design"
    if not folder.exists():
        emit.generate(NETWORK, folder, FOLDING)
    with pytest.raises(MismatchError) as error:
        cosim(folder, NETWORK, SAMPLES, harness="native", stalls=Stalls(0.2, 0.2), fast=False)
    mismatch, message = error.value.mismatch, str(error.value)
    assert f"node '{mismatch.node}' {mismatch.quantity}, sample {mismatch.sample}, " in message
    assert f"timestep {mismatch.step}, neuron {mismatch.neuron}: expected " in message
    assert error.value.waves.stat().st_size > 1000
    assert str(error.value.waves) in message
    return mismatch


@pytest.mark.parametrize("harness", ["cocotb", "native"])
def test_the_unbroken_design_passes(tmp_path, harness):
    emit.generate(NETWORK, tmp_path, FOLDING)
    lint(tmp_path / "top.v")
    stalls = Stalls(0.2, 0.2)
    result = cosim(tmp_path, NETWORK, SAMPLES, harness=harness, stalls=stalls, fast=False)
    assert result.mismatches == 0
    assert result.comparisons > 3000
    assert set(result.spikes) == {node.name for node in NETWORK.nodes_of(LIF)}


def test_one_flipped_weight_bit(tmp_path):
    emit.generate(NETWORK, tmp_path / "design", FOLDING)
    top, manifest = tmp_path / "design" / "top.v", tmp_path / "design" / "manifest.json"
    text = top.read_text()
    # Row 5 holds the weights of input 2 to neurons 4 and 5, four bits each.
    module = re.search(r"module \\top\.core\.b0a.weights ", text)
    assert module is not None
    row = re.compile(r"rows\[5\] = 16'h([0-9a-f]{4});").search(text, module.end())
    assert row is not None
    flipped = f"{int(row[1], 16) ^ 0x10:04x}"
    text = text[: row.start(1)] + flipped + text[row.end(1) :]
    top.write_text(text)
    content = json.loads(manifest.read_text())
    content["verilog_sha256"] = hashlib.sha256(text.encode()).hexdigest()
    manifest.write_text(json.dumps(content))
    mismatch = caught(tmp_path)
    assert (mismatch.node, mismatch.quantity, mismatch.neuron) == ("b0a", "current", 5)
    assert abs(mismatch.found - mismatch.expected) == 1


def test_the_leak_rounds_instead_of_flooring(tmp_path, monkeypatch):
    broken = rewritten(lanes.scaled, "product >> shift", "(product + (1 << shift >> 1)) >> shift")
    monkeypatch.setattr(lif, "scaled", broken)
    mismatch = caught(tmp_path)
    assert isinstance(NETWORK.by_name[mismatch.node], LIF)
    assert (mismatch.quantity, mismatch.found - mismatch.expected) == ("membrane", 1)
    assert mismatch.step > 0  # there is nothing to leak before


def test_fires_at_the_threshold(tmp_path, monkeypatch):
    broken = rewritten(models.neuron_config, "node.strict", "0")
    monkeypatch.setattr(dataflow, "neuron_config", broken)
    mismatch = caught(tmp_path)
    assert isinstance(NETWORK.by_name[mismatch.node], LIF)
    assert (mismatch.quantity, mismatch.expected, mismatch.found) == ("spike", 0, 1)


def test_resets_at_once_instead_of_a_step_later(tmp_path, monkeypatch):
    broken = rewritten(
        models.neuron_config,
        '("subtract", True): "late_subtract"',
        '("subtract", True): "now_subtract"',
    )
    monkeypatch.setattr(dataflow, "neuron_config", broken)
    mismatch = caught(tmp_path)
    node = NETWORK.by_name[mismatch.node]
    assert isinstance(node, LIF)
    assert mismatch.quantity == "membrane"
    assert mismatch.expected - mismatch.found == int(node.threshold)


def test_a_shortcut_one_step_late(tmp_path, monkeypatch):
    words = 3  # a timestep of six neurons, two a beat

    class Late(buffers.StepBuffer):
        """Begins with a whole timestep of zeros in the queue."""

        def __init__(self, signature, depth):
            super().__init__(signature, depth + words)

        elaborate = rewritten(
            buffers.StepBuffer.elaborate,
            "level = Signal(range(self.depth + 1))",
            f"level = Signal(range(self.depth + 1), init={words}); "
            f"tail = Signal(index_shape(self.depth), init={words})",
        )

    broken = rewritten(
        dataflow._Build.deliver,
        "buffer = StepBuffer(",
        'buffer = (Late if edge.port == "shortcut" else StepBuffer)(',
        Late=Late,
    )
    monkeypatch.setattr(dataflow._Build, "deliver", broken)
    mismatch = caught(tmp_path)
    assert (mismatch.node, mismatch.quantity) == ("b0", "value")
    assert (mismatch.sample, mismatch.step) == (0, 0)
