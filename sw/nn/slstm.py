"""A spiking LSTM: the hidden state is a membrane with a threshold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Unpack

from torch import Tensor, nn
from torch.nn import functional

from .lstm_function import run_lstm
from .recurrence import Recurrence
from .spiking_neuron import Options, SpikeFunction, SpikingNeuron


class LSTMOptions(Options, total=False):
    """Keyword-only options of SLSTM and SConv2dLSTM that snnTorch does not have."""

    graded_spikes_factor: float | Tensor
    learn_graded_spikes_factor: bool
    reset_delay: bool


class SLSTM(SpikingNeuron):
    """snnTorch's ``SLSTM``: an LSTM cell whose hidden state h is compared with the threshold.

    ``syn`` is the cell c, ``mem`` is h: ``forward(input_, syn=None, mem=None)`` returns
    ``(spk, syn, mem)``. The feedback is h, not the spikes. A delayed reset subtracts ``r·θ`` from
    the new h or multiplies it by ``1 − r``; the cell is never reset. h stays within ±1 unless it
    is reset by subtraction, so a threshold of 1 never fires.

    Unlike snnTorch 1.0.0 it keeps its state where input_size ≠ hidden_size, and it obeys
    ``inhibition``.

    Args:
        input_size, hidden_size: inputs and neurons.
        bias: two biases, as in :class:`torch.nn.LSTMCell`, which is ``lstm_cell``.
        options: those of :class:`LSTMOptions` and :class:`SpikingNeuron`.
        others: as in :class:`SpikingNeuron`; the default is no reset.

    Raises:
        LayerError: as in :class:`SpikingNeuron`; an input that is not [(T,) B, input_size].
    """

    state_names = ("syn", "mem")

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
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
        self.input_size, self.hidden_size, self.bias = input_size, hidden_size, bias
        self.lstm_cell = nn.LSTMCell(input_size, hidden_size, bias=bias)

    @property
    def recurrence(self) -> Recurrence:
        """From h to the 4n gate currents, in the order i, f, g, o."""
        bias = self.lstm_cell.bias_hh if self.bias else None
        return Recurrence("linear", self.lstm_cell.weight_hh, bias)

    def forward(self, input_: Tensor, syn: Tensor | None = None, mem: Tensor | None = None) -> Any:
        """Spikes, and states as :class:`SpikingNeuron` says, for [(T,) B, input_size]."""
        return self._run(input_, syn, mem)

    def _state_shape(self, input_: Tensor) -> Sequence[int]:
        if input_.dim() != 2 or input_.shape[1] != self.input_size:
            raise self._error(
                f"a step of the input has shape {list(input_.shape)}; "
                f"it must be [B, {self.input_size}]"
            )
        return len(input_), self.hidden_size

    def _step(self, input_: Tensor, states: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        syn, mem = states
        hidden, syn = self.lstm_cell(input_, (mem, syn))
        spikes, mem = self._emit(self._quantised(delayed_reset(self, hidden, mem)))
        return spikes, self._quantised(syn), mem

    def _over_time(self, inputs: Tensor, states: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        if not self.runs_as_one_function():
            return self._loop(inputs, states)
        gates = functional.linear(
            inputs, self.lstm_cell.weight_ih, self.lstm_cell.bias_ih if self.bias else None
        )
        theta = self._fit("threshold", self.effective_threshold(), states[1])
        syn, mem = states
        syn, v = run_lstm(gates, syn, mem, self.recurrence, theta, "ifgo", self.rule())
        spikes, mem = self._emit(v)
        return spikes, syn, mem

    def init_slstm(self) -> tuple[Tensor, Tensor]:
        """:meth:`reset_mem` by its deprecated name."""
        return self.reset_mem()


def delayed_reset(neuron: SpikingNeuron, hidden: Tensor, mem: Tensor) -> Tensor:
    """An LSTM's new h, reset where the membrane stored before, ``mem``, is above θ."""
    if not neuron.reset_delay or neuron.reset_mechanism == "none":
        return hidden
    r = neuron.mem_reset(mem)
    if neuron.reset_mechanism == "zero":
        return hidden * (1 - r)
    return hidden - r * neuron.effective_threshold().to(hidden.dtype)
