"""What all neurons with snnTorch's names share: state, options, errors."""

import copy
import gc
import pickle

import pytest
import reslif.sw.nn as snn
import snntorch
import torch
from reslif.sw.nn import LayerError, SpikingNeuron
from snntorch_oracle import drive, heaviside, number
from torch import Tensor, nn

NEURONS = {
    "Leaky": lambda **options: snn.Leaky(0.9, **options),
    "Lapicque": lambda **options: snn.Lapicque(0.9, threshold=0.2, **options),
    "IF": lambda **options: snn.IF(**options),
    "ParametricLIF": lambda **options: snn.ParametricLIF(threshold=0.5, **options),
    "Synaptic": lambda **options: snn.Synaptic(0.7, 0.9, **options),
    "Alpha": lambda **options: snn.Alpha(0.9, 0.6, 0.5, **options),
}
every = pytest.mark.parametrize("name", NEURONS)


@every
def test_four_ways_to_call_give_the_same_spikes(name: str) -> None:
    current = drive(scale=1.5)
    block, states = (lambda out: (out[0], out[1:]))(
        NEURONS[name](multi_step=True, output=True)(current)
    )
    assert 0 < block.mean() < 1
    assert block.shape == current.shape
    assert len(states) == len(NEURONS[name]().state_names)

    passed, spikes = NEURONS[name](), []
    kept: tuple[Tensor, ...] = ()
    for step in current:
        spike, *kept = passed(step, *kept)
        spikes.append(spike)
    assert torch.equal(torch.stack(spikes), block)

    hidden = NEURONS[name](init_hidden=True)
    assert torch.equal(torch.stack([hidden(step) for step in current]), block)

    halves = NEURONS[name](init_hidden=True, multi_step=True)
    assert torch.equal(torch.cat([halves(current[:25]), halves(current[25:])]), block)
    for state_name, state, last in zip(halves.state_names, kept, states, strict=True):
        assert torch.allclose(getattr(halves, state_name), state, atol=1e-12)
        assert torch.allclose(last[-1], state, atol=1e-12)


@every
def test_a_block_starts_at_rest_unless_state_is_kept_or_passed(name: str) -> None:
    current = drive()
    neuron = NEURONS[name](multi_step=True, output=True)
    first = neuron(current)
    assert torch.equal(neuron(current)[1], first[1])
    assert not torch.equal(neuron(current, *(state[-1] for state in first[1:]))[1], first[1])
    keeps = NEURONS[name](multi_step=True, output=True, init_hidden=True)
    assert torch.equal(keeps(current)[1], first[1])
    assert not torch.equal(keeps(current)[1], first[1])


@every
def test_output_adds_the_states(name: str) -> None:
    step = drive()[0]
    count = len(NEURONS[name]().state_names)
    assert isinstance(NEURONS[name](init_hidden=True)(step), Tensor)
    assert len(NEURONS[name](init_hidden=True, output=True)(step)) == 1 + count
    assert len(NEURONS[name]()(step)) == 1 + count
    assert isinstance(NEURONS[name](multi_step=True)(step[None]), Tensor)


@every
@pytest.mark.parametrize("multi_step", [False, True])
def test_another_batch_size_under_a_kept_state_is_refused(name: str, multi_step: bool) -> None:
    neuron = NEURONS[name](init_hidden=True, multi_step=multi_step)
    current = drive()[: 5 if multi_step else None]
    call = current if multi_step else current[0]
    neuron(call)
    smaller = call[:, :3] if multi_step else call[:3]
    with pytest.raises(LayerError, match=rf"{name}: a step of the input asks for states of shape"):
        neuron(smaller)
    neuron.reset_mem()
    neuron(smaller)


def test_a_passed_state_of_another_shape_is_refused_and_an_empty_one_is_rest() -> None:
    neuron = snn.Leaky(0.9)
    with pytest.raises(LayerError, match=r"shape \[8, 12\], mem has \[4\]"):
        neuron(drive()[0], torch.zeros(4))
    # snnTorch's documented loop starts with init_leaky(), whatever batch comes next.
    for batch in (8, 3):
        mem = neuron.init_leaky()
        _, mem = neuron(drive()[0][:batch], mem)
        assert torch.equal(mem, drive()[0][:batch])


