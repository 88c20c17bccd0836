"""What a design will take and how fast it will be, layer by layer, before it is built.

Memories are counted as they are built (see :mod:`.stores`); cycles follow from the events of some
timesteps (see :mod:`.activity`). All layers work at once: the slowest sets the pace.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from ..sw.network import Conv2d, Dense, Edge, Input, Neuron, Node, Readout
from .activity import Activity
from .blockram import Family
from .folding import Plan
from .folds import LAYERS, Fold
from .luts import luts, multipliers
from .stores import Store, stores
from .streams import words_of

LOOP_CYCLES = 13
"""What neurons, delay and encoder take between two layers of a loop, which do not overlap."""

Mask = npt.NDArray[np.bool_]
Known: TypeAlias = dict[tuple[str, Fold, int], tuple[float, float]]
"""Events and cycles of layers, by all that they depend on for the same activity."""


@dataclass(frozen=True)
class Row:
    """One node: ``weights`` (how many, in how many bits), bits of state (sums, neurons' states,
    buffers in front of it), block RAMs, multipliers, and per timestep its events and cycles.
    """

    name: str
    kind: str
    fold: str
    weights: int
    weight_bits: int
    state_bits: int
    block_rams: int
    multipliers: int
    luts: int
    events: float
    cycles: float


@dataclass(frozen=True)
class Fit:
    """A design's estimate; ``steps`` timesteps make a sample."""

    rows: tuple[Row, ...]
    steps: int

    @property
    def bottleneck(self) -> Row:
        """The node that takes longest, the first of several."""
        return max(self.rows, key=lambda row: row.cycles)

    @property
    def cycles_per_sample(self) -> float:
        """Cycles from sample to sample, when they follow each other."""
        return self.steps * self.bottleneck.cycles

    @property
    def block_rams(self) -> int:
        return sum(row.block_rams for row in self.rows)

    @property
    def multipliers(self) -> int:
        return sum(row.multipliers for row in self.rows)

    @property
    def luts(self) -> int:
        """A rough estimate."""
        return sum(row.luts for row in self.rows)

    def samples_per_second(self, clock_mhz: float) -> float:
        return clock_mhz * 1e6 / self.cycles_per_sample

    def lines(self) -> list[str]:
        """A table: a line a node, then the sums."""
        table = [_HEAD]
        for row in self.rows:
            counts = (row.weights, row.weight_bits, row.state_bits, row.block_rams, row.multipliers)
            pace = (round(row.events), round(row.cycles))
            mark = "<- bottleneck" if row is self.bottleneck else ""
            table.append((row.name, row.kind, row.fold, *map(_count, counts + pace), mark))
        sums = ("weights", "weight_bits", "state_bits", "block_rams", "multipliers")
        totals = (_count(sum(getattr(row, what) for row in self.rows)) for what in sums)
        table.append(("total", "", "", *totals, "", "", ""))
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        return ["  ".join(map(_padded, line, widths, _LEFT)).rstrip() for line in table]


_HEAD = ("node", "", "folding", "weights", "bits", "state bits", "block RAMs", "multipliers",
         "events", "cycles/step", "")  # fmt: skip
_LEFT = (True, True, True, *[False] * 7, True)


def _padded(cell: str, width: int, left: bool) -> str:
    return cell.ljust(width) if left else cell.rjust(width)


def _count(number: int) -> str:
    return f"{number:,}" if number else "-"


def fit(plan: Plan, activity: Activity, family: Family = "ecp5", known: Known | None = None) -> Fit:
    """The estimate of ``plan``'s design under ``activity``, which tells the events of all edges.

    ``known`` is filled, and used in a later call with the same activity.
    """
    known = {} if known is None else known
    held: dict[str, list[Store]] = {}
    for store in stores(plan):
        held.setdefault(store.node, []).append(store)
    rows = []
    for node in plan.network.order:
        own = held.get(node.name, [])
        fold, weights = "", 0
        if isinstance(node, LAYERS):
            made = plan.folds[node.name]
            taps = f" x {made.taps}" if isinstance(node, Conv2d) else ""
            fold, weights = f"{made.lanes}{taps} / {made.neuron_lanes}", node.weight.size
        elif not isinstance(node, Input):
            fold = f"{plan.neuron_lanes[node.name]}"
        events, cycles = _pace(plan, node, activity, known)
        rows.append(
            Row(
                name=node.name,
                kind=type(node).__name__,
                fold=fold,
                weights=weights,
                weight_bits=weights * node.weight_format.width if isinstance(node, LAYERS) else 0,
                state_bits=sum(s.bits for s in own if s.what in ("sums", "states", "buffer")),
                block_rams=sum(store.block_rams(family) for store in own),
                multipliers=multipliers(plan, node),
                luts=luts(plan, node, own),
                events=events,
                cycles=cycles,
            )
        )
    return Fit(tuple(_in_loops(plan, rows)), plan.network.max_steps)


