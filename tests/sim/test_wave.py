"""The waveform of a window: the file has the golden model's values there, and nothing else."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from reslif.hw.emit import generate
from reslif.hw.folding import Fold, Folding
from reslif.hw.sequential.program import Sequence
from reslif.sim.design import Design
from reslif.sim.errors import SimulationError
from reslif.sim.wave import Wave, wave
from reslif.sw import golden
from reslif.sw.network import Network
from small_networks import residual

ENGINES = {"dataflow": Folding(Fold(4, 2)), "sequential": Sequence(4)}
STEPS = 6


class Vcd:
    """A VCD file: for every signal, by its path, its changes as texts."""

    def __init__(self, path: Path) -> None:
        codes: dict[str, str] = {}
        scope: list[str] = []
        changes: dict[str, list[tuple[int, str]]] = defaultdict(list)
        time, self.times = -1, []
        for line in path.read_text().splitlines():
            words = line.split()
            if words[0] == "$scope":
                scope.append(words[2])
            elif words[0] == "$upscope":
                scope.pop()
            elif words[0] == "$var":
                codes[".".join([*scope, words[4]])] = words[3]
            elif line[0] == "#":
                time = int(line[1:])
                self.times.append(time)
            elif line[0] == "b":
                changes[words[1]].append((time, words[0][1:]))
            elif line[0] in "01x":
                changes[line[1:]].append((time, line[0]))
        assert set(changes) <= set(codes.values())
        self.changes = {name: changes[code] for name, code in codes.items()}

    def at(self, name: str, cycle: int) -> str:
        """What a register would take at the rising edge of ``cycle``."""
        return [text for time, text in self.changes[name] if time <= 10 * cycle][-1]

    def number(self, name: str, cycle: int, width: int = 0) -> int:
        """The same as a number, of two's complement if it has a ``width``."""
        value = int(self.at(name, cycle), 2)
        return value - (value >> (width - 1) << width) if width else value


def check(
    vcd: Vcd, found: Wave, design: Design, network: Network, sample: np.ndarray, window: range
) -> int:
    """Fail unless ``vcd`` has all values of the golden model in ``window``, and no others; how
    many of them are not 0.
    """
    wanted = {(probe.node, probe.quantity) for probe in design.probes}
    # The toy's modules are not called as their instances are.
    place = {probe.module: probe.module for probe in design.probes}
    if f"top.{design.probes[0].node}.probe_current" in vcd.changes:
        place = {probe.module: f"top.{probe.node}" for probe in design.probes}
    trace = golden.run(network, sample[:, None], wanted)
    alive = 0
    for probe in design.probes:
        scope = f"layers.{probe.node}.{probe.quantity}"
        expected = trace[probe.node, probe.quantity][:, 0]
        seen = set()
        for cycle in range(found.first, found.last + 1):
            if vcd.at(f"{scope}.valid", cycle) != "1":
                continue
            step, word = (vcd.number(f"{scope}.{name}", cycle) for name in ("step", "word"))
            seen.add((step, word))
            # The design's own signals say the same in that very cycle.
            inside = place[probe.module]
            raw = int(vcd.at(f"{inside}.{probe.data}", cycle), 2)
            assert vcd.at(f"{inside}.{probe.valid}", cycle) == "1"
            for lane, value in enumerate(expected[step, word * probe.lanes :][: probe.lanes]):
                width = probe.format.width if probe.format.signed else 0
                assert vcd.number(f"{scope}.lane_{lane}", cycle, width) == value
                bits = value & ((1 << probe.stride) - 1)
                assert raw >> lane * probe.stride & ((1 << probe.stride) - 1) == bits
                alive += value != 0
        assert seen == {(step, word) for step in window for word in range(probe.words)}, scope
    return alive


