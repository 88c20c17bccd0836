"""The networks of snnTorch's documentation, to be built from snnTorch or from reslif.

Those of its class docstrings and tutorials, in a short form and on small data: each is written
once, and takes the package as an argument instead of importing it. ``EXAMPLES`` maps each to an
input.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType

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
