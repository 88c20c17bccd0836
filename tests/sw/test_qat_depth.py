"""Quantised training of 482 layers: the currents of membrane shortcuts add up beyond 2^24."""

import numpy as np
import pytest
import torch
from reslif.sw import golden
from reslif.sw.data import load_dataset
from reslif.sw.float_passes import reestimate
from reslif.sw.golden import Probe
from reslif.sw.models import TrainConfig, build_model, seen
from reslif.sw.network import Join, Network, Neuron
from reslif.sw.qat import QATNetwork
from reslif.sw.quantiser import QuantiseConfig, plan
from reslif.sw.tracing import from_torch

from tests.small_networks import residual

BLOCKS = 241


def probes_of(network: Network) -> list[Probe]:
    return [
        (node.name, what) for node in network.nodes for what in node.quantities if what != "score"
    ]


def differing(module: QATNetwork, samples: np.ndarray) -> tuple[list[Probe], golden.Trace]:
    """What is not as in the golden model."""
    probes = probes_of(module.quantised.network)
    with torch.no_grad():
        found = module.run(torch.tensor(samples))
    trace = golden.run(module.export(), samples, probes)
    return [p for p in probes if not np.array_equal(found[p].numpy(), trace[p])], trace


@pytest.fixture(scope="module")
def wide() -> tuple[QATNetwork, np.ndarray]:
    """A stack whose biases add up to more than single precision holds."""
    network = residual(BLOCKS, 4, bias=100_003, max_steps=3)
    random = np.random.default_rng(0)
    form = network.input.format
    samples = random.integers(form.min, form.max + 1, (3, 5, network.input.size))
    return QATNetwork.of_network(network), samples


def test_it_turns_to_double_precision_by_itself_and_is_exact(wide) -> None:
    module, samples = wide
    wrong, trace = differing(module, samples)
    assert wrong == []
    joins = [node.name for node in module.quantised.network.nodes_of(Join)]
    largest = [int(np.abs(trace[name, "value"]).max()) for name in joins]
    assert largest[-1] > 1 << 24
    types = [module.dtypes[name] for name in joins]
    assert types[0] == torch.float32
    assert types[-1] == torch.float64
    assert types == sorted(types, key=lambda dtype: torch.finfo(dtype).bits)
    spikes = [trace[n.name, "spike"] for n in module.quantised.network.nodes_of(Neuron)]
    assert all(spike.any() for spike in spikes)


def test_single_precision_would_be_seen(wide) -> None:
    module, samples = wide
    try:
        module.dtypes = dict.fromkeys(module.dtypes, torch.float32)
        wrong, _ = differing(module, samples)
    finally:
        module.replan(module.quantised)
    joins = [int(name[1:]) for name, _ in wrong if name[1:].isdigit()]
    assert 150 < min(joins) < BLOCKS  # where the sums pass 2^24


def test_a_trained_shape_of_482_layers_is_exact_and_learns_in_every_block() -> None:
    data = load_dataset("digits")
    config = TrainConfig(blocks=BLOCKS, width=8, steps=2)
    model = build_model(config, data)
    reestimate(model, data.train[:128], config, data.format.step)
    samples = data.train[:16].over_time(2)
    real = seen(torch.tensor(samples[:, :8], dtype=torch.float64), data.format.step, None)
    graph = from_torch(model, real, data.format)
    module = QATNetwork(plan(graph, samples, QuantiseConfig(bits=4, guard_bits=1)), graph)
    wrong, trace = differing(module, samples)
    assert wrong == []
    assert any(trace[n.name, "spike"].any() for n in module.quantised.network.nodes_of(Neuron))
    module(torch.tensor(samples)).square().sum().backward()
    silent = [
        name
        for name, parameter in module.named_parameters()
        if name.endswith("__weight") and (parameter.grad is None or not parameter.grad.any())
    ]
    assert silent == []
