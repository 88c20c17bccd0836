"""The parametric LIF neuron, whose time constant is learnt."""

from __future__ import annotations

from typing import Unpack

import torch
from torch import Tensor

from .leaky import FirstOrder
from .neuron_options import SharedOptions


class ParametricLIF(FirstOrder):
    """A LIF neuron whose time constant τ is learnt through a logistic function.

    ``1/τ = σ(w)``, so that τ stays above 1 whatever the optimiser does; the leak is
    ``β = 1 − 1/τ`` and with ``decay_input`` the input counts 1/τ: ``v = (1 − 1/τ)·u + I/τ``.
    Firing, reset and defaults are those of :class:`SpikingNeuron`; the reset to zero at once at
    ``v ≥ θ`` of the original is ``reset_mechanism="zero", reset_delay=False, strict=False``.

    Source: Fang et al., "Incorporating learnable membrane time constant to enhance learning of
    spiking neural networks", ICCV 2021.

    Args:
        init_tau: τ > 1 to start from, scalar or per neuron.
        decay_input: scale the input by 1/τ.
        threshold: θ.
        options: as in :class:`SpikingNeuron`, by keyword.
    """

    w: Tensor

    def __init__(
        self,
        init_tau: float | Tensor = 2.0,
        decay_input: bool = True,
        threshold: float | Tensor = 1.0,
        **options: Unpack[SharedOptions],
    ) -> None:
        super().__init__(threshold, **options)
        tau = torch.as_tensor(init_tau)
        if not bool((tau > 1).all()):
            raise self._error(f"init_tau is {init_tau}; it must be above 1")
        self._store("w", -torch.log(tau - 1), True)
        self.decay_input = self.has_gain = decay_input

    def effective_beta(self) -> Tensor:
        """1 − 1/τ."""
        return torch.sigmoid(-self.w)

    def effective_gain(self) -> Tensor:
        """1/τ with ``decay_input``, else 1."""
        return torch.sigmoid(self.w) if self.decay_input else torch.ones_like(self.w)

    def init_parametric(self) -> Tensor:
        """:meth:`reset_mem` by a name like snnTorch's."""
        return self.reset_mem()
