"""Tracing: what comes through keeps its meaning, what cannot is refused with its source line."""

import inspect
from collections import Counter

import numpy as np
import pytest
import torch
from reslif.sw.formats import Format
from reslif.sw.graph import FloatDense, FloatGraph, FloatNeuron, GraphError, run_float
from reslif.sw.network import Join, Network, Readout
from reslif.sw.nn import (
    LIF,
    BatchNormOverTime,
    DeepSNNStack,
    DirectEncoder,
    LastMembrane,
    MaxMembrane,
    MembraneShortcutBlock,
    ResidualSNN,
    SEWBlock,
    SpikeAnd,
    SpikeCount,
    SpikeOr,
    SpikeRate,
    SumCurrent,
    build_snn,
)
from reslif.sw.quantiser import QuantiseConfig, plan, quantise
from reslif.sw.tracing import from_torch
from torch import Tensor, nn

N = 6


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def spikes(*shape: int) -> Tensor:
    return (torch.rand(*shape) < 0.5).float()


class Net(nn.Module):
    """Some layers, put together by the test's own function ``f(net, x)``."""

    def __init__(self, f) -> None:
        super().__init__()
        self.f = f
        self.a, self.b, self.c = (nn.Linear(N, N) for _ in range(3))
        for layer in (self.a, self.b, self.c):
            nn.init.normal_(layer.weight, std=0.7)
        self.lif1, self.lif2, self.lif3 = (LIF(threshold=0.7) for _ in range(3))
        self.norm = BatchNormOverTime(N)
        with torch.no_grad():
            self.norm.running_mean.uniform_(-1, 1)
            self.norm.running_var.uniform_(0.5, 2)
            self.norm.weight.uniform_(0.5, 2)
            self.norm.bias.uniform_(-1, 1)
        self.count = SpikeCount()
        self.total = SumCurrent()
        self.encoder = DirectEncoder(3)

    def forward(self, x: Tensor) -> Tensor:
        return self.f(self, x)


def kinds(graph: FloatGraph) -> Counter[str]:
    return Counter(
        node.op if isinstance(node, Join) else type(node).__name__ for node in graph.nodes
    )


