"""The parts of the report's page: folding, pictures, schedules, and what the tools left."""

import base64
import itertools
import json
import re
import zlib

import numpy as np
import pytest
from report_runs import NETLIST, PLACED
from reslif.hw.emit import generate
from reslif.hw.folding import Fold, Folding
from reslif.hw.sequential.program import Sequence
from reslif.sim.activity import measured
from reslif.sw.flow.schedule import schedule
from reslif.sw.formats import Format
from reslif.sw.images import to_flat
from reslif.sw.network import LIF, Adaptive, Dense, Edge, Input, Join, Network, Neuron, Readout
from reslif.sw.report import network as graph
from reslif.sw.report.charts import Series, line_chart, over_depth, staircase, ticks
from reslif.sw.report.facts import Module, Placed
from reslif.sw.report.format import formatted
from reslif.sw.report.golden_facts import see
from reslif.sw.report.hardware import critical_path, modules_of
from reslif.sw.report.placed import placed, scope_of
from reslif.sw.report.png import image, png, signed
from reslif.sw.report.quantisation import _format
from reslif.sw.report.samples import script_data


def deep(blocks: int, widths: tuple[int, ...] = (8,), seed: int = 0) -> Network:
    """A chain of residual blocks whose hidden layers are of these widths, over and over."""
    random = np.random.default_rng(seed)

    def dense(name: str, size: int, inputs: int) -> Dense:
        return Dense(name, random.integers(-3, 4, (size, inputs)), Format(4))

    def lif(name: str, size: int) -> LIF:
        return LIF(name, size, Format(14, 2), np.int64(14), 4, np.int64(12))

    nodes, edges = [Input("input", 8), dense("stem", 8, 8)], [Edge("input", "stem")]
    last = "stem"
    for n in range(blocks):
        width = widths[n % len(widths)]
        nodes += [
            lif(f"b_{n}_lif1", 8), dense(f"b_{n}_up", width, 8), lif(f"b_{n}_lif2", width),
            dense(f"b_{n}_down", 8, width), Join(f"add_{n}", "add", 8, Format(12)),
        ]  # fmt: skip
        edges += [
            Edge(last, f"b_{n}_lif1"), Edge(f"b_{n}_lif1", f"b_{n}_up"),
            Edge(f"b_{n}_up", f"b_{n}_lif2"), Edge(f"b_{n}_lif2", f"b_{n}_down"),
            Edge(f"b_{n}_down", f"add_{n}", "branch"), Edge(last, f"add_{n}", "shortcut"),
        ]  # fmt: skip
        last = f"add_{n}"
    nodes += [lif("end", 8), dense("head", 10, 8), Readout("readout", "sum_current", 10)]
    edges += [Edge(last, "end"), Edge("end", "head"), Edge("head", "readout")]
    return Network(tuple(nodes), tuple(edges), 4)


def rows_of(network):
    return [graph._row(network, node, {}) for node in graph.shown_order(network)]


def test_repeated_blocks_fold_into_one():
    network = deep(120)
    rows = rows_of(network)
    folded, places = graph.fold(network, rows)
    assert len(rows) == 605
    assert len(folded) == 10
    assert [row.times for row in folded] == [1, 1, 120, 120, 120, 120, 120, 1, 1, 1]
    assert [row.opens for row in folded] == [0, 0, 5, 0, 0, 0, 0, 0, 0, 0]
    assert folded[2].title == "b_0…119_lif1"
    assert sum(row.parameters for row in folded) == sum(row.parameters for row in rows)
    assert set(places) == {node.name for node in network.nodes}
    # A shortcut's arc goes around the block it skips.
    drawn = graph.edges(network, rows, places, len(folded))
    assert drawn.count("<path") == 10  # nine straight on, one shortcut around its block
    assert drawn.count('class="skip"') == 1


def test_blocks_that_differ_do_not_fold():
    """Blocks of two widths in turn fold in pairs; of all different widths not at all."""
    pairs, _ = graph.fold(network := deep(12, (8, 6)), rows_of(network))
    assert max(row.times for row in pairs) == 6
    assert [row.opens for row in pairs if row.opens] == [10]
    network = deep(5, (4, 5, 6, 7, 8))
    alone, _ = graph.fold(network, rows_of(network))
    assert len(alone) == len(network.nodes)


def recurrent():
    """A layer that hears itself; what it says to itself is the first of the nodes."""
    lif = LIF("lif", 8, Format(14, 2), np.int64(14), 4, np.int64(12))
    dense = {n: Dense(n, np.ones((8, 8), int), Format(4)) for n in ("fc", "again", "head")}
    return Network(
        (Input("input", 8), dense["again"], dense["fc"], lif, dense["head"],
         Readout("readout", "sum_current", 8)),
        (Edge("input", "fc"), Edge("fc", "lif"), Edge("lif", "again", delay=1),
         Edge("again", "lif"), Edge("lif", "head"), Edge("head", "readout")),
        3,
    )  # fmt: skip


