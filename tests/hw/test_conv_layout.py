from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from conv_sim import layout_of, random_case, random_layout
from reslif.hw.conv_layout import conv_rows, taps_choices
from reslif.hw.conv_tables import Axis

AXES = [
    Axis(size, kernel, stride, padding)
    for size in (1, 2, 5, 8)
    for kernel in (1, 2, 3, 5)
    for stride in (1, 2, 3, 4)
    for padding in range(kernel)
    if size + 2 * padding >= kernel
]


def test_hits_are_those_of_the_definition():
    assert len(AXES) > 100
    for axis in AXES:
        found = {
            (position, tap, output)
            for position, hits in enumerate(axis.hits)
            for tap, output in hits
        }
        expected = {
            (output * axis.stride + tap - axis.padding, tap, output)
            for output in range(axis.out)
            for tap in range(axis.kernel)
        }
        assert found == {hit for hit in expected if 0 <= hit[0] < axis.size}


def test_taps_of_a_position_lie_a_stride_apart_and_its_outputs_follow_each_other():
    """On which the hardware relies, which looks up the first and counts the rest."""
    for axis in AXES:
        for hits in axis.hits:
            assert len(hits) <= axis.most
            for (tap, output), (next_tap, next_output) in pairwise(hits):
                assert (next_tap, next_output) == (tap + axis.stride, output - 1)


def test_rows_hold_the_weights_that_the_hardware_reads():
    for seed in range(60):
        layout = random_layout(seed)
        weight = random_case(layout, seed, 1, 1).weight
        rows = conv_rows(weight, layout)
        assert rows.shape == (layout.rows, layout.row_taps * layout.lanes)
        outputs, inputs, height, width = weight.shape
        each, serial = outputs // layout.groups, height * width // layout.row_taps
        for c, part, word, tap, lane in np.ndindex(
            layout.shape[0], serial, layout.words, layout.row_taps, layout.lanes
        ):
            output = c // inputs * each + word * layout.lanes + lane
            ky, kx = divmod(part * layout.row_taps + tap, width)
            found = rows[(c * serial + part) * layout.words + word, tap * layout.lanes + lane]
            assert found == weight[output, c % inputs, ky, kx]


def test_cycles_of_an_event_keep_the_promised_bound():
    for seed in range(100):
        layout = random_layout(seed)
        kernel, stride = layout.kernel, layout.stride
        most = -(-kernel[0] * kernel[1] // layout.taps) * layout.words
        assert layout.pixel_cycles.max() <= layout.most_event_cycles <= most
        assert layout.pixel_cycles.min() >= 1
        events = list(range(layout.inputs))
        bound = layout.cycles_per_step(len(events))
        assert layout.cycles_per_step(events) <= bound
        assert bound <= len(events) * most + layout.beats + 7
        # One bank for each output that a position can hit.
        per_axis = [-(-k // s) for k, s in zip(kernel, stride, strict=True)]
        assert layout.banks == {
            1: 1, kernel[1]: per_axis[1], kernel[0] * kernel[1]: per_axis[0] * per_axis[1]
        }[layout.taps]  # fmt: skip


def test_taps_that_fall_outside_cost_nothing():
    layout = layout_of((2, 4, 4), 4, 3, padding=1, lanes=2)
    assert layout.pixel_cycles.tolist() == [
        [8, 12, 12, 8], [12, 18, 18, 12], [12, 18, 18, 12], [8, 12, 12, 8]
    ]  # fmt: skip
    assert layout.event_cycles([0, 1, 2, 31]).tolist() == [8, 8, 12, 8]
    rows = replace(layout, taps=3)
    assert rows.pixel_cycles[:, 0].tolist() == [4, 6, 6, 4]
    assert (replace(layout, taps=9).pixel_cycles == 2).all()
    assert layout_of((1, 3, 3), 4, 1, stride=2, lanes=4).pixel_cycles.max() == 1


def test_choices_of_taps():
    assert taps_choices((3, 3)) == (1, 3, 9)
    assert taps_choices((3, 1)) == (1, 3)
    assert taps_choices((1, 1)) == (1,)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lanes": 3}, "lanes is 3, must divide the 4 output channels of a group"),
        ({"lanes": 4, "out_lanes": 3}, "out_lanes is 3, must divide the 4 lanes"),
        ({"taps": 2}, "taps is 2, must be one of 1, 3, 9 for a kernel of 3x3"),
        ({"groups": 3}, "groups is 3, must divide the 4 input channels"),
        ({"bias": (1, 2)}, "bias has 2 values, must have 4: one a channel"),
        ({"align": (-1, 0)}, r"align is \(-1, 0\), must be two left shifts"),
        ({"kernel": (7, 3)}, "kernel 7 is larger than the 5 positions and padding 0: no output"),
        ({"stride": (0, 1)}, "stride 0, padding 0: must be 1 or more"),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value),
)
def test_what_cannot_be_built_is_refused(options, message):
    layout = layout_of((4, 5, 5), 4, 3)
    with pytest.raises(ValueError, match=message):
        replace(layout, **options)


def test_weights_of_another_shape_are_refused():
    layout = layout_of((4, 5, 5), 4, 3, groups=2)
    with pytest.raises(ValueError, match=r"shape \[4, 4, 3, 3\], must be \[4, 2, 3, 3\]"):
        conv_rows(np.zeros((4, 4, 3, 3), int), layout)
