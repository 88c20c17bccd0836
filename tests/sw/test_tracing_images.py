"""Convolutional modules come through tracing as they are, and their integers follow them."""

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from reslif.sw import golden, moments
from reslif.sw.formats import Format
from reslif.sw.graph import FloatAffine, FloatConv2d, FloatGraph, FloatNeuron, GraphError, run_float
from reslif.sw.images import chw_to_hwc, to_flat
from reslif.sw.network import LIF as IntegerLIF
from reslif.sw.network import Join, Network, Pool
from reslif.sw.nn import (
    LIF,
    AvgPoolOverTime,
    BatchNormOverTime2d,
    BatchNormTT2d,
    ConvOverTime,
    DirectEncoder,
    GlobalAvgPool,
    Lapicque,
    Leaky,
    MaxPoolOverTime,
    MSResNet,
    PlainResNet,
    RLeaky,
    SEWResNet,
    SpikeIAnd,
    SumCurrent,
)
from reslif.sw.qat import QATNetwork
from reslif.sw.quantiser import QuantiseConfig, plan, quantise
from reslif.sw.tracing import from_torch
from torch import Tensor, nn

T, C, H, W, CLASSES = 5, 3, 6, 5, 4
PIXELS = Format(4, 4, signed=False)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def pixels(batch: int, seed: int = 0, channels: int = C) -> np.ndarray:
    """[T, B, C, H, W] integers of ``PIXELS``."""
    return np.random.default_rng(seed).integers(0, 16, (T, batch, channels, H, W))


def real(samples: np.ndarray) -> Tensor:
    return torch.as_tensor(samples / 16.0)


class Net(nn.Module):
    """Layers put together by the test's own function ``f(net, x)``."""

    def __init__(self, f: Callable[[Any, Tensor], Any], **layers: nn.Module) -> None:
        super().__init__()
        self.f = f
        self.a, self.b = ConvOverTime(C, 8, 3, padding=1), ConvOverTime(8, 8, 3, padding=1)
        self.down = ConvOverTime(8, 8, 1, stride=2, bias=False)
        self.b2 = ConvOverTime(8, 8, 3, stride=2, padding=1)
        self.n, self.n2 = BatchNormOverTime2d(8), BatchNormOverTime2d(8)
        theta = torch.linspace(0.3, 0.9, 8)[:, None, None]
        self.l, self.k = LIF(0.75, theta), LIF(0.75, 0.5)
        self.flatten, self.mean, self.total = nn.Flatten(2), GlobalAvgPool(), SumCurrent()
        self.head = nn.Linear(8, CLASSES)
        for name, layer in layers.items():
            setattr(self, name, layer)
        for layer in self.modules():
            if isinstance(layer, BatchNormOverTime2d | nn.BatchNorm2d):
                layer.running_mean.uniform_(-0.3, 0.3)  # pyright: ignore[reportOptionalMemberAccess]
                layer.running_var.uniform_(0.2, 0.6)  # pyright: ignore[reportOptionalMemberAccess]
            if isinstance(layer, nn.Conv2d):
                nn.init.normal_(layer.weight, 0.05, 1.2 / layer.weight[0].numel() ** 0.5)
        self.double().eval()

    def forward(self, x: Tensor) -> Any:
        return self.f(self, x)


def wide(n: int) -> nn.Linear:
    return nn.Linear(n, CLASSES)


