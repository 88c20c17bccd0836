"""Lapicque's RC circuit as a neuron, with snnTorch's names."""

from __future__ import annotations

import math
from typing import Unpack

import torch
from torch import Tensor, nn

from .leaky import FirstOrder
from .neuron_options import MoreOptions, SpikeFunction


class Lapicque(FirstOrder):
    """snnTorch's ``Lapicque``: an RC circuit advanced by Euler's method.

    ``v = (1 − Δt/RC)·u + (Δt/C)·I``; a delayed reset to zero drops the input too. Give β, or R
    and C, or β and one of them: they are tied by ``β = exp(−Δt/RC)``. Mind that the factor from
    step to step is then ``1 + ln β``, not β: 0.9 decays by 0.8946.

    What snnTorch leaves undone works here: a learnable β moves the circuit (the one of R and C
    that was not given follows it, C if both were), and an R or C passed as ``nn.Parameter`` is
    learnt. β may be per neuron.

    Args:
        beta: exp(−Δt/RC) in [1/e, 1), scalar or per neuron; False is not given. 1/e is where one
            Euler step would overshoot rest. While learnt it is used clamped to that range.
        R, C: resistance and capacitance; False is not given. Alone with β, R defaults to 1.
        time_step: Δt.
        others: as in :class:`SpikingNeuron`.
    """

    beta: Tensor
    R: Tensor
    C: Tensor
    time_step: Tensor

    reset_keeps_input = False
    has_gain = True

    def __init__(
        self,
        beta: float | Tensor = False,
        R: float | Tensor = False,
        C: float | Tensor = False,
        time_step: float | Tensor = 1,
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
        **options: Unpack[MoreOptions],
    ) -> None:
        super().__init__(
            threshold, spike_grad, surrogate_disable, init_hidden, inhibition, learn_threshold,
            reset_mechanism, state_quant, output, **options,
        )  # fmt: skip
        has_beta, has_r, has_c = (number is not False for number in (beta, R, C))
        if (has_beta, has_r, has_c) not in _ENOUGH:
            raise self._error("give beta, or R and C, or beta and one of R and C")
        self._store("time_step", time_step, False)
        # Which of the three follows from the other two.
        self._follows = "beta" if not has_beta else "R" if has_c else "C"
        for name, number in (("beta", beta), ("R", R if has_r else 1.0), ("C", C)):
            if name != self._follows:
                learn = learn_beta if name == "beta" else isinstance(number, nn.Parameter)
                self._store(name, number, learn)
        self._store(self._follows, self._implied(), learn_beta and self._follows == "beta")
        if learn_beta and self._follows == "beta":
            self._follows = "C"
        leak = 1 - self.time_step / (self.R * self.C)
        if not bool(((leak >= 0) & (leak <= 1)).all()):
            raise self._error(
                f"1 − time_step/(R·C), or 1 + ln(beta), is {leak.tolist()}; it must be in [0, 1]"
            )

    def _implied(self) -> Tensor:
        """The number that follows from the other two, as they are now."""
        if self._follows == "beta":
            return torch.exp(-self.time_step / (self.R * self.C))
        other = self.R if self._follows == "C" else self.C
        return self.time_step / (other * -torch.log(self.beta))

    def effective_beta(self) -> Tensor:
        """The membrane's factor from step to step: 1 − Δt/RC, which is 1 + ln β; in [0, 1]."""
        if self._follows == "beta":
            return (1 - self.time_step / (self.R * self.C)).clamp(0, 1)
        return 1 + torch.log(self.beta.clamp(math.exp(-1), 1))

    def effective_gain(self) -> Tensor:
        """The input's factor: Δt/C."""
        if self._follows == "C":
            return -self.R * torch.log(self.beta.clamp(math.exp(-1), 1))
        return self.time_step / self.C

    def init_lapicque(self) -> Tensor:
        """:meth:`reset_mem` by its deprecated name."""
        return self.reset_mem()


# What may be given of (beta, R, C).
_ENOUGH = {
    (True, False, False), (True, True, False), (True, False, True), (False, True, True)
}  # fmt: skip
