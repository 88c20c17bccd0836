"""The layered classifier builds every neuron that recipes may name."""

import pytest
import torch
from reslif.sw.nn import LayeredSNN, LayerError
from reslif.sw.nn.layered import NEURONS


@pytest.mark.parametrize("neuron", NEURONS)
def test_every_neuron_classifies_and_learns(neuron: str) -> None:
    torch.manual_seed(0)
    model = LayeredSNN(16, 3, neuron, 8, 2, steps=4, image=(4, 4))
    x = torch.rand(4, 5, 16) * 2
    before = model(x)
    assert before.shape == (5, 3)
    torch.nn.functional.cross_entropy(before, torch.arange(5) % 3).backward()
    first = next(p for p in model.parameters() if p.dim() > 1)
    assert first.grad is not None
    assert first.grad.abs().max() > 0


def test_options_reach_the_neuron() -> None:
    model = LayeredSNN(16, 3, "RLeaky", 8, 1, options={"all_to_all": False, "V": 0.25, "beta": 0.5})
    neuron = model.layers[-1]
    assert (neuron.V.item(), neuron.beta.item()) == (0.25, 0.5)
    model = LayeredSNN(
        16, 3, "RLeaky", 32, image=(4, 4), options={"conv2d_channels": 2, "kernel_size": 3}
    )
    assert model.layers[-2].recurrence.kind == "conv"
    assert model(torch.rand(3, 2, 16)).shape == (2, 3)
    pooled = LayeredSNN(16, 3, "SConv2dLSTM", 2, image=(4, 4), options={"max_pool": 2})
    assert pooled.head.in_features == 2 * 2 * 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"neuron": "LIFF"}, "neuron is 'LIFF'; it must be one of IF, "),
        ({"norm": "layer"}, "norm is 'layer'; it must be batch, bntt or none"),
        ({"options": {"betta": 0.5}}, "neuron Leaky: .*betta"),
        ({"neuron": "SConv2dLSTM"}, "the data are no images"),
        (
            {"neuron": "RLeaky", "options": {"conv2d_channels": 2, "kernel_size": 3}},
            "width is 8, with convolution it must be channels times",
        ),
    ],
)
def test_what_cannot_be_built_is_named(arguments: dict, message: str) -> None:
    with pytest.raises(LayerError, match=message):
        LayeredSNN(**{"inputs": 16, "classes": 3, "width": 8, **arguments})
