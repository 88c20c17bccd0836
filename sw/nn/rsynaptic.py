"""Neurons with a synaptic current that hear their own spikes one step later."""

from __future__ import annotations

from typing import Any, Unpack

from torch import Tensor

from .rleaky import RecurrentNeuron, RecurrentOptions
from .spiking_neuron import SpikeFunction


class RSynaptic(RecurrentNeuron):
    """snnTorch's ``RSynaptic``: ``i = α·i + I + recurrence(s)``, ``v = β·u + i``.

    A delayed reset subtracts ``r·θ`` from v or multiplies it by ``1 − r``; the synaptic current
    is never reset. ``forward(input_, spk=None, syn=None, mem=None)`` returns ``(spk, syn, mem)``.
    Unlike snnTorch 1.0.0, where it raises, ``reset_delay=False`` works: the immediate reset.

    Args:
        alpha: decay α of the synaptic current, scalar or per neuron, used clamped to [0, 1].
        learn_alpha: make it a parameter.
        others: as in :class:`RLeaky`.
    """

    state_names = ("spk", "syn", "mem")
    alpha: Tensor

    def __init__(
        self,
        alpha: float | Tensor,
        beta: float | Tensor,
        V: float | Tensor = 1.0,
        all_to_all: bool = True,
        linear_features: int | None = None,
        conv2d_channels: int | None = None,
        kernel_size: int | tuple[int, int] | None = None,
        threshold: float | Tensor = 1.0,
        spike_grad: SpikeFunction | None = None,
        surrogate_disable: bool = False,
        init_hidden: bool = False,
        inhibition: bool = False,
        learn_alpha: bool = False,
        learn_beta: bool = False,
        learn_threshold: bool = False,
        learn_recurrent: bool = True,
        reset_mechanism: str = "subtract",
        state_quant: SpikeFunction | bool | None = False,
        output: bool = False,
        reset_delay: bool = True,
        **options: Unpack[RecurrentOptions],
    ) -> None:
        super().__init__(
            beta, V, all_to_all, linear_features, conv2d_channels, kernel_size, learn_beta,
            learn_recurrent, threshold, options, spike_grad=spike_grad,
            surrogate_disable=surrogate_disable, init_hidden=init_hidden, inhibition=inhibition,
            learn_threshold=learn_threshold, reset_mechanism=reset_mechanism,
            state_quant=state_quant, output=output, reset_delay=reset_delay,
        )  # fmt: skip
        self._store("alpha", alpha, learn_alpha)

    def forward(
        self,
        input_: Tensor,
        spk: Tensor | None = None,
        syn: Tensor | None = None,
        mem: Tensor | None = None,
    ) -> Any:
        """Spikes, and states as :class:`SpikingNeuron` says, for a current [(T,) B, ...]."""
        return self._run(input_, spk, syn, mem)

    def _alpha(self, step: Tensor) -> Tensor:
        return self._fit("alpha", self.effective_alpha(), step)

    def init_rsynaptic(self) -> tuple[Tensor, Tensor, Tensor]:
        """:meth:`reset_mem` by its deprecated name."""
        return self.reset_mem()