def test_a_recurrent_synapse_stands_behind_its_neuron():
    network = recurrent()
    rows = rows_of(network)
    assert [row.name for row in rows] == ["input", "fc", "lif", "again", "head", "readout"]
    folded, places = graph.fold(network, rows)
    drawn = graph.edges(network, rows, places, len(folded))
    assert drawn.count('class="delayed"') == 1
    assert drawn.count('class="back"') == 1


def samples(network, count=6):
    return np.random.default_rng(1).integers(0, 2, (network.max_steps, count, 8))


def test_the_schedule_of_own_engines(tmp_path):
    """Timesteps of a layer follow one another, and each begins when its currents are there."""
    network = deep(2)
    manifest = generate(network, tmp_path, Folding(Fold(4, 2)))
    inputs = samples(network)[:, :1]
    found = schedule(network, manifest, inputs, 3, "ecp5")
    rows = dict(found.rows)
    assert (found.sample, found.take_turns) == (3, False)
    assert list(rows) == ["stem", "b_0_up", "b_0_down", "b_1_up", "b_1_down", "head", "readout"]
    for spans in rows.values():
        assert [span.step for span in spans] == list(range(network.max_steps))
        assert all(a.end <= b.start for a, b in itertools.pairwise(spans))
    for first, second in (("stem", "b_0_up"), ("b_0_down", "b_1_up"), ("head", "readout")):
        for before, after in zip(rows[first], rows[second], strict=True):
            assert before.end <= after.start or before.start < after.start
            assert after.end >= before.end
    # The work of a layer depends on its events: those of no input are its ends of timesteps.
    idle = schedule(network, manifest, inputs * 0, 0, "ecp5")
    assert idle.cycles < found.cycles
    assert dict(found.block_rams).keys() <= {node.name for node in network.nodes}


def test_the_schedule_of_a_recurrent_layer(tmp_path):
    """What a layer says to itself waits for what it said in the timestep before."""
    network = recurrent()
    manifest = generate(network, tmp_path, Folding(Fold(1, 1)))
    rows = dict(schedule(network, manifest, samples(network)[:, :1], 0, "ecp5").rows)
    assert list(rows) == ["fc", "again", "head", "readout"]
    assert rows["again"][0].start == 0  # of zeros
    for t in range(1, network.max_steps):
        assert rows["again"][t].start >= rows["fc"][t - 1].end
        assert rows["again"][t].start >= rows["again"][t - 1].end
        assert rows["head"][t].start >= rows["again"][t].end


def test_the_schedule_of_one_engine(tmp_path):
    """Layers take turns without a gap, and all together take what the estimate says."""
    from reslif.hw.sequential.fit import SequentialFit
    from reslif.hw.sequential.program import Program
    from reslif.hw.sequential.words import ProgramWords

    network = deep(2)
    manifest = generate(network, tmp_path, Sequence(4))
    inputs = samples(network)[:, :1]
    found = schedule(network, manifest, inputs, 0, "ecp5")
    assert found.take_turns
    spans = [span for _, (span,) in found.rows]
    assert spans[0].start == 0
    assert all(a.end == b.start for a, b in itertools.pairwise(spans))
    words = ProgramWords(Program(network, Sequence(4)))
    estimate = SequentialFit(words, measured(network, inputs))
    assert found.cycles == pytest.approx(estimate.cycles_per_sample)
    assert sum(count for _, count in found.block_rams) == estimate.block_rams


def bits(text: str, count: int) -> np.ndarray:
    return np.unpackbits(np.frombuffer(base64.b64decode(text), np.uint8))[:count]


class Few:
    """A data set of random spikes, labelled by the network itself but for one sample."""

    name, image, format = "few", None, Format(1, signed=False)

    def __init__(self, network, count=90, classes=10):
        from reslif.sw.data import Samples
        from reslif.sw.evaluate import classify

        inputs = np.random.default_rng(2).integers(0, 2, (count, 8)).astype(np.uint8)
        labels = classify(network, Samples(inputs, np.zeros(count, np.int64)).over_time(4))
        labels[5] = (labels[5] + 1) % classes
        self.classes = classes
        self.test = Samples(inputs, labels)


