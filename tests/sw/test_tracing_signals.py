"""What travels between traced layers: membranes, graded spikes, gains, batch norm through time,
images; and what is refused, with its line.
"""

import inspect
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from reslif.sw import golden
from reslif.sw.graph import (
    FloatAffine,
    FloatDense,
    FloatGraph,
    FloatNeuron,
    GraphError,
    run_float,
)
from reslif.sw.network import Affine
from reslif.sw.nn import (
    LI,
    LIF,
    SLSTM,
    BatchNormTT1d,
    BatchNormTT2d,
    Lapicque,
    Leaky,
    LeakyParallel,
    ParametricLIF,
    RLeaky,
    SConv2dLSTM,
    SpikeCount,
    SpikeRate,
    SumCurrent,
    Synaptic,
    state_quant,
)
from reslif.sw.qat import QATNetwork
from reslif.sw.quantiser import QuantiseConfig, plan
from reslif.sw.scales import current_groups
from reslif.sw.tracing import from_torch
from torch import Tensor, nn
from traced_cases import CHANNELS, CLASSES, HEIGHT, PIXELS, STEPS, WIDTH, N, differing, input_spikes

T, IMAGE = {"multi_step": True}, (CHANNELS, HEIGHT, WIDTH)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


class Net(nn.Module):
    """Layers put together by the test's own function ``f(net, x)``."""

    def __init__(self, f: Callable[[Any, Tensor], Any], **layers: nn.Module) -> None:
        super().__init__()
        self.f = f
        self.a, self.b, self.head = nn.Linear(N, N), nn.Linear(N, N), nn.Linear(N, CLASSES)
        for linear in (self.a, self.b):
            nn.init.normal_(linear.weight, mean=0.1, std=0.6)
        for name, layer in layers.items():
            setattr(self, name, layer)
        self.total, self.count, self.rate = SumCurrent(), SpikeCount(), SpikeRate()
        for norm in self.modules():
            if isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d):
                for value, low in ((norm.running_mean, -0.4), (norm.running_var, 0.4)):
                    if value is not None:
                        value.uniform_(low, low + 1)
                if norm.weight is not None:
                    norm.weight.data.uniform_(0.4, 1.5)
        self.double().eval()

    def forward(self, x: Tensor) -> Any:
        return self.f(self, x)


def leaky(**options: Any) -> Leaky:
    return Leaky(0.8, 0.6, **{**T, **options})


def lapicque() -> Lapicque:
    return Lapicque(R=2.0, C=1.6, threshold=0.5, **T)


def through_time() -> BatchNormTT1d:
    return BatchNormTT1d(N, STEPS)


def both_at_once(m: Any, x: Tensor) -> Tensor:
    spikes, membrane = m.l(m.a(x))
    return m.total(m.head(spikes) + m.head(membrane))


GRADES = torch.linspace(0.5, 2, N)