def test_states_are_not_passed_while_they_are_hidden() -> None:
    with pytest.raises(LayerError, match="Leaky: states cannot be passed while init_hidden"):
        snn.Leaky(0.9, init_hidden=True)(drive()[0], torch.zeros(8, 12))


def test_reset_and_detach_reach_the_class_they_are_called_on() -> None:
    leaky, synaptic = snn.Leaky(0.9, init_hidden=True), snn.Synaptic(0.9, 0.8, init_hidden=True)
    current = drive()[0].requires_grad_()
    for neuron in (leaky, synaptic):
        neuron(current)
    assert leaky.mem.requires_grad
    snn.Leaky.detach_hidden()
    assert not leaky.mem.requires_grad
    assert synaptic.mem.requires_grad
    assert synaptic.syn.requires_grad
    SpikingNeuron.detach_hidden()
    assert not synaptic.syn.requires_grad

    snn.Synaptic.reset_hidden()
    assert synaptic.syn.numel() == synaptic.mem.numel() == 0
    assert leaky.mem.numel() > 0
    SpikingNeuron.reset_hidden()
    assert leaky.mem.numel() == 0


@pytest.mark.parametrize("multi_step", [False, True], ids=["steps", "blocks"])
def test_truncated_backpropagation_needs_a_detached_state(multi_step: bool) -> None:
    neuron = snn.Leaky(0.9, init_hidden=True, multi_step=multi_step)
    weight = torch.ones(12, dtype=torch.float64, requires_grad=True)

    def piece(current: Tensor) -> None:
        x = current * weight
        (neuron(x) if multi_step else torch.stack([neuron(step) for step in x])).sum().backward()

    piece(drive()[:20])
    assert weight.grad is not None
    assert weight.grad.abs().max() > 0
    with pytest.raises(RuntimeError, match="second time"):
        piece(drive()[20:])
    snn.Leaky.reset_hidden()
    piece(drive()[:20])
    snn.Leaky.detach_hidden()
    before = neuron.mem.clone()
    piece(drive()[20:])
    assert before.abs().max() > 0


def test_instances_are_the_living_neurons() -> None:
    gc.collect()
    before = len(SpikingNeuron.instances)
    neuron, other = snn.Leaky(0.9), snn.Alpha(0.9, 0.8)
    assert len(SpikingNeuron.instances) == before + 2
    assert SpikingNeuron.instances[-1] is other
    assert neuron in list(SpikingNeuron.instances)
    assert snn.Leaky.instances is SpikingNeuron.instances
    del other
    gc.collect()
    assert len(SpikingNeuron.instances) == before + 1
    kept = SpikingNeuron.instances
    try:
        SpikingNeuron.init()
        assert len(SpikingNeuron.instances) == 0
    finally:
        from reslif.sw.nn.neuron_state import StatefulNeuron

        StatefulNeuron.instances = kept


def test_a_copy_is_a_neuron_of_its_own() -> None:
    neuron = snn.Leaky(0.9, init_hidden=True, learn_beta=True)
    neuron(drive()[0].requires_grad_())
    neuron(drive()[1])
    assert neuron.mem.grad_fn is not None  # deepcopy refuses such a tensor
    for twin in (copy.deepcopy(neuron), pickle.loads(pickle.dumps(neuron))):
        assert torch.equal(twin.mem, neuron.mem)
        assert twin in list(SpikingNeuron.instances)
        twin.reset_mem()
        assert neuron.mem.numel() > 0


def test_states_are_no_part_of_the_state_dict_and_snntorch_loads_it() -> None:
    neuron = snn.Leaky(0.9, 0.7, learn_beta=True, reset_mechanism="zero", init_hidden=True)
    neuron(torch.ones(2, 3))
    theirs = snntorch.Leaky(0.5, learn_beta=True)
    theirs.load_state_dict(neuron.state_dict())
    assert float(theirs.threshold) == pytest.approx(0.7)
    back = snn.Leaky(0.5, learn_beta=True)
    back.load_state_dict(theirs.state_dict())
    assert back.reset_mechanism == "zero"
    assert back.beta.item() == pytest.approx(0.9)


def test_detach_and_zeros_act_in_place() -> None:
    state = torch.ones(3, requires_grad=True) * 2
    SpikingNeuron.detach(state)
    assert not state.requires_grad
    SpikingNeuron.zeros(state)
    assert torch.equal(state, torch.zeros(3))


