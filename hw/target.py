"""The folding that reaches a wanted speed on a device, found greedily at the bottleneck."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from math import gcd

from ..sw.network import Conv2d, Dense, Input, Network, Readout
from .activity import Activity
from .blockram import Family
from .conv_layout import taps_choices
from .fit import Fit, Known, fit
from .folding import Plan
from .folds import LAYERS, Fold, Folding, share


class FitError(ValueError):
    """A speed that cannot be had on a device."""


@dataclass(frozen=True)
class Capacity:
    """What a device has."""

    name: str
    family: Family
    block_rams: int
    multipliers: int
    luts: int
    sprams: int = 0


def most_luts(capacity: Capacity) -> int:
    """LUTs that a design may be estimated to take: routing needs the rest."""
    return capacity.luts * 4 // 5


def choose(
    network: Network, activity: Activity, capacity: Capacity, fps: float, clock_mhz: float
) -> tuple[Folding, Fit]:
    """The folding of every layer with which ``fps`` samples a second, each of the network's
    ``max_steps``, pass at ``clock_mhz``, and its estimate.

    It begins with what takes least and makes the slowest node faster, by the change that takes the
    least of the device for what it gains, until the speed is reached. Raises :class:`FitError`
    that says what is short.
    """
    search = _Search(network, activity, capacity)
    folding = search.smallest()
    now = search.fit(folding)
    if short := _short(now, capacity):
        raise FitError(f"{capacity.name} is too small: with one lane a layer {short}")
    while now.samples_per_second(clock_mhz) < fps:
        slow = now.bottleneck
        found: list[tuple[float, Folding, Fit]] = []
        refused = ""
        for candidate in search.faster(folding, slow.name):
            after = search.fit(candidate)
            cycles = next(row.cycles for row in after.rows if row.name == slow.name)
            if cycles >= slow.cycles:
                continue
            if short := _short(after, capacity):
                refused = short
                continue
            cost = _part(after, capacity) - _part(now, capacity)
            found.append(((slow.cycles - cycles) / max(cost, 1e-9), candidate, after))
        if not found:
            why = f"faster, {refused}" if refused else "it is as parallel as it can be"
            raise FitError(
                f"{fps:g} samples a second at {clock_mhz:g} MHz are too many for {capacity.name}: "
                f"{now.samples_per_second(clock_mhz):.1f} are reached, where '{slow.name}' takes "
                f"{slow.cycles:,.0f} cycles a timestep; {why}"
            )
        _, folding, now = max(found, key=lambda one: one[0])
    return folding, now


def _short(found: Fit, capacity: Capacity) -> str:
    """What there is too little of, if anything."""
    needs = {
        "block RAMs": (found.block_rams, capacity.block_rams),
        "multipliers": (found.multipliers, capacity.multipliers),
        "LUTs (estimated, of which four fifths can be routed)": (found.luts, most_luts(capacity)),
    }
    for what, (need, have) in needs.items():
        if need > have:
            return f"it needs {need:,} {what}, there are {have:,}"
    return ""


def _part(found: Fit, capacity: Capacity) -> float:
    """How much of the device a design takes."""
    return (
        found.block_rams / capacity.block_rams
        + found.multipliers / max(1, capacity.multipliers)
        + found.luts / most_luts(capacity)
    )


@dataclass(frozen=True)
class _Search:
    network: Network
    activity: Activity
    capacity: Capacity
    known: Known = field(default_factory=dict)

    def fit(self, folding: Folding) -> Fit:
        plan = Plan(self.network, folding)
        return fit(plan, self.activity, self.capacity.family, self.known)

    def smallest(self) -> Folding:
        """One of everything."""
        layers = [node.name for node in self.network.nodes if isinstance(node, LAYERS)]
        return Folding(Fold(1, 1), dict.fromkeys(layers, Fold(1, 1)))

    def faster(self, folding: Folding, name: str) -> Iterator[Folding]:
        """Foldings with more of something that makes ``name`` faster."""
        plan, node = Plan(self.network, folding), self.network.by_name[name]
        groups = {plan.groups[name]}
        if isinstance(node, LAYERS):
            fold = plan.folds[name]
            for lanes in _more_lanes(node, fold):
                yield _with(folding, name, replace(fold, lanes=lanes))
            if isinstance(node, Conv2d):
                for taps in (t for t in taps_choices(node.kernel) if t > fold.taps):
                    yield _with(folding, name, replace(fold, taps=taps))
            (edge,) = self.network.incoming(name, "input")
            if not isinstance(self.network.by_name[edge.source], Input):
                groups.add(plan.groups[edge.source])
        for group in sorted(groups):
            if wider := self.widened(plan, folding, group):
                yield wider

    def widened(self, plan: Plan, folding: Folding, group: str) -> Folding | None:
        """More neuron lanes for all layers of a group, if it can have more."""
        members = [node for node in self.network.nodes if plan.groups[node.name] == group]
        layers = [node for node in members if isinstance(node, LAYERS)]
        if not layers or any(isinstance(node, Readout) for node in members):
            return None
        lanes = plan.neuron_lanes[layers[0].name]
        whole = gcd(*(parts for parts, _ in plan.whole.get(group, [])))
        most = min(share(node) for node in layers)
        choices = [n for n in range(lanes + 1, most + 1)
                   if (whole % n == 0 if whole else n == 2 * lanes)]  # fmt: skip
        if not choices:
            return None
        for node in layers:
            fold = plan.folds[node.name]
            total = max(fold.lanes, choices[0])
            if isinstance(node, Conv2d):
                words = share(node) // choices[0]
                parts = next(n for n in range(1, words + 1)
                             if words % n == 0 and n * choices[0] >= total)  # fmt: skip
                total = parts * choices[0]
            else:
                total = -(-total // choices[0]) * choices[0]
            folding = _with(folding, node.name, Fold(total, choices[0], fold.taps))
        return folding


def _more_lanes(node: Dense | Conv2d, fold: Fold) -> list[int]:
    """The next number of lanes that leaves fewer words, if there is one."""
    most, step = share(node), fold.neuron_lanes
    if isinstance(node, Conv2d):
        return [n for n in range(fold.lanes + step, most + 1, step) if most % n == 0][:1]
    words = -(-most // fold.lanes)
    return [step * -(-most // (step * (words - 1)))] if words > 1 else []


def _with(folding: Folding, name: str, fold: Fold) -> Folding:
    return replace(folding, layers={**folding.layers, name: fold})
