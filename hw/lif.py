"""From a LIF node of the contract to the parameters and configuration of its hardware."""

from __future__ import annotations

from amaranth.hdl import Shape
from amaranth.lib import data

from ..sw.network import LIF
from .neurons import LIFArray, LIFConfig, LIFLayout


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


def lif_array(
    node: LIF, lanes: int, current: Shape, align: int, sends: tuple[str, ...] = ("spike",)
) -> LIFArray:
    """The neurons of ``node``; ``current`` arrives ``align`` bits below the membrane's grid."""
    layout = LIFLayout(
        node.size, lanes, current, align, node.membrane.width, node.leak_shift, sends
    )
    count = node.size if node.leak.ndim or node.threshold.ndim else 1
    entries = []
    for i in range(count):
        leak = int(node.leak[i] if node.leak.ndim else node.leak)
        threshold = int(node.threshold[i] if node.threshold.ndim else node.threshold)
        plus, minus = signed_digits(leak)
        entries.append(
            {
                "leak_plus": plus,
                "leak_minus": minus,
                "threshold": threshold,
                "fires_from": threshold + node.strict,
            }
        )
    return LIFArray(layout, entries)


def lif_config(node: LIF) -> data.Const:
    """The run-time configuration that makes a LIF array behave as ``node``."""
    flag = {
        ("subtract", True): "late_subtract",
        ("zero", True): "late_zero_leak" if node.keep_input else "late_zero_all",
        ("subtract", False): "now_subtract",
        ("zero", False): "now_zero",
    }.get((node.reset, node.reset_delay))
    values = {"low": node.membrane.min, "high": node.membrane.max}
    return LIFConfig(node.membrane.width).const(values | ({flag: 1} if flag else {}))
