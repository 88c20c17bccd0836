"""snnTorch's documented examples, run with only the import changed, beside snnTorch itself.

With the same weights (a state dict of one loads into the other) outputs and gradients must be the
same.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import pytest
import reslif.sw.nn
import snntorch
import snntorch.utils
import torch
from snntorch_examples import (
    BATCH,
    CLASSES,
    EXAMPLES,
    FLAT,
    HIDDEN,
    INPUTS,
    OURS,
    STEPS,
    THEIRS,
    OverTime,
    Package,
    convolutional,
    data,
    leaky,
    rsynaptic,
    slstm,
    synaptic,
)
from torch import Tensor, nn


def build_both(example: Callable[[Package], nn.Module]) -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Inhibition is an unstable feature")
        theirs = example(THEIRS)
    ours = example(OURS)
    missing, unexpected = ours.load_state_dict(theirs.state_dict(), strict=False)
    # snnTorch's LeakyParallel has no reset and does not save one.
    assert not unexpected
    assert all(name.endswith("reset_mechanism_val") for name in missing)
    return ours, theirs


def outputs_and_grads(net: nn.Module, x: Tensor) -> tuple[tuple[Tensor, ...], dict[str, Tensor]]:
    outputs = net(x)
    loss = sum((o * torch.linspace(-1, 2, o.numel()).view_as(o)).sum() for o in outputs)
    loss.backward()
    grads = {name: value.grad for name, value in net.named_parameters() if value.grad is not None}
    return tuple(o.detach() for o in outputs), grads


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.__name__)
def test_the_example_computes_what_snntorch_computes(example) -> None:
    x = EXAMPLES[example]
    ours, theirs = build_both(example)
    outputs, grads = outputs_and_grads(ours, x)
    their_outputs, their_grads = outputs_and_grads(theirs, x)
    assert len(outputs) == len(their_outputs)
    assert 0.01 < float((outputs[0] != 0).double().mean()) < 0.95
    for mine, reference in zip(outputs, their_outputs, strict=True):
        torch.testing.assert_close(mine, reference, rtol=1e-4, atol=1e-5)
    assert grads.keys() == their_grads.keys()
    assert any(bool((grad != 0).any()) for grad in grads.values())
    for name, grad in grads.items():
        scale = float(their_grads[name].abs().max()) + 1e-6
        torch.testing.assert_close(
            grad / scale, their_grads[name] / scale, rtol=1e-3, atol=1e-4, msg=name
        )


@pytest.mark.parametrize("example", [leaky, rsynaptic, convolutional], ids=lambda e: e.__name__)
def test_another_number_would_be_seen(example) -> None:
    ours, theirs = build_both(example)
    for module in ours.modules():
        if isinstance(module, reslif.sw.nn.SpikingNeuron):
            module.beta += 0.01
    x = EXAMPLES[example]
    with pytest.raises(AssertionError):
        torch.testing.assert_close(ours(x)[-1], theirs(x)[-1], rtol=1e-4, atol=1e-5)


def test_the_reset_may_be_chosen_after_construction() -> None:
    """It has an effect at once; snnTorch's Leaky goes on as it was made."""
    late, early = (
        OURS.snn.Leaky(0.9, init_hidden=True, reset_mechanism=m) for m in ("none", "zero")
    )
    late.reset_mechanism = "zero"
    late_spikes = torch.stack([late(FLAT) for _ in range(STEPS)])
    assert torch.equal(late_spikes, torch.stack([early(FLAT) for _ in range(STEPS)]))
    never = OURS.snn.Leaky(0.9, init_hidden=True, reset_mechanism="none")
    assert not torch.equal(late_spikes, torch.stack([never(FLAT) for _ in range(STEPS)]))


