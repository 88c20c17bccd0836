"""Random neurons of every family, drawn to fire now and then on what reaches them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from reslif.sw.formats import Format
from reslif.sw.network import LIF, LSTM, Adaptive, Alpha, Neuron, Synaptic, Values
from reslif.sw.neurons.table import Tanh

RESETS = (
    ("subtract", True),
    ("subtract", False),
    ("zero", True),
    ("zero", False),
    ("none", True),
)
FAMILIES = (LIF, Synaptic, Alpha, Adaptive)
"""Those that take one current a neuron."""


class Draw:
    """Draws the numbers of ``size`` neurons that ``sources`` feed."""

    def __init__(self, random: np.random.Generator, size: int, sources: Sequence[Values]) -> None:
        self.random = random
        self.size = size
        self.sources = sources
        self.frac = max(v.format.frac for v in sources) + self.below(3)

    def below(self, end: int) -> int:
        return int(self.random.integers(end))

    def chance(self, probability: float) -> bool:
        return bool(self.random.random() < probability)

    def typical(self, frac: int) -> float:
        """The size of large currents on a grid."""
        return 1 + sum(
            float(np.abs(np.stack([v.low, v.high])).mean()) * 2.0 ** (frac - v.format.frac)
            for v in self.sources
        )

    def level(self, frac: int) -> np.ndarray:
        """Thresholds well below the largest currents."""
        one = self.random.uniform(0.02, 0.4, self.size if self.chance(0.4) else None)
        return np.maximum(np.asarray(self.typical(frac) * one, np.int64), 1)

    def leak(self, shift: int) -> np.ndarray:
        whole = 1 << shift
        leak = self.random.integers(whole // 2, whole + 1, self.size)
        return leak if self.chance(0.3) else np.asarray(leak[0])

    def form(self, limit: Any, frac: int) -> Format:
        """From widths that saturate often to ones that never do."""
        return Format(int(np.max(limit)).bit_length() + 2 + self.below(5), frac)

    def common(self, threshold: np.ndarray) -> dict[str, Any]:
        reset, delay = RESETS[self.below(len(RESETS))]
        return {
            "threshold": threshold,
            "reset": reset,
            "reset_delay": delay,
            "strict": self.chance(0.7),
        }


def neuron(
    family: type[Neuron], name: str, size: int, random: np.random.Generator, sources: list[Values]
) -> Neuron:
    """A neuron of one of :data:`FAMILIES`."""
    d = Draw(random, size, sources)
    shift = d.below(9)
    if family is LIF:
        threshold = d.level(d.frac)
        return LIF(
            name, size, d.form(threshold, d.frac), d.leak(shift), shift,
            **d.common(threshold), keep_input=d.chance(0.5), rectify=d.chance(0.5),
        )  # fmt: skip
    if family is Synaptic:
        frac = d.frac + d.below(4)
        threshold = d.level(frac)
        return Synaptic(
            name, size, d.form(threshold, frac), d.form(d.typical(d.frac), d.frac),
            d.leak(shift), d.leak(shift), shift, **d.common(threshold),
        )  # fmt: skip
    if family is Alpha:
        threshold = d.level(d.frac)
        gain_shift = d.below(5)
        common = d.common(threshold)
        if not common["reset_delay"]:
            common["reset"] = "zero"
        return Alpha(
            name, size, d.form(threshold, d.frac), d.form(d.typical(d.frac), d.frac),
            d.leak(shift), d.leak(shift) // 2, shift,
            np.asarray(random.integers(1, 3 << gain_shift)), gain_shift, **common,
        )  # fmt: skip
    threshold = d.level(d.frac)
    adaptation = Format(1 + d.below(int(threshold.max()).bit_length() + 1), d.frac, signed=False)
    return Adaptive(
        name, size, d.form(2 * threshold.max() + adaptation.max, d.frac), adaptation,
        d.leak(shift), d.leak(shift), shift,
        increment=random.integers(0, adaptation.max + 1, size), **d.common(threshold),
    )  # fmt: skip


def hidden(random: np.random.Generator) -> Format:
    """The membrane of an LSTM, which its recurrence reads."""
    frac = int(random.integers(2, 9))
    return Format(frac + 1 + int(random.integers(0, 3)), frac)


def lstm(
    name: str, size: int, membrane: Format, random: np.random.Generator, sources: list[Values]
) -> LSTM:
    """Cells that four currents each feed; |h| stays below 1, and so does the threshold."""
    d = Draw(random, size, sources)
    step, frac = d.below(5), 1 + d.below(8)
    frac = max(frac, -(-(membrane.frac - 1) // 2))
    cell_frac = max(step, frac) + d.below(4)
    table = Tanh.of(step, frac, reach=2 + d.below(3))
    one = max(2, min(1 << membrane.frac, membrane.max - 1) // 4)
    threshold = np.asarray(random.integers(1, one, size if d.chance(0.5) else None))
    return LSTM(
        name, size, membrane, Format(cell_frac + 1 + d.below(4), cell_frac),
        max(d.frac, step), table.entries, step, frac, **d.common(threshold),
    )  # fmt: skip
