"""The spiking LSTM: a long short-term memory cell whose hidden state fires."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from ..formats import Format, IntArray
from ..values import NetworkError, check_range, integers
from .arithmetic import Ops
from .base import Neuron, NumberKind, Reset, Update
from .table import Tanh


@dataclass(frozen=True, eq=False)
class LSTM(Neuron):
    """Spiking LSTM cells (snnTorch's ``SLSTM``; its recurrence is an edge of the network).

    The input is ``[4n]`` currents with ``gate_frac`` fraction bits: all input gates i, then all
    forget gates f, cell candidates g and output gates o. ``table`` holds tanh for arguments
    ``k · 2^-table_step``, with F = ``table_frac`` fraction bits; see
    :class:`~reslif.sw.neurons.table.Tanh` for the lookup. With the gates activated,

    * ``c ← sat((f·c + (i·g << (cell.frac - F))) >> (F + 1))``,
    * ``h = o·tanh(c) >> (2·F + 1 - membrane.frac)``,
    * delayed reset: subtract ``v = h - r·θ``; zero ``v = r ? 0 : h``; none and immediate ``v = h``;
    * ``v ← sat(v)``, the membrane; fire and immediate reset as
      :class:`~reslif.sw.neurons.lif.LIF`. The cell is never reset.

    The membrane is the hidden state: an edge of quantity ``membrane`` and delay 1 carries it to
    the synapse that closes the loop.
    """

    name: str
    size: int
    membrane: Format
    cell: Format
    gate_frac: int
    table: IntArray
    table_step: int
    table_frac: int
    threshold: IntArray
    reset: Reset = "none"
    reset_delay: bool = True
    strict: bool = True
    inhibition: bool = False

    STATES: ClassVar[Mapping[str, str]] = {"cell": "cell", "membrane": "membrane"}
    NUMBERS: ClassVar[Mapping[str, NumberKind]] = {"threshold": "level"}
    OWN_FORMATS: ClassVar[bool] = True
    INPUTS: ClassVar[int] = 4

    def __post_init__(self) -> None:
        self.check()
        table = integers(self.table, self.name, "table")
        object.__setattr__(self, "table", table)
        if table.ndim != 1 or not 2 <= len(table) <= 1 << 14:
            raise NetworkError(
                f"node '{self.name}': table has shape {list(table.shape)}, must be 2 to 16384 long"
            )
        if not 1 <= self.table_frac <= 16 or not 0 <= self.table_step <= 16:
            raise NetworkError(
                f"node '{self.name}': table_step is {self.table_step} and table_frac "
                f"{self.table_frac}, must be 0 to 16 and 1 to 16"
            )
        check_range(self.name, "table", table, 0, 1 << self.table_frac)
        if table[0] != 0 or (np.diff(table) < 0).any():
            raise NetworkError(f"node '{self.name}': table must start at 0 and never fall")
        for what, frac, low in (
            ("gate_frac", self.gate_frac, self.table_step),
            ("cell fraction", self.cell.frac, max(self.table_step, self.table_frac)),
            ("membrane fraction", self.membrane.frac, 0),
        ):
            high = 2 * self.table_frac + 1 if what == "membrane fraction" else 40
            if not low <= frac <= high:
                raise NetworkError(
                    f"node '{self.name}': {what} is {frac} bits, must be {low} to {high}"
                )
        if self.cell.width + self.table_frac > 40:
            raise NetworkError(
                f"node '{self.name}': cell is {self.cell.width} bits and table_frac "
                f"{self.table_frac}, must be at most 40 together"
            )

    @cached_property
    def tanh(self) -> Tanh:
        """The table of tanh."""
        return Tanh(self.table, self.table_step, self.table_frac)

    @property
    def current_frac(self) -> int:
        return self.gate_frac

    def scaled(self, incoming: int, guard: int, width: int, shift: int) -> dict[str, Any]:
        del guard, width, shift
        # Its formats are final: the table says how fine its numbers are.
        return {"gate_frac": max(incoming, self.table_step)}

    def reach(self, current: int) -> int:
        cell = -self.cell.min << (self.table_frac + 1)
        candidate = 1 << (self.table_frac + 1 + self.cell.frac)
        # A lookup adds half a step of the table before it drops what is finer.
        half = 1 << max(0, self.gate_frac - self.table_step)
        return max(current + half, cell + candidate, -4 * self.membrane.min)

    def step(self, ops: Ops, numbers: Mapping[str, Any], state: Any, current: Any) -> Update:
        threshold, table, frac = numbers["threshold"], self.tanh, self.table_frac
        n = self.size
        i, f, g, o = (current[..., k * n : (k + 1) * n] for k in range(4))
        i, f, o = (ops.sigmoid(gate, self.gate_frac, table) for gate in (i, f, o))
        g = ops.tanh(g, self.gate_frac, table)
        cell = ops.floor(f * state["cell"] + ops.align(i * g, self.cell.frac - frac), frac + 1)
        cell = ops.saturate(cell, self.cell)
        hidden = o * ops.tanh(cell, self.cell.frac, table)
        hidden = ops.floor(hidden, 2 * frac + 1 - self.membrane.frac)
        value = self.late(ops, hidden, 0, state["fired"], threshold)
        value = ops.saturate(value, self.membrane)
        fired = ops.fire(value, threshold, threshold, self.strict)
        membrane = self.now(ops, value, fired, threshold)
        return Update({"cell": cell, "membrane": membrane}, fired, value - threshold)
