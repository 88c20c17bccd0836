"""The finite-time gain against finite differences of networks whose spike is smooth."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import torch
from reslif.sw.nn import LIF, LayerError, RLeaky, SumCurrent, atan
from reslif.sw.nn.batchnorm import BatchNormOverTime, BatchNormOverTime2d
from reslif.sw.nn.conv import AvgPoolOverTime, ConvOverTime, GlobalAvgPool, MaxPoolOverTime
from reslif.sw.nn.lyapunov_gain import finite_time_gain, lif_tangent, lyapunov_loss
from reslif.sw.nn.surrogate import (
    ATan,
    FastSigmoid,
    ScaledFastSigmoid,
    Sigmoid,
    SparseFastSigmoid,
    SpikeRateEscape,
    Surrogate,
)
from torch import Tensor, nn

T, B = 5, 3


@dataclass(frozen=True)
class Smooth(FastSigmoid):
    """A spike that is the primitive of its own surrogate: its network is smooth."""

    def __call__(self, x: Tensor, strict: bool = True) -> Tensor:
        return 0.5 + x / (1 + self.slope * x.abs())


@pytest.fixture(autouse=True)
def _double() -> Iterator[None]:
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def smooth_lif(beta: float = 0.9, **options) -> LIF:
    """Runs step by step, hence through :class:`Smooth`, and forgets after each use."""
    lif = LIF(beta, surrogate=Smooth(3.0), **{"detach_reset": False, **options})
    lif.stateful = True
    return lif


def value(module: nn.Module, x: Tensor) -> Tensor:
    """The module's output, its neurons forgetting before and after."""
    for part in module.modules():
        if isinstance(part, LIF):
            part.reset()
    y = module(x)
    for part in module.modules():
        if isinstance(part, LIF):
            part.reset()
    return y


RESETS = [
    (mechanism, delay, keeps)
    for mechanism in ("subtract", "zero", "none")
    for delay, keeps in ((True, True), (True, False), (False, True))
]


@pytest.mark.parametrize("normalise", [True, False], ids=["relative", "distance"])
@pytest.mark.parametrize(("mechanism", "delay", "keeps"), RESETS)
def test_tangent_of_a_lif_equals_finite_differences(
    mechanism: str, delay: bool, keeps: bool, normalise: bool
) -> None:
    lif = smooth_lif(
        threshold=1.3, reset_mechanism=mechanism, reset_delay=delay, reset_keeps_input=keeps,
        normalise_surrogate=normalise,
    )  # fmt: skip
    x, direction = torch.randn(2, T, B, 4) + 0.5
    spikes, moved, membrane = lif_tangent(lif, x, direction)
    lif.reset()
    both = []
    for sign in (1, -1):
        both.append(lif(x + sign * 1e-6 * direction, return_membrane=True))
        lif.reset()
    for found, index in ((moved, 0), (membrane, 1)):
        difference = (both[0][index] - both[1][index]) / 2e-6
        torch.testing.assert_close(found, difference, atol=1e-7, rtol=1e-6)
        assert found.abs().max() > 0.05
    assert spikes.shape == x.shape


def test_a_detached_reset_has_no_tangent_and_inhibition_masks_it() -> None:
    x, direction = torch.randn(2, T, B, 4) + 0.5
    # Detached, the membrane's tangent is that of a plain leaky sum, whatever the spikes.
    _, _, membrane = lif_tangent(LIF(0.9), x, direction)
    plain = LIF(0.9, reset_mechanism="none")(direction, return_membrane=True)[1]
    torch.testing.assert_close(membrane, plain)
    _, attached, _ = lif_tangent(LIF(0.9, detach_reset=False), x, direction)
    spikes, moved, _ = lif_tangent(LIF(0.9), x, direction)
    assert spikes.mean() > 0.05
    assert (moved - attached).abs().max() > 0.01
    _, one, _ = lif_tangent(LIF(0.9, inhibition=True), x, direction)
    assert ((one != 0).sum(-1) == 1).all()


def images(training: bool) -> nn.Sequential:
    net = nn.Sequential(
        ConvOverTime(2, 4, 3, padding=1, bias=True),
        BatchNormOverTime2d(4, 1.5),
        smooth_lif(),
        MaxPoolOverTime(2),
        ConvOverTime(4, 6, 3, padding=1, groups=2, bias=False),
        smooth_lif(0.8, reset_mechanism="zero"),
        AvgPoolOverTime(2),
        nn.Sequential(nn.Flatten(2), nn.Dropout(0.3)),
        nn.Linear(6, 5),
        BatchNormOverTime(5),
        smooth_lif(0.7, reset_delay=False),
    )
    net(torch.randn(T, 20, 2, 6, 6))  # statistics to run on
    for part in net.modules():
        if isinstance(part, LIF):
            part.reset()
    return net.train(training)


