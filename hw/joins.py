"""Residual joins: branch and shortcut of the same timestep become one stream.

Currents add (membrane shortcut, MS-ResNet); spikes add, and, iand or or (SEW-ResNet). Balancing
the delays of the two operands is the builder's task, see :mod:`reslif.hw.dataflow`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from amaranth.hdl import Const, Module, Mux, Shape, Signal, Value
from amaranth.lib import enum, wiring
from amaranth.lib.wiring import In, Out

from ..sw.formats import Format
from .popcount import popcount
from .streams import current_stream, shape_of


class JoinKind(enum.Enum, shape=2):
    """The join's function of branch ``s`` and shortcut ``x``."""

    ADD = 0
    AND = 1
    IAND = 2
    OR = 3


@dataclass(frozen=True)
class JoinLayout:
    """Widths of a join.

    ``align_branch`` and ``align_shortcut`` are left shifts that bring both operands of an addition
    to one grid; ``drop`` fraction bits are floored away; ``result`` then saturates, unless it is
    ``exact``, which needs no logic. ``timed`` is the operand that says when a sample ends: what
    comes from the step before cannot.
    """

    lanes: int
    branch: Shape
    shortcut: Shape
    align_branch: int
    align_shortcut: int
    drop: int
    result: Format
    exact: bool
    timed: Literal["branch", "shortcut"] = "branch"


class Join(wiring.Component):
    """A pipelined join, one beat a cycle.

    Members
    -------
    kind: the function, constant in a dataflow design.
    branch, shortcut: the operands, beat by beat of the same timestep.
    output: the result.
    saturated: how many values were clipped, a count per cycle.
    """

    latency = 1

    def __init__(self, layout: JoinLayout) -> None:
        self.layout = layout
        super().__init__(
            {
                "kind": In(JoinKind),
                "branch": In(current_stream(layout.lanes, layout.branch)),
                "shortcut": In(current_stream(layout.lanes, layout.shortcut)),
                "output": Out(current_stream(layout.lanes, shape_of(layout.result))),
                "saturated": Out(range(layout.lanes + 1)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        layout, output = self.layout, self.output
        timed = self.branch if layout.timed == "branch" else self.shortcut
        both, move = Signal(), Signal()
        m.d.comb += [
            both.eq(self.branch.valid & self.shortcut.valid),
            move.eq(both & (~output.valid | output.ready)),
            self.branch.ready.eq(move),
            self.shortcut.ready.eq(move),
        ]
        clipped = []
        for lane in range(layout.lanes):
            exact = self.function(
                self.branch.payload.values[lane], self.shortcut.payload.values[lane]
            )
            shifted = exact >> layout.drop
            over = shifted > layout.result.max
            under = shifted < layout.result.min if shifted.shape().signed else Const(0)
            bounded = Mux(over, layout.result.max, Mux(under, layout.result.min, shifted))
            clipped.append(over | under)
            with m.If(move):
                m.d.sync += output.payload.values[lane].eq(bounded)
        with m.If(move):
            m.d.sync += [
                output.valid.eq(1),
                output.payload.end_of_step.eq(self.branch.payload.end_of_step),
                output.payload.end_of_sample.eq(timed.payload.end_of_sample),
            ]
        with m.Elif(output.ready):
            m.d.sync += output.valid.eq(0)
        m.d.sync += self.saturated.eq(Mux(move, popcount(clipped), 0))
        return m

    def function(self, branch: Value, shortcut: Value) -> Value:
        """The exact result of one lane."""
        layout = self.layout
        total = (branch << layout.align_branch) + (shortcut << layout.align_shortcut)
        return joined(self.kind, total, branch, shortcut)


def joined(kind: Value, total: Value, branch: Value, shortcut: Value) -> Value:
    """What a join of ``kind`` makes of its operands; ``total`` is their sum."""
    capped = Mux(branch + shortcut > 1, 1, branch + shortcut)
    return Mux(
        kind == JoinKind.ADD,
        total,
        Mux(
            kind == JoinKind.AND,
            branch * shortcut,
            Mux(kind == JoinKind.IAND, Mux(branch.any(), 0, shortcut), capped),
        ),
    )
