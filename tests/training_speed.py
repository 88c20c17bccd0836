"""How fast one training step is, here and in the libraries that serve as oracles.

``python tests/training_speed.py OUT.json`` races reslif, snnTorch and SpikingJelly on the same
three-layer networks with the same weights and inputs. A training step is forward pass, loss (cross
entropy of the spike counts), backward pass and Adam. Times are processor seconds of one thread:
what else runs on the machine counts little. The steps of the three are interleaved, and a ratio is
that of two steps of one round. Before a race the three must send the same spikes and find the same
gradients.

Each library is used as its documentation shows: here whole [T, B, N] blocks, in snnTorch a loop
over steps (its tutorials'), in SpikingJelly ``step_mode="m"`` on its torch backend. On images,
which are the same in every step, blocks let the first matrix be multiplied once, not T times;
reslif and SpikingJelly do so. On spikes nobody can.
"""

from __future__ import annotations

import json
import logging
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import reslif.sw.nn as rsnn
import snntorch
import snntorch.functional
import torch
from spikingjelly.activation_based import functional as sj_functional
from spikingjelly.activation_based import neuron as sj_neuron
from spikingjelly.activation_based import surrogate as sj_surrogate
from torch import Tensor, nn

OURS = "reslif"
AGREEMENT = 0.999
"""Share of equal spikes, and cosine of the gradients: sums in another order may flip a few."""


@dataclass(frozen=True)
class Race:
    """A network of three layers of one kind of neuron.

    The libraries reset at different times: snnTorch (and reslif by default) in the step after the
    spike, SpikingJelly in the step of the spike. A reset to zero does not show the difference, nor
    does one by subtraction without leak (β = 1); so these are raced.

    Attributes:
        neuron: ``"leaky"``, or ``"rleaky"``: layers feed their spikes back through a weight matrix.
        data: ``"images"`` [B, inputs], shown in every step, or ``"spikes"`` [T, B, inputs].
    """

    neuron: str
    data: str
    beta: float
    reset: str
    sizes: tuple[int, ...] = (784, 256, 256, 10)
    steps: int = 25
    batch: int = 128

    @property
    def name(self) -> str:
        return f"{self.neuron} on {self.data}, reset: {self.reset}"

    @property
    def recurrent(self) -> bool:
        return self.neuron == "rleaky"


RACES = (
    Race("leaky", "images", 1.0, "subtract"),
    Race("leaky", "images", 0.5, "zero"),
    Race("leaky", "spikes", 1.0, "subtract"),
    Race("leaky", "spikes", 0.5, "zero"),
    Race("rleaky", "images", 1.0, "subtract"),
    Race("rleaky", "spikes", 1.0, "subtract"),
)


class Ours(nn.Module):
    """The network in reslif."""

    def __init__(self, race: Race) -> None:
        super().__init__()
        self.linear, self.recurrent = _linears(race)
        options = {"reset_mechanism": race.reset, "multi_step": True}
        if race.recurrent:
            self.neurons = nn.ModuleList(
                rsnn.RLeaky(race.beta, linear_features=n, **options) for n in race.sizes[1:]
            )
            for neuron, recurrent in zip(self.neurons, self.recurrent, strict=True):
                neuron.recurrent = recurrent
        else:
            self.neurons = nn.ModuleList(rsnn.Leaky(race.beta, **options) for _ in self.linear)
        self.loss = rsnn.functional.ce_count_loss()
        self.steps = race.steps

    def forward(self, x: Tensor) -> list[Tensor]:
        return _through_blocks(self, x)


class SnnTorch(nn.Module):
    """The network in snnTorch: its tutorials' loop over steps, states passed by hand."""

    def __init__(self, race: Race) -> None:
        super().__init__()
        self.linear, self.recurrent = _linears(race)
        options = {"reset_mechanism": race.reset}
        if race.recurrent:
            self.neurons = nn.ModuleList(
                snntorch.RLeaky(race.beta, linear_features=n, **options) for n in race.sizes[1:]
            )
            for neuron, recurrent in zip(self.neurons, self.recurrent, strict=True):
                neuron.recurrent = recurrent
        else:
            self.neurons = nn.ModuleList(snntorch.Leaky(race.beta, **options) for _ in self.linear)
        self.steps, self.is_recurrent = race.steps, race.recurrent
        self.loss = snntorch.functional.ce_count_loss()

    def forward(self, x: Tensor) -> list[Tensor]:
        states: list[Any] = [neuron.reset_mem() for neuron in self.neurons]
        record: list[list[Tensor]] = [[] for _ in self.neurons]
        for step in range(self.steps):
            spikes = x[step] if x.dim() == 3 else x
            for i, (linear, neuron) in enumerate(zip(self.linear, self.neurons, strict=True)):
                current = linear(spikes)
                if self.is_recurrent:
                    states[i] = neuron(current, *states[i])
                    spikes = states[i][0]
                else:
                    spikes, states[i] = neuron(current, states[i])
                record[i].append(spikes)
        return [torch.stack(steps) for steps in record]


