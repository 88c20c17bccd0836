"""The LIF layer's hand-written backward pass against autograd, to 1e-9 in float64."""

import time

import pytest
import snntorch
import torch
from reslif.sw.nn import LIF, Surrogate, atan, fast_sigmoid, sigmoid
from torch import Tensor, nn

T, B, N_IN, N = 20, 4, 7, 6
RESETS = ("subtract", "zero", "none")


def numbers(per_neuron: bool) -> tuple[Tensor, Tensor]:
    if per_neuron:
        return (
            torch.linspace(0.5, 0.98, N, dtype=torch.float64),
            torch.linspace(0.4, 1.6, N, dtype=torch.float64),
        )
    return torch.tensor(0.9, dtype=torch.float64), torch.tensor(0.8, dtype=torch.float64)


def written_out(
    current: Tensor,
    beta: Tensor,
    theta: Tensor,
    surrogate: Surrogate,
    *,
    reset: str,
    delay: bool,
    keeps_input: bool,
    detach: bool,
    normalise: bool,
) -> tuple[Tensor, Tensor]:
    """T steps as an ordinary autograd graph, from the equations and not from the product."""
    u = r = torch.zeros_like(current[0])
    spikes, membranes = [], []
    for step in current:
        v = beta * u + step
        if delay and reset == "subtract":
            v = v - r * theta
        elif delay and reset == "zero":
            v = v - r * (beta * u if keeps_input else v)
        s = surrogate((v - theta) / theta if normalise else v - theta)
        r = s.detach() if detach else s
        u = v
        if not delay and reset == "subtract":
            u = v - r * theta
        elif not delay and reset == "zero":
            u = v - r * v
        spikes.append(s)
        membranes.append(u)
    return torch.stack(spikes), torch.stack(membranes)


def probe_loss(spikes: Tensor, membranes: Tensor) -> Tensor:
    """A loss in which every spike and membrane has its own weight."""
    generator = torch.Generator().manual_seed(5)
    a, b = torch.randn(2, *spikes.shape, dtype=spikes.dtype, generator=generator)
    return (a * spikes).sum() + (b * membranes).sum()


def gradients(run, beta: Tensor, theta: Tensor) -> dict[str, Tensor]:
    """Gradients of the probe loss with respect to input, weights, β and θ."""
    generator = torch.Generator().manual_seed(6)
    x = torch.randn(T, B, N_IN, dtype=torch.float64, generator=generator)
    weights = torch.randn(N, N_IN, dtype=torch.float64, generator=generator) / N_IN**0.5
    leaves = {"input": x, "weights": weights, "beta": beta.clone(), "theta": theta.clone()}
    for leaf in leaves.values():
        leaf.requires_grad_()
    current = nn.functional.linear(x, weights) + 0.2
    spikes, membranes = run(current, leaves["beta"], leaves["theta"])
    assert 0 < spikes.mean() < 1
    probe_loss(spikes, membranes).backward()
    found = {name: leaf.grad for name, leaf in leaves.items()}
    return {name: grad for name, grad in found.items() if grad is not None}


def layer(current: Tensor, beta: Tensor, theta: Tensor, **options) -> tuple[Tensor, Tensor]:
    """A LIF whose parameters are replaced by graph tensors, so their gradients are collected."""
    lif = LIF(beta.detach(), theta.detach(), learn_beta=True, learn_threshold=True, **options)
    return torch.func.functional_call(
        lif, {"beta": beta, "threshold": theta}, (current,), {"return_membrane": True}
    )


