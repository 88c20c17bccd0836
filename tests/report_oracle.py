"""Part 1 of `make neurons`: the float neurons against snnTorch 1.0.0, the equations and autograd.

The reference of a delayed reset is snnTorch. Where snnTorch has no such option, or differs on
purpose, it is the neuron's equation, run on reals from its one definition in `sw/neurons`, which
shares no code with the modules of `sw/nn`.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import reslif.sw.nn as snn
import snntorch
import torch
from recurrent_cases import currents as recurrent_currents
from recurrent_cases import feedback, per_layer_or_neuron, with_the_same_weights
from reslif.sw.formats import Format
from reslif.sw.graph import RealOps, neuron_step
from reslif.sw.network import LIF, LSTM, Alpha, Synaptic
from reslif.sw.neurons.table import Tanh
from snntorch_oracle import (
    RESETS,
    B,
    N,
    Trace,
    all_at_once,
    difference,
    drive,
    gradient_errors,
    heaviside,
    number,
    step_by_step,
)
from torch import Tensor, nn

WIDE = Format(46)
INPUTS = 7
TOLERANCE = 1e-9


@dataclass(frozen=True)
class Setting:
    """One row: a neuron and its options."""

    neuron: str
    recurrence: str
    reset: str
    delayed: bool
    per_neuron: bool

    @property
    def reference(self) -> str:
        """snnTorch where it has the option and means the same."""
        return "snnTorch" if self.delayed else "equation"


def settings() -> Iterator[Setting]:
    """Every neuron × reset × delay × scalar or per neuron × recurrence."""
    for per_neuron in (False, True):
        for reset in RESETS:
            for delayed in (True, False) if reset != "none" else (True,):
                for neuron in ("Leaky", "Lapicque", "Synaptic", "Alpha", "SLSTM", "SConv2dLSTM"):
                    if neuron == "Alpha" and reset == "subtract" and not delayed:
                        continue  # refused: the membrane is computed anew in each step
                    yield Setting(neuron, "-", reset, delayed, per_neuron)
                for neuron in ("RLeaky", "RSynaptic"):
                    for kind in ("linear", "one_to_one", "conv"):
                        yield Setting(neuron, kind, reset, delayed, per_neuron)
    yield Setting("LeakyParallel", "diagonal", "none", True, False)


def run(setting: Setting) -> dict[str, Any]:
    """The row of a setting: errors of outputs and gradients, and what the run fired."""
    torch.manual_seed(0)
    if setting.neuron == "LeakyParallel":
        return _leaky_parallel(setting)
    ours, theirs, current, names = _pair(setting)
    with torch.no_grad():
        found = all_at_once(ours, current, names)
        stepped = copy.deepcopy(ours)
        stepped.multi_step = False
        singly = step_by_step(stepped, current, names)
        if setting.reference == "snnTorch":
            expected = step_by_step(theirs, current, names)
        else:
            expected = _equation(setting, ours, current, names)
        block, single = difference(found, expected), difference(singly, expected)
    learner = _learner(ours)
    if (setting.neuron, setting.recurrence, setting.reset) == ("RLeaky", "one_to_one", "zero"):
        # The reset drops the very input that V scales: it has no effect and no gradient.
        learner.V.requires_grad_(not setting.delayed)
    gradients = gradient_errors(learner, current[:25], names)
    return _row(setting, [block, single], gradients)


def _row(setting: Setting, runs: list[Any], gradients: dict[str, float]) -> dict[str, Any]:
    row = {
        "neuron": setting.neuron,
        "recurrence": setting.recurrence,
        "reset": setting.reset,
        "delayed": setting.delayed,
        "numbers": "per neuron" if setting.per_neuron else "scalar",
        "reference": setting.reference,
        "spikes": runs[0].spikes,
        "places": runs[0].places,
        "spike_differences": max(run.different for run in runs),
        "error": max(max(run.errors.values()) for run in runs),
        "gradient_error": max(gradients.values()),
        "gradients": sorted(gradients),
    }
    row["ok"] = (
        0 < row["spikes"] < row["places"]
        and row["spike_differences"] == 0
        and row["error"] <= TOLERANCE
        and row["gradient_error"] <= TOLERANCE
    )
    return row


def _options(setting: Setting) -> dict[str, Any]:
    return {
        "reset_mechanism": setting.reset,
        "reset_delay": setting.delayed,
        "multi_step": True,
        "output": True,
    }


def _pair(setting: Setting) -> tuple[Any, Any, Tensor, tuple[str, ...]]:
    """Our neuron, snnTorch's with the same numbers, currents, and the names of the states."""
    each, reset = setting.per_neuron, {"reset_mechanism": setting.reset}
    theta, beta = number(0.4, 1.6, each), number(0.5, 0.95, each)
    alpha = number(0.3, 0.8, each)
    plain = {"spike_grad": heaviside, **reset}
    if setting.neuron == "Leaky":
        ours = snn.Leaky(beta, theta, **_options(setting))
        return ours, snntorch.Leaky(beta, theta, **plain), drive(), ("mem",)
    if setting.neuron == "Lapicque":
        # snnTorch takes one circuit a layer; the threshold may differ.
        circuit = {
            name: torch.tensor(value, dtype=torch.float64)
            for name, value in {"R": 5.1, "C": 0.5, "time_step": 0.5}.items()
        }
        ours = snn.Lapicque(**circuit, threshold=theta, **_options(setting))
        theirs = snntorch.Lapicque(**circuit, threshold=theta, **plain)
        return ours, theirs, drive(), ("mem",)
    if setting.neuron == "Synaptic":
        ours = snn.Synaptic(alpha, beta, theta, **_options(setting))
        return ours, snntorch.Synaptic(alpha, beta, theta, **plain), drive(), ("syn", "mem")
    if setting.neuron == "Alpha":
        numbers = (number(0.7, 0.95, each), number(0.4, 0.65, each), number(0.3, 0.9, each))
        ours = snn.Alpha(*numbers, **_options(setting))
        names = ("syn_exc", "syn_inh", "mem")
        return ours, snntorch.Alpha(*numbers, **plain), drive(), names
    if setting.neuron == "SLSTM":
        low = number(0.1, 0.3, each)
        theirs = _lively(snntorch.SLSTM(N, N, threshold=low, **plain))
        theirs.syn, theirs.mem = torch.zeros(2, B, N, dtype=torch.float64)
        ours = snn.SLSTM(N, N, threshold=low, **_options(setting)).double()
        ours.load_state_dict(theirs.state_dict())
        return ours, theirs, drive(scale=1.0), ("syn", "mem")
    if setting.neuron == "SConv2dLSTM":
        low = number(0.05, 0.2, each, 4)
        low = low[:, None, None] if each else low
        theirs = _lively(snntorch.SConv2dLSTM(2, 4, 3, threshold=low, **plain))
        theirs.syn, theirs.mem = torch.zeros(2, 3, 4, 6, 4, dtype=torch.float64)
        ours = snn.SConv2dLSTM(2, 4, 3, threshold=low, **_options(setting)).double()
        ours.load_state_dict(theirs.state_dict())
        return ours, theirs, drive(0, (30, 3, 2, 6, 4), scale=1.0), ("syn", "mem")
    kind = setting.recurrence
    numbers = {
        "beta": per_layer_or_neuron(0.6, 0.97, kind, each),
        "threshold": per_layer_or_neuron(0.5, 1.3, kind, each),
    }
    names = ("mem",)
    if setting.neuron == "RSynaptic":
        numbers["alpha"], names = per_layer_or_neuron(0.3, 0.8, kind, each), ("syn", "mem")
    arguments = {**numbers, **feedback(kind, each)}
    theirs = getattr(snntorch, setting.neuron)(**arguments, **plain)
    ours = getattr(snn, setting.neuron)(**arguments, **_options(setting))
    with_the_same_weights(theirs, ours)
    current = recurrent_currents(kind)
    return ours, theirs, current, names


