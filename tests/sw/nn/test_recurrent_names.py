"""The recurrent neurons take what snnTorch's take, in the same order and with the same defaults."""

import inspect
from typing import Any

import pytest
import reslif.sw.nn
import snntorch
import torch
from reslif.sw.nn import LayerError, SpikingNeuron, utils

NAMES = ("RLeaky", "RSynaptic", "SLSTM", "SConv2dLSTM", "LeakyParallel")


def positional(function: Any) -> list[tuple[str, Any]]:
    return [
        (name, parameter.default)
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind is parameter.POSITIONAL_OR_KEYWORD
    ]


@pytest.mark.parametrize("name", NAMES)
def test_constructor_and_call_are_snntorchs(name: str) -> None:
    theirs, ours = getattr(snntorch, name), getattr(reslif.sw.nn, name)
    assert positional(ours) == positional(theirs)
    assert positional(ours.forward) == positional(theirs.forward)
    assert len(positional(ours)) > 10
    assert issubclass(ours, SpikingNeuron)


def test_reset_reaches_nested_neurons_and_a_new_batch_needs_it() -> None:
    net = torch.nn.Sequential(
        torch.nn.Sequential(reslif.sw.nn.RLeaky(0.9, linear_features=4, init_hidden=True)),
        reslif.sw.nn.SLSTM(4, 3, init_hidden=True),
        reslif.sw.nn.RSynaptic(0.9, 0.8, all_to_all=False, init_hidden=True, output=True),
    )
    net(torch.ones(2, 4))
    with pytest.raises(LayerError, match=r"RLeaky: .* reset the state"):
        net(torch.ones(5, 4))
    utils.reset(net)
    spk, syn, mem = net(torch.ones(5, 4))
    assert spk.shape == syn.shape == mem.shape == (5, 3)
