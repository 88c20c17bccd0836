"""The plan: lanes, lags and buffer depths, and the foldings that cannot be built."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from reslif.hw.folding import Fold, Folding, FoldingError, Plan
from reslif.sw.formats import Format
from reslif.sw.network import (
    LSTM,
    Conv2d,
    Dense,
    Edge,
    Input,
    Join,
    Network,
    NetworkError,
    Pool,
    Readout,
)
from reslif.sw.neurons.table import Tanh
from small_convs import conv, depthwise, ms_resnet, sew_resnet, tiny_ms
from small_networks import affine, dense, edges, lif, network, residual

N = 12


def ms(blocks: int = 2, **options) -> Network:
    return residual(blocks, N, classes=3, **options)


def edge(net: Network, text: str) -> Edge:
    source, _, target = text.partition(" ")
    name, _, port = target.partition(".")
    (found,) = [e for e in net.edges if (e.source, e.target, e.port) == (source, name, port)]
    return found


@pytest.mark.parametrize(
    ("lanes", "neuron_lanes", "message"),
    [
        (0, 1, "lanes is 0, must be an integer from 1 to 4096"),
        (4097, 1, "lanes is 4097, must be"),
        (4, 0, "neuron_lanes is 0, must be"),
        (4.0, 2, "lanes is 4.0, must be an integer"),
        (True, 1, "lanes is True, must be an integer"),
        (8, 3, "neuron_lanes is 3, must divide lanes, which is 8"),
        (2, 4, "neuron_lanes is 4, must divide lanes, which is 2"),
    ],
)
def test_lanes_that_make_no_sense(lanes, neuron_lanes, message):
    with pytest.raises(FoldingError, match=f"^{message}"):
        Fold(lanes, neuron_lanes)


def test_a_fold_for_a_layer_that_does_not_exist():
    with pytest.raises(FoldingError, match=r"^folding names layer 'b0l', must be one of \['b0a'"):
        Plan(ms(), Folding(layers={"b0l": Fold(4, 2)}))


def test_neighbours_of_different_lanes():
    folding = Folding(Fold(8, 4), {"b0b": Fold(8, 8)})
    with pytest.raises(FoldingError, match=r"^layer 'b0b' has neuron_lanes 8, must be 4 as its"):
        Plan(ms(), folding)


def recurrent() -> Network:
    """A loop from ``lif2`` to itself, feedback from it to ``lif1``, and a shortcut beside both."""
    return network(
        [
            Input("x", N), dense("fc1", N, N), lif("lif1", N), dense("fc2", N, N), lif("lif2", N),
            dense("rec", N, N), affine("back", N), Join("join", "add", N), *tail(),
        ],
        "x fc1 lif1 fc2 lif2 join.branch out readout, lif1 join.shortcut, "
        "lif2 ~rec lif2, lif2 ~back lif1",
    )  # fmt: skip


def test_a_delayed_edge_adds_no_lag():
    """What only it feeds is as late as what it meets."""
    lags = Plan(recurrent()).lags
    assert lags["lif1"] == lags["back"] == 1
    assert lags["lif2"] == lags["rec"] == 2
    assert lags["out"] == 3
    late = network(
        [
            *(Input("x", N), dense("fc1", N, N), lif("lif1", N), dense("fc2", N, N)),
            *(lif("lif2", N), affine("v", N), affine("w", N), dense("rec", N, N), *tail()),
        ],
        "x fc1 lif1 fc2 lif2 out readout, lif2 ~v rec lif2, lif2 ~w lif1",
    )
    lags = Plan(late).lags
    assert (lags["v"], lags["rec"], lags["w"]) == (1, 2, 1)


def test_depth_of_the_buffers_of_a_loop():
    """Two steps on the delayed edge; the way that meets it is a step ahead."""
    net = recurrent()
    plan = Plan(net, Folding(Fold(8, 4)))
    assert plan.buffer_depth(edge(net, "lif2 rec.input")) == 2 * 3
    assert plan.buffer_depth(edge(net, "lif2 back.input")) == 2 * 3
    assert plan.buffer_depth(edge(net, "rec lif2.input")) == 0
    assert plan.buffer_depth(edge(net, "fc2 lif2.input")) == 3
    assert plan.buffer_depth(edge(net, "back lif1.input")) == 0
    assert plan.buffer_depth(edge(net, "fc1 lif1.input")) == 3
    assert plan.buffer_depth(edge(net, "lif1 join.shortcut")) == (1 + 1) * 3


def test_depth_of_a_delayed_edge_that_goes_forward():
    """A step more for each by which its source is ahead of what it meets."""
    net = network(
        [
            *(Input("x", N), dense("fc1", N, N), lif("lif1", N), dense("fc2", N, N)),
            *(lif("lif2", N), affine("skip", N), *tail()),
        ],
        "x fc1 lif1 fc2 lif2 out readout, lif1 ~skip lif2, lif1 ~lif2",
    )
    plan = Plan(net, Folding(Fold(4, 4)))
    assert plan.lags["skip"] == plan.lags["lif2"] == 2
    assert plan.buffer_depth(edge(net, "lif1 skip.input")) == (2 + 1) * 3
    assert plan.buffer_depth(edge(net, "lif1 lif2.input")) == (2 + 1) * 3
    assert plan.buffer_depth(edge(net, "fc2 lif2.input")) == 3


def test_a_membrane_is_not_held_back_by_inhibition():
    net = network(
        [
            Input("x", N), dense("fc1", N, N), lif("lif1", N, inhibition=True),
            Join("join", "add", N), lif("lif2", N), *tail(),
        ],
        "x fc1 lif1 join.branch lif2 out readout, lif1 *join.shortcut",
    )  # fmt: skip
    plan = Plan(net, Folding(Fold(4, 4)))
    spikes, membrane = edge(net, "lif1 join.branch"), edge(net, "lif1 join.shortcut")
    assert (plan.lag_of(spikes), plan.lag_of(membrane)) == (2, 1)
    assert (plan.buffer_depth(spikes), plan.buffer_depth(membrane)) == (0, 2 * 3)


@pytest.mark.parametrize(
    ("nodes", "text", "message"),
    [
        (
            [lif("b", N)],
            "x fc a out readout, a ~rec b out2.shortcut",
            "^node 'b': all its edges come from the timestep before, so that it cannot know when "
            "a sample ends; it must have an edge from a node of the same timestep too$",
        ),
        (
            [affine("v", N, steps=16), lif("b", N)],
            "x fc a out readout, a ~rec v b out2.shortcut, fc b",
            r"^node 'v': all its edges .* it must have gain and bias \[n\]$",
        ),
        (
            [lif("b", N), Join("j", "add", N, Format(3))],
            "x fc a out readout, a ~rec j.branch b out2.shortcut, a ~j.shortcut, fc b",
            "^node 'j': all its edges .* it must have no format of its own, whose saturation",
        ),
    ],
)
def test_who_cannot_know_when_a_sample_ends_is_refused(nodes, text, message):
    head = [Input("x", N), dense("fc", N, N), lif("a", N), dense("rec", N, N)]
    text = text.replace("out readout", "out2.branch out readout")
    net = network([*head, *nodes, Join("out2", "add", N), *tail()], text)
    with pytest.raises(NetworkError, match=message):
        Plan(net)


def test_nodes_that_exchange_beats_form_a_group():
    """In an MS stage the shortcut ties all second layers, joins and neurons together."""
    groups = Plan(ms()).groups
    stage = ["stem", "b0l", "b0b", "b0", "b1l", "b1b", "b1", "last"]
    sets = [stage, ["b0a", "b0m"], ["b1a", "b1m"], ["out", "readout"], ["x"]]
    assert len(set(groups.values())) == len(sets)
    for names in sets:
        assert len({groups[name] for name in names}) == 1


def test_an_input_that_is_read_as_beats_joins_no_group():
    net = network(
        [Input("x", N), dense("fc", N, N), Join("join", "add", N), *tail()],
        "x fc join.branch out readout, x join.shortcut",
    )
    groups = Plan(net).groups
    assert groups["fc"] == groups["join"] != groups["x"]


def tail() -> list:
    return [dense("out", N, 3), Readout("readout", "sum_current", 3)]


def test_lanes_of_a_group():
    plan = Plan(ms(), Folding(Fold(8, 4), {"b0a": Fold(6, 6), "b1b": Fold(8, 2)}))
    lanes = plan.neuron_lanes
    assert {lanes[name] for name in ("stem", "b0l", "b0b", "b0", "b1b", "last")} == {2}
    assert lanes["b0a"] == lanes["b0m"] == 6
    assert lanes["b1a"] == lanes["b1m"] == 4
    assert lanes["out"] == lanes["readout"] == 1


def test_a_readout_takes_one_value_a_beat():
    assert Plan(ms(), Folding(Fold(8, 4))).folds["out"] == Fold(3, 1)
    with pytest.raises(FoldingError, match=r"'out' has neuron_lanes 3, must be 1 .*readout"):
        Plan(ms(), Folding(Fold(8, 4), {"out": Fold(8, 4)}))


@pytest.mark.parametrize(
    ("size", "fold", "want"),
    [
        (12, Fold(8, 4), Fold(8, 4)),
        (12, Fold(16, 4), Fold(12, 4)),
        (10, Fold(16, 4), Fold(12, 4)),
        (3, Fold(16, 4), Fold(3, 3)),
        (1, Fold(4096, 4096), Fold(1, 1)),
        (6, Fold(16, 8), Fold(6, 6)),
        (12, Fold(5, 5), Fold(5, 5)),
    ],
)
def test_no_more_lanes_than_neurons(size, fold, want):
    net = network(
        [Input("x", 4), dense("fc", 4, size), lif("lif", size), *tail_of(size)],
        "x fc lif out readout",
    )
    assert Plan(net, Folding(fold)).folds["fc"] == want


def tail_of(size: int) -> list:
    return [dense("out", size, 3), Readout("readout", "sum_current", 3)]


def test_every_fold_can_be_built():
    """Lanes of a layer are whole beats, whatever its size and its neighbours."""
    for size in range(1, 20):
        net = residual(1, size, classes=2)
        for lanes in range(1, 17):
            for neuron_lanes in (n for n in range(1, lanes + 1) if lanes % n == 0):
                for fold in Plan(net, Folding(Fold(lanes, neuron_lanes))).folds.values():
                    assert fold.lanes % fold.neuron_lanes == 0
                    assert fold.lanes <= lanes


def test_lag_counts_the_synapses_on_the_longest_way():
    lags = Plan(ms()).lags
    assert lags["x"] == 0
    assert lags["stem"] == lags["b0l"] == 1
    assert lags["b0a"] == lags["b0m"] == 2
    assert lags["b0b"] == lags["b0"] == lags["b1l"] == 3
    assert lags["b1"] == lags["last"] == 5
    assert lags["out"] == lags["readout"] == 6


def test_lag_of_inhibition_and_of_events_read_as_beats():
    net = network(
        [
            Input("x", N), dense("fc", N, N), lif("lif1", N, inhibition=True),
            lif("lif2", N), Join("join", "add", N), *tail(),
        ],
        "x fc lif1 join.branch out readout, x lif2 join.shortcut",
    )  # fmt: skip
    plan = Plan(net)
    assert plan.lags["lif1"] == 2
    assert plan.lag_of(edge(net, "x lif2.input")) == plan.lags["lif2"] == 1
    assert plan.lag_of(edge(net, "x fc.input")) == 0


def test_depth_of_buffers():
    """A step in front of a synapse; where edges meet, the difference in lag and one step more."""
    net = ms(long_skip=True)
    plan = Plan(net, Folding(Fold(8, 4)))
    beats = 3
    assert plan.buffer_depth(edge(net, "x stem.input")) == 0
    assert plan.buffer_depth(edge(net, "b0l b0a.input")) == beats
    assert plan.buffer_depth(edge(net, "b0b b0.branch")) == 0
    assert plan.buffer_depth(edge(net, "stem b0.shortcut")) == (2 + 1) * beats
    assert plan.buffer_depth(edge(net, "b1 skip.branch")) == 0
    assert plan.buffer_depth(edge(net, "stem skip.shortcut")) == (4 + 1) * beats
    assert plan.buffer_depth(edge(net, "stem b0l.input")) == 0


def test_depth_of_buffers_where_lags_are_equal():
    """One edge needs none; the other holds a step, as their sources may be in step or not."""
    net = network(
        [Input("x", N), dense("a", N, N), dense("b", N, N), lif("lif", N), *tail()],
        "x a lif out readout, x b lif",
    )
    plan = Plan(net, Folding(Fold(4, 4)))
    assert [plan.buffer_depth(edge(net, f"{name} lif.input")) for name in "ab"] == [0, 3]


def test_depth_of_the_buffer_of_an_input_skip():
    net = network(
        [
            Input("x", N), dense("a", N, N), lif("lif", N), dense("b", N, N),
            Join("join", "add", N), *tail(),
        ],
        "x a lif b join.branch out readout, x join.shortcut",
    )  # fmt: skip
    plan = Plan(net, Folding(Fold(2, 2)))
    # The input as beats is a step behind, b two.
    assert plan.buffer_depth(edge(net, "x join.shortcut")) == (2 - 1 + 1) * 6


def test_words_of_a_node():
    plan = Plan(ms(), Folding(Fold(8, 4), {"b0a": Fold(5, 5)}))
    assert plan.words("stem") == 3
    assert plan.words("b0a") == 3
    assert plan.words("readout") == 3


def test_the_default_folding_builds_any_network():
    plan = Plan(ms())
    assert plan.folds["stem"] == Fold(12, 4)
    assert all(isinstance(plan.network.by_name[name], Dense) for name in plan.folds)
    assert np.all([lanes >= 1 for lanes in plan.neuron_lanes.values()])


def cells(size: int) -> Network:
    """Gates from the input and, a step later, from the hidden state."""
    form = Format(9, 6)
    table = Tanh.of(3, 6)
    node = LSTM("cell", size, form, Format(11, 8), 8, table.entries, 3, 6, np.array(5))
    return network(
        [
            *(Input("x", N), dense("gates", N, 4 * size), dense("back", size, 4 * size)),
            *(node, dense("out", size, 3), Readout("readout", "sum_current", 3)),
        ],
        "x gates cell out readout, cell ~*back cell",
    )


def test_lanes_in_front_of_an_lstm_divide_its_cells():
    for size, wanted, lanes in ((6, 4, 3), (8, 4, 4), (7, 4, 1), (2, 8, 2), (1, 4, 1)):
        plan = Plan(cells(size), Folding(Fold(16, wanted)))
        assert {plan.neuron_lanes[name] for name in ("gates", "back", "cell")} == {lanes}
        assert plan.folds["gates"].lanes % lanes == 0
        assert plan.words("gates") == 4 * plan.words("cell") == 4 * size // lanes
    message = r"^layer 'back' has neuron_lanes 4, must divide the 6 cells of its LSTM$"
    with pytest.raises(FoldingError, match=message):
        Plan(cells(6), Folding(layers={"back": Fold(8, 4)}))


def test_depth_of_buffers_counts_gates():
    net = cells(6)
    plan = Plan(net, Folding(Fold(12, 3)))
    assert plan.buffer_depth(edge(net, "gates cell.input")) == 4 * 2
    assert plan.buffer_depth(edge(net, "cell back.input")) == 2 * 2
    assert plan.buffer_depth(edge(net, "cell out.input")) == 2


# Images


@pytest.mark.parametrize(
    ("fold", "message"), [((4, 2, 0), "taps is 0"), ((4, 2, 2.0), "taps is 2")]
)
def test_taps_that_make_no_sense(fold, message):
    with pytest.raises(FoldingError, match=f"^{message}.*, must be an integer from 1 to 4096$"):
        Fold(*fold)


def test_lanes_of_images_divide_channels():
    """Of all that a group exchanges; a default gives way, the most that fits."""
    net = ms_resnet(6)
    plan = Plan(net, Folding(Fold(8, 4)))
    assert {plan.neuron_lanes[n] for n in ("stem", "onel", "oneb", "one", "onea", "onem")} == {3}
    assert {plan.neuron_lanes[n] for n in ("down", "twob", "two", "mean", "mix", "threeb")} == {4}
    assert plan.folds["stem"] == Fold(6, 3)
    assert plan.folds["twob"] == Fold(4, 4)
    assert Plan(net, Folding(Fold(12, 4))).folds["twob"] == Fold(12, 4)
    assert Plan(net, Folding(Fold(11, 1))).folds["twob"] == Fold(6, 1)


def test_lanes_divide_the_channels_of_a_group():
    plan = Plan(depthwise(), Folding(Fold(16, 4)))
    assert [plan.folds[n].lanes for n in ("deep", "point", "share", "each")] == [2, 6, 2, 1]
    assert [plan.neuron_lanes[n] for n in ("deep", "point", "share", "each")] == [2, 3, 2, 1]


@pytest.mark.parametrize(
    ("name", "fold", "message"),
    [
        ("one_a", Fold(4, 4), "neuron_lanes 4, must divide the 6 channels of 'one_a'"),
        ("deep", Fold(2, 2), "neuron_lanes 2, must divide the 1 channels of each group of 'deep'"),
        ("one_a", Fold(2, 2, 2), "taps 2, must be 1, 3 or 9"),
        ("down", Fold(2, 2, 3), "taps 3, must be 1"),
        ("out", Fold(1, 1, 3), "taps 3, must be 1"),
        ("flat", Fold(2, 2, 5), "taps 5, must be 1 or 2"),
    ],
)  # fmt: skip
def test_foldings_of_images_that_cannot_be_built(name, fold, message):
    net = network(
        [
            Input("x", 32), conv("deep", (2, 4, 4), 2, groups=2), lif("lif0", 32),
            conv("one_a", (2, 4, 4), 6), lif("lif1", 96),
            conv("down", (6, 4, 4), 6, 1, 2), lif("lif2", 24),
            Conv2d("flat", np.ones((6, 6, 1, 2), int), Format(4), (6, 2, 2)), lif("lif3", 12),
            dense("out", 12, 3), Readout("readout", "sum_current", 3),
        ],
        "x deep lif0 one_a lif1 down lif2 flat lif3 out readout",
    )  # fmt: skip
    with pytest.raises(FoldingError, match=f"^layer '{name}' has {message}$"):
        Plan(net, Folding(Fold(2, 1), {name: fold}))


def test_default_taps_are_the_most_that_a_layer_has():
    folds = Plan(ms_resnet(), Folding(Fold(4, 2, 5))).folds
    assert (folds["stem"].taps, folds["down"].taps, folds["out"].taps) == (3, 1, 1)
    # A recipe's table for a layer repeats the default.
    folds = Plan(ms_resnet(), Folding(Fold(4, 2, 9), {"down": Fold(2, 2, 9)})).folds
    assert folds["down"] == Fold(2, 2, 1)


def test_pools_that_cannot_be_built_are_refused():
    overlap = Pool("small", "sum", (2, 10, 11), (3, 3), (2, 2), (1, 1))
    net = network(
        [
            Input("x", 220), overlap, conv("deep", overlap.out_shape, 4, groups=2),
            lif("lif1", 120), dense("out", 120, 3), Readout("readout", "sum_current", 3),
        ],
        "x small deep lif1 out readout",
    )  # fmt: skip
    with pytest.raises(FoldingError, match=r"^node 'small': window \(3, 3\), stride \(2, 2\)"):
        Plan(net)


def test_lags_and_buffers_of_images():
    net = ms_resnet()
    plan = Plan(net, Folding(Fold(4, 2)))
    assert [plan.lags[n] for n in ("stem", "one", "down", "two", "mean", "mix", "three")] == [
        1, 3, 4, 5, 5, 6, 7,
    ]  # fmt: skip
    # A pixel of each four reaches the strided 1x1 convolution.
    assert plan.buffer_depth(edge(net, "one down.input")) == 4 * 4 * 4 // 2
    assert plan.buffer_depth(edge(net, "one twol.input")) == 0
    assert plan.buffer_depth(edge(net, "stem one.shortcut")) == 3 * 8 * 8 * 4 // 2
    assert plan.buffer_depth(edge(net, "mix three.shortcut")) == 2 * 2 * 2 * 8 // 2


def test_sums_start_from_the_shortcut_where_that_saves_block_ram():
    """A step of 4,096 currents less to keep, the sums a bit wider: not in so small an image."""
    small, large = Plan(tiny_ms()), Plan(ms_resnet(16, 16), Folding(Fold(16, 4)))
    assert not small.merged
    assert large.merged["one"] == "oneb"
    net = large.network
    assert large.buffer_depth(edge(net, "stem one.shortcut")) == 2 * 16 * 16 * 16 // 4
    assert large.buffer_depth(edge(net, "oneb one.branch")) == 0
    layout = large.layout(net.by_name["oneb"])
    assert layout.initial is not None
    assert layout.current.width == net.values["one"].format.width
    spikes = Plan(sew_resnet(16, 16), Folding(Fold(16, 4)))
    assert not spikes.merged  # a convolution is not what its joins read


def test_what_must_not_start_from_the_shortcut(monkeypatch):
    """Sums that others read, joins that narrow, shortcuts that come too late."""
    monkeypatch.setattr(Plan, "_saved", lambda *_: 1)
    net = ms_resnet(16, 16)
    narrow = replace(net.by_name["one"], format=Format(6, 0))
    late = [e for e in net.edges if (e.source, e.target) != ("stem", "one")]
    cases = {
        "narrow": replace(net, nodes=tuple(narrow if n.name == "one" else n for n in net.nodes)),
        "read": replace(net, nodes=(*net.nodes, lif("more", 16 * 16 * 16), conv(
            "ends", (16, 16, 16), 3, 16, padding=0), Join("sum", "add", 3)),
            edges=(*[e for e in net.edges if e.target != "readout"],
                   *edges("oneb more ends sum.branch, out sum.shortcut, sum readout"))),
        "late": replace(net, nodes=(*net.nodes, conv("side", (16, 16, 16), 16)),
                        edges=(*late, *edges("onem side one.shortcut, stem onel"))[:-1]),
    }  # fmt: skip
    for name, changed in cases.items():
        plan = Plan(changed, Folding(Fold(16, 4)))
        assert "one" not in plan.merged, name
        assert "two" in plan.merged, name