SIGNALS: dict[str, tuple[Callable[[Any, Tensor], Any], Callable[[], dict[str, nn.Module]]]] = {
    "integrator, last": (
        lambda m, x: m.li(m.head(m.l(m.a(x))))[-1],
        lambda: {"l": leaky(), "li": LI(0.9, **T)}),
    "integrator, largest": (
        lambda m, x: m.li(m.head(m.l(m.a(x)))).amax(0),
        lambda: {"l": leaky(), "li": LI(0.9, **T)}),
    "integrator, sum": (
        lambda m, x: m.total(m.li(m.head(m.l(m.a(x))))),
        lambda: {"l": leaky(), "li": LI(0.9, **T)}),
    "integrator, mean": (
        lambda m, x: torch.mean(m.li(m.head(m.l(m.a(x)))), 0),
        lambda: {"l": leaky(), "li": LI(0.9, **T)}),
    "integrator, counted": (
        lambda m, x: m.rate(m.li(m.head(m.l(m.a(x))))),
        lambda: {"l": leaky(), "li": LI(0.9, **T)}),
    "integrator that returns its state": (
        lambda m, x: m.li(m.head(m.l(m.a(x))))[1][-1],
        lambda: {"l": leaky(), "li": LI(0.9, output=True, **T)}),
    "integrator into a linear": (
        lambda m, x: m.total(m.head(m.l(m.b(m.li(m.a(x)))))),
        lambda: {"l": leaky(), "li": LI(0.7, **T)}),
    "integrator into a neuron": (
        lambda m, x: m.total(m.head(m.l(m.li(m.a(x))))),
        lambda: {"l": leaky(), "li": LI(0.7, **T)}),
    "integrator into an LSTM": (
        lambda m, x: m.total(m.head(m.l(m.li(m.a(x))))),
        lambda: {"l": SLSTM(N, N, threshold=0.1, **T), "li": LI(0.7, **T)}),
    "membrane into a linear": (
        lambda m, x: m.total(m.head(m.l(m.a(x))[1])), lambda: {"l": leaky(output=True)}),
    "membrane after an immediate reset": (
        lambda m, x: m.total(m.head(m.l(m.a(x))[1])),
        lambda: {"l": leaky(output=True, reset_delay=False)}),
    "membrane and spikes": (
        both_at_once,
        lambda: {"l": leaky(output=True)}),
    "membrane at the end": (
        lambda m, x: m.l(m.head(m.k(m.a(x))))[2][-1],
        lambda: {"k": leaky(), "l": Synaptic(0.5, 0.9, output=True, **T)}),
    "spikes of a recurrent tuple": (
        lambda m, x: m.total(m.head(m.l(m.a(x))[0])),
        lambda: {"l": RLeaky(0.8, linear_features=N, threshold=0.6, output=True, **T)}),
    "membrane of a recurrent tuple": (
        lambda m, x: m.total(m.head(m.l(m.a(x))[1])),
        lambda: {"l": RLeaky(0.8, linear_features=N, threshold=0.6, output=True, **T)}),
    "hidden state": (
        lambda m, x: m.total(m.head(m.l(x)[2])),
        lambda: {"l": SLSTM(N, N, threshold=0.1, output=True, **T)}),
    "LSTM on LSTM": (
        lambda m, x: m.total(m.head(m.l(m.k(x)))),
        lambda: {"k": SLSTM(N, N, threshold=0.1, **T), "l": SLSTM(N, N, threshold=0.05, **T)}),
    "parallel": (
        lambda m, x: m.total(m.head(m.l(m.k(m.a(x))))),
        lambda: {"k": leaky(), "l": LeakyParallel(N, N, 0.9, threshold=0.2)}),
    "parallel, graded input": (
        lambda m, x: m.total(m.head(m.l(m.k(m.a(x))))),
        lambda: {"k": leaky(graded_spikes_factor=2.0),
                 "l": LeakyParallel(N, N, 0.9, bias=False, threshold=0.2)}),
    "parallel, its membrane": (
        lambda m, x: m.total(m.head(m.l(m.k(m.a(x)))[1])),
        lambda: {"k": leaky(), "l": LeakyParallel(N, N, 0.9, threshold=0.2, output=True)}),
    "graded": (
        lambda m, x: m.total(m.head(m.l(m.a(x)))), lambda: {"l": leaky(graded_spikes_factor=2.5)}),
    "graded per neuron": (
        lambda m, x: m.total(m.head(m.l(m.a(x)))),
        lambda: {"l": leaky(graded_spikes_factor=GRADES)}),
    "graded count": (
        lambda m, x: m.count(m.l(m.a(x))), lambda: {"l": leaky(graded_spikes_factor=2.5)}),
    "graded mean": (
        lambda m, x: m.l(m.a(x)).mean(0), lambda: {"l": leaky(graded_spikes_factor=2.5)}),
    "graded feedback": (
        lambda m, x: m.total(m.head(m.l(m.a(x)))),
        lambda: {"l": RLeaky(0.8, linear_features=N, graded_spikes_factor=1.5, **T)}),
    "graded one-to-one feedback": (
        lambda m, x: m.total(m.head(m.l(m.a(x)))),
        lambda: {"l": RLeaky(0.8, 0.3, all_to_all=False, graded_spikes_factor=GRADES, **T)}),
    "graded into a neuron": (
        lambda m, x: m.total(m.head(m.k(m.l(m.a(x))))),
        lambda: {"l": leaky(graded_spikes_factor=GRADES), "k": lapicque()}),
    "graded into batch norm": (
        lambda m, x: m.total(m.head(m.k(m.n(m.l(m.a(x)))))),
        lambda: {"l": leaky(graded_spikes_factor=GRADES), "k": leaky(), "n": through_time()}),
    "gain beside": (
        lambda m, x: m.total(m.head(m.k(y := m.a(x)) + m.l(y))),
        lambda: {"l": leaky(), "k": lapicque()}),
    "gain behind a join": (
        lambda m, x: m.total(m.head(m.k(m.a(x) + m.b(x)))), lambda: {"k": lapicque()}),
    "gain at the input": (
        lambda m, x: m.total(m.head(m.k(x))),
        lambda: {"k": ParametricLIF(1.5, threshold=0.7, **T)}),
    "inhibition": (
        lambda m, x: m.total(m.head(m.l(m.a(x)))), lambda: {"l": leaky(inhibition=True)}),
    "norm through time": (
        lambda m, x: m.total(m.head(m.l(m.n(m.a(x))))),
        lambda: {"l": leaky(), "n": through_time()}),
    "norm through time without gain, before a gain": (
        lambda m, x: m.total(m.head(m.k(m.n(m.a(x))))),
        lambda: {"k": lapicque(), "n": BatchNormTT1d(N, STEPS, affine=False)}),
    "norm through time beside its own input": (
        lambda m, x: m.total(m.head(m.l(m.n(y := m.a(x)) + y))),
        lambda: {"l": leaky(), "n": through_time()}),
    "norm through time of a residual": (
        lambda m, x: m.total(m.head(m.l((y := m.a(x)) + m.n(m.b(m.k(y)))))),
        lambda: {"k": leaky(), "l": leaky(), "n": through_time()}),
    "two norms through time": (
        lambda m, x: m.total(m.head(m.l(m.n(m.o(m.a(x)))))),
        lambda: {"l": leaky(), "n": through_time(), "o": through_time()}),
    "norm of spikes": (
        lambda m, x: m.total(m.head(m.l(m.n(m.k(m.a(x)))))),
        lambda: {"k": leaky(), "l": leaky(), "n": through_time()}),
    "norm of joined spikes": (
        lambda m, x: m.total(m.head(m.l(m.n(m.k(m.a(x)) + x)))),
        lambda: {"k": leaky(), "l": leaky(), "n": through_time()}),
}  # fmt: skip