def _in_loops(plan: Plan, rows: list[Row]) -> list[Row]:
    """Layers of a loop wait for each other: each takes as long as all, and the way around."""
    for group in plan.network.groups:
        layers = {node.name for node in group if isinstance(node, LAYERS)}
        if len(group) > 1:
            around = sum(row.cycles + LOOP_CYCLES for row in rows if row.name in layers)
            rows = [replace(r, cycles=around) if r.name in layers else r for r in rows]
    return rows


def _pace(plan: Plan, node: Node, activity: Activity, known: Known) -> tuple[float, float]:
    """Events and cycles of a timestep, on average."""
    if isinstance(node, Input):
        edges = plan.network.leaving(node.name)
        events = float(activity[edges[0]].sum(axis=1).mean())
        words = [words_of(node.size, plan.neuron_lanes[e.target]) for e in edges
                 if not isinstance(plan.network.by_name[e.target], LAYERS)]  # fmt: skip
        # A decoder takes the events of a step, then sends its beats.
        return events, events + 1 + max((count + 1 for count in words), default=0)
    if isinstance(node, LAYERS):
        (edge,) = plan.network.incoming(node.name, "input")
        depends_on = node.name, plan.folds[node.name], plan.neuron_lanes[edge.source]
        if depends_on not in known:
            mask = _read(plan, edge, activity[edge])
            cycles = _layer_cycles(plan, node, edge, mask)
            known[depends_on] = float(mask.sum(axis=1).mean()), cycles
        return known[depends_on]
    words = max([plan.words(node.name), *map(plan.words_on, plan.edges_into(node.name))])
    if isinstance(node, Readout):
        # After a sample, its scores and its class are read one by one.
        return 0.0, words + (2 * node.size + 4) / plan.network.max_steps
    return 0.0, float(words * (1 + (isinstance(node, Neuron) and node.inhibition)))


def _read(plan: Plan, edge: Edge, mask: Mask) -> Mask:
    """What of the mask of ``edge`` its reader gets."""
    node = plan.network.by_name[edge.target]
    if not isinstance(node, Conv2d) or plan.subsampled(edge) is None:
        return mask
    channels, height, width = node.shape
    maps = mask.reshape(-1, height, width, channels)
    return maps[:, :: node.stride[0], :: node.stride[1]].reshape(len(mask), -1)


def _layer_cycles(plan: Plan, node: Dense | Conv2d, edge: Edge, mask: Mask) -> float:
    """Cycles of a timestep, on average over those of ``mask``."""
    if isinstance(node, Conv2d):
        layout = plan.layout(node)
        costs = np.repeat(layout.pixel_cycles.reshape(-1), layout.shape[0])
        rest = layout.cycles_per_step(1) - layout.most_event_cycles
    else:
        fold = plan.folds[node.name]
        costs = np.full(node.inputs, words_of(node.size, fold.lanes))
        rest = words_of(node.size, fold.neuron_lanes) + 3
    source = plan.network.by_name[edge.source]
    beats = None if isinstance(source, Input) else plan.neuron_lanes[edge.source]
    return float(np.mean([_busy(step, costs, beats) for step in mask])) + rest


def _busy(step: Mask, costs: npt.NDArray[np.int64], lanes: int | None) -> int:
    """Cycles until the events of a timestep are done.

    The encoder takes a cycle for each event, and for each beat of ``lanes`` without any; the layer
    starts an event when it has come and the one before it is done.
    """
    events = np.flatnonzero(step)
    if not len(events):
        return 0 if lanes is None else words_of(len(step), lanes)
    sent = np.arange(1, len(events) + 1)
    total = len(events)
    if lanes is not None:
        beats = events // lanes
        first = np.diff(beats, prepend=-1) > 0
        # Beats before this one that were empty: all but those with events.
        sent += beats - (np.cumsum(first) - 1)
        total = int(sent[-1]) + words_of(len(step), lanes) - 1 - int(beats[-1])
    left = np.cumsum(costs[events][::-1])[::-1]
    return max(total, int((sent - 1 + left).max()))
