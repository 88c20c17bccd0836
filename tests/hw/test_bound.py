"""The lower bound of event-driven work, against the weights that one event touches."""

import numpy as np
import pytest
from reslif.hw.bound import event_bound, fan_out
from reslif.sw.formats import Format
from reslif.sw.network import Conv2d, Dense, Edge, Input, Network, Readout

FORM = Format(4)
CONVS = {
    "same": Conv2d("conv", np.ones((4, 2, 3, 3), int), FORM, (2, 5, 6), (1, 1), (1, 1)),
    "strided": Conv2d("conv", np.ones((4, 2, 3, 3), int), FORM, (2, 5, 6), (2, 2), (1, 1)),
    "pointwise": Conv2d("conv", np.ones((4, 2, 1, 1), int), FORM, (2, 5, 6), (2, 2)),
    "depthwise": Conv2d("conv", np.ones((4, 1, 3, 2), int), FORM, (2, 5, 6), (1, 2), groups=2),
}


@pytest.mark.parametrize("name", CONVS)
def test_fan_out_counts_the_outputs_that_an_impulse_changes(name):
    node = CONVS[name]
    impulses = np.eye(node.inputs, dtype=np.int64)
    assert fan_out(node).tolist() == (node.apply(impulses, node.weight) != 0).sum(axis=1).tolist()


def test_the_bound_is_additions_over_lanes_and_taps():
    conv = CONVS["same"]
    head = Dense("head", np.ones((3, conv.size), int), FORM)
    nodes = (Input("input", conv.inputs), conv, head, Readout("readout", "sum_current", 3))
    edges = (Edge("input", "conv"), Edge("conv", "head"), Edge("head", "readout"))
    network = Network(nodes, edges, 2)
    activity = {edge: np.zeros((2, network.by_name[edge.source].size), bool) for edge in edges}
    activity[edges[0]][0, [0, 30]] = True  # a corner: 4 taps; a pixel amid: 9; 4 channels each
    activity[edges[1]][1, :5] = True
    assert event_bound(network, {"conv": 12, "head": 3}, activity) == {
        "conv": pytest.approx((4 + 9) * 4 / 2 / 12),
        "head": pytest.approx(5 * 3 / 2 / 3),
    }
