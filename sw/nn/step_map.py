"""One timestep of a network as a map of its neurons' states: what Lyapunov exponents are of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from .alpha import Alpha
from .errors import LayerError
from .lapicque import Lapicque
from .leaky import Leaky
from .lif import LIF, LIFState
from .neuron_state import StatefulNeuron
from .rleaky import RecurrentNeuron
from .spiking_neuron import SpikingNeuron
from .synaptic import Synaptic

States = tuple[Tensor, ...]
"""Every membrane and synaptic current of a network after a step, each [B, ...]."""

_NEURONS = (LIF, Leaky, Lapicque, Synaptic, Alpha, RecurrentNeuron)


class StepMap:
    """Runs ``module`` one timestep at a time from states that the caller gives.

    The states are the continuous ones. A spike of the step before (what a delayed reset or a
    recurrence reads) is no state of its own: it is decided anew from the membrane, through the
    surrogate, so that a perturbed membrane has its own spikes and the Jacobian its terms. All
    operations are plain, hence differentiable as often as the surrogate is.

    Made by :func:`step_map`.
    """

    def __init__(self, module: nn.Module, neurons: Sequence[nn.Module], over_time: bool) -> None:
        self.module, self.neurons, self.over_time = module, neurons, over_time
        self.spikes: list[Tensor] = []

    def __call__(self, x: Tensor, states: States | None = None) -> tuple[States, States]:
        """(states after the step, spikes of every neuron layer, each [B, ...]).

        Args:
            x: the step's input [B, ...].
            states: what the step starts from; None is rest.
        """
        given = iter(() if states is None else states)
        for neuron in self.neurons:
            _start(neuron, None if states is None else given)
        self.spikes.clear()
        self.module(x.unsqueeze(0) if self.over_time else x)
        found = tuple(state for neuron in self.neurons for state in _stored(neuron))
        return found, tuple(self.spikes)

    def record(self, _module: nn.Module, _inputs: object, output: Any) -> None:
        """Forward hook that keeps a neuron layer's spikes."""
        spikes = output[0] if isinstance(output, tuple) else output
        self.spikes.append(spikes[0] if self.over_time else spikes)


@contextmanager
def step_map(module: nn.Module) -> Iterator[StepMap]:
    """``module`` as a map of states, in evaluation mode; afterwards it is as it was before.

    Args:
        module: on [T, B, ...], or, of single-step neurons that keep their state
            (``init_hidden``), on [B, ...].

    Raises:
        LayerError: no neurons; neurons of both kinds; one whose state is more than membranes and
            synaptic currents, or a recurrent one with an immediate reset, after which the
            membrane no longer tells what was sent.
    """
    neurons = [m for m in module.modules() if isinstance(m, LIF | StatefulNeuron)]
    if not neurons:
        raise LayerError(f"{type(module).__name__}: it has no spiking neurons, so no exponents")
    for neuron in neurons:
        _check(neuron)
    kinds = {isinstance(neuron, LIF) or neuron.multi_step for neuron in neurons}
    if len(kinds) > 1:
        raise LayerError(
            f"{type(module).__name__}: some of its neurons are multi-step, some single-step; they "
            "must be of one kind"
        )
    found = StepMap(module, neurons, over_time=kinds.pop())
    modes = [(part, part.training) for part in module.modules()]
    hooks = [neuron.register_forward_hook(found.record) for neuron in neurons]
    before = [_keep(neuron) for neuron in neurons]
    module.eval()
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()
        for neuron, kept in zip(neurons, before, strict=True):
            _restore(neuron, kept)
        for part, training in modes:
            part.training = training


def _check(neuron: nn.Module) -> None:
    name = type(neuron).__name__
    if not isinstance(neuron, _NEURONS):
        raise LayerError(f"{name}: Lyapunov exponents of this neuron are not offered")
    if isinstance(neuron, RecurrentNeuron) and not neuron.reset_delay:
        raise LayerError(
            f"{name}: its reset is immediate, it must be delayed, or the membrane does not tell "
            "what the recurrence reads"
        )


def _keep(neuron: nn.Module) -> dict[str, Any]:
    """Make a neuron keep its state from call to call, by single steps; what it was before."""
    if isinstance(neuron, LIF):
        before = {"stateful": neuron.stateful, "state": neuron.state}
        neuron.stateful = True
        return before
    assert isinstance(neuron, StatefulNeuron)
    names = ("init_hidden", *neuron.state_names)
    before = {name: getattr(neuron, name) for name in names}
    neuron.init_hidden = True
    # Not the one fast function, whose backward pass cannot be differentiated again.
    neuron._over_time = neuron._loop  # type: ignore[method-assign]
    return before


def _restore(neuron: nn.Module, before: dict[str, Any]) -> None:
    for name, value in before.items():
        setattr(neuron, name, value)
    neuron.__dict__.pop("_over_time", None)


def _start(neuron: nn.Module, given: Iterator[Tensor] | None) -> None:
    """Put a neuron into given states (None: at rest), its spikes decided from its membrane."""
    if isinstance(neuron, LIF):
        neuron.state = None
        if given is not None:
            membrane = next(given)
            neuron.state = LIFState(membrane, _fired(neuron, membrane))
        return
    assert isinstance(neuron, SpikingNeuron)
    neuron.reset()
    if given is None:
        return
    names = [name for name in neuron.state_names if name != "spk"]
    for name in names:
        setattr(neuron, name, next(given))
    if isinstance(neuron, RecurrentNeuron):
        membrane = neuron.mem
        assert isinstance(membrane, Tensor)
        neuron.spk = neuron._emit(membrane)[0]


def _fired(lif: LIF, membrane: Tensor) -> Tensor:
    if not lif.reset_delay:
        return torch.zeros_like(membrane)  # the reset has been; nothing reads this
    theta = lif.effective_threshold().to(membrane.dtype)
    distance = membrane - theta
    rule = lif.rule()
    return rule.surrogate(distance / theta if rule.normalise_surrogate else distance, rule.strict)


def _stored(neuron: nn.Module) -> States:
    if isinstance(neuron, LIF):
        assert neuron.state is not None
        return (neuron.state.membrane,)
    assert isinstance(neuron, StatefulNeuron)
    return tuple(getattr(neuron, name) for name in neuron.state_names if name != "spk")
