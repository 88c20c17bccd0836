"""Post-training quantisation: scales, widths, and how close the integers come."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from reslif.sw import golden
from reslif.sw import nn as snn
from reslif.sw.formats import Format
from reslif.sw.graph import (
    FloatDense,
    FloatGraph,
    FloatNeuron,
    GraphError,
    float_lif,
    run_float,
)
from reslif.sw.network import LIF, Dense, Edge, Input, Join, Readout
from reslif.sw.nn import LIF as FloatLIF
from reslif.sw.nn import ResidualSNN, SumCurrent
from reslif.sw.nn.lif_function import NeuronRule
from reslif.sw.nn.surrogate import atan
from reslif.sw.qat import QATNetwork
from reslif.sw.quantiser import QuantiseConfig, input_moments, plan, quantise
from reslif.sw.scales import current_groups, search_scales, symmetric_limit, weight_error
from reslif.sw.tracing import from_torch
from torch import nn

RULE = NeuronRule(atan())
PIXELS = Format(5, 4, signed=False)


def random(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def dense(name: str, outputs: int, inputs: int, seed: int = 0, scale: float = 1.0) -> FloatDense:
    weight = random(seed).normal(0, scale / np.sqrt(inputs), (outputs, inputs))
    return FloatDense(name, weight, random(seed + 1).normal(0, 0.1, outputs))


def lif(name: str, size: int, beta: float = 15 / 16, threshold: float = 0.5) -> FloatNeuron:
    return float_lif(name, size, np.array(beta), np.array(threshold), RULE)


def membrane_shortcut() -> FloatGraph:
    """stem ─┬─ lif1 ─ w1 ─ lif2 ─ w2 ─ join ─ lif3 ─ head; the stem's current is the shortcut."""
    nodes = (
        Input("x", 8, PIXELS), dense("stem", 10, 8, 1, 2.0), lif("lif1", 10),
        dense("w1", 10, 10, 2), lif("lif2", 10), dense("w2", 10, 10, 3, 0.3),
        Join("join", "add", 10), lif("lif3", 10), dense("head", 4, 10, 4),
        Readout("out", "sum_current", 4),
    )  # fmt: skip
    edges = (
        Edge("x", "stem"), Edge("stem", "lif1"), Edge("lif1", "w1"), Edge("w1", "lif2"),
        Edge("lif2", "w2"), Edge("w2", "join", "branch"), Edge("stem", "join", "shortcut"),
        Edge("join", "lif3"), Edge("lif3", "head"), Edge("head", "out"),
    )  # fmt: skip
    return FloatGraph(nodes, edges)


def pixels(*shape: int, seed: int = 5) -> np.ndarray:
    return random(seed).integers(0, 17, shape)


def test_currents_that_meet_share_a_scale() -> None:
    groups = current_groups(membrane_shortcut())
    assert groups["stem"] == groups["w2"] == groups["join"] == groups["lif1"] == groups["lif3"]
    assert len({groups["stem"], groups["w1"], groups["head"], groups["x"]}) == 4


def test_a_current_that_meets_spikes_has_scale_1() -> None:
    graph = membrane_shortcut()
    edges = (*(e for e in graph.edges if e.port != "shortcut"), Edge("lif1", "join", "shortcut"))
    scales = plan(replace(graph, edges=edges), pixels(6, 64, 8), QuantiseConfig()).scales
    assert scales.of("w2") == scales.of("join") == scales.of("lif3") == 1.0
    assert scales.of("w1") != 1.0


def test_integers_are_the_reals_on_their_grids() -> None:
    graph = membrane_shortcut()
    quantised = plan(graph, pixels(6, 64, 8), QuantiseConfig(bits=8, guard_bits=6))
    network, scales = quantised.network, quantised.scales
    for node in graph.nodes:
        integers = network.by_name[node.name]
        if isinstance(node, FloatDense) and isinstance(integers, Dense):
            unit = scales.of(node.name) * integers.weight_format.step
            assert np.abs(integers.weight * unit - node.weight).max() < unit * 8
            assert np.median(np.abs(integers.weight * unit - node.weight)) < unit / 2
            assert integers.bias is not None
            assert node.bias is not None
            unit = scales.of(node.name) * network.values[node.name].format.step
            assert np.abs(integers.bias * unit - node.bias).max() <= unit / 2
        if isinstance(node, FloatNeuron) and isinstance(integers, LIF):
            unit = scales.of(node.name) * integers.membrane.step
            assert abs(integers.threshold * unit - node.numbers["threshold"]) <= unit / 2
            assert (integers.leak, integers.leak_shift) == (15, 4)
            (source, *_) = network.operands(integers)["input"]
            assert integers.membrane.frac - source.format.frac == 6


