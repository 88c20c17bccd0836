"""The host against the simulated board: board.v around the same top.v that a bitstream holds."""

from __future__ import annotations

import numpy as np
import pytest
from reslif.bitstreams.board import serial_divisor
from reslif.bitstreams.devices import ECP5_85K, UP5K
from reslif.bitstreams.errors import BuildError
from reslif.bitstreams.host import open_line, restart, run_samples
from reslif.sim.encoding import encode
from reslif.sw.golden import run
from reslif.sw.network import Network

CLASSES = 4


@pytest.fixture(scope="module")
def samples(network: Network) -> np.ndarray:
    return np.random.default_rng(2).integers(0, 2, (5, 6, network.input.size))


@pytest.fixture(scope="module")
def golden(network: Network, samples: np.ndarray) -> np.ndarray:
    return run(network, samples).scores


def test_board_answers_with_the_golden_scores(network, samples, golden, line) -> None:
    done: list[tuple[int, int]] = []
    result = run_samples(
        line, encode(network, samples), CLASSES, golden, lambda *counts: done.append(counts)
    )
    assert (result.mismatches, result.first) == (0, None)
    assert np.array_equal(result.scores, golden)
    assert np.array_equal(result.predicted, golden.argmax(1))
    assert golden.any()
    assert done == [(i, 6) for i in range(1, 7)]


def test_a_wrong_score_is_found_and_named(network, samples, golden, line) -> None:
    wrong = golden.copy()
    wrong[3, 2] += 1
    wrong[5, 0] -= 1
    result = run_samples(line, encode(network, samples), CLASSES, wrong)
    assert result.mismatches == 2
    assert result.first == (
        f"sample 3, class 2: expected score {wrong[3, 2]}, found {golden[3, 2]}"
    )


@pytest.mark.parametrize("stray", [b"\x11", b"\x00\x00\x00\x80\x01\x00", b"\xff" * 401])
def test_a_run_starts_afresh_whatever_was_sent_before(
    network, samples, golden, line, stray
) -> None:
    line.write(stray)
    for _ in range(2):
        assert run_samples(line, encode(network, samples), CLASSES, golden).mismatches == 0


def test_a_break_amid_a_sample_and_amid_an_answer(network, samples, golden, line) -> None:
    words = encode(network, samples)
    line.write(words[0].astype("<u4").tobytes()[:-3])
    assert run_samples(line, words, CLASSES, golden).mismatches == 0
    line.write(words[1].astype("<u4").tobytes())
    line.read(1)
    restart(line)
    assert run_samples(line, words, CLASSES, golden).mismatches == 0


def test_a_line_at_the_wrong_rate_is_silent(network, samples, simulated_board, board_line) -> None:
    with (
        board_line(simulated_board, divisor=50, timeout=0.5) as wrong,
        pytest.raises(BuildError, match=r"board sent 0 of 20 bytes for sample 0 within 0\.5 s"),
    ):
        run_samples(wrong, encode(network, samples), CLASSES)


def test_an_answer_whose_class_is_not_its_highest_score_is_refused() -> None:
    with open_line("loop://", ECP5_85K, timeout=0.5) as echo:
        scores = np.array([1, 2, 3, 0, 2], np.uint32)
        assert run_samples(echo, [scores], CLASSES).scores.tolist() == [[1, 2, 3, 0]]
        scores[4] = 1
        with pytest.raises(BuildError, match=r"named class 1 for sample 0, but its highest.* 2:"):
            run_samples(echo, [scores], CLASSES)


def test_expected_scores_of_a_wrong_shape_are_refused() -> None:
    with (
        open_line("loop://", ECP5_85K) as echo,
        pytest.raises(BuildError, match=r"shape \[1, 3\], must have \[1, 4\]"),
    ):
        run_samples(echo, [np.zeros(5, np.uint32)], CLASSES, np.zeros((1, 3)))


def test_a_port_that_does_not_exist() -> None:
    for port in ("/dev/no-such-port", "nonsense://x"):
        with pytest.raises(BuildError, match=f"serial port '{port}' cannot be opened: "):
            open_line(port, ECP5_85K)


@pytest.mark.slow
def test_the_other_board_answers_too(
    network, samples, golden, tmp_path, board_line, verilate
) -> None:
    divisor = serial_divisor(UP5K, UP5K.clock_mhz)
    with board_line(verilate(UP5K, tmp_path), divisor=divisor, timeout=30) as other:
        assert run_samples(other, encode(network, samples), CLASSES, golden).mismatches == 0