def _lively(neuron: Any) -> Any:
    """Float64 weights large enough for the gates to open and close."""
    generator = torch.Generator().manual_seed(1)
    neuron.double()
    for name, weights in neuron.named_parameters():
        if "weight" in name or "bias" in name:
            noise = torch.randn(weights.shape, dtype=torch.float64, generator=generator)
            weights.data = noise * (0.6 if weights.dim() == 2 else 0.4)
    return neuron


def _learner(neuron: nn.Module) -> nn.Module:
    """The neuron with all its numbers learnable and a surrogate that has a slope everywhere."""
    result: Any = copy.deepcopy(neuron)
    result.spike_grad = snn.fast_sigmoid(3.0)
    # Of a Lapicque circuit β only follows from R and C.
    lapicque = isinstance(neuron, snn.Lapicque)
    for name in ("R", "C", "threshold") if lapicque else ("alpha", "beta", "threshold"):
        value = result._buffers.pop(name, None)
        if value is not None:
            result.register_parameter(name, nn.Parameter(value.clone()))
    return result


def _equation(setting: Setting, ours: Any, current: Tensor, names: tuple[str, ...]) -> Trace:
    """The contract's step on reals, with the recurrence written out."""
    options: dict[str, Any] = {"reset": setting.reset, "reset_delay": setting.delayed}
    zero, one = np.array(0), np.array(1)
    numbers = {"threshold": ours.threshold}
    state_of = {"mem": "membrane"}
    size = current.shape[-1]
    if setting.neuron in ("Leaky", "RLeaky", "Lapicque"):
        numbers["leak"] = ours.effective_beta()
        node: Any = LIF("n", size, WIDE, zero, 0, one, keep_input=False, **options)
        if setting.neuron == "Lapicque":
            step = ours.time_step / (ours.R * ours.C)
            numbers["leak"] = 1 - step
            current = current * ours.R * step
    elif setting.neuron in ("Synaptic", "RSynaptic"):
        numbers |= {"leak": ours.effective_beta(), "synaptic_leak": ours.effective_alpha()}
        node = Synaptic("n", size, WIDE, WIDE, zero, zero, 0, one, **options)
        state_of |= {"syn": "synaptic"}
    elif setting.neuron == "Alpha":
        a, b = ours.effective_alpha(), ours.effective_beta()
        gain = torch.log(a) / (torch.log(b) - torch.log(a)) + 1
        numbers |= {"excitatory_leak": a, "inhibitory_leak": b, "gain": gain}
        form = Format(40)
        node = Alpha("n", size, form, form, zero, zero, 0, zero, 0, one, **options)
        state_of |= {"syn_exc": "excitatory", "syn_inh": "inhibitory"}
    else:
        return _lstm_equation(setting, ours, current, options)
    rows, memory = [], {}
    spikes = torch.zeros_like(current[0])
    for step in current:
        if setting.neuron.startswith("R"):
            one_to_one = setting.recurrence == "one_to_one"
            step = step + (ours.V * spikes if one_to_one else ours.recurrent(spikes))
        seen = neuron_step(node, RealOps(), numbers, step, memory)
        spikes = seen["spike"]
        rows.append([spikes, *(seen[state_of[name]] for name in names)])
    first, *states = (torch.stack(column) for column in zip(*rows, strict=True))
    return Trace(first, dict(zip(names, states, strict=True)))