NETS: dict[str, tuple[Callable[[Any, Tensor], Any], Callable[[], dict[str, nn.Module]]]] = {
    "convolution, norm, neuron": (
        lambda m, x: m.total(m.head(m.mean(m.l(m.n(m.a(x)))))), dict),
    "membrane shortcut that changes size": (
        lambda m, x: m.total(m.head(m.mean(m.k(m.n(m.down(y := m.a(x))) + m.n2(m.b2(m.l(y))))))),
        dict),
    "average pool before a shortcut": (
        lambda m, x: m.total(m.head(m.mean(m.k(m.s(m.p(y := m.a(x))) + m.q(m.b(m.l(y))))))),
        lambda: {"p": AvgPoolOverTime(2), "s": ConvOverTime(8, 8, 1),
                 "q": ConvOverTime(8, 8, 2, 2)}),
    "average pool, then flattened": (
        lambda m, x: m.total(m.head(m.flatten(m.p(m.l(m.a(x)))))),
        lambda: {"p": AvgPoolOverTime(2), "head": wide(8 * 3 * 2)}),
    "padded, overlapping average": (
        lambda m, x: m.total(m.head(m.mean(m.k(m.b(m.p(m.l(m.a(x)))))))),
        lambda: {"p": AvgPoolOverTime(3, 2, 1)}),
    "average of spikes into a neuron": (
        lambda m, x: m.total(m.head(m.mean(m.k(m.p(m.l(m.a(x))))))),
        lambda: {"p": AvgPoolOverTime(2), "k": LIF(0.75, 0.3)}),
    "two averages": (
        lambda m, x: m.total(m.head(m.mean(m.p(m.l(m.a(x)))))),
        lambda: {"p": AvgPoolOverTime(2)}),
    "largest": (
        lambda m, x: m.total(m.head(m.mean(m.k(m.b(m.p(m.l(m.a(x)))))))),
        lambda: {"p": MaxPoolOverTime(2)}),
    "largest, overlapping": (
        lambda m, x: m.total(m.head(m.mean(m.k(m.b(m.p(m.l(m.a(x)))))))),
        lambda: {"p": MaxPoolOverTime(3, 2, 1)}),
    "largest of currents": (
        lambda m, x: m.total(m.head(m.mean(m.l(m.p(m.a(x)))))),
        lambda: {"p": MaxPoolOverTime(2)}),
    "depthwise and by groups": (
        lambda m, x: m.total(m.head(m.mean(m.k(m.g(m.l(m.d(m.l(m.a(x))))))))),
        lambda: {"d": ConvOverTime(8, 8, 3, padding="same", groups=8, bias=False),
                 "g": ConvOverTime(8, 8, (1, 3), groups=2)}),
    "graded by channel": (
        lambda m, x: m.total(m.head(m.mean(m.k(m.g(m.s(m.a(x))))))),
        lambda: {"s": Leaky(0.75, 0.5, multi_step=True,
                            graded_spikes_factor=torch.linspace(0.5, 2, 8)[:, None, None]),
                 "g": ConvOverTime(8, 8, 3, groups=4)}),
    "input gain by channel": (
        lambda m, x: m.total(m.head(m.mean(m.s(m.n(m.a(x)))))),
        lambda: {"s": Lapicque(
            R=torch.linspace(1.5, 3, 8)[:, None, None], C=1.6, threshold=0.5, multi_step=True)}),
    "joined spikes": (
        lambda m, x: m.total(m.head(m.mean(m.j(m.k(m.b(s := m.l(m.a(x)))), s)))),
        lambda: {"j": SpikeIAnd()}),
    "graded spikes, added": (
        lambda m, x: m.total(m.head(m.mean(m.k(m.b(m.k(m.b(s := m.l(m.a(x)))) + s))))), dict),
    "flattened before the neurons": (
        lambda m, x: m.total(m.head(m.l(m.flatten(m.a(x))) + m.flatten(m.a(x)))),
        lambda: {"l": LIF(0.75, torch.linspace(0.2, 0.9, 8 * H * W)), "head": wide(8 * H * W)}),
    "vectors into images and back": (
        lambda m, x: m.total(m.head(m.k(m.b(m.u(m.v(m.flatten(m.l(m.a(x))))))).flatten(2))),
        lambda: {"v": nn.Linear(8 * H * W, 8 * 6), "u": nn.Unflatten(2, (8, 3, 2)),
                 "head": wide(8 * 6)}),
    "batch norm through time": (
        lambda m, x: m.total(m.head(m.mean(m.l(m.t(m.a(x)))))), lambda: {"t": BatchNormTT2d(8, T)}),
    "convolutional recurrence": (
        lambda m, x: m.total(m.head(m.mean(m.r(m.a(x))))),
        lambda: {"r": RLeaky(0.75, conv2d_channels=8, kernel_size=3, threshold=0.5,
                             multi_step=True)}),
}  # fmt: skip


