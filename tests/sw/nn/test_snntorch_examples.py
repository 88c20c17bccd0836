"""snnTorch's documented examples, run with only the import changed, beside snnTorch itself.

The networks are those of its class docstrings and tutorials, in a short form and on small data;
each is written once and built from either package. With the same weights (a state dict of one
loads into the other) outputs and gradients must be the same.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType

import pytest
import reslif.sw.nn
import reslif.sw.nn.functional
import snntorch
import snntorch.functional
import snntorch.functional.quant
import snntorch.spikegen
import snntorch.surrogate
import snntorch.utils
import torch
from torch import Tensor, nn

STEPS, BATCH, INPUTS, HIDDEN, CLASSES = 15, 6, 20, 16, 10


@dataclass(frozen=True)
class Package:
    """What an example imports."""

    snn: ModuleType
    SF: ModuleType
    spikegen: ModuleType
    surrogate: ModuleType
    utils: ModuleType
    quant: ModuleType


OURS = Package(
    reslif.sw.nn,
    reslif.sw.nn.functional,
    reslif.sw.nn.spikegen,
    reslif.sw.nn.surrogate,
    reslif.sw.nn.utils,
    reslif.sw.nn.functional.quant,
)
THEIRS = Package(
    snntorch,
    snntorch.functional,
    snntorch.spikegen,
    snntorch.surrogate,
    snntorch.utils,
    snntorch.functional.quant,
)


def data(*shape: int, seed: int = 0, scale: float = 1.0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) * scale


class TwoLayers(nn.Module):
    """Two dense layers with a neuron each; the loop over steps is each example's own."""

    def __init__(self, lif1: nn.Module, lif2: nn.Module) -> None:
        super().__init__()
        self.fc1, self.lif1 = nn.Linear(INPUTS, HIDDEN), lif1
        self.fc2, self.lif2 = nn.Linear(HIDDEN, CLASSES), lif2
        with torch.no_grad():
            for linear in (self.fc1, self.fc2):
                linear.weight *= 3


# The docstrings of the classes


def leaky(p: Package) -> nn.Module:
    class Net(TwoLayers):
        def forward(self, x):
            mem1, mem2 = self.lif1.init_leaky(), self.lif2.init_leaky()
            rec = []
            for _ in range(STEPS):
                spk1, mem1 = self.lif1(self.fc1(x), mem1)
                spk2, mem2 = self.lif2(self.fc2(spk1), mem2)
                rec.append((spk2, mem2))
            return stacked(rec)

    return Net(p.snn.Leaky(beta=0.5), p.snn.Leaky(beta=0.5))


def synaptic(p: Package) -> nn.Module:
    class Net(TwoLayers):
        def forward(self, x):
            syn1, mem1 = self.lif1.init_synaptic()
            syn2, mem2 = self.lif2.init_synaptic()
            rec = []
            for _ in range(STEPS):
                spk1, syn1, mem1 = self.lif1(self.fc1(x), syn1, mem1)
                spk2, syn2, mem2 = self.lif2(self.fc2(spk1), syn2, mem2)
                rec.append((spk2, syn2, mem2))
            return stacked(rec)

    return Net(*(p.snn.Synaptic(alpha=0.9, beta=0.5) for _ in range(2)))


def alpha(p: Package) -> nn.Module:
    class Net(TwoLayers):
        def forward(self, x):
            syn_exc1, syn_inh1, mem1 = self.lif1.init_alpha()
            syn_exc2, syn_inh2, mem2 = self.lif2.init_alpha()
            rec = []
            for _ in range(STEPS):
                spk1, syn_exc1, syn_inh1, mem1 = self.lif1(self.fc1(x), syn_exc1, syn_inh1, mem1)
                spk2, syn_exc2, syn_inh2, mem2 = self.lif2(self.fc2(spk1), syn_exc2, syn_inh2, mem2)
                rec.append((spk2, syn_exc2, syn_inh2, mem2))
            return stacked(rec)

    return Net(*(p.snn.Alpha(alpha=0.9, beta=0.8) for _ in range(2)))


