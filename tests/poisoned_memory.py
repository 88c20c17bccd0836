"""A memory that gives wrong data where it is read and written in one cycle."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from amaranth.hdl import Elaboratable, Module, Signal, Value
from amaranth.lib.memory import Memory


class Poisoned(Elaboratable):
    """Stands in for a memory of one write and one read port, or of a read port alone."""

    def __init__(self, shape: Any, depth: int, init: Any = (), **where: bool) -> None:
        del where
        self.memory = Memory(shape=shape, depth=max(2, depth), init=init)
        self.writes: list[Any] = []
        self.reads: list[tuple[Any, Any]] = []

    def write_port(self, **options: Any) -> Any:
        self.writes.append(self.memory.write_port(**options))
        return self.writes[-1]

    def read_port(self) -> Any:
        port = self.memory.read_port()
        seen = Signal(self.memory.shape)
        self.reads.append((port, seen))
        return SimpleNamespace(addr=port.addr, en=port.en, data=seen)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.memory = self.memory
        for port, seen in self.reads:
            collided = Signal()
            for write in self.writes:
                with m.If(port.en):
                    m.d.sync += collided.eq(write.en.any() & (write.addr == port.addr))
            stored, shown = Value.cast(port.data), Value.cast(seen)
            with m.If(collided):
                m.d.comb += shown.eq(~stored)
            with m.Else():
                m.d.comb += shown.eq(stored)
        return m
