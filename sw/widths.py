"""How wide a neuron's states are: by a bound where one is known, else by what calibration shows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from . import golden
from .formats import MAX_WIDTH, Format, IntArray
from .graph import GraphError
from .moments import pieces
from .network import Join, Network, Neuron


def narrowed(
    wide: Network, calibration: IntArray, bits: int | None
) -> tuple[Network, dict[str, dict[str, Any]]]:
    """``wide`` with states no wider than they need be, and a note on each membrane.

    ``bits``, if given, is the width of every neuron's widest state; else it is, for each state,
    the narrower of its bound and of twice the range seen in ``calibration``. Raises
    :class:`GraphError` if the wide formats do not hold what calibration reaches.
    """
    bounds = {node.name: _bounds(wide, node) for node in _free(wide)}
    wide = _with_widths(wide, bounds)
    if bits is None:
        widths = _observed_widths(wide, calibration)
    else:
        widths = {node.name: _widths(node, bits) for node in _free(wide)}
    network = _with_widths(wide, widths)
    notes = {
        node.name: _note(node, bounds.get(node.name, {}), bits is not None)
        for node in network.nodes_of(Neuron)
    }
    return network, notes


def fitted_joins(network: Network) -> Network:
    """``network`` with the joins that have a format of its fraction bits and all that can occur."""
    for join in network.nodes_of(Join):
        if join.format is None:
            continue
        exact = join.exact(network.operands(join)).format
        width = max(1, exact.width - (exact.frac - join.format.frac))
        fitted = replace(join, format=Format(width, join.format.frac, exact.signed))
        nodes = tuple(fitted if n.name == join.name else n for n in network.nodes)
        network = replace(network, nodes=nodes)
    return network


def _free(network: Network) -> list[Neuron]:
    """The neurons whose widths are the quantiser's to choose."""
    return [node for node in network.nodes_of(Neuron) if not node.OWN_FORMATS]


def _widths(node: Neuron, bits: int) -> dict[str, int]:
    """Widths of a neuron's states, by field, if the widest has ``bits``."""
    made = node.scaled(0, 0, bits, node.shift)
    return {field_: made[field_].width for field_ in node.STATES.values()}


def _note(node: Neuron, bounds: Mapping[str, int], chosen: bool) -> dict[str, Any]:
    """Where a membrane's width comes from; below its ``bound`` it may saturate."""
    width, bound = node.membrane.width, bounds.get("membrane")
    if node.OWN_FORMATS:
        origin = "cell"
    elif chosen:
        origin = "recipe"
    else:
        origin = "bound" if width == bound else "calibration"
    return {"width": width, "bound": bound, "from": origin}


def _bounds(network: Network, node: Neuron) -> dict[str, int]:
    """Widths that states of ``node`` never leave, from the integers of what feeds it."""
    current = 0
    for values in network.operands(node)["input"]:
        largest = max(abs(int(values.low.min())), abs(int(values.high.max())))
        current += largest << (node.current_frac - values.format.frac)
    bounds = node.bounds(current, network.max_steps)
    # What is wider than a state can be leaves it to calibration, as where no bound is known.
    return {field_: min(width, MAX_WIDTH - node.shift) for field_, width in bounds.items()}


def _observed_widths(network: Network, calibration: IntArray) -> dict[str, dict[str, int]]:
    """Widths for twice the range seen, twice the threshold, and no more than all that can be.

    By neuron and the field that holds the format.
    """
    neurons = _free(network)
    probes = [(node.name, state) for node in neurons for state in node.states]
    lows, highs, clipped = _ranges(network, calibration, probes)
    widths: dict[str, dict[str, int]] = {}
    for node in neurons:
        if clipped[node.name]:
            formats = ", ".join(f"{state} {form}" for state, form in node.states.items())
            raise GraphError(
                f"node '{node.name}': its states need more than the widest formats ({formats}), "
                "must have fewer fraction bits (bits, guard_bits or leak_shift)"
            )
        threshold = int(node.threshold.max())
        found: dict[str, int] = {}
        for state, field_ in node.STATES.items():
            form = node.states[state]
            low, high = lows[node.name, state], highs[node.name, state]
            if state == "membrane":
                # What is stored after an immediate reset was larger by θ (or cleared) before it.
                high = max(high + (0 if node.reset_delay else threshold), threshold + 1)
            width = Format.for_range(2 * min(low, -form.signed), 2 * max(high, 1)).width
            found[field_] = max(found.get(field_, 1), min(width, form.width))
        widths[node.name] = node.fitted(found)
    return widths


def _ranges(
    network: Network, calibration: IntArray, probes: Sequence[golden.Probe]
) -> tuple[dict[golden.Probe, int], dict[golden.Probe, int], Counter[str]]:
    """The least and the largest of each probe, and how many values each node clipped."""
    lows: dict[golden.Probe, int] = {}
    highs: dict[golden.Probe, int] = {}
    clipped: Counter[str] = Counter()
    values = sum(network.by_name[name].size for name, _ in probes) * len(calibration)
    for part in pieces(calibration, values):
        trace = golden.run(network, part, probes)
        for probe, seen in trace.probes.items():
            lows[probe] = min(int(seen.min()), lows.get(probe, int(seen.min())))
            highs[probe] = max(int(seen.max()), highs.get(probe, int(seen.max())))
        clipped.update(trace.saturations)
    return lows, highs, clipped


def _with_widths(network: Network, widths: Mapping[str, Mapping[str, int]]) -> Network:
    nodes = []
    for node in network.nodes:
        changes: dict[str, Any] = {
            field_: replace(getattr(node, field_), width=width)
            for field_, width in widths.get(node.name, {}).items()
        }
        nodes.append(replace(node, **changes) if changes else node)  # pyright: ignore[reportArgumentType]
    return Network(tuple(nodes), network.edges, network.max_steps, network.notes)
