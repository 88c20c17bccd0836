"""Second-order integrate-and-fire: a decaying synaptic current drives the membrane."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from ..formats import MAX_WIDTH, Format, IntArray
from ..values import NetworkError
from .arithmetic import Ops
from .base import Neuron, NumberKind, Reset, Update


@dataclass(frozen=True, eq=False)
class Synaptic(Neuron):
    """Integrate-and-fire neurons with a synaptic current (snnTorch's ``Synaptic``).

    With ``a / 2^leak_shift`` the ``synaptic_leak`` α and ``k / 2^leak_shift`` the ``leak`` β, the
    input ``I`` on the grid of ``synaptic`` and ``d = membrane.frac - synaptic.frac ≥ 0``:

    * ``i ← sat((a·i >> n) + I)``, which is never reset; ``L = k·u >> n``;
    * delayed reset: subtract ``v = L + (i << d) - r·θ``; zero ``v = r ? 0 : L + (i << d)``;
      none and immediate ``v = L + (i << d)``;
    * ``v ← sat(v)``, fire and immediate reset as :class:`~reslif.sw.neurons.lif.LIF`.
    """

    name: str
    size: int
    membrane: Format
    synaptic: Format
    synaptic_leak: IntArray
    leak: IntArray
    leak_shift: int
    threshold: IntArray
    reset: Reset = "subtract"
    reset_delay: bool = True
    strict: bool = True
    inhibition: bool = False

    STATES: ClassVar[Mapping[str, str]] = {"synaptic": "synaptic", "membrane": "membrane"}
    NUMBERS: ClassVar[Mapping[str, NumberKind]] = {
        "synaptic_leak": "leak",
        "leak": "leak",
        "threshold": "level",
    }

    def __post_init__(self) -> None:
        self.check()
        if self.synaptic.frac > self.membrane.frac:
            raise NetworkError(
                f"node '{self.name}': membrane has {self.membrane.frac} fraction bits, "
                f"must have at least the synaptic current's {self.synaptic.frac}"
            )
        if self.synaptic.width + self.rise > MAX_WIDTH:
            raise NetworkError(
                f"node '{self.name}': synaptic is {self.synaptic}, which the membrane's "
                f"{self.membrane.frac} fraction bits make {self.synaptic.width + self.rise} bits "
                f"wide, must be at most {MAX_WIDTH}"
            )

    @property
    def rise(self) -> int:
        """d, by how many bits the membrane's grid is the finer one."""
        return self.membrane.frac - self.synaptic.frac

    @property
    def current_frac(self) -> int:
        return self.synaptic.frac

    def reach(self, current: int) -> int:
        driven = -self.synaptic.min << self.rise
        return max(super().reach(current), driven - 4 * self.membrane.min)

    def step(self, ops: Ops, numbers: Mapping[str, Any], state: Any, current: Any) -> Update:
        threshold = numbers["threshold"]
        synaptic = ops.floor(numbers["synaptic_leak"] * state["synaptic"], self.leak_shift)
        synaptic = ops.saturate(synaptic + current, self.synaptic)
        leaked = ops.floor(numbers["leak"] * state["membrane"], self.leak_shift)
        driven = ops.align(synaptic, self.rise)
        value = self.late(ops, leaked, driven, state["fired"], threshold)
        value = ops.saturate(value, self.membrane)
        fired = ops.fire(value, threshold, threshold, self.strict)
        membrane = self.now(ops, value, fired, threshold)
        return Update({"synaptic": synaptic, "membrane": membrane}, fired, value - threshold)
