"""Random convolutional networks: quantised training computes what the golden model computes."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from random_convs import random_conv_network, random_conv_samples
from reslif.sw import golden
from reslif.sw.network import LIF, Conv2d, Join, Network, Pool
from reslif.sw.qat import QATNetwork


def differing(network: Network, samples: np.ndarray, other: Network | None = None) -> list[str]:
    """The probes in which training's forward pass and the golden model (of ``other``) differ."""
    with torch.no_grad():
        found = QATNetwork.of_network(network).run(torch.as_tensor(samples))
    trace = golden.run(other or network, samples, None)
    assert set(found) == set(trace.probes)
    return [
        ".".join(probe) for probe in found if not np.array_equal(found[probe].numpy(), trace[probe])
    ]


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.integers(0, 2**32))
def test_random_convolutional_networks_run_bit_identically(seed: int) -> None:
    network = random_conv_network(seed)
    assert differing(network, random_conv_samples(network, seed)) == []
    assert QATNetwork.of_network(network).export().digest == network.digest


SEEDS = range(30)


def test_they_spike_and_use_everything() -> None:
    found: Counter[str] = Counter()
    for seed in SEEDS:
        network = random_conv_network(seed)
        lifs = network.nodes_of(LIF)
        trace = golden.run(network, random_conv_samples(network, seed), None)
        rates = [float(trace[lif.name, "spike"].mean()) for lif in lifs]
        found["layers"] += len(lifs)
        found["living layers"] += sum(0.001 < rate < 0.99 for rate in rates)
        found["by channel"] += any(lif.threshold.ndim for lif in lifs)
        found["loop"] += any(edge.delay for edge in network.edges)
        for pool in network.nodes_of(Pool):
            found[pool.op] += 1
            found["padded pool"] += any(pool.padding)
            found["overlapping"] += pool.stride != pool.window
        for join in network.nodes_of(Join):
            found[f"join {join.op}"] += 1
            found["narrow"] += join.format is not None
        for conv in network.nodes_of(Conv2d):
            (source,) = network.operands(conv)["input"]
            found["currents"] += source.format.signed and source.format.width > 3
            found["graded"] += not source.format.signed and source.format.width > 1
            found["strided"] += conv.stride != (1, 1)
            found["strided 1x1"] += conv.stride != (1, 1) and conv.kernel == (1, 1)
            found["grouped"] += conv.groups > 1
            found["depthwise"] += conv.groups == conv.shape[0] > 1
            found["uneven"] += conv.padding[0] != conv.padding[1]
    assert found["living layers"] > 0.9 * found["layers"], found
    wanted = (
        "by channel", "loop", "sum", "max", "padded pool", "overlapping", "join add", "join and",
        "join iand", "narrow", "currents", "graded", "strided", "strided 1x1", "grouped",
        "depthwise", "uneven",
    )  # fmt: skip
    assert all(found[what] >= 1 for what in wanted), found


def test_switches_leave_out_what_they_name() -> None:
    for seed in SEEDS:
        network = random_conv_network(seed, overlapping=False, narrow_joins=False, loops=False)
        assert all(p.stride == p.window and not any(p.padding) for p in network.nodes_of(Pool))
        assert all(join.format is None for join in network.nodes_of(Join))
        assert not any(edge.delay for edge in network.edges)


@pytest.mark.parametrize("field", ["weight", "stride", "padding", "bias"])
def test_the_comparison_notices_one_changed_convolution(field: str) -> None:
    noticed = 0
    for seed in range(12):
        network = random_conv_network(seed, loops=False)
        conv = network.nodes_of(Conv2d)[0]
        if field == "weight":
            weight = conv.weight.copy()
            weight[0, 0, 0, 0] += 1 if weight[0, 0, 0, 0] < conv.weight_format.max else -1
            changed = replace(conv, weight=weight)
        elif field == "bias":
            bias = np.zeros(len(conv.weight), np.int64) if conv.bias is None else conv.bias.copy()
            bias[-1] += 1
            changed = replace(conv, bias=bias)
        elif field == "stride":
            # With as many outputs as before only where there is one.
            weight = conv.weight[:, :, ::-1].copy()
            changed = replace(conv, weight=weight)
        else:
            changed = replace(conv, weight=np.roll(conv.weight, 1, axis=3))
        nodes = tuple(changed if n is conv else n for n in network.nodes)
        samples = random_conv_samples(network, seed)
        noticed += f"{conv.name}.current" in differing(
            network, samples, replace(network, nodes=nodes)
        )
    assert noticed >= 8
