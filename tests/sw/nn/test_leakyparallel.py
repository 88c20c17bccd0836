"""LeakyParallel: snnTorch's numbers, and a backward pass that autograd confirms."""

from typing import Any

import pytest
import snntorch
import torch
from reslif.sw.nn import LayerError, LeakyParallel, SpikingNeuron, atan, fast_sigmoid
from reslif.sw.nn.rectified_function import run_rectified
from reslif.sw.nn.recurrence import Recurrence
from snntorch_oracle import B, N, T, drive, heaviside, number
from torch import Tensor, nn

N_IN = 7


def currents(steps: int = T, seed: int = 0) -> Tensor:
    return drive(seed, (steps, B, N_IN), scale=1.0, offset=0.1)


def lively(neuron: Any, seed: int = 1) -> Any:
    """Float64 input weights with which about half of the steps fire."""
    generator = torch.Generator().manual_seed(seed)
    neuron.double()
    for name, weights in neuron.rnn.named_parameters():
        if name != "weight_hh_l0":
            noise = torch.randn(weights.shape, dtype=torch.float64, generator=generator)
            weights.data = noise * 0.4
    return neuron


def decays() -> Tensor:
    return torch.linspace(0.3, 0.97, N, dtype=torch.float64)


def learner(**options: Any) -> LeakyParallel:
    """Ours with everything learnable and a decay for each neuron."""
    torch.manual_seed(2)
    return lively(
        LeakyParallel(
            N_IN, N, decays(), threshold=number(0.3, 0.9, True), learn_threshold=True,
            graded_spikes_factor=number(0.7, 1.2, True), learn_graded_spikes_factor=True,
            learn_beta=True, output=True, **{"spike_grad": fast_sigmoid(3.0), **options},
        )
    )  # fmt: skip


def written_out(neuron: LeakyParallel, inputs: Tensor) -> tuple[Tensor, Tensor]:
    """Spikes and h of a neuron as an ordinary autograd graph, from the equations."""
    rnn = neuron.rnn
    h = torch.zeros(inputs.shape[1], N, dtype=inputs.dtype)
    rows = []
    for x in inputs:
        drive = x @ rnn.weight_ih_l0.T
        if rnn.bias:
            drive = drive + rnn.bias_ih_l0 + rnn.bias_hh_l0
        if neuron.weight_hh_enable:
            h = torch.relu(drive + h @ rnn.weight_hh_l0.T)
        else:
            h = torch.relu(drive + h * rnn.weight_hh_l0.diagonal().clamp(0, 1))
        rows.append(h)
    membrane = torch.stack(rows)
    return neuron.fire(membrane), membrane


# The numbers.


@pytest.mark.parametrize(
    "options",
    [
        {"beta": 0.8},
        {"beta": 0.8, "bias": False, "threshold": number(0.3, 0.9, True)},
        {"beta": 1.7, "graded_spikes_factor": 0.5},
        {"beta": 0.1, "weight_hh_enable": True},
        {"weight_hh_enable": True},
    ],
    ids=["scalar", "no-bias", "clamped", "dense-beta", "dense"],
)
def test_the_numbers_are_snntorchs(options: dict[str, Any]) -> None:
    torch.manual_seed(3)
    theirs = lively(snntorch.LeakyParallel(N_IN, N, spike_grad=heaviside, **options))
    ours = LeakyParallel(N_IN, N, output=True, **options).double()
    assert theirs.state_dict().keys() == ours.state_dict().keys() - {"reset_mechanism_val"}
    if theirs.beta is not None:
        assert torch.equal(ours.rnn.weight_hh_l0, theirs.rnn.weight_hh_l0.to(torch.float64))
    ours.load_state_dict(theirs.state_dict())
    with torch.no_grad():
        spikes, membrane = ours(currents())
        expected = theirs(currents())
        assert (membrane - theirs.rnn(currents())[0]).abs().max() <= 1e-9
    assert 0.02 < (expected > 0).double().mean() < 0.98
    assert torch.equal(spikes, expected)


