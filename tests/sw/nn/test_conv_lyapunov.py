"""Convolutional LIF networks: shapes, defaults, what they return, one step against many."""

import inspect
import math

import pytest
import snntorch
import torch
from reslif.sw.nn import LIF, DirectEncoder, LayerError, RateEncoder
from reslif.sw.nn.conv_lif import ConvLIFBlock
from reslif.sw.nn.conv_lyapunov import ConvLyapunovSNN, VGGLyapunovSNN, create_conv_snn
from reslif.sw.nn.lyapunov_gain import lyapunov_loss
from snntorch import surrogate
from torch import Tensor, nn

SMALL = {"in_channels": 1, "channels": [4, 8], "T": 5, "encoding": "direct"}


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def built(**options: object) -> ConvLyapunovSNN:
    return ConvLyapunovSNN(**options)  # pyright: ignore[reportArgumentType]


def calibrated(net: ConvLyapunovSNN, x: Tensor) -> ConvLyapunovSNN:
    """In evaluation mode, with the batch's own statistics: a network that fires."""
    for norm in net.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.momentum = None
    net(x)
    return net.eval()


# Encoders on images.


@pytest.mark.parametrize("size", [(1, 7, 5), (3, 32, 32)], ids=["7x5", "32x32"])
def test_encoders_take_images_of_any_size(size: tuple[int, int, int]) -> None:
    x = torch.rand(2, *size)
    assert torch.equal(DirectEncoder(T=3)(x), torch.stack([x] * 3))
    spikes = RateEncoder(T=400, gain=0.5)(x)
    assert spikes.shape == (400, 2, *size)
    torch.testing.assert_close(spikes.mean((1, 2, 3, 4)).mean(), x.mean() / 2, atol=0.01, rtol=0)
    assert RateEncoder().steps == DirectEncoder().steps == 25


# The block.


def test_block_defaults_and_initialisation() -> None:
    block = ConvLIFBlock(30, 50)
    assert block.conv.bias is None
    assert (block.conv.kernel_size, block.conv.stride, block.conv.padding) == (
        (3, 3), (1, 1), (1, 1),
    )  # fmt: skip
    assert block.conv.weight.std().item() == pytest.approx(math.sqrt(2 / (50 * 9)), rel=0.05)
    assert block.lif.beta.item() == pytest.approx(0.9)
    assert block.lif.threshold.item() == 1


def test_a_block_by_steps_is_snntorch_and_is_the_block_over_time() -> None:
    block = ConvLIFBlock(2, 4, beta=0.8, threshold=0.7)
    with torch.no_grad():
        block.norm.running_mean.normal_()  # pyright: ignore[reportOptionalMemberAccess]
        block.norm.bias.fill_(0.3)
    block.eval()
    leaky = snntorch.Leaky(0.8, 0.7, spike_grad=surrogate.fast_sigmoid(25))
    x = torch.randn(6, 3, 2, 5, 5)
    norm = nn.BatchNorm2d(4).eval()
    norm.load_state_dict(block.norm.state_dict())
    mem, theirs = None, leaky.init_leaky()
    spikes = []
    for step in x:
        spike, mem = block(step, mem)
        current = norm(nn.functional.conv2d(step, block.conv.weight, padding=1))
        expected, theirs = leaky(current, theirs)
        assert torch.equal(spike, expected)
        torch.testing.assert_close(mem, theirs, atol=1e-5, rtol=1e-5)
        spikes.append(spike)
    assert 0.1 < torch.stack(spikes).mean() < 0.9
    assert torch.equal(torch.stack(spikes), block.over_time(x))


def test_a_block_refuses_a_membrane_of_another_shape() -> None:
    block = ConvLIFBlock(1, 2, stride=2)
    spike, mem = block(torch.rand(3, 1, 7, 7), torch.zeros(3, 2, 4, 4))
    assert spike.shape == mem.shape == (3, 2, 4, 4)
    with pytest.raises(LayerError, match=r"mem has shape \[3, 2, 7, 7\]; .* \[3, 2, 4, 4\]"):
        block(torch.rand(3, 1, 7, 7), torch.zeros(3, 2, 7, 7))


# The networks.


def test_the_defaults_are_the_documented_ones() -> None:
    def defaults(network: type) -> dict[str, object]:
        parameters = inspect.signature(network).parameters.values()
        return {p.name: p.default for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD}

    expected = {
        "in_channels": 3, "num_classes": 10, "channels": (64, 128, 256), "T": 25, "beta": 0.9,
        "threshold": 1.0, "encoding": "rate", "encoding_gain": 1.0, "dropout": 0.2,
    }  # fmt: skip
    assert defaults(ConvLyapunovSNN) == expected
    assert defaults(VGGLyapunovSNN) == {**expected, "dropout": 0.3}


def shapes(network: nn.Module, kind: type[nn.Module]) -> list[tuple[int, ...]]:
    return [tuple(m.weight.shape) for m in network.modules() if isinstance(m, kind)]  # pyright: ignore[reportAttributeAccessIssue]


