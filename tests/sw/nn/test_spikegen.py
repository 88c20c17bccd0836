"""The spike codes: snnTorch's numbers where they are determined, and the ways back."""

import math

import pytest
import snntorch.spikegen as theirs
import torch
from reslif.sw.nn import LayerError
from reslif.sw.nn import spikegen as ours
from torch import Tensor

VALUES = torch.rand(6, 40, generator=torch.Generator().manual_seed(0))
VALUES[0, :4] = torch.tensor([0.0, 1.0, 0.01, 0.005])


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def both(name: str, *args, **options) -> tuple[Tensor, Tensor]:
    """(ours, theirs) with the global generator in one state."""
    results = []
    for package in (ours, theirs):
        torch.manual_seed(5)
        results.append(getattr(package, name)(*args, **options))
    return results[0], results[1]


# Rate


@pytest.mark.parametrize(
    "options",
    [
        {"num_steps": 30},
        {"num_steps": 30, "gain": 0.5, "offset": 0.2},
        {"num_steps": 30, "first_spike_time": 7},
        {"time_var_input": True},
        {"time_var_input": True, "first_spike_time": 3},
    ],
    ids=str,
)
def test_rate_draws_what_snntorch_draws(options) -> None:
    mine, reference = both("rate", VALUES, **options)
    assert 0.2 < mine.mean() < 0.8
    assert torch.equal(mine, reference)


def test_rates_are_the_values() -> None:
    values = torch.tensor([0.0, 0.1, 0.5, 0.9, 1.0])
    spikes = ours.rate(values, num_steps=10_000, generator=seeded(1))
    assert spikes.shape == (10_000, 5)
    assert set(spikes.unique().tolist()) == {0.0, 1.0}
    torch.testing.assert_close(ours.decode_rate(spikes), values, atol=0.02, rtol=0)
    torch.testing.assert_close(
        ours.decode_rate(ours.rate(values, 10_000, 0.5, 0.25, generator=seeded(1)), 0.5, 0.25),
        values,
        atol=0.04,
        rtol=0,
    )


def test_values_outside_the_unit_interval_are_certain() -> None:
    spikes = ours.rate(torch.tensor([-3.0, 1.5]), num_steps=50)
    assert spikes[:, 0].sum() == 0
    assert spikes[:, 1].sum() == 50


def test_rate_is_reproducible_by_its_generator_and_keeps_the_dtype() -> None:
    one, again, other = (ours.rate(VALUES.double(), 20, generator=seeded(s)) for s in (1, 1, 2))
    assert one.dtype == torch.float64
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    assert ours.rate(torch.tensor([0, 1]), 3).dtype == torch.float32


def test_time_varying_data_is_scaled_too() -> None:
    """snnTorch ignores gain and offset there."""
    data = torch.full((5, 3), 0.5)
    assert ours.rate(data, time_var_input=True, gain=4).sum() == 15
    assert ours.rate(data, time_var_input=True, offset=-0.5).sum() == 0


# Latency


@pytest.mark.parametrize("linear", [False, True], ids=["log", "linear"])
@pytest.mark.parametrize(
    "options",
    [
        {"num_steps": 40, "tau": 3},
        {"num_steps": 40, "tau": 3, "clip": True},
        {"num_steps": 20, "normalize": True},
        {"num_steps": 20, "normalize": True, "first_spike_time": 3},
        {"num_steps": 5, "tau": 4, "bypass": True},
        {"tau": 3.3, "bypass": True},
        {"num_steps": 40, "tau": 5, "threshold": 0.2, "first_spike_time": 2, "bypass": True},
        {"num_steps": 20, "normalize": True, "on_target": 1.5, "off_target": 0.25},
        {"num_steps": 20, "normalize": True, "interpolate": True},
        {"num_steps": 9, "tau": 4, "bypass": True, "interpolate": True, "on_target": 2},
    ],
    ids=str,
)
def test_latency_equals_snntorch(options, linear: bool) -> None:
    mine, reference = both("latency", VALUES, linear=linear, **options)
    assert len(set(mine.argmax(0).flatten().tolist())) > 2
    torch.testing.assert_close(mine, reference)
    if "interpolate" not in options:
        assert torch.equal(mine, reference)


