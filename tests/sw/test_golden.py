"""The golden model against one neuron written out in plain Python, and its special cases."""

from typing import Any

import numpy as np
import pytest
from random_networks import RESETS
from reslif.sw import golden
from reslif.sw.formats import Format
from reslif.sw.network import LIF, Dense, Edge, Input, Join, Network, NetworkError, Readout


def reference_lif(node: LIF, currents: list[int], index: int = 0) -> list[tuple[int, int, int]]:
    """(u, spike, clipped) of one neuron: the equations of the issue, nothing vectorised."""
    k = int(node.leak.flat[index % node.leak.size])
    theta = int(node.threshold.flat[index % node.threshold.size])
    u, fired, result = 0, False, []
    for current in currents:
        leaked = (k * u) // 2**node.leak_shift
        v = leaked + current
        if node.reset_delay and fired:
            if node.reset == "subtract":
                v = leaked + current - theta
            elif node.reset == "zero":
                v = current if node.keep_input else 0
        top = 2 ** (node.membrane.width - 1)
        saturated = min(max(v, -top), top - 1)
        clipped = int(saturated != v)
        v = saturated
        fired = v > theta if node.strict else v >= theta
        u = v
        if not node.reset_delay and fired:
            if node.reset == "subtract":
                u = v - theta
            elif node.reset == "zero":
                u = 0
        result.append((u, int(fired), clipped))
    return result


def neurons(size: int = 1, **changes: Any) -> LIF:
    fields: dict[str, Any] = {
        "membrane": Format(10, 0),
        "leak": np.array(15),
        "leak_shift": 4,
        "threshold": np.array(20),
    }
    return LIF("lif", size, **(fields | changes))


def through(node: LIF, currents: np.ndarray) -> golden.Trace:
    """Run ``[T, B, n]`` currents through a neuron layer, by an identity synapse."""
    form = Format(40)
    size = node.size
    net = Network(
        (
            Input("x", size, form),
            Dense("fc", np.eye(size, dtype=np.int64), Format(2)),
            node,
            Readout("out", "count", size),
        ),
        (Edge("x", "fc"), Edge("fc", "lif"), Edge("lif", "out")),
        max_steps=1000,
    )
    return golden.run(net, currents, None)


@pytest.mark.parametrize(("reset", "delay", "keep"), [*RESETS, ("none", False, True)])
@pytest.mark.parametrize("strict", [True, False])
def test_every_rule_equals_the_scalar_neuron(
    reset: str, delay: bool, keep: bool, strict: bool
) -> None:
    random = np.random.default_rng(1)
    size = 6
    node = neurons(
        size, membrane=Format(7, 0), leak=random.integers(0, 17, size),
        threshold=random.integers(1, 30, size),
        reset=reset, reset_delay=delay, keep_input=keep, strict=strict,
    )  # fmt: skip
    currents = random.integers(-25, 45, (40, 3, size))
    trace = through(node, currents)
    clipped = 0
    for sample in range(3):
        for i in range(size):
            expected = reference_lif(node, currents[:, sample, i].tolist(), i)
            found = zip(
                trace["lif", "membrane"][:, sample, i], trace["lif", "spike"][:, sample, i],
                strict=True,
            )  # fmt: skip
            assert [tuple(map(int, f)) for f in found] == [e[:2] for e in expected]
            clipped += sum(e[2] for e in expected)
    assert trace.saturations["lif"] == clipped > 0
    assert 0 < trace["lif", "spike"].mean() < 1


def test_the_rules_differ() -> None:
    """The comparison above means something: no two rules give the same membranes."""
    currents = np.random.default_rng(0).integers(-5, 30, (30, 1, 1))
    seen = {
        through(neurons(reset=r, reset_delay=d, keep_input=k), currents)[
            "lif", "membrane"
        ].tobytes()
        for r, d, k in RESETS
    }
    assert len(seen) == len(RESETS)


def test_floor_leak_sticks_at_a_small_negative() -> None:
    currents = np.zeros((200, 1, 1), np.int64)
    currents[0] = -1000
    membrane = through(neurons(membrane=Format(12)), currents)["lif", "membrane"][:, 0, 0]
    assert membrane[:3].tolist() == [-1000, -938, -880]
    # (15·−15) >> 4 is −15 again; nearest rounding would end at −8, truncation at 0.
    assert set(membrane[-50:].tolist()) == {-15}


