"""Quantised training computes what the golden model computes, bit for bit."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from random_networks import RESETS, random_network, random_samples
from reslif.sw import golden
from reslif.sw.formats import Format
from reslif.sw.graph import FloatDense, FloatGraph, GraphError, float_lif
from reslif.sw.network import LIF, Dense, Edge, Input, Network, NetworkError, Readout
from reslif.sw.nn import LIF as FloatLIF
from reslif.sw.nn import ResidualSNN
from reslif.sw.nn.lif_function import NeuronRule, run_lif
from reslif.sw.nn.surrogate import atan
from reslif.sw.qat import QATNetwork
from reslif.sw.qat.lif import run_integer_lif
from reslif.sw.quantiser import QuantiseConfig, plan
from reslif.sw.tracing import from_torch
from torch import Tensor, nn

PIXELS = Format(5, 4, signed=False)


def differing(module: QATNetwork, network: Network, samples: np.ndarray) -> list[str]:
    """The probes in which a module's forward pass and the golden model differ."""
    with torch.no_grad():
        found = module.run(torch.as_tensor(samples))
    trace = golden.run(network, samples, None)
    assert set(found) == set(trace.probes)
    return [
        ".".join(probe) for probe in found if not np.array_equal(found[probe].numpy(), trace[probe])
    ]


@settings(max_examples=80, deadline=None, derandomize=True)
@given(st.integers(0, 2**32))
def test_random_networks_run_bit_identically(seed: int) -> None:
    network = random_network(seed)
    module = QATNetwork.of_network(network)
    assert differing(module, network, random_samples(network, seed)) == []
    assert module.export().digest == network.digest


def flip_weight(network: Network) -> Network:
    node = network.nodes_of(Dense)[0]
    weight = node.weight.copy()
    weight[0, 0] += 1 if weight[0, 0] < node.weight_format.max else -1
    return swapped(network, replace(node, weight=weight))


def swapped(network: Network, node: Dense | LIF) -> Network:
    nodes = tuple(node if n.name == node.name else n for n in network.nodes)
    return replace(network, nodes=nodes)


def neuron(**changes: object) -> Callable[[Network], Network]:
    return lambda network: swapped(network, replace(network.nodes_of(LIF)[0], **changes))  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    "change",
    [
        flip_weight,
        neuron(threshold=np.array(39)),
        neuron(leak=np.array(14)),
        neuron(strict=False),
        neuron(reset_delay=False),
        neuron(reset="zero"),
        neuron(membrane=Format(7)),
    ],
)
def test_the_comparison_notices_one_changed_thing(change) -> None:
    size = 12
    random = np.random.default_rng(0)
    network = Network(
        (
            Input("x", 4), Dense("fc", random.integers(-7, 15, (size, 4)), Format(5)),
            LIF("lif", size, Format(12), np.array(15), 4, np.array(40)),
            Readout("out", "count", size),
        ),
        (Edge("x", "fc"), Edge("fc", "lif"), Edge("lif", "out")),
        max_steps=20,
    )  # fmt: skip
    samples = random.integers(0, 2, (20, 16, 4))
    module = QATNetwork.of_network(network)
    assert differing(module, network, samples) == []
    assert "lif.membrane" in differing(module, change(network), samples)


def trained(block_type: str, op: str = "or", neuron: dict[str, object] | None = None) -> nn.Module:
    """A residual classifier whose batch norm has seen data."""
    torch.manual_seed(0)
    model = ResidualSNN(12, 5, 10, 2, block_type, op=op, neuron=neuron)
    for _ in range(8):
        model(torch.rand(6, 32, 12))
    return model.eval()


def pixels(*shape: int) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 17, shape)


def planned(model: nn.Module, **config) -> QATNetwork:
    samples = pixels(6, 32, 12)
    graph = from_torch(model, torch.as_tensor(samples[:, :4] / 16), PIXELS)
    return QATNetwork(plan(graph, samples, QuantiseConfig(**config)), graph)