def lapicque(p: Package) -> nn.Module:
    class Net(TwoLayers):
        def forward(self, x):
            mem1, mem2 = self.lif1.init_lapicque(), self.lif2.init_lapicque()
            rec = []
            for _ in range(STEPS):
                spk1, mem1 = self.lif1(self.fc1(x), mem1)
                spk2, mem2 = self.lif2(self.fc2(spk1), mem2)
                rec.append((spk2, mem2))
            return stacked(rec)

    return Net(p.snn.Lapicque(beta=0.5), p.snn.Lapicque(R=1, C=1.44))


def rleaky(p: Package) -> nn.Module:
    class Net(TwoLayers):
        def forward(self, x):
            spk1, mem1 = self.lif1.init_rleaky()
            spk2, mem2 = self.lif2.init_rleaky()
            rec = []
            for _ in range(STEPS):
                spk1, mem1 = self.lif1(self.fc1(x), spk1, mem1)
                spk2, mem2 = self.lif2(self.fc2(spk1), spk2, mem2)
                rec.append((spk2, mem2))
            return stacked(rec)

    return Net(
        p.snn.RLeaky(beta=0.5, linear_features=HIDDEN),
        p.snn.RLeaky(beta=0.5, all_to_all=False, V=0.5),
    )


def rsynaptic(p: Package) -> nn.Module:
    class Net(TwoLayers):
        def forward(self, x):
            spk1, syn1, mem1 = self.lif1.init_rsynaptic()
            spk2, syn2, mem2 = self.lif2.init_rsynaptic()
            rec = []
            for _ in range(STEPS):
                spk1, syn1, mem1 = self.lif1(self.fc1(x), spk1, syn1, mem1)
                spk2, syn2, mem2 = self.lif2(self.fc2(spk1), spk2, syn2, mem2)
                rec.append((spk2, syn2, mem2))
            return stacked(rec)

    return Net(
        p.snn.RSynaptic(alpha=0.9, beta=0.5, linear_features=HIDDEN),
        p.snn.RSynaptic(alpha=0.9, beta=0.5, all_to_all=False, V=data(CLASSES, seed=3)),
    )


def slstm(p: Package, hidden: int = INPUTS) -> nn.Module:
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            spike_grad = p.surrogate.straight_through_estimator()
            self.slstm1 = p.snn.SLSTM(INPUTS, hidden, spike_grad=spike_grad, threshold=0.1)
            self.slstm2 = p.snn.SLSTM(hidden, hidden, spike_grad=spike_grad, threshold=0.05)

        def forward(self, x):
            syn1, mem1 = self.slstm1.init_slstm()
            syn2, mem2 = self.slstm2.init_slstm()
            rec = []
            for _ in range(STEPS):
                spk1, syn1, mem1 = self.slstm1(x.flatten(1), syn1, mem1)
                spk2, syn2, mem2 = self.slstm2(spk1, syn2, mem2)
                rec.append((spk2, mem2))
            return stacked(rec)

    return Net()


def sconv2dlstm(p: Package) -> nn.Module:
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            spike_grad = p.surrogate.straight_through_estimator()
            self.sclstm1 = p.snn.SConv2dLSTM(
                1, 4, 3, max_pool=2, spike_grad=spike_grad, threshold=0.1
            )
            self.sclstm2 = p.snn.SConv2dLSTM(
                4, 4, 3, avg_pool=2, spike_grad=spike_grad, threshold=0.05
            )
            self.fc1 = nn.Linear(16, CLASSES)
            self.lif1 = p.snn.Leaky(
                beta=0.5, threshold=0.3, spike_grad=p.surrogate.fast_sigmoid(slope=5)
            )

        def forward(self, x):
            syn1, mem1 = self.sclstm1.init_sconv2dlstm()
            syn2, mem2 = self.sclstm2.init_sconv2dlstm()
            mem3 = self.lif1.init_leaky()
            rec = []
            for step in range(x.size(1)):
                spk1, syn1, mem1 = self.sclstm1(x[:, step], syn1, mem1)
                spk2, syn2, mem2 = self.sclstm2(spk1, syn2, mem2)
                spk3, mem3 = self.lif1(self.fc1(spk2.flatten(1)), mem3)
                rec.append((spk3, mem3))
            return stacked(rec)

    return Net()


