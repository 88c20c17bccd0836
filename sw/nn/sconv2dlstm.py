"""A convolutional spiking LSTM."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Unpack

import torch
from torch import Tensor, nn
from torch.nn import functional

from .lstm_function import gate_quarters, run_lstm
from .recurrence import Recurrence, same_padding
from .slstm import LSTMOptions, delayed_reset
from .spiking_neuron import SpikeFunction, SpikingNeuron


class SConv2dLSTM(SpikingNeuron):
    """snnTorch's ``SConv2dLSTM``: :class:`SLSTM` with one convolution of ``[x, h]`` for all gates.

    The order of the gates' channels is i, f, o, g. Height and width are kept. With a pool, the
    pooled h is compared with the threshold and the spikes are smaller than the states; the reset
    is decided by h itself.

    Args:
        in_channels, out_channels: of the input, and of both states.
        kernel_size: odd, or two odd numbers.
        bias: one bias a gate and channel.
        max_pool, avg_pool: window of the pool, 0 for none; at most one of them.
        others: as in :class:`SLSTM`.

    Raises:
        LayerError: as in :class:`SLSTM`; ``inhibition``, which is for dense layers (snnTorch
            ignores it here).
    """

    state_names = ("syn", "mem")

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        bias: bool = True,
        max_pool: int | tuple[int, int] = 0,
        avg_pool: int | tuple[int, int] = 0,
        threshold: float | Tensor = 1.0,
        spike_grad: SpikeFunction | None = None,
        surrogate_disable: bool = False,
        init_hidden: bool = False,
        inhibition: bool = False,
        learn_threshold: bool = False,
        reset_mechanism: str = "none",
        state_quant: SpikeFunction | bool | None = False,
        output: bool = False,
        **options: Unpack[LSTMOptions],
    ) -> None:
        super().__init__(
            threshold, spike_grad, surrogate_disable, init_hidden, inhibition, learn_threshold,
            reset_mechanism, state_quant, output, **options,
        )  # fmt: skip
        if inhibition:
            raise self._error("inhibition is True; it is for dense layers and must be False")
        if max_pool and avg_pool:
            raise self._error(
                f"max_pool is {max_pool} and avg_pool {avg_pool}; at most one may be given"
            )
        self.in_channels, self.out_channels = in_channels, out_channels
        self.kernel_size, self.bias = kernel_size, bias
        self.max_pool, self.avg_pool = max_pool, avg_pool
        self.padding = same_padding("SConv2dLSTM", kernel_size)
        self.conv = nn.Conv2d(
            in_channels + out_channels, 4 * out_channels, kernel_size, padding=self.padding,
            bias=bias,
        )  # fmt: skip

    @property
    def recurrence(self) -> Recurrence:
        """From h to the gate currents' 4n channels, in the order i, f, o, g.

        The input's part is the convolution by ``conv.weight[:, :in_channels]``, with the bias.
        """
        weight = self.conv.weight[:, self.in_channels :]
        return Recurrence("conv", weight, None, self.padding)

    def forward(self, input_: Tensor, syn: Tensor | None = None, mem: Tensor | None = None) -> Any:
        """Spikes, and states as :class:`SpikingNeuron` says, for [(T,) B, channels, H, W]."""
        return self._run(input_, syn, mem)

    def _state_shape(self, input_: Tensor) -> Sequence[int]:
        if input_.dim() != 4 or input_.shape[1] != self.in_channels:
            raise self._error(
                f"a step of the input has shape {list(input_.shape)}; "
                f"it must be [B, {self.in_channels}, height, width]"
            )
        return len(input_), self.out_channels, *input_.shape[2:]

    def _step(self, input_: Tensor, states: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        syn, mem = states
        i, f, g, o = gate_quarters(self.conv(torch.cat((input_, mem), dim=1)), "ifog")
        syn = torch.sigmoid(f) * syn + torch.sigmoid(i) * torch.tanh(g)
        hidden = torch.sigmoid(o) * torch.tanh(syn)
        spikes, mem = self._pool_and_emit(self._quantised(delayed_reset(self, hidden, mem)))
        return spikes, self._quantised(syn), mem

    def _over_time(self, inputs: Tensor, states: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        if not self.runs_as_one_function():
            return self._loop(inputs, states)
        theta = self._fit("threshold", self.effective_threshold(), states[1])
        syn, mem = states
        whole = Recurrence("conv", self.conv.weight, self.conv.bias, self.padding)
        syn, v = run_lstm(inputs, syn, mem, whole, theta, "ifog", self.rule())
        spikes, mem = self._pool_and_emit(v)
        return spikes, syn, mem

    def _pool_and_emit(self, v: Tensor) -> tuple[Tensor, Tensor]:
        """(spikes, mem) of a membrane [B, ...] or of a block of them."""
        spikes, mem = self._emit(v)
        if self.max_pool or self.avg_pool:
            maps = v.flatten(0, -4)
            if self.max_pool:
                maps = functional.max_pool2d(maps, self.max_pool)
            else:
                maps = functional.avg_pool2d(maps, self.avg_pool)
            spikes = self.fire(maps.unflatten(0, v.shape[:-3]))
        return spikes, mem

    def init_sconv2dlstm(self) -> tuple[Tensor, Tensor]:
        """:meth:`reset_mem` by its deprecated name."""
        return self.reset_mem()
