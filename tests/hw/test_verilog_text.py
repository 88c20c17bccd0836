"""Long memories' contents in short initial blocks: the same contents, and no block too long."""

from __future__ import annotations

import re
from itertools import chain

from amaranth.back import verilog
from amaranth.hdl import Module, Signal
from amaranth.lib import memory
from reslif.hw.verilog_text import LONGEST, in_short_blocks

_BLOCK = re.compile(r"^ *initial begin\n((?:.*;\n)*?) *end\n", re.MULTILINE)


def rom(rows: int) -> str:
    """Verilog of a ROM whose rows all differ, named by a Verilog keyword, which is escaped."""
    m = Module()
    m.submodules.table = table = memory.Memory(
        shape=24, depth=rows, init=[(7919 * row) % 2**24 for row in range(rows)]
    )
    address, data = Signal(range(rows)), Signal(24)
    port = table.read_port()
    m.d.comb += [port.addr.eq(address), data.eq(port.data)]  # pyright: ignore
    return verilog.convert(m, ports=[address, data], emit_src=False)


def blocks(text: str) -> list[list[str]]:
    found = (match.group(1).splitlines() for match in _BLOCK.finditer(text))
    return [[line.strip() for line in block if "[" in line] for block in found]


def test_contents_stay_and_blocks_are_short():
    text = rom(3 * LONGEST + 5)
    result = in_short_blocks(text)
    before, after = blocks(text), blocks(result)
    assert max(map(len, before)) == 3 * LONGEST + 5
    assert [len(block) for block in after if block] == [LONGEST] * 3 + [5]
    assert list(chain(*after)) == list(chain(*before))
    assert result.replace("  end\n  initial begin\n", "") == text


def test_what_is_short_stays_as_it_is():
    text = rom(LONGEST)
    assert in_short_blocks(text) == text


def test_statements_of_other_blocks_are_no_contents():
    row = "    word[{}] = 1'h0;\n"
    begun = "  initial begin\n" + row.format(0) * LONGEST + "  end\n"
    text = f"{begun}  always @* begin\n{row.format(1)}    if (busy)\n{row.format(2)}  end\n"
    assert in_short_blocks(text) == text


def test_escaped_names():
    row = "    \\program [{}] = 60'h0f;\n"
    text = "  initial begin\n" + "".join(row.format(i) for i in range(LONGEST + 1)) + "  end\n"
    assert len(blocks(in_short_blocks(text))) == 2