def _lstm_equation(setting: Setting, ours: Any, current: Tensor, options: dict[str, Any]) -> Trace:
    """Gates flattened to the contract's [4n], gate-major i, f, g, o."""
    table = Tanh.of(4, 6)
    convolutional = setting.neuron == "SConv2dLSTM"
    shape = (4, 6, 4) if convolutional else (N,)
    size = int(np.prod(shape))
    node = LSTM(
        "n", size, Format(9, 6), Format(12, 8), 8, table.entries, 4, 6, np.array(1), **options
    )
    threshold = ours.threshold.expand(shape).flatten()
    h = torch.zeros(current.shape[1], *shape, dtype=current.dtype)
    rows, memory = [], {}
    for x in current:
        if convolutional:
            i, f, o, g = ours.conv(torch.cat([x, h], 1)).split(shape[0], 1)
            gates = torch.cat([gate.flatten(1) for gate in (i, f, g, o)], 1)
        else:
            cell = ours.lstm_cell
            gates = x @ cell.weight_ih.T + cell.bias_ih + h @ cell.weight_hh.T + cell.bias_hh
        seen = neuron_step(node, RealOps(), {"threshold": threshold}, gates, memory)
        spikes, c, h = (seen[k].unflatten(-1, shape) for k in ("spike", "cell", "membrane"))
        rows.append((spikes, c, h))
    first, syn, mem = (torch.stack(column) for column in zip(*rows, strict=True))
    return Trace(first, {"syn": syn, "mem": mem})


