"""Integrate-and-fire without a leak, and the leaky integrator that never fires."""

from __future__ import annotations

from typing import Unpack

from torch import Tensor

from .filter_function import run_filter
from .leaky import FirstOrder, Leaky
from .neuron_options import SharedOptions, SpikeFunction


class IF(Leaky):
    """Integrate-and-fire: :class:`Leaky` that loses nothing, β = 1; options by keyword."""

    def __init__(self, threshold: float | Tensor = 1.0, **options: Unpack[SharedOptions]) -> None:
        super().__init__(1.0, threshold, **options)


class LI(FirstOrder):
    """A leaky integrator, ``u ← β·u + I``: no threshold, no spike, no reset.

    It sends its membrane where others send spikes: ``forward`` returns ``(u, u)``, or just u
    under ``init_hidden`` or ``multi_step``. As the last layer it is a smooth readout.

    Args:
        beta: leak β, scalar or per neuron, used clamped to [0, 1].
        learn_beta: make it a parameter.
        others: as in :class:`SpikingNeuron`.
    """

    beta: Tensor

    def __init__(
        self,
        beta: float | Tensor,
        learn_beta: bool = False,
        *,
        init_hidden: bool = False,
        state_quant: SpikeFunction | bool | None = False,
        output: bool = False,
        multi_step: bool = False,
    ) -> None:
        super().__init__(
            init_hidden=init_hidden, reset_mechanism="none", state_quant=state_quant,
            output=output, multi_step=multi_step,
        )  # fmt: skip
        self._store("beta", beta, learn_beta)

    def init_li(self) -> Tensor:
        """:meth:`reset_mem` by a name like snnTorch's."""
        return self.reset_mem()

    def _step(self, input_: Tensor, states: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        leak = self._fit("beta", self.effective_beta(), input_) * states[0]
        membrane = self._quantised(leak + input_)
        return membrane, membrane

    def _over_time(self, inputs: Tensor, states: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        if self.state_quant:
            return self._loop(inputs, states)
        beta = self._fit("beta", self.effective_beta(), inputs[0])
        membrane = run_filter(inputs, beta, states[0])
        return membrane, membrane
