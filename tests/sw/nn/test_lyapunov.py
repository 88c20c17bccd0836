"""Largest Lyapunov exponents against closed forms and against a QR of our own."""

import math

import numpy as np
import pytest
import torch
from reslif.sw.nn import (
    LIF,
    SLSTM,
    BatchNormOverTime,
    Lapicque,
    LayerError,
    Leaky,
    RLeaky,
    RSynaptic,
    Synaptic,
    fast_sigmoid,
)
from reslif.sw.nn.lyapunov import benettin, lyapunov_spectrum, surrogate_exponent
from reslif.sw.nn.lyapunov_gain import lyapunov_loss
from reslif.sw.nn.surrogate import SparseFastSigmoid
from torch import Tensor, nn

BETA = torch.tensor(0.9, dtype=torch.float64)
LN_BETA = math.log(0.9)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def feed_forward(gain: float = 1.0) -> nn.Sequential:
    layers: list[nn.Module] = []
    for n_in, n_out in ((6, 20), (20, 15), (15, 10)):
        linear = nn.Linear(n_in, n_out, bias=False)
        nn.init.normal_(linear.weight, std=gain / math.sqrt(n_in))
        layers += [linear, LIF(BETA, normalise_surrogate=False)]
    return nn.Sequential(*layers)


def recurrent(n: int = 6, beta: float | Tensor = BETA, gain: float = 1.5, **options) -> RLeaky:
    layer = RLeaky(beta, linear_features=n, multi_step=True, **options)
    nn.init.normal_(layer.recurrent.weight, std=gain / math.sqrt(n))
    nn.init.zeros_(layer.recurrent.bias)
    return layer


# Closed forms.


def test_without_spikes_benettin_is_ln_beta_exactly() -> None:
    found = benettin(feed_forward(), torch.zeros(40, 2, 6))
    assert found.value == pytest.approx(LN_BETA, abs=1e-12)
    assert found.spike_rate == found.flipped == 0
    assert found.per_sample.shape == (2,)
    assert found.steps == 40 - 1 - 10


@pytest.mark.parametrize("kind", ["lif", "leaky", "recurrent"])
def test_without_spikes_all_exponents_are_ln_beta_exactly(kind: str) -> None:
    # No slope below the threshold, so the surrogate's dynamics are silent too.
    silent = SparseFastSigmoid(25.0, B=0.0)
    if kind == "recurrent":
        net: nn.Module = recurrent(spike_grad=silent)
    elif kind == "leaky":
        net = nn.Sequential(Leaky(BETA, spike_grad=silent, multi_step=True), nn.Linear(6, 6))
    else:
        net = feed_forward()
        for layer in net:
            if isinstance(layer, LIF):
                layer.surrogate = silent
    found = lyapunov_spectrum(net, torch.zeros(6, 1, 6))
    torch.testing.assert_close(found.values, torch.full_like(found.values, LN_BETA))
    assert found.values.numel() == (45 if kind == "lif" else 6)
    one = surrogate_exponent(net.double(), torch.zeros(20, 1, 6, dtype=torch.float64))
    assert one.item() == pytest.approx(LN_BETA, abs=1e-9)


def test_layers_of_different_leak_have_different_exponents_and_benettin_finds_the_largest() -> None:
    net = nn.Sequential(LIF(torch.tensor(0.5).double()), LIF(torch.tensor(0.8).double()))
    for layer in net:
        layer.surrogate = SparseFastSigmoid(25.0, B=0.0)
    x = torch.zeros(60, 1, 2)
    expected = [math.log(0.8)] * 2 + [math.log(0.5)] * 2
    assert lyapunov_spectrum(net, x).values.tolist() == pytest.approx(expected, abs=1e-6)
    assert benettin(net, x, burn_in=40).value == pytest.approx(math.log(0.8), abs=1e-6)


def test_a_synaptic_current_is_a_state_of_its_own() -> None:
    silent = SparseFastSigmoid(25.0, B=0.0)
    layer = Synaptic(
        torch.tensor(0.6).double(), torch.tensor(0.9).double(), spike_grad=silent, multi_step=True
    )
    found = lyapunov_spectrum(layer, torch.zeros(150, 1, 1), burn_in=60).values
    assert found.tolist() == pytest.approx([LN_BETA, math.log(0.6)], abs=1e-6)


