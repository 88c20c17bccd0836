"""The top level: AXI4-Stream for data, AXI4-Lite for control and status.

The port names are those that vendor tools recognise as interfaces (``s_axis_*``, ``m_axis_*``,
``s_axi_*``, and ``m_axi_*`` if weights are streamed, all on ``aclk`` and ``aresetn``).
"""

from __future__ import annotations

from amaranth.hdl import ClockDomain, ClockSignal, Module, Mux, ResetSignal, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .dataflow import Dataflow
from .registers import AxiLite, Registers
from .sequential.engine import Sequential
from .sequential.weight_load import LoadedWeights
from .sequential.weight_stream import AxiRead, StreamedWeights
from .words import WORD, WordDecoder, score_shape


class Top(wiring.Component):
    """``engine`` behind AXI ports; ``aresetn`` is synchronous to ``aclk`` and active low.

    One word arrives per event (or several values per word in packed mode); for each sample its
    class scores leave, one a word, sign-extended, then its class with ``m_axis_tlast``.
    """

    def __init__(self, engine: Dataflow | Sequential, registers: Registers) -> None:
        self.engine = engine
        self.registers = registers
        self.source = engine.weights if isinstance(engine, Sequential) else None
        score_shape(engine.network.scores.format)
        members: dict[str, wiring.Member] = {"aclk": In(1), "aresetn": In(1)}
        for name, flow in (("s_axis", In), ("m_axis", Out)):
            back = In if flow is Out else Out
            members |= {
                f"{name}_tdata": flow(WORD),
                f"{name}_tvalid": flow(1),
                f"{name}_tready": back(1),
                f"{name}_tlast": flow(1),
            }
        for name, member in AxiLite().flip().members.items():
            members[f"s_axi_{name}"] = member
        self.streamed = self.source if isinstance(self.source, StreamedWeights) else None
        if self.streamed is not None:
            self.bus = AxiRead(self.streamed.layout.bus_bits)
            members |= {f"m_axi_{name}": member for name, member in self.bus.members.items()}
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.domains.sync = ClockDomain()
        m.d.comb += [ClockSignal().eq(self.aclk), ResetSignal().eq(~self.aresetn)]

        node = self.engine.network.input
        words = m.submodules.words = WordDecoder(node.size, node.format)
        core = m.submodules.core = self.engine
        registers = m.submodules.registers = self.registers
        for name, member in AxiLite().flip().members.items():
            outer, inner = getattr(self, f"s_axi_{name}"), getattr(registers.bus, name)
            m.d.comb += inner.eq(outer) if member.flow is In else outer.eq(inner)
        m.d.comb += [
            words.packed.eq(registers.packed),
            words.words.payload.data.eq(self.s_axis_tdata),
            words.words.payload.last.eq(self.s_axis_tlast),
            words.words.valid.eq(self.s_axis_tvalid),
            self.s_axis_tready.eq(words.words.ready),
        ]
        wiring.connect(m, words.events, core.events)
        m.d.comb += [
            self.m_axis_tdata.eq(core.results.payload.value),
            self.m_axis_tlast.eq(core.results.payload.last),
            self.m_axis_tvalid.eq(core.results.valid),
            core.results.ready.eq(self.m_axis_tready),
        ]
        self.watch(m, words, registers)
        if self.streamed is not None:
            self.stream(m, self.streamed)
        if isinstance(self.source, LoadedWeights):
            self.load(m, words, self.source)
        return m

    def load(self, m: Module, words: WordDecoder, weights: LoadedWeights) -> None:
        """What arrives are weights until all are there."""
        m.d.comb += [
            weights.words.payload.eq(self.s_axis_tdata),
            weights.words.valid.eq(self.s_axis_tvalid),
            words.words.valid.eq(self.s_axis_tvalid & weights.loaded),
            self.s_axis_tready.eq(Mux(weights.loaded, words.words.ready, weights.words.ready)),
            weights.reload.eq(self.registers.reload),
            self.registers.weights_loaded.eq(weights.loaded),
        ]

    def stream(self, m: Module, weights: StreamedWeights) -> None:
        """External memory, and where in it the registers say that the weights are."""
        for name, member in self.bus.members.items():
            outer, inner = getattr(self, f"m_axi_{name}"), getattr(weights.memory, name)
            m.d.comb += outer.eq(inner) if member.flow is Out else inner.eq(outer)
        m.d.comb += [
            weights.base.eq(self.registers.weights_base),
            weights.started.eq(self.registers.weights_started),
            self.registers.weights_failed.eq(weights.failed),
        ]

    def watch(self, m: Module, words: WordDecoder, registers: Registers) -> None:
        """Tell the registers what happens: samples in flight, samples done, clipped values."""
        begun, in_flight = Signal(), Signal(16)
        begins, ends = Signal(), Signal()
        moves = words.events.valid & words.events.ready
        m.d.comb += [
            begins.eq(moves & ~begun),
            ends.eq(self.m_axis_tvalid & self.m_axis_tready & self.m_axis_tlast),
            registers.busy.eq(in_flight.any()),
            registers.sample_done.eq(ends),
            registers.saturated.eq(self.engine.saturated),
        ]
        with m.If(moves):
            m.d.sync += begun.eq(~words.events.payload.end_of_sample)
        m.d.sync += in_flight.eq(in_flight + begins - ends)