def leaky_parallel(p: Package) -> nn.Module:
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.lif1 = p.snn.LeakyParallel(input_size=INPUTS, hidden_size=HIDDEN, beta=0.7)
            self.lif2 = p.snn.LeakyParallel(
                input_size=HIDDEN, hidden_size=CLASSES, beta=0.5, learn_beta=True, threshold=0.2
            )

        def forward(self, x):
            return (self.lif2(self.lif1(x)),)

    return Net()


# The tutorials


class OverTime(nn.Module):
    """``forward_pass`` of the tutorials: reset, then the same data in every step."""

    def __init__(self, p: Package, *layers: nn.Module) -> None:
        super().__init__()
        self.p, self.net = p, nn.Sequential(*layers)

    def forward(self, x):
        self.p.utils.reset(self.net)
        return stacked([self.net(x) for _ in range(STEPS)])


def convolutional(p: Package) -> nn.Module:
    """Tutorial 6."""
    options = {"beta": 0.5, "spike_grad": p.surrogate.fast_sigmoid(slope=25), "init_hidden": True}
    return OverTime(
        p,
        nn.Conv2d(1, 4, 3),
        nn.MaxPool2d(2),
        p.snn.Leaky(threshold=0.2, **options),
        nn.Conv2d(4, 8, 3),
        nn.MaxPool2d(2),
        p.snn.Leaky(threshold=0.1, **options),
        nn.Flatten(),
        nn.Linear(8, CLASSES),
        p.snn.Leaky(threshold=0.2, output=True, **options),
    )


def custom_surrogate(p: Package) -> nn.Module:
    """The docstring of ``surrogate.custom_surrogate``."""

    def custom_fast_sigmoid(input_, grad_input, spikes):
        slope = 25
        return grad_input / (slope * torch.abs(input_) + 1.0) ** 2

    options = {
        "beta": 0.9,
        "threshold": 0.5,
        "spike_grad": p.surrogate.custom_surrogate(custom_fast_sigmoid),
        "init_hidden": True,
    }
    return OverTime(
        p,
        nn.Linear(INPUTS, HIDDEN),
        p.snn.Leaky(**options),
        nn.Linear(HIDDEN, CLASSES),
        p.snn.Leaky(output=True, **options),
    )


def alpha_sequence(p: Package) -> nn.Module:
    """The docstring of ``Alpha``, second form."""
    return OverTime(
        p,
        nn.Linear(INPUTS, HIDDEN),
        p.snn.Alpha(alpha=0.9, beta=0.8, threshold=0.3, init_hidden=True),
        nn.Linear(HIDDEN, CLASSES),
        p.snn.Alpha(alpha=0.9, beta=0.8, threshold=0.1, init_hidden=True, output=True),
    )


def synaptic_sequence(p: Package) -> nn.Module:
    return OverTime(
        p,
        nn.Linear(INPUTS, HIDDEN),
        p.snn.Synaptic(alpha=0.8, beta=0.7, init_hidden=True, learn_alpha=True, learn_beta=True),
        nn.Linear(HIDDEN, CLASSES),
        p.snn.Synaptic(
            alpha=0.8, beta=0.7, threshold=0.5, init_hidden=True, output=True, learn_threshold=True
        ),
    )


def recurrent_sequence(p: Package) -> nn.Module:
    return OverTime(
        p,
        nn.Linear(INPUTS, HIDDEN),
        p.snn.RLeaky(beta=0.9, linear_features=HIDDEN, threshold=0.5, init_hidden=True),
        nn.Linear(HIDDEN, CLASSES),
        p.snn.RSynaptic(
            alpha=0.5, beta=0.9, linear_features=CLASSES, init_hidden=True, output=True
        ),
    )


def inhibition(p: Package) -> nn.Module:
    """Winner takes all in the hidden layer."""
    return OverTime(
        p,
        nn.Linear(INPUTS, HIDDEN),
        p.snn.Leaky(beta=0.9, threshold=0.5, inhibition=True, init_hidden=True),
        nn.Linear(HIDDEN, CLASSES),
        p.snn.Leaky(beta=0.9, threshold=0.3, init_hidden=True, output=True),
    )