@pytest.mark.parametrize("gain", [1.0, 3.0, 8.0])
def test_feed_forward_exponent_is_ln_beta_whatever_the_weights(gain: float) -> None:
    found = benettin(feed_forward(gain), torch.randn(150, 4, 6), eps=1e-9)
    assert found.spike_rate > 0.02
    assert found.value == pytest.approx(LN_BETA, abs=0.01)


def test_the_size_of_the_perturbation_matters() -> None:
    net, x = feed_forward(3.0), torch.randn(150, 4, 6)
    small, large = (benettin(net, x, eps=eps) for eps in (1e-9, 1e-2))
    assert small.flipped < 1e-4 < large.flipped
    assert small.value == pytest.approx(LN_BETA, abs=0.01)
    assert large.value > small.value + 0.02
    assert large.eps == 1e-2


# Against a QR written down for one recurrent layer.


def spectrum_by_hand(layer: RLeaky, x: np.ndarray, burn_in: int, detached: bool) -> np.ndarray:
    """J = βI + (W − θI)·diag(σ'), without −θI if the reset is detached; x [T, n]."""
    weight = layer.recurrent.weight.detach().double().numpy()
    beta, theta, slope = 0.9, 1.0, 3.0
    n = len(weight)
    u, q, logs = np.zeros(n), np.eye(n), []
    for t in range(len(x)):
        s = (u > theta).astype(float)
        jacobian = beta * np.eye(n)
        wiring = weight - (0 if detached else theta) * np.eye(n)
        jacobian = jacobian + wiring * (1 / (1 + slope * np.abs(u - theta)) ** 2)[None, :]
        u = beta * u + x[t] + weight @ s - theta * s
        if t == 0:
            continue
        q, r = np.linalg.qr(jacobian @ q)
        if t > burn_in:
            logs.append(np.log(np.abs(np.diag(r))))
    return np.mean(logs, axis=0)


@pytest.mark.parametrize("detached", [True, False], ids=["detached", "attached"])
def test_recurrent_spectrum_equals_a_qr_by_hand(detached: bool) -> None:
    layer = recurrent(spike_grad=fast_sigmoid(3.0), detach_reset=detached)
    x = torch.randn(60, 2, 6, dtype=torch.float64)
    found = lyapunov_spectrum(layer, x, burn_in=10)
    assert found.spike_rate > 0.05
    hand = [spectrum_by_hand(layer, x[:, b].numpy(), 10, detached) for b in range(2)]
    np.testing.assert_allclose(found.per_sample.numpy(), hand, atol=1e-9)
    other = spectrum_by_hand(layer, x[:, 0].numpy(), 10, not detached)
    assert np.abs(other - hand[0]).max() > 0.01  # the comparison sees what is left out
    largest = surrogate_exponent(layer.double(), x, burn_in=10)
    assert largest.item() == pytest.approx(float(found.per_sample[:, 0].mean()), abs=0.05)


def test_benettin_equals_the_smooth_dynamics_where_the_spike_is_smooth() -> None:
    # A spike that *is* its surrogate's primitive: finite differences and tangents must agree.
    layer = recurrent(gain=4.0, spike_grad=smooth, detach_reset=False).double()
    x = torch.randn(80, 2, 6, dtype=torch.float64)
    found = benettin(layer, x, eps=1e-7, seed=2)
    tangent = surrogate_exponent(layer, x, seed=2)
    assert found.value == pytest.approx(tangent.item(), abs=1e-5)
    assert (found.per_sample - LN_BETA).abs().max() > 0.01


def smooth(x: Tensor) -> Tensor:
    """The primitive of the fast sigmoid of slope 3."""
    return 0.5 + x / (1 + 3 * x.abs())


# The differentiable exponent.


def test_its_gradient_equals_finite_differences() -> None:
    layer = recurrent(4, spike_grad=smooth, detach_reset=False).double()
    x = torch.randn(12, 2, 4, dtype=torch.float64)
    weight = layer.recurrent.weight
    surrogate_exponent(layer, x).backward()
    assert weight.grad is not None
    assert weight.grad.abs().max() > 1e-3
    for index in ((0, 1), (2, 2), (3, 0)):
        values = []
        for sign in (1, -1):
            with torch.no_grad():
                weight[index] += sign * 1e-6
                values.append(surrogate_exponent(layer, x).item())
                weight[index] -= sign * 1e-6
        difference = (values[0] - values[1]) / 2e-6
        assert float(weight.grad[index]) == pytest.approx(difference, abs=1e-6)


