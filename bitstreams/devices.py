"""Devices and the boards that carry them. Pins come from amaranth-boards, never from here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

from amaranth.build import Resource
from amaranth_boards.icebreaker import ICEBreakerPlatform
from amaranth_boards.ulx3s import ULX3S_85F_Platform

from ..hw.target import Capacity
from .errors import BuildError

LINK_BLOCK_RAMS = 1
"""Of every board's serial link, for the bytes that wait there."""


@dataclass(frozen=True)
class Device:
    """One FPGA on one board.

    ``nextpnr`` selects the device, ``package`` is the one on the board, ``bare_package`` one with
    pins enough for every port of a bare design. ``capacity`` counts resources under the names that
    nextpnr gives them (Lattice data sheets FPGA-DS-02008 for iCE40 UltraPlus and FPGA-DS-02012 for
    ECP5). ``clock_mhz`` is what a design runs at unless told otherwise, ``baud`` the rate of the
    serial line. ``led`` is the board's resource that shows a fault of the link, ``loader`` its
    name in openFPGALoader, ``suffix`` the usual one of its bitstreams.
    """

    name: str
    board: str
    family: Literal["ice40", "ecp5"]
    platform: type[Any]
    nextpnr: tuple[str, ...]
    package: str
    bare_package: str | None
    capacity: Mapping[str, int]
    clock_mhz: float
    baud: int
    led: tuple[str, int]
    loader: str
    suffix: str

    @property
    def capacities(self) -> Capacity:
        """What an estimate is held against: all but what the serial link takes of block RAM."""
        names = {
            "ecp5": ("DP16KD", "MULT18X18D", "TRELLIS_COMB"),
            "ice40": ("ICESTORM_RAM", "ICESTORM_DSP", "ICESTORM_LC"),
        }[self.family]
        rams, multipliers, luts = (self.capacity[name] for name in names)
        return Capacity(
            self.name,
            self.family,
            rams - LINK_BLOCK_RAMS,
            multipliers,
            luts,
            self.capacity.get("ICESTORM_SPRAM", 0),
        )

    @property
    def oscillator(self) -> Resource:
        """The clock that the board supplies."""
        return self.resource(self.platform.default_clk)

    @property
    def pin_mhz(self) -> float:
        """Frequency of the board's oscillator."""
        clock = self.oscillator.clock
        assert clock is not None  # it is the platform's default clock
        return clock.frequency / 1e6

    def resource(self, name: str, number: int = 0) -> Resource:
        """A resource of the board, such as its serial port."""
        for resource in self.platform.resources:
            if (resource.name, resource.number) == (name, number):
                return resource
        raise BuildError(f"board {self.board} has no resource {name} {number}")


UP5K = Device(
    name="up5k",
    board="iCEBreaker",
    family="ice40",
    platform=ICEBreakerPlatform,
    nextpnr=("--up5k",),
    package="sg48",
    bare_package=None,
    capacity=MappingProxyType(
        {"ICESTORM_LC": 5280, "ICESTORM_RAM": 30, "ICESTORM_DSP": 8, "ICESTORM_SPRAM": 4}
    ),
    clock_mhz=20.25,
    baud=115_200,
    led=("led_r", 0),
    loader="ice40_generic",
    suffix="bin",
)

ECP5_85K = Device(
    name="ecp5-85k",
    board="ULX3S-85F",
    family="ecp5",
    platform=ULX3S_85F_Platform,
    nextpnr=("--85k", "--speed", "6"),
    package="CABGA381",
    bare_package="CABGA756",
    capacity=MappingProxyType(
        {"TRELLIS_COMB": 83640, "TRELLIS_FF": 83640, "DP16KD": 208, "MULT18X18D": 156}
    ),
    clock_mhz=80.0,
    baud=1_000_000,
    led=("led", 0),
    loader="ulx3s",
    suffix="bit",
)

DEVICES = {device.name: device for device in (UP5K, ECP5_85K)}


def device(name: str) -> Device:
    """The device of that name, or an error that lists the names there are."""
    try:
        return DEVICES[name]
    except KeyError:
        raise BuildError(f"device is '{name}', must be one of {', '.join(DEVICES)}") from None