class SpikingJelly(nn.Module):
    """The network in SpikingJelly, in multi-step mode."""

    def __init__(self, race: Race) -> None:
        super().__init__()
        self.linear, self.recurrent = _linears(race)
        self.neurons = nn.ModuleList()
        for i, _ in enumerate(self.linear):
            neuron = _jelly_neuron(race)
            self.neurons.append(
                _JellyRecurrence(neuron, self.recurrent[i]) if race.recurrent else neuron
            )
        # Linear layers work on the last dimension of [T, B, N], in any step mode.
        sj_functional.set_step_mode(self.neurons, "s" if race.recurrent else "m")
        self.steps = race.steps

    def loss(self, spikes: Tensor, labels: Tensor) -> Tensor:
        return nn.functional.cross_entropy(spikes.sum(0), labels)

    def forward(self, x: Tensor) -> list[Tensor]:
        sj_functional.reset_net(self)
        return _through_blocks(self, x)


def _through_blocks(net: nn.Module, x: Tensor) -> list[Tensor]:
    """Layer by layer, whole [T, B, N] blocks at a time; images [B, N] become one at layer 1."""
    spikes = []
    for linear, neuron in zip(net.linear, net.neurons, strict=True):
        current = linear(x)
        x = neuron(current if current.dim() == 3 else current.expand(net.steps, *current.shape))
        spikes.append(x)
    return spikes


class _JellyRecurrence(nn.Module):
    """Full feedback around a SpikingJelly neuron.

    Its own ``LinearRecurrentContainer`` mixes input and feedback in one matrix, which would have
    to hold an identity for the input: a quarter of a million products a step for nothing.
    """

    def __init__(self, neuron: nn.Module, recurrent: nn.Module) -> None:
        super().__init__()
        self.neuron, self.recurrent = neuron, recurrent

    def forward(self, x: Tensor) -> Tensor:
        spikes, record = torch.zeros_like(x[0]), []
        for step in x:
            spikes = self.neuron(step + self.recurrent(spikes))
            record.append(spikes)
        return torch.stack(record)


def _jelly_neuron(race: Race) -> nn.Module:
    options = {
        "v_reset": 0.0 if race.reset == "zero" else None,
        "surrogate_function": sj_surrogate.ATan(2.0),
        "detach_reset": True,
    }
    if race.beta == 1:
        return sj_neuron.IFNode(**options)
    return sj_neuron.LIFNode(tau=1 / (1 - race.beta), decay_input=False, **options)


def _linears(race: Race) -> tuple[nn.ModuleList, nn.ModuleList]:
    """Layers from a fixed seed, so that every network of a race gets the same weights."""
    generator = torch.Generator().manual_seed(0)

    def linear(inputs: int, outputs: int, gain: float) -> nn.Linear:
        layer = nn.Linear(inputs, outputs)
        with torch.no_grad():
            layer.weight.normal_(0, gain / inputs**0.5, generator=generator)
            layer.bias.normal_(0, 0.05, generator=generator)
        return layer

    pairs = list(zip(race.sizes, race.sizes[1:], strict=False))
    forward = [linear(inputs, outputs, 2.5) for inputs, outputs in pairs]
    feedback = [linear(n, n, 0.5) for n in race.sizes[1:]] if race.recurrent else []
    return nn.ModuleList(forward), nn.ModuleList(feedback)


LIBRARIES: dict[str, Callable[[Race], nn.Module]] = {
    OURS: Ours,
    "snntorch": SnnTorch,
    "spikingjelly": SpikingJelly,
}


def data(race: Race) -> tuple[Tensor, Tensor]:
    """Images [B, inputs], four fifths of them dark, or spikes [T, B, inputs]; and labels [B]."""
    generator = torch.Generator().manual_seed(1)
    labels = torch.randint(0, race.sizes[-1], (race.batch,), generator=generator)
    shape = (race.steps, race.batch, race.sizes[0])
    spikes = torch.bernoulli(torch.full(shape, 0.2), generator=generator)
    if race.data == "spikes":
        return spikes, labels
    return spikes[0] * torch.rand(shape[1:], generator=generator), labels


