"""Every neuron module comes through tracing as it was, and its integers follow it closely."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from reslif.sw import golden
from reslif.sw.graph import FloatGraph, FloatNeuron, run_float
from reslif.sw.images import to_flat
from reslif.sw.network import LIF, LSTM, Dense, Neuron
from reslif.sw.network_file import load_network, save_network
from reslif.sw.nn import (
    LIF as FloatLIF,
)
from reslif.sw.nn import (
    Adaptive,
    Alpha,
    Lapicque,
    Leaky,
    LeakyParallel,
    ParametricLIF,
    RLeaky,
    RSynaptic,
    Synaptic,
    atan,
    sigmoid,
)
from reslif.sw.nn.layered import NEURONS, LayeredSNN
from reslif.sw.qat import QATNetwork
from reslif.sw.quantiser import QuantiseConfig, plan
from reslif.sw.tracing import from_torch
from torch import Tensor, nn
from traced_cases import CASES, PIXELS, STEPS, Case, N, differing, input_spikes, wrapped


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


BY_NAME = {case.name: case for case in CASES}
ONE_EACH = [next(c for c in CASES if c.family == family) for family in {c.family: 0 for c in CASES}]


def neurons(graph: FloatGraph) -> list[FloatNeuron]:
    return [node for node in graph.nodes if isinstance(node, FloatNeuron)]


def spikes_of(graph: FloatGraph, x: Tensor) -> dict[str, Tensor]:
    return run_float(graph, x, [node.name for node in neurons(graph)])[1]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_graph_computes_what_the_module_does(case: Case) -> None:
    module = case.module().double().eval()
    graph = from_torch(module, input_spikes(case.inputs, 3))
    x = input_spikes(case.inputs, 40, seed=5)
    expected = module(x)
    assert torch.allclose(run_float(graph, x)[0], expected, atol=1e-9)
    rates = {name: float(seen.mean()) for name, seen in spikes_of(graph, x).items()}
    assert all(0.02 < rate < 0.95 for rate in rates.values()), rates
    # another reset is noticed
    first = neurons(graph)[0]
    reset = "zero" if case.reset == "none" else "none"
    other = replace(first, template=replace(first.template, reset=reset))  # pyright: ignore[reportArgumentType]
    nodes = tuple(other if node is first else node for node in graph.nodes)
    assert not torch.allclose(run_float(replace(graph, nodes=nodes), x)[0], expected, atol=1e-2)


@pytest.mark.parametrize(
    ("case", "bits"),
    [*((case, 8) for case in CASES), *((case, 4) for case in CASES[::3])],
    ids=lambda value: value.name if isinstance(value, Case) else str(value),
)
def test_its_integers_are_bit_exact_and_close(case: Case, bits: int, tmp_path) -> None:
    module = case.module().double().eval()
    x = input_spikes(case.inputs, 40, seed=5)
    graph = from_torch(module, x[:, :3])
    samples = x.long().numpy()
    quantised = plan(graph, samples, QuantiseConfig(bits=bits))
    network = quantised.network
    trained = QATNetwork(quantised, graph)
    assert trained.export().digest == network.digest
    assert differing(trained, samples) == []
    save_network(network, tmp_path / "n.safetensors")
    assert load_network(tmp_path / "n.safetensors").digest == network.digest
    real = spikes_of(graph, x)
    trace = golden.run(network, samples, [(name, "spike") for name in real])
    assert sum(trace.saturations.values()) == 0
    for name, spikes in real.items():
        found = trace[name, "spike"]
        flipped = float((found != spikes.numpy()).mean())
        assert abs(found.mean() - float(spikes.mean())) < (0.03 if bits == 8 else 0.1)
        assert flipped < (0.08 if bits == 8 else 0.2)


@pytest.mark.parametrize("case", ONE_EACH, ids=lambda case: case.family)
def test_it_trains_on_as_integers(case: Case) -> None:
    """Learnable numbers move, the weights too, and the export keeps to the forward pass."""
    learn = {"learn_threshold": True, "learn_beta": True}
    if "ParametricLIF" in case.family or case.family == "IF" or "LSTM" in case.family:
        learn.pop("learn_beta")
    module = case.module(**learn)
    x = input_spikes(case.inputs, 16)
    graph = from_torch(module, x[:, :3])
    samples = x.long()
    trained = QATNetwork(plan(graph, samples.numpy(), QuantiseConfig(bits=8)), graph)
    before = trained.export()
    optimiser = torch.optim.Adam(trained.parameters(), lr=0.02)
    for _ in range(3):
        optimiser.zero_grad()
        trained(samples).square().mean().backward()
        optimiser.step()
    after = trained.export()
    first = before.nodes_of(Neuron)[0]
    now = after.by_name[first.name]
    assert isinstance(now, Neuron)
    moved = {what for what in first.numbers if (first.numbers[what] != now.numbers[what]).any()}
    assert moved == neurons(graph)[0].learn
    for node in before.nodes_of(Dense):
        same = np.array_equal(node.weight, after.by_name[node.name].weight)  # pyright: ignore
        assert same == node.name.endswith("_pool"), node.name
    assert differing(trained, input_spikes(case.inputs, 20, seed=7).long().numpy()) == []
    trained.replan(plan(trained.float_graph(), samples.numpy(), QuantiseConfig(bits=4)))
    assert differing(trained, samples.numpy()) == []


def traced(neuron: nn.Module, **options) -> FloatNeuron:
    graph = from_torch(wrapped(neuron, **options), input_spikes(N, 2))
    return neurons(graph)[0]


BETA = torch.linspace(0.5, 0.9, N)


@pytest.mark.parametrize(
    ("neuron", "learn"),
    [
        (Leaky(0.9, multi_step=True), set()),
        (Leaky(0.9, learn_beta=True, multi_step=True), {"leak"}),
        (Leaky(0.9, learn_threshold=True, multi_step=True), {"threshold"}),
        (FloatLIF(0.9, learn_beta=True, learn_threshold=True), {"leak", "threshold"}),
        (Lapicque(0.9, learn_beta=True, multi_step=True), {"leak"}),
        (Lapicque(R=nn.Parameter(torch.tensor(5.0)), C=1.0, multi_step=True), {"leak"}),
        (Lapicque(R=5.0, C=1.0, multi_step=True), set()),
        (ParametricLIF(multi_step=True), {"leak"}),
        (Synaptic(0.5, 0.9, learn_alpha=True, multi_step=True), {"synaptic_leak"}),
        (Synaptic(0.5, 0.9, learn_beta=True, multi_step=True), {"leak"}),
        (Alpha(0.9, 0.5, learn_alpha=True, multi_step=True), {"excitatory_leak"}),
        (Alpha(0.9, 0.5, learn_beta=True, multi_step=True), {"inhibitory_leak"}),
        (RLeaky(0.9, linear_features=N, learn_beta=True, multi_step=True), {"leak"}),
        (RSynaptic(0.5, 0.9, linear_features=N, learn_alpha=True, multi_step=True),
         {"synaptic_leak"}),
        (Adaptive(0.9, 0.8, 0.1, learn_increment=True, multi_step=True), {"increment"}),
        (Adaptive(0.9, 0.8, 0.1, learn_adaptation=True, multi_step=True), {"adaptation_leak"}),
        (LeakyParallel(N, N, 0.9, learn_beta=True), {"leak"}),
        (LeakyParallel(N, N, 0.9, learn_threshold=True), {"threshold"}),
    ],
)  # fmt: skip
def test_what_was_learnt_stays_learnable(neuron: nn.Module, learn: set[str]) -> None:
    assert traced(neuron).learn == learn
    for value in neuron.parameters():
        value.requires_grad_(False)
    assert traced(neuron).learn == set()  # frozen is frozen


def test_numbers_and_options_are_the_modules() -> None:
    options = {"strict": False, "inhibition": True, "spike_grad": sigmoid(7), "multi_step": True}
    node = traced(Leaky(BETA, torch.linspace(0.5, 1, N), **options))
    assert isinstance(node.template, LIF)
    assert (node.template.strict, node.template.inhibition, node.template.keep_input) == (
        False, True, True,
    )  # fmt: skip
    assert np.allclose(node.numbers["leak"], BETA)
    assert np.allclose(node.numbers["threshold"], np.linspace(0.5, 1, N))
    assert node.surrogate == sigmoid(7)
    # a callable of the user's own has no known slope
    assert traced(
        Leaky(0.9, spike_grad=lambda x: (x > 0).to(x.dtype), multi_step=True)
    ).surrogate == (atan())
    other = traced(RLeaky(0.9, linear_features=N, reset_mechanism="zero", multi_step=True))
    assert isinstance(other.template, LIF)
    assert not other.template.keep_input


@pytest.mark.parametrize("learn_threshold", [False, True])
@pytest.mark.parametrize(
    ("threshold", "reset", "width"),
    [(0.2, "none", 12), (0.2, "subtract", 12), (1.0, "subtract", 12), (1.1, "subtract", 13),
     (1.1, "none", 12), (2.0, "none", 13), (5.0, "zero", 14)],
)  # fmt: skip
def test_an_lstms_membrane_holds_its_threshold_and_reset(
    threshold: float, reset: str, width: int, learn_threshold: bool
) -> None:
    case = Case("SLSTM", reset)
    module = case.module(threshold=threshold, learn_threshold=learn_threshold)
    graph = from_torch(module, input_spikes(N, 3))
    (node,) = neurons(graph)
    assert isinstance(node.template, LSTM)
    assert (node.template.membrane.width, node.template.membrane.frac) == (width, 10)
    assert node.template.cell.max * node.template.cell.step > 7.99
    assert len(node.template.table) == 256
    samples = input_spikes(N, 20).long().numpy()
    (integer,) = plan(graph, samples, QuantiseConfig()).network.nodes_of(LSTM)
    assert integer.threshold * integer.membrane.step == pytest.approx(threshold, abs=2**-11)


@pytest.mark.parametrize("name", NEURONS)
@pytest.mark.parametrize("norm", ["batch", "bntt", "none"])
def test_the_layered_classifier_of_every_neuron(name: str, norm: str) -> None:
    torch.manual_seed(1)
    image, width = ((4, 3), 4) if name == "SConv2dLSTM" else (None, 16)
    # these two scale their input down
    options = {"threshold": t} if (t := {"Lapicque": 0.05, "ParametricLIF": 0.2}.get(name)) else {}
    module = LayeredSNN(
        PIXELS, 5, name, width, 2, steps=STEPS, image=image, norm=norm, options=options
    )
    for weights in module.layers.parameters():
        if weights.dim() > 1:
            weights.data *= 3  # lively without training
    x = input_spikes(PIXELS, 60)
    for _ in range(30):
        module(x.float())
    module.double().eval()
    graph = from_torch(module, x[:, :3])
    expected = module(x)
    assert torch.allclose(run_float(graph, x)[0], expected, atol=1e-8)
    assert all(0.01 < float(seen.mean()) < 0.95 for seen in spikes_of(graph, x).values())
    network = plan(graph, x.long().numpy(), QuantiseConfig(bits=8)).network
    classes = golden.run(network, x.long().numpy()).classes
    assert (classes == expected.argmax(1).numpy()).mean() > 0.85


def test_images_may_come_as_images() -> None:
    """[T, B, C, H, W] samples are the network's [T, B, n], pixel by pixel."""
    case = BY_NAME["SConv2dLSTM subtract delayed"]
    module = case.module().double().eval()
    flat = input_spikes(PIXELS, 4)
    images = flat.unflatten(2, (2, 4, 3))
    graph = from_torch(module, flat)
    direct = from_torch(module[1:], images)
    assert direct.input.size == PIXELS
    assert torch.equal(run_float(graph, flat)[0], run_float(direct, to_flat(images))[0])
    assert not torch.equal(run_float(graph, flat)[0], run_float(direct, flat)[0])
