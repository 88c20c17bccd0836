"""What a sequential engine shows the simulation: the same few signals for all layers in turn."""

from __future__ import annotations

from collections.abc import Mapping

from amaranth.hdl import Signal

from ...sw.formats import Format
from ..probes import Probe, Share
from ..streams import words_of
from .program import Operation
from .words import ProgramWords

MODULE = ("lanes",)

SHOWN = {
    "current": lambda op: op.dense,
    "sum": lambda op: op.current_join,
    "membrane": lambda op: op.neuron,
    "spike": lambda op: op.neuron,
    "joined": lambda op: op.spike_join,
    "score": lambda op: op.readout,
}
"""For each pair of signals the node of an operation that it shows, if there is one."""

QUANTITIES = {"sum": "value", "joined": "value"}
"""What signals show, where it is not their own name."""


def shared_probes(words: ProgramWords, shown: Mapping[str, tuple[Signal, Signal]]) -> list[Probe]:
    """The probes of all nodes, on the signals ``shown`` (valid and data, by their names)."""
    operations = words.program.operations
    probes = []
    for name, (valid, data) in shown.items():
        turns = [(turn, op) for turn, op in enumerate(operations) if SHOWN[name](op)]
        counts = [words_of(op.dense.size, words.lanes) for _, op in turns]
        for place, (turn, op) in enumerate(turns):
            node, quantity = SHOWN[name](op).name, QUANTITIES.get(name, name)
            share = Share(sum(counts[:place]), sum(counts), len(data) // words.lanes, turn)
            probes.append(
                Probe(
                    node,
                    quantity,
                    MODULE,
                    valid.name,
                    data.name,
                    words.lanes,
                    counts[place],
                    0,
                    _format(words, op, name),
                    share,
                )
            )
    return probes


def _format(words: ProgramWords, op: Operation, name: str) -> Format:
    network = words.program.network
    if name == "membrane":
        assert op.neuron is not None
        return op.neuron.membrane
    if name == "score":
        return network.scores.format
    return network.values[SHOWN[name](op).name].format
