"""What surrounds an unchanged ``top.v`` on a board: clock, reset, and the serial host link."""

# Amaranth makes ports at run time, and types neither its DSL nor Instance: see pyproject.toml.
# pyright: reportAttributeAccessIssue=false, reportGeneralTypeIssues=false
# pyright: reportArgumentType=false

from __future__ import annotations

import os
from pathlib import Path

from amaranth.back import verilog
from amaranth.hdl import ClockDomain, ClockSignal, Const, Instance, Module, ResetSignal, Signal
from amaranth.lib import wiring
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.wiring import In, Out

from ..hw.registers import AxiLite
from ..hw.serial import SerialLink
from ..sw.network_file import write_atomically
from .clocks import clock
from .devices import Device

RESET_CYCLES = 16


def serial_divisor(device: Device, clock_mhz: float) -> int:
    """Clock cycles of one bit on the serial line."""
    return round(clock_mhz * 1e6 / device.baud)


class Board(wiring.Component):
    """Module ``top`` on ``device``, spoken to over its serial port.

    ``top`` is in reset until the clock is stable, and for ``RESET_CYCLES`` on a line break. Its
    control port rests: the input words are events.

    Members
    -------
    clk: the board's oscillator.
    rx, tx: the serial line from and to the host.
    led: lit after input was lost, until a line break.
    """

    def __init__(self, device: Device, clock_mhz: float) -> None:
        self.device = device
        self.clock_mhz = clock_mhz
        super().__init__({"clk": In(1), "rx": In(1), "tx": Out(1), "led": Out(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.domains.sync = ClockDomain(local=True)
        running, stable = clock(m, self.device, self.clk, self.clock_mhz)
        m.d.comb += ClockSignal("sync").eq(running)

        link = m.submodules.link = SerialLink(serial_divisor(self.device, self.clock_mhz))
        ready, reset = Signal(), Signal(init=1, reset_less=True)
        waited = Signal(range(RESET_CYCLES), reset_less=True)
        m.submodules.stable = FFSynchronizer(stable, ready)
        with m.If(~ready | link.reset):
            m.d.sync += waited.eq(0)
        with m.Elif(waited != RESET_CYCLES - 1):
            m.d.sync += waited.eq(waited + 1)
        m.d.sync += reset.eq(waited != RESET_CYCLES - 1)
        m.d.comb += ResetSignal("sync").eq(reset)

        dark = self.device.resource(*self.device.led).ios[0].invert
        m.d.comb += [link.rx.eq(self.rx), self.tx.eq(link.tx), self.led.eq(link.fault ^ dark)]
        resting = {
            f"i_s_axi_{name}": Const(0, member.shape)
            for name, member in AxiLite().members.items()
            if member.flow is Out
        }
        m.submodules.top = Instance(
            "top",
            i_aclk=ClockSignal("sync"),
            i_aresetn=~reset,
            i_s_axis_tdata=link.words.payload,
            i_s_axis_tvalid=link.words.valid,
            o_s_axis_tready=link.words.ready,
            i_s_axis_tlast=Const(0),
            o_m_axis_tdata=link.results.payload,
            o_m_axis_tvalid=link.results.valid,
            i_m_axis_tready=link.results.ready,
            **resting,
        )
        return m


def write_board(folder: Path, device: Device, clock_mhz: float) -> Path:
    """Write ``board.v``, the same bytes for the same device and clock."""
    os.environ["AMARANTH_USE_YOSYS"] = "builtin"
    text = verilog.convert(
        Board(device, clock_mhz), name="board", strip_internal_attrs=True, emit_src=False
    )
    path = folder / "board.v"
    write_atomically(path, text.encode())
    return path
