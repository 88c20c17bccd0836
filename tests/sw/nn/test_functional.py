"""Losses and accuracies: snnTorch's values and gradients, and what differs from it."""

import pytest
import snntorch.functional as theirs
import torch
from reslif.sw.nn import LayerError
from reslif.sw.nn import functional as ours
from torch import Tensor

T, B, N = 12, 7, 6
LABELS = torch.tensor([0, 5, 2, 2, 4, 1, 3])
WEIGHTS = torch.tensor([0.5, 2.0, 1.0, 1.5, 0.25, 3.0], dtype=torch.float64)


def spikes(seed: int = 0, rate: float = 0.3) -> Tensor:
    probability = torch.full((T, B, N), rate, dtype=torch.float64)
    return torch.bernoulli(probability, generator=torch.Generator().manual_seed(seed))


def membranes(seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(T, B, N, dtype=torch.float64, generator=generator)


def value_and_grad(loss, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    outputs = outputs.clone().requires_grad_()
    value = loss(outputs, targets.clone())
    (value * torch.linspace(1, 2, value.numel()).view_as(value)).sum().backward()
    assert outputs.grad is not None
    return value.detach(), outputs.grad


POPULATION = {"population_code": True, "num_classes": 3}
CASES = [
    ("ce_rate_loss", {}, spikes),
    ("ce_rate_loss", {"reduction": "sum"}, spikes),
    ("ce_rate_loss", {"reduction": "none"}, spikes),
    ("ce_rate_loss", {"weight": WEIGHTS}, spikes),
    ("ce_count_loss", {}, spikes),
    ("ce_count_loss", {"reduction": "none"}, spikes),
    ("ce_count_loss", {"weight": WEIGHTS}, spikes),
    ("ce_count_loss", {**POPULATION}, spikes),
    ("ce_max_membrane_loss", {}, membranes),
    ("ce_max_membrane_loss", {"reduction": "sum"}, membranes),
    ("ce_max_membrane_loss", {"weight": WEIGHTS}, membranes),
    ("mse_count_loss", {}, spikes),
    ("mse_count_loss", {"correct_rate": 0.8, "incorrect_rate": 0.2}, spikes),
    ("mse_count_loss", {"reduction": "sum"}, spikes),
    ("mse_count_loss", {"reduction": "none", "correct_rate": 0.8}, spikes),
    ("mse_count_loss", {**POPULATION, "correct_rate": 0.8, "incorrect_rate": 0.2}, spikes),
    ("mse_membrane_loss", {}, membranes),
    ("mse_membrane_loss", {"on_target": 1.05, "off_target": 0.2}, membranes),
    ("mse_membrane_loss", {"reduction": "none"}, membranes),
    ("ce_temporal_loss", {}, spikes),
    ("ce_temporal_loss", {"inverse": "reciprocal"}, spikes),
    ("ce_temporal_loss", {"weight": WEIGHTS, "reduction": "sum"}, spikes),
    ("ce_temporal_loss", {"weight": WEIGHTS}, spikes),
    ("mse_temporal_loss", {"on_target": 2, "off_target": 9}, spikes),
    ("mse_temporal_loss", {"on_target": 2, "off_target": -3}, spikes),
    ("mse_temporal_loss", {"on_target": 2, "off_target": 9, "tolerance": 3}, spikes),
    ("mse_temporal_loss", {"on_target": 1, "off_target": 9, "reduction": "none"}, spikes),
]
FLOAT32 = {"ce_rate_loss", "mse_membrane_loss", "mse_temporal_loss"}
"""snnTorch computes parts of these in float32, whatever it is given; of populations as well."""


def same(mine: Tensor, reference: Tensor, float32: bool = False) -> None:
    options = {"rtol": 1e-6, "atol": 1e-7} if float32 else {"rtol": 1e-12, "atol": 1e-12}
    torch.testing.assert_close(mine, reference.view_as(mine).to(mine), **options)


# No address in a name: workers must agree on it.
@pytest.mark.parametrize(
    ("name", "options", "make"), CASES, ids=lambda value: getattr(value, "__name__", str(value))
)
def test_losses_equal_snntorch_in_value_and_gradient(name: str, options, make) -> None:
    outputs = make()
    labels = LABELS % 3 if "population_code" in options else LABELS
    if options.get("off_target") == -3:
        # Its own conversion of negative times works only on values that it does not clamp.
        reference_options = {**options, "off_target": T - 3}
    else:
        reference_options = options
    mine = value_and_grad(getattr(ours, name)(**options), outputs, labels)
    reference = value_and_grad(getattr(theirs, name)(**reference_options), outputs, labels)
    assert mine[0].dtype == torch.float64
    assert bool((mine[0] > 0).any())
    assert bool((mine[1] != 0).any())
    float32 = name in FLOAT32 or "population_code" in options
    same(mine[0], reference[0], float32)
    same(mine[1], reference[1], float32)


def test_other_options_would_be_seen() -> None:
    mine = ours.mse_count_loss(correct_rate=0.9)(spikes(), LABELS)
    with pytest.raises(AssertionError):
        same(mine, theirs.mse_count_loss(correct_rate=0.8)(spikes(), LABELS))


@pytest.mark.parametrize("name", ["accuracy_rate", "accuracy_temporal"])
@pytest.mark.parametrize("seed", range(5))
def test_accuracies_equal_snntorch(name: str, seed: int) -> None:
    outputs = spikes(seed, rate=0.15)
    outputs[:, torch.arange(3), LABELS[:3]] = 1  # some right, some by chance
    mine = getattr(ours, name)(outputs, LABELS)
    assert mine == float(getattr(theirs, name)(outputs, LABELS))
    assert 0.2 < mine <= 1


def test_population_accuracy_equals_snntorch() -> None:
    outputs, labels = spikes(3), LABELS % 3
    mine = ours.accuracy_rate(outputs, labels, population_code=True, num_classes=3)
    theirs_ = theirs.accuracy_rate(outputs, labels, population_code=True, num_classes=3)
    assert mine == float(theirs_)
    counts = outputs.sum(0).unflatten(-1, (3, 2)).sum(-1)
    assert mine == float((counts.argmax(1) == labels).double().mean())


def test_each_loss_knows_the_accuracy_of_its_readout() -> None:
    """Outputs that are right under one readout and wrong under the others."""
    labels = torch.tensor([0])
    many_late, one_early = torch.zeros(6, 1, 2), torch.zeros(6, 1, 2)
    many_late[3:, 0, 0] = many_late[0, 0, 1] = 1
    one_early[0, 0, 0] = one_early[3:, 0, 1] = 1
    for loss in (ours.ce_rate_loss(), ours.ce_count_loss(), ours.mse_count_loss()):
        assert loss.accuracy(many_late, labels) == 1
        assert loss.accuracy(one_early, labels) == 0
    for loss in (ours.ce_temporal_loss(), ours.mse_temporal_loss()):
        assert loss.accuracy(many_late, labels) == 0
        assert loss.accuracy(one_early, labels) == 1
    peak = torch.tensor([[0.0, 1.0], [4.0, 1.5], [-4.0, 1.5]]).unsqueeze(1)
    assert ours.ce_max_membrane_loss().accuracy(peak, labels) == 1
    assert ours.mse_membrane_loss().accuracy(peak, labels) == 0
    crowd = torch.zeros(3, 1, 4)
    crowd[:, 0, 1] = crowd[:2, 0, 2] = crowd[:2, 0, 3] = 1
    assert ours.ce_count_loss(population_code=True, num_classes=2).accuracy(crowd, labels) == 0
    assert ours.ce_count_loss().accuracy(crowd, torch.tensor([1])) == 1


def test_float64_stays_float64_where_snntorch_rounds() -> None:
    outputs = spikes()
    exact = torch.stack(
        [torch.nn.functional.cross_entropy(step, LABELS) for step in outputs]
    ).mean()
    mine = ours.ce_rate_loss()(outputs, LABELS)
    reference = theirs.ce_rate_loss()(outputs, LABELS)
    assert abs(mine - exact) < 1e-14
    assert reference.dtype == torch.float32


def test_weighted_losses_reduce_to_a_sum() -> None:
    """snnTorch returns one value a sample there."""
    args = spikes(), LABELS
    for make in (ours.ce_count_loss, ours.ce_rate_loss, ours.mse_count_loss):
        total = make(reduction="sum", weight=WEIGHTS)(*args)
        torch.testing.assert_close(total, make(reduction="none", weight=WEIGHTS)(*args).sum())
    assert theirs.ce_count_loss(reduction="sum", weight=WEIGHTS)(*args).shape == (B,)


def test_weights_go_by_the_samples_class() -> None:
    """In snnTorch they broadcast along the neurons, or fail."""
    for make, outputs in ((ours.mse_count_loss, spikes()), (ours.mse_membrane_loss, membranes())):
        plain = make(reduction="none")(outputs, LABELS)
        weighted = make(reduction="none", weight=WEIGHTS)(outputs, LABELS)
        torch.testing.assert_close(weighted, plain * WEIGHTS[LABELS].unsqueeze(-1))
    with pytest.raises(RuntimeError, match="size of tensor"):
        theirs.mse_count_loss(weight=WEIGHTS)(spikes(), LABELS)


def test_rate_loss_of_populations_is_that_of_their_sums() -> None:
    outputs, labels = spikes(), LABELS % 3
    mine = ours.ce_rate_loss(**POPULATION)(outputs, labels)
    summed = outputs.unflatten(-1, (3, 2)).sum(-1)
    torch.testing.assert_close(mine, ours.ce_rate_loss()(summed, labels))


def test_membrane_targets_may_vary_with_time() -> None:
    outputs = membranes()
    labels = torch.randint(0, N, (T, B), generator=torch.Generator().manual_seed(1))
    loss = ours.mse_membrane_loss(time_var_targets=True, on_target=1.5, off_target=-0.5)
    one_hot = torch.nn.functional.one_hot(labels, N).double()
    wanted = one_hot * 2 - 0.5
    expected = (outputs - wanted).square().mean()
    torch.testing.assert_close(loss(outputs, labels), expected)
    torch.testing.assert_close(loss(outputs, wanted), expected)
    assert loss(outputs, labels.flip(0)) != expected


# Spike times


def first_by_hand(outputs: Tensor, count: int) -> Tensor:
    times = torch.full((count, B, N), float(T - 1), dtype=outputs.dtype)
    for b in range(B):
        for n in range(N):
            found = outputs[:, b, n].nonzero()[:count, 0]
            times[: len(found), b, n] = found.to(outputs.dtype)
    return times


@pytest.mark.parametrize("count", [1, 2, 4])
def test_spike_times_are_those_of_each_neuron(count: int) -> None:
    outputs = spikes(rate=0.2)
    outputs[:, 0] = 0
    times = ours.spike_times(outputs, count)
    assert torch.equal(times, first_by_hand(outputs, count))
    assert times[0, 0].tolist() == [T - 1] * N


def test_the_derivative_of_a_spike_time_is_minus_one_at_the_spike() -> None:
    outputs = torch.zeros(5, 1, 2, dtype=torch.float64)
    outputs[1, 0, 0] = outputs[3, 0, 0] = 1
    outputs.requires_grad_()
    times = ours.spike_times(outputs, 2)
    assert times[:, 0].tolist() == [[1, 4], [3, 4]]
    times.backward(torch.tensor([[[2.0, 3.0]], [[5.0, 7.0]]]).double())
    assert outputs.grad is not None
    assert outputs.grad[:, 0, 0].tolist() == [0, -2, 0, -5, 0]
    assert outputs.grad[:, 0, 1].tolist() == [0, 0, 0, 0, -10]


def test_the_default_target_of_wrong_classes_is_the_last_step() -> None:
    """snnTorch documents that, but its conversion clamps −1 to 0."""
    outputs = torch.zeros(6, 1, 2)
    outputs[0, 0, 1] = 1
    label = torch.tensor([1])
    assert ours.mse_temporal_loss()(outputs, label) == 0
    torch.testing.assert_close(
        theirs.mse_temporal_loss()(outputs, label), torch.tensor((5 / 6) ** 2 / 2)
    )


def test_times_as_targets_of_one_and_of_several_spikes() -> None:
    outputs = spikes(rate=0.3)
    wanted = torch.arange(N, dtype=torch.float64)
    for targets in (wanted, wanted.expand(B, N)):
        loss = ours.mse_temporal_loss(target_is_time=True)(outputs, targets)
        expected = ((first_by_hand(outputs, 1)[0] - wanted) / T).square().mean()
        torch.testing.assert_close(loss, expected)
    several = torch.stack((wanted, wanted + 3)).unsqueeze(1).expand(2, B, N)
    loss = ours.mse_temporal_loss(target_is_time=True, multi_spike=True)(outputs, several)
    torch.testing.assert_close(loss, ((first_by_hand(outputs, 2) - several) / T).square().mean())
    # A target given as a tensor stays as it was, negative times too.
    negative = torch.full((B, N), -2.0)
    ours.mse_temporal_loss(target_is_time=True)(outputs, negative)
    assert bool((negative == -2).all())


def test_labels_as_targets_of_several_spikes() -> None:
    outputs = spikes(rate=0.3)
    loss = ours.mse_temporal_loss(
        on_target=torch.tensor((1, 3)), off_target=torch.tensor((8, 10)), tolerance=2
    )
    right = torch.nn.functional.one_hot(LABELS, N).bool()
    wanted = torch.stack([torch.where(right, on, off) for on, off in ((1.0, 8.0), (3.0, 10.0))])
    error = (first_by_hand(outputs, 2) - wanted) / T
    error[error.abs() * T < 2 - 1e-9] = 0
    assert 0 < int((error == 0).sum()) < error.numel()
    torch.testing.assert_close(loss(outputs, LABELS), error.square().mean().double())


def test_a_penalty_on_firing() -> None:
    outputs = spikes().requires_grad_()
    penalty = ours.l1_rate_sparsity(0.1)(outputs)
    torch.testing.assert_close(penalty, theirs.l1_rate_sparsity(0.1)(outputs))
    penalty.backward()
    assert outputs.grad is not None
    assert bool((outputs.grad == 0.1).all())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ours.ce_rate_loss()(spikes()[0], LABELS), "ce_rate_loss: .* \\[T, B, N\\]"),
        (lambda: ours.ce_temporal_loss()(spikes()[:0], LABELS), "ce_temporal_loss: .* T ≥ 1"),
        (lambda: ours.accuracy_rate(spikes()[0], LABELS), "accuracy_rate: the outputs"),
        (lambda: ours.accuracy_temporal(spikes()[0], LABELS), "accuracy_temporal: the outputs"),
        (lambda: ours.accuracy_membrane(spikes(), LABELS, "last"), "reduce is 'last'"),
        (lambda: ours.spike_times(torch.zeros(0, 1)), "spike_times: the spikes have no step"),
        (lambda: ours.ce_count_loss(reduction="avg"), "ce_count_loss: reduction is 'avg'"),
        (
            lambda: ours.ce_count_loss(population_code=True)(spikes(), LABELS),
            "num_classes is 0; with population_code it must divide",
        ),
        (
            lambda: ours.mse_count_loss(population_code=True, num_classes=4)(spikes(), LABELS),
            "num_classes is 4; .* neurons, 6",
        ),
        (lambda: ours.ce_temporal_loss(inverse="flip"), "inverse is 'flip'"),
        (
            lambda: ours.mse_temporal_loss(on_target=[1, 2], off_target=[3]),
            "on_target has 2 times, off_target 1",
        ),
        (
            lambda: ours.mse_temporal_loss(True, weight=WEIGHTS),
            "weights need class labels",
        ),
        (
            lambda: ours.mse_temporal_loss(True, multi_spike=True)(spikes(), torch.zeros(B, N)),
            "times must be \\[F, B, N\\]",
        ),
        (lambda: ours.mse_temporal_loss(True).accuracy(spikes(), LABELS), "needs class labels"),
        (
            lambda: ours.mse_membrane_loss(True, weight=WEIGHTS),
            "weights need targets that do not vary",
        ),
        (
            lambda: ours.mse_membrane_loss(True)(membranes(), LABELS),
            "the targets have shape \\[7\\]; .* must be \\[12, 7\\]",
        ),
        (
            lambda: ours.mse_membrane_loss(True).accuracy(membranes(), LABELS),
            "needs one label a sample",
        ),
    ],
)  # fmt: skip
def test_bad_arguments_are_named(call, message: str) -> None:
    with pytest.raises(LayerError, match=message):
        call()
