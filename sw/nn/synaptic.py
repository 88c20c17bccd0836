"""The second-order LIF neuron, whose synapses have a decay of their own, with snnTorch's names."""

from __future__ import annotations

from typing import Any, ClassVar, Unpack

from torch import Tensor

from .filter_function import run_filter
from .lif_function import run_lif
from .neuron_options import GradedOptions, SpikeFunction
from .spiking_neuron import SpikingNeuron


class Synaptic(SpikingNeuron):
    """snnTorch's ``Synaptic``: ``i ← α·i + I``, then a LIF neuron driven by the new i.

    ``v = β·u + i − r·θ``, or with reset to zero ``v = (1 − r)·(β·u + i)``. The synaptic current
    is never reset, so it does not depend on the spikes: a block is a filter, then a LIF.

    Args:
        alpha: decay α of the synaptic current, scalar or per neuron, used clamped to [0, 1].
        beta: decay β of the membrane, likewise.
        learn_alpha, learn_beta: make them parameters.
        others: as in :class:`SpikingNeuron`. ``state_quant`` acts on both states, after the
            membrane took the unquantised current.
    """

    state_names: ClassVar[tuple[str, ...]] = ("syn", "mem")

    alpha: Tensor
    beta: Tensor

    def __init__(
        self,
        alpha: float | Tensor,
        beta: float | Tensor,
        threshold: float | Tensor = 1.0,
        spike_grad: SpikeFunction | None = None,
        surrogate_disable: bool = False,
        init_hidden: bool = False,
        inhibition: bool = False,
        learn_alpha: bool = False,
        learn_beta: bool = False,
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
        self._store("alpha", alpha, learn_alpha)
        self._store("beta", beta, learn_beta)

    def forward(self, input_: Tensor, syn: Tensor | None = None, mem: Tensor | None = None) -> Any:
        """Spikes, and states as :class:`SpikingNeuron` says, for a current [(T,) B, ...]."""
        return self._run(input_, syn, mem)

    def init_synaptic(self) -> tuple[Tensor, Tensor]:
        """:meth:`reset_mem` by its deprecated name."""
        return self.reset_mem()

    def _step(self, input_: Tensor, states: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        syn, mem = states
        syn = self._fit("alpha", self.effective_alpha(), input_) * syn + input_
        v = self._fit("beta", self.effective_beta(), input_) * mem + syn
        if self.reset_delay and self.reset_mechanism != "none":
            r = self.mem_reset(mem)
            if self.reset_mechanism == "subtract":
                v = v - r * self._fit("threshold", self.effective_threshold(), mem)
            else:
                v = (1 - r) * v
        spikes, mem = self._emit(self._quantised(v))
        return spikes, self._quantised(syn), mem

    def _over_time(self, inputs: Tensor, states: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        if not self.runs_as_one_function():
            return self._loop(inputs, states)
        step, (syn, mem) = inputs[0], states
        current = run_filter(inputs, self._fit("alpha", self.effective_alpha(), step), syn)
        spikes, membrane = run_lif(
            current,
            self._fit("beta", self.effective_beta(), step),
            self._fit("threshold", self.effective_threshold(), step),
            self.rule(reset_keeps_input=False),
            mem,
        )
        return self._graded(spikes), current, membrane
