"""What the datapaths of all neurons are made of: registers that move together, a few operations."""

from __future__ import annotations

from typing import Any, NamedTuple

from amaranth.hdl import Cat, Const, Module, Mux, Shape, Signal, Value, ValueLike
from amaranth.lib import data

FLAGS = (
    "late_subtract",
    "late_zero_leak",
    "late_zero_all",
    "now_subtract",
    "now_zero",
    "strict",
    "rectify",
)


class NeuronConfig(data.StructLayout):
    """Run-time configuration of an array of neurons, constant in a dataflow design.

    For each state variable, the bounds ``low`` and ``high`` that it saturates to. Of the flags,
    ``late_subtract``, ``late_zero_leak`` and ``late_zero_all`` reset in the step after a spike
    (the second keeps that step's current), ``now_subtract`` and ``now_zero`` in the same step;
    with ``strict`` a membrane at its fire level does not fire; with ``rectify`` the membrane's
    lower bound clips nothing that would count as saturated.
    """

    def __init__(self, states: dict[str, Shape]) -> None:
        bounds: dict[str, Any] = {
            name: data.StructLayout({"low": shape, "high": shape}) for name, shape in states.items()
        }
        super().__init__(bounds | dict.fromkeys(FLAGS, 1))


class Pipe:
    """The registers of one lane's pipeline, which all move together."""

    def __init__(self, m: Module, move: Signal, lane: int) -> None:
        self.m = m
        self.move = move
        self.lane = lane

    def signal(self, shape: Shape, name: str) -> Signal:
        return Signal(shape, name=f"{name}_{self.lane}", reset_less=True)

    def stage(self, value: ValueLike, name: str, shape: Shape | None = None) -> Value:
        """``value`` one stage later; of ``shape`` if that is known to hold it."""
        register = self.signal(shape or Value.cast(value).shape(), name)
        with self.m.If(self.move):
            self.m.d.sync += register.eq(value)
        return register

    def named(self, value: ValueLike, name: str, shape: Shape) -> Signal:
        """``value`` in the same stage, cut to ``shape``, which holds it."""
        signal = self.signal(shape, name)
        self.m.d.comb += signal.eq(value)
        return signal

    def later(self, value: Any, stages: int, name: str) -> Any:
        """``value`` as many stages later; a plain integer needs no registers."""
        if isinstance(value, int):
            return value
        for stage in range(stages):
            value = self.stage(value, f"{name}{stage + 1}")
        return value


class Bounded(NamedTuple):
    """A value within its bounds, and on which side it had to be brought there."""

    value: Value
    over: Value
    under: Value


class Firing(NamedTuple):
    """The last stage of a neuron: ``bounded`` before an immediate reset, ``membrane`` after."""

    fired: Value
    bounded: Value
    membrane: Value
    clipped: Value

    def results(self, level: Value | int) -> dict[str, Value]:
        """What may be sent of a neuron whose fire level is ``level``."""
        margin = self.bounded - level
        return {"spike": self.fired, "membrane": self.membrane, "margin": margin}


def signed_digits(value: int) -> tuple[int, int]:
    """``value`` as ``plus - minus`` with the fewest set bits (canonical signed digits)."""
    plus = minus = 0
    bit = 1
    while value:
        if value & 1:
            digit = 2 - (value & 3)
            value -= digit
            if digit > 0:
                plus |= bit
            else:
                minus |= bit
        value >>= 1
        bit <<= 1
    return plus, minus


def scaled(value: Value, factor: Value | int, shift: int) -> Value:
    """``(factor · value) >> shift``: a multiplier, or a constant's two powers of two."""
    product = value * factor
    if isinstance(factor, int):
        plus, minus = signed_digits(factor)
        if plus.bit_count() <= 1 and minus.bit_count() <= 1:
            product = value * plus - value * minus
    return product >> shift


def saturate(pipe: Pipe, value: Value, bounds: Any, name: str) -> Bounded:
    """``value`` within ``bounds``."""
    over, under = value > bounds.high, value < bounds.low
    bounded = pipe.signal(Value.cast(bounds.high).shape(), name)
    pipe.m.d.comb += bounded.eq(Mux(over, bounds.high, Mux(under, bounds.low, value)))
    return Bounded(bounded, over, under)


def exceeds(value: Value, level: ValueLike, strict: Value) -> Value:
    """Whether the signed ``value`` exceeds ``level`` (0 or more), or reaches it unless strict."""
    level = Value.cast(level)
    padded = Cat(Const(0, 1), level, Const(0, 1))
    return Cat(~strict, value).as_signed() > padded.as_signed()


def fire(pipe: Pipe, config: Any, value: Value, threshold: ValueLike, level: ValueLike) -> Firing:
    """Saturate, fire, reset at once.

    Saturation cannot change whether ``value`` exceeds ``level``, which lies in the membrane's
    range, so both are decided at the same time.
    """
    bounded, over, under = saturate(pipe, value, config.membrane, "bounded")
    fired, after = pipe.signal(Shape(1), "fired"), pipe.signal(bounded.shape(), "after")
    pipe.m.d.comb += [
        fired.eq(exceeds(value, level, config.strict)),
        after.eq(
            Mux(
                fired & config.now_zero,
                0,
                Mux(fired & config.now_subtract, bounded - threshold, bounded),
            )
        ),
    ]
    return Firing(fired, bounded, after, over | (under & ~config.rectify))