def spikes_of(graph: FloatGraph, x: Tensor) -> dict[str, Tensor]:
    names = [node.name for node in graph.nodes if isinstance(node, FloatNeuron)]
    return run_float(graph, x, names)[1]


def differing(module: QATNetwork, samples: np.ndarray) -> list[str]:
    with torch.no_grad():
        found = module.run(torch.as_tensor(samples))
    trace = golden.run(module.export(), samples, None)
    assert set(found) == set(trace.probes)
    return [
        ".".join(probe) for probe in found if not np.array_equal(found[probe].numpy(), trace[probe])
    ]


@pytest.mark.parametrize("name", NETS)
def test_images_keep_their_meaning_and_their_integers(name: str) -> None:
    function, layers = NETS[name]
    module = Net(function, **layers())
    samples = pixels(12, seed=5)
    graph = from_torch(module, real(pixels(3)), PIXELS)
    flat = to_flat(samples)
    scores, _ = run_float(graph, real(flat))
    expected = module(real(samples)).detach()
    factor = float((scores / expected).nanmedian())
    assert torch.allclose(scores / factor, expected, atol=1e-8)
    # the order of pixels matters
    assert not torch.allclose(run_float(graph, real(samples).flatten(2))[0], scores, atol=1e-3)
    rates = {name: float(seen.mean()) for name, seen in spikes_of(graph, real(flat)).items()}
    assert rates
    assert all(0.02 < rate < 0.95 for rate in rates.values()), rates
    errors = []
    for bits in (8, 4):
        trained = QATNetwork(plan(graph, samples, QuantiseConfig(bits=bits)), graph)
        assert trained.export().digest == trained.quantised.network.digest
        assert differing(trained, flat) == []
        quantised = trained(torch.as_tensor(flat)).detach()
        errors.append(float((quantised - scores).abs().mean() / scores.std()))
    assert errors[0] < 0.2, errors
    assert errors[1] < 1, errors


@pytest.mark.parametrize("kind", [MSResNet, SEWResNet, PlainResNet], ids=lambda c: c.__name__)
@pytest.mark.parametrize("shortcut", ["conv", "pool"])
def test_residual_networks(kind: Any, shortcut: str) -> None:
    model = kind(2, 4, widths=(4, 6, 8), blocks=1, shortcut=shortcut, neuron={"threshold": 0.5})
    images = np.random.default_rng(0).integers(0, 16, (T, 24, 2, 8, 12))
    x = torch.as_tensor(images / 16, dtype=torch.float32)
    for _ in range(8):
        model(x)
    model.eval()
    graph = from_torch(model, x[:, :3], PIXELS)
    found, _ = run_float(graph, torch.as_tensor(to_flat(images) / 16))
    assert torch.allclose(found, model.double()(x.double()), atol=1e-8)
    convolutions = [node for node in graph.nodes if isinstance(node, FloatConv2d)]
    joins = [node for node in graph.nodes if isinstance(node, Join)]
    assert (len(convolutions), len(joins)) == (1 + 6 + 2, 3)
    assert not any(isinstance(node, FloatAffine) for node in graph.nodes)
    trained = QATNetwork(plan(graph, images, QuantiseConfig()), graph)
    optimiser = torch.optim.Adam(trained.parameters(), lr=0.01)
    before = trained.export()
    for _ in range(2):
        loss = nn.functional.cross_entropy(
            trained(torch.as_tensor(to_flat(images))), torch.arange(24) % 4
        )
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert trained.export().digest != before.digest
    assert differing(trained, to_flat(images)) == []
    trace = golden.run(before, to_flat(images), None)
    rates = [float(trace[p].mean()) for p in trace.probes if p[1] == "spike" and p[0] != "input"]
    assert sum(rate > 0.01 for rate in rates) > len(rates) / 2
    assert sum(trace.saturations.values()) == 0


def test_one_call_quantises_images() -> None:
    module = Net(*NETS["convolution, norm, neuron"][:1])
    network = quantise(module, pixels(40), QuantiseConfig(bits=8), PIXELS)
    classes = golden.run(network, to_flat(pixels(60, seed=2))).classes
    expected = module(real(pixels(60, seed=2))).argmax(1).numpy()
    assert (classes == expected).mean() > 0.8