@pytest.mark.parametrize("bits", [2, 3, 4, 6, 8])
def test_codes_are_symmetric(bits: int) -> None:
    network = quantise(membrane_shortcut(), pixels(6, 64, 8), QuantiseConfig(bits=bits))
    for node in network.nodes_of(Dense):
        assert node.weight_format.width == bits
        assert np.abs(node.weight).max() <= symmetric_limit(bits)
    assert symmetric_limit(2) == 1


def test_layer_bits() -> None:
    config = QuantiseConfig(bits=4, layer_bits={"head": 8})
    network = quantise(membrane_shortcut(), pixels(6, 64, 8), config)
    widths = {node.name: node.weight_format.width for node in network.nodes_of(Dense)}
    assert widths == {"stem": 4, "w1": 4, "w2": 4, "head": 8}


@pytest.mark.parametrize("bits", [2, 3, 4])
def test_the_search_beats_max_abs_scaling(bits: int) -> None:
    graph = membrane_shortcut()
    moments = input_moments(graph, pixels(6, 64, 8))
    synapses = [n for n in graph.nodes if isinstance(n, FloatDense)]
    scales = search_scales(graph, {n.name: bits for n in synapses}, moments)
    limit = symmetric_limit(bits)
    found, naive = 0.0, 0.0
    for node in synapses:
        largest = np.abs(node.weight).max() / limit
        grid = scales.of(node.name) * 2.0 ** -scales.frac[node.name]
        error = weight_error(node.weight, grid, limit, moments[node.name])
        if node.name in ("w1", "head"):  # alone in their groups
            assert error < weight_error(node.weight, largest, limit, moments[node.name])
        else:
            found += error
            power = 2.0 ** np.ceil(np.log2(largest))
            naive += weight_error(node.weight, power, limit, moments[node.name])
    assert found < naive


def test_more_bits_come_closer_to_the_float_scores() -> None:
    graph = membrane_shortcut()
    samples = pixels(8, 200, 8)
    scores, _ = run_float(graph, torch.as_tensor(samples / 16))
    errors = []
    for bits in (2, 4, 8):
        quantised = plan(graph, samples, QuantiseConfig(bits=bits))
        unit = quantised.scales.of("head") * quantised.network.scores.format.step
        found = golden.run(quantised.network, samples).scores * unit
        errors.append(float(np.abs(found - scores.numpy()).mean() / scores.numpy().std()))
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 0.1


def test_guard_bits_keep_the_floor_leak_from_stealing_spikes() -> None:
    graph = membrane_shortcut()
    samples = pixels(12, 200, 8)
    _, seen = run_float(graph, torch.as_tensor(samples / 16), ["lif2"])
    rate = float(seen["lif2"].mean())

    def integer_rate(guard: int | None) -> float:
        network = quantise(graph, samples, QuantiseConfig(bits=8, guard_bits=guard))
        return float(golden.run(network, samples, [("lif2", "spike")])["lif2", "spike"].mean())

    assert abs(integer_rate(None) - rate) < 0.02
    assert integer_rate(0) < rate


def test_membranes_hold_twice_what_calibration_saw_or_what_is_asked_for() -> None:
    samples = pixels(8, 100, 8)
    network = quantise(membrane_shortcut(), samples, QuantiseConfig())
    trace = golden.run(network, samples, None)
    assert sum(trace.saturations.values()) == 0
    for node in network.nodes_of(LIF):
        reach = np.abs(trace[node.name, "membrane"]).max()
        assert 2 * reach <= 2 ** (node.membrane.width - 1)
        assert node.membrane.max > 2 * node.threshold
        assert max(reach, node.threshold) * 8 >= 2 ** (node.membrane.width - 1)
        note = network.notes["membranes"][node.name]
        assert note["width"] == node.membrane.width <= note["bound"]
        assert note["from"] == ("bound" if note["width"] == note["bound"] else "calibration")
    given = quantise(membrane_shortcut(), samples, QuantiseConfig(membrane_bits=20))
    assert given.notes["membranes"]["lif1"]["from"] == "recipe"
    assert {node.membrane.width for node in given.nodes_of(LIF)} == {20}


