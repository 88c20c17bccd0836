"""The sequential engine: one set of lanes that goes through a network layer by layer.

Each operation serves one word of ``lanes`` neurons after the other, each over all timesteps of the
sample: every event adds a row of weights, the end of a timestep takes one cycle more. So the sums
and the neurons' states of one word are all that is kept, in registers; the spikes of a layer, and
shortcuts, wait in memory. Depth costs rows of weights and program words, nothing else.
"""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import enum, wiring
from amaranth.lib.wiring import In, Out

from ..memories import memory
from ..probes import Probe
from ..readout import result_stream
from ..streams import shape_of, spike_stream
from .input_store import InputStore
from .lanes import LayerLanes
from .program import Program
from .results import Results
from .spike_store import SpikeStore
from .weight_choice import weight_source
from .words import ProgramWords


class Phase(enum.Enum):
    """Of an operation."""

    LOAD = 0
    """The program word is read."""
    DECODE = 1
    """It goes into registers: a block RAM answers late in a cycle, and all lanes hang on it."""
    START = 2
    """As soon as sample and weights are there, and the results before are not in the way."""
    FETCH = 3
    """The spikes of the first timestep are read."""
    RUN = 4
    """A token a cycle."""
    FINISH = 5
    """The last token is still in the lanes."""


class Sequential(wiring.Component):
    """``program.network`` on one engine.

    Members
    -------
    events: the input's spikes.
    results: class scores and class of each sample.
    saturated: how many values were clipped, a count per cycle, some cycles late.

    ``weights`` is where its weights come from; what that needs from outside is left to the top.
    """

    def __init__(self, program: Program) -> None:
        self.program = program
        self.network = program.network
        self.words = ProgramWords(program)
        self.weights = weight_source(self.words)
        self.lanes = LayerLanes(self.words, self.weights.depth)
        self.probes: list[Probe] = self.lanes.probes
        """Filled by elaboration."""
        node, readout = self.network.input, self.network.readout
        super().__init__(
            {
                "events": In(spike_stream(node.size, shape_of(node.format))),
                "results": Out(result_stream(shape_of(self.network.scores.format), readout.size)),
                "saturated": Out(self.lanes.saturated.shape()),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        words, network, lanes = self.words, self.network, self.lanes
        steps, score = network.max_steps, shape_of(network.scores.format)
        source = InputStore(network.input.size, steps, shape_of(network.input.format))
        spikes = SpikeStore(
            words.spike_places, words.sent_words, words.lanes, steps, words.shapes.sent
        )
        results = Results(network.readout.size, lanes.scores.shape(), score)
        weights = self.weights
        m.submodules.input = source
        m.submodules.spikes = spikes
        m.submodules.results = results
        m.submodules.weights = weights
        m.submodules.lanes = lanes
        wiring.connect(m, wiring.flipped(self.events), source.events)
        wiring.connect(m, lanes.rows, weights.port.rows)
        wiring.connect(m, results.results, wiring.flipped(self.results))

        phase = Signal(Phase)
        operation = Signal(lanes.operation.shape())
        config = self.program_word(m, operation, phase == Phase.LOAD, phase == Phase.DECODE)
        m.d.comb += [lanes.config.eq(config), lanes.operation.eq(operation)]

        def field(name: str) -> Value:
            return words.field(name, config)

        # The phases.
        from_input, scores = field("from_input"), field("scores")
        start, token, ends, last_word, done = (Signal() for _ in range(5))
        last_step, step, word = (Signal.like(s) for s in (lanes.step, lanes.step, lanes.word))
        ready = (~from_input | source.full) & ~(scores & results.busy) & weights.port.ready
        m.d.comb += [
            start.eq((phase == Phase.START) & ready),
            token.eq(phase == Phase.RUN),
            ends.eq(step == last_step),
            last_word.eq(word == field("last_word")),
            done.eq((phase == Phase.FINISH) & ~lanes.busy),
        ]
        with m.Switch(phase):
            with m.Case(Phase.LOAD):
                m.d.sync += phase.eq(Phase.DECODE)
            with m.Case(Phase.DECODE):
                m.d.sync += phase.eq(Phase.START)
            with m.Case(Phase.START), m.If(ready):
                m.d.sync += phase.eq(Phase.FETCH)
            with m.Case(Phase.FETCH):
                m.d.sync += phase.eq(Phase.RUN)
            with m.Case(Phase.RUN), m.If(lanes.close & ends & last_word):
                m.d.sync += phase.eq(Phase.FINISH)
            with m.Case(Phase.FINISH), m.If(done):
                m.d.sync += phase.eq(Phase.LOAD)
                m.d.sync += operation.eq(Mux(operation == self.last, 0, operation + 1))

        # The tokens: all timesteps of the first word of neurons, all of the second, and so on.
        row = Signal.like(lanes.row)
        with m.If(start):
            m.d.sync += [step.eq(0), word.eq(0), row.eq(weights.port.base)]
            with m.If(operation == 0):
                m.d.sync += last_step.eq(source.last_step)
        with m.Elif(lanes.close):
            m.d.sync += step.eq(Mux(ends, 0, step + 1))
            with m.If(ends):
                m.d.sync += [word.eq(word + 1), row.eq(row + field("inputs"))]
        m.d.comb += [
            weights.port.row.eq(field("row")),
            weights.port.count.eq(field("rows")),
            weights.port.done.eq(done),
            source.start.eq(start & from_input),
            source.take.eq(token & from_input),
            source.free.eq(done & field("frees_input")),
            spikes.start.eq(start & ~from_input),
            spikes.take.eq(token & ~from_input),
            spikes.slot.eq(field("source_slot")),
            spikes.last_step.eq(last_step),
            spikes.last_word.eq(field("source_last_word")),
            lanes.event.eq(token & Mux(from_input, source.event, spikes.event)),
            lanes.close.eq(token & Mux(from_input, source.close, spikes.close)),
            lanes.index.eq(Mux(from_input, source.index, spikes.index)),
            lanes.value.eq(Mux(from_input, source.value, spikes.value)),
            lanes.step.eq(step),
            lanes.word.eq(word),
            lanes.first.eq(step == 0),
            lanes.last.eq(ends),
            lanes.row.eq(row),
        ]

        # What the lanes send.
        m.d.comb += [
            spikes.write.eq(lanes.sends),
            spikes.write_slot.eq(field("sent_slot")),
            spikes.write_step.eq(lanes.sent_step),
            spikes.write_word.eq(lanes.sent_word),
            spikes.values.eq(lanes.spikes),
            results.valid.eq(lanes.scores_valid),
            results.word.eq(lanes.scores_word),
            results.scores.eq(lanes.scores),
            results.send.eq(done & scores),
            self.saturated.eq(lanes.saturated),
        ]
        return m

    @property
    def last(self) -> int:
        """The number of the last operation."""
        return len(self.program.operations) - 1

    def program_word(self, m: Module, operation: Value, load: Value, decode: Value) -> Value:
        """The word of ``operation``, read at ``load``, held from the cycle after ``decode``."""
        layout = self.words.word
        config = Signal(layout)
        if layout.size:
            rows = [layout.from_bits(word) for word in self.words.words]
            program = m.submodules.program = memory(layout, len(rows), rows)
            read = program.read_port()
            m.d.comb += [read.addr.eq(operation), read.en.eq(load)]
            with m.If(decode):
                m.d.sync += config.eq(read.data)
        return config