def test_an_encoder_repeats_images() -> None:
    module = Net(
        lambda m, x: m.total(m.head(m.mean(m.l(m.a(m.e(x)))))), e=DirectEncoder(T)
    )  # fmt: skip
    graph = from_torch(module, real(pixels(3))[0], PIXELS)
    x = real(pixels(7, seed=1))[0]
    found, _ = run_float(graph, to_flat(x).expand(T, 7, -1))
    assert torch.allclose(found, module(x))


def test_a_divisor_lies_in_the_weights_that_read_the_sum() -> None:
    function, layers = NETS["average pool, then flattened"]
    module = Net(function, **layers())
    graph = from_torch(module, real(pixels(3)), PIXELS)
    (pool,) = (node for node in graph.nodes if isinstance(node, Pool))
    assert (pool.op, pool.window, pool.stride) == ("sum", (2, 2), (2, 2))
    weight = module.head.weight.detach().numpy()
    (head,) = (node for node in graph.nodes if node.name == "head")
    assert np.allclose(head.weight, weight[:, chw_to_hwc(8, 3, 2)] / 4)  # pyright: ignore


def test_norms_fold_by_channel() -> None:
    module = Net(*NETS["convolution, norm, neuron"][:1])
    graph = from_torch(module, real(pixels(3)), PIXELS)
    (conv,) = (node for node in graph.nodes if isinstance(node, FloatConv2d))
    scale, shift = (value.detach() for value in module.n.scale_and_shift())
    assert np.allclose(conv.weight, module.a.weight.detach() * scale[:, None, None, None])
    assert np.allclose(conv.bias, module.a.bias.detach() * scale + shift)  # pyright: ignore
    (neuron, *_) = (node for node in graph.nodes if isinstance(node, FloatNeuron))
    assert np.allclose(neuron.numbers["threshold"], np.tile(np.linspace(0.3, 0.9, 8), H * W))


