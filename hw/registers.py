"""The control and status registers of a design, behind an AXI4-Lite port.

One table, :data:`REGISTERS`, is what the hardware, the manifest and the documentation are made of.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from typing import Any, Literal

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..sw.formats import Format
from ..sw.network import Network
from .sequential.program import Weights

IDENTITY = int.from_bytes(b"RSLF", "big")
ADDRESS_WIDTH = 8
PAGE_BITS = 12
"""External weights begin at a multiple of 4 KB, which no burst of AXI4 may cross."""
OKAY, SLVERR = 0b00, 0b10


@dataclass(frozen=True)
class Register:
    """One 32-bit register: byte ``offset``, ``name``, what may be done with it and its meaning."""

    offset: int
    name: str
    access: Literal["read", "read/write"]
    meaning: str


REGISTERS = (
    Register(0x00, "identity", "read", "0x52534C46, the letters RSLF"),
    Register(0x04, "version", "read", "of the generator: major << 16, minor << 8, patch"),
    Register(
        0x08,
        "control",
        "read/write",
        "bit 0: input words are packed; bit 1: write 1 to clear the counters, reads as 0",
    ),
    Register(0x0C, "status", "read", "bit 0: a sample has begun and its class has not been sent"),
    Register(0x10, "inputs", "read", "number of network inputs"),
    Register(0x14, "classes", "read", "number of class scores"),
    Register(0x18, "max_steps", "read", "most timesteps a sample may have"),
    Register(0x1C, "input_format", "read", "bit 31: signed; bits 7 to 0: width in bits"),
    Register(0x20, "saturations", "read", "values clipped since the counters were cleared; wraps"),
    Register(
        0x24, "cycles_low", "read", "cycles spent busy, bits 31 to 0; reading it holds cycles_high"
    ),
    Register(
        0x28, "cycles_high", "read", "bits 63 to 32 of the same, as they were when low was read"
    ),
    Register(0x2C, "samples", "read", "classes sent since the counters were cleared; wraps"),
    *(
        Register(0x30 + 4 * i, f"digest_{i}", "read", f"bits {255 - 32 * i} to {224 - 32 * i}")
        for i in range(8)
    ),
)
"""The register map. Every other address answers SLVERR and reads as 0."""

STREAM_REGISTERS = (
    Register(
        0x50,
        "weights_base",
        "read/write",
        "address of the weights, a multiple of 4096; writing it, once after a reset, starts them",
    ),
)
"""The register that a design has beside, whose weights are fetched from external memory."""

MORE = {
    ("control", "loaded"): "; bit 2: write 1 while status bit 0 is 0 to load weights, reads as 0",
    ("status", "loaded"): "; bit 2: weights are loaded",
    (
        "status",
        "stream",
    ): "; bit 1: the weights' memory answered with an error, no more results come",
}
"""What else a register means, by where the weights come from."""

OFFSETS = {register.name: register.offset for register in REGISTERS + STREAM_REGISTERS}


def registers_of(weights: Weights = "block") -> tuple[Register, ...]:
    """The register map of a design whose weights come from there."""
    more = STREAM_REGISTERS if weights == "stream" else ()
    return tuple(
        replace(register, meaning=register.meaning + MORE.get((register.name, weights), ""))
        for register in REGISTERS + more
    )


def register_map(weights: Weights = "block") -> list[dict[str, str | int]]:
    """The register map as JSON-compatible entries for the manifest."""
    return [asdict(register) for register in registers_of(weights)]


def register_table(registers: Iterable[Register] = REGISTERS) -> str:
    """The register map as a Markdown table for the documentation."""
    rows = [f"| `0x{r.offset:02X}` | `{r.name}` | {r.access} | {r.meaning} |" for r in registers]
    return "\n".join(["| offset | register | access | meaning |", "|---|---|---|---|", *rows, ""])


@dataclass(frozen=True)
class DesignInfo:
    """What a design says about itself: the values of its constant registers.

    ``digest`` is the network's SHA-256 in hex, ``version`` the generator's (major, minor, patch).
    """

    version: tuple[int, int, int]
    digest: str
    inputs: int
    classes: int
    max_steps: int
    input_format: Format

    @classmethod
    def of(cls, network: Network) -> DesignInfo:
        """The facts about ``network``, and the version of this package."""
        major, minor, patch = (int(part) for part in version("reslif").split(".")[:3])
        return cls(
            version=(major, minor, patch),
            digest=network.digest,
            inputs=network.input.size,
            classes=network.scores.size,
            max_steps=network.max_steps,
            input_format=network.input.format,
        )

    def values(self) -> dict[str, int]:
        """The constant registers by name."""
        major, minor, patch = self.version
        digest = bytes.fromhex(self.digest)
        return {
            "identity": IDENTITY,
            "version": major << 16 | minor << 8 | patch,
            "inputs": self.inputs,
            "classes": self.classes,
            "max_steps": self.max_steps,
            "input_format": self.input_format.signed << 31 | self.input_format.width,
            **{f"digest_{i}": int.from_bytes(digest[4 * i : 4 * i + 4], "big") for i in range(8)},
        }


class AxiLite(wiring.Signature):
    """AXI4-Lite as its manager sees it: 32 data bits, byte addresses of ``ADDRESS_WIDTH`` bits."""

    def __init__(self) -> None:
        super().__init__(
            {
                "awaddr": Out(ADDRESS_WIDTH),
                "awprot": Out(3),
                "awvalid": Out(1),
                "awready": In(1),
                "wdata": Out(32),
                "wstrb": Out(4),
                "wvalid": Out(1),
                "wready": In(1),
                "bresp": In(2),
                "bvalid": In(1),
                "bready": Out(1),
                "araddr": Out(ADDRESS_WIDTH),
                "arprot": Out(3),
                "arvalid": Out(1),
                "arready": In(1),
                "rdata": In(32),
                "rresp": In(2),
                "rvalid": In(1),
                "rready": Out(1),
            }
        )


class Registers(wiring.Component):
    """The register bank.

    One write and one read may be under way at once. A write is taken when its address and its data
    have both arrived, in any order; only ``control`` can be written (and ``weights_base``, whole
    and once), anything else answers SLVERR and changes nothing. Address bits 1 and 0 and the
    protection bits are ignored. No output of the bus depends on an input of the same cycle.

    Members
    -------
    bus: the AXI4-Lite port.
    packed: control bit 0.
    busy: a sample has begun and its class has not been sent; its cycles are counted.
    sample_done: a class is sent, one cycle for each.
    saturated: how many values are clipped in this cycle.
    weights_base, weights_started: where streamed weights are, in units of 4 KB, and that they are
        there. Only if ``weights`` are ``stream``, as the next.
    weights_failed: status bit 1.
    weights_loaded, reload: status bit 2 and control bit 2. Only if ``weights`` are ``loaded``.

    Counting stops for the one cycle in which the counters are cleared.
    """

    def __init__(self, info: DesignInfo, saturated_width: int, weights: Weights = "block") -> None:
        self.info = info
        self.weights = weights
        more: dict[str, wiring.Member] = {}
        if weights == "stream":
            more |= {"weights_base": Out(20), "weights_started": Out(1), "weights_failed": In(1)}
        if weights == "loaded":
            more |= {"weights_loaded": In(1), "reload": Out(1)}
        super().__init__(
            {
                **more,
                "bus": In(AxiLite()),
                "packed": Out(1),
                "busy": In(1),
                "sample_done": In(1),
                "saturated": In(saturated_width),
            }
        )

    @property
    def read_latency(self) -> int:
        """Cycles from an accepted read address to its data."""
        return 2

    def elaborate(self, platform: object) -> Module:
        m = Module()
        saturations, cycles, samples = Signal(32), Signal(64), Signal(32)
        m.d.sync += saturations.eq(saturations + self.saturated)
        with m.If(self.busy):
            m.d.sync += cycles.eq(cycles + 1)
        with m.If(self.sample_done):
            m.d.sync += samples.eq(samples + 1)
        with m.If(self.written(m)):
            m.d.sync += [saturations.eq(0), cycles.eq(0), samples.eq(0)]

        cycles_high = Signal(32)
        counters = {
            "saturations": saturations,
            "cycles_low": cycles[:32],
            "cycles_high": cycles_high,
            "samples": samples,
        }
        flags: dict[str, Value] = {"control": self.packed, "status": self.busy}
        if self.weights == "stream":
            flags["status"] = Cat(self.busy, self.weights_failed)
            flags["weights_base"] = self.weights_base << PAGE_BITS
        if self.weights == "loaded":
            flags["status"] = Cat(self.busy, Const(0, 1), self.weights_loaded)
        with m.If(self.reading(m, self.info.values() | flags, counters)["cycles_low"]):
            # What a host reads next belongs to the same moment.
            m.d.sync += cycles_high.eq(cycles[32:])
        return m

    def written(self, m: Module) -> Value:
        """The write channels; the result is high when the counters are to be cleared."""
        bus, taken, clear = self.bus, Signal(), Signal()
        m.d.comb += [bus.awready.eq(taken), bus.wready.eq(taken)]
        m.d.sync += taken.eq(bus.awvalid & bus.wvalid & ~taken & ~bus.bvalid)
        with m.If(taken):
            m.d.sync += [bus.bvalid.eq(1), bus.bresp.eq(SLVERR)]
            with m.If(bus.awaddr[2:] == OFFSETS["control"] // 4):
                m.d.sync += bus.bresp.eq(OKAY)
                with m.If(bus.wstrb[0]):
                    m.d.sync += self.packed.eq(bus.wdata[0])
                    m.d.comb += clear.eq(bus.wdata[1])
                    if self.weights == "loaded":
                        m.d.comb += self.reload.eq(bus.wdata[2] & ~self.busy)
            if self.weights == "stream":
                self.write_base(m)
        with m.Elif(bus.bready):
            m.d.sync += bus.bvalid.eq(0)
        return clear

    def write_base(self, m: Module) -> None:
        """Weights that are on their way can be called off by a reset only."""
        bus = self.bus
        here = bus.awaddr[2:] == OFFSETS["weights_base"] // 4
        with m.If(here & bus.wstrb.all() & ~self.weights_started):
            m.d.sync += [
                bus.bresp.eq(OKAY),
                self.weights_base.eq(bus.wdata[PAGE_BITS:]),
                self.weights_started.eq(1),
            ]

    def reading(
        self, m: Module, others: dict[str, Any], counters: dict[str, Any]
    ) -> dict[str, Value]:
        """The read channels; the result says of each counter whether it is being read."""
        bus, busy, index = self.bus, Signal(), Signal(ADDRESS_WIDTH - 2)
        m.d.comb += bus.arready.eq(~busy & ~bus.rvalid)
        with m.If(bus.arready & bus.arvalid):
            m.d.sync += [busy.eq(1), index.eq(bus.araddr[2:])]

        # The four counters are neighbours: a multiplexer of four, and a small table for the rest.
        first = OFFSETS[next(iter(counters))] // 4
        table = Signal(32)
        with m.Switch(index):
            for name, value in others.items():
                with m.Case(OFFSETS[name] // 4):
                    m.d.comb += table.eq(value)
        with m.If(busy):
            m.d.sync += [busy.eq(0), bus.rvalid.eq(1)]
            m.d.sync += bus.rresp.eq(Mux(index < len(registers_of(self.weights)), OKAY, SLVERR))
            m.d.sync += bus.rdata.eq(table)
            with m.If(index[2:] == first >> 2):
                m.d.sync += bus.rdata.eq(Array(counters.values())[index[:2]])
        with m.Elif(bus.rready):
            m.d.sync += bus.rvalid.eq(0)
        return {name: busy & (index == OFFSETS[name] // 4) for name in counters}
