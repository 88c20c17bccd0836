"""A board whose weights the host sends, over the same serial line as the samples."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from reslif.bitstreams.board import serial_divisor
from reslif.bitstreams.devices import ECP5_85K
from reslif.bitstreams.errors import BuildError
from reslif.bitstreams.flow import build
from reslif.bitstreams.host import run_samples
from reslif.hw.sequential.program import Sequence
from reslif.sim.design import Design
from reslif.sim.encoding import encode
from reslif.sw.golden import run

CLASSES = 4


@pytest.fixture(scope="module")
def board(verilate, tmp_path_factory) -> tuple[Path, Design]:
    folder = tmp_path_factory.mktemp("loaded")
    return verilate(ECP5_85K, folder, Sequence(2, "loaded")), Design.read(folder)


def test_weights_then_samples(network, board, board_line):
    program, design = board
    samples = np.random.default_rng(2).integers(0, 2, (5, 6, network.input.size))
    words, golden = encode(network, samples), run(network, samples).scores
    assert golden.any()
    divisor = serial_divisor(ECP5_85K, ECP5_85K.clock_mhz)
    with board_line(program, divisor) as line:
        for _ in range(2):  # a break forgets the weights, too
            result = run_samples(line, words, CLASSES, golden, weights=design.loaded)
            assert result.mismatches == 0
        wrong = design.loaded ^ 1
        assert run_samples(line, words, CLASSES, golden, weights=wrong).mismatches
    with board_line(program, divisor, 0.5) as line:
        # The first words of a host that forgets the weights are taken for them.
        line.write(words[0][: len(design.loaded)].astype("<u4").tobytes())
        assert line.read(1) == b""


@pytest.mark.parametrize(
    ("weights", "message"),
    [("stream", "are streamed, ULX3S-85F offers no memory"), ("loaded", "ecp5-85k has none")],
)
def test_weights_that_a_board_has_no_place_for_are_refused(tmp_path, weights, message):
    (tmp_path / "manifest.json").write_text(json.dumps({"weights": {"source": weights}}))
    with pytest.raises(BuildError, match=message):
        build(tmp_path, ECP5_85K)
