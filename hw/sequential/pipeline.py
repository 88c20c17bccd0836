"""The pipeline of a sequential engine's lanes: its tokens, and what all its stages are made of."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from amaranth.hdl import Cat, Module, Mux, Shape, Signal, Value, ValueLike
from amaranth.lib import data, wiring

from ..popcount import popcount
from .words import ProgramWords


class Pipeline:
    """The stages of ``unit``, the lanes for the operations of ``words``: all that is in ``module``.

    ``at`` has the token of each stage, ``clipped`` collects the bits that say that a value was
    clipped, ``shown`` what the simulation is shown (valid and data, by their names).
    """

    def __init__(self, unit: wiring.Component, words: ProgramWords) -> None:
        self.unit, self.words = unit, words
        self.lanes = range(words.lanes)
        self.module = Module()
        self.clipped: list[Value] = []
        self.shown: dict[str, tuple[Signal, Signal]] = {}
        self.stages()

    def field(self, name: str) -> Value:
        """What the operation says."""
        return self.words.field(name, self.unit.config)

    def array(self, shape: Shape, name: str) -> Any:
        """A value for each lane."""
        return Signal(data.ArrayLayout(shape, len(self.lanes)), name=name, reset_less=True)

    def stages(self) -> None:
        """The token in each stage."""
        m, unit = self.module, self.unit
        kinds = ("event", "close", "step", "word", "first", "last")
        self.at: dict[str, SimpleNamespace] = {}
        before: Any = unit
        for stage in "ABCDEFG":
            here = SimpleNamespace(
                **{name: Signal.like(getattr(unit, name), name=f"{name}_{stage}") for name in kinds}
            )
            m.d.sync += [getattr(here, name).eq(getattr(before, name)) for name in kinds]
            self.at[stage] = before = here
        turn = Signal.like(unit.operation, name="probe_turn")
        m.d.comb += turn.eq(unit.operation)
        m.d.comb += unit.busy.eq(Cat((here.event, here.close) for here in self.at.values()).any())

    def show(self, quantity: str, valid: ValueLike, values: Any) -> None:
        """Show the simulation what passes; no hardware reads these signals."""
        flag = Signal(name=f"probe_{quantity}_valid")
        word = Signal(len(Value.cast(values)), name=f"probe_{quantity}_data")
        self.module.d.comb += [flag.eq(valid), word.eq(values)]
        self.shown[quantity] = flag, word

    def later(self, value: Any, name: str, stages: str) -> list[Any]:
        """``value`` in each of the ``stages`` that follow."""
        result = []
        for stage in stages:
            register = Signal.like(value, name=f"{name}_{stage}", reset_less=True)
            self.module.d.sync += register.eq(value)
            result.append(value := register)
        return result

    def bounded(self, exact: Any, low: str, high: str, valid: ValueLike) -> Any:
        """``exact`` within the bounds of a join; where none is narrower, that takes no logic."""
        if low not in self.words.fields:
            return exact
        least, most = self.field(low), self.field(high)
        over, under = exact > most, exact < least
        self.clipped.append((over | under) & valid)
        return Mux(over, most, Mux(under, least, exact))

    def raised(self, value: Any, name: str) -> Any:
        """``value`` shifted left as far as the operation says."""
        return self.shifted(value, name, lambda amount: value << amount)

    def lowered(self, value: Any, name: str) -> Any:
        """``value`` shifted right as far as the operation says, towards -∞."""
        return self.shifted(value, name, lambda amount: value >> amount)

    def shifted(self, value: Any, name: str, by: Any) -> Any:
        first, *others = sorted(set(self.words.fields.get(name, (0,))))
        result = by(first)
        for amount in others:
            result = Mux(self.field(name) == amount, by(amount), result)
        return result

    def count(self) -> None:
        """How many values were clipped."""
        clipped = Signal(len(self.clipped))  # they come late in a cycle
        register = Signal.like(self.unit.saturated)
        self.module.d.sync += [clipped.eq(Cat(*self.clipped)), register.eq(popcount(clipped))]
        self.module.d.comb += self.unit.saturated.eq(register)