def test_the_bound_on_a_membrane_is_never_left() -> None:
    """Calibration asks for more than can ever occur: the bound decides, and holds."""
    graph = FloatGraph(
        (Input("x", 1), FloatDense("fc", np.array([[1.0]])), lif("lif", 1, 0.5, 0.9),
         Readout("out", "count", 1)),
        (Edge("x", "fc"), Edge("fc", "lif"), Edge("lif", "out")),
    )  # fmt: skip
    samples = np.ones((50, 1, 1), int)
    network = quantise(graph, samples, QuantiseConfig())
    assert golden.run(network, samples).saturations == {"lif": 0}
    assert network.notes["membranes"]["lif"]["from"] == "bound"


@pytest.mark.parametrize(
    ("beta", "learn", "shift"),
    [(15 / 16, False, 4), (0.9, False, 8), (15 / 16, True, 8), (1.0, False, 4)],
)
def test_the_leak_has_four_bits_where_that_is_exact(beta: float, learn: bool, shift: int) -> None:
    module = nn.Sequential(
        nn.Linear(8, 8), FloatLIF(beta, learn_beta=learn), nn.Linear(8, 3), SumCurrent()
    )
    network = quantise(module, pixels(6, 16, 8), input_format=PIXELS)
    (node,) = network.nodes_of(LIF)
    assert node.leak_shift == shift
    assert node.leak == round(beta * 2**shift)


def test_a_module_quantises_in_one_call() -> None:
    torch.manual_seed(0)
    model = ResidualSNN(8, 4, 10, 2)
    for _ in range(8):
        model(torch.rand(6, 32, 8))
    samples = pixels(6, 200, 8)
    network = quantise(model, samples, QuantiseConfig(bits=8), PIXELS)
    expected = model.eval()(torch.as_tensor(samples / 16, dtype=torch.float32)).argmax(1)
    assert (golden.run(network, samples).classes == expected.numpy()).mean() > 0.9
    assert network.max_steps == 6
    assert network.notes["scales"]["stem"] > 0


def test_a_silent_layer_and_zero_weights_are_no_obstacle() -> None:
    graph = membrane_shortcut()
    zero = replace(graph.by_name["w2"], weight=np.zeros((10, 10)), bias=None)  # pyright: ignore[reportArgumentType]
    nodes = tuple(zero if n.name == "w2" else n for n in graph.nodes)
    network = quantise(replace(graph, nodes=nodes), np.zeros((4, 8, 8), int))
    assert not np.any(next(n for n in network.nodes_of(Dense) if n.name == "w2").weight)


def test_bad_settings_are_refused() -> None:
    with pytest.raises(GraphError, match="weight bits are 1, must be 2 to 16"):
        QuantiseConfig(bits=1)
    with pytest.raises(GraphError, match=r"weight bits are 4\.0, must be"):
        QuantiseConfig(bits=4.0)  # pyright: ignore[reportArgumentType]
    for shape in ((4, 8), (2, 0, 8)):
        with pytest.raises(
            GraphError, match=r"calibration samples have shape .*, must be \[T, B, "
        ):
            quantise(membrane_shortcut(), np.zeros(shape, int))
    with pytest.raises(GraphError, match="guard_bits is -1"):
        QuantiseConfig(guard_bits=-1)
    config = QuantiseConfig(layer_bits={"nothing": 4})
    with pytest.raises(GraphError, match="layer_bits names 'nothing'"):
        quantise(membrane_shortcut(), pixels(2, 4, 8), config)
    with pytest.raises(GraphError, match="node 'fc': weight holds NaN"):
        FloatDense("fc", np.array([[np.nan]]))
    with pytest.raises(GraphError, match="node 'lif': leak spans 1"):
        lif("lif", 3, beta=1.5)


def test_a_linear_model_needs_no_neurons() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(8, 3), SumCurrent())
    samples = pixels(2, 100, 8)
    network = quantise(module, samples, QuantiseConfig(bits=8), PIXELS)
    graph = from_torch(module, torch.as_tensor(samples / 16), PIXELS)
    expected = run_float(graph, torch.as_tensor(samples / 16))[0].argmax(1).numpy()
    assert (golden.run(network, samples).classes == expected).mean() > 0.95


