"""The base of the neurons that carry snnTorch's names: options, numbers, firing, reset."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from .lif_function import RESET_MECHANISMS, NeuronRule, winner_mask
from .neuron_options import Options as Options
from .neuron_options import SharedOptions as SharedOptions
from .neuron_options import SpikeFunction as SpikeFunction
from .neuron_state import StatefulNeuron
from .surrogate import ATan, Surrogate

# A learnable threshold must stay positive: it may divide the surrogate's argument, and hardware
# refuses θ ≤ 0.
MIN_LEARNABLE_THRESHOLD = 1e-3


class _Step(Surrogate):
    """The bare step of ``surrogate_disable``: nothing flows back through it."""

    def derivative(self, x: Tensor) -> Tensor:
        return torch.zeros_like(x)

    def __call__(self, x: Tensor, strict: bool = True) -> Tensor:
        return ((x > 0) if strict else (x >= 0)).to(x.dtype)


class SpikingNeuron(StatefulNeuron):
    """What every neuron of the family shares.

    **State.** ``state_names`` are a class's states, in the order in which they are passed and
    returned. A step computes ``r``, whether the membrane it starts from is above θ, then its
    update, then the spike. Single step (the default): ``forward(input_, *states)`` takes
    [B, ...] and returns ``(spikes, *states)``; a state that is not passed continues from the call
    before. With ``init_hidden`` states are never passed and only spikes are returned (with
    ``output`` the states as well). ``reset_mem()`` and its deprecated name (``init_leaky`` and
    so on) put a neuron at rest and return empty states, which stand for rest at any batch size.

    **Multi-step.** With ``multi_step`` the input is [T, B, ...] and the result is spikes
    [T, B, ...], with ``output`` also the stored states [T, B, ...]. State starts at rest, or as
    passed; ``init_hidden`` keeps it from call to call.

    Args:
        threshold: θ > 0, scalar or per neuron (broadcastable to the shape after B). Numbers are
            stored in torch's default dtype; pass a float64 tensor where 0.9 must mean 0.9.
        spike_grad: one of our :class:`Surrogate`, or any callable that turns ``v − θ`` into
            spikes (an autograd function of your own). Default atan(2). With a plain callable a
            multi-step call is a loop over single steps: same numbers, slower.
        surrogate_disable: a bare step through which no gradient flows.
        init_hidden: keep the states in the module.
        inhibition: only the neuron with the largest v − θ along the last dimension may emit
            (lowest index on ties); the others reset all the same. The graded factor applies.
        learn_threshold: make θ a parameter, used clamped to at least 0.001.
        reset_mechanism: ``"subtract"``, ``"zero"`` or ``"none"``; settable afterwards.
        state_quant: a callable applied once to every new state, before the spike; see
            :func:`reslif.sw.nn.state_quant`. Multi-step calls then loop over single steps.
        output: also return the states.
        graded_spikes_factor, learn_graded_spikes_factor: what a spike is multiplied by.
        reset_delay: the reset of step t lands in step t+1. False is the plain immediate reset,
            after firing m ← m − θ or m ← 0, where snnTorch may add θ back.
        multi_step: take whole [T, B, ...] blocks.
        detach_reset: no gradient through the reset's fire decision, as in snnTorch.
        strict: fire at ``v > θ``; False is ``v ≥ θ``, for imported models.
        normalise_surrogate: the surrogate sees ``(v − θ)/θ``; False is snnTorch's ``v − θ``.

    Raises:
        LayerError: bad argument, states passed under ``init_hidden``, or a state whose shape is
            not that of the input's step (a batch that changed; snnTorch forgets silently).
    """

    threshold: Tensor
    graded_spikes_factor: Tensor
    reset_mechanism_val: Tensor

    def __init__(
        self,
        threshold: float | Tensor = 1.0,
        spike_grad: SpikeFunction | None = None,
        surrogate_disable: bool = False,
        init_hidden: bool = False,
        inhibition: bool = False,
        learn_threshold: bool = False,
        reset_mechanism: str = "subtract",
        state_quant: SpikeFunction | bool | None = False,
        output: bool = False,
        graded_spikes_factor: float | Tensor = 1.0,
        learn_graded_spikes_factor: bool = False,
        reset_delay: bool = True,
        *,
        multi_step: bool = False,
        detach_reset: bool = True,
        strict: bool = True,
        normalise_surrogate: bool = False,
    ) -> None:
        super().__init__(init_hidden, output, multi_step)
        self.spike_grad: SpikeFunction = ATan() if spike_grad is None else spike_grad
        if surrogate_disable:
            self.spike_grad = _Step()
        if not callable(self.spike_grad):
            raise self._error(f"spike_grad is {spike_grad!r}; it must be callable")
        if not strict and not isinstance(self.spike_grad, Surrogate):
            raise self._error("strict=False needs a spike_grad of this library")
        if state_quant and not callable(state_quant):
            raise self._error(f"state_quant is {state_quant!r}; it must be callable or False")
        self.surrogate_disable = surrogate_disable
        self.inhibition, self.learn_threshold = inhibition, learn_threshold
        self.state_quant = state_quant
        self.reset_delay = reset_delay
        self.detach_reset, self.strict = detach_reset, strict
        self.normalise_surrogate = normalise_surrogate
        self._store("threshold", threshold, learn_threshold)
        if not bool((self.threshold > 0).all()):
            raise self._error(f"threshold is {threshold}; it must be above 0")
        self._store("graded_spikes_factor", graded_spikes_factor, learn_graded_spikes_factor)
        # A buffer as in snnTorch, so that state dicts of either load into the other.
        self.register_buffer("reset_mechanism_val", torch.tensor(0))
        self.reset_mechanism = reset_mechanism

    def runs_as_one_function(self) -> bool:
        """Whether a multi-step call may be one autograd function: no foreign callable inside."""
        return isinstance(self.spike_grad, Surrogate) and not self.state_quant

    # Firing and reset, shared by the single-step paths.

    def fire(self, mem: Tensor) -> Tensor:
        """Spikes of a membrane [B, ...], times the graded factor, without inhibition."""
        return self._graded(self._fired(mem))

    def fire_inhibition(self, batch_size: int, mem: Tensor) -> Tensor:
        """As :meth:`fire`, of the winner alone; ``batch_size`` is snnTorch's, and unused."""
        return self._graded(self._fired(mem) * winner_mask(mem - self.effective_threshold()))

    def mem_reset(self, mem: Tensor) -> Tensor:
        """r: 1 where a membrane [B, ...] is above θ; detached if ``detach_reset``."""
        if not self.detach_reset:
            return self._fired(mem)
        with torch.no_grad():
            return self._fired(mem)

    def _fired(self, mem: Tensor) -> Tensor:
        """The fire decision before inhibition and graded factor, with the surrogate's gradient."""
        theta = self._fit("threshold", self.effective_threshold(), mem)
        x = (mem - theta) / theta if self.normalise_surrogate else mem - theta
        if isinstance(self.spike_grad, Surrogate):
            return self.spike_grad(x, self.strict)
        return self.spike_grad(x)

    def _emit(self, mem: Tensor) -> tuple[Tensor, Tensor]:
        """(spikes, mem after an immediate reset if there is one) of the compared membrane."""
        return self._emit_with_decision(mem)[:2]

    def _emit_with_decision(self, mem: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """As :meth:`_emit`, and the fire decision before inhibition and graded factor."""
        fired = self._fired(mem)
        spikes = fired
        if self.inhibition:
            theta = self._fit("threshold", self.effective_threshold(), mem)
            spikes = fired * winner_mask(mem - theta)
        if not self.reset_delay:
            r = fired.detach() if self.detach_reset else fired
            if self.reset_mechanism == "subtract":
                mem = mem - r * self._fit("threshold", self.effective_threshold(), mem)
            elif self.reset_mechanism == "zero":
                mem = mem * (1 - r)
        return self._graded(spikes), mem, fired

    def _graded(self, spikes: Tensor) -> Tensor:
        factor = self.graded_spikes_factor
        if not factor.requires_grad and bool((factor == 1).all()):
            return spikes
        return spikes * self._fit("graded_spikes_factor", factor, spikes)

    def _quantised(self, state: Tensor) -> Tensor:
        return self.state_quant(state) if callable(self.state_quant) else state

    # Numbers and options.

    def effective_beta(self) -> Tensor:
        """The membrane's factor from step to step, as used: clamped to [0, 1]."""
        return self._number("beta").clamp(0, 1)

    def effective_alpha(self) -> Tensor:
        """The synaptic current's factor from step to step, as used: clamped to [0, 1]."""
        return self._number("alpha").clamp(0, 1)

    def effective_gain(self) -> Tensor:
        """What the input current is multiplied by before the update: 1 unless a class says."""
        return torch.ones_like(self.threshold)

    def effective_threshold(self) -> Tensor:
        """θ as used: a learnable threshold is kept at 0.001 or more."""
        if self.learn_threshold:
            return self.threshold.clamp(min=MIN_LEARNABLE_THRESHOLD)
        return self.threshold

    @property
    def reset_mechanism(self) -> str:
        return self._reset_mechanism

    @reset_mechanism.setter
    def reset_mechanism(self, name: str) -> None:
        if name not in RESET_MECHANISMS:
            raise self._error(
                f"reset_mechanism is {name!r}; it must be one of {', '.join(RESET_MECHANISMS)}"
            )
        self.reset_mechanism_val.fill_(RESET_MECHANISMS.index(name))
        self._reset_mechanism = name

    def rule(self, reset_keeps_input: bool = True) -> NeuronRule:
        """The step's options for the autograd functions; see :meth:`runs_as_one_function`."""
        assert isinstance(self.spike_grad, Surrogate)
        return NeuronRule(
            surrogate=self.spike_grad,
            reset_mechanism=self.reset_mechanism,
            reset_delay=self.reset_delay,
            reset_keeps_input=reset_keeps_input,
            detach_reset=self.detach_reset,
            strict=self.strict,
            normalise_surrogate=self.normalise_surrogate,
            inhibition=self.inhibition,
        )

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self._reset_mechanism = RESET_MECHANISMS[int(self.reset_mechanism_val)]

    def _store(self, name: str, value: float | Tensor, learn: bool) -> None:
        """A number of the neuron as parameter or buffer, a copy: layers never share one."""
        tensor = torch.as_tensor(value)
        if not tensor.is_floating_point():
            tensor = tensor.to(torch.get_default_dtype())
        if not bool(torch.isfinite(tensor).all()):
            raise self._error(f"{name} is {value}; it must be finite")
        tensor = tensor.detach().clone()
        if learn:
            self.register_parameter(name, nn.Parameter(tensor))
        else:
            self.register_buffer(name, tensor)

    def _number(self, name: str) -> Tensor:
        if not isinstance(value := getattr(self, name, None), Tensor):
            raise self._error(f"this neuron has no {name}")
        return value

    def _fit(self, name: str, value: Tensor, input_: Tensor) -> Tensor:
        """A number in the dtype of a step's input [B, ...], checked to broadcast to it."""
        shape, target = value.shape, input_.shape[1:]
        if len(shape) > len(target) or any(
            a not in (1, b) for a, b in zip(reversed(shape), reversed(target), strict=False)
        ):
            raise self._error(
                f"{name} has shape {list(shape)}; it must be a scalar or broadcast to the "
                f"neurons' shape {list(target)}"
            )
        return value.to(input_.dtype)

    def extra_repr(self) -> str:
        def show(name: str) -> str:
            value = self._number(name)
            text = f"{value.item():.6g}" if value.numel() == 1 else f"{list(value.shape)}"
            return f"{name}={text}"

        numbers = [show(name) for name in ("alpha", "beta", "threshold") if hasattr(self, name)]
        when = "delayed" if self.reset_delay else "immediate"
        return ", ".join([*numbers, f"reset={self.reset_mechanism} {when}"])
