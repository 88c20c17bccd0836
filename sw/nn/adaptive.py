"""The LIF neuron whose threshold rises with every spike."""

from __future__ import annotations

from typing import Any, ClassVar, Unpack

from torch import Tensor

from .adaptive_function import AdaptiveNumbers, run_adaptive
from .lif_function import winner_mask
from .neuron_options import GradedOptions, SpikeFunction
from .spiking_neuron import SpikingNeuron
from .surrogate import Surrogate


class Adaptive(SpikingNeuron):
    """Adaptive-threshold LIF (ALIF; Bellec et al., NeurIPS 2018). snnTorch has none.

    ``v = β·u + I``, reset as in :class:`Synaptic`, which takes the baseline θ. It fires,
    ``f = v > θ + b``, by the adaptation b of the step before; then ``b ← ρ·b + increment·f``.
    The paper's ``b`` is this one over its β, so its β is ``increment/(1 − ρ)``. The gradient of
    b flows through its spikes; ``detach_reset`` is about the reset alone.

    The states are ``(fired, adaptation, mem)``. ``fired`` is r of the next step, which does not
    follow from the other two. ``fire``, ``fire_inhibition`` and ``mem_reset`` know a membrane
    alone: pass them ``mem − adaptation``.

    Args:
        beta: leak β of the membrane, scalar or per neuron, used clamped to [0, 1].
        adaptation_beta: decay ρ of the adaptation, likewise.
        increment: what a spike adds to the threshold, 0 or more, scalar or per neuron.
        learn_beta, learn_adaptation, learn_increment: make β, ρ and the increment parameters.
        others: as in :class:`SpikingNeuron`. ``state_quant`` acts on adaptation and membrane.

    Raises:
        LayerError: also if the increment is negative.
    """

    state_names: ClassVar[tuple[str, ...]] = ("fired", "adaptation", "mem")

    beta: Tensor
    adaptation_beta: Tensor
    increment: Tensor

    def __init__(
        self,
        beta: float | Tensor,
        adaptation_beta: float | Tensor,
        increment: float | Tensor,
        threshold: float | Tensor = 1.0,
        spike_grad: SpikeFunction | None = None,
        surrogate_disable: bool = False,
        init_hidden: bool = False,
        inhibition: bool = False,
        learn_beta: bool = False,
        learn_adaptation: bool = False,
        learn_increment: bool = False,
        learn_threshold: bool = False,
        reset_mechanism: str = "subtract",
        state_quant: SpikeFunction | bool | None = False,
        output: bool = False,
        reset_delay: bool = True,
        **options: Unpack[GradedOptions],
    ) -> None:
        super().__init__(
            threshold, spike_grad, surrogate_disable, init_hidden, inhibition, learn_threshold,
            reset_mechanism, state_quant, output, reset_delay=reset_delay, **options,
        )  # fmt: skip
        self._store("beta", beta, learn_beta)
        self._store("adaptation_beta", adaptation_beta, learn_adaptation)
        self._store("increment", increment, learn_increment)
        if bool((self.increment < 0).any()):
            raise self._error(f"increment is {increment}; it must be 0 or more")

    def forward(
        self,
        input_: Tensor,
        fired: Tensor | None = None,
        adaptation: Tensor | None = None,
        mem: Tensor | None = None,
    ) -> Any:
        """Spikes, and states as :class:`SpikingNeuron` says, for a current [(T,) B, ...]."""
        return self._run(input_, fired, adaptation, mem)

    def effective_adaptation_beta(self) -> Tensor:
        """ρ, the adaptation's factor from step to step, as used: clamped to [0, 1]."""
        return self.adaptation_beta.clamp(0, 1)

    def effective_increment(self) -> Tensor:
        """What a spike adds to the threshold, as used: clamped to at least 0."""
        return self.increment.clamp(min=0)

    def _numbers(self, step: Tensor) -> AdaptiveNumbers:
        return AdaptiveNumbers(
            self._fit("beta", self.effective_beta(), step),
            self._fit("adaptation_beta", self.effective_adaptation_beta(), step),
            self._fit("increment", self.effective_increment(), step),
            self._fit("threshold", self.effective_threshold(), step),
        )

    def _step(self, input_: Tensor, states: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        r, adaptation, mem = states
        beta, adaptation_beta, increment, threshold = self._numbers(input_)
        v = beta * mem + input_
        if self.reset_delay:
            v = self._reset(v, r, threshold)
        v = self._quantised(v)
        margin = v - (threshold + adaptation)
        fired = self._fires(margin, threshold)
        spikes = fired * winner_mask(margin) if self.inhibition else fired
        adaptation = self._quantised(adaptation_beta * adaptation + increment * fired)
        mem = v if self.reset_delay else self._reset(v, fired, threshold)
        return self._graded(spikes), fired, adaptation, mem

    def _fires(self, margin: Tensor, threshold: Tensor) -> Tensor:
        x = margin / threshold if self.normalise_surrogate else margin
        if isinstance(self.spike_grad, Surrogate):
            return self.spike_grad(x, self.strict)
        return self.spike_grad(x)

    def _reset(self, v: Tensor, fired: Tensor, threshold: Tensor) -> Tensor:
        r = fired.detach() if self.detach_reset else fired
        if self.reset_mechanism == "subtract":
            return v - r * threshold
        return (1 - r) * v if self.reset_mechanism == "zero" else v

    def _over_time(self, inputs: Tensor, states: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        if not self.runs_as_one_function():
            return self._loop(inputs, states)
        numbers = self._numbers(inputs[0])
        spikes, *trace = run_adaptive(inputs, states, numbers, self.rule(reset_keeps_input=False))
        return self._graded(spikes), *trace