@pytest.mark.parametrize("name", SIGNALS)
def test_signals_keep_their_meaning_and_their_integers(name: str) -> None:
    function, layers = SIGNALS[name]
    module = Net(function, **layers())
    x = input_spikes(N, 40, seed=5)
    graph = from_torch(module, x[:, :3])
    names = [node.name for node in graph.nodes if isinstance(node, FloatNeuron)]
    scores, seen = run_float(graph, x, names)
    expected = module(x).detach()
    factor = float((scores / expected).nanmedian())
    counted = {"mean": STEPS, "counted": STEPS, "graded count": 1 / 2.5, "graded mean": STEPS / 2.5}
    assert factor == pytest.approx(
        next((v for k, v in reversed(counted.items()) if name.endswith(k)), 1.0)
    )
    assert torch.allclose(scores / factor, expected, atol=1e-9)
    assert all(0.02 < float(seen[name].mean()) < 0.95 for name in names)
    samples = x.long().numpy()
    errors = []
    for bits in (8, 4):
        trained = QATNetwork(plan(graph, samples, QuantiseConfig(bits=bits)), graph)
        assert trained.export().digest == trained.quantised.network.digest
        assert differing(trained, samples) == []
        errors.append(float((trained(x).detach() - scores).abs().mean() / scores.std()))
    # An LSTM's own formats, eight fraction bits, are what its error comes from.
    assert errors[0] < (0.2 if "LSTM" in name else 0.1)
    assert errors[0] < errors[1] < 0.5