def test_layers_at_the_defaults() -> None:
    simple, vgg = ConvLyapunovSNN(image_size=32), VGGLyapunovSNN(image_size=32)
    widths = [3, 64, 128, 256]
    assert shapes(simple, nn.Conv2d) == [(b, a, 3, 3) for a, b in zip(widths, widths[1:])]  # noqa: B905, RUF007
    assert shapes(simple, nn.Linear) == [(10, 256 * 4 * 4)]
    widths = [3, 64, 64, 128, 128, 256, 256]
    assert shapes(vgg, nn.Conv2d) == [(b, a, 3, 3) for a, b in zip(widths, widths[1:])]  # noqa: B905, RUF007
    assert shapes(vgg, nn.Linear) == [(512, 256 * 4 * 4), (10, 512)]
    assert sum(isinstance(m, LIF) for m in vgg.modules()) == 7
    for layer in (simple.fc, *vgg.hidden, vgg.fc):
        if isinstance(layer, nn.Linear):
            bound = math.sqrt(6 / (layer.in_features + layer.out_features))
            assert 0.95 * bound < layer.weight.abs().max() <= bound
            assert not layer.bias.any()


@pytest.mark.parametrize("kind", ["simple", "vgg"])
@pytest.mark.parametrize(
    ("size", "channels"), [((28, 28), [4, 8, 8]), ((9, 21), [4]), ((16, 17), [2, 4, 4, 4])],
    ids=["28x28", "one-stage", "four-stages"],
)  # fmt: skip
def test_any_image_and_number_of_stages(
    kind: str, size: tuple[int, int], channels: list[int]
) -> None:
    net = create_conv_snn(kind, in_channels=2, num_classes=7, channels=channels, T=6, beta=0.95)
    logits, exponent, recordings = net(torch.rand(3, 2, *size))
    assert logits.shape == (3, 7)
    assert exponent is recordings is None
    nn.functional.cross_entropy(logits, torch.tensor([0, 1, 2])).backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
    assert torch.isfinite(logits).all()


def test_logits_are_those_of_the_summed_pooled_spikes() -> None:
    x = torch.rand(3, 1, 12, 12)
    net = calibrated(built(**SMALL), x)
    signal = x.expand(5, 3, 1, 12, 12)
    for block in net.blocks:
        signal = torch.stack([nn.functional.avg_pool2d(s, 2) for s in block.over_time(signal)])
    assert 0.05 < signal.mean() < 0.95
    torch.testing.assert_close(net(x)[0], net.fc(signal.sum(0).flatten(1)))
    net.train()
    assert not torch.equal(net(x)[0], net(x)[0])  # dropout


def test_encodings() -> None:
    x = torch.rand(2, 1, 12, 12)
    repeated = x.unsqueeze(1).expand(2, 5, 1, 12, 12)
    nets = {kind: built(**{**SMALL, "encoding": kind}) for kind in ("direct", "none")}
    for net in nets.values():
        calibrated(net, repeated)
        net.load_state_dict(nets["direct"].state_dict())
    assert torch.equal(nets["direct"](x)[0], nets["none"](repeated)[0])
    assert nets["direct"](x)[0].abs().max() > 0.1
    assert nets["none"](repeated[:, :2])[0].shape == (2, 10)  # any T
    with pytest.raises(LayerError, match=r"encoding is 'none'; the input must be \[B, T"):
        nets["none"](x)
    rate = built(**{**SMALL, "encoding": "rate", "encoding_gain": 0.5})
    calibrated(rate, x)
    encoded = rate.encode(torch.ones(50, 1, 12, 12))
    assert set(encoded.unique().tolist()) == {0.0, 1.0}
    assert encoded.mean().item() == pytest.approx(0.5, abs=0.02)
    assert not torch.equal(rate(x)[0], rate(x)[0])


@pytest.mark.parametrize("kind", ["simple", "vgg"])
@pytest.mark.parametrize("encoding", ["direct", "rate"])
def test_compute_lyapunov(kind: str, encoding: str) -> None:
    net = create_conv_snn(kind, **{**SMALL, "T": 12, "encoding": encoding})
    x = torch.rand(4, 1, 12, 12)
    calibrated(net, x)
    before = {name: value.clone() for name, value in net.named_buffers()}
    plain = net(x)[0]
    logits, exponent, recordings = net(x, compute_lyapunov=True, lyap_eps=1e-7)
    assert exponent is not None
    assert recordings is not None
    assert exponent.dtype == torch.float64
    assert exponent.item() == recordings.exponent.value == pytest.approx(math.log(0.9), abs=0.02)
    assert recordings.exponent.eps == 1e-7
    assert recordings.exponent.per_sample.shape == (4,)
    assert len(recordings.spikes) == (2 if kind == "simple" else 5)
    assert recordings.spikes[0].shape == (12, 4, 4, 12, 12)
    assert all(rate > 0.02 for rate in recordings.spike_rates[:2])
    if encoding == "direct":
        assert torch.equal(logits, plain)
    for name, value in net.named_buffers():
        assert torch.equal(value, before[name]), name


