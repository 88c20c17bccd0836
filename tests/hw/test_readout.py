import numpy as np
import pytest
from amaranth.hdl import signed
from reslif.hw.readout import Readout, ReadoutKind
from reslif.sw.golden import readout_step
from reslif.sw.network import Readout as ReadoutNode
from streams_sim import beats_of, run


@pytest.mark.parametrize("classes", [1, 2, 3, 7])
@pytest.mark.parametrize(
    ("kind", "node_kind"),
    [
        (ReadoutKind.SUM, "sum_current"),
        (ReadoutKind.LAST, "last_membrane"),
        (ReadoutKind.MAX, "max_membrane"),
    ],
)
@pytest.mark.parametrize("stall", [0.0, 0.5])
def test_scores_and_class(classes, kind, node_kind, stall):
    # Few levels, so that first-maximum ties occur.
    values = np.random.default_rng(7).integers(-2, 3, (4, 20, classes))
    got = run(
        Readout(classes, signed(4), signed(8)),
        {"values": beats_of(values, 1)},
        "results",
        20 * (classes + 1),
        settings={"kind": kind.value},
        idle=stall,
        stall=stall,
    )
    node, scores = ReadoutNode("readout", node_kind, classes), None
    for step in values:
        scores = readout_step(node, scores, step)
    words = np.array([int(result.value) for _, result in got]).reshape(20, classes + 1)
    np.testing.assert_array_equal(words[:, :-1], scores)
    np.testing.assert_array_equal(words[:, -1], np.argmax(scores, axis=1))
    lasts = [int(result.last) for _, result in got]
    assert lasts == ([0] * classes + [1]) * 20
    if classes > 2:
        assert (np.sort(scores, axis=1)[:, -1] == np.sort(scores, axis=1)[:, -2]).any()