@pytest.mark.parametrize("engine", ENGINES)
def test_it_has_the_values_of_its_window_and_no_others(engine, tmp_path):
    network = residual(1)
    generate(network, tmp_path, ENGINES[engine])
    sample = np.random.default_rng(3).integers(0, 2, (STEPS, 6))
    design = Design.read(tmp_path)
    found = wave(tmp_path, network, sample, (2, 3), tmp_path / "waves" / "part.vcd")
    assert found.mismatch is None
    vcd = Vcd(found.vcd)
    assert check(vcd, found, design, network, sample, range(2, 4)) > 20
    assert 10 * found.first <= vcd.times[0] <= vcd.times[-1] <= 10 * found.last + 5
    assert vcd.times == sorted(vcd.times)
    # Another window, or another sample, is noticed.
    for other in (range(1, 4), range(2, 3)):
        with pytest.raises(AssertionError):
            check(vcd, found, design, network, sample, other)
    with pytest.raises(AssertionError):
        check(vcd, found, design, network, sample[::-1], range(2, 4))

    whole = wave(tmp_path, network, sample, (0, STEPS - 1), tmp_path / "whole.vcd")
    vcd = Vcd(whole.vcd)
    check(vcd, whole, design, network, sample, range(STEPS))
    assert whole.first < found.first < found.last < whole.last
    last = whole.last  # the class
    assert [vcd.at(f"top.m_axis_t{n}", last) for n in ("valid", "ready", "last")] == ["1"] * 3
    assert vcd.number("top.m_axis_tdata", last) == golden.run(network, sample[:, None]).classes[0]


def test_what_it_writes_fits_together(toy, samples, tmp_path):
    folder, network = toy()
    found = wave(folder, network, samples[:, 4], (1, 3), tmp_path / "toy.vcd")
    design, vcd = Design.read(folder), Vcd(found.vcd)
    assert check(vcd, found, design, network, samples[:, 4], range(1, 4)) > 0
    # The words of the input: its events in those timesteps, and a marker after each.
    taken = [
        (vcd.number("layers.x.word.step", cycle), vcd.number("layers.x.word.lane_0", cycle))
        for cycle in range(found.first, found.last + 1)
        if vcd.at("layers.x.word.valid", cycle) == "1"
    ]
    expected = [(t, i | 1 << 16) for t in (1, 2, 3) for i in np.flatnonzero(samples[t, 4])]
    expected += [(t, 1 << 31) for t in (1, 2, 3)]
    assert sorted(taken) == sorted(expected)
    # Both lists name signals of the file alone, and every layer's.
    gtkwave = found.gtkwave.read_text().splitlines()
    named = [line.split("[")[0] for line in gtkwave if line[0] not in "@-["]
    surfer = [line.split() for line in found.surfer.read_text().splitlines()]
    added = [words[1] for words in surfer if words[0] == "variable_add"]
    assert set(named) == set(added)
    assert set(named) <= set(vcd.changes)
    assert {name for name in vcd.changes if name.startswith("layers.")} <= set(named)
    nodes = ["x", "fc", "lif1", "out"]
    assert [words[1] for words in surfer if words[0] == "divider_add"] == [*nodes, "result"]
    groups = [gtkwave[i + 1][1:] for i, line in enumerate(gtkwave) if line == "@800200"]
    assert [name for name in groups if name in nodes] == nodes
    assert not [name for name in vcd.changes if "$" in name or "reslif_" in name]


def test_a_faulty_design_can_be_looked_at(toy, samples, tmp_path):
    folder, network = toy(("fired[i] <= v > ", "fired[i] <= v >= "))
    wrong = [
        wave(folder, network, samples[:, k], (0, 4), tmp_path / "toy.vcd").mismatch
        for k in range(samples.shape[1])
    ]
    first = next(mismatch for mismatch in wrong if mismatch is not None)
    assert (first.node, first.quantity, first.sample) == ("lif1", "spike", 0)
    assert (first.expected, first.found) == (0, 1)


@pytest.mark.parametrize("window", [(-1, 2), (3, 2), (0, 5), (5, 5)])
def test_windows_that_do_not_exist_are_refused(toy, samples, tmp_path, window):
    folder, network = toy()
    with pytest.raises(SimulationError) as error:
        wave(folder, network, samples[:, 0], window, tmp_path / "toy.vcd")
    first, last = window
    rule = "end after it begins" if window == (3, 2) else "lie within 0 to 4"
    assert str(error.value) == f"window is timesteps {first} to {last}, must {rule}"
    assert not (tmp_path / "toy.vcd").exists()


def test_another_network_is_refused(toy, samples, tmp_path):
    folder, network = toy()
    other = dataclasses.replace(network, max_steps=9)
    with pytest.raises(SimulationError, match="was generated from network"):
        wave(folder, other, samples[:, 0], (0, 1), tmp_path / "toy.vcd")
