"""Where in an image an event is: from its index to its row, its column and its channel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Const, Module, Shape, Signal, Value, ValueLike
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .streams import index_shape, spike_stream


def reciprocal(divisor: int, below: int) -> tuple[int, int]:
    """The smallest (multiplier, shift) with ``n * multiplier >> shift == n // divisor`` for all
    ``0 <= n < below``.

    Both sides never fall as n grows, so they agree everywhere if they agree at the first and at
    the last n of each quotient: those are all checked.
    """
    ends = {n for first in range(0, below, divisor) for n in (first - 1, first)} | {below - 1}
    ends.discard(-1)
    shift = 0
    while True:
        multiplier = -(-(1 << shift) // divisor) if below > divisor else 0
        if all(n * multiplier >> shift == n // divisor for n in ends):
            return multiplier, shift
        shift += 1


def quotient(value: Any, divisor: int, below: int) -> Any:
    """``value // divisor`` for values below ``below``."""
    multiplier, shift = reciprocal(divisor, below)
    result = (value * multiplier)[shift:] if multiplier > 1 else value[shift:] * multiplier
    bits = index_shape(-(-below // divisor)).width
    return result[:bits] if len(result) else Const(0, bits)


@dataclass(frozen=True)
class Stage:
    """A register stage that moves whenever the next one has room; ``values`` as attributes."""

    valid: Value
    ready: Value
    values: dict[str, Signal]

    def __getattr__(self, name: str) -> Signal:
        try:
            return self.values[name]
        except KeyError:
            raise AttributeError(name) from None

    def send(self, m: Module, output: Any) -> None:
        """Connects the stage to a stream whose payload has the same names."""
        m.d.comb += [self.ready.eq(output.ready), output.valid.eq(self.valid)]
        m.d.comb += [output.payload[name].eq(value) for name, value in self.values.items()]


def stage(m: Module, before: Any, name: str, **values: ValueLike) -> Stage:
    """The stage behind ``before``, a stage or a stream, which takes ``values`` over.

    Bubbles close up.
    """
    after = Stage(
        Signal(name=f"{name}_valid"),
        Signal(name=f"{name}_ready"),
        {
            key: Signal(Value.cast(value).shape(), name=f"{name}_{key}", reset_less=True)
            for key, value in values.items()
        },
    )
    m.d.comb += before.ready.eq(~after.valid | after.ready)
    with m.If(before.ready):
        m.d.sync += after.valid.eq(before.valid)
        m.d.sync += [after.values[key].eq(value) for key, value in values.items()]
    return after


def located_stream(shape: tuple[int, int, int], value: Shape) -> stream.Signature:
    """Events of an image of ``shape`` (channels, height, width), each with its place in it.

    Payload: the integer ``value``, its ``channel``, ``y`` and ``x``, and as with spikes
    ``end_of_step`` (no event) and ``end_of_sample``.
    """
    channels, height, width = shape
    return stream.Signature(
        data.StructLayout(
            {
                "value": value,
                "channel": index_shape(channels),
                "y": index_shape(height),
                "x": index_shape(width),
                "end_of_step": 1,
                "end_of_sample": 1,
            }
        )
    )


class Locate(wiring.Component):
    """Locates events in an image whose pixels follow each other, channels innermost.

    One event a cycle, in any order; :attr:`latency` cycles from one side to the other.
    """

    latency = 3

    def __init__(self, shape: tuple[int, int, int], value: Shape) -> None:
        self.shape = shape
        channels, height, width = shape
        super().__init__(
            {
                "input": In(spike_stream(channels * height * width, value)),
                "output": Out(located_stream(shape, value)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        channels, height, width = self.shape
        pixels = height * width
        event, place = self.input.payload, self.output.payload
        first = stage(
            m, self.input, "pixel",
            pixel=quotient(event.index, channels, channels * pixels),
            # Only the rest of the division is wanted, so its bits will do.
            channel=event.index[: len(place.channel)],
            **_passed(event),
        )  # fmt: skip
        second = stage(
            m, first, "row",
            channel=(first.channel - first.pixel * channels)[: len(place.channel)],
            y=quotient(first.pixel, width, pixels),
            x=first.pixel[: len(place.x)],
            **_passed(first),
        )  # fmt: skip
        third = stage(
            m, second, "column",
            channel=second.channel,
            y=second.y,
            x=(second.x - second.y * width)[: len(place.x)],
            **_passed(second),
        )  # fmt: skip
        third.send(m, self.output)
        return m


def _passed(event: Any) -> dict[str, Any]:
    return {name: getattr(event, name) for name in ("value", "end_of_step", "end_of_sample")}
