"""The network as a graph: a row for each node, edges beside them, repeated blocks folded."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from markupsafe import Markup

from ..network import Affine, Conv2d, Dense, Input, Join, Network, Neuron, Node, Pool, Readout
from .facts import RunFacts
from .section import Section

ROW = 58
"""Height of a row in pixels, which the edges beside it are drawn to."""
FOLD = 3
"""So many repeats of a block, and more, are shown as one."""
PERIOD = 24
"""Nodes of the longest block that is looked for."""


@dataclass(frozen=True)
class Row:
    """A node, or all that stand at its place in ``times`` repeated blocks (``last`` names the
    last of them); ``rates`` are their spike rates. ``opens`` blocks of that many rows.
    """

    name: str
    kind: str
    shape: str
    form: str
    parameters: int
    rates: tuple[float, ...] = ()
    times: int = 1
    last: str = ""
    opens: int = 0

    @property
    def title(self) -> str:
        """Its name, or those of the first and the last, short where a number alone differs."""
        if self.times == 1:
            return self.name
        first, last = (re.split(r"(\d+)", name) for name in (self.name, self.last))
        differ = [n for n, (a, b) in enumerate(zip(first, last, strict=False)) if a != b]
        if len(first) != len(last) or len(differ) != 1:
            return f"{self.name} … {self.last}"
        first[differ[0]] += f"…{last[differ[0]]}"
        return "".join(first)

    @property
    def rate(self) -> float | None:
        return sum(self.rates) / len(self.rates) if self.rates else None


def section(facts: RunFacts) -> Section:
    title, network = "Network", facts.network
    if network is None:
        return Section("network", title, missing="There is no network yet.",
                       command="reslif quantise")  # fmt: skip
    rates = {} if facts.seen is None else {
        layer.name: float(layer.rates.mean()) for layer in facts.seen.layers
    }  # fmt: skip
    rows = [_row(network, node, rates) for node in shown_order(network)]
    folded, places = fold(network, rows)
    return Section(
        "network",
        title,
        {
            "rows": folded,
            "all": rows if len(folded) < len(rows) else [],
            "edges": edges(network, rows, places, len(folded)),
            "convolutions": bool(network.nodes_of(Conv2d)),
            "recurrent": any(edge.delay for edge in network.edges),
            "height": ROW,
            "nodes": len(rows),
            "parameters": sum(row.parameters for row in rows),
            "neurons": sum(node.size for node in network.nodes_of(Neuron)),
            "synapses": len([n for n in network.nodes if isinstance(n, Dense | Conv2d)]),
            "steps": network.max_steps,
            "most": max([*rates.values(), 1e-9]),
        },
    )


def shown_order(network: Network) -> list[Node]:
    """An order of execution, but what reads the last timestep alone stands behind its source."""
    behind: dict[str, list[Node]] = {}
    for node in network.order:
        read = [edge for port in node.ports for edge in network.incoming(node.name, port)]
        if read and all(edge.delay for edge in read):
            behind.setdefault(read[0].source, []).append(node)
    moved = {node.name for nodes in behind.values() for node in nodes}
    result: list[Node] = []
    for node in network.order:
        if node.name not in moved:
            result += [node, *behind.get(node.name, [])]
    return result


def _row(network: Network, node: Node, rates: dict[str, float]) -> Row:
    form, parameters = str(network.values[node.name].format), 0
    shape, kind = f"{node.size:,}", type(node).__name__
    if isinstance(node, Dense | Conv2d):
        parameters = node.weight.size + (0 if node.bias is None else node.bias.size)
        form = f"weights {node.weight_format}, sends {form}"
        shape = f"{node.weight.shape[1]:,} → {node.size:,}"
        if isinstance(node, Conv2d):
            kernel = "×".join(map(str, node.weight.shape[2:]))
            stride = f" /{node.stride[0]}" if node.stride != (1, 1) else ""
            shape = f"{node.shape[0]} → {node.weight.shape[0]} ch., {kernel}{stride}"
    elif isinstance(node, Affine):
        parameters = node.gain.size + (0 if node.bias is None else node.bias.size)
    elif isinstance(node, Neuron):
        form = states(node)
    elif isinstance(node, Join):
        kind = f"join {node.op}"
    elif isinstance(node, Readout):
        kind, form = f"readout {node.kind}", f"scores {network.scores.format}"
    found = (rates[node.name],) if node.name in rates else ()
    return Row(node.name, kind, shape, form, parameters, found)


def states(node: Neuron) -> str:
    """The formats of a neuron's states, the membrane's first."""
    fields = dict.fromkeys(["membrane", *node.STATES.values()])
    return ", ".join(f"{field} {getattr(node, field)}" for field in fields)


def fold(network: Network, rows: Sequence[Row]) -> tuple[list[Row], dict[str, int]]:
    """The rows with repeated blocks shown once, and the place of every node among them."""
    marks = _signatures(network, rows)
    folded: list[Row] = []
    places: dict[str, int] = {}
    start = 0
    while start < len(rows):
        period, times = _repeats(marks, start)
        for offset in range(period):
            same = [rows[start + offset + n * period] for n in range(times)]
            for row in same:
                places[row.name] = len(folded)
            folded.append(_merged(same, period if offset == 0 else 0))
        start += period * times
    return folded, places


def _signatures(network: Network, rows: Sequence[Row]) -> list[Any]:
    """What makes a node alike another: its kind, its shape, and how far back it reads."""
    index = {row.name: n for n, row in enumerate(rows)}
    marks = []
    for row in rows:
        node = network.by_name[row.name]
        read = sorted(
            (port, index[row.name] - index[edge.source], edge.delay, edge.quantity)
            for port in node.ports
            for edge in network.incoming(node.name, port)
        )
        alike = () if isinstance(node, Input | Pool) else (row.kind, row.shape)
        marks.append((type(node).__name__, alike, tuple(read)))
    return marks


def _repeats(marks: Sequence[Any], start: int) -> tuple[int, int]:
    """The block at ``start`` that covers most by its repeats: (nodes, times); (1, 1) if none."""
    best = (1, 1)
    for period in range(1, PERIOD + 1):
        block, times = marks[start : start + period], 1
        while marks[start + times * period : start + (times + 1) * period] == block:
            times += 1
        if times >= FOLD and period * times > best[0] * best[1]:
            best = (period, times)
    return best


def _merged(same: Sequence[Row], opens: int) -> Row:
    first = same[0]
    if len(same) == 1:
        return first
    forms = list(dict.fromkeys(row.form for row in same))
    form = forms[0] if len(forms) == 1 else f"{forms[0]} … ({len(forms)} formats)"
    return replace(
        first,
        form=form,
        parameters=sum(row.parameters for row in same),
        rates=tuple(rate for row in same for rate in row.rates),
        times=len(same),
        last=same[-1].name,
        opens=opens,
    )


def edges(network: Network, rows: Sequence[Row], places: dict[str, int], count: int) -> Markup:
    """The edges beside the rows: straight on to the next row, in arcs over others; dashed if
    they deliver the last timestep's value.
    """
    index = {row.name: n for n, row in enumerate(rows)}
    x, body, seen = 50.0, [], set()
    for edge in network.edges:
        a, b = places[edge.source], places[edge.target]
        key = (a, b, edge.delay)
        # Between repeats of a block an edge would run backwards; the block says so itself.
        if key in seen or (index[edge.target] > index[edge.source] and b <= a):
            continue
        seen.add(key)
        y0, y1 = a * ROW + ROW / 2, b * ROW + ROW / 2
        if b == a + 1 and not edge.delay:
            shape = f"M{x},{y0} L{x},{y1}"
        else:
            reach = min(46.0, 12.0 + 4.0 * abs(b - a) ** 0.8 + (12.0 if b < a else 0.0))
            shape = f"M{x},{y0} C{x - reach},{y0 + (y1 - y0) * 0.15} {x - reach},"
            shape += f"{y1 - (y1 - y0) * 0.15} {x},{y1}"
        css = "delayed" if edge.delay else "back" if b < a else "skip" if b != a + 1 else ""
        body.append(f'<path class="{css}" d="{shape}"/>')
    body += [f'<circle cx="{x}" cy="{n * ROW + ROW / 2}" r="4.5"/>' for n in range(count)]
    return Markup(
        f'<svg class="edges" width="60" height="{count * ROW}" aria-hidden="true">'
        f"{''.join(body)}</svg>"
    )
