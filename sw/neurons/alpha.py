"""The alpha neuron: the membrane is the difference of two exponentials."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from ..formats import MAX_WIDTH, Format, IntArray
from ..values import NetworkError, check_range
from .arithmetic import Ops
from .base import Neuron, NumberKind, Reset, Update

GAIN_SHIFT = 8
"""n of the gain counted in ``2^-n`` that the quantiser chooses."""


@dataclass(frozen=True, eq=False)
class Alpha(Neuron):
    """Neurons with an alpha-shaped response (snnTorch's ``Alpha``).

    ``excitatory`` e and ``inhibitory`` h share the format ``synaptic``, whose grid is also the
    membrane's. With a, b the two leaks over ``2^leak_shift`` and g the ``gain`` over
    ``2^gain_shift``:

    * ``e ← sat((a·e >> n) + I)``, ``h ← sat((b·h >> n) - I)``, ``v = g·(e + h) >> gain_shift``;
    * delayed reset, if the neuron fired in the last step: zero clears e, h and v; subtract adds
      the old h to v, takes θ off e (saturating) and clears h;
    * ``v ← sat(v)``, the membrane; fire ``f = v > θ`` (``≥`` unless ``strict``);
    * immediate reset to zero: if it fires, e, h and the membrane become 0.
    """

    name: str
    size: int
    membrane: Format
    synaptic: Format
    excitatory_leak: IntArray
    inhibitory_leak: IntArray
    leak_shift: int
    gain: IntArray
    gain_shift: int
    threshold: IntArray
    reset: Reset = "zero"
    reset_delay: bool = True
    strict: bool = True
    inhibition: bool = False

    STATES: ClassVar[Mapping[str, str]] = {
        "excitatory": "synaptic",
        "inhibitory": "synaptic",
        "membrane": "membrane",
    }
    NUMBERS: ClassVar[Mapping[str, NumberKind]] = {
        "excitatory_leak": "leak",
        "inhibitory_leak": "leak",
        "gain": "gain",
        "threshold": "level",
    }

    def __post_init__(self) -> None:
        self.check()
        if self.synaptic.frac != self.membrane.frac:
            raise NetworkError(
                f"node '{self.name}': membrane has {self.membrane.frac} fraction bits, "
                f"must have the synaptic currents' {self.synaptic.frac}"
            )
        if self.reset == "subtract" and not self.reset_delay:
            raise NetworkError(
                f"node '{self.name}': an immediate reset is subtract, must be zero or none"
            )
        if not 0 <= self.gain_shift <= 16:
            raise NetworkError(
                f"node '{self.name}': gain_shift is {self.gain_shift}, must be 0 to 16"
            )
        check_range(self.name, "gain", self.gain, *self.limits("gain"))

    @property
    def current_frac(self) -> int:
        return self.synaptic.frac

    def scaled(self, incoming: int, guard: int, width: int, shift: int) -> dict[str, Any]:
        # The gain makes products that are wider still.
        return super().scaled(incoming, guard, min(width, 40), shift) | {"gain_shift": GAIN_SHIFT}

    def unit(self, what: str, scale: float) -> float:
        return 2.0**-self.gain_shift if what == "gain" else super().unit(what, scale)

    def limits(self, what: str) -> tuple[int, int]:
        if what == "gain":
            return 0, (1 << min(16, max(0, MAX_WIDTH - 1 - self.synaptic.width))) - 1
        return super().limits(what)

    def reach(self, current: int) -> int:
        return max(super().reach(current), int(self.gain.max()) << (self.synaptic.width + 1))

    def step(self, ops: Ops, numbers: Mapping[str, Any], state: Any, current: Any) -> Update:
        threshold, late = numbers["threshold"], state["fired"]
        before = state["inhibitory"]
        excitatory = ops.floor(numbers["excitatory_leak"] * state["excitatory"], self.leak_shift)
        inhibitory = ops.floor(numbers["inhibitory_leak"] * before, self.leak_shift)
        excitatory = ops.saturate(excitatory + current, self.synaptic)
        inhibitory = ops.saturate(inhibitory - current, self.synaptic)
        value = ops.floor(numbers["gain"] * (excitatory + inhibitory), self.gain_shift)
        if self.reset_delay and self.reset == "zero":
            excitatory = ops.where(late, 0, excitatory)
            value = ops.where(late, 0, value)
        elif self.reset_delay and self.reset == "subtract":
            value = value + late * before
            excitatory = ops.saturate(excitatory - late * threshold, self.synaptic)
        if self.reset_delay and self.reset != "none":
            inhibitory = ops.where(late, 0, inhibitory)
        value = ops.saturate(value, self.membrane)
        fired = ops.fire(value, threshold, threshold, self.strict)
        states = {
            "excitatory": self.now(ops, excitatory, fired, threshold),
            "inhibitory": self.now(ops, inhibitory, fired, threshold),
            "membrane": self.now(ops, value, fired, threshold),
        }
        return Update(states, fired, value - threshold)
