"""Pin and clock constraints of a board design, from amaranth-boards' description of the board."""

from __future__ import annotations

from dataclasses import dataclass

from .devices import Device


@dataclass(frozen=True)
class Pin:
    """Port ``port`` of module ``board`` at ``site``, with the board's attributes."""

    port: str
    site: str
    direction: str
    attributes: dict[str, str]


def pins(device: Device) -> tuple[Pin, ...]:
    """Where the ports of module ``board`` are."""
    uart = device.resource("uart")
    lines = {part.name: part for part in uart.ios}
    places = {
        "clk": (device.oscillator, device.oscillator.ios[0]),
        "rx": (uart, lines["rx"].ios[0]),
        "tx": (uart, lines["tx"].ios[0]),
        "led": (device.resource(*device.led), device.resource(*device.led).ios[0]),
    }
    return tuple(
        Pin(
            port,
            place.names[0],
            place.dir,
            {key: str(value) for key, value in resource.attrs.items()},
        )
        for port, (resource, place) in places.items()
    )


def constraints(device: Device) -> str:
    """The constraints file: PCF for iCE40, LPF for ECP5."""
    lines = []
    for pin in pins(device):
        if device.family == "ice40":
            pulled = pin.direction == "i" and pin.attributes.get("PULLUP") == "1"
            pull = "-pullup yes " if pulled else ""
            lines.append(f"set_io {pull}{pin.port} {pin.site}")
        else:
            attributes = " ".join(f"{key}={value}" for key, value in pin.attributes.items())
            lines.append(f'LOCATE COMP "{pin.port}" SITE "{pin.site}";')
            lines.append(f'IOBUF PORT "{pin.port}" {attributes};')
    if device.family == "ice40":
        lines.append(f"set_frequency clk {device.pin_mhz:g}")
    else:
        lines.append(f'FREQUENCY PORT "clk" {device.pin_mhz:g} MHZ;')
    return "\n".join(lines) + "\n"