def largest_error(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> float:
    assert set(ours) == set(theirs) == {"input", "weights", "beta", "theta"}
    assert all(grad.abs().max() > 1e-3 for grad in theirs.values())
    return max(float((ours[k] - theirs[k]).abs().max()) for k in theirs)


@pytest.mark.parametrize("per_neuron", [False, True], ids=["scalar", "per-neuron"])
@pytest.mark.parametrize("reset", RESETS)
def test_backward_equals_autograd_through_snntorch(reset: str, per_neuron: bool) -> None:
    surrogate = atan(2.0)

    def theirs(current: Tensor, beta: Tensor, theta: Tensor) -> tuple[Tensor, Tensor]:
        neuron = snntorch.Leaky(
            beta.detach(), theta.detach(), spike_grad=surrogate, reset_mechanism=reset
        )
        neuron.beta, neuron.threshold = beta, theta
        spikes, membranes = zip(*(neuron(step) for step in current), strict=True)
        return torch.stack(spikes), torch.stack(membranes)

    def ours(current: Tensor, beta: Tensor, theta: Tensor) -> tuple[Tensor, Tensor]:
        return layer(
            current, beta, theta, reset_mechanism=reset, surrogate=surrogate,
            normalise_surrogate=False,
        )  # fmt: skip

    assert largest_error(
        gradients(ours, *numbers(per_neuron)), gradients(theirs, *numbers(per_neuron))
    ) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("normalise", [False, True], ids=["distance", "relative"])
@pytest.mark.parametrize("detach", [False, True], ids=["attached", "detached"])
@pytest.mark.parametrize(
    ("delay", "keeps_input"),
    [(False, True), (True, True), (True, False)],
    ids=["immediate", "delayed", "delayed-drops-input"],
)
@pytest.mark.parametrize("reset", RESETS)
@pytest.mark.parametrize("per_neuron", [False, True], ids=["scalar", "per-neuron"])
def test_backward_equals_the_written_out_graph(
    per_neuron: bool, reset: str, delay: bool, keeps_input: bool, detach: bool, normalise: bool
) -> None:
    surrogate = fast_sigmoid(3.0)

    def theirs(current: Tensor, beta: Tensor, theta: Tensor) -> tuple[Tensor, Tensor]:
        return written_out(
            current, beta, theta, surrogate, reset=reset, delay=delay, keeps_input=keeps_input,
            detach=detach, normalise=normalise,
        )  # fmt: skip

    def ours(current: Tensor, beta: Tensor, theta: Tensor) -> tuple[Tensor, Tensor]:
        return layer(
            current, beta, theta, surrogate=surrogate, reset_mechanism=reset, reset_delay=delay,
            reset_keeps_input=keeps_input, detach_reset=detach, normalise_surrogate=normalise,
        )  # fmt: skip

    assert largest_error(
        gradients(ours, *numbers(per_neuron)), gradients(theirs, *numbers(per_neuron))
    ) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(
    "fault",
    [
        {"detach_reset": False},
        {"normalise_surrogate": True},
        {"reset_mechanism": "zero"},
        {"surrogate": sigmoid(3.0)},
    ],
    ids=str,
)
def test_the_gradient_comparison_catches_a_fault(fault: dict[str, object]) -> None:
    options = {"surrogate": atan(2.0), "normalise_surrogate": False}

    def run(**extra):
        return lambda current, beta, theta: layer(current, beta, theta, **{**options, **extra})

    sound, faulty = (gradients(run(**extra), *numbers(False)) for extra in ({}, fault))
    assert largest_error(faulty, sound) > 1e-3


@pytest.mark.parametrize("delay", [False, True], ids=["immediate", "delayed"])
def test_backward_with_inhibition_equals_single_steps(delay: bool) -> None:
    beta, theta = numbers(True)

    def steps(current: Tensor, beta: Tensor, theta: Tensor) -> tuple[Tensor, Tensor]:
        lif = LIF(beta.detach(), theta.detach(), reset_delay=delay, inhibition=True)
        lif.beta, lif.threshold, lif.stateful = beta, theta, True
        return lif(current, return_membrane=True)

    def ours(current: Tensor, beta: Tensor, theta: Tensor) -> tuple[Tensor, Tensor]:
        return layer(current, beta, theta, reset_delay=delay, inhibition=True)

    assert largest_error(
        gradients(ours, beta, theta), gradients(steps, beta, theta)
    ) == pytest.approx(0, abs=1e-9)


def test_a_loss_on_membranes_alone_or_spikes_alone_has_its_gradient() -> None:
    lif = LIF(0.9, learn_beta=True)
    current = torch.rand(5, 2, 3)
    for which in (0, 1):
        x = current.clone().requires_grad_()
        lif(x, return_membrane=True)[which].sum().backward()
        assert x.grad is not None
        assert x.grad.abs().max() > 0


def test_one_layer_is_faster_than_its_unrolled_graph(record_property) -> None:
    """Reported, not asserted: a timing on a shared machine is no verdict."""
    current = torch.randn(25, 64, 256)
    lif = LIF(0.9)

    def measure(forward) -> float:
        best = float("inf")
        for _ in range(3):
            x = current.clone().requires_grad_()
            start = time.perf_counter()
            forward(x).sum().backward()
            best = min(best, time.perf_counter() - start)
        return best

    def unrolled(x: Tensor) -> Tensor:
        return written_out(
            x, lif.beta, lif.threshold, lif.surrogate, reset="subtract", delay=True,
            keeps_input=True, detach=True, normalise=True,
        )[0]  # fmt: skip

    ours, theirs = measure(lif), measure(unrolled)
    record_property("lif_ms", ours * 1e3)
    record_property("unrolled_ms", theirs * 1e3)
    print(f"one layer {ours * 1e3:.1f} ms, unrolled graph {theirs * 1e3:.1f} ms")