def test_an_slstm_remembers_whatever_its_sizes() -> None:
    """snnTorch forgets the state unless input and hidden size are equal."""
    torch.manual_seed(0)
    net = slstm(OURS, hidden=HIDDEN)
    spikes, membrane = net(FLAT)
    assert spikes.shape == (STEPS, BATCH, HIDDEN)
    assert not torch.allclose(membrane[0], membrane[-1])


# Training loops


def separable(seed: int = 0) -> tuple[Tensor, Tensor]:
    """Data of three classes that a few steps of training tell apart, and its labels."""
    labels = torch.arange(30) % 3
    x = data(30, INPUTS, seed=seed, scale=0.3)
    x[torch.arange(30), labels] += 2
    return x, labels


def train(net: nn.Module, loss_of: Callable[[], Tensor], steps: int = 25) -> list[float]:
    optimiser = torch.optim.Adam(net.parameters(), lr=2e-2, betas=(0.9, 0.999))
    losses = []
    for _ in range(steps):
        loss = loss_of()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    return losses


LOSSES: dict[str, Callable[[Package], tuple[Callable, str]]] = {
    "ce_rate": lambda p: (p.SF.ce_rate_loss(), "spk"),
    "ce_count": lambda p: (p.SF.ce_count_loss(), "spk"),
    "mse_count": lambda p: (p.SF.mse_count_loss(correct_rate=0.8, incorrect_rate=0.2), "spk"),
    "ce_max_membrane": lambda p: (p.SF.ce_max_membrane_loss(), "mem"),
    "mse_membrane": lambda p: (p.SF.mse_membrane_loss(on_target=1.05, off_target=0.2), "mem"),
    "ce_temporal": lambda p: (p.SF.ce_temporal_loss(), "spk"),
    "mse_temporal": lambda p: (p.SF.mse_temporal_loss(on_target=1, off_target=13), "spk"),
}


@pytest.mark.parametrize("name", LOSSES)
def test_training_goes_the_same_way(name: str) -> None:
    """Tutorials 5 and 6, and those on losses: the losses fall, by the same amounts."""
    x, labels = separable()
    courses = []
    for net, p in zip(build_both(leaky), (OURS, THEIRS), strict=True):
        loss_fn, output = LOSSES[name](p)

        def loss_of(net=net, loss_fn=loss_fn, output=output):
            spk_rec, mem_rec = net(x)
            return loss_fn(spk_rec if output == "spk" else mem_rec, labels)

        courses.append(torch.tensor(train(net, loss_of)))
    ours, theirs = courses
    assert ours[-3:].mean() < 0.85 * ours[0]
    # Rounding may flip a spike of one of them late in training; the first steps agree closely.
    torch.testing.assert_close(ours[:5], theirs[:5], rtol=1e-3, atol=1e-4)


def test_tutorial_5_trains_on_the_membrane_of_every_step() -> None:
    torch.manual_seed(0)
    x, labels = separable()
    net, loss = leaky(OURS), nn.CrossEntropyLoss()

    def loss_of() -> Tensor:
        _, mem_rec = net(x)
        loss_val = torch.zeros(1)
        for step in range(STEPS):
            loss_val = loss_val + loss(mem_rec[step], labels)
        return loss_val.sum()

    losses = train(net, loss_of)
    assert losses[-1] < 0.5 * losses[0]
    spk_rec, _ = net(x)
    _, idx = spk_rec.sum(dim=0).max(1)
    assert float((idx == labels).double().mean()) > 0.8
    assert OURS.SF.accuracy_rate(spk_rec, labels) > 0.8