@pytest.mark.parametrize("linear", [False, True], ids=["log", "linear"])
@pytest.mark.parametrize("normalize", [False, True])
def test_latency_times_equal_snntorch(linear: bool, normalize: bool) -> None:
    options = {"num_steps": 12, "tau": 2.5, "first_spike_time": 2, "threshold": 0.05}
    args = {**options, "linear": linear, "normalize": normalize}
    (times, below), (their_times, their_below) = both("latency_code", VALUES, **args)
    torch.testing.assert_close(times, their_times)
    assert torch.equal(below, their_below)
    assert 0 < below.sum() < below.numel()


def test_the_documented_example() -> None:
    spikes = ours.latency(torch.tensor([0.02, 0.5, 1]), num_steps=5, normalize=True, linear=True)
    assert spikes.tolist() == [[0, 0, 1], [0, 0, 0], [0, 1, 0], [0, 0, 0], [1, 0, 0]]


def test_times_round_half_to_even() -> None:
    """τ·(1 − x) is 0.5, 1.5, 2.5, 3.5: a half-up rounding would give 1, 2, 3, 4."""
    data = 1 - torch.tensor([0.5, 1.5, 2.5, 3.5]) / 8
    for package in (ours, theirs):
        spikes = package.latency(data, num_steps=9, tau=8, linear=True)
        assert spikes.argmax(0).tolist() == [0, 2, 2, 4]


def test_off_target_may_be_negative() -> None:
    """snnTorch returns 0 there."""
    spikes = ours.latency(torch.tensor([1.0]), 3, linear=True, on_target=1, off_target=-1)
    assert spikes[:, 0].tolist() == [1, -1, -1]
    reference = theirs.latency(torch.tensor([1.0]), 3, linear=True, on_target=1, off_target=-1)
    assert reference[:, 0].tolist() == [1, 0, 0]


def test_clip_silences_small_values_of_interpolated_codes_too() -> None:
    data = torch.tensor([0.001, 0.5])
    course = ours.latency(data, 10, normalize=True, linear=True, clip=True, interpolate=True)
    assert course[:, 0].sum() == 0
    assert course[:, 1].max() == 1


@pytest.mark.parametrize("linear", [False, True], ids=["log", "linear"])
def test_latency_comes_back_within_half_a_step(linear: bool) -> None:
    values = torch.linspace(0.02, 1, 50, dtype=torch.float64)
    options = {"threshold": 0.01, "tau": 40.0, "linear": linear, "first_spike_time": 1}
    spikes = ours.latency(values, 60, **options)
    assert spikes.dtype == torch.float64
    decoded = ours.decode_latency(spikes, **options)
    times, _ = ours.latency_code(values, 60, **options)
    back, _ = ours.latency_code(decoded, 60, **options)
    assert (back - times).abs().max() <= 0.5 + 1e-9
    wrong = ours.decode_latency(spikes, **{**options, "tau": 20.0})
    assert (wrong - values).abs().max() > 0.1


@pytest.mark.parametrize("linear", [False, True], ids=["log", "linear"])
def test_normalised_latency_comes_back(linear: bool) -> None:
    values = torch.cat((torch.zeros(1), torch.linspace(0.02, 0.2, 20))).double()
    options = {"linear": linear, "normalize": True, "first_spike_time": 5}
    spikes = ours.latency(values, 5000, **options)
    decoded = ours.decode_latency(spikes, **options)
    assert abs(decoded[0]) <= 0.0101
    torch.testing.assert_close(decoded[1:], values[1:], rtol=0.02, atol=0)