@pytest.mark.parametrize("bits", [2, 3, 4, 6, 8])
@pytest.mark.parametrize(
    ("block_type", "op"),
    [("ms", "or"), ("plain", "or"), *(("sew", op) for op in ("or", "add", "and", "iand"))],
)
def test_residual_classifiers_train_and_stay_bit_identical(
    block_type: str, op: str, bits: int
) -> None:
    module = planned(trained(block_type, op), bits=bits, guard_bits=3)
    optimiser = torch.optim.SGD(module.parameters(), lr=0.05)
    before = module.export()
    labels = torch.arange(32) % 5
    for _ in range(3):
        loss = nn.functional.cross_entropy(module(torch.as_tensor(pixels(6, 32, 12))), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    network = module.export()
    assert network.digest != before.digest
    assert differing(module, network, pixels(6, 50, 12)) == []
    module.replan(plan(module.float_graph(), pixels(6, 32, 12), QuantiseConfig(bits=bits)))
    assert differing(module, module.export(), pixels(6, 50, 12)) == []
    limit = 2 ** (bits - 1) - 1
    assert all(np.abs(node.weight).max() <= limit for node in network.nodes_of(Dense))


@pytest.mark.parametrize(("reset", "delay", "keep"), RESETS)
def test_learnable_neurons_train_and_stay_bit_identical(
    reset: str, delay: bool, keep: bool
) -> None:
    model = trained(
        "ms",
        neuron={
            "beta": torch.linspace(0.7, 1.0, 10), "threshold": torch.linspace(0.5, 1.5, 10),
            "learn_beta": True, "learn_threshold": True, "reset_mechanism": reset,
            "reset_delay": delay, "reset_keeps_input": keep, "strict": False,
        },
    )  # fmt: skip
    module = planned(model)
    before = module.export()
    optimiser = torch.optim.Adam(module.parameters(), lr=0.05)
    for _ in range(3):
        module(torch.as_tensor(pixels(6, 32, 12))).square().mean().backward()
        optimiser.step()
    after = module.export()
    for old, new in zip(before.nodes_of(LIF), after.nodes_of(LIF), strict=True):
        assert new.leak_shift == 8
        assert not np.array_equal(old.leak, new.leak)
        assert not np.array_equal(old.threshold, new.threshold)
    assert differing(module, after, pixels(6, 50, 12)) == []


def test_untrained_export_is_the_quantised_network() -> None:
    """The module rounds as the quantiser does, in the same places."""
    model = trained("ms")
    samples = pixels(6, 32, 12)
    graph = from_torch(model, torch.as_tensor(samples[:, :4] / 16), PIXELS)
    quantised = plan(graph, samples, QuantiseConfig())
    assert QATNetwork(quantised, graph).export().digest == quantised.network.digest


@pytest.mark.parametrize(
    ("readout", "scale"), [("count", 1.0), ("sum_current", 0.25), ("last_membrane", 0.25)]
)
def test_scores_are_in_real_units(readout: str, scale: float) -> None:
    rule = NeuronRule(surrogate=atan(), reset_mechanism="none")
    nodes = [Input("x", 2), FloatDense("fc", np.array([[0.25, -0.5], [1.5, 1.75]]))]
    edges = [Edge("x", "fc")]
    if readout != "sum_current":
        nodes.append(float_lif("lif", 2, np.array(1.0), np.array(0.75), rule))  # pyright: ignore[reportArgumentType]
        edges.append(Edge("fc", "lif"))
    edges.append(Edge(nodes[-1].name, "out"))
    graph = FloatGraph((*nodes, Readout("out", readout, 2)), tuple(edges))  # pyright: ignore[reportArgumentType]
    samples = np.array([[[1, 1]], [[1, 0]], [[0, 0]]])
    module = QATNetwork(plan(graph, samples, QuantiseConfig(bits=8)), graph)
    scores = module(torch.as_tensor(samples))
    expected = {"count": [0, 3], "sum_current": [0, 4.75], "last_membrane": [0, 4.75]}[readout]
    assert scores[0].tolist() == pytest.approx(expected, abs=scale * 0.1)


@pytest.mark.parametrize("inhibition", [False, True])
@pytest.mark.parametrize("readout", ["spikes", "membrane"])
@pytest.mark.parametrize(("reset", "delay", "keep"), [*RESETS, ("none", False, True)])
def test_gradients_are_those_of_the_float_neuron(
    reset: str, delay: bool, keep: bool, readout: str, inhibition: bool
) -> None:
    """On a fine grid floor and rounding vanish, so the two backward passes must agree."""
    torch.manual_seed(1)
    unit, shift = 2.0**-20, 16
    theta = torch.tensor([0.6, 1.0, 1.4], dtype=torch.float64)
    leak = torch.tensor([50000.0, 60000.0, 65536.0], dtype=torch.float64)
    current = torch.round(torch.rand(7, 4, 3, dtype=torch.float64) / unit) * 0.9
    current = torch.round(current)
    rule = NeuronRule(atan(), reset, delay, keep, inhibition=inhibition)
    weights = torch.randn(7, 4, 3, dtype=torch.float64)

    def gradients(run: Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]):
        inputs = [(current * unit), leak / 2**shift, theta]
        inputs = [value.clone().requires_grad_() for value in inputs]
        spikes, membrane = run(*inputs)
        loss = ((spikes if readout == "spikes" else membrane) * weights).sum()
        return spikes.detach(), torch.autograd.grad(loss, inputs)

    def integer(current: Tensor, beta: Tensor, theta: Tensor) -> tuple[Tensor, Tensor]:
        node = LIF(
            "lif", 3, Format(46), np.array(1), shift, np.array(1), reset, delay,  # pyright: ignore[reportArgumentType]
            keep_input=keep, inhibition=inhibition,
        )  # fmt: skip
        spikes, membrane = run_integer_lif(
            current / unit, beta * 2**shift, theta / unit, node, atan()
        )
        return spikes, membrane * unit

    found_spikes, found = gradients(integer)
    spikes, expected = gradients(lambda i, b, t: run_lif(i, b, t, rule))
    assert torch.equal(found_spikes, spikes)
    assert 0 < spikes.mean() < 1
    for a, b in zip(found, expected, strict=True):
        assert torch.allclose(a, b, rtol=1e-3, atol=1e-4)


