"""IF, LI and the parametric LIF against snnTorch where it has them, else written out."""

import pytest
import reslif.sw.nn as snn
import snntorch
import torch
from reslif.sw.nn import LayerError
from snntorch_oracle import (
    RESETS,
    SHORT,
    Trace,
    all_at_once,
    compare,
    difference,
    drive,
    heaviside,
    number,
    require_gradients,
    step_by_step,
)
from torch import Tensor

NAMES = ("mem",)
per_neuron = pytest.mark.parametrize("per_neuron", [False, True], ids=["scalar", "per-neuron"])
reset = pytest.mark.parametrize("reset", RESETS)
multi_step = pytest.mark.parametrize("multi_step", [False, True], ids=["steps", "block"])


@per_neuron
@reset
@multi_step
def test_if_is_snntorch_leaky_with_beta_1(multi_step: bool, reset: str, per_neuron: bool) -> None:
    theta = number(0.4, 1.6, per_neuron)
    theirs = snntorch.Leaky(number(1, 1, False), theta, spike_grad=heaviside, reset_mechanism=reset)
    ours = snn.IF(theta, reset_mechanism=reset, multi_step=multi_step, output=True)
    compare(theirs, ours, drive(offset=0), NAMES).require()
    theirs.reset_mem()
    leaking = snn.Leaky(0.99, theta, reset_mechanism=reset)
    with pytest.raises(AssertionError):
        compare(theirs, leaking, drive(offset=0), NAMES).require()


@per_neuron
@multi_step
def test_li_is_the_membrane_of_a_leaky_without_reset(multi_step: bool, per_neuron: bool) -> None:
    beta = number(0.5, 1.0, per_neuron)
    theirs = step_by_step(
        snntorch.Leaky(beta, 1.0, spike_grad=heaviside, reset_mechanism="none"), drive(), NAMES
    )
    ours = snn.LI(beta, multi_step=multi_step, output=True)
    found = (all_at_once if multi_step else step_by_step)(ours, drive(), NAMES)
    assert torch.equal(found.spikes, found.states["mem"])
    error = (found.states["mem"] - theirs.states["mem"]).abs().max()
    assert error <= 1e-9
    assert theirs.states["mem"].abs().max() > 1


def test_li_sends_its_membrane_where_others_send_spikes() -> None:
    current = drive()
    whole = snn.LI(0.9, multi_step=True)(current)
    hidden = snn.LI(0.9, init_hidden=True)
    assert torch.allclose(torch.stack([hidden(step) for step in current]), whole, atol=1e-12)
    sent, mem = snn.LI(0.9)(current[0])
    assert torch.equal(sent, mem)
    assert torch.equal(snn.LI(0.9).init_li(), torch.zeros(0))


@per_neuron
def test_li_backward_by_hand_equals_autograd(per_neuron: bool) -> None:
    neuron = snn.LI(number(0.5, 0.95, per_neuron), learn_beta=True, multi_step=True, output=True)
    require_gradients(neuron, drive(shape=SHORT), NAMES)
    require_gradients(neuron, drive(shape=SHORT), NAMES, [drive(3, (8, 12))])


def test_li_takes_a_state_quantiser() -> None:
    grid = torch.round
    whole, single = (
        snn.LI(0.75, state_quant=grid, multi_step=multi, output=True) for multi in (True, False)
    )
    block = all_at_once(whole, drive(scale=3), NAMES)
    steps = step_by_step(single, drive(scale=3), NAMES)
    assert torch.equal(block.states["mem"], steps.states["mem"])
    assert torch.equal(block.states["mem"], block.states["mem"].round())
    assert block.states["mem"].abs().max() > 1


def charge(current: Tensor, tau: Tensor, decay_input: bool, theta: float) -> Trace:
    """The neuron of Fang et al. (ICCV 2021): reset to zero at once, fires at v ≥ θ."""
    v = torch.zeros_like(current[0])
    spikes, membranes = [], []
    for step in current:
        v = v + (step - v) / tau if decay_input else v - v / tau + step
        fired = v >= theta
        v = torch.where(fired, 0.0, v)
        spikes.append(fired.to(v.dtype))
        membranes.append(v)
    return Trace(torch.stack(spikes), {"mem": torch.stack(membranes)})


@per_neuron
@pytest.mark.parametrize("decay_input", [True, False])
@multi_step
def test_parametric_lif_is_that_of_its_paper(
    multi_step: bool, decay_input: bool, per_neuron: bool
) -> None:
    tau = number(1.5, 4.0, per_neuron)
    neuron = snn.ParametricLIF(
        tau, decay_input, 0.5, reset_mechanism="zero", reset_delay=False, strict=False,
        multi_step=multi_step, output=True,
    )  # fmt: skip
    run = all_at_once if multi_step else step_by_step
    current = (drive(scale=2) * 4).round() / 4
    difference(run(neuron, current, NAMES), charge(current, tau, decay_input, 0.5)).require()
    neuron.reset_mem()
    wrong = charge(current, tau, not decay_input, 0.5)
    with pytest.raises(AssertionError):
        difference(run(neuron, current, NAMES), wrong).require()


@per_neuron
@reset
@pytest.mark.parametrize("decay_input", [True, False])
def test_parametric_lif_backward_by_hand_equals_autograd(
    decay_input: bool, reset: str, per_neuron: bool
) -> None:
    neuron = snn.ParametricLIF(
        number(1.5, 4.0, per_neuron), decay_input, number(0.4, 1.6, per_neuron),
        learn_threshold=True, spike_grad=snn.fast_sigmoid(3.0), reset_mechanism=reset,
        multi_step=True, output=True,
    )  # fmt: skip
    assert {name for name, _ in neuron.named_parameters()} == {"w", "threshold"}
    require_gradients(neuron, drive(shape=SHORT, scale=2), NAMES)


def test_parametric_lif_starts_from_its_time_constant() -> None:
    neuron = snn.ParametricLIF()
    assert neuron.effective_beta().item() == neuron.effective_gain().item() == 0.5
    assert snn.ParametricLIF(4.0).effective_beta().item() == pytest.approx(0.75)
    assert snn.ParametricLIF(4.0, decay_input=False).effective_gain().item() == 1
    with pytest.raises(LayerError, match=r"ParametricLIF: init_tau is 1\.0; it must be above 1"):
        snn.ParametricLIF(1.0)
