"""Small integer networks around one neuron layer: every family with each of its options.

What must be bit-exact is drawn from here, by the tests and by the table of ``make neurons``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from reslif.sw.formats import Format
from reslif.sw.network import (
    LIF,
    LSTM,
    Adaptive,
    Affine,
    Alpha,
    Dense,
    Edge,
    Input,
    Network,
    Neuron,
    Node,
    Readout,
    Synaptic,
)
from reslif.sw.neurons.table import Tanh

INPUTS, SIZE, CLASSES, STEPS = 6, 8, 5, 12

FORMATS = (0, 1)
"""Two sets of formats: comfortable ones, and narrow ones in which states saturate."""

RESETS = (
    ("subtract", True),
    ("subtract", False),
    ("zero", True),
    ("zero", False),
    ("none", True),
)


@dataclass(frozen=True)
class Case:
    """One family with one choice of options; ``recurrence`` is none, linear or one_to_one."""

    family: str
    reset: str
    reset_delay: bool
    recurrence: str = "none"
    options: dict[str, Any] = field(default_factory=dict)
    per_neuron: bool = False
    through_time: bool = False
    """Batch norm through time in front."""

    @property
    def name(self) -> str:
        parts = [self.family, self.reset, "delayed" if self.reset_delay else "immediate"]
        parts += [self.recurrence] * (self.recurrence != "none")
        parts += ["per-neuron"] * self.per_neuron + ["bntt"] * self.through_time
        return " ".join([*parts, *(f"{k}={v}" for k, v in self.options.items())])

    def network(self, formats: int = 0) -> Network:
        """The network, its weights drawn from the case's name."""
        seed = [formats, *self.name.encode()]
        random = np.random.default_rng(seed)
        width = (15, 9)[formats]
        neuron = _neuron(self, random, width)
        nodes: list[Node] = [Input("input", INPUTS)]
        edges = [Edge("input", "dense")]
        gates = neuron.INPUTS * SIZE
        lstm = isinstance(neuron, LSTM)
        form = Format(6, 4 if lstm else 0)
        # A lean to positive currents, so that neurons fire.
        weight = np.clip(random.integers(-24, 32, (gates, INPUTS)), form.min, form.max)
        nodes.append(Dense("dense", weight, form, random.integers(-6, 12, gates)))
        source = "dense"
        if self.through_time:
            gain = random.integers(1, 8, (STEPS, gates))
            bias = random.integers(-40, 60, (STEPS, gates))
            nodes.append(Affine("norm", gain, Format(5, 2), bias))
            edges.append(Edge("dense", "norm"))
            source = "norm"
        nodes.append(neuron)
        edges.append(Edge(source, "neuron"))
        if self.recurrence == "linear" or lstm:
            weight = random.integers(-12, 13, (gates, SIZE))
            nodes.append(Dense("loop", weight, form, random.integers(-6, 7, gates)))
        elif self.recurrence == "one_to_one":
            gain, bias = random.integers(-12, 13, SIZE), random.integers(-6, 7, SIZE)
            nodes.append(Affine("loop", gain, Format(5, 0), bias))
        if self.recurrence != "none" or lstm:
            quantity = "membrane" if lstm else "output"
            edges += [Edge("neuron", "loop", "input", 1, quantity), Edge("loop", "neuron")]
        edges.append(Edge("neuron", "out"))
        nodes += [
            Dense("out", random.integers(-7, 8, (CLASSES, SIZE)), Format(4)),
            Readout("readout", "sum_current", CLASSES),
        ]
        edges.append(Edge("out", "readout"))
        return Network(tuple(nodes), tuple(edges), STEPS)


def samples(case: Case, batch: int = 4) -> np.ndarray:
    """``[T, B, inputs]`` input spikes."""
    random = np.random.default_rng([1, *case.name.encode()])
    return (random.random((STEPS, batch, INPUTS)) < 0.5).astype(np.int64)


def _neuron(case: Case, random: np.random.Generator, width: int) -> Neuron:
    def number(low: int, high: int) -> np.ndarray:
        return random.integers(low, high + 1, SIZE if case.per_neuron else None)

    # A current is some tens; four guard bits in the comfortable formats, two in the narrow.
    narrow = width < 12
    guard, shift = (2 if narrow else 4), (5 if narrow else 4)
    whole = 1 << shift
    grid = guard + 2 * case.through_time
    unit = 1 << grid
    reach = min(width + 2 * case.through_time + (4 if case.family == "Synaptic" else 0), 24)
    common: dict[str, Any] = {
        "reset": case.reset,
        "reset_delay": case.reset_delay,
        **case.options,
    }
    leak = number(whole - 6, whole - 1)
    # Two thirds of the range at most, whatever the unit.
    top = (1 << (reach - 1)) - 2
    theta = np.minimum(number(30, 50) * unit, top * 2 // 3)
    membrane = Format(reach, grid)
    if case.family == "LIF":
        return LIF("neuron", SIZE, membrane, leak, shift, theta, **common)
    if case.family == "Synaptic":
        inner = Format(reach - 2, grid - 1)
        decay = number(whole // 2, whole - 3)
        return Synaptic("neuron", SIZE, membrane, inner, decay, leak, shift, theta, **common)
    if case.family == "Alpha":
        inner = Format(reach, grid)
        fast, gain = number(whole // 2, whole - 8), number(20, 40)
        theta = theta // 2
        return Alpha(
            "neuron", SIZE, Format(reach + 2, grid), inner, leak, fast, shift, gain, 4, theta,
            **common,
        )  # fmt: skip
    if case.family == "Adaptive":
        b = Format(reach - 3, grid, signed=False)
        theta = np.minimum(theta, top - b.max - 2)
        adapt, increment = number(whole - 8, whole - 2), number(4, 12) * unit
        return Adaptive(
            "neuron", SIZE, membrane, b, leak, adapt, shift, theta, increment, **common
        )  # fmt: skip
    table = Tanh.of(4 if narrow else 6, 6 if narrow else 8, 2 if narrow else 4)
    return LSTM(
        "neuron", SIZE, Format(9, 7), Format(9 if narrow else 14, 8 if narrow else 10), 12,
        table.entries, table.step, table.frac, number(10, 40), **common,
    )  # fmt: skip


def cases() -> Iterator[Case]:
    """Every family × reset × delay × recurrence, and each option once for every family."""
    for family in ("LIF", "Synaptic", "Alpha", "Adaptive", "LSTM"):
        for reset, delay in RESETS:
            if family == "Alpha" and (reset, delay) == ("subtract", False):
                continue  # refused by the contract
            yield Case(family, reset, delay)
            if family != "LSTM":
                yield Case(family, reset, delay, "linear", per_neuron=True)
                yield Case(family, reset, delay, "one_to_one")
        reset = "zero" if family == "Alpha" else "subtract"
        yield Case(family, reset, True, options={"strict": False})
        yield Case(family, reset, True, options={"inhibition": True})
        yield Case(family, reset, True, per_neuron=True)
        if family != "LSTM":
            yield Case(family, reset, True, "linear", {"inhibition": True})
            yield Case(family, reset, True, through_time=True)
    yield Case("LIF", "zero", True, options={"keep_input": False})
    yield Case("LIF", "zero", True, "linear", {"keep_input": False})
    yield Case("LIF", "none", True, options={"rectify": True})


CASES = tuple(cases())