def graph_of(name: str) -> FloatGraph:
    function, layers = SIGNALS[name]
    return from_torch(Net(function, **layers()), input_spikes(N, 3))


@pytest.mark.parametrize(
    ("name", "nodes"),
    [
        ("gain behind a join", ["k_gain"]),
        ("gain beside", ["k_gain"]),
        ("gain at the input", ["k_gain"]),
        ("graded into a neuron", ["k_gain"]),
        ("norm through time without gain, before a gain", ["n", "k_gain"]),
        ("graded", []),
        ("parallel", []),
    ],
)
def test_a_gain_is_a_node_only_where_no_weight_can_take_it(name: str, nodes: list[str]) -> None:
    found = [node.name for node in graph_of(name).nodes if isinstance(node, FloatAffine)]
    assert found == nodes


def test_a_gain_is_folded_into_the_linear_that_only_feeds_it() -> None:
    module = Net(lambda m, x: m.total(m.head(m.k(m.a(x)))), k=lapicque())
    graph = from_torch(module, input_spikes(N, 3))
    (dense, *_) = (node for node in graph.nodes if isinstance(node, FloatDense))
    assert np.allclose(dense.weight, module.a.weight.detach().numpy() / 1.6)
    assert dense.bias is not None
    assert np.allclose(dense.bias, module.a.bias.detach().numpy() / 1.6)


def test_only_readouts_leave_an_integrator_its_own_scale() -> None:
    assert current_groups(graph_of("integrator, sum"))["li"] != "1"
    assert current_groups(graph_of("integrator into a linear"))["li"] == "1"


@pytest.mark.parametrize("bits", [8, 12])
@pytest.mark.parametrize("name", [name for name in SIGNALS if "norm" in name])
def test_gain_and_bias_in_integers_are_the_real_ones(name: str, bits: int) -> None:
    """The golden model's ``gain · x + bias`` in real units, on the x that it saw."""
    graph = graph_of(name)
    samples = input_spikes(N, 40).long().numpy()
    quantised = plan(graph, samples, QuantiseConfig(bits=bits))
    network, scales = quantised.network, quantised.scales
    for node in graph.nodes:
        if not isinstance(node, FloatAffine):
            continue
        integers = network.by_name[node.name]
        assert isinstance(integers, Affine)
        (source,) = graph.sources(node.name)
        probes = [(source, network.by_name[source].quantities[-1]), (node.name, "value")]
        scale = 1.0 if isinstance(graph.by_name[source], FloatNeuron) else scales.of(source)
        unit = scales.of(node.name) * network.values[node.name].format.step
        gain_unit = scales.of(node.name) / scale * integers.gain_format.step
        trace = golden.run(network, samples, probes)
        x = trace[probes[0]] * scale * network.values[source].format.step
        gain = np.atleast_2d(node.gain)[:, None]
        real = x * gain
        if node.bias is not None:
            real = real + node.bias[:, None]
        # Half a unit each; gains beyond the largest code, which the search may clip, aside.
        limit = 2 ** (bits - 1) - 1
        inside = np.broadcast_to(np.abs(gain) <= (limit + 0.5) * gain_unit, real.shape)
        bound = np.abs(x) * gain_unit / 2 + unit / 2 + 1e-12
        assert (np.abs(trace[probes[1]] * unit - real) <= bound)[inside].all()
        assert inside.mean() > 0.9
        assert np.abs(gain).max() / 4 < gain_unit * limit < np.abs(gain).max() * 2.01
        # a gain that is off by one unit is noticed
        off = replace(integers, gain=integers.gain - np.sign(integers.gain))
        nodes = tuple(off if n is integers else n for n in network.nodes)
        wrong = golden.run(replace(network, nodes=nodes), samples, probes)[probes[1]]
        assert (np.abs(wrong * unit - real) > bound)[inside].mean() > 0.1


