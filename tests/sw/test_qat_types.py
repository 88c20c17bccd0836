"""Quantised training computes in double precision where integers need it, and only there."""

import numpy as np
import pytest
import torch
from reslif.sw import golden
from reslif.sw.formats import Format
from reslif.sw.nn import MSResNet
from reslif.sw.qat import QATNetwork
from reslif.sw.quantiser import QuantiseConfig, plan
from reslif.sw.tracing import from_torch

PIXELS = Format(8, 8, signed=False)


@pytest.fixture(scope="module")
def module() -> tuple[QATNetwork, np.ndarray]:
    """A network whose shortcut multiplies wide currents by 8-bit weights."""
    torch.manual_seed(0)
    model = MSResNet(1, 4, widths=(6, 8), blocks=1, neuron={"beta": 0.5})
    samples = np.random.default_rng(0).integers(0, 256, (1, 24, 64)).repeat(2, 0)
    images = torch.as_tensor(samples / 256).float().unflatten(2, (1, 8, 8))
    model(images)
    graph = from_torch(model.eval(), images[:, :4], PIXELS)
    return QATNetwork(plan(graph, samples, QuantiseConfig(bits=8)), graph), samples


def test_most_nodes_need_single_precision_only(module) -> None:
    network, _ = module
    double = [name for name, dtype in network.dtypes.items() if dtype == torch.float64]
    assert "stages_1_0_shortcut_0" in double
    assert len(double) < len(network.dtypes) / 3
    assert network.dtype == torch.float64


def test_the_forward_pass_is_the_golden_model(module) -> None:
    network, samples = module
    seen = network.run(torch.tensor(samples))
    probes = [probe for probe in seen if probe[1] != "score"]
    trace = golden.run(network.export(), samples, probes)
    for probe in probes:
        assert np.array_equal(seen[probe].detach().numpy(), trace[probe]), probe
        assert seen[probe].dtype == network.dtypes[probe[0]]
    assert any(trace[probe].any() for probe in probes if probe[1] == "spike")


def test_too_narrow_a_type_would_be_seen(module) -> None:
    network, samples = module
    try:
        network.dtypes = dict.fromkeys(network.dtypes, torch.float16)
        with torch.no_grad():
            seen = network.run(torch.tensor(samples))
    finally:
        network.replan(network.quantised)
    trace = golden.run(network.export(), samples, [("add_1", "value")])
    assert not np.array_equal(seen["add_1", "value"].numpy(), trace["add_1", "value"])


def test_gradients_pass_from_one_type_to_the_other(module) -> None:
    network, samples = module
    network.zero_grad()
    network(torch.tensor(samples)).square().mean().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
