"""The estimate of area and speed, against the design that is built."""

from __future__ import annotations

import re
from collections import Counter
from unittest.mock import patch

import pytest
from random_convs import random_conv_network
from random_networks import random_network, recurrent_network
from reslif.hw.emit import to_verilog
from reslif.hw.folding import Fold, Folding, Plan
from reslif.hw.stores import stores
from reslif.sw.network import Network
from small_convs import depthwise, loop, tiny_ms

NETWORKS = {
    "tiny": tiny_ms, "loop": loop, "depthwise": depthwise,
    **{f"conv {seed}": lambda seed=seed: random_conv_network(seed) for seed in range(3)},
    **{f"recurrent {seed}": lambda seed=seed: recurrent_network(seed) for seed in range(6)},
    **{f"dense {seed}": lambda seed=seed: random_network(seed) for seed in range(4)},
}  # fmt: skip


def memories(text: str) -> Counter[tuple[int, int]]:
    """Depth and width of every memory in Verilog."""
    found = re.findall(r"reg (?:signed )?\[(\d+):0\] \S+ +\[(\d+):0\];", text)
    return Counter((int(depth) + 1, int(width) + 1) for width, depth in found)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("fold", [Fold(4, 2, 9), Fold(3, 1, 3)], ids=["nine", "three"])
def test_every_memory_is_known_before_it_is_built(name, fold):
    net: Network = NETWORKS[name]()
    folding = Folding(fold)
    with patch.object(Plan, "_saved", lambda *_: int(fold.taps == 3)):
        known = stores(Plan(net, folding))
        text, _ = to_verilog(net, folding)
    assert memories(text) == Counter((store.depth, store.width) for store in known)