def test_at_the_threshold_only_the_lax_neuron_fires() -> None:
    currents = np.array([20, 1, 0]).reshape(3, 1, 1)
    strict = through(neurons(leak=np.array(16)), currents)["lif", "spike"][:, 0, 0]
    lax = through(neurons(leak=np.array(16), strict=False), currents)["lif", "spike"][:, 0, 0]
    assert strict.tolist() == [0, 1, 0]
    assert lax.tolist() == [1, 0, 0]


def test_saturation_comes_before_the_decision_and_the_immediate_reset() -> None:
    node = neurons(membrane=Format(6), threshold=np.array(30), reset_delay=False)
    trace = through(node, np.array([100, -100]).reshape(2, 1, 1))
    assert trace["lif", "membrane"][:, 0, 0].tolist() == [1, -32]
    assert trace.saturations["lif"] == 2


def test_inhibition_lets_the_largest_fire_but_resets_all() -> None:
    node = neurons(4, leak=np.array(16), threshold=np.array([20, 20, 20, 5]), inhibition=True)
    currents = np.array([[[30, 40, 40, 0]], [[0, 0, 0, 0]]])
    trace = through(node, currents)
    assert trace["lif", "spike"][:, 0].tolist() == [[0, 1, 0, 0], [0, 0, 0, 0]]
    assert trace["lif", "membrane"][1, 0].tolist() == [10, 20, 20, 0]


def joined(op: str, branch: np.ndarray, shortcut: np.ndarray, form: Format | None = None):
    """``[T, B, n]`` branch (fraction 2) and shortcut (0), each through an identity synapse."""
    size = branch.shape[-1]
    left = np.concatenate([np.eye(size), np.zeros((size, size))], axis=1).astype(np.int64)
    frac = 0 if op == "or" else 2
    width = Format(20, signed=False) if op == "or" else Format(20)
    net = Network(
        (
            Input("x", 2 * size, width),
            Dense("a", left, Format(2, frac)),
            Dense("b", left[:, ::-1][::-1], Format(2)),
            Join("j", op, size, form),  # pyright: ignore[reportArgumentType]
            Readout("out", "sum_current", size),
        ),
        (
            Edge("x", "a"), Edge("x", "b"), Edge("a", "j", "branch"), Edge("b", "j", "shortcut"),
            Edge("j", "out"),
        ),
        max_steps=4,
    )  # fmt: skip
    trace = golden.run(net, np.concatenate([branch, shortcut], axis=-1), None)
    return trace["j", "value"], trace.saturations["j"]


@pytest.mark.parametrize(
    ("op", "scalar"),
    [
        ("add", lambda s, x: s + 4 * x),
        ("and", lambda s, x: s * x),
        ("iand", lambda s, x: 0 if s else x),
        ("or", lambda s, x: min(s + x, 1)),
    ],
)
def test_joins(op: str, scalar) -> None:
    low = 0 if op == "or" else -3
    values = np.random.default_rng(2).integers(low, 4, (2, 2, 5, 7))
    found, _ = joined(op, values[0], values[1])
    expected = [scalar(s, x) for s, x in zip(values[0].flat, values[1].flat, strict=True)]
    assert found.flatten().tolist() == expected


def test_a_narrow_join_floors_then_saturates_and_counts() -> None:
    branch = np.array([[[-1, 1, 7, 100, -100]]])
    value, clipped = joined("add", branch, np.zeros_like(branch), Format(4, 1))
    assert value[0, 0].tolist() == [-1, 0, 3, 7, -8]
    assert clipped == 2