def test_two_gains_that_scale_each_other_are_refused() -> None:
    module = Net(
        lambda m, x: m.total(
            m.head(m.k(m.n(y := m.a(x)) + (z := m.b(x)))) + m.head(m.l(m.o(z) + y))
        ),
        k=leaky(), l=leaky(), n=through_time(), o=through_time(),
    )  # fmt: skip
    graph = from_torch(module, input_spikes(N, 3))
    with pytest.raises(GraphError, match="scale each other's currents"):
        plan(graph, input_spikes(N, 3).long().numpy(), QuantiseConfig())


def test_norm_through_time_of_images_goes_by_channel() -> None:
    module = Net(
        lambda m, x: m.total(m.same(torch.flatten(m.l(m.n(m.unflatten(m.wide(x)))), 2))),
        l=RLeaky(0.8, conv2d_channels=CHANNELS, kernel_size=3, threshold=0.5, **T),
        n=BatchNormTT2d(CHANNELS, STEPS), unflatten=nn.Unflatten(2, IMAGE),
        wide=nn.Linear(N, PIXELS), same=nn.Linear(PIXELS, PIXELS, bias=False),
    )  # fmt: skip
    nn.init.eye_(module.same.weight)
    x = input_spikes(N, 20)
    graph = from_torch(module, x[:, :3])
    expected = module(x).detach()
    assert torch.equal(run_float(graph, x)[0], expected)
    assert 0.05 < float(expected.mean()) / STEPS < 0.95
    (norm,) = (node for node in graph.nodes if isinstance(node, FloatAffine))
    gains = norm.gain.reshape(STEPS, HEIGHT * WIDTH, CHANNELS)
    assert np.ptp(gains, axis=1).max() == 0 < np.ptp(gains, axis=2).min()


@pytest.mark.parametrize("pool", [{"max_pool": 2}, {"avg_pool": (2, 1)}, {}])
@pytest.mark.parametrize("delay", [True, False])
def test_a_pool_is_before_the_threshold_and_not_before_the_state(
    pool: dict[str, Any], delay: bool
) -> None:
    """Spikes come pooled, the hidden state whole."""
    reset = "none" if "avg_pool" in pool else "subtract"
    lstm = SConv2dLSTM(
        CHANNELS, CHANNELS, 3, threshold=0.3, reset_mechanism=reset, reset_delay=delay,
        output=True, **pool, **T,
    )  # fmt: skip
    nn.init.normal_(lstm.conv.weight, std=0.5)

    def both(m: Any, x: Tensor) -> Tensor:
        spikes, _, hidden = m.l(m.unflatten(x))
        return m.total(m.to_head(spikes.flatten(2)) + m.of_hidden(hidden.flatten(2)))

    sizes = {"max_pool": CHANNELS * 2, "avg_pool": CHANNELS * 2 * WIDTH}
    sent = sizes[next(iter(pool))] if pool else PIXELS
    module = Net(
        both, l=lstm, unflatten=nn.Unflatten(2, IMAGE), to_head=nn.Linear(sent, CLASSES),
        of_hidden=nn.Linear(PIXELS, CLASSES),
    )  # fmt: skip
    x = input_spikes(PIXELS, 30)
    graph = from_torch(module, x[:, :3])
    names = ["l_pooled"] if pool else ["l"]
    scores, seen = run_float(graph, x, names)
    assert torch.allclose(scores, module(x), atol=1e-9)
    assert 0.02 < float(seen[names[0]].mean()) < 0.95
    trained = QATNetwork(plan(graph, x.long().numpy(), QuantiseConfig(bits=8)), graph)
    assert differing(trained, x.long().numpy()) == []


