"""Encoders, readouts and whole networks."""

import math

import pytest
import torch
from reslif.sw.nn import (
    LIF,
    DirectEncoder,
    LastMembrane,
    LayerError,
    MaxMembrane,
    RateEncoder,
    ResidualSNN,
    SpikeCount,
    SpikeRate,
    SumCurrent,
    build_snn,
    lif_neuron,
    rate_decode,
)
from torch import nn


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def test_direct_encoder_repeats() -> None:
    x = torch.rand(3, 4)
    y = DirectEncoder(5)(x)
    assert y.shape == (5, 3, 4)
    assert all(torch.equal(step, x) for step in y)


def test_rate_encoder_is_bernoulli_with_gain_and_a_seed() -> None:
    x = torch.tensor([[-1.0, 0.0, 0.25, 0.5, 2.0]])
    encode = lambda: RateEncoder(4000, 1.5, torch.Generator().manual_seed(3))(x)  # noqa: E731
    y = encode()
    assert set(y.unique().tolist()) == {0.0, 1.0}
    expected = torch.tensor([0, 0, 0.375, 0.75, 1])
    torch.testing.assert_close(y.mean((0, 1)), expected, atol=0.03, rtol=0)
    assert torch.equal(y, encode())


@pytest.mark.parametrize("encoder", [DirectEncoder, RateEncoder])
def test_encoders_need_a_step(encoder) -> None:
    with pytest.raises(LayerError, match="T is 0"):
        encoder(0)


def test_readouts() -> None:
    x = torch.tensor([[1.0, 0], [1, 1], [0, 0]]).unsqueeze(1)
    assert SpikeCount()(x).tolist() == [[2, 1]]
    torch.testing.assert_close(SpikeRate()(x), torch.tensor([[2 / 3, 1 / 3]]))
    assert SumCurrent()(x * 0.5).tolist() == [[1, 0.5]]
    integrator = LIF(0.5, reset_mechanism="none")
    assert LastMembrane(integrator)(x).tolist() == [[0.75, 0.5]]
    assert MaxMembrane(integrator)(x).tolist() == [[1.5, 1.0]]
    # A firing readout's membrane is the one stored after its reset.
    firing = LIF(0.5, 1.25, reset_delay=False)
    assert MaxMembrane(firing)(x).tolist() == [[1.0, 1.0]]


def test_lif_neuron_is_one_step_with_reset_to_zero() -> None:
    membrane, spikes = lif_neuron(
        torch.tensor([1.0, 1.0, 0.0]), torch.tensor([0.6, 0.5, 2.0]), 0.5, 1.0
    )
    assert spikes.tolist() == [1, 0, 1]  # 1.0 does not exceed the threshold
    torch.testing.assert_close(membrane, torch.tensor([0.0, 1.0, 0.0]))
    membrane, _ = lif_neuron(torch.tensor([1.0]), torch.tensor([0.75]), 0.5, 1.0, "subtract")
    assert membrane.tolist() == [0.25]
    v = torch.tensor([1.2], requires_grad=True)
    lif_neuron(v, torch.zeros(1), 1.0, 1.0)[1].backward()
    assert v.grad is not None
    assert v.grad.item() == pytest.approx(25 / (1 + 25 * 0.2) ** 2, rel=1e-5)


def test_rate_decode_is_batch_first_and_says_so() -> None:
    spikes = torch.zeros(2, 4, 3)
    spikes[1, :2, 0] = 1
    assert rate_decode(spikes).tolist() == [[0, 0, 0], [0.5, 0, 0]]
    with pytest.raises(LayerError, match=r"\[B, T, H\]"):
        rate_decode(torch.zeros(4, 3))


@pytest.mark.parametrize("reset", ["zero", "subtract"])
def test_build_snn_is_the_written_out_network(reset: str) -> None:
    net = build_snn(6, [16, 12], 3, num_timesteps=15, reset_mechanism=reset)
    x = torch.rand(4, 6)
    rates = net(x)
    assert rates.shape == (4, 3)
    assert 0 < rates.mean() < 1
    weights = [m for m in net.layers if isinstance(m, nn.Linear)]
    membranes = [torch.zeros(4, m.out_features) for m in weights]
    total = torch.zeros(4, 3)
    for _ in range(15):
        signal = x
        for i, linear in enumerate(weights):
            membranes[i], signal = lif_neuron(
                membranes[i], linear(signal), math.exp(-1 / 2.0), 1.0, reset
            )
        total += signal
    torch.testing.assert_close(rates, total / 15)
    torch.testing.assert_close(rates, rate_decode(net.spikes(x)))


def test_build_snn_fires_in_every_layer_from_the_start() -> None:
    net = build_snn(64)
    signal = net.encoder(torch.rand(16, 64) * (torch.rand(16, 64) < 0.3))
    for module in net.layers:
        signal = module(signal)
        if isinstance(module, LIF):
            assert 0.01 < signal.mean() < 0.5


def test_build_snn_defaults_and_errors() -> None:
    net = build_snn(5)
    assert [m.out_features for m in net.layers if isinstance(m, nn.Linear)] == [256, 128, 10]
    assert net.spikes(torch.rand(2, 5)).shape == (2, 25, 10)
    with pytest.raises(LayerError, match=r"sizes are \[5, 0, 10\]"):
        build_snn(5, [0])
    with pytest.raises(LayerError, match="tau is 0"):
        build_snn(5, tau=0)


@pytest.mark.parametrize(
    ("kind", "op"), [("ms", "or"), ("sew", "or"), ("sew", "add"), ("sew", "iand"), ("plain", "or")]
)
def test_residual_network_learns_a_small_problem(kind: str, op: str) -> None:
    net = ResidualSNN(8, 3, width=24, blocks=2, block_type=kind, op=op)
    assert net.depth == 4
    x = torch.rand(48, 8)
    labels = x[:, :3].argmax(1)
    sequence = DirectEncoder(5)(x)
    optimiser = torch.optim.Adam(net.parameters(), 0.02)
    first = last = 0.0
    for step in range(30):
        loss = nn.functional.cross_entropy(net(sequence) / 5, labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        first, last = (loss.item() if step == 0 else first), loss.item()
    assert last < 0.5 * first
    assert net(sequence).shape == (48, 3)
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in net.parameters())