def test_what_the_page_draws_is_what_the_golden_model_did():
    from reslif.sw import golden

    network = deep(2)
    data = Few(network)
    seen = see(network, data)
    assert seen.confusion.sum() == 90
    assert seen.confusion.trace() == 89
    wrong = [sample for sample in seen.samples if sample.label != sample.predicted]
    assert [sample.index for sample in wrong] == [5]
    assert {s.label for s in seen.samples} == set(np.unique(data.test.labels))
    drawn = script_data(seen)
    trace = golden.run(network, data.test.over_time(4), None)
    some = 0
    for layer in drawn["layers"]:
        spikes = trace[layer["name"], "spike"]
        for place, sample in enumerate(drawn["samples"]):
            own = spikes[:, sample["index"]].T
            found = bits(layer["spikes"][place], own.size).reshape(own.shape)
            assert np.array_equal(found, own)
            assert layer["counts"][place] == own.sum(axis=0).tolist()
            membrane = trace[layer["name"], "membrane"][:, sample["index"], layer["traced"]]
            assert layer["membranes"][place] == membrane.T.tolist()
            assert sample["scores"] == trace.scores[sample["index"]].tolist()
            some += int(own.sum())
        rates = spikes.mean(axis=(0, 1))
        assert sum(layer["rates"]) == layer["size"]
        assert layer["rate"] == round(float(rates.mean()), 4)
        assert layer["thresholds"] == [12] * len(layer["traced"])
    assert some > 100  # silence would agree with anything
    assert len(drawn["layers"]) == len(network.nodes_of(Neuron))


def test_a_threshold_that_adapts_is_drawn_as_it_was():
    """What fires is above the level of its timestep; the threshold alone would not tell."""
    of = np.full(8, 1)
    lif = Adaptive(
        "lif", 8, Format(14, 2), Format(10, 2, signed=False), 14 * of, 15 * of, 4, 12 * of, 40 * of
    )
    weight = np.random.default_rng(3).integers(0, 5, (8, 8))
    network = Network(
        (Input("input", 8), Dense("fc", weight, Format(4)), lif, Readout("readout", "count", 8)),
        (Edge("input", "fc"), Edge("fc", "lif"), Edge("lif", "readout")),
        4,
    )
    (layer,) = see(network, Few(network, classes=8)).layers
    assert layer.raised is not None
    assert layer.raised[..., 0].max() == 0
    assert layer.raised.max() >= 40
    assert graph.states(lif) == "membrane s14.2, adaptation u10.2"
    places = [int(np.flatnonzero(layer.picked == n)[0]) for n in layer.traced]
    fired = layer.spikes[:, places] != 0
    levels = layer.thresholds[:, None] + layer.raised
    assert np.array_equal(layer.membranes > levels, fired)
    assert not np.array_equal(layer.membranes > layer.thresholds[:, None], fired)
    assert fired.any()
    network.notes["membranes"] = {"lif": {"from": "calibration", "bound": None}}
    assert _format(network, lif)[1] == "twice what calibration saw"
    network.notes["membranes"] = {"lif": {"from": "calibration", "bound": 17}}
    assert _format(network, lif)[1] == "twice what calibration saw, of 17 bits that it can reach"


def pixels(address: str) -> np.ndarray:
    """The bytes of a PNG's rows, each without its filter byte."""
    raw = base64.b64decode(address.removeprefix("data:image/png;base64,"))
    width, height = (int.from_bytes(raw[n : n + 4], "big") for n in (16, 20))
    start = raw.index(b"IDAT") + 4
    size = int.from_bytes(raw[start - 8 : start - 4], "big")
    rows = np.frombuffer(zlib.decompress(raw[start : start + size]), np.uint8)
    return rows.reshape(height, -1)[:, 1:].reshape(height, width, -1)


def test_pictures_hold_their_pixels():
    grey = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20
    assert np.array_equal(pixels(png(grey))[..., 0], grey)
    planes = np.arange(12).reshape(1, 3, 4)
    assert np.array_equal(pixels(image(planes, 11))[..., 0], np.round(planes[0] * 255 / 11))
    colours = np.random.default_rng(0).integers(0, 256, (3, 5, 4))
    assert np.array_equal(pixels(image(colours, 255)), colours.transpose(1, 2, 0))
    on, off = pixels(image(np.array([[[1, 0]], [[0, 1]]]), 1))[0]
    assert on.tolist() != off.tolist()
    found = pixels(signed(np.array([[2.0, 0.0, -1.0]]), 2.0))[0]
    assert found[0].tolist() == [0, 114, 178, 255]
    assert found[1, 3] == 0
    assert found[2].tolist() == [213, 94, 0, 128]


def test_a_clip_has_a_picture_for_each_frame():
    from reslif.sw.data import Samples
    from reslif.sw.report.golden_facts import _frames

    class Clips:
        image = (1, 2, 3)
        test = Samples(np.arange(24).reshape(1, 24), np.zeros(1, np.int64), frames=4)

    frames = _frames(Clips(), Clips.test.inputs[0], 23)
    assert len(frames) == 4
    frame = np.arange(6, 12).reshape(1, 2, 3)
    assert to_flat(frame).tolist() == list(range(6, 12))
    assert np.array_equal(pixels(frames[1])[..., 0], np.round(frame[0] * 255 / 23))
    Clips.image = (1, 4, 6)  # rows of one image are one picture
    assert len(_frames(Clips(), Clips.test.inputs[0], 23)) == 1