def compare(race: Race, libraries: dict[str, Callable[[Race], nn.Module]]) -> dict[str, Any]:
    """Spike rates, and how the others' spikes and gradients agree with ours.

    Raises:
        SystemExit: they differ, or a layer is silent or saturated: nothing worth racing.
    """
    x, labels = data(race)
    spikes, grads = {}, {}
    for name, make in libraries.items():
        net = make(race)
        layers = net(x)
        net.loss(layers[-1], labels).backward()
        spikes[name] = [layer.detach() for layer in layers]
        weights = [*net.linear.parameters(), *net.recurrent.parameters()]
        grads[name] = torch.cat([weight.grad.flatten() for weight in weights])
    rates = [float(layer.mean()) for layer in spikes[OURS]]
    agreement: dict[str, Any] = {"layer_rates": rates}
    if not all(0.01 < rate < 0.9 for rate in rates):
        raise SystemExit(f"{race.name}: the layers fire at {rates}; a race needs 0.01 to 0.9")
    for name in libraries:
        if name == OURS:
            continue
        same = min(
            float((a == b).double().mean()) for a, b in zip(spikes[OURS], spikes[name], strict=True)
        )
        cosine = float(torch.cosine_similarity(grads[OURS], grads[name], dim=0))
        agreement[name] = {"equal_spikes": same, "gradient_cosine": cosine}
        if not (same >= AGREEMENT and cosine >= AGREEMENT):
            raise SystemExit(f"{race.name}: {name} does other work than reslif: {agreement[name]}")
    return agreement


def measure(
    race: Race, libraries: dict[str, Callable[[Race], nn.Module]], rounds: int
) -> dict[str, list[float]]:
    """Processor seconds of each library's training step, one a round."""
    x, labels = data(race)
    nets = {name: make(race) for name, make in libraries.items()}
    optimisers = {name: torch.optim.Adam(net.parameters(), 1e-4) for name, net in nets.items()}
    seconds: dict[str, list[float]] = {name: [] for name in nets}
    names = list(nets)
    warm_up = 2
    for turn in range(rounds + warm_up):
        # Another order in each round: nobody always runs on a cache that the same one left.
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            start = time.process_time()
            optimisers[name].zero_grad()
            loss = nets[name].loss(nets[name](x)[-1], labels)
            loss.backward()
            optimisers[name].step()
            if turn >= warm_up:
                seconds[name].append(time.process_time() - start)
    return seconds


def summarise(seconds: dict[str, list[float]]) -> dict[str, Any]:
    """Medians and spread of the times, and of the others' times over ours, round by round."""
    ratios = {
        name: [theirs / ours for theirs, ours in zip(times, seconds[OURS], strict=True)]
        for name, times in seconds.items()
        if name != OURS
    }
    return {
        "milliseconds": {name: _spread([1e3 * s for s in seconds[name]]) for name in seconds},
        "times_faster_than": {name: _spread(values) for name, values in ratios.items()},
    }


def _spread(values: list[float]) -> dict[str, float]:
    low, median, high = statistics.quantiles(values, n=4)
    return {"median": median, "lower_quartile": low, "upper_quartile": high, "best": min(values)}


def run(races: tuple[Race, ...], rounds: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Race all on one torch thread; see the module."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        results = []
        for race in races:
            agreement = compare(race, LIBRARIES)
            seconds = measure(race, LIBRARIES, rounds)
            summary = summarise(seconds)
            results.append(
                {"race": asdict(race), "agreement": agreement, **summary, "seconds": seconds}
            )
            say(_line(race, summary))
    finally:
        torch.set_num_threads(threads)
    names = ("torch", "snntorch", "spikingjelly")
    return {"rounds": rounds, "versions": {n: version(n) for n in names}, "races": results}


def _line(race: Race, summary: dict[str, Any]) -> str:
    ours = summary["milliseconds"][OURS]
    parts = [f"{race.name}: {OURS} {ours['median']:.1f} ms"]
    for name, ratio in summary["times_faster_than"].items():
        theirs = summary["milliseconds"][name]
        parts.append(
            f"{name} {theirs['median']:.1f} ms, x{ratio['median']:.2f} "
            f"({ratio['lower_quartile']:.2f} to {ratio['upper_quartile']:.2f})"
        )
    return "; ".join(parts)


def main(arguments: list[str]) -> None:
    if len(arguments) != 1:
        raise SystemExit("usage: python tests/training_speed.py OUT.json")
    logging.getLogger("torch._library").setLevel(logging.ERROR)  # "Triton not available"
    out = Path(arguments[0])
    out.parent.mkdir(parents=True, exist_ok=True)
    results = run(RACES, rounds=20, say=print)
    out.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
