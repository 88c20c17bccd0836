"""The sequential engine over depth, on small depths and without placing anything."""

from __future__ import annotations

import json

import numpy as np
import pytest
from reslif.sw import golden
from reslif.sw.network import LIF, Dense
from reslif.sw.recipe import RecipeError
from reslif.sw.studies.scaling import lines, network_of, samples_of, scaling, slopes
from reslif.sw.studies.scaling_plot import PANELS, plot


def test_cycles_are_linear_in_depth(tmp_path):
    said: list[str] = []
    rows = scaling(tmp_path, said.append, (6, 14, 22), place=False)
    assert [row["mismatches"] for row in rows] == [0, 0, 0]
    slope, deviation = slopes(rows, "cycles_per_sample")
    assert deviation < 0.05
    # A layer of 32 neurons, 16 lanes, 8 timesteps: 27 cycles, and two for each event.
    assert 27 < slope < 27 + 2 * 8 * 32 * 0.3
    assert "A layer more: cycles a sample" in lines(rows)[-1]
    assert lines(rows[:2])[-1].startswith("| 14 |")  # through two points any line fits
    assert json.loads((tmp_path / "scaling.json").read_text()) == rows
    assert plot(rows).count("<circle") == 2 + 3 * len(PANELS) - 2 * 3  # area was not measured
    said.clear()
    assert scaling(tmp_path, said.append, (6,), place=False) == rows
    assert said == []  # what was measured is kept


@pytest.mark.parametrize(
    ("layers", "message"),
    [((4, 5), "layers has 5, must have even"), ((0,), "has 0"), ((), "has nothing")],
    ids=["odd", "zero", "none"],
)
def test_depths_that_are_none(layers, message, tmp_path):
    """An odd number would be measured as the next lower one."""
    with pytest.raises(RecipeError, match=message):
        scaling(tmp_path, print, layers, place=False)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("layers", [10, 50, 482])
def test_every_layer_is_alive(layers):
    network = network_of(layers)
    assert len(network.nodes_of(Dense)) == layers + 2  # stem and head
    neurons = network.nodes_of(LIF)
    trace = golden.run(network, samples_of(4), [(node.name, "spike") for node in neurons])
    rates = [trace[node.name, "spike"].mean() for node in neurons]
    assert np.min(rates) > 0.005
    assert np.max(rates) < 0.5
