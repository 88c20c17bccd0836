"""LUTs and multipliers of a design, roughly: enough to see that a folding is far too large.

The factors were fitted to designs that Yosys 0.70 made for ECP5: of an MS-ResNet of 172,824 weights
it made 200 block RAMs, 92 multipliers, 21,362 LUTs, where 202, 96 and 17,342 are estimated.
"""

from __future__ import annotations

from ..sw.network import Affine, Conv2d, Dense, Input, Join, Neuron, Node, Pool, Readout
from .folding import Plan
from .folds import LAYERS
from .stores import Store


def multipliers(plan: Plan, node: Node) -> int:
    """Multipliers of ``node``: of events' values, of gains, of leaks that differ."""
    lanes = plan.neuron_lanes[node.name]
    if isinstance(node, Conv2d):
        layout = plan.layout(node)
        # An event's place takes divisions by constants, each of two products.
        channels, _, across = layout.shape
        places = sum(parts & (parts - 1) != 0 for parts in (channels, channels, across, across))
        odd = layout.rows // channels
        return layout.graded * layout.banks * layout.lanes + places + (odd & (odd - 1) != 0)
    if isinstance(node, Dense):
        (source,) = plan.network.operands(node)["input"]
        return plan.folds[node.name].lanes * (source.format.width > 1)
    if isinstance(node, Affine):
        return lanes
    if isinstance(node, Neuron):
        kinds = node.NUMBERS
        differ = [kinds[n] for n, numbers in node.numbers.items() if numbers.min() != numbers.max()]
        return lanes * sum(kind in ("leak", "gain") for kind in differ)
    return 0


def luts(plan: Plan, node: Node, stores: list[Store]) -> int:
    """LUTs of ``node`` with all that is in front of it."""
    lanes, width = plan.neuron_lanes[node.name], plan.network.values[node.name].format.width
    # In LUTs sixteen words of four bits take as many as six.
    small = [store for store in stores if not store.block_rams()]
    count = sum(6 * -(-store.depth // 16) * -(-store.width // 4) for store in small)
    count += 20 * sum(store.what == "buffer" for store in stores)
    if isinstance(node, Input):
        count += 600  # the top's registers and words, too
    elif isinstance(node, Conv2d):
        layout = plan.layout(node)
        bits = layout.lanes * layout.current.width
        chosen = layout.lanes * node.weight_format.width * layout.row_taps
        tables = 6 * (layout.shape[1] + layout.shape[2])
        count += int(130 + tables + layout.banks * (25 + 3.5 * bits) + chosen * sum(layout.spread))
    elif isinstance(node, Dense):
        count += int(100 + 2 * plan.folds[node.name].lanes * width)
    elif isinstance(node, Neuron):
        count += 50 + sum(lanes * 5 * form.width for form in node.states.values())
    elif isinstance(node, Join):
        count += 0 if node.name in plan.merged else lanes * (width + 2)
    elif isinstance(node, Pool):
        count += 60 + 3 * lanes * width
    elif isinstance(node, Affine):
        count += 30 + lanes * width
    elif isinstance(node, Readout):
        count += 60 + 4 * width
    if isinstance(node, LAYERS):
        (edge,) = plan.network.incoming(node.name, "input")
        carried = plan.network.carried(edge).format.width
        count += 30 + plan.neuron_lanes[edge.source] * (3 + carried)
    return count