def test_population_coding() -> None:
    """The tutorial on populations: more outputs than classes, counted by class."""
    torch.manual_seed(0)
    x, labels = separable()
    p, outputs = OURS, 30
    options = {"beta": 0.9, "init_hidden": True}
    net = OverTime(
        p,
        nn.Linear(INPUTS, HIDDEN),
        p.snn.Leaky(spike_grad=p.surrogate.fast_sigmoid(slope=25), **options),
        nn.Linear(HIDDEN, outputs),
        p.snn.Leaky(output=True, **options),
    )
    loss_fn = p.SF.mse_count_loss(
        correct_rate=1.0, incorrect_rate=0.0, population_code=True, num_classes=3
    )
    losses = train(net, lambda: loss_fn(net(x)[0], labels))
    assert losses[-1] < 0.5 * losses[0]
    accuracy = p.SF.accuracy_rate(net(x)[0], labels, population_code=True, num_classes=3)
    assert accuracy > 0.8
    assert accuracy == loss_fn.accuracy(net(x)[0], labels)


def test_truncated_backpropagation() -> None:
    """The state goes on while its graph is cut, as ``backprop.TBPTT`` does."""
    courses = []
    for p in (OURS, THEIRS):
        torch.manual_seed(0)
        lif = p.snn.Leaky(beta=0.9, init_hidden=True, output=True)
        net = nn.Sequential(nn.Linear(INPUTS, CLASSES), lif)
        optimiser = torch.optim.SGD(net.parameters(), lr=1e-3)
        p.utils.reset(net)
        record = []
        for step in range(STEPS):
            spk, mem = net(FLAT)
            record.append(spk)
            if step % 5 == 4:
                optimiser.zero_grad()
                (torch.stack(record).sum() + mem.sum()).backward()
                optimiser.step()
                p.snn.Leaky.detach_hidden()
                record = []
        assert float(mem.detach().abs().max()) > 0.1
        courses.append((mem.detach(), net[0].weight.detach()))
    for mine, reference in zip(*courses, strict=True):
        torch.testing.assert_close(mine, reference)


def test_encoded_data_drives_a_network_as_in_the_tutorials() -> None:
    """Tutorial 1's codes into tutorial 3's feed-forward network, spikes the same in both."""
    values = data(BATCH, INPUTS, seed=8)
    for code, options in (
        ("rate", {"num_steps": STEPS, "gain": 0.8}),
        ("latency", {"num_steps": STEPS, "tau": 5, "normalize": True, "linear": True}),
    ):
        torch.manual_seed(0)
        theirs = synaptic(THEIRS)
        ours = synaptic(OURS)
        ours.load_state_dict(theirs.state_dict())
        records = []
        for net, p in ((ours, OURS), (theirs, THEIRS)):
            torch.manual_seed(1)
            spikes_in = getattr(p.spikegen, code)(values, **options)
            syn1, mem1 = net.lif1.init_synaptic()
            record = []
            for step in spikes_in:
                spk1, syn1, mem1 = net.lif1(net.fc1(step), syn1, mem1)
                record.append(spk1.detach())
            records.append(torch.stack(record))
        assert torch.equal(*records)
        assert 0.02 < float(records[0].mean()) < 0.9


def test_reset_reaches_nested_neurons_and_no_others() -> None:
    p = OURS
    inner = nn.Sequential(nn.Linear(INPUTS, HIDDEN), p.snn.Leaky(beta=0.9, init_hidden=True))
    net = nn.Sequential(nn.Sequential(inner), p.snn.RLeaky(0.9, linear_features=HIDDEN))
    other = p.snn.Leaky(beta=0.9, init_hidden=True)
    inner(FLAT)
    other(FLAT)
    lif = p.snn.LIF()
    lif.stateful = True
    lif(FLAT[None])
    assert inner[1].mem.abs().sum() > 0
    assert lif.state is not None
    p.utils.reset(nn.ModuleList([net, lif]))
    assert inner[1].mem.numel() == 0
    assert lif.state is None
    assert other.mem.abs().sum() > 0
    # snnTorch looks at direct children only, then at all neurons of their classes.
    lone = snntorch.Leaky(beta=0.9, init_hidden=True)
    lone(FLAT)
    snntorch.utils.reset(nn.Sequential(nn.Sequential(lone)))
    assert lone.mem.abs().sum() > 0
