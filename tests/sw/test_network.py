"""What the contract refuses, and what it derives."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from random_networks import random_network, random_samples
from reslif.sw import golden
from reslif.sw.formats import Format
from reslif.sw.network import (
    LIF,
    Affine,
    Dense,
    Edge,
    Input,
    Join,
    Network,
    NetworkError,
    Readout,
)

WEIGHT = np.array([[1, -2, 3], [0, 4, -5]])


def nodes(**changes: Any) -> dict[str, Any]:
    """Input(3) → Dense → LIF(2) → count, in plain Python; ``changes`` replace nodes."""
    plain = {
        "x": Input("x", 3),
        "fc": Dense("fc", WEIGHT, Format(4), np.array([1, 0])),
        "lif": LIF("lif", 2, Format(10, 2), np.array(15), 4, np.array(20)),
        "out": Readout("out", "count", 2),
    }
    return plain | changes


CHAIN = (Edge("x", "fc"), Edge("fc", "lif"), Edge("lif", "out"))


def network(edges: tuple[Edge, ...] = CHAIN, max_steps: int = 8, **changes: Any) -> Network:
    return Network(tuple(nodes(**changes).values()), edges, max_steps)


def lif(**changes: Any) -> LIF:
    return replace(nodes()["lif"], **changes)


def test_the_plain_chain_is_valid_and_its_ranges_are_exact() -> None:
    net = network()
    assert [node.name for node in net.order] == ["x", "fc", "lif", "out"]
    # Partial sums count too: bias 1, minus 2, plus 1 + 3.
    assert net.values["fc"].low.tolist() == [-1, -5]
    assert net.values["fc"].high.tolist() == [5, 4]
    assert str(net.values["fc"].format) == "s4.0"
    assert str(net.scores.format) == "u4.0"


def test_ranges_hold_for_random_networks() -> None:
    """Nothing a run produces ever leaves the derived range or format."""
    for seed in range(40):
        net = random_network(seed)
        trace = golden.run(net, random_samples(net, seed), None)
        for (name, what), found in trace.probes.items():
            values = net.values[name]
            if what in ("spike", "value") or (
                what == "current" and isinstance(net.by_name[name], Dense)
            ):
                assert (found >= values.low).all(), (seed, name)
                assert (found <= values.high).all(), (seed, name)
                assert values.format.contains(found)
            if what == "score":
                assert net.scores.format.contains(found), seed


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: Dense("fc", np.array([[0.5]]), Format(4)),
            "node 'fc': weight is float64, must be",
        ),
        (lambda: Dense("fc", np.array([[np.nan]]), Format(4)), "node 'fc': weight holds NaN"),
        (lambda: Dense("fc", np.array([1, 2]), Format(4)), r"shape \[2\], must be \[n, inputs\]"),
        (lambda: Dense("fc", np.zeros((0, 3), int), Format(4)), r"shape \[0, 3\]"),
        (
            lambda: Dense("fc", np.array([[8]]), Format(4)),
            "weight spans 8 to 8, must lie within -8 to 7",
        ),
        (
            lambda: Dense("fc", WEIGHT, Format(4), np.zeros(3, int)),
            r"bias has shape \[3\], must be \[2\]",
        ),
        (
            lambda: Dense("fc", WEIGHT, Format(4), np.array([np.inf, 0])),
            "bias holds NaN or infinity",
        ),
        (
            lambda: Dense("fc", WEIGHT, Format(4), np.array([2**64 - 1, 0], np.uint64)),
            "bias reaches 18446744073709551615, must fit 64 bits, signed",
        ),
        (lambda: Dense("fc", [[1], [1, 2]], Format(4)), "node 'fc': weight is ragged"),  # pyright: ignore[reportArgumentType]
        (lambda: Dense("fc", WEIGHT, "s4.0"), "weight_format is 's4.0', must be a Format"),  # pyright: ignore[reportArgumentType]
        (lambda: Input(3, 3), "name is 3, must be an ASCII identifier"),  # pyright: ignore[reportArgumentType]
        (lambda: Input("x", True), "node 'x': size is True, must be an integer"),
        (lambda: Input("x", 3, None), "format is None, must be a Format"),  # pyright: ignore[reportArgumentType]
        (lambda: Join("j", "add", 2, 4), "format is 4, must be a Format or None"),  # pyright: ignore[reportArgumentType]
        (lambda: lif(membrane=10), "node 'lif': membrane is 10, must be a Format"),
        (lambda: lif(leak_shift=4.0), "node 'lif': leak_shift is 4.0, must be an integer"),
        (lambda: lif(leak_shift=float("nan")), "leak_shift is nan, must be an integer"),
        (lambda: lif(strict=1), "node 'lif': strict is 1, must be True or False"),
        (lambda: lif(reset_delay="no"), "reset_delay is 'no', must be True or False"),
        (lambda: lif(membrane=Format(2)), "membrane s2.0. leave no threshold, the membrane must"),
        (lambda: Input("1x", 3), "name is '1x', must be an ASCII identifier"),
        (lambda: Input("", 3), "must be an ASCII identifier"),
        (lambda: Input("x", 0), "size is 0, must be an integer above 0"),
        (lambda: lif(membrane=Format(8, signed=False)), "membrane is u8.0, must be signed"),
        (lambda: lif(leak=np.array(17)), "leak spans 17 to 17, must lie within 0 to 16"),
        (lambda: lif(leak_shift=17), "leak_shift is 17, must be 0 to 16"),
        (
            lambda: lif(membrane=Format(59)),
            "membrane is 59 bits and leak_shift 4, must be at most 62 together",
        ),
        (lambda: lif(threshold=np.array(0)), "threshold spans 0 to 0, must lie within 1 to 510"),
        (lambda: lif(threshold=np.array(511)), "threshold spans 511 to 511"),
        (
            lambda: lif(threshold=np.array([1, 2, 3])),
            r"threshold has shape \[3\], must be a scalar or \[2\]",
        ),
        (lambda: lif(reset="hard"), "reset is 'hard', must be subtract, zero or none"),
        (lambda: Join("j", "xor", 2), "op is 'xor', must be add, and, iand or or"),  # pyright: ignore[reportArgumentType]
        (lambda: Readout("out", "mean", 2), "kind is 'mean', must be count"),  # pyright: ignore[reportArgumentType]
    ],
)
def test_bad_nodes_are_refused_by_name(make, message: str) -> None:
    with pytest.raises(NetworkError, match=message):
        make()


def joined(op: str, branch: str = "lif", shortcut: str = "x", **changes: Any) -> Network:
    edges = (
        *CHAIN[:2],
        Edge(branch, "j", "branch"),
        Edge(shortcut, "j", "shortcut"),
        Edge("j", "out"),
    )
    return network(edges, j=Join("j", op, 2), **changes)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: network(max_steps=0), "max_steps is 0, must be 1 to 65536"),
        (lambda: network(max_steps=True), "max_steps is True, must be 1 to 65536"),
        (lambda: network(lif="lif"), "network holds 'lif', must hold nodes of the contract"),
        (lambda: network(lif=WEIGHT << 40), "network holds array.*, must hold nodes"),
        (lambda: network((*CHAIN, Edge("x", "lif", ["left"]))), "no such port, its ports: input"),  # pyright: ignore[reportArgumentType]
        (lambda: network((*CHAIN, Edge(["x"], "fc"))), "does not exist"),  # pyright: ignore[reportArgumentType]
        (lambda: network((*CHAIN, Edge("lif", "lif", delay=True))), "delay is True, must be 0"),
        (
            lambda: network(
                (*CHAIN, *(Edge(*e) for i in range(9) for e in (("x", f"d{i}"), (f"d{i}", "lif")))),
                lif=lif(membrane=Format(58, 0), leak_shift=0, leak=np.array(1)),
                **{f"d{i}": Dense(f"d{i}", WEIGHT << 56, Format(62)) for i in range(9)},
            ),
            "node 'lif': its currents add up to .* must fit 61 bits",
        ),
        (
            lambda: network((*CHAIN, Edge("x", "nowhere"))),
            "edge x -> nowhere.input: node 'nowhere' does not exist",
        ),
        (lambda: network((*CHAIN, Edge("x", "lif", "left"))), "no such port, its ports: input"),
        (lambda: network((*CHAIN, Edge("lif", "x"))), "its ports: none"),
        (lambda: network((*CHAIN, Edge("out", "lif"))), "a readout feeds no other node"),
        (lambda: network((*CHAIN, CHAIN[0])), "an edge is defined twice"),
        (lambda: network((*CHAIN, Edge("lif", "lif", delay=2))), "delay is 2, must be 0 or 1"),
        (
            lambda: network((*CHAIN, Edge("fc", "lif", delay=1))),
            "only what a neuron sends can be delayed",
        ),
        (lambda: network((*CHAIN, Edge("lif", "lif"))), "lif, out form a cycle"),
        (
            lambda: network((*CHAIN, Edge("x", "fc", delay=0), Edge("lif", "fc", delay=1))[1:]),
            "port input has 2 edges, must have 1",
        ),
        (
            lambda: network(lif2=lif(name="lif2")),
            "node 'lif2': port input has 0 edges, must have at least 1",
        ),
        (lambda: network(extra=Input("y", 2)), "network has 2 Input nodes, must have 1"),
        (lambda: network(x=Dense("x", WEIGHT, Format(4))), "network has 0 Input nodes"),
        (lambda: network(lif=replace(nodes()["lif"], name="fc")), "node 'fc' is defined twice"),
        (
            lambda: network(x=Input("x", 4)),
            "node 'fc': weight expects 3 inputs, its source sends 4",
        ),
        (
            lambda: network(lif=lif(size=3)),
            "node 'lif': takes 3 currents .3 neurons., a source sends 2",
        ),
        (
            lambda: network(lif=lif(membrane=Format(10, -1))),
            "its currents have -1 fraction bits, must have at least its source's 0",
        ),
        (lambda: network(out=Readout("out", "count", 3)), "has 3 classes, its source sends 2"),
        (
            lambda: network((*CHAIN[:2], Edge("fc", "out")), out=Readout("out", "max_membrane", 2)),
            "only a neuron has a membrane to read",
        ),
        (lambda: network((*CHAIN[:2], Edge("fc", "out"))), "node 'lif': nothing reads it"),
        (lambda: joined("add"), "joins 2 values, its shortcut sends 3"),
        (lambda: joined("or", shortcut="fc"), "op or joins spikes, its shortcut sends s4.0"),
        (
            lambda: network(fc=Dense("fc", WEIGHT, Format(4, 62)), x=Input("x", 3, Format(1, 5))),
            "frac is 67",
        ),
        (
            lambda: network(
                fc=Dense("fc", WEIGHT << 58, Format(62)), x=Input("x", 3, Format(14, 0, False))
            ),
            "node 'fc': format width is",
        ),
    ],
)
def test_bad_graphs_are_refused(make, message: str) -> None:
    with pytest.raises(NetworkError, match=message) as error:
        make()
    assert "\n" not in str(error.value)


def test_a_declared_join_format_may_not_add_fraction_bits() -> None:
    edges = (*CHAIN[:2], Edge("lif", "j", "branch"), Edge("lif", "j", "shortcut"), Edge("j", "out"))
    with pytest.raises(NetworkError, match="must have at most 0 fraction bits"):
        network(edges, j=Join("j", "add", 2, Format(4, 1)))


def test_a_delayed_edge_breaks_a_cycle() -> None:
    recurrent = Dense("rec", np.array([[1, 2], [3, 4]]), Format(4))
    edges = (*CHAIN, Edge("lif", "rec", delay=1), Edge("rec", "lif"))
    net = network(edges, rec=recurrent)
    # The delayed spike may be 0, whatever it is now.
    assert net.values["rec"].low.tolist() == [0, 0]


def test_digests_of_older_releases_stay() -> None:
    """As written before there was any neuron but the LIF; files carry it."""
    before = "05c90039162397eb0cd0da5d9c9692fadf2a1330ad9ab7619bb6e8dead6dcdf0"
    assert network().digest == before


def test_digest_follows_behaviour_and_nothing_else() -> None:
    net = network()
    assert replace(net, notes={"seed": 3}).digest == net.digest
    flipped = WEIGHT.copy()
    flipped[1, 0] ^= 1
    different = [
        network(fc=Dense("fc", flipped, Format(4), np.array([1, 0]))),
        network(lif=lif(strict=False)),
        network(lif=lif(membrane=Format(11, 2))),
        network(max_steps=9),
        network((*CHAIN, Edge("lif", "lif", delay=1))),
    ]
    assert len({net.digest, *(other.digest for other in different)}) == 6


def gains(gain: np.ndarray, bias: np.ndarray | None = None, steps: int = 4, **edge) -> Network:
    """x → fc → norm → lif → out, ``gain`` and ``bias`` in norm."""
    nodes = (
        Input("x", 3), Dense("fc", np.array([[1, 2, -3], [0, -1, 2]]), Format(4)),
        Affine("norm", gain, Format(4, 2), bias),
        LIF("lif", 2, Format(12, 3), np.array(15), 4, np.array(9)), Readout("out", "count", 2),
    )  # fmt: skip
    edges = (
        Edge("x", "fc"), Edge("fc", "norm"), Edge("norm", "lif"), Edge("lif", "out", **edge)
    )  # fmt: skip
    return Network(nodes, edges, steps)


def test_gains_have_exact_ranges() -> None:
    gain, bias = np.array([[3, -2], [1, 5], [0, 0], [7, 7]]), np.array([10, -10])
    values = gains(gain, bias).values["norm"]
    # fc spans −3..3 and −1..2; the extremes over all four steps, each with its bias
    assert values.low.tolist() == [-21 + 10, -7 - 10]
    assert values.high.tolist() == [21 + 10, 14 - 10]
    assert values.format.frac == 2


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: gains(np.ones((3, 2), int)), "has 3 timesteps, must have the network's 4"),
        (lambda: gains(np.ones((4, 2), int), np.ones((3, 2), int)), "must have as many"),
        (lambda: gains(np.ones((4, 2, 1), int)), "gain has shape"),
        (lambda: gains(np.ones(2, int), np.ones(3, int)), r"must be \[2\] or \[T, 2\]"),
        (lambda: gains(np.ones(2, int) * 9), "gain spans 9 to 9, must lie within -8 to 7"),
        (lambda: gains(np.ones(3, int)), "has 3 values, its source sends 2"),
        (lambda: gains(np.ones(2, int), quantity="spikes"), "quantity is 'spikes', must be output"),
    ],
)
def test_bad_gains_and_quantities_are_refused(make, message: str) -> None:
    with pytest.raises(NetworkError, match=message):
        make()


def test_nodes_on_common_cycles_form_groups() -> None:
    network = gains(np.ones(2, int))
    chain = [["x"], ["fc"], ["norm"], ["lif"], ["out"]]
    assert [[n.name for n in g] for g in network.groups] == chain
    looped = Network(network.nodes, (*network.edges, Edge("lif", "lif", delay=1)), 4)
    assert [[n.name for n in g] for g in looped.groups] == chain
    nodes = (*network.nodes, Affine("own", np.ones(2, int), Format(2)))
    edges = (*network.edges, Edge("lif", "own", delay=1), Edge("own", "lif"))
    groups = [{n.name for n in g} for g in Network(nodes, edges, 4).groups]
    assert groups == [{"x"}, {"fc"}, {"norm"}, {"own", "lif"}, {"out"}]