NEURONS = {
    "LIF": lambda: snn.Leaky(0.9, multi_step=True),
    "Synaptic": lambda: snn.Synaptic(0.8, 0.9, multi_step=True),
    "Alpha": lambda: snn.Alpha(0.9, 0.8, multi_step=True),
    "Adaptive": lambda: snn.Adaptive(0.9, 0.95, 0.2, multi_step=True),
    "RLeaky": lambda: snn.RLeaky(0.9, linear_features=24, multi_step=True),
    "RLeaky one to one": lambda: snn.RLeaky(0.9, V=0.7, all_to_all=False, multi_step=True),
    "RSynaptic": lambda: snn.RSynaptic(0.8, 0.9, linear_features=24, multi_step=True),
    "SLSTM": lambda: snn.SLSTM(16, 24, threshold=0.1, multi_step=True),
}


@pytest.mark.parametrize("name", NEURONS)
def test_every_neuron_comes_close_at_eight_bits(name: str) -> None:
    """Its spikes nearly those of the floats; and widths from calibration lose nothing."""
    torch.manual_seed(0)
    linear = nn.Linear(16, 24)
    linear.weight.data *= 3
    layers = [NEURONS[name](), nn.Linear(24, 4), SumCurrent()]
    if name != "SLSTM":  # whose gates have weights of their own
        layers = [linear, *layers]
    samples = (random().random((15, 80, 16)) < 0.5).astype(np.int64)
    real = torch.as_tensor(samples, dtype=torch.float64)
    graph = from_torch(nn.Sequential(*layers), real.float())
    (neuron,) = (node for node in graph.nodes if isinstance(node, FloatNeuron))
    expected = run_float(graph, real, [neuron.name])[1][neuron.name].numpy()
    assert 0.02 < expected.mean() < 0.6

    def differing(**config: int) -> float:
        network = quantise(graph, samples[:, :8], QuantiseConfig(**config))
        trace = golden.run(network, samples, [(neuron.name, "spike")])
        assert trace.saturations[neuron.name] == 0
        return float((trace[neuron.name, "spike"] != expected).mean())

    narrow = differing(bits=8)
    assert narrow < 0.015
    assert narrow == differing(bits=8, membrane_bits=44)
    assert narrow < differing(bits=2)


@pytest.mark.parametrize("bits", [3, 47])
def test_membranes_of_impossible_widths_are_refused(bits: int) -> None:
    with pytest.raises(GraphError, match=f"membrane_bits is {bits}, must be 4 to 46"):
        QuantiseConfig(membrane_bits=bits)


def test_states_that_fit_no_width_are_refused() -> None:
    """Rather than saturated in silence: a membrane, multiplied, brings its fraction bits along."""
    integrator = NeuronRule(atan(), reset_mechanism="none")
    graph = FloatGraph(
        (
            Input("x", 8), dense("d", 6, 8),
            float_lif("li", 6, np.array(0.9), np.array(1.0), integrator),
            dense("e", 6, 6), lif("lif", 6), Readout("out", "count", 6),
        ),
        (
            Edge("x", "d"), Edge("d", "li"), Edge("li", "e", quantity="membrane"),
            Edge("e", "lif"), Edge("lif", "out"),
        ),
    )  # fmt: skip
    samples = (random().random((8, 20, 8)) < 0.5).astype(np.int64)
    fine = plan(graph, samples, QuantiseConfig(bits=8))
    assert sum(golden.run(fine.network, samples).saturations.values()) == 0
    guards = {
        node.name: node.membrane.frac - fine.network.operands(node)["input"][0].format.frac
        for node in fine.network.nodes_of(LIF)
    }
    assert guards == {"li": 4, "lif": 6}
    with pytest.raises(GraphError, match="node 'lif': its states need more than the widest form"):
        plan(graph, samples, QuantiseConfig(bits=12, leak_shift=11, guard_bits=13))
    some = plan(graph, samples, QuantiseConfig(bits=12, leak_shift=8, guard_bits=10))
    with pytest.raises(GraphError, match=r"node .lif.: its integers may reach .* below 2\^53"):
        QATNetwork(some, graph)