def test_no_gradient_passes_a_saturated_membrane() -> None:
    node = LIF("lif", 1, Format(5), np.array(1), 0, np.array(10))
    current = torch.tensor([[[3.0]], [[100.0]], [[0.0]]], requires_grad=True)
    _, membrane = run_integer_lif(current, torch.tensor(1.0), torch.tensor(10.0), node, atan())
    assert membrane.flatten().tolist() == [3, 15, 5]
    membrane[1:].sum().backward()
    assert current.grad is not None
    assert current.grad.flatten().tolist() == [0, 0, 1]


def test_a_finished_network_keeps_its_smallest_code() -> None:
    weight = np.array([[-8, 7], [7, -8]])
    nodes = (Input("x", 2), Dense("fc", weight, Format(4)), Readout("out", "sum_current", 2))
    network = Network(nodes, (Edge("x", "fc"), Edge("fc", "out")), 2)
    module = QATNetwork.of_network(network)
    assert module.export().digest == network.digest
    with torch.no_grad():
        module.get_parameter("fc__weight").mul_(2)
    (node,) = module.export().nodes_of(Dense)
    assert node.weight.tolist() == weight.tolist()


def test_wide_networks_compute_in_double_precision() -> None:
    def network(bits: int) -> Network:
        return Network(
            (
                Input("x", 4, Format(bits, signed=False)),
                Dense("fc", np.full((2, 4), 100), Format(8)),
                Readout("out", "sum_current", 2),
            ),
            (Edge("x", "fc"), Edge("fc", "out")),
            max_steps=8,
        )  # fmt: skip

    assert QATNetwork.of_network(network(4)).dtype == torch.float32
    wide = QATNetwork.of_network(network(24))
    assert wide.dtype == torch.float64
    samples = np.full((8, 2, 4), 2**24 - 1)
    assert differing(wide, network(24), samples) == []
    with pytest.raises(GraphError, match=r"node 'out': its integers may reach .* below 2\^53"):
        QATNetwork.of_network(network(45))


def test_what_would_not_be_exact_is_refused() -> None:
    network = random_network(0)
    module = QATNetwork.of_network(network)
    samples = torch.as_tensor(random_samples(network, 0))
    with torch.autocast("cpu"), pytest.raises(GraphError, match="autocast is on"):
        module(samples)
    torch.set_float32_matmul_precision("medium")
    try:
        with pytest.raises(GraphError, match="precision is 'medium'"):
            module(samples)
    finally:
        torch.set_float32_matmul_precision("highest")


def test_bad_samples_are_refused() -> None:
    network = random_network(0)
    module = QATNetwork.of_network(network)
    size = network.input.size
    for samples, message in [
        (torch.zeros(2, 3, size + 1), "must be"),
        (torch.zeros(17, 1, size), "have 17 timesteps, must have at most 16"),
        (torch.full((2, 1, size), 99), "leave the input's format"),
    ]:
        with pytest.raises(NetworkError, match=message):
            module(samples)


def test_recurrent_networks_too() -> None:
    """An edge from every neuron layer to itself, and from the last to the first of its size."""
    changed = 0
    for seed in range(12):
        network, samples = random_network(seed), random_samples(random_network(seed), seed)
        # Spikes are whole numbers, which a coarser membrane cannot add.
        lifs = [lif for lif in network.nodes_of(LIF) if lif.membrane.frac >= 0]
        edges = [Edge(lif.name, lif.name, delay=1) for lif in lifs]
        edges += [
            Edge(lifs[-1].name, lif.name, delay=1) for lif in lifs[:-1] if lif.size == lifs[-1].size
        ]
        recurrent = replace(network, edges=(*network.edges, *edges))
        assert not differing(QATNetwork.of_network(recurrent), recurrent, samples)
        probes = [(lif.name, "spike") for lif in lifs]
        a, b = golden.run(recurrent, samples, probes), golden.run(network, samples, probes)
        changed += any((a[p] != b[p]).any() for p in probes)
    assert changed > 6


def test_a_module_uses_the_neurons_surrogate_above_four_bits() -> None:
    model = nn.Sequential(nn.Linear(12, 5), FloatLIF(surrogate=atan(3.0)))

    class Counted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, x: Tensor) -> Tensor:
            return self.model(x).sum(0)

    assert set(planned(Counted(), bits=8).surrogates.values()) == {atan(3.0)}
    assert set(planned(Counted(), bits=4).surrogates.values()) == {atan(2.0)}
