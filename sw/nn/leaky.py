"""First-order leaky integrate-and-fire neurons with snnTorch's names."""

from __future__ import annotations

from typing import Any, Unpack

from torch import Tensor

from .lif_function import run_lif
from .neuron_options import Options, SpikeFunction
from .spiking_neuron import SpikingNeuron


class FirstOrder(SpikingNeuron):
    """Neurons whose one state is the membrane: a leak, an input gain and a reset.

    With ``L = β·u``, ``x`` the input times the gain and ``r`` as in :class:`SpikingNeuron`, the
    update is that of :class:`reslif.sw.nn.LIF`. Classes differ in ``effective_beta``,
    ``effective_gain`` and ``reset_keeps_input``.
    """

    reset_keeps_input: bool = True
    """A delayed reset to zero keeps this step's input (``v = (r ? 0 : L) + x``) or drops it."""

    def forward(self, input_: Tensor, mem: Tensor | None = None) -> Any:
        """Spikes, and membrane as :class:`SpikingNeuron` says, for a current [(T,) B, ...]."""
        return self._run(input_, mem)

    has_gain: bool = False
    """Whether the input is multiplied by :meth:`effective_gain`."""

    def _scaled(self, input_: Tensor, step: Tensor) -> Tensor:
        """The input, one ``step`` or all of them, times the gain."""
        if not self.has_gain:
            return input_
        return input_ * self._fit("gain", self.effective_gain(), step)

    def _step(self, input_: Tensor, states: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        (mem,) = states
        leak = self._fit("beta", self.effective_beta(), input_) * mem
        current = self._scaled(input_, input_)
        if not self.reset_delay or self.reset_mechanism == "none":
            v = leak + current
        else:
            r = self.mem_reset(mem)
            if self.reset_mechanism == "subtract":
                v = leak + current - r * self._fit("threshold", self.effective_threshold(), mem)
            elif self.reset_keeps_input:
                v = (1 - r) * leak + current
            else:
                v = (1 - r) * (leak + current)
        return self._emit(self._quantised(v))

    def _over_time(self, inputs: Tensor, states: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        if not self.runs_as_one_function():
            return self._loop(inputs, states)
        step = inputs[0]
        spikes, membrane = run_lif(
            self._scaled(inputs, step),
            self._fit("beta", self.effective_beta(), step),
            self._fit("threshold", self.effective_threshold(), step),
            self.rule(self.reset_keeps_input),
            states[0],
        )
        return self._graded(spikes), membrane


class Leaky(FirstOrder):
    """snnTorch's ``Leaky``: ``v = β·u + I``, minus ``r·θ``, or with ``u`` zeroed where it fired.

    Args:
        beta: leak β, scalar or per neuron, used clamped to [0, 1].
        learn_beta: make it a parameter.
        others: as in :class:`SpikingNeuron`.
    """

    beta: Tensor

    def __init__(
        self,
        beta: float | Tensor,
        threshold: float | Tensor = 1.0,
        spike_grad: SpikeFunction | None = None,
        surrogate_disable: bool = False,
        init_hidden: bool = False,
        inhibition: bool = False,
        learn_beta: bool = False,
        learn_threshold: bool = False,
        reset_mechanism: str = "subtract",
        state_quant: SpikeFunction | bool | None = False,
        output: bool = False,
        graded_spikes_factor: float | Tensor = 1.0,
        learn_graded_spikes_factor: bool = False,
        reset_delay: bool = True,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(
            threshold, spike_grad, surrogate_disable, init_hidden, inhibition, learn_threshold,
            reset_mechanism, state_quant, output, graded_spikes_factor,
            learn_graded_spikes_factor, reset_delay, **options,
        )  # fmt: skip
        self._store("beta", beta, learn_beta)

    def init_leaky(self) -> Tensor:
        """:meth:`reset_mem` by its deprecated name."""
        return self.reset_mem()