def test_gain_equals_finite_differences_of_the_smooth_network() -> None:
    net = images(training=False)
    x, direction = torch.randn(T, B, 2, 6, 6), torch.randn(B, 2, 6, 6)
    found = finite_time_gain(net, x, direction)
    last = net[-1]
    assert isinstance(last, LIF)
    ends = []
    for sign in (1, -1):
        moved = x.clone()
        moved[0] += sign * 1e-5 * direction
        reached: list[Tensor] = []
        hook = last.register_forward_hook(lambda m, *_, r=reached: r.append(m.state.membrane))
        value(net, moved)
        hook.remove()
        ends.append(reached[0])
    grown = ((ends[0] - ends[1]) / 2e-5).flatten(1).norm(dim=1)
    expected = (grown / direction.flatten(1).norm(dim=1)).log() / T
    torch.testing.assert_close(found.values, expected, atol=1e-6, rtol=1e-6)
    assert found.values.std() > 1e-3
    torch.testing.assert_close(found.output, value(net, x))
    assert len(found.spikes) == 3
    assert found.dead == 0
    # Twice as long a direction, the same gain; another one, another.
    for part in net.modules():
        if isinstance(part, LIF):
            part.reset()
    torch.testing.assert_close(value_of_gain(net, x, 2 * direction), found.values)
    other = value_of_gain(net, x, torch.randn_like(direction))
    assert (other - found.values).abs().max() > 1e-3


def value_of_gain(net: nn.Module, x: Tensor, direction: Tensor) -> Tensor:
    for part in net.modules():
        if isinstance(part, LIF):
            part.reset()
    torch.manual_seed(7)  # of dropout
    return finite_time_gain(net, x, direction).values


@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
def test_gradients_of_the_gain_equal_finite_differences(training: bool) -> None:
    net = images(training)
    x, direction = torch.randn(T, B, 2, 6, 6), torch.randn(B, 2, 6, 6)
    value_of_gain(net, x, direction).mean().backward()
    checked = 0
    for parameter in net.parameters():
        gradient = parameter.grad
        if gradient is None:
            continue  # nothing comes after the last LIF
        index = int(gradient.abs().argmax())
        flat = parameter.detach().view(-1)
        ends = []
        for sign in (1, -1):
            flat[index] += sign * 1e-6
            ends.append(value_of_gain(net, x, direction).mean().item())
            flat[index] -= sign * 1e-6
        difference = (ends[0] - ends[1]) / 2e-6
        assert gradient.view(-1)[index].item() == pytest.approx(difference, rel=1e-3, abs=1e-7)
        checked += abs(difference) > 1e-5
    assert checked >= 7


def test_batch_norm_undoes_the_scale_of_the_weights_before_it() -> None:
    """So a regulariser must not be able to win by shrinking them."""
    net = images(training=True)
    x, direction = torch.randn(T, B, 2, 6, 6), torch.randn(B, 2, 6, 6)
    before = value_of_gain(net, x, direction)
    first = net[0]
    assert isinstance(first, ConvOverTime)
    with torch.no_grad():
        first.weight *= 3
        first.bias *= 3  # pyright: ignore[reportOptionalOperand]
    torch.testing.assert_close(value_of_gain(net, x, direction), before, atol=1e-4, rtol=0)


def test_a_single_leaky_layer_in_closed_form() -> None:
    # Detached: δu_T = β^(T−1)·δ, through one linear layer of gain g.
    net = nn.Sequential(nn.Linear(4, 4), LIF(0.9))
    with torch.no_grad():
        net[0].weight.copy_(3 * torch.eye(4))
    found = finite_time_gain(net, torch.randn(T, B, 4) * 2)
    assert found.spikes[0].mean() > 0.05
    expected = ((T - 1) * math.log(0.9) + math.log(3)) / T
    torch.testing.assert_close(found.values, torch.full((B,), expected))


def test_the_loss_pulls_the_gain_to_its_target() -> None:
    torch.manual_seed(1)
    x = torch.rand(4, 8, 1, 8, 8)
    ends = {}
    for target in (-0.8, 0.1):
        torch.manual_seed(0)
        net = nn.Sequential(
            ConvOverTime(1, 4, 3, padding=1), BatchNormOverTime2d(4), LIF(0.9),
            AvgPoolOverTime(2), ConvOverTime(4, 4, 3, padding=1), BatchNormOverTime2d(4), LIF(0.9),
        )  # fmt: skip
        optimiser = torch.optim.Adam(net.parameters(), lr=0.02)
        start = finite_time_gain(net, x).values.mean().item()
        for _ in range(20):
            found = finite_time_gain(net, x)
            optimiser.zero_grad()
            lyapunov_loss(found.values, target, 2.0).backward()
            optimiser.step()
        ends[target] = finite_time_gain(net, x).values.mean().item()
        assert abs(ends[target] - target) < abs(start - target) - 0.05
        assert found.spikes[-1].mean() > 0.005
    assert lyapunov_loss(torch.tensor([0.0, 1.0]), -0.5, 3.0).item() == 3.0


