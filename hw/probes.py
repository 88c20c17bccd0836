"""What a design shows the simulation, and nothing else reads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Signal

from ..sw.formats import Format
from .edges import Edges
from .folding import Plan


@dataclass(frozen=True)
class Share:
    """Signals that show several nodes in turn: in each sample ``among`` words a timestep, of which
    those of this node come after ``before``. Each node's words come one after the other, all
    timesteps of a word together. A lane is ``stride`` bits; ``turn`` counts the operations.
    """

    before: int
    among: int
    stride: int
    turn: int


@dataclass(frozen=True)
class Probe:
    """Where a node's quantity can be seen: ``probe_*`` signals of one Verilog module.

    ``ahead``: words of a timestep that may come after a sample and belong to the next. A node that
    is fed by delayed edges alone works on a sample's first step before there is a sample.
    ``share`` if the signals are not the node's own.
    """

    node: str
    quantity: str
    module: tuple[str, ...]
    valid: str
    data: str
    lanes: int
    words: int
    ahead: int
    format: Format
    share: Share | None = None


class Probes(Edges):
    """Edges, and the probes of nodes, which are appended to ``probes``."""

    def __init__(self, plan: Plan, probes: list[Probe]) -> None:
        super().__init__(plan)
        self.probes = probes

    def probe(
        self,
        node: Any,
        quantity: str,
        source: Any,
        form: Format,
        field: Callable[[Any], Any] = lambda value: value,
    ) -> None:
        """Show the simulation what leaves a node; no hardware reads these signals."""
        values = source.payload.values
        inputs = getattr(node, "INPUTS", 1) if quantity == "current" else 1
        name = f"probe_{node.name}_{quantity}"
        valid = Signal(name=f"{name}_valid")
        word = Signal(len(values) * form.width, name=f"{name}_data")
        self.module.d.comb += valid.eq(source.valid & source.ready)
        for lane, value in enumerate(values):
            part = word[lane * form.width : (lane + 1) * form.width]
            self.module.d.comb += part.eq(field(value))
        words = inputs * self.plan.words(node.name)
        ahead = 0 if node.name in self.plan.timed else words
        signals = f"{name}_valid", f"{name}_data"
        self.probes.append(
            Probe(node.name, quantity, (), *signals, len(values), words, ahead, form)
        )

    def inner_probe(self, node: Any, quantity: str, lanes: int, form: Format) -> None:
        """Announce a probe that the node's own component shows."""
        signals = f"probe_{quantity}_valid", f"probe_{quantity}_data"
        words = self.plan.words(node.name)
        self.probes.append(
            Probe(node.name, quantity, (node.name,), *signals, lanes, words, 0, form)
        )
