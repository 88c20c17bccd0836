"""The recurrent network: snnTorch's numbers, both forms alike, gradients cut where they should."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import snntorch
import torch
from reslif.sw.formats import Format
from reslif.sw.nn import (
    Adaptive,
    LayerError,
    Leaky,
    RLeaky,
    RSNNClassifier,
    RSNNNet,
    RSNNParameters,
    RSynaptic,
    SpikingNeuron,
    fast_sigmoid,
)
from reslif.sw.qat import QATNetwork
from reslif.sw.quantiser import QuantiseConfig, plan
from reslif.sw.tracing import from_torch
from torch import Tensor, nn

T, B, HEIGHT, HIDDEN = 12, 5, 6, 14
HP = RSNNParameters(HIDDEN, 4, beta=0.875)


def clip(seed: int = 0) -> Tensor:
    """Frames [T, B, 1, height, height] that make both layers fire."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 16, (T, B, 1, HEIGHT, HEIGHT), generator=generator) / 8


def network(kind: type = RSNNNet, hp=HP):
    torch.manual_seed(3)
    return kind(hp, HEIGHT * HEIGHT)


def flat(frames: Tensor) -> Tensor:
    return frames.flatten(2)


def test_frame_by_frame_it_is_snntorch() -> None:
    ours = network()
    theirs = nn.ModuleDict(
        {
            "fc1": nn.Linear(HEIGHT * HEIGHT, HIDDEN),
            "rlif1": snntorch.RLeaky(0.875, linear_features=HIDDEN, init_hidden=True),
            "fc2": nn.Linear(HIDDEN, 4),
            "rlif2": snntorch.RLeaky(0.875, linear_features=4, init_hidden=True),
        }
    )
    for name in ("fc1", "fc2"):
        theirs[name].load_state_dict(getattr(ours, name).state_dict())
    for name in ("rlif1", "rlif2"):
        recurrent = getattr(ours, name).recurrent.state_dict()
        theirs[name].recurrent.load_state_dict(recurrent)  # pyright: ignore[reportAttributeAccessIssue]
    fired = torch.zeros(2)
    for frame in clip():
        hidden, output = ours(frame)
        expected = theirs["rlif1"](theirs["fc1"](frame.flatten(1)))
        assert torch.equal(hidden, expected)
        assert torch.equal(output, theirs["rlif2"](theirs["fc2"](expected)))
        fired += torch.stack([hidden.sum(), output.sum()])
    assert fired.min() > 20


def test_hp_is_any_object_with_the_fields() -> None:
    hp = SimpleNamespace(
        hidden_size=7, output_size=3, beta=0.5, spike_grad=fast_sigmoid(), dropout_p=0.25
    )
    net = RSNNNet(hp, 10)
    hidden, output = net(torch.rand(2, 10))
    assert (hidden.shape, output.shape) == ((2, 7), (2, 3))
    assert (net.dropout.p, float(net.rlif1.beta), net.rlif1.all_to_all) == (0.25, 0.5, True)
    assert net.rlif2.spike_grad is hp.spike_grad


def test_whole_clips_are_their_frames_one_by_one() -> None:
    net, whole = network(), network(RSNNClassifier)
    whole.load_state_dict(net.state_dict())
    net.load_state_dict(whole.state_dict())
    for seed in (0, 1):
        net.reset()
        outputs = torch.stack([net(frame)[1] for frame in clip(seed)])
        counts = whole(flat(clip(seed)))
        assert torch.equal(outputs.sum(0), counts)
        assert counts.sum() > 20
    assert not torch.equal(torch.stack([net(frame)[1] for frame in clip(1)]).sum(0), counts)


def test_dropout_is_for_training() -> None:
    net = network(RSNNClassifier, replace(HP, dropout_p=0.5))
    x = flat(clip())
    assert not torch.equal(net(x), net(x))
    assert torch.equal(net.eval()(x), network(RSNNClassifier)(x))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidden_size": 0}, "hidden_size is 0; it must be at least 1"),
        ({"output_size": 0}, "output_size is 0; it must be at least 1"),
        ({"dropout_p": 1.0}, "dropout_p is 1.0; it must be at least 0 and below 1"),
    ],
)
def test_what_cannot_be_is_refused(changes: dict, message: str) -> None:
    with pytest.raises(LayerError, match=f"RSNNNet: {message}"):
        RSNNNet(replace(HP, **changes), 4)


def test_a_frame_of_another_size_is_refused() -> None:
    with pytest.raises(LayerError, match=r"a frame has shape \[2, 5\]; it must be .* with 36 val"):
        network()(torch.zeros(2, 5))


def truncated(net: nn.Module, steps: int) -> nn.Module:
    for module in net.modules():
        if isinstance(module, SpikingNeuron):
            module.truncate = steps
    return net