@pytest.mark.parametrize(
    ("kind", "scores"),
    [("sum_current", [2, -5]), ("last_membrane", [2, -5]), ("max_membrane", [5, -1])],
)
def test_readouts(kind: str, scores: list[int]) -> None:
    """Leak 1 and no spikes, so that the membrane is the running sum of the current."""
    currents = np.array([[[2, -1]], [[3, 0]], [[-4, -2]], [[1, -2]]])
    nodes = [Input("x", 2, Format(4)), Dense("fc", np.eye(2, dtype=int), Format(2))]
    edges = [Edge("x", "fc")]
    if kind != "sum_current":
        nodes.append(LIF("lif", 2, Format(10), np.array(1), 0, np.array(100)))  # pyright: ignore[reportArgumentType]
        edges.append(Edge("fc", "lif"))
    edges.append(Edge(nodes[-1].name, "out"))
    net = Network((*nodes, Readout("out", kind, 2)), tuple(edges), 4)  # pyright: ignore[reportArgumentType]
    assert golden.run(net, currents).scores[0].tolist() == scores


def test_a_delayed_edge_delivers_the_step_before() -> None:
    node = neurons(leak=np.array(0), threshold=np.array(1))
    net = Network(
        (
            Input("x", 1, Format(4)), Dense("fc", np.array([[1]]), Format(2)), node,
            Dense("rec", np.array([[5]]), Format(4)), Readout("out", "count", 1),
        ),
        (
            Edge("x", "fc"), Edge("fc", "lif"), Edge("lif", "rec", delay=1), Edge("rec", "lif"),
            Edge("lif", "out"),
        ),
        max_steps=4,
    )  # fmt: skip
    trace = golden.run(net, np.array([2, 0, 0, 0]).reshape(4, 1, 1), None)
    assert trace["rec", "current"][:, 0, 0].tolist() == [0, 5, 5, 5]


def test_a_delayed_edge_may_feed_the_readout() -> None:
    """The readout may then come before its source in the order of a timestep."""
    node = neurons(leak=np.array(0), threshold=np.array(1))
    net = Network(
        (
            Input("x", 1, Format(4)), Readout("out", "count", 1),
            Dense("fc", np.array([[1]]), Format(2)), node,
        ),
        (Edge("lif", "out", delay=1), Edge("x", "fc"), Edge("fc", "lif")),
        max_steps=3,
    )  # fmt: skip
    trace = golden.run(net, np.array([2, 2, 0]).reshape(3, 1, 1), None)
    spikes = trace["lif", "spike"][:, 0, 0]
    assert spikes[0] == 1
    assert trace["out", "score"][:, 0, 0].tolist() == [0, spikes[0], spikes[0] + spikes[1]]


def test_the_first_of_equal_scores_wins_and_scores_are_signed() -> None:
    net = Network(
        (
            Input("x", 1, Format(4)), Dense("fc", np.array([[-3], [-1], [-1]]), Format(4)),
            Readout("out", "sum_current", 3),
        ),
        (Edge("x", "fc"), Edge("fc", "out")),
        max_steps=2,
    )  # fmt: skip
    assert golden.run(net, np.ones((2, 1, 1), int)).classes.tolist() == [1]


def test_dense_is_exact_beyond_float64() -> None:
    weight = np.array([[(1 << 29) - 1, 1]])
    node = Dense("fc", weight, Format(30))
    spikes = np.array([[1 << 26, 1]])
    assert golden.dense_step(node, spikes)[0, 0] == ((1 << 29) - 1) * (1 << 26) + 1


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (np.zeros((2, 1, 5), int), r"shape \[2, 1, 5\], must be \[T, B, 1\]"),
        (np.zeros((2, 1), int), r"must be \[T, B, 1\]"),
        (np.zeros((0, 1, 1), int), "not empty"),
        (np.zeros((2, 1, 1)), "samples are float64, must be integers"),
        (np.full((2, 1, 1), 1 << 45), "must fit the input's s40.0"),
        (np.zeros((1001, 1, 1), int), "have 1001 timesteps, must have at most 1000"),
    ],
)
def test_samples_that_do_not_fit_are_refused(samples: np.ndarray, message: str) -> None:
    with pytest.raises(NetworkError, match=message):
        through(neurons(), samples)


def test_an_unknown_probe_is_refused() -> None:
    net = Network((Input("x", 1), Readout("out", "count", 1)), (Edge("x", "out"),), max_steps=1)
    with pytest.raises(NetworkError, match=r"probe x\.current does not exist"):
        golden.run(net, np.ones((1, 1, 1), int), [("x", "current")])
