"""Phase-locked loops: the board's oscillator to the clock that a design runs at."""

from __future__ import annotations

from amaranth.hdl import Const, Instance, Module, Signal

from .devices import Device
from .errors import BuildError


def ice40_pll(pin_mhz: float, clock_mhz: float) -> tuple[int, int]:
    """``(DIVF, DIVQ)`` of an SB_PLL40 that multiplies ``pin_mhz`` to ``clock_mhz``.

    The clock is pin · (DIVF + 1) / 2^DIVQ; the oscillator within runs at 533 to 1066 MHz (Lattice
    FPGA-DS-02008). Raises :class:`BuildError` if no setting gives exactly that clock.
    """
    for divq in range(1, 7):
        multiple = clock_mhz * 2**divq / pin_mhz
        if multiple == int(multiple) <= 128 and 533 <= clock_mhz * 2**divq <= 1066:
            return int(multiple) - 1, divq
    raise BuildError(
        f"clock is {clock_mhz:g} MHz, must be {pin_mhz:g} MHz or {pin_mhz:g} · n / 2^q MHz between "
        "16.66 and 533: 18, 20.25, 24, 30, 36"
    )


def ecp5_pll(pin_mhz: float, clock_mhz: float) -> tuple[int, int, int]:
    """``(CLKI_DIV, CLKFB_DIV, CLKOP_DIV)`` of an EHXPLLL that makes ``clock_mhz``.

    The clock is pin · CLKFB_DIV / CLKI_DIV; the oscillator within runs CLKOP_DIV times as fast, at
    400 to 800 MHz, here as near 600 as can be; the phase detector takes 3.125 MHz and more (Lattice
    FPGA-TN-02200). Raises :class:`BuildError` if no setting gives exactly that clock.
    """
    for divide in range(1, int(pin_mhz / 3.125) + 1):
        multiple = clock_mhz * divide / pin_mhz
        if multiple == int(multiple) and 1 <= multiple <= 80:
            choices = [n for n in range(1, 129) if 400 <= clock_mhz * n <= 800]
            if choices:
                return divide, int(multiple), min(choices, key=lambda n: abs(clock_mhz * n - 600))
    raise BuildError(
        f"clock is {clock_mhz:g} MHz, must be {pin_mhz:g} · n / d MHz with d at most "
        f"{int(pin_mhz / 3.125)}, up to 400: 50, 62.5, 75, 80, 90, 100"
    )


def check_clock(device: Device, clock_mhz: float) -> None:
    """Raise :class:`BuildError` if the board of ``device`` cannot make that clock."""
    if clock_mhz != device.pin_mhz:
        (ice40_pll if device.family == "ice40" else ecp5_pll)(device.pin_mhz, clock_mhz)


def clock(m: Module, device: Device, pin: Signal, clock_mhz: float) -> tuple[Signal, Signal]:
    """Adds what makes ``clock_mhz`` of the oscillator at ``pin``; returns (clock, it is stable)."""
    if clock_mhz == device.pin_mhz:
        stable = Signal()
        m.d.comb += stable.eq(1)
        return pin, stable
    made, locked = Signal(name="pll_clock"), Signal(name="pll_locked")
    if device.family == "ice40":
        divf, divq = ice40_pll(device.pin_mhz, clock_mhz)
        m.submodules.pll = Instance(
            "SB_PLL40_PAD",  # the oscillator's pin feeds the PLL directly, no other variant fits
            p_FEEDBACK_PATH="SIMPLE",
            p_DIVR=Const(0, 4),
            p_DIVF=Const(divf, 7),
            p_DIVQ=Const(divq, 3),
            p_FILTER_RANGE=Const(1, 3),  # for 10 to 16 MHz
            i_PACKAGEPIN=pin,
            i_RESETB=Const(1),
            i_BYPASS=Const(0),
            o_PLLOUTGLOBAL=made,
            o_LOCK=locked,
        )
    else:
        divide, multiply, output = ecp5_pll(device.pin_mhz, clock_mhz)
        m.submodules.pll = Instance(
            "EHXPLLL",
            a_FREQUENCY_PIN_CLKI=f"{device.pin_mhz:g}",
            a_FREQUENCY_PIN_CLKOP=f"{clock_mhz:g}",
            a_ICP_CURRENT="12",
            a_LPF_RESISTOR="8",
            a_MFG_ENABLE_FILTEROPAMP="1",
            a_MFG_GMCREF_SEL="2",
            p_PLLRST_ENA="DISABLED",
            p_INTFB_WAKE="DISABLED",
            p_STDBY_ENABLE="DISABLED",
            p_DPHASE_SOURCE="DISABLED",
            p_OUTDIVIDER_MUXA="DIVA",
            p_FEEDBK_PATH="CLKOP",
            p_CLKI_DIV=divide,
            p_CLKFB_DIV=multiply,
            p_CLKOP_ENABLE="ENABLED",
            p_CLKOP_DIV=output,
            p_CLKOP_CPHASE=output // 2,
            p_CLKOP_FPHASE=0,
            i_RST=Const(0),
            i_STDBY=Const(0),
            i_CLKI=pin,
            i_CLKFB=made,
            i_PHASESEL0=Const(0),
            i_PHASESEL1=Const(0),
            i_PHASEDIR=Const(1),
            i_PHASESTEP=Const(1),
            i_PHASELOADREG=Const(1),
            i_PLLWAKESYNC=Const(0),
            i_ENCLKOP=Const(0),
            o_CLKOP=made,
            o_LOCK=locked,
        )
    return made, locked