def test_state_from_before_does_not_enter() -> None:
    module = Net(lambda m, x: m.total(m.head(m.l(m.a(x)))), l=leaky(init_hidden=True))
    x = input_spikes(N, 4)
    module(torch.ones_like(x))
    assert module.l.mem.abs().max() > 0
    graph = from_torch(module, x)
    assert module.l.mem.abs().max() > 0  # the user's module is left as it was
    module.l.reset_mem()
    assert torch.allclose(run_float(graph, x)[0], module(x), atol=1e-9)


def image_net(lstm: nn.Module, f: Callable[[Any, Tensor], Any] | None = None) -> nn.Module:
    default = lambda m, x: m.total(m.l(m.unflatten(x)).flatten(2))  # noqa: E731
    net = Net(f or default, l=lstm, unflatten=nn.Unflatten(2, IMAGE), wide=nn.Linear(WIDTH, N))
    return net.double()


REFUSED: dict[str, tuple[Callable[[Any, Tensor], Any], Callable[[], dict[str, nn.Module]], str]] = {
    "single step": (
        lambda m, x: m.count(m.l(m.a(x))), lambda: {"l": Leaky(0.9)},
        "layer 'l': Leaky has multi_step=False, must be multi_step=True"),
    "single steps by hand": (
        lambda m, x: m.count(torch.stack([m.l(m.a(x[0]), m.l.init_leaky())[0]])),
        lambda: {"l": Leaky(0.9)}, "layer 'l': Leaky has multi_step=False"),
    "passed state": (
        lambda m, x: m.count(m.l(m.a(x), mem=None)), lambda: {"l": leaky()},
        "Leaky called with options, must have one signal"),
    "state quantiser": (
        lambda m, x: m.count(m.l(m.a(x))), lambda: {"l": leaky(state_quant=state_quant(4))},
        "Leaky has a state_quant, an aid to training alone, must be False"),
    "kept state, twice": (
        lambda m, x: m.count(m.l(m.a(m.l(x)))), lambda: {"l": leaky(init_hidden=True)},
        "Leaky of init_hidden is called twice, must be once"),
    "dense parallel": (
        lambda m, x: m.count(m.l(x)), lambda: {"l": LeakyParallel(N, N, weight_hh_enable=True)},
        "must have weight_hh_enable=False"),
    "inner state": (
        lambda m, x: m.total(m.l(m.a(x))[1]),
        lambda: {"l": Synaptic(0.5, 0.9, output=True, **T)},
        "reads a state of Synaptic other than its 'mem', must read that"),
    "cell": (
        lambda m, x: m.total(m.l(x)[1]), lambda: {"l": SLSTM(N, N, output=True, **T)},
        "reads a state of SLSTM other than its 'mem'"),
    "whole tuple": (
        lambda m, x: m.count(m.drop(m.l(m.a(x)))),
        lambda: {"l": leaky(output=True), "drop": nn.Identity()}, "reads all that 'l' returns"),
    "whole tuple to the readout": (
        lambda m, x: m.count(m.l(m.a(x))), lambda: {"l": leaky(output=True)},
        "layer 'count': reads all that 'l' returns, must read one part"),
    "graded join": (
        lambda m, x: m.count(m.l(m.a(x)) + m.k(m.b(x))),
        lambda: {"k": leaky(), "l": leaky(graded_spikes_factor=2.0)},
        "reads the graded spikes of 'l', whose factor only a Linear or a neuron can absorb"),
    "graded counts of several grades": (
        lambda m, x: m.count(m.l(m.a(x))), lambda: {"l": leaky(graded_spikes_factor=GRADES)},
        "their factor must be one above 0"),
    "negative grade": (
        lambda m, x: m.count(m.l(m.a(x))), lambda: {"l": leaky(graded_spikes_factor=-1.0)},
        "their factor must be one above 0"),
    "largest of spikes": (
        lambda m, x: m.l(m.a(x)).amax(0), lambda: {"l": leaky()}, "amax of what is no membrane"),
    "last of spikes": (
        lambda m, x: m.l(m.a(x))[-1], lambda: {"l": leaky()}, "'getitem' has no counterpart"),
    "norm over too few steps": (
        lambda m, x: m.count(m.l(m.n(m.a(x)))),
        lambda: {"l": leaky(), "n": BatchNormTT1d(N, STEPS - 1)}, "T from 1 to 11"),
    "norm without statistics": (
        lambda m, x: m.count(m.l(m.n(m.a(x)))),
        lambda: {"l": leaky(), "n": bare()}, "no running statistics"),
    "flattened batch": (
        lambda m, x: m.count(m.l(m.a(x).flatten(1))), lambda: {"l": leaky()},
        "flatten turns .* must keep .T, B. and begin at dimension 2"),
    "nan": (
        lambda m, x: m.count(m.l(m.head(x))),
        lambda: {"l": Poisoned(0.9, **T)}, "node 'l': leak holds NaN"),
}  # fmt: skip