def test_fire_functions_are_those_of_snntorch() -> None:
    theta = number(0.2, 0.9, True)
    ours, theirs = snn.Leaky(0.9, theta), snntorch.Leaky(0.9, theta, spike_grad=heaviside)
    mem = drive()[0]
    assert 0 < ours.fire(mem).mean() < 1
    assert torch.equal(ours.fire(mem), theirs.fire(mem))
    assert torch.equal(ours.fire_inhibition(8, mem), theirs.fire_inhibition(8, mem))
    assert torch.equal(ours.mem_reset(mem), theirs.mem_reset(mem))
    assert not torch.equal(ours.fire_inhibition(8, mem), ours.fire(mem))


class Mine(torch.autograd.Function):
    """A user's own surrogate."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return (x > 0).to(x.dtype)

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return grad / (1 + 3 * x.abs()) ** 2


@every
def test_a_callable_of_the_users_is_a_surrogate_too(name: str) -> None:
    found = []
    for surrogate in (Mine.apply, snn.fast_sigmoid(3.0)):
        neuron = NEURONS[name](spike_grad=surrogate, multi_step=True, output=True)
        assert neuron.runs_as_one_function() == isinstance(surrogate, snn.Surrogate)
        current = drive().requires_grad_()
        spikes, *states = neuron(current)
        loss = (drive(9) * spikes).sum() + sum((drive(8) * state).sum() for state in states)
        found.append((spikes, torch.autograd.grad(loss, current)[0]))
    assert torch.equal(found[0][0], found[1][0])
    assert found[0][1].abs().max() > 0.1
    assert (found[0][1] - found[1][1]).abs().max() < 1e-9


@every
def test_a_block_is_no_graph_of_its_steps(name: str) -> None:
    def nodes(neuron: nn.Module) -> int:
        current = drive().requires_grad_()
        seen, todo = set(), [neuron(current).grad_fn]
        while todo:
            node = todo.pop()
            if node is not None and node not in seen:
                seen.add(node)
                todo.extend(parent for parent, _ in node.next_functions)
        return len(seen)

    assert nodes(NEURONS[name](multi_step=True)) < 15
    assert nodes(NEURONS[name](multi_step=True, spike_grad=Mine.apply)) > 60


@every
@pytest.mark.parametrize("multi_step", [False, True])
def test_a_disabled_surrogate_fires_alike_and_passes_no_gradient(
    name: str, multi_step: bool
) -> None:
    sound = NEURONS[name](multi_step=multi_step)
    disabled = NEURONS[name](multi_step=multi_step, surrogate_disable=True, spike_grad=Mine.apply)
    current = drive().requires_grad_()
    if multi_step:
        ours, theirs = disabled(current), sound(current)
        assert torch.autograd.grad(ours.sum(), current)[0].abs().max() == 0
    else:
        ours, theirs = (
            torch.stack([neuron(step)[0] for step in current]) for neuron in (disabled, sound)
        )
        assert not ours.requires_grad
    assert ours.sum() > 0
    assert torch.equal(ours, theirs)
    assert torch.autograd.grad(theirs.sum(), current)[0].abs().max() > 0


@every
def test_strict_decides_whether_the_threshold_itself_fires(name: str) -> None:
    """Found on the value that the membrane takes."""
    probe = NEURONS[name](reset_mechanism="none", output=True)
    step = torch.full((1, 1), 0.5)
    if name == "Alpha":  # its first membrane is 0
        probe(step)
    theta = probe(step)[-1]
    for strict, fires in ((True, 0), (False, 1)):
        for multi_step in (False, True):
            neuron = NEURONS[name](reset_mechanism="none", strict=strict, multi_step=multi_step)
            neuron.threshold = theta.reshape(())
            steps = torch.stack([step] * (2 if name == "Alpha" else 1))
            spikes = neuron(steps) if multi_step else [neuron(x)[0] for x in steps]
            assert spikes[-1].item() == fires


@every
def test_the_reset_mechanism_is_settable(name: str) -> None:
    current = drive(scale=1.5)
    for multi_step in (False, True):
        found = []
        for first in ("zero", "subtract", "none"):
            neuron = NEURONS[name](reset_mechanism=first, multi_step=multi_step)
            neuron.reset_mechanism = "zero"
            assert (neuron.reset_mechanism, int(neuron.reset_mechanism_val)) == ("zero", 1)
            spikes = neuron(current) if multi_step else [neuron(step)[0] for step in current]
            found.append(torch.stack(list(spikes)))
        assert torch.equal(found[0], found[1])
        assert torch.equal(found[0], found[2])
        other = NEURONS[name](reset_mechanism="none", multi_step=True)(current)
        assert not torch.equal(found[0], other)


@every
def test_state_quant_takes_any_callable_in_steps_and_blocks(name: str) -> None:
    def grid(x: Tensor) -> Tensor:
        return torch.floor(x * 8) / 8

    found = []
    for multi_step in (False, True):
        neuron = NEURONS[name](state_quant=grid, multi_step=multi_step, output=True)
        current = drive()
        rows = neuron(current) if multi_step else zip(*(neuron(x) for x in current), strict=True)
        found.append([row if multi_step else torch.stack(row) for row in rows])
    for steps, block in zip(*found, strict=True):
        assert torch.equal(steps, block)
    assert all(torch.equal(state, grid(state)) for state in found[0][1:])
    assert found[0][0].mean() > 0


@every
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_dtype_of_the_input_is_kept(name: str, dtype: torch.dtype) -> None:
    for multi_step in (False, True):
        neuron = NEURONS[name](multi_step=multi_step, output=True)
        current = drive().to(dtype)
        assert {out.dtype for out in neuron(current if multi_step else current[0])} == {dtype}


@every
def test_every_class_answers_the_exporter(name: str) -> None:
    neuron = NEURONS[name](graded_spikes_factor=2.0)
    assert 0 < neuron.effective_beta().item() <= 1
    assert neuron.effective_threshold().item() > 0
    assert neuron.effective_gain().item() > 0
    assert float(neuron.graded_spikes_factor) == 2
    assert (neuron.reset_delay, neuron.strict, neuron.inhibition) == (True, True, False)
    assert (neuron.multi_step, neuron.output) == (False, False)
    assert neuron.reset_mechanism == ("zero" if name == "Alpha" else "subtract")
    if name not in ("Synaptic", "Alpha"):
        with pytest.raises(LayerError, match=f"{name}: this neuron has no alpha"):
            neuron.effective_alpha()
    assert repr(neuron).startswith(name)


def test_a_learnt_threshold_stays_positive() -> None:
    neuron = snn.Leaky(0.9, learn_threshold=True)
    with torch.no_grad():
        neuron.threshold.fill_(-1.0)
    assert neuron.effective_threshold().item() == pytest.approx(1e-3)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"threshold": 0.0}, "Leaky: threshold is 0.0; it must be above 0"),
        ({"threshold": float("nan")}, "Leaky: threshold is nan; it must be finite"),
        ({"beta": float("inf")}, "Leaky: beta is inf; it must be finite"),
        ({"reset_mechanism": "soft"}, "Leaky: reset_mechanism is 'soft'; it must be one of"),
        ({"spike_grad": 3}, "Leaky: spike_grad is 3; it must be callable"),
        ({"state_quant": 8}, "Leaky: state_quant is 8; it must be callable or False"),
        ({"strict": False, "spike_grad": heaviside}, "Leaky: strict=False needs a spike_grad"),
    ],
    ids=lambda value: str(value).split(" at 0x")[0],
)
def test_a_bad_argument_is_refused(options: dict[str, object], problem: str) -> None:
    with pytest.raises(LayerError) as caught:
        snn.Leaky(**{"beta": 0.9, **options})
    assert str(caught.value).startswith(problem)


def test_a_bad_input_is_refused() -> None:
    with pytest.raises(LayerError, match=r"Leaky: the input has shape \[3\]; it must be \[T, B"):
        snn.Leaky(0.9, multi_step=True)(torch.zeros(3))
    with pytest.raises(LayerError, match=r"Leaky: the input has shape \[0, 2, 3\]"):
        snn.Leaky(0.9, multi_step=True)(torch.zeros(0, 2, 3))
    with pytest.raises(LayerError, match=r"Leaky: beta has shape \[4\]; it must be a scalar or"):
        snn.Leaky(torch.full((4,), 0.9))(torch.zeros(2, 3))