def test_a_fault_in_the_comparison_is_seen() -> None:
    neuron = learner()
    with torch.no_grad():
        membrane = neuron(currents())[1]
        neuron.rnn.bias_hh_l0[0] += 0.01
        assert (neuron(currents())[1] - membrane).abs().max() > 1e-3


def test_a_vector_of_decays_is_used_and_snntorch_ignores_it() -> None:
    torch.manual_seed(3)
    theirs: Any = snntorch.LeakyParallel(N_IN, N, decays().float())
    assert not torch.allclose(theirs.rnn.weight_hh_l0.diagonal(), decays().float())
    ours = LeakyParallel(N_IN, N, decays())
    assert torch.equal(ours.effective_beta(), decays().float())
    assert torch.equal(ours.rnn.weight_hh_l0, torch.diag(decays().float()))


def test_decays_stay_between_0_and_1_whatever_training_does() -> None:
    neuron = learner()
    with torch.no_grad():
        neuron.rnn.weight_hh_l0.diagonal().copy_(torch.linspace(-1, 2, N))
        assert neuron.effective_beta().min() == 0
        assert neuron.effective_beta().max() == 1
        spikes, membrane = neuron(currents())
        expected = written_out(neuron, currents())
        unclamped = neuron.rnn(currents())[0]
    assert torch.equal(spikes, expected[0])
    assert (membrane - expected[1]).abs().max() <= 1e-9
    assert (membrane - unclamped).abs().max() > 1


def test_random_decays_start_positive() -> None:
    torch.manual_seed(0)
    theirs: Any = snntorch.LeakyParallel(N_IN, 64)
    torch.manual_seed(0)
    ours = LeakyParallel(N_IN, 64)
    assert theirs.rnn.weight_hh_l0.diagonal().min() < 0
    assert torch.equal(ours.effective_beta(), theirs.rnn.weight_hh_l0.diagonal().abs())
    assert torch.equal(ours.rnn.weight_ih_l0, theirs.rnn.weight_ih_l0)


def test_dropout_is_of_the_membrane_while_training() -> None:
    neuron = LeakyParallel(N_IN, N, 0.9, threshold=0.1, dropout=0.5)
    inputs = currents().float()
    torch.manual_seed(0)
    training = neuron(inputs).mean()
    whole = neuron.eval()(inputs)
    assert torch.equal(whole, neuron(inputs))
    assert 0.4 * whole.mean() < training < 0.6 * whole.mean()


# The backward pass.


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"bias": False},
        {"weight_hh_enable": True},
        {"normalise_surrogate": True},
        {"strict": False},
    ],
    ids=str,
)
def test_backward_equals_autograd(options: dict[str, Any]) -> None:
    neuron = learner(**options)
    if neuron.weight_hh_enable:
        neuron.rnn.weight_hh_l0.data *= 0.2
    found = []
    for run in (neuron, lambda inputs: written_out(neuron, inputs)):
        inputs = currents(20).requires_grad_()
        spikes, membrane = run(inputs)
        assert 0 < spikes.count_nonzero() < spikes.numel()
        loss = (spikes * drive(5, spikes.shape)).sum() + (membrane * drive(6, spikes.shape)).sum()
        leaves = {"input": inputs, **dict(neuron.named_parameters())}
        gradients = torch.autograd.grad(loss, list(leaves.values()))
        found.append(dict(zip(leaves, gradients, strict=True)))
    by_hand, by_autograd = found
    assert len(by_hand) == (5 if "bias" in options else 7)
    for name, gradient in by_autograd.items():
        assert gradient.abs().max() > 1e-3, name
        assert (by_hand[name] - gradient).abs().max() <= 1e-9, name