def test_it_regularises_a_recurrent_network() -> None:
    x = torch.randn(14, 8, 5)
    found = {}
    for target in (-0.1, 0.2):
        torch.manual_seed(0)
        net = nn.Sequential(nn.Linear(5, 12), recurrent(12, 0.9, spike_grad=fast_sigmoid(2.0)))
        optimiser = torch.optim.Adam(net.parameters(), lr=0.02)
        values = []
        for _ in range(15):
            value = surrogate_exponent(net, x)
            optimiser.zero_grad()
            lyapunov_loss(value, target, 1.0).backward()
            optimiser.step()
            values.append(value.item())
        assert abs(values[-1] - target) < 0.7 * abs(values[0] - target)
        assert net(x).mean() > 0.01
        found[target] = values[-1]
    assert found[-0.1] < found[0.2] - 0.05


# What the measurement leaves alone, and what it refuses.


def test_the_network_is_as_before() -> None:
    norm = BatchNormOverTime(6)
    net = nn.Sequential(norm, nn.Dropout(0.5), recurrent(), LIF(0.9))
    x = torch.randn(12, 3, 6)
    state = {name: value.clone() for name, value in net.state_dict().items()}
    for measure in (benettin, lyapunov_spectrum, surrogate_exponent):
        measure(net, x)
    assert all(part.training for part in net.modules())
    assert all(torch.equal(value, state[name]) for name, value in net.state_dict().items())
    assert net[3].state is None
    assert not net[3].stateful
    assert not net[2].init_hidden
    assert net[2].mem.numel() == 0
    assert not any(part._forward_hooks for part in net.modules())


def test_single_step_neurons_that_keep_their_state() -> None:
    torch.manual_seed(3)
    many = nn.Sequential(nn.Linear(6, 6), recurrent())
    one = nn.Sequential(many[0], RLeaky(BETA, linear_features=6, init_hidden=True))
    one[1].recurrent.load_state_dict(many[1].recurrent.state_dict())
    x = torch.randn(30, 2, 6)
    assert benettin(one, x).value == benettin(many, x).value
    assert benettin(one, x).spike_rate > 0


def test_a_perturbation_that_dies_is_minus_infinity() -> None:
    net = nn.Sequential(LIF(0.0))
    assert benettin(net, torch.zeros(10, 1, 3)).value == -math.inf
    last = surrogate_exponent(LIF(0.0, learn_beta=True), torch.zeros(10, 1, 3))
    last.backward()
    assert math.isfinite(last.item())


@pytest.mark.parametrize(
    ("net", "steps", "options", "message"),
    [
        (nn.Linear(3, 3), 9, {}, "Linear: it has no spiking neurons"),
        (LIF(), 1, {}, "1 steps, burn_in is 0"),
        (LIF(), 9, {"burn_in": 8}, "9 steps, burn_in is 8"),
        (LIF(), 9, {"eps": 0.0}, "eps is 0.0; it must be above 0"),
        (
            nn.Sequential(LIF(), Leaky(0.9, init_hidden=True)), 9, {},
            "some of its neurons are multi-step, some single-step",
        ),
        (
            RSynaptic(0.9, 0.9, linear_features=3, multi_step=True, reset_delay=False), 9, {},
            "RSynaptic: its reset is immediate",
        ),
        (SLSTM(3, 3, multi_step=True), 9, {}, "SLSTM: Lyapunov exponents of this neuron"),
    ],
    ids=["none", "short", "burn-in", "eps", "mixed", "immediate", "lstm"],
)  # fmt: skip
def test_errors(net: nn.Module, steps: int, options: dict[str, float], message: str) -> None:
    with pytest.raises(LayerError, match=message):
        benettin(net, torch.zeros(steps, 1, 3), **options)  # pyright: ignore[reportArgumentType]


def test_other_neurons_run() -> None:
    x = torch.randn(30, 2, 4) + 1
    for layer in (
        Lapicque(0.9, multi_step=True),
        Leaky(0.9, reset_mechanism="zero", reset_delay=False, multi_step=True),
        RSynaptic(0.5, 0.9, linear_features=4, multi_step=True),
        LIF(0.9, reset_mechanism="zero", reset_delay=False),
        LIF(0.9, reset_delay=False),
    ):
        zero = layer.reset_mechanism == "zero"
        found = benettin(layer, x)
        assert found.spike_rate > 0.01
        # A reset to zero forgets: where every neuron fires now and then, nothing is left.
        assert found.value == -math.inf if zero else -3 < found.value < 0.5
        assert lyapunov_spectrum(layer, x).spike_rate == pytest.approx(found.spike_rate)