REFUSED: dict[str, tuple[Callable[[Any, Tensor], Any], Callable[[], dict[str, nn.Module]], str]] = {
    "dilation": (
        lambda m, x: m.total(m.head(m.mean(m.d(x)))),
        lambda: {"d": ConvOverTime(C, 8, 3, dilation=2)}, "dilation is .2, 2., must be 1"),
    "other padding": (
        lambda m, x: m.total(m.head(m.mean(m.d(x)))),
        lambda: {"d": ConvOverTime(C, 8, 3, padding=1, padding_mode="reflect")},
        "padding_mode is 'reflect', must be 'zeros'"),
    "windows beside the image": (
        lambda m, x: m.total(m.head(m.mean(m.p(m.a(x))))),
        lambda: {"p": AvgPoolOverTime(2, ceil_mode=True)}, "ceil_mode is True, must be False"),
    "several divisors": (
        lambda m, x: m.total(m.head(m.mean(m.p(m.a(x))))),
        lambda: {"p": AvgPoolOverTime(3, 2, 1, count_include_pad=False)}, "count_include_pad"),
    "norm of what is no convolution": (
        lambda m, x: m.total(m.head(m.mean(m.n(m.l(m.a(x)))))), dict,
        "batch norm must directly follow a ConvOverTime"),
    "norm beside the bare convolution": (
        lambda m, x: m.total(m.head(m.mean(m.n(y := m.a(x)) + y))), dict, "also read without it"),
    "average into a join": (
        lambda m, x: m.total(m.head(m.mean(m.p(s := m.l(m.a(x))) + m.k(m.b2(s))))),
        lambda: {"p": AvgPoolOverTime(2, 2, (0, 1))}, "whose factor only a Linear or a neuron"),
    "flattened classes": (
        lambda m, x: m.total(m.flatten(m.a(x))), dict, "the classes are an image"),
    "an image of classes": (
        lambda m, x: m.total(m.a(x)), dict, "the classes are an image"),
    "one side flattened": (
        lambda m, x: m.total(m.head(m.v(m.flatten(y := m.l(m.a(x)))) + m.flatten(y))),
        lambda: {"v": nn.Linear(8 * H * W, 8 * H * W), "head": wide(8 * H * W)},
        "joins a flattened image with what is none"),
    "plain Conv2d": (
        lambda m, x: m.total(m.head(m.mean(m.c(x)))), lambda: {"c": nn.Conv2d(C, 8, 3)},
        "Expected|expected"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_carried_over_is_refused_with_its_line(name: str) -> None:
    function, layers, message = REFUSED[name]
    with pytest.raises(GraphError, match=message) as error:
        from_torch(Net(function, **layers()), real(pixels(3)), PIXELS)
    text = str(error.value)
    assert "\n" not in text
    source, start = inspect.getsourcelines(function)
    assert text.startswith(__file__)
    assert start <= int(text.split(":")[1]) < start + len(source)


def test_a_shortcut_of_currents_adds_no_fraction_bits_from_stage_to_stage() -> None:
    model = MSResNet(1, 4, widths=(4, 6, 8, 8), blocks=1, neuron={"threshold": 0.5})
    images = np.random.default_rng(0).integers(0, 16, (T, 24, 1, 8, 8))
    x = torch.as_tensor(images / 16, dtype=torch.float32)
    for _ in range(4):
        model(x)
    graph = from_torch(model.eval(), x[:, :3], PIXELS)
    network = plan(graph, images, QuantiseConfig()).network
    joins = network.nodes_of(Join)
    # The first stage's shortcut is an identity; the others' are convolutions of currents.
    assert [join.format is None for join in joins] == [True, False, False, False]
    for join in joins[1:]:
        (branch,), (shortcut,) = (
            network.operands(join)["branch"],
            network.operands(join)["shortcut"],
        )
        assert join.format is not None
        assert join.format.frac == branch.format.frac + 2 < shortcut.format.frac
        assert join.exact(network.operands(join)).format.width - join.format.width > 0
    for neuron in network.nodes_of(IntegerLIF):
        # As many bits as its threshold needs, or the most there are.
        guard = guard_of(network, neuron)
        low = int(np.min(neuron.threshold))
        assert 0 <= guard <= 6
        assert low >= 1 << 8 or guard == 6
        assert guard == 0 or low < 1 << 11
    trace = golden.run(network, to_flat(images))
    assert sum(trace.saturations.values()) == 0
    fixed = plan(graph, images, QuantiseConfig(guard_bits=3)).network
    assert {guard_of(fixed, neuron) for neuron in fixed.nodes_of(IntegerLIF)} == {3}


def guard_of(network: Network, neuron: IntegerLIF) -> int:
    """Fraction bits of the membrane beyond those of its currents."""
    currents = network.operands(neuron)["input"]
    return neuron.membrane.frac - max(current.format.frac for current in currents)


def test_calibration_in_pieces_is_calibration(monkeypatch: pytest.MonkeyPatch) -> None:
    module = Net(*NETS["convolution, norm, neuron"][:1])
    graph, flat = from_torch(module, real(pixels(3)), PIXELS), to_flat(pixels(20))
    whole = moments.input_moments(graph, flat)
    monkeypatch.setattr(moments, "MOST_VALUES", 3 * T * sum(node.size for node in graph.nodes))
    assert len(moments.pieces(flat, T * sum(node.size for node in graph.nodes))) == 7
    parts = moments.input_moments(graph, flat)
    for name, moment in whole.items():
        # A convolution's is taken from some of its windows; here from all.
        assert np.allclose(parts[name], moment, rtol=0.05, atol=0.05 * np.abs(moment).max())
    (conv,) = (node for node in graph.nodes if isinstance(node, FloatConv2d))
    images = real(pixels(20)).flatten(0, 1)
    columns = nn.functional.unfold(images, 3, padding=1).transpose(1, 2).flatten(0, 1)
    second = (columns.T @ columns / len(images)).numpy()
    assert whole[conv.name].shape == (1, 27, 27)
    assert np.allclose(whole[conv.name][0], second, rtol=0.02, atol=0.02 * second.max())