def gradients(net: nn.Module, x: Tensor) -> list[Tensor]:
    """Of a loss that weighs classes and samples differently: of the input, then of parameters."""
    x = x.clone().requires_grad_()
    scores = net(x)
    weight = torch.linspace(-1, 2, scores.numel(), dtype=scores.dtype).reshape(scores.shape)
    return list(torch.autograd.grad((scores * weight).sum(), [x, *net.parameters()]))


def test_as_many_steps_as_there_are_change_nothing() -> None:
    net, x = network(RSNNClassifier).double(), flat(clip()).double()
    full = gradients(net, x)
    for steps in (T, T + 1):
        cut = gradients(truncated(net, steps), x)
        assert all(torch.equal(a, b) for a, b in zip(full, cut, strict=True))
    assert all(grad.abs().max() > 0 for grad in full)


@pytest.mark.parametrize("steps", [1, 3, 5])
def test_gradients_are_those_of_a_state_detached_every_so_often(steps: int) -> None:
    """By the other form, frame by frame, with its state detached by hand."""
    whole, x = network(RSNNClassifier).double(), flat(clip()).double()
    net = network().double()
    net.load_state_dict(whole.state_dict())
    full = gradients(whole, x)

    class ByHand(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = net

        def forward(self, x: Tensor) -> Tensor:
            net.reset()
            counts = x.new_zeros(())
            for t, frame in enumerate(x):
                if t % steps == 0:
                    for neuron in (net.rlif1, net.rlif2):
                        neuron.spk, neuron.mem = neuron.spk.detach(), neuron.mem.detach()
                counts = counts + net(frame)[1]
            return counts

    expected, cut = gradients(ByHand(), x), gradients(truncated(whole, steps), x)
    for a, b in zip(expected, cut, strict=True):
        assert torch.allclose(a, b, rtol=1e-9, atol=1e-12)
    assert any((a - b).abs().max() > 1e-3 for a, b in zip(full, cut, strict=True))
    evaluated = gradients(whole.eval(), x)
    assert all(torch.equal(a, b) for a, b in zip(full, evaluated, strict=True))


NEURONS = {
    "RLeaky": RLeaky(0.9, linear_features=4, multi_step=True),
    "RSynaptic": RSynaptic(0.8, 0.9, linear_features=4, multi_step=True),
    "Leaky": Leaky(0.9, multi_step=True),
    "Adaptive": Adaptive(0.9, 0.9, 0.1, multi_step=True),
}


@pytest.mark.parametrize("name", sorted(NEURONS))
def test_nothing_flows_from_one_part_to_the_one_before(name: str) -> None:
    neuron = NEURONS[name]
    x = (torch.rand(6, 2, 4, generator=torch.Generator().manual_seed(1)) * 2).requires_grad_()

    def reach(steps: int) -> list[bool]:
        """Whether the last step's spikes depend on the input of each step."""
        neuron.truncate = steps
        (grad,) = torch.autograd.grad(neuron(x)[-1].sum(), x)
        return (grad.abs().amax((1, 2)) > 0).tolist()

    spikes = neuron(x)
    assert reach(0) == reach(6) == [True] * 6
    assert reach(4) == [False] * 4 + [True] * 2
    assert reach(1) == [False] * 5 + [True]
    assert torch.equal(neuron(x), spikes)
    assert spikes.sum() > 4


@pytest.mark.parametrize("feedback", [True, False], ids=["recurrent", "feedforward"])
def test_quantised_training_is_cut_alike(feedback: bool) -> None:
    torch.manual_seed(0)
    neuron = RLeaky(0.875, linear_features=9, multi_step=True)
    if not feedback:
        neuron = Leaky(0.875, multi_step=True)
    model = nn.Sequential(nn.Linear(6, 9), neuron, nn.Linear(9, 3))

    class Summed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, x: Tensor) -> Tensor:
            return self.model(x).sum(0)

    raw = torch.randint(0, 32, (8, 6, 6), generator=torch.Generator().manual_seed(0))
    form = Format(5, 3, signed=False)
    graph = from_torch(Summed().eval(), raw.double() * form.step, form)
    planned = plan(graph, raw.numpy(), QuantiseConfig(bits=8, guard_bits=3))

    def found(steps: int, training: bool = True) -> tuple[Tensor, list[Tensor]]:
        module = QATNetwork(planned, graph, truncate=steps).train(training)
        scores = module(raw)
        grads = torch.autograd.grad((scores * torch.tensor([1.0, 2.0, -1.0])).sum(),
                                    list(module.parameters()))  # fmt: skip
        return scores, list(grads)

    scores, full = found(0)
    for steps, training, alike in ((8, True, True), (3, True, False), (3, False, True)):
        same, grads = found(steps, training)
        assert torch.equal(same, scores)
        close = [
            torch.allclose(a, b, rtol=1e-4, atol=1e-5) for a, b in zip(full, grads, strict=True)
        ]
        assert all(close) == alike
