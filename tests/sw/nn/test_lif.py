"""The LIF layer's forward pass: against snnTorch 1.0.0 and against the plain equations."""

import pytest
import snntorch
import torch
from reslif.sw.nn import LIF, LayerError
from torch import Tensor

T, B, N = 60, 8, 12
RESETS = ("subtract", "zero", "none")


def heaviside(x: Tensor) -> Tensor:
    """Hard step for snnTorch: its own surrogates would force float32."""
    return (x > 0).to(x.dtype)


def numbers(per_neuron: bool) -> tuple[Tensor, Tensor]:
    if per_neuron:
        return (
            torch.linspace(0.5, 1.0, N, dtype=torch.float64),
            torch.linspace(0.4, 1.6, N, dtype=torch.float64),
        )
    return torch.tensor(0.9, dtype=torch.float64), torch.tensor(0.8, dtype=torch.float64)


def drive(seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(T, B, N, dtype=torch.float64, generator=generator) * 0.8 + 0.2


def through_snntorch(neuron: torch.nn.Module, current: Tensor) -> tuple[Tensor, Tensor]:
    spikes, membranes = zip(*(neuron(step) for step in current), strict=True)
    # RLeaky returns views of its state buffers' successors, so stacking is safe for both.
    return torch.stack(spikes).detach(), torch.stack(membranes).detach()


def plain_equations(
    current: Tensor, beta: Tensor, theta: Tensor, reset: str
) -> tuple[Tensor, Tensor]:
    """Immediate resets, written out: after firing m ← m − θ, or 0."""
    u = torch.zeros_like(current[0])
    spikes, membranes = [], []
    for step in current:
        v = beta * u + step
        s = heaviside(v - theta)
        u = {"subtract": v - s * theta, "zero": torch.where(s > 0, 0.0, v), "none": v}[reset]
        spikes.append(s)
        membranes.append(u)
    return torch.stack(spikes), torch.stack(membranes)


def differences(ours: tuple[Tensor, Tensor], theirs: tuple[Tensor, Tensor]) -> tuple[int, float]:
    """(spikes that differ, largest membrane error)."""
    return int((ours[0] != theirs[0]).sum()), float((ours[1] - theirs[1]).abs().max())


@pytest.mark.parametrize("per_neuron", [False, True], ids=["scalar", "per-neuron"])
@pytest.mark.parametrize("reset", RESETS)
def test_delayed_reset_equals_snntorch_leaky(reset: str, per_neuron: bool) -> None:
    beta, theta = numbers(per_neuron)
    current = drive()
    theirs = through_snntorch(
        snntorch.Leaky(beta, theta, spike_grad=heaviside, reset_mechanism=reset), current
    )
    ours = LIF(beta, theta, reset_mechanism=reset)(current, return_membrane=True)
    assert 0 < theirs[0].mean() < 1
    assert differences(ours, theirs) == (0, pytest.approx(0, abs=1e-9))


@pytest.mark.parametrize("per_neuron", [False, True], ids=["scalar", "per-neuron"])
@pytest.mark.parametrize("reset", RESETS)
def test_reset_that_drops_the_input_equals_snntorch_rleaky(reset: str, per_neuron: bool) -> None:
    beta, theta = numbers(per_neuron)
    current = drive(1)
    reference = snntorch.RLeaky(
        beta, V=torch.zeros((), dtype=torch.float64), all_to_all=False, threshold=theta,
        spike_grad=heaviside, reset_mechanism=reset, learn_recurrent=False,
    )  # fmt: skip
    theirs = through_snntorch(reference, current)
    ours = LIF(beta, theta, reset_mechanism=reset, reset_keeps_input=False)(
        current, return_membrane=True
    )
    assert 0 < theirs[0].mean() < 1
    assert differences(ours, theirs) == (0, pytest.approx(0, abs=1e-9))


@pytest.mark.parametrize("per_neuron", [False, True], ids=["scalar", "per-neuron"])
@pytest.mark.parametrize("reset", RESETS)
def test_immediate_reset_equals_the_plain_equations(reset: str, per_neuron: bool) -> None:
    beta, theta = numbers(per_neuron)
    current = drive(2)
    theirs = plain_equations(current, beta, theta, reset)
    ours = LIF(beta, theta, reset_mechanism=reset, reset_delay=False)(current, return_membrane=True)
    assert 0 < theirs[0].mean() < 1
    assert differences(ours, theirs) == (0, pytest.approx(0, abs=1e-9))


@pytest.mark.parametrize(
    "fault",
    [
        {"strict": False},
        {"reset_delay": False},
        {"reset_mechanism": "zero"},
        {"reset_mechanism": "none"},
    ],
    ids=str,
)
def test_the_comparison_with_snntorch_catches_a_fault(fault: dict[str, object]) -> None:
    # Multiples of 1/4 with β = 1/2, θ = 1: exact arithmetic, in which v == θ does occur.
    beta, theta = (torch.tensor(x, dtype=torch.float64) for x in (0.5, 1.0))
    current = (drive(3) * 4).round() / 4
    theirs = through_snntorch(snntorch.Leaky(beta, theta, spike_grad=heaviside), current)
    sound = LIF(beta, theta)(current, return_membrane=True)
    faulty = LIF(beta, theta, **fault)(current, return_membrane=True)  # type: ignore[arg-type]
    assert differences(sound, theirs) == (0, 0.0)
    assert differences(faulty, theirs)[0] > 0


def test_keeping_the_input_through_a_reset_differs_from_dropping_it() -> None:
    current = drive()
    beta, theta = numbers(False)
    keep, drop = (
        LIF(beta, theta, reset_mechanism="zero", reset_keeps_input=k)(current)
        for k in (True, False)
    )
    assert (keep != drop).any()


def test_inhibition_equals_snntorch() -> None:
    beta, theta = numbers(True)
    current = drive(4)
    with pytest.warns(UserWarning, match="[Ii]nhibition"):
        reference = snntorch.Leaky(beta, theta, spike_grad=heaviside, inhibition=True)
    ours = LIF(beta, theta, inhibition=True)(current, return_membrane=True)
    assert ours[0].sum(-1).max() == 1
    assert differences(ours, through_snntorch(reference, current)) == (
        0,
        pytest.approx(0, abs=1e-9),
    )


def test_inhibition_breaks_ties_to_the_lowest_index_and_resets_the_losers() -> None:
    spikes, membrane = LIF(0.5, 1.0, inhibition=True)(
        torch.tensor([2.0, 2.0, 0.0]).expand(2, 1, 3), return_membrane=True
    )
    assert spikes[0, 0].tolist() == [1, 0, 0]
    assert membrane[1, 0].tolist() == [2, 2, 0]  # 0.5·2 + 2 − 1: the loser was reset as well


@pytest.mark.parametrize("delay", [False, True], ids=["immediate", "delayed"])
@pytest.mark.parametrize("reset", RESETS)
def test_steps_and_the_stateful_mode_give_the_numbers_of_one_call(reset: str, delay: bool) -> None:
    current = drive().float()
    lif = LIF(0.9, reset_mechanism=reset, reset_delay=delay)
    spikes, membrane = lif(current, return_membrane=True)
    state = None
    for t, step in enumerate(current):
        step_spikes, state = lif.step(step, state)
        assert torch.equal(step_spikes, spikes[t])
        assert torch.equal(state.membrane, membrane[t])
    lif.stateful = True
    assert torch.equal(torch.cat([lif(current[:7]), lif(current[7:])]), spikes)
    assert not torch.equal(lif(current), spikes)
    lif.reset()
    assert torch.equal(lif(current), spikes)
    with pytest.raises(LayerError, match=r"stored state.*reset\(\)"):
        lif(current[:, :2])


def test_state_starts_at_zero_in_each_call() -> None:
    lif, current = LIF(), drive().float()
    assert torch.equal(lif(current), lif(current))


def test_beta_is_clamped_and_convolutional_shapes_broadcast() -> None:
    current = torch.full((3, 1, 2, 4, 4), 0.25)
    lif = LIF(torch.tensor([2.0, -1.0]).view(2, 1, 1), reset_mechanism="none")
    _, membrane = lif(current, return_membrane=True)
    assert membrane[-1, 0, 0].unique().tolist() == [0.75]
    assert membrane[-1, 0, 1].unique().tolist() == [0.25]


def test_learnable_numbers_are_parameters_and_others_buffers() -> None:
    learnable = LIF(torch.full((N,), 0.9), learn_beta=True, learn_threshold=True)
    assert {name for name, _ in learnable.named_parameters()} == {"beta", "threshold"}
    fixed = LIF()
    assert not list(fixed.parameters())
    assert set(fixed.state_dict()) == {"beta", "threshold"}
    with torch.no_grad():
        learnable.threshold.fill_(-1)
    assert learnable.effective_threshold().min() > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"threshold": 0.0}, "threshold is 0.0; it must be above 0"),
        ({"threshold": float("inf")}, "threshold is inf; it must be finite"),
        ({"beta": float("nan")}, "beta is nan; it must be finite"),
        ({"reset_mechanism": "soft"}, "'soft'; it must be one of subtract, zero, none"),
    ],
)
def test_bad_arguments_are_named(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(LayerError, match=message):
        LIF(**arguments)  # type: ignore[arg-type]


def test_bad_inputs_are_named() -> None:
    with pytest.raises(LayerError, match=r"shape \[3\]; it must be \[T, B, ...\]"):
        LIF()(torch.zeros(3))
    with pytest.raises(LayerError, match="T ≥ 1"):
        LIF()(torch.zeros(0, 2, 3))
    with pytest.raises(LayerError, match=r"beta has shape \[5\].*\[3\]"):
        LIF(torch.full((5,), 0.5))(torch.zeros(2, 2, 3))
