"""What travels between components: spikes as events, currents as beats of lanes.

Both are :mod:`amaranth.lib.stream` streams (ready/valid, payload held until transfer). A timestep
is a packet: its last beat says so, and says whether it also ends the sample.
"""

from __future__ import annotations

from collections.abc import Sequence

from amaranth.hdl import Module, Shape, ShapeCastable, Signal, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..sw.formats import Format


def shape_of(form: Format) -> Shape:
    """The Amaranth shape of a raw integer of ``form``."""
    return signed(form.width) if form.signed else unsigned(form.width)


def index_shape(count: int) -> Shape:
    """The shape of an index below ``count``: at least one bit, as zero-width ports break tools."""
    return unsigned(max(1, (count - 1).bit_length()))


def words_of(size: int, lanes: int) -> int:
    """Beats that carry ``size`` values, ``lanes`` at a time."""
    return -(-size // lanes)


def packed(values: Sequence[int], width: int) -> int:
    """``values`` side by side, ``width`` bits each, the first in the lowest bits."""
    mask = (1 << width) - 1
    return sum((int(value) & mask) << (i * width) for i, value in enumerate(values))


def spike_stream(size: int, value: Shape) -> stream.Signature:
    """Spikes as events, each (timestep, index) at most once, closed by an end-of-step beat.

    Payload: ``index`` of the neuron, its integer ``value`` (1 unless graded), ``end_of_step``
    (this beat closes the step and carries no spike) and, with it, ``end_of_sample``.
    """
    members = {"value": value, "index": index_shape(size), "end_of_step": 1, "end_of_sample": 1}
    return stream.Signature(data.StructLayout(members))


def current_stream(lanes: int, shape: Shape | ShapeCastable) -> stream.Signature:
    """Every neuron's value each timestep, ``lanes`` a beat, ascending.

    Payload: ``values`` (``lanes`` of ``shape``; surplus lanes of the last beat are 0),
    ``end_of_step`` on a timestep's last beat, and with it ``end_of_sample``.
    """
    values = data.ArrayLayout(shape, lanes)
    return stream.Signature(
        data.StructLayout({"values": values, "end_of_step": 1, "end_of_sample": 1})
    )


class Fork(wiring.Component):
    """Sends each beat of ``input`` to every ``output{i}``, each when it is ready for it.

    A beat is taken from the input once all outputs have had it, so a stalled output never keeps
    the others from a beat that is there.
    """

    def __init__(self, signature: stream.Signature, outputs: int) -> None:
        self.outputs = outputs
        members: dict[str, wiring.Member] = {"input": In(signature)}
        members |= {f"output{i}": Out(signature) for i in range(outputs)}
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        source = self.input
        had = Signal(self.outputs)
        has = Signal(self.outputs)
        for i in range(self.outputs):
            output = getattr(self, f"output{i}")
            m.d.comb += [
                output.payload.eq(source.payload),
                output.valid.eq(source.valid & ~had[i]),
                has[i].eq(had[i] | output.ready),
            ]
        m.d.comb += source.ready.eq(has.all())
        with m.If(source.valid):
            m.d.sync += had.eq(has)
        with m.If(source.valid & source.ready):
            m.d.sync += had.eq(0)
        return m