def test_silence_decodes_to_zero_and_an_early_spike_to_one() -> None:
    spikes = torch.zeros(6, 3)
    spikes[0, 1] = spikes[5, 2] = 1
    for linear in (False, True):
        decoded = ours.decode_latency(spikes, tau=10, linear=linear, first_spike_time=2)
        assert decoded[:2].tolist() == [0, 1]
        assert 0 < decoded[2] < 1


# Delta


@pytest.mark.parametrize("padding", [False, True])
@pytest.mark.parametrize("off_spike", [False, True])
def test_delta_equals_snntorch(padding: bool, off_spike: bool) -> None:
    data = (torch.randn(30, 5, generator=seeded(3)) * 8).round() / 8
    options = {"threshold": 0.5, "padding": padding, "off_spike": off_spike}
    mine, reference = both("delta", data, **options)
    assert mine.abs().sum() > 20
    assert torch.equal(mine, reference)
    # A change of exactly the threshold counts: `>` would differ.
    assert bool(((data[1:] - data[:-1]) == 0.5).any())


def test_delta_comes_back_by_summing() -> None:
    steps = torch.randint(-1, 2, (40, 6), generator=seeded(4)).double()
    data = steps.cumsum(0) * 0.25
    spikes = ours.delta(data, threshold=0.25, off_spike=True)
    assert torch.equal(ours.decode_delta(spikes, 0.25), data)
    shifted = ours.delta(data + 3, threshold=0.25, off_spike=True, padding=True)
    assert torch.equal(ours.decode_delta(shifted, 0.25, data[0] + 3), data + 3)
    assert not torch.equal(ours.decode_delta(spikes, 0.5), data)


# Targets

LABELS = torch.tensor([0, 3, 4, 3])


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("to_one_hot", {}),
        ("targets_rate", {}),
        ("targets_rate", {"on_target": 1.2, "off_target": 0.5}),
        ("targets_rate", {"on_target": 5, "off_target": 100}),
        ("targets_rate", {"num_steps": 6, "first_spike_time": 2, "on_target": 1.2}),
        (
            "targets_rate",
            {"num_steps": 5, "correct_rate": 0.25, "interpolate": True, "on_target": 1.2},
        ),
        (
            "targets_rate",
            {"num_steps": 5, "correct_rate": 0.5, "incorrect_rate": 0.2, "interpolate": True},
        ),
        ("targets_convert", {"code": "rate"}),
        ("targets_convert", {"code": "latency", "num_steps": 8, "normalize": True}),
        ("targets_latency", {"num_steps": 8, "normalize": True, "linear": True}),
        ("targets_latency", {"num_steps": 8, "normalize": True, "clip": True}),
        ("targets_latency", {"num_steps": 8, "normalize": True, "interpolate": True}),
    ],
    ids=str,
)
def test_targets_equal_snntorch(name: str, options) -> None:
    mine, reference = both(name, LABELS, 5, **options)
    assert mine.shape == reference.shape
    torch.testing.assert_close(mine, reference)
    assert mine.unique().numel() > 1


def test_rates_of_right_and_wrong_classes() -> None:
    """As snnTorch documents them; its own has five dimensions, and needs T = C."""
    options = {"correct_rate": 0.5, "incorrect_rate": 0.2, "off_target": -1}
    spikes = ours.targets_rate(torch.tensor([4]), 5, num_steps=10, **options)
    assert spikes.shape == (10, 1, 5)
    assert spikes[:, 0, 4].tolist() == [1, -1] * 5
    assert spikes[:, 0, 0].tolist() == [1, -1, -1, -1, -1] * 2


@pytest.mark.parametrize("pattern", ["regular", "uniform", "poisson"])
@pytest.mark.parametrize("rate", [0, 0.3, 1])
def test_patterns_are_those_of_snntorch(pattern: str, rate: float) -> None:
    args = {"num_steps": 40, "first_spike_time": 5, "rate": rate, "firing_pattern": pattern}
    (spikes, times), (their_spikes, their_times) = both("target_rate_code", **args)
    assert torch.equal(spikes, their_spikes)
    assert times.tolist() == their_times.tolist()
    assert spikes[:5].sum() == 0
    assert (spikes.sum() > 5) == (rate > 0)