def test_what_the_tools_left(tmp_path):
    assert placed(tmp_path) is None
    (tmp_path / "report.json").write_text(json.dumps(PLACED))
    found = placed(tmp_path)
    assert found.modules == ()
    (tmp_path / "netlist.json").write_text(json.dumps(NETLIST))
    found = placed(tmp_path)
    assert found.utilisation == (
        ("logic cells", 3278, 5280),
        ("block RAMs (4 kbit)", 22, 30),
        ("multipliers", 3, 8),
    )
    # A name that merely begins like a module's is not its.
    table = {m.name: (m.luts, m.ffs, m.brams, m.dsps) for m in found.modules}
    assert table == {
        "top.core.stem": (1, 1, 1, 0), "top.core": (1, 0, 0, 0), "board": (1, 0, 0, 0)
    }  # fmt: skip
    path = critical_path(found.path)
    assert path["ns"] == pytest.approx(10.0)
    assert (path["levels"], path["logic"], path["wires"]) == (1, 1.25, 7.0)
    assert path["longest"].ns == 4.0
    assert (path["start"], path["end"]) == ("top.core.stem.sums", "top_core_stem_total")
    assert critical_path(()) is None
    assert scope_of("a_b_c", {"a": "A", "a_b": "A.b"}) == "A.b"


def test_numbers_in_words():
    assert [formatted(v, "part") for v in (1.0, 0.998, 0.0996, 0.0954, 0.0054, 0.0)] == [
        "100 %", "100 %", "10 %", "9.5 %", "0.54 %", "0 %"
    ]  # fmt: skip
    made = "top_core_fc1_sums_TRELLIS_FF_Q_12_DI_LUT4_Z_A_CCU2C_S1$CCU2_COMB1"
    assert formatted(made, "cell") == "top_core_fc1_sums"
    assert formatted("top.core.fc1-buffer.queue.0.0", "cell") == "top.core.fc1-buffer.queue.0.0"
    assert formatted("$abc$1", "cell") == "$abc$1"


def test_the_label_of_a_mark_stands_where_no_line_is():
    """Above lines that run low, below those that run high."""
    for y, above in ((0.1, True), (0.95, False)):
        points = [(float(n), y) for n in range(20)]
        drawn = line_chart([Series("", points, "red")], "", "x", (0, 1), mark=(9, "kept"))
        (place,) = re.findall(r'y="([0-9.]+)"[^>]*>kept<', drawn)
        assert (float(place) < 100) == above


def test_areas_are_those_of_layers():
    """What is inside a layer counts to it, what is small is added up, and nothing is lost."""
    parts = [Module(f"top.core.l{n}.part.{k}", 10 + n, 1, 2, k) for n in range(30) for k in (0, 1)]
    rows = modules_of(Placed((), (), (*parts, Module("top.core", 5, 0, 0, 0))))
    assert [row.name for row in rows[:2]] == ["top.core.l29", "top.core.l28"]
    assert (rows[0].luts, rows[0].ffs, rows[0].brams, rows[0].dsps) == (78, 2, 4, 1)
    assert rows[-1].name == "7 others"
    assert len(rows) == 25
    assert sum(row.luts for row in rows) == sum(part.luts for part in parts) + 5


def test_charts():
    assert ticks(0, 10) == [0, 2.5, 5, 7.5, 10]
    assert ticks(1, 12, 6, whole=True) == [2, 4, 6, 8, 10, 12]
    assert ticks(3, 3) == [3]
    for low in (0.0, 0.5, 0.8, 0.9):  # both ends of an axis of shares have their numbers
        found = ticks(low, 1.0, 5)
        assert (found[0], found[-1]) == (pytest.approx(low), pytest.approx(1.0))
    drawn = line_chart([Series("<a>", [(1, 0.5), (2, 1.0)], "red", css="run-1")], "a <b>", "x")
    assert "a &lt;b&gt;" in drawn
    assert '<g class="run-1">' in drawn
    assert "nan" not in line_chart([Series("", [(1, 0.0)], "red")], "one point", "x")
    many = {f"b_{n}_lif{k}": float(k) for n in range(40) for k in (1, 2)} | {"end": 3.0}
    assert [(one.label, len(one.points)) for one in over_depth(many)] == [
        ("b_n_lif1", 40), ("b_n_lif2", 40)
    ]  # fmt: skip
    assert len(over_depth(dict(list(many.items())[:9]))) == 1
    rows = [(f"layer{n}", [(n, n + 1, 0)]) for n in range(100)]
    assert staircase(rows, 100, "turns").count("<title>") == 100
