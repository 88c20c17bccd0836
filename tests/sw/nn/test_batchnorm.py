"""Batch norm through time: snnTorch's list of layers, called at once, and folded."""

import copy

import pytest
import snntorch
import torch
from reslif.sw.nn import BatchNormTT1d, BatchNormTT2d, LayerError
from torch import Tensor, nn

T, B, N = 5, 9, 6
BOTH = [
    (BatchNormTT1d, snntorch.BatchNormTT1d, (T, B, N)),
    (BatchNormTT2d, snntorch.BatchNormTT2d, (T, B, N, 4, 3)),
]


def data(shape: tuple[int, ...], seed: int = 0) -> Tensor:
    """Features and steps of different mean and width."""
    x = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    steps = torch.arange(1.0, 1 + shape[0]).view(-1, *[1] * (len(shape) - 1))
    features = torch.arange(1.0, 1 + shape[2]).view(1, 1, -1, *[1] * (len(shape) - 3))
    return x * steps + features


def gains(layer: nn.Module) -> None:
    with torch.no_grad():
        for i, parameter in enumerate(layer.parameters()):
            parameter.copy_(torch.linspace(0.5, 1.5 + i, len(parameter)))


@pytest.mark.parametrize(("ours", "theirs", "shape"), BOTH, ids=["1d", "2d"])
@pytest.mark.parametrize("affine", [True, False])
def test_it_is_snntorchs_list_of_layers(ours, theirs, shape, affine: bool) -> None:
    options = {"eps": 1e-3, "momentum": 0.3, "affine": affine}
    mine, reference = ours(N, T, **options), theirs(N, T, **options)
    assert len(mine) == T
    gains(mine)
    reference.load_state_dict(mine.state_dict())  # the same names, no bias
    grads = []
    for training in (True, False):
        mine.train(training)
        reference.train(training)
        x = data(shape)
        whole = mine(x)
        steps = torch.stack([layer(step) for layer, step in zip(reference, x, strict=True)])
        assert torch.equal(whole, steps)
        assert not torch.equal(whole[0], whole[1])
        grads.append(whole)
    assert not torch.equal(grads[0], grads[1])
    for a, b in zip(mine.state_dict().values(), reference.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    default, their_default = ours(N, T)[0], theirs(N, T)[0]
    assert (default.eps, default.momentum) == (their_default.eps, their_default.momentum)


@pytest.mark.parametrize(("ours", "theirs", "shape"), BOTH, ids=["1d", "2d"])
@pytest.mark.parametrize("affine", [True, False])
def test_it_folds_into_a_gain_and_a_shift_for_each_step(ours, theirs, shape, affine) -> None:
    layer = ours(N, T, affine=affine).double()
    gains(layer)
    for seed in range(20):
        layer(data(shape, seed).double())
    layer.eval()
    scale, shift = layer.scale_and_shift()
    assert scale.shape == shift.shape == (T, N)
    x = data(shape, 99).double()
    broadcast = (T, 1, N) + (1,) * (len(shape) - 3)
    folded = scale.view(broadcast) * x + shift.view(broadcast)
    torch.testing.assert_close(folded, layer(x), rtol=1e-12, atol=1e-12)
    one_for_all = scale.view(broadcast)[:1] * x + shift.view(broadcast)[:1]
    assert not torch.allclose(one_for_all, layer(x), atol=0.1)


def test_one_gain_for_all_steps_is_another_layer() -> None:
    layer = BatchNormTT1d(N, T)
    whole = layer(data((T, B, N)))
    torch.testing.assert_close(whole.mean(1), torch.zeros(T, N), atol=1e-5, rtol=0)
    over_time = nn.BatchNorm1d(N)(data((T, B, N)).flatten(0, 1)).view(T, B, N)
    assert float(over_time.detach().mean(1).abs().max()) > 0.1


def test_a_shorter_run_uses_the_first_layers() -> None:
    layer = BatchNormTT1d(N, T).eval()
    gains(layer)
    x = data((T, B, N))
    assert torch.equal(layer(x[:3]), layer(x)[:3])


def test_it_copies_slices_and_indexes_like_a_list() -> None:
    layer = BatchNormTT1d(N, T)
    assert torch.equal(copy.deepcopy(layer)(data((T, B, N))), layer(data((T, B, N))))
    assert [id(part) for part in layer[1:3]] == [id(layer[1]), id(layer[2])]
    assert id(layer[-1]) == id(list(layer)[-1])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: BatchNormTT1d(N, 0), "BatchNormTT1d: time_steps is 0"),
        (lambda: BatchNormTT1d(N, T)(data((T + 1, B, N))), "with T from 1 to 5"),
        (lambda: BatchNormTT2d(N, T)(torch.zeros(5)), "BatchNormTT2d: the input has shape \\[5\\]"),
    ],
)
def test_bad_arguments_are_named(call, message: str) -> None:
    with pytest.raises(LayerError, match=message):
        call()


def test_without_running_statistics_it_cannot_be_folded() -> None:
    layer = BatchNormTT1d(N, T)
    layer[2].running_mean = None
    with pytest.raises(LayerError, match="no running statistics"):
        layer.scale_and_shift()
