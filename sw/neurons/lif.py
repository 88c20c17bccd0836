"""Leaky integrate-and-fire: one state, the membrane."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from ..formats import Format, IntArray
from ..values import ADDED
from .arithmetic import Ops
from .base import Neuron, NumberKind, Reset, Update


@dataclass(frozen=True, eq=False)
class LIF(Neuron):
    """Leaky integrate-and-fire neurons, the step of ``docs/arithmetic.md``.

    ``L = (leak · u) >> leak_shift`` (floor); ``I`` is the sum of all incoming edges, aligned to
    ``membrane`` by left shifts. Then, with ``r`` whether the neuron fired in the last step,

    * delayed reset: subtract ``v = L + I - r·θ``; zero ``v = (r ? 0 : L) + I`` if ``keep_input``
      (snnTorch's ``Leaky``), else ``v = r ? 0 : L + I`` (its other neurons); none ``v = L + I``;
    * immediate reset: ``v = L + I``;
    * with ``rectify``, ``v ← max(v, 0)`` (snnTorch's ``LeakyParallel``);
    * ``v ← sat(v)``; fire ``f = v > θ`` (``≥`` unless ``strict``);
    * delayed: ``u ← v``; immediate: subtract ``u ← v - f·θ``, zero ``u ← f ? 0 : v``.

    ``leak`` and ``threshold`` are scalars or ``[n]``.
    """

    name: str
    size: int
    membrane: Format
    leak: IntArray
    leak_shift: int
    threshold: IntArray
    reset: Reset = "subtract"
    reset_delay: bool = True
    strict: bool = True
    keep_input: bool = True
    inhibition: bool = False
    rectify: bool = field(default=False, metadata=ADDED)

    NUMBERS: ClassVar[Mapping[str, NumberKind]] = {"leak": "leak", "threshold": "level"}

    def __post_init__(self) -> None:
        self.check()

    def bounds(self, current: int, steps: int) -> dict[str, int]:
        whole = 1 << self.leak_shift
        # Σ_t (k/2^n)^t of a constant current; a floor takes 1 off in each step.
        decay = whole - int(self.leak.max())
        summed = min(steps, whole / decay) if decay else steps
        reach = math.ceil((current + 1) * summed) + 2 * int(self.threshold.max())
        return {"membrane": reach.bit_length() + 1}

    def step(self, ops: Ops, numbers: Mapping[str, Any], state: Any, current: Any) -> Update:
        threshold, fired = numbers["threshold"], state["fired"]
        value = ops.floor(numbers["leak"] * state["membrane"], self.leak_shift)
        if self.reset == "zero" and self.reset_delay and self.keep_input:
            value = ops.where(fired, 0, value) + current
        else:
            value = self.late(ops, value, current, fired, threshold)
        if self.rectify:
            value = ops.rectify(value)
        value = ops.saturate(value, self.membrane)
        fired = ops.fire(value, threshold, threshold, self.strict)
        membrane = self.now(ops, value, fired, threshold)
        return Update({"membrane": membrane}, fired, value - threshold)