def test_gradients_are_snntorchs() -> None:
    surrogate = atan(2.0)
    theirs = lively(snntorch.LeakyParallel(N_IN, N, 0.8, learn_beta=True, spike_grad=surrogate))
    ours = LeakyParallel(N_IN, N, 0.8, learn_beta=True, spike_grad=surrogate).double()
    ours.load_state_dict(theirs.state_dict())
    found = []
    for neuron in (theirs, ours):
        spikes = neuron(currents())
        (spikes * drive(5, spikes.shape)).sum().backward()
        found.append({name: p.grad for name, p in neuron.rnn.named_parameters()})
    assert found[0].keys() == found[1].keys()
    for name, gradient in found[0].items():
        assert gradient.abs().max() > 1e-3
        assert (gradient - found[1][name]).abs().max() <= 1e-9, name
    off_diagonal = found[1]["weight_hh_l0"] - torch.diag(found[1]["weight_hh_l0"].diagonal())
    assert off_diagonal.count_nonzero() == 0


def test_the_gradient_comparison_catches_a_fault() -> None:
    """The rectifier forgotten in the way back: where h is 0, the gradient must stop."""
    inputs = (drive(1, (20, B, N)) - 0.3).requires_grad_()
    recurrence = Recurrence("one_to_one", decays())
    h = run_rectified(inputs, recurrence)
    (found,) = torch.autograd.grad(h.sum(), inputs)
    leaky = torch.zeros_like(found)
    leaky[-1] = 1
    for t in range(18, -1, -1):
        leaky[t] = 1 + decays() * leaky[t + 1]
    assert (h == 0).double().mean() > 0.1
    assert found[h == 0].count_nonzero() == 0
    assert (found - leaky).abs().max() > 0.1


# Calling convention.


def test_the_documented_network_runs() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lif1 = LeakyParallel(input_size=N_IN, hidden_size=N)
            self.lif2 = LeakyParallel(input_size=N, hidden_size=4, beta=0.5, learn_beta=True)

        def forward(self, x: Tensor) -> Tensor:
            return self.lif2(self.lif1(x))

    net = Net()
    with torch.no_grad():
        net.lif1.rnn.weight_ih_l0.mul_(8)
        net.lif2.rnn.weight_ih_l0.mul_(8)
    spikes = net(currents().float())
    assert spikes.shape == (T, B, 4)
    assert 0 < spikes.mean() < 1
    spikes.sum().backward()
    assert net.lif1.rnn.weight_hh_l0.grad is None
    assert net.lif2.rnn.weight_hh_l0.grad is not None
    assert isinstance(net.lif1, SpikingNeuron)


def test_an_unbatched_sequence_is_one_of_a_batch() -> None:
    neuron = learner()
    with torch.no_grad():
        spikes, membrane = neuron(currents())
        alone = neuron(currents()[:, 2])
    assert torch.equal(alone[0], spikes[:, 2])
    assert (alone[1] - membrane[:, 2]).abs().max() <= 1e-12


def test_one_step_is_a_sequence() -> None:
    neuron = learner()
    neuron(currents(1))[1].sum().backward()
    assert neuron.rnn.weight_ih_l0.grad is not None
    assert neuron.rnn.weight_ih_l0.grad.abs().max() > 0


def test_the_recurrence_is_described() -> None:
    assert learner().recurrence is None
    dense = learner(weight_hh_enable=True)
    recurrence = dense.recurrence
    assert recurrence is not None
    assert recurrence.kind == "linear"
    assert recurrence.weight is dense.rnn.weight_hh_l0
    with pytest.raises(LayerError, match="dense"):
        dense.effective_beta()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dropout": 1.0}, "dropout is 1.0"),
        ({"beta": torch.rand(5)}, "one finite number or 12"),
        ({"threshold": -1.0}, "threshold is -1.0"),
    ],
    ids=["dropout", "beta", "threshold"],
)
def test_bad_arguments_are_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(LayerError, match=f"LeakyParallel: .*{message}"):
        LeakyParallel(N_IN, N, **arguments)


def test_inputs_that_do_not_fit_are_named() -> None:
    for shape in ((4, 2, 3), (0, 2, N_IN), (N_IN,)):
        with pytest.raises(LayerError, match=r"it must be \[T, B, 7\]"):
            LeakyParallel(N_IN, N)(torch.zeros(shape))
    assert LeakyParallel(N_IN, N, dtype=torch.float64).rnn.weight_ih_l0.dtype == torch.float64
