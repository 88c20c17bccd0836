"""The recurrent network of the moving digits in hardware: a frame in each timestep."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from reslif.hw.emit import generate
from reslif.hw.folding import Fold, Folding
from reslif.sim.cosim import MismatchError, cosim
from reslif.sim.job import Stalls
from reslif.sw import from_torch, golden
from reslif.sw.data import load_dataset
from reslif.sw.models import TrainConfig, build_model, seen
from reslif.sw.moving_digits import MovingDigits
from reslif.sw.network import Network
from reslif.sw.quantiser import QuantiseConfig, plan

CONFIG = TrainConfig(model="rsnn", readout="count", width=24, steps=6, beta=0.5, bits=8)
MOVING = MovingDigits(frame=12, frames=6, scale=1, train=32, validation=4, test=30)


def without_memory_of_spikes(network: Network) -> Network:
    """The same, its hidden neurons deaf to their own spikes."""
    (node,) = (node for node in network.nodes if node.name == "rlif1_recurrent")
    deaf = replace(node, weight=node.weight * 0)  # pyright: ignore
    return replace(network, nodes=tuple(deaf if n is node else n for n in network.nodes))


@pytest.mark.slow
@pytest.mark.parametrize("events", [False, True], ids=["greys", "events"])
def test_clips_in_hardware_are_those_of_the_golden_model(events: bool, tmp_path: Path) -> None:
    data = load_dataset("moving_digits", moving=replace(MOVING, events=events), cache=tmp_path)
    inputs = data.train.over_time(6)
    real = seen(torch.tensor(inputs[:, :4], dtype=torch.float64), data.format.step, None)
    graph = from_torch(build_model(CONFIG, data).eval(), real, data.format)
    network = plan(graph, inputs, QuantiseConfig(bits=8, guard_bits=3)).network
    samples = data.test.over_time(6)
    generate(network, tmp_path, Folding(Fold(lanes=8, neuron_lanes=2)))
    stalls = Stalls(0.05, 0.05)
    found = cosim(tmp_path, network, samples, harness="native", stalls=stalls, fast=False)
    assert found.mismatches == 0
    assert found.samples == 30
    assert set(found.spikes) == {"rlif1", "rlif2"}
    assert min(found.spikes.values()) > 10
    assert found.classes == tuple(golden.run(network, samples).classes.tolist())

    deaf = tmp_path / "deaf"
    other = without_memory_of_spikes(network)
    generate(other, deaf, Folding(Fold(lanes=8, neuron_lanes=2)))
    manifest = deaf / "manifest.json"
    manifest.write_text(manifest.read_text().replace(other.digest, network.digest))
    with pytest.raises(MismatchError):
        cosim(deaf, network, samples, harness="native", fast=False)
