import numpy as np
import pytest
from amaranth.hdl import unsigned
from reslif.hw.joins import Join, JoinKind, JoinLayout
from reslif.hw.streams import shape_of
from reslif.sw.formats import Format
from reslif.sw.golden import join_step
from reslif.sw.network import Join as JoinNode
from streams_sim import beats_of, run, values_of

CASES = [
    ("add", Format(6, 3), Format(5, 1), Format(8, 3), True),
    ("add", Format(6, 3), Format(5, 1), Format(5, 2), False),
    ("add", Format(1, 0, False), Format(1, 0, False), Format(2, 0, False), True),
    ("and", Format(1, 0, False), Format(3, 0, False), Format(3, 0, False), True),
    ("and", Format(4, 1), Format(3, 2), Format(7, 3), True),
    ("iand", Format(2, 0, False), Format(5, 2), Format(5, 2), True),
    ("or", Format(1, 0, False), Format(1, 0, False), Format(1, 0, False), True),
    ("or", Format(2, 0, False), Format(3, 0, False), Format(1, 0, False), True),
]


@pytest.mark.parametrize(("op", "branch", "shortcut", "result", "exact"), CASES)
@pytest.mark.parametrize("stall", [0.0, 0.4])
def test_equals_golden(op, branch, shortcut, result, exact, stall):
    rng = np.random.default_rng(3)
    s = rng.integers(branch.min, branch.max + 1, (5, 2, 7))
    x = rng.integers(shortcut.min, shortcut.max + 1, (5, 2, 7))
    node = JoinNode("join", op, 7, result)
    add = op == "add"
    frac = {
        "add": max(branch.frac, shortcut.frac),
        "and": branch.frac + shortcut.frac,
        "iand": shortcut.frac,
        "or": 0,
    }[op]
    dut = Join(
        JoinLayout(
            lanes=3,
            branch=shape_of(branch),
            shortcut=shape_of(shortcut),
            align_branch=frac - branch.frac if add else 0,
            align_shortcut=frac - shortcut.frac if add else 0,
            drop=frac - result.frac,
            result=result,
            exact=exact,
        )
    )
    got = run(
        dut,
        {"branch": beats_of(s, 3), "shortcut": beats_of(x, 3)},
        "output",
        30,
        settings={"kind": JoinKind[op.upper()].value},
        idle=stall,
        stall=stall,
    )
    want, _ = join_step(node, s, branch.frac, x, shortcut.frac)
    np.testing.assert_array_equal(values_of(got, s.shape, 3), want)
    # The operands differ in each step: a join of neighbouring steps would not pass.
    shifted, _ = join_step(node, s, branch.frac, np.roll(x, 1, axis=0), shortcut.frac)
    assert (shifted != want).any()


def test_latency():
    dut = Join(
        JoinLayout(
            lanes=2,
            branch=unsigned(1),
            shortcut=unsigned(1),
            align_branch=0,
            align_shortcut=0,
            drop=0,
            result=Format(2, 0, False),
            exact=True,
        )
    )
    beats = beats_of(np.ones((4, 1, 4), int), 2)
    got = run(dut, {"branch": beats, "shortcut": beats}, "output", 8)
    assert [cycle for cycle, _ in got] == list(range(dut.latency, dut.latency + 8))


@pytest.mark.parametrize("timed", ["branch", "shortcut"])
def test_the_timed_operand_says_when_a_sample_ends(timed):
    """The other comes from a delay, which never says so."""
    spike = Format(1, 0, False)
    layout = JoinLayout(
        lanes=2,
        branch=shape_of(spike),
        shortcut=shape_of(spike),
        align_branch=0,
        align_shortcut=0,
        drop=0,
        result=Format(2, 0, False),
        exact=True,
        timed=timed,
    )
    beats = beats_of(np.ones((3, 2, 4), int), 2)
    silent = [beat | {"end_of_sample": 0} for beat in beats]
    operands = {"branch": silent, "shortcut": silent, timed: beats}
    got = run(Join(layout), operands, "output", len(beats))
    for _, beat in got:
        assert [int(v) for v in beat.values] == [2, 2]
    assert [int(b.end_of_sample) for _, b in got] == [b["end_of_sample"] for b in beats]
    assert sum(b["end_of_sample"] for b in beats) == 2