def bare() -> BatchNormTT1d:
    norm = BatchNormTT1d(N, STEPS, affine=False)
    for layer in norm:
        layer.running_mean = layer.running_var = None
    return norm


class Poisoned(Leaky):
    def effective_beta(self) -> Tensor:
        return super().effective_beta() * torch.nan


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_carried_over_is_refused_with_its_line(name: str) -> None:
    function, layers, message = REFUSED[name]
    with pytest.raises(GraphError, match=message) as error:
        from_torch(Net(function, **layers()), input_spikes(N, 3))
    text = str(error.value)
    assert "\n" not in text
    source, start = inspect.getsourcelines(function)
    assert text.startswith(__file__)
    assert start <= int(text.split(":")[1]) < start + len(source)


def test_images_where_rows_are_needed_are_refused() -> None:
    x = input_spikes(PIXELS, 3)
    cases = [
        (lambda m, x: m.total(m.wide(m.unflatten(x))), leaky(), r"must be \[T, B, N\]"),
        (None, leaky(inhibition=True), r"Leaky of inhibition sends \[2, 4, 3\] a step"),
        (None, LIF(inhibition=True), r"LIF of inhibition sends \[2, 4, 3\] a step"),
        (None, SConv2dLSTM(2, 2, 3, avg_pool=2, reset_mechanism="zero", reset_delay=False, **T),
         "avg_pool and an immediate reset"),
    ]  # fmt: skip
    for function, layer, message in cases:
        with pytest.raises(GraphError, match=message) as error:
            from_torch(image_net(layer, function), x)
        assert str(error.value).startswith(__file__)
        assert "\n" not in str(error.value)


def test_a_loop_over_steps_gets_the_hint() -> None:
    class Loop(nn.Module):
        def __init__(self, multi_step: bool) -> None:
            super().__init__()
            self.lif = Leaky(0.9, multi_step=multi_step)

        def forward(self, x: Tensor) -> Tensor:
            return sum(self.lif(step)[0] for step in x)  # pyright: ignore

    with pytest.raises(GraphError, match=r"cannot trace Loop: .* \(its Leaky 'lif' must have mul"):
        from_torch(Loop(False), input_spikes(N, 3))
    with pytest.raises(GraphError, match="cannot trace Loop") as error:
        from_torch(Loop(True), input_spikes(N, 3))
    assert "multi_step" not in str(error.value)