def test_a_perturbation_that_dies_is_counted_and_has_no_gradient() -> None:
    silent: Surrogate = SparseFastSigmoid(25.0, B=0.0)  # no slope below the threshold
    net = nn.Sequential(nn.Linear(4, 4), LIF(0.9, surrogate=silent), nn.Linear(4, 4), LIF(0.9))
    x = torch.zeros(T, B, 4)
    x[:, 0] = 5.0
    with torch.no_grad():
        net[0].weight.copy_(torch.eye(4))
        net[0].bias.zero_()
    found = finite_time_gain(net, x, torch.ones(B, 4))
    assert found.dead == pytest.approx(2 / 3)
    least = math.log(torch.finfo(x.dtype).tiny)
    assert found.values[1].item() == pytest.approx((least - math.log(2)) / T)  # ‖(1, 1, 1, 1)‖ = 2
    found.values.mean().backward()
    grads = [p.grad for p in net.parameters() if p.grad is not None]
    assert grads
    assert all(bool(torch.isfinite(g).all()) for g in grads)


def test_tiny_tangents_do_not_underflow() -> None:
    # Squares of 1e-30 are 0 in float32; the norm must not be.
    net = nn.Sequential(nn.Linear(4, 4), LIF(0.9)).float()
    with torch.no_grad():
        net[0].weight.copy_(1e-30 * torch.eye(4))
    found = finite_time_gain(net, torch.zeros(T, B, 4, dtype=torch.float32))
    assert found.dead == 0
    expected = ((T - 1) * math.log(0.9) + math.log(1e-30)) / T
    assert found.values.tolist() == pytest.approx([expected] * B, abs=1e-4)


def test_a_chain_may_end_in_scores() -> None:
    net = nn.Sequential(
        ConvOverTime(1, 4, 3), LIF(0.9, surrogate=atan()), GlobalAvgPool(), nn.Linear(4, 2),
        SumCurrent(),
    )  # fmt: skip
    x = torch.rand(T, B, 1, 5, 5)
    assert finite_time_gain(net, x).output.shape == (B, 2)


@pytest.mark.parametrize(
    "surrogate",
    [
        ATan(3.0), FastSigmoid(3.0), ScaledFastSigmoid(3.0), Sigmoid(3.0), SpikeRateEscape(),
        SparseFastSigmoid(3.0, B=-1.0),
    ],
    ids=lambda surrogate: type(surrogate).__name__,
)  # fmt: skip
def test_the_slopes_of_surrogates_have_their_own_slopes(surrogate: Surrogate) -> None:
    x = torch.linspace(-0.95, 0.95, 20, requires_grad=True)
    assert torch.autograd.gradcheck(surrogate.derivative, (x,))
    gradient = torch.autograd.grad(surrogate.derivative(x).sum(), x)[0]
    assert gradient.abs().max() > 0.01


@pytest.mark.parametrize(
    ("net", "direction", "message"),
    [
        (nn.Linear(4, 4), None, "Linear: it has no LIF layer"),
        (nn.Sequential(nn.ReLU(), LIF()), None, "there is no tangent for ReLU"),
        (RLeaky(0.9, linear_features=4, multi_step=True), None, "no tangent for RLeaky"),
        (LIF(), torch.zeros(B, 4), "direction is 0 for some sample"),
        (LIF(), torch.ones(B, 5), r"direction has shape \[3, 5\]; it must be .*\[3, 4\]"),
    ],
    ids=["no-lif", "relu", "recurrent", "zero", "shape"],
)
def test_errors(net: nn.Module, direction: Tensor | None, message: str) -> None:
    with pytest.raises(LayerError, match=message):
        finite_time_gain(net.double(), torch.zeros(T, B, 4), direction)


def test_states_and_empty_inputs_are_refused() -> None:
    lif = LIF(0.9)
    lif.stateful = True
    lif(torch.zeros(T, B, 4))
    with pytest.raises(LayerError, match="keeps the state of an earlier call"):
        finite_time_gain(lif, torch.zeros(T, B, 4))
    with pytest.raises(LayerError, match=r"the input has shape \[0, 3, 4\]"):
        finite_time_gain(LIF(), torch.zeros(0, B, 4))
    conv = ConvOverTime(1, 1, 3, padding=1, padding_mode="circular")
    with pytest.raises(LayerError, match="padding_mode is 'circular'"):
        finite_time_gain(nn.Sequential(conv, LIF()), torch.zeros(T, B, 1, 4, 4))