GRAPHS = {
    "plain chain": lambda m, x: m.total(m.c(m.lif2(m.b(m.lif1(m.a(x)))))),
    "membrane shortcut": lambda m, x: m.total(
        m.c(m.lif2((y := m.a(x)) + m.b(m.lif1(y)))),
    ),
    "spike-element-wise add": lambda m, x: m.total(
        m.c(m.lif2(m.b(s := m.lif1(m.a(x)))) + s),
    ),
    "spike skip over two layers": lambda m, x: m.count(
        m.lif3(m.c(m.lif2(m.b(s := m.lif1(m.a(x))))) + s),
    ),
    "input skip": lambda m, x: m.count(m.lif2(m.b(m.lif1(m.a(x))) + x)),
    "torch.add": lambda m, x: m.count(m.lif1(torch.add(m.a(x), m.b(x)))),
    "sum over time of spikes": lambda m, x: m.lif1(m.a(x)).sum(0),
    "sum over time of currents": lambda m, x: m.a(x).sum(dim=0),
    "mean over time": lambda m, x: m.lif1(m.a(x)).mean(0),
    "folded norm": lambda m, x: m.count(m.lif1(m.norm(m.a(x)))),
    "shared linear": lambda m, x: m.count(m.lif1(m.a(m.lif2(m.a(x))))),
    "shared neuron": lambda m, x: m.count(m.lif1(m.b(m.lif1(m.a(x))))),
    "gated spikes": lambda m, x: m.count(m.lif1(m.a(x)) * m.lif2(m.b(x))),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_compositions_come_through(name: str) -> None:
    """``from_torch`` itself checks the output on its sample; here another input is tried."""
    module = Net(GRAPHS[name]).eval()
    graph = from_torch(module, spikes(8, 4, N))
    fresh = spikes(8, 50, N)
    expected = module(fresh) * (8 if name == "mean over time" else 1)
    found, _ = run_float(graph, fresh)
    assert torch.allclose(found, expected, atol=1e-4)
    assert expected.std() > 0
    network = quantise(graph, fresh.long().numpy(), QuantiseConfig(bits=8))
    assert isinstance(network, Network)


def test_five_graphs_over_the_same_layers_differ() -> None:
    graphs = [from_torch(Net(f).eval(), spikes(3, 2, N)) for f in list(GRAPHS.values())[:5]]
    wiring = {tuple((e.source, e.target, e.port) for e in graph.edges) for graph in graphs}
    assert len(wiring) == 5


def test_parts_are_named_after_the_module_and_joins_know_the_shortcut() -> None:
    graph = from_torch(Net(GRAPHS["membrane shortcut"]).eval(), spikes(3, 2, N))
    assert [node.name for node in graph.nodes] == [
        "input", "a", "lif1", "b", "add", "lif2", "c", "readout",
    ]  # fmt: skip
    assert graph.sources("add", "branch") == ("b",)
    assert graph.sources("add", "shortcut") == ("a",)


def test_a_shared_module_becomes_two_nodes() -> None:
    graph = from_torch(Net(GRAPHS["shared linear"]).eval(), spikes(3, 2, N))
    first, second = (n for n in graph.nodes if isinstance(n, FloatDense))
    assert (first.name, second.name) == ("a", "a_2")
    assert np.array_equal(first.weight, second.weight)


@pytest.mark.parametrize(
    ("block_type", "op", "joins"),
    [("ms", "or", {"add": 3}), ("plain", "or", {"add": 3}), ("sew", "or", {"or": 3}),
     ("sew", "add", {"add": 3}), ("sew", "and", {"and": 3}), ("sew", "iand", {"iand": 3})],
)  # fmt: skip
def test_residual_classifiers(block_type: str, op: str, joins: dict[str, int]) -> None:
    model = ResidualSNN(N, 4, 8, 3, block_type, op=op)
    for _ in range(5):
        model(spikes(6, 16, N))
    model.eval()
    graph = from_torch(model, spikes(6, 4, N))
    found = kinds(graph)
    assert {op: found[op] for op in joins} == joins
    assert found["FloatDense"] == 1 + 6 + 1
    fresh = spikes(6, 64, N)
    assert torch.allclose(run_float(graph, fresh)[0], model(fresh), atol=1e-3)


@pytest.mark.parametrize("block", [MembraneShortcutBlock(N), SEWBlock(N), DeepSNNStack(N, 2)])
def test_single_blocks_and_stacks(block: nn.Module) -> None:
    from_torch(nn.Sequential(block, nn.Identity(), SpikeCount()), spikes(5, 3, N))


@pytest.mark.parametrize("readout", [LastMembrane, MaxMembrane])
def test_membrane_readouts(readout) -> None:
    module = nn.Sequential(nn.Linear(N, 3), readout(LIF(reset_mechanism="none")))
    graph = from_torch(module, spikes(5, 3, N))
    assert [type(node) for node in graph.nodes[-2:]] == [FloatNeuron, Readout]


def test_rates_become_counts_and_an_encoder_becomes_the_input() -> None:
    model = build_snn(N, [5], 3, num_timesteps=7)
    graph = from_torch(model, spikes(4, N))
    assert graph.readout.kind == "count"
    assert graph.input.size == N
    x = spikes(20, N)
    counts, _ = run_float(graph, x.expand(7, *x.shape))
    assert torch.allclose(counts / 7, model(x))
    assert SpikeRate in [type(m) for m in model.modules()]


def test_dropout_and_flatten_vanish() -> None:
    module = nn.Sequential(nn.Dropout(0.5), nn.Flatten(2), nn.Linear(N, 3), SumCurrent())
    graph = from_torch(module.train(), spikes(5, 3, N))
    assert len(graph.nodes) == 3
    assert module.training  # the user's module is left as it was


def test_the_input_format_is_the_networks() -> None:
    form = Format(5, 4, signed=False)
    graph = from_torch(nn.Sequential(nn.Linear(N, 3), SumCurrent()), torch.rand(5, 3, N), form)
    assert graph.input.format == form


class Untraceable(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        if x.sum() > 0:
            return x.sum(0)
        return x.mean(0)


REFUSED = {
    "constant": (lambda m, x: m.count(m.lif1(m.a(x) * 0.5)), r"operand 0\.5 is a constant"),
    "indexing": (lambda m, x: m.count(m.lif1(m.a(x)[1:])), "'getitem' has no counterpart"),
    "function": (lambda m, x: m.count(m.lif1(torch.relu(m.a(x)))), "'relu' has no counterpart"),
    "difference": (lambda m, x: m.total(m.a(x) - m.b(x)), "'sub' has no counterpart"),
    "scaled add": (
        lambda m, x: m.total(torch.add(m.a(x), m.b(x), alpha=2)), "add with options"),
    "norm after a neuron": (
        lambda m, x: m.total(m.norm(m.lif1(m.a(x)))), "must directly follow a Linear"),
    "norm beside the bare linear": (
        lambda m, x: m.total(m.norm(y := m.a(x)) + y), "also read without it"),
    "sum over neurons": (lambda m, x: m.a(x).sum(2), r"sum over {'dim': 2}, must be over time"),
    "no readout": (lambda m, x: m.lif1(m.a(x)), "must return one readout"),
    "two outputs": (lambda m, x: (m.count(m.lif1(m.a(x))), x), "must return one readout"),
    "more after the readout": (lambda m, x: m.a(m.count(x)), "must be"),
    "membrane output": (
        lambda m, x: m.count(m.lif1(m.a(x), return_membrane=True)[0]), "LIF called with options"),
    "unequal shapes": (lambda m, x: m.total(m.a(x) + x.sum(2, keepdim=True)), "sum over"),
    "encoder inside": (
        lambda m, x: m.count(m.encoder(m.a(x))),
        "DirectEncoder inside the network, must be at its input",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_carried_over_is_refused_with_its_line(name: str) -> None:
    function, message = REFUSED[name]
    with pytest.raises(GraphError, match=message) as error:
        from_torch(Net(function), spikes(5, 3, N))
    text = str(error.value)
    assert "\n" not in text
    if name not in ("no readout", "two outputs"):  # what is returned has no line of its own
        line = int(text.split(":")[1])
        assert text.startswith(__file__)
        source, start = inspect.getsourcelines(function)
        assert start <= line < start + len(source)


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (nn.Sequential(nn.Linear(N, N), nn.ReLU(), SumCurrent()), "layer '1': layer ReLU has no"),
        (nn.Sequential(nn.Linear(N, N), nn.BatchNorm1d(3), SumCurrent()), "BatchNormOverTime"),
        (nn.Sequential(nn.Flatten(), nn.Linear(3 * N, N)), r"Flatten turns \[5, 3, 6\]"),
        (nn.Sequential(nn.Linear(N + 1, N), SumCurrent()), "layer '0': .*shape"),
        (Untraceable(), f"{__file__}:.*cannot trace Untraceable"),
    ],
)
def test_layers_that_have_no_counterpart_are_refused(module: nn.Module, message: str) -> None:
    with pytest.raises(GraphError, match=message):
        from_torch(module, spikes(5, 3, N))


def test_two_inputs_and_wrong_samples_are_refused() -> None:
    class Two(nn.Module):
        def forward(self, x: Tensor, y: Tensor) -> Tensor:
            return (x + y).sum(0)

    with pytest.raises(GraphError):
        from_torch(Two(), spikes(5, 3, N))
    chain = nn.Sequential(nn.Linear(N, 3), SumCurrent())
    with pytest.raises(GraphError, match=r"shape \[3, 6\], must be \[T, B, N\]"):
        from_torch(chain, spikes(3, N))
    with pytest.raises(GraphError, match="example input holds NaN"):
        from_torch(chain, torch.full((2, 3, N), float("nan")))
    for sample in (spikes(5, 3, N).numpy(), spikes(5, 0, N)):
        with pytest.raises(GraphError, match="must be a tensor of PyTorch, and not empty"):
            from_torch(chain, sample)
    with pytest.raises(GraphError, match="there is no module to trace, but <class"):
        from_torch(nn.Linear, spikes(5, 3, N))  # pyright: ignore[reportArgumentType]
    with pytest.raises(GraphError, match=r"input_format is 'u5\.4', must be a Format"):
        from_torch(chain, spikes(5, 3, N), "u5.4")  # pyright: ignore[reportArgumentType]


def test_raw_integers_in_place_of_real_units_are_refused() -> None:
    """A module that was trained on them would not be what the hardware computes."""
    chain, form = nn.Sequential(nn.Linear(N, 3), SumCurrent()), Format(5, 4, signed=False)
    raw = torch.arange(17.0).repeat(N)[: 16 * N].reshape(4, 4, N)
    from_torch(chain, raw * form.step, form)
    for sample, span in ((raw, "0 to 16"), (-raw * form.step, "-1 to -?0")):
        with pytest.raises(GraphError, match=f"spans {span}, .* units that u5.4 holds, 0 to 1.93"):
            from_torch(chain, sample, form)


@pytest.mark.parametrize("what", ["weight", "bias"])
def test_nan_parameters_are_refused_by_name(what: str) -> None:
    module = nn.Sequential(nn.Linear(N, N), LIF(), nn.Linear(N, 3), SumCurrent())
    getattr(module[2], what).data.view(-1)[0] = torch.nan
    with pytest.raises(GraphError, match=f"node 'layer2': {what} holds NaN or infinity"):
        from_torch(module, spikes(5, 3, N))


def test_joins_without_a_common_scale_are_refused() -> None:
    cases = {
        "a Linear reads the currents": lambda m, x: m.total(m.b(m.a(x))),
        "multiplies two currents": lambda m, x: m.total(m.a(x) * m.b(x)),
        "or joins a current": lambda m, x: m.total(m.joined(m.a(x), x)),
    }
    for message, function in cases.items():
        net = Net(function)
        net.joined = SpikeOr()
        graph = from_torch(net, spikes(5, 3, N))
        with pytest.raises(GraphError, match=message):
            plan(graph, np.ones((5, 3, N), int), QuantiseConfig())
    gated = Net(lambda m, x: m.total(m.joined(m.lif1(m.a(x)), m.b(x))))
    gated.joined = SpikeAnd()
    graph = from_torch(gated, spikes(5, 3, N))
    quantise(graph, np.ones((5, 3, N), int))