def numbers_per_neuron(p: Package) -> nn.Module:
    """Tensors for numbers, learnt or not, and every kind of reset."""
    return OverTime(
        p,
        nn.Linear(INPUTS, HIDDEN),
        p.snn.Leaky(
            beta=data(HIDDEN, seed=4),
            learn_beta=True,
            init_hidden=True,
            threshold=0.5,
            reset_mechanism="zero",
        ),
        nn.Linear(HIDDEN, CLASSES),
        p.snn.Leaky(
            beta=data(CLASSES, seed=5),
            threshold=0.2 + data(CLASSES, seed=6),
            graded_spikes_factor=1.5,
            learn_graded_spikes_factor=True,
            reset_mechanism="none",
            init_hidden=True,
            output=True,
        ),
    )


def quantised_state(p: Package) -> nn.Module:
    """The docstring of ``quant.state_quant``."""
    q_lif = p.quant.state_quant(num_bits=4, uniform=True, threshold=0.5)
    return OverTime(
        p,
        nn.Linear(INPUTS, CLASSES),
        p.snn.Leaky(beta=0.5, threshold=0.5, state_quant=q_lif, init_hidden=True, output=True),
    )


def regression(p: Package) -> nn.Module:
    """Regression tutorial 1: the last layer's membrane, never reset, is the answer."""

    class Net(TwoLayers):
        def forward(self, x):
            mem1, mem2 = self.lif1.init_leaky(), self.lif2.init_leaky()
            rec = []
            for step in range(x.size(0)):
                spk1, mem1 = self.lif1(self.fc1(x[step]), mem1)
                _, mem2 = self.lif2(self.fc2(spk1), mem2)
                rec.append((spk1, mem2))
            return stacked(rec)

    return Net(
        p.snn.Leaky(beta=data(HIDDEN, seed=7), learn_beta=True, learn_threshold=True),
        p.snn.Leaky(beta=0.8, learn_beta=True, reset_mechanism="none"),
    )


def batch_norm(p: Package) -> nn.Module:
    """Batch norm through time, a layer for each step."""

    class Net(TwoLayers):
        def __init__(self, *neurons):
            super().__init__(*neurons)
            self.fc1 = nn.Linear(INPUTS, HIDDEN, bias=False)  # the norm would take it out again
            self.bntt1 = p.snn.BatchNormTT1d(HIDDEN, STEPS)

        def forward(self, x):
            mem1, mem2 = self.lif1.init_leaky(), self.lif2.init_leaky()
            rec = []
            for step in range(STEPS):
                spk1, mem1 = self.lif1(self.bntt1[step](self.fc1(x)), mem1)
                spk2, mem2 = self.lif2(self.fc2(spk1), mem2)
                rec.append((spk2, mem2))
            return stacked(rec)

    return Net(p.snn.Leaky(beta=0.9), p.snn.Leaky(beta=0.9, threshold=0.5))


def stacked(rec) -> tuple[Tensor, ...]:
    """Records of steps to tensors over time, spikes first."""
    return tuple(torch.stack(column) for column in zip(*rec, strict=True))


FLAT = data(BATCH, INPUTS, scale=2)
IMAGES = data(BATCH, 1, 10, 10, scale=2)
EXAMPLES: dict[Callable[[Package], nn.Module], Tensor] = {
    leaky: FLAT,
    synaptic: FLAT,
    alpha: FLAT,
    lapicque: FLAT,
    rleaky: FLAT,
    rsynaptic: FLAT,
    slstm: FLAT,
    sconv2dlstm: data(BATCH, STEPS, 1, 8, 8, scale=2),
    leaky_parallel: data(STEPS, BATCH, INPUTS),
    convolutional: IMAGES,
    custom_surrogate: FLAT,
    alpha_sequence: FLAT,
    synaptic_sequence: FLAT,
    recurrent_sequence: FLAT,
    inhibition: FLAT,
    numbers_per_neuron: FLAT,
    quantised_state: FLAT,
    regression: data(STEPS, BATCH, INPUTS, scale=2),
    batch_norm: FLAT,
}


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
    assert inner[1].mem.abs().sum() > 0
    p.utils.reset(net)
    assert inner[1].mem.numel() == 0
    assert other.mem.abs().sum() > 0
    # snnTorch looks at direct children only, then at all neurons of their classes.
    lone = snntorch.Leaky(beta=0.9, init_hidden=True)
    lone(FLAT)
    snntorch.utils.reset(nn.Sequential(nn.Sequential(lone)))
    assert lone.mem.abs().sum() > 0
