"""Additions to any words, one a cycle: the hazards of reading, adding and writing in three."""

from itertools import product

import numpy as np
import pytest
from amaranth.hdl import signed
from amaranth.sim import Simulator
from reslif.hw.conv_bank import ConvBank

LANES = 2


def simulate(bank, words, addends):
    """What the bank shows of its words, started at 10, 20…, after ``addends`` [n, lanes] have gone
    to ``words`` (-1: a pause).
    """
    shown = []

    async def drive(ctx):
        start = (np.arange(bank.depth) + 1) * 10
        for word, value in enumerate(start.tolist()):
            ctx.set(bank.load, 1)
            ctx.set(bank.loaded_word, word)
            ctx.set(bank.start, [value] * LANES)
            await ctx.tick()
        ctx.set(bank.load, 0)
        # Addends come two cycles after their words.
        rows = [[0] * LANES] * 2 + addends.tolist()
        for word, row in zip([*words, -1, -1], rows, strict=True):
            ctx.set(bank.enable, word >= 0)
            ctx.set(bank.word, max(word, 0))
            ctx.set(bank.addends, row)
            await ctx.tick()
        ctx.set(bank.enable, 0)
        ctx.set(bank.show, 1)
        ctx.set(bank.move, 1)
        for word in range(bank.depth + 2):
            ctx.set(bank.pick, 1)
            ctx.set(bank.shown_word, word % bank.depth)
            if word >= 2:
                shown.append([int(value) for value in ctx.get(bank.shown)])
            await ctx.tick()

    simulator = Simulator(bank)
    simulator.add_clock(1e-6)
    simulator.add_testbench(drive)
    simulator.run()
    return np.array(shown)


def expected(depth, words, addends, shift):
    sums = np.repeat((np.arange(depth) + 1) * 10, LANES).reshape(depth, LANES)
    for word, row in zip(words, addends, strict=True):
        if word >= 0:
            sums[word] += row << shift
    return sums


def bank_of(depth, shift=0, block=True):
    return ConvBank(depth, LANES, signed(4), shift, signed(16), block=block)


def trial(words, depth=4, shift=0):
    addends = np.random.default_rng(len(words)).integers(-8, 8, (len(words), LANES))
    return simulate(bank_of(depth, shift), words, addends), expected(depth, words, addends, shift)


# Every order of two words and pauses, six cycles long, one after the other.
ALL = [word for order in product((-1, 0, 1), repeat=6) for word in order]


@pytest.mark.parametrize("shift", [0, 2])
def test_every_order_of_additions(shift):
    got, want = trial(ALL, shift=shift)
    np.testing.assert_array_equal(got, want)


def test_random_words():
    rng = np.random.default_rng(0)
    got, want = trial(rng.integers(-1, 5, 500).tolist(), depth=5)
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize(
    ("forward", "distances"), [((), (1, 2)), ((2,), (1,)), ((1,), (2,)), ((1, 2), ())], ids=repr
)
def test_forwarding_is_needed_at_each_distance_alone(forward, distances, monkeypatch):
    monkeypatch.setattr(ConvBank, "FORWARD", forward)
    for distance in (1, 2, 3, 4):
        words = ([0] + [2] * (distance - 1)) * 2 if distance > 1 else [0, 0]
        got, want = trial(words)
        assert (got[0] != want[0]).any() == (distance in distances), distance


def test_a_word_that_is_not_picked_shows_nothing():
    """So that banks can be joined by or."""
    bank, shown = bank_of(2), []

    async def drive(ctx):
        ctx.set(bank.load, 1)
        ctx.set(bank.start, [3, 4])
        await ctx.tick()
        ctx.set(bank.load, 0)
        ctx.set(bank.show, 1)
        ctx.set(bank.move, 1)
        for pick in (1, 0, 1, 1, 0, 0):
            ctx.set(bank.pick, pick)
            shown.append(tuple(int(value) for value in ctx.get(bank.shown)))
            await ctx.tick()

    simulator = Simulator(bank)
    simulator.add_clock(1e-6)
    simulator.add_testbench(drive)
    simulator.run()
    assert shown[2:] == [(3, 4), (0, 0), (3, 4), (3, 4)]
