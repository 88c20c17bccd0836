"""Weights that a host sends after every reset, into memory that has no initial contents."""

from __future__ import annotations

import re

from amaranth.hdl import Cat, Module, Mux, Shape, Signal, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..memories import memory
from ..streams import words_of
from ..words import WORD
from .weight_source import WeightSource


def load_image(rows: tuple[int, ...], row_bits: int) -> bytes:
    """What the host sends: 32-bit words, row after row, each in whole words, little endian."""
    size = words_of(row_bits, WORD) * WORD // 8
    return b"".join(row.to_bytes(size, "little") for row in rows)


_CONTENTS = re.compile(
    r"(\(\* ram_style = \"huge\" \*\)\n *reg \[\d+:0\] \w+ \[\d+:0\];\n)"
    r" *initial begin\n(?: *\w+\[\d+\] = \S+;\n)* *end\n"
)


def without_contents(text: str) -> str:
    """``text`` (Verilog) without the zeros that Amaranth puts into every memory: what has initial
    contents is no SPRAM to Yosys.
    """
    result, count = _CONTENTS.subn(r"\1", text)
    if count != 1:
        raise ValueError(f"Verilog has {count} huge memories with contents, must have 1")
    return result


class LoadedWeights(wiring.Component):
    """All of ``rows`` rows in one large memory of a single port, such as the iCE40 UP5K's SPRAM.

    Members
    -------
    port: the engine's, which is not ready until all rows are there.
    words: from the host, taken until then.
    loaded: all rows are there.
    reload: forget them (a pulse); only while the engine is idle.
    """

    def __init__(self, rows: int, lanes: int, weight: Shape) -> None:
        self.depth = rows
        self.row_bits = lanes * weight.width
        super().__init__(
            {
                "port": In(WeightSource(rows, rows, lanes, weight)),
                "words": In(stream.Signature(WORD)),
                "loaded": Out(1),
                "reload": In(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        rows = m.submodules.rows = memory(unsigned(self.row_bits), self.depth, huge=True)
        write, read = rows.write_port(), rows.read_port()
        port, count = self.port, words_of(self.row_bits, WORD)
        before, word = Signal(WORD * (count - 1)), Signal(range(max(2, count)))
        place, address, takes = Signal.like(port.base), Signal.like(port.base), Signal()
        # One port: what is read and what is written is the same place.
        m.d.comb += [
            self.words.ready.eq(~self.loaded),
            takes.eq(self.words.valid & ~self.loaded),
            address.eq(Mux(self.loaded, port.rows.addr, place)),
            write.addr.eq(address),
            write.data.eq(Cat(before, self.words.payload)),
            write.en.eq(takes & (word == count - 1)),
            read.addr.eq(address),
            read.en.eq(self.loaded & port.rows.enable),
            port.rows.data.as_value().eq(read.data),
            port.base.eq(port.row),
            port.ready.eq(self.loaded),
        ]
        with m.If(takes):
            m.d.sync += [before.eq(Cat(before, self.words.payload) >> WORD), word.eq(word + 1)]
        with m.If(write.en):
            m.d.sync += [place.eq(place + 1), word.eq(0)]
            with m.If(place == self.depth - 1):
                m.d.sync += [place.eq(0), self.loaded.eq(1)]
        with m.If(self.reload):
            m.d.sync += self.loaded.eq(0)
        return m
