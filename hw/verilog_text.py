"""Amaranth's Verilog, as tools take it in best."""

from __future__ import annotations

import re

LONGEST = 256
"""Statements of an initial block at most. Yosys (0.70) reads one in time quadratic in its length:
the ROM of 482 layers, 31,000 rows, took 7 minutes in one block and takes 9 seconds in many."""

_START, _END = "initial begin", "end"
_ROW = re.compile(r"\\?[\w$.]+ ?\[\d+\] = \d+'h\w+;")


def in_short_blocks(text: str) -> str:
    """``text`` with the contents of its memories in initial blocks of at most :data:`LONGEST` rows.

    A file without a longer block comes back as it is.
    """
    lines: list[str] = []
    indent, count, inside = "", 0, False
    for line in text.splitlines(keepends=True):
        statement = line.strip()
        if statement == _START:
            indent, count, inside = line[: line.index(_START)], 0, True
        elif inside and _ROW.fullmatch(statement):
            if count == LONGEST:
                lines += [f"{indent}{_END}\n", f"{indent}{_START}\n"]
                count = 0
            count += 1
        else:  # such statements are in other blocks too
            inside = False
        lines.append(line)
    return "".join(lines)
