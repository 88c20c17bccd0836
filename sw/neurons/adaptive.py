"""The adaptive-threshold LIF neuron: every spike raises the threshold for a while."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from ..formats import Format, IntArray
from ..values import NetworkError
from .arithmetic import Ops
from .base import Neuron, NumberKind, Reset, Update


@dataclass(frozen=True, eq=False)
class Adaptive(Neuron):
    """LIF neurons whose threshold adapts (ALIF; Bellec et al., NeurIPS 2018).

    The ``adaptation`` b, unsigned on the membrane's grid, raises the fire level to ``θ + b``:

    * ``v`` as :class:`~reslif.sw.neurons.lif.LIF` without ``keep_input``; resets take θ;
    * ``v ← sat(v)``; fire ``f = v > θ + b`` (``≥`` unless ``strict``);
    * ``b ← sat((ρ·b >> n) + f·increment)``, ρ being ``adaptation_leak`` over ``2^leak_shift``.

    ``θ + adaptation.max`` must lie below the membrane's largest value.
    """

    name: str
    size: int
    membrane: Format
    adaptation: Format
    leak: IntArray
    adaptation_leak: IntArray
    leak_shift: int
    threshold: IntArray
    increment: IntArray
    reset: Reset = "subtract"
    reset_delay: bool = True
    strict: bool = True
    inhibition: bool = False

    STATES: ClassVar[Mapping[str, str]] = {"adaptation": "adaptation", "membrane": "membrane"}
    UNSIGNED: ClassVar[frozenset[str]] = frozenset({"adaptation"})
    NUMBERS: ClassVar[Mapping[str, NumberKind]] = {
        "leak": "leak",
        "adaptation_leak": "leak",
        "threshold": "level",
        "increment": "increment",
    }

    def __post_init__(self) -> None:
        self.check()
        if self.adaptation.frac != self.membrane.frac:
            raise NetworkError(
                f"node '{self.name}': adaptation is {self.adaptation}, must have the membrane's "
                f"{self.membrane.frac} fraction bits"
            )

    def scaled(self, incoming: int, guard: int, width: int, shift: int) -> dict[str, Any]:
        narrower = Format(width - 2, incoming + guard, signed=False)
        return super().scaled(incoming, guard, width, shift) | {"adaptation": narrower}

    def fitted(self, widths: dict[str, int]) -> dict[str, int]:
        level = int(self.threshold.max()) + (1 << widths["adaptation"])
        return widths | {"membrane": max(widths["membrane"], level.bit_length() + 1)}

    def limits(self, what: str) -> tuple[int, int]:
        low, high = super().limits(what)
        return low, high - self.adaptation.max if what == "threshold" else high

    def step(self, ops: Ops, numbers: Mapping[str, Any], state: Any, current: Any) -> Update:
        threshold, adaptation = numbers["threshold"], state["adaptation"]
        leaked = ops.floor(numbers["leak"] * state["membrane"], self.leak_shift)
        value = self.late(ops, leaked, current, state["fired"], threshold)
        value = ops.saturate(value, self.membrane)
        level = threshold + adaptation
        fired = ops.fire(value, level, threshold, self.strict)
        adaptation = ops.floor(numbers["adaptation_leak"] * adaptation, self.leak_shift)
        adaptation = ops.saturate(adaptation + fired * numbers["increment"], self.adaptation)
        membrane = self.now(ops, value, fired, threshold)
        return Update({"adaptation": adaptation, "membrane": membrane}, fired, value - level)