def _leaky_parallel(setting: Setting) -> dict[str, Any]:
    """All steps at once in both libraries; autograd's reference is the step written out."""
    theirs: Any = snntorch.LeakyParallel(INPUTS, N, 0.8, spike_grad=heaviside).double()
    generator = torch.Generator().manual_seed(1)
    for name, weights in theirs.rnn.named_parameters():
        if name != "weight_hh_l0":
            noise = torch.randn(weights.shape, dtype=torch.float64, generator=generator)
            weights.data = noise * 0.4
    ours = snn.LeakyParallel(INPUTS, N, 0.8, output=True).double()
    ours.load_state_dict(theirs.state_dict())
    current = drive(0, (60, B, INPUTS), scale=1.0, offset=0.1)
    with torch.no_grad():
        spikes, mem = ours(current)
        expected = Trace(theirs(current), {"mem": theirs.rnn(current)[0]})
        comparison = difference(Trace(spikes, {"mem": mem}), expected)
    # Gradients: the same loss through the RNN of torch and through ours.
    learner: Any = snn.LeakyParallel(
        INPUTS, N, 0.8, learn_beta=True, spike_grad=snn.fast_sigmoid(3.0), output=True
    ).double()
    learner.load_state_dict(theirs.state_dict(), strict=False)
    weights = torch.randn(60, B, N, dtype=torch.float64, generator=generator)
    found: list[tuple[Tensor, ...]] = []
    for block in (True, False):
        x = current.clone().requires_grad_()
        rnn = learner.rnn
        leaves = [x, rnn.weight_ih_l0, rnn.bias_ih_l0, rnn.weight_hh_l0]
        if block:
            spikes, mem = learner(x)
        else:
            h, rows = torch.zeros(B, N, dtype=x.dtype), []
            for step in x:
                drive_ = step @ rnn.weight_ih_l0.T + rnn.bias_ih_l0 + rnn.bias_hh_l0
                h = torch.relu(drive_ + h * rnn.weight_hh_l0.diagonal().clamp(0, 1))
                rows.append(h)
            mem = torch.stack(rows)
            spikes = learner.fire(mem)
        loss = (weights * spikes).sum() + (weights * mem).sum() / 3
        found.append(torch.autograd.grad(loss, leaves))
    names = ("input", "weight_ih", "bias_ih", "weight_hh")
    errors = {
        name: float((a - b).abs().max())
        for name, a, b in zip(names, found[0], found[1], strict=True)
    }
    return _row(setting, [comparison], errors)


def table() -> list[dict[str, Any]]:
    """All rows."""
    return [run(setting) for setting in settings()]