def test_a_larger_perturbation_flips_spikes_and_raises_the_exponent() -> None:
    x = torch.rand(4, 1, 12, 12)
    net = calibrated(built(**{**SMALL, "T": 12}), x)
    small, large = (net(x, True, eps)[2].exponent for eps in (1e-9, 1e-2))  # pyright: ignore[reportOptionalMemberAccess]
    assert small.flipped < large.flipped
    assert small.value < large.value - 0.02


def test_the_gain_goes_with_the_logits_and_trains() -> None:
    net = built(**{**SMALL, "dropout": 0.0})
    x, labels = torch.rand(8, 1, 12, 12), torch.arange(8)
    logits, gain = net.gain(x, torch.Generator().manual_seed(1))
    again, same = net.gain(x, torch.Generator().manual_seed(1))
    assert torch.equal(gain.values, same.values)
    assert torch.equal(logits, again)
    assert gain.values.shape == (8,)
    (nn.functional.cross_entropy(logits, labels) + lyapunov_loss(gain.values)).backward()
    both = [p.grad.clone() for p in net.parameters() if p.grad is not None]
    net.zero_grad()
    nn.functional.cross_entropy(net(x)[0], labels).backward()
    alone = [p.grad for p in net.parameters() if p.grad is not None]
    assert any(not torch.allclose(a, b, atol=1e-4) for a, b in zip(both, alone, strict=True))


@pytest.mark.parametrize("kind", ["simple", "vgg"])
def test_the_deployable_form_gives_the_same_logits(kind: str) -> None:
    net = create_conv_snn(kind, image_size=(12, 13), **SMALL)
    with torch.no_grad():
        net.fc.bias.normal_()
    x = torch.rand(3, 1, 12, 13)
    net(x)
    net.eval()
    deployed = net.deployable()
    assert not any(part.training for part in deployed.modules())
    torch.testing.assert_close(deployed(net.encode(x)), net(x)[0])
    assert isinstance(deployed[0], nn.Conv2d)
    assert deployed[0].weight is net.blocks[0].conv.weight


def test_a_smoke_training_lowers_the_loss() -> None:
    """A tiny version of the defaults on random images, end to end."""
    net = ConvLyapunovSNN(channels=[8, 16, 16], T=4)
    x, labels = torch.rand(8, 3, 16, 16), torch.arange(8)
    logits, *_ = net(x)
    optimiser = torch.optim.Adam(net.parameters(), lr=2e-2)
    losses = []
    for _ in range(20):
        loss = nn.functional.cross_entropy(net(x)[0] / net.T, labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert logits.shape == (8, 10)
    assert sum(losses[-3:]) / 3 < 0.8 * losses[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"channels": []}, r"channels is \[\]"),
        ({"channels": [4, 0]}, r"channels is \[4, 0\]"),
        ({"T": 0}, "T is 0; it must be at least 1"),
        ({"in_channels": 0}, "in_channels is 0"),
        ({"num_classes": 0}, "num_classes is 0"),
        ({"encoding": "latency"}, "encoding is 'latency'; it must be one of rate, direct, none"),
        ({"dropout": 1.0}, "dropout is 1.0"),
        ({"threshold": 0.0}, "threshold is 0.0; it must be above 0"),
        ({"image_size": 7}, "the images are 7×7; 3 pools of 2 leave nothing"),
    ],
    ids=str,
)
def test_constructor_errors(options: dict[str, object], message: str) -> None:
    with pytest.raises(LayerError, match=message):
        built(**options)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((2, 1, 3, 3), "the images are 3×3; 2 pools of 2 leave nothing, .* at least 4"),
        ((2, 3, 12, 12), r"the input has shape \[2, 3, 12, 12\]; it must be \[B, 1, height"),
        ((1, 12, 12), r"the input has shape \[1, 12, 12\]"),
        ((2, 1, 14, 14), "the images are 14×14; this network's linear layer was made for 12×12"),
    ],
    ids=["small", "channels", "no-batch", "other-size"],
)
def test_input_errors(shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(LayerError, match=message):
        built(**SMALL, image_size=12)(torch.rand(shape))


def test_unknown_type_and_a_network_that_saw_no_image() -> None:
    with pytest.raises(ValueError, match="the type is 'resnet'; it must be one of simple, vgg"):
        create_conv_snn("resnet")
    assert isinstance(create_conv_snn(), ConvLyapunovSNN)
    assert isinstance(create_conv_snn("vgg"), VGGLyapunovSNN)
    with pytest.raises(LayerError, match="it has not seen an image yet"):
        built(**SMALL).deployable()
    one = built(**{**SMALL, "T": 1})
    with pytest.raises(LayerError, match="benettin: the input has 1 steps"):
        one(torch.rand(1, 1, 12, 12), compute_lyapunov=True)


def test_an_optimiser_made_before_the_first_call_trains_the_lazy_layer() -> None:
    net = built(**SMALL)
    optimiser = torch.optim.Adam(net.parameters(), lr=0.1)
    logits: Tensor = net(torch.rand(2, 1, 12, 12))[0]
    before = net.fc.weight.detach().clone()
    nn.functional.cross_entropy(logits, torch.tensor([0, 1])).backward()
    optimiser.step()
    assert not torch.equal(net.fc.weight, before)
