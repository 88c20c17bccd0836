"""Convolution, pools and batch norm over time: PyTorch's own layers, step by step."""

import pytest
import torch
from reslif.sw.nn import (
    AvgPoolOverTime,
    BatchNormOverTime2d,
    ConvOverTime,
    GlobalAvgPool,
    LayerError,
    MaxPoolOverTime,
)
from torch import Tensor, nn

T, B, C, H, W = 3, 4, 6, 7, 5


def images(seed: int = 0) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    return torch.randn((T, B, C, H, W), generator=random, dtype=torch.float64)


LAYERS = [
    (ConvOverTime(C, 8, 3, stride=2, padding=1), nn.Conv2d(C, 8, 3, stride=2, padding=1)),
    (ConvOverTime(C, 12, (3, 1), groups=3), nn.Conv2d(C, 12, (3, 1), groups=3)),
    (AvgPoolOverTime(2), nn.AvgPool2d(2)),
    (AvgPoolOverTime((7, 5), whole=True), nn.AvgPool2d((7, 5))),
    (MaxPoolOverTime(3, stride=2, padding=1), nn.MaxPool2d(3, stride=2, padding=1)),
]  # fmt: skip


@pytest.mark.parametrize(("ours", "theirs"), LAYERS, ids=str)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=str)
def test_each_step_is_pytorchs_layer(ours: nn.Module, theirs: nn.Module, layout) -> None:
    ours, theirs = ours.double(), theirs.double()
    theirs.load_state_dict(ours.state_dict())
    x = images().flatten(0, 1).contiguous(memory_format=layout).unflatten(0, (T, B))
    expected = torch.stack([theirs(step) for step in images()])
    torch.testing.assert_close(ours(x), expected, rtol=1e-12, atol=1e-12)


def test_the_global_pool_is_the_mean_over_the_image() -> None:
    expected = images().sum((3, 4)) / (H * W)
    torch.testing.assert_close(GlobalAvgPool()(images()), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    "layer",
    [ConvOverTime(C, 8, 3), AvgPoolOverTime(2), MaxPoolOverTime(2), GlobalAvgPool(),
     BatchNormOverTime2d(C)],
    ids=str,
)  # fmt: skip
def test_one_image_in_all_steps_is_worked_on_once(layer: nn.Module) -> None:
    """With the same results and gradients as if it were there T times."""
    layer = layer.double()
    still = images()[:1].requires_grad_()
    grads = []
    for x in (still.expand(T, -1, -1, -1, -1), still.expand(T, -1, -1, -1, -1).contiguous()):
        out = layer(x)
        assert (out.stride(0) == 0) == (x.stride(0) == 0)
        weights = torch.arange(out.numel(), dtype=out.dtype).view(out.shape) / out.numel()
        (grad,) = torch.autograd.grad((out * weights).sum(), still)
        grads.append((out.detach().clone(), grad))
    torch.testing.assert_close(grads[0], grads[1], rtol=1e-10, atol=1e-10)


def test_batch_norm_takes_its_statistics_over_steps_batch_and_image() -> None:
    ours, theirs = BatchNormOverTime2d(C, gain=0.75).double(), nn.BatchNorm2d(C).double()
    nn.init.constant_(theirs.weight, 0.75)
    x = images() * torch.arange(1.0, 1 + T).view(T, 1, 1, 1, 1) + 2
    for training in (True, False):
        ours.train(training)
        theirs.train(training)
        expected = theirs(x.flatten(0, 1)).unflatten(0, (T, B))
        torch.testing.assert_close(ours(x), expected, rtol=1e-12, atol=1e-12)
    assert ours.running_mean is not None
    assert theirs.running_mean is not None
    assert torch.equal(ours.running_mean, theirs.running_mean)
    out = ours.train()(x).detach()
    spread = out.var((0, 1, 3, 4), unbiased=False)
    torch.testing.assert_close(spread, torch.full((C,), 0.5625).double(), rtol=1e-4, atol=0)
    # Batch norm of each step alone is another layer: here steps of different width stay different.
    assert float(out[-1].std() / out[0].std()) > 2


def test_batch_norm_folds_into_a_gain_and_a_shift() -> None:
    layer = BatchNormOverTime2d(C, gain=0.5).double()
    layer(images() * 3 + 1)
    layer.eval()
    scale, shift = (v.view(1, 1, C, 1, 1) for v in layer.scale_and_shift())
    x = images(1)
    torch.testing.assert_close(scale * x + shift, layer(x), rtol=1e-12, atol=1e-12)
    layer.running_mean = None
    with pytest.raises(LayerError, match="BatchNormOverTime2d: no running statistics"):
        layer.scale_and_shift()


def test_bad_images_are_named() -> None:
    with pytest.raises(LayerError, match=r"ConvOverTime: the input has shape \[4, 6, 7, 5\]; it"):
        ConvOverTime(C, 8, 3).double()(images()[0])
    with pytest.raises(LayerError, match=r"images are \[7, 5\]; height and width must be mult"):
        AvgPoolOverTime(2, whole=True)(images())
    with pytest.raises(LayerError, match="return_indices is set"):
        MaxPoolOverTime(2, return_indices=True)(images())
