"""Who works when on one sample: the estimate of a design, laid out over time for the report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..network import Network, Readout
from ..report.facts import Schedule, Span
from ..report.network import shown_order


def schedule(
    network: Network, manifest: Mapping[str, Any], inputs: Any, sample: int, family: Any
) -> Schedule:
    """The schedule of test sample ``sample``, ``inputs`` ``[T, 1, n]``, on the design of
    ``manifest``; ``family`` is that of its block RAMs.
    """
    from ...sim.activity import measured

    activity = measured(network, inputs)
    if manifest.get("engine") == "sequential":
        return _one_engine(network, manifest, activity, sample, family)
    return _own_engines(network, manifest, activity, sample, family)


def _one_engine(
    network: Network, manifest: Mapping[str, Any], activity: Any, sample: int, family: Any
) -> Schedule:
    """Layer after layer, each through all timesteps."""
    from ...hw.sequential.fit import SequentialFit
    from ...hw.sequential.program import Program, Sequence
    from ...hw.sequential.words import ProgramWords

    source = manifest.get("weights", {}).get("source", "block")
    words = ProgramWords(Program(network, Sequence(manifest["lanes"], source)))
    found = SequentialFit(words, activity, family)
    rows, now = [], 0.0
    for layer, cycles in found.cycles.items():
        rows.append((layer, (Span(0, now, now + cycles),)))
        now += cycles
    memories = tuple((m.name, found.block_rams_of(m)) for m in found.memories)
    return Schedule(sample, True, tuple(rows), tuple(m for m in memories if m[1]))


def _own_engines(
    network: Network, manifest: Mapping[str, Any], activity: Any, sample: int, family: Any
) -> Schedule:
    """All layers at once, each on the timestep that the layers before it have done."""
    from ...hw.fit import fit
    from ...hw.folding import Fold, Folding, Plan
    from ...hw.folds import LAYERS

    layers = {
        entry["name"]: Fold(entry["lanes"], entry["neuron_lanes"], entry.get("taps", 1))
        for entry in manifest["layers"]
        if "lanes" in entry
    }
    plan = Plan(network, Folding(layers=layers))
    steps = [
        fit(plan, {edge: mask[t : t + 1] for edge, mask in activity.items()}, family)
        for t in range(network.max_steps)
    ]
    # Layers of a loop that has several already take the cycles of the whole way around.
    around = {
        node.name
        for group in network.groups
        if sum(isinstance(node, LAYERS) for node in group) > 1
        for node in group
    }
    spans: dict[str, list[Span]] = {node.name: [] for node in network.order}
    for t, found in enumerate(steps):
        cycles = {row.name: row.cycles for row in found.rows}
        for node in network.order:
            start = spans[node.name][-1].end if t else 0.0
            end = 0.0
            for edge in plan.edges_into(node.name):
                if edge.delay > t:  # zeros, which are there before the sample
                    continue
                # A synapse sends its currents when all events of the timestep are in; what
                # others send can be worked on as it comes.
                before = spans[edge.source][t - edge.delay]
                whole = isinstance(network.by_name[edge.source], LAYERS)
                whole = whole and not (edge.delay and edge.source in around)
                start = max(start, before.end if whole else before.start)
                end = max(end, before.end)
            spans[node.name].append(Span(t, start, max(start + cycles[node.name], end)))
    shown = shown_order(network)
    rams = {row.name: row.block_rams for row in steps[0].rows if row.block_rams}
    return Schedule(
        sample,
        False,
        tuple((n.name, tuple(spans[n.name])) for n in shown if isinstance(n, (*LAYERS, Readout))),
        tuple((node.name, rams[node.name]) for node in shown if node.name in rams),
    )
