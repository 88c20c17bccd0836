"""Bitstreams: devices, boards, synthesis, place and route, and the way to a board."""

from .devices import DEVICES, Device, device
from .flow import build, measure

__all__ = ["DEVICES", "Device", "build", "device", "measure"]
