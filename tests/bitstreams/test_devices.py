"""Devices, their pins and clocks, and the files made of them."""

from __future__ import annotations

import re

import pytest
from reslif.bitstreams.board import serial_divisor, write_board
from reslif.bitstreams.clocks import ecp5_pll, ice40_pll
from reslif.bitstreams.constraints import constraints
from reslif.bitstreams.devices import DEVICES, ECP5_85K, UP5K, device
from reslif.bitstreams.errors import BuildError


def test_devices_by_name() -> None:
    assert device("up5k") is UP5K
    assert device("ecp5-85k") is ECP5_85K
    with pytest.raises(BuildError, match="device is 'virtex', must be one of up5k, ecp5-85k"):
        device("virtex")


def test_resource_that_the_board_lacks() -> None:
    with pytest.raises(BuildError, match="board iCEBreaker has no resource hdmi 0"):
        UP5K.resource("hdmi")


def test_ice40_constraints() -> None:
    assert constraints(UP5K).splitlines() == [
        "set_io clk 35",
        "set_io -pullup yes rx 6",
        "set_io tx 9",
        "set_io led 11",
        "set_frequency clk 12",
    ]


def test_ecp5_constraints() -> None:
    lines = constraints(ECP5_85K).splitlines()
    sites = dict(
        re.fullmatch(r'LOCATE COMP "(\w+)" SITE "(\w+)";', x).groups() for x in lines[:8:2]
    )
    assert sites == {"clk": "G2", "rx": "M1", "tx": "L4", "led": "B2"}
    assert all("IO_TYPE=LVCMOS33" in line for line in lines[1:8:2])
    assert lines[8] == 'FREQUENCY PORT "clk" 25 MHZ;'


def test_pll_settings_are_those_of_the_vendors_calculators() -> None:
    """Found with icepll -i 12 -o 20.25 and ecppll -i 25 -o 80."""
    assert ice40_pll(12, 20.25) == (53, 5)
    assert ecp5_pll(25, 80) == (5, 16, 7)


@pytest.mark.parametrize("clock", [18, 20.25, 24, 30, 36, 48])
def test_ice40_pll(clock) -> None:
    divf, divq = ice40_pll(12, clock)
    assert 12 * (divf + 1) / 2**divq == clock
    assert 533 <= 12 * (divf + 1) <= 1066
    assert divf < 128


@pytest.mark.parametrize("clock", [50, 62.5, 75, 80, 90, 100, 125])
def test_ecp5_pll(clock) -> None:
    divide, multiply, output = ecp5_pll(25, clock)
    assert 25 * multiply / divide == clock
    assert 400 <= clock * output <= 800
    assert 25 / divide >= 3.125


def test_clocks_that_no_pll_makes() -> None:
    with pytest.raises(BuildError, match=r"clock is 20\.1 MHz, must be 12 MHz or 12 · n"):
        ice40_pll(12, 20.1)
    for clock in (81.3, 900.0):
        with pytest.raises(BuildError, match=f"clock is {clock:g} MHz, must be 25 · n / d MHz"):
            ecp5_pll(25, clock)


@pytest.mark.parametrize("chosen", DEVICES.values(), ids=DEVICES)
def test_serial_rate_is_within_a_percent(chosen) -> None:
    divisor = serial_divisor(chosen, chosen.clock_mhz)
    assert abs(chosen.clock_mhz * 1e6 / divisor / chosen.baud - 1) < 0.01


@pytest.mark.parametrize("chosen", DEVICES.values(), ids=DEVICES)
def test_board_is_the_same_bytes_every_time(chosen, tmp_path) -> None:
    first = write_board(tmp_path / "a", chosen, chosen.clock_mhz).read_bytes()
    assert write_board(tmp_path / "b", chosen, chosen.clock_mhz).read_bytes() == first
    assert write_board(tmp_path / "c", chosen, chosen.pin_mhz).read_bytes() != first