def test_patterns_are_reproducible_by_a_generator() -> None:
    def draw(seed: int) -> Tensor:
        return ours.targets_rate(
            LABELS, 5, 30, correct_rate=0.5, firing_pattern="poisson", generator=seeded(seed)
        )

    assert torch.equal(draw(1), draw(1))
    assert not torch.equal(draw(1), draw(2))


@pytest.mark.parametrize("times", [[0, 4], [2, 3, 8], [], [9]], ids=str)
def test_rises_between_spikes_equal_snntorch(times) -> None:
    times = torch.tensor(times, dtype=torch.long)
    torch.testing.assert_close(*both("rate_interpolate", times, 10, 1.25, 0.25))


def test_one_hot_and_back() -> None:
    one_hot = ours.to_one_hot(LABELS, 5)
    assert ours.from_one_hot(one_hot).tolist() == LABELS.tolist()
    assert torch.equal(ours.to_one_hot_inverse(one_hot), 1 - one_hot)
    # snnTorch's returns the numbers of the rows.
    assert theirs.from_one_hot(one_hot).tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ours.rate(VALUES), "rate: num_steps is 0; static data needs 1 or more"),
        (lambda: ours.rate(VALUES, 5, first_spike_time=5), "it must be below num_steps, 5"),
        (lambda: ours.rate(VALUES, 5, first_spike_time=-1), "it must be 0 or more"),
        (lambda: ours.rate(VALUES, 5, time_var_input=True), "brings its own number of steps"),
        (lambda: ours.latency(VALUES + 1, 5), "it must lie in \\[0, 1\\]"),
        (lambda: ours.latency(VALUES * math.nan, 5), "it must lie in \\[0, 1\\]"),
        (lambda: ours.latency(VALUES), "latency: num_steps is 0"),
        (lambda: ours.latency(VALUES, 3, tau=9), "beyond num_steps, 3"),
        (lambda: ours.latency(VALUES, 3, threshold=0), "threshold is 0; it must lie between"),
        (lambda: ours.latency(VALUES, 3, tau=-1), "tau is -1; it must be above 0"),
        (lambda: ours.latency(VALUES, 3, first_spike_time=3), "below num_steps, 3"),
        (lambda: ours.latency_code(VALUES, normalize=True), "with normalize=True"),
        (lambda: ours.latency_interpolate(VALUES, 3, 0, 1), "not be below off_target"),
        (lambda: ours.decode_rate(torch.zeros(0, 2)), "decode_rate: .* T ≥ 1"),
        (lambda: ours.decode_latency(torch.zeros(0, 2)), "decode_latency: .* T ≥ 1"),
        (lambda: ours.decode_delta(torch.zeros(0, 2)), "decode_delta: .* T ≥ 1"),
        (lambda: ours.to_one_hot(LABELS, 4), "the labels span 0 to 4; they must lie in 0 to 3"),
        (lambda: ours.to_one_hot(-LABELS, 4), "the labels span -4"),
        (lambda: ours.targets_convert(LABELS, 5, code="burst"), "code is 'burst'"),
        (lambda: ours.targets_rate(LABELS, 5, correct_rate=0.5), "targets_rate: num_steps is 0"),
        (lambda: ours.targets_rate(LABELS, 5, 3, 0, 0.2, 0.3), "the first not above the second"),
        (lambda: ours.target_rate_code(5, rate=2), "rate is 2; it must lie in \\[0, 1\\]"),
        (lambda: ours.target_rate_code(5, 6), "must lie in 0 to num_steps, 5"),
        (lambda: ours.target_rate_code(5, firing_pattern="odd"), "firing_pattern is 'odd'"),
    ],
)
def test_bad_arguments_are_named(call, message: str) -> None:
    with pytest.raises(LayerError, match=message):
        call()
