"""A leaky neuron without reset, with its input layer, over all steps at once."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from .rectified_function import run_rectified
from .recurrence import Recurrence
from .spiking_neuron import SpikeFunction, SpikingNeuron


class _ReLURNN(nn.RNN):
    """Holds the parameters, by snnTorch's names and with its initial values."""

    weight_ih_l0: nn.Parameter
    weight_hh_l0: nn.Parameter
    bias_ih_l0: nn.Parameter
    bias_hh_l0: nn.Parameter


class LeakyParallel(SpikingNeuron):
    """snnTorch's ``LeakyParallel``: ``h = max(β·h + W·x + b, 0)``, a spike where h > θ, no reset.

    Always multi-step: ``forward`` takes [T, B, input_size] (or [T, input_size]) and returns
    spikes [T, B, hidden_size], from rest. Parameters are those of a ReLU :class:`torch.nn.RNN`,
    ``rnn``; β is the diagonal of ``rnn.weight_hh_l0``, of which nothing else is used.

    Unlike snnTorch 1.0.0, β is clamped to [0, 1] whenever it is used, a vector of decays is used
    rather than ignored, random decays start positive, ``dropout`` is applied (to h, while
    training) and ``input_`` in float64 gives spikes in float64.

    Args:
        input_size, hidden_size: inputs and neurons.
        beta: decay, scalar or [hidden_size]; None draws it from U(0, 1/√hidden_size).
        bias: two biases, as in :class:`torch.nn.RNN`.
        threshold: θ > 0, scalar or [hidden_size].
        dropout: probability with which an h is dropped, in [0, 1).
        spike_grad, surrogate_disable, learn_threshold, graded_spikes_factor,
            learn_graded_spikes_factor: as in :class:`SpikingNeuron`.
        learn_beta: make the decays (or the dense matrix) learnable.
        weight_hh_enable: a dense recurrent matrix, used as it is, in place of β. It starts with
            row i at β of neuron i, if given.
        device, dtype: of the parameters.
        output: also return h, [T, B, hidden_size], as it was compared.
        strict, normalise_surrogate: as in :class:`SpikingNeuron`.

    Raises:
        LayerError: a bad argument; an input of another shape.
    """

    beta: Tensor | None

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        beta: float | Tensor | None = None,
        bias: bool = True,
        threshold: float | Tensor = 1.0,
        dropout: float = 0.0,
        spike_grad: SpikeFunction | None = None,
        surrogate_disable: bool = False,
        learn_beta: bool = False,
        learn_threshold: bool = False,
        graded_spikes_factor: float | Tensor = 1.0,
        learn_graded_spikes_factor: bool = False,
        weight_hh_enable: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        output: bool = False,
        strict: bool = True,
        normalise_surrogate: bool = False,
    ) -> None:
        super().__init__(
            threshold, spike_grad, surrogate_disable, learn_threshold=learn_threshold,
            reset_mechanism="none", output=output, graded_spikes_factor=graded_spikes_factor,
            learn_graded_spikes_factor=learn_graded_spikes_factor, multi_step=True,
            strict=strict, normalise_surrogate=normalise_surrogate,
        )  # fmt: skip
        if not 0 <= dropout < 1:
            raise self._error(f"dropout is {dropout}; it must be at least 0 and below 1")
        self.input_size, self.hidden_size = input_size, hidden_size
        self.dropout, self.weight_hh_enable = dropout, weight_hh_enable
        self.learn_beta = learn_beta
        self.rnn = _ReLURNN(
            input_size, hidden_size, nonlinearity="relu", bias=bias, device=device, dtype=dtype
        )
        self.register_buffer("beta", None if beta is None else self._decays(beta))
        self._start_recurrent_matrix()
        self.rnn.weight_hh_l0.requires_grad_(learn_beta)
        if device is not None:
            self.to(device)

    def _decays(self, beta: float | Tensor) -> Tensor:
        decays = torch.as_tensor(beta, dtype=self.rnn.weight_hh_l0.dtype).detach().reshape(-1)
        if len(decays) not in (1, self.hidden_size) or not bool(torch.isfinite(decays).all()):
            raise self._error(
                f"beta is {beta}; it must be one finite number or {self.hidden_size} of them"
            )
        return decays.clamp(0, 1)

    @torch.no_grad()
    def _start_recurrent_matrix(self) -> None:
        matrix = self.rnn.weight_hh_l0
        if self.beta is not None:
            matrix.copy_(self.beta[:, None].expand(self.hidden_size, self.hidden_size))
        if not self.weight_hh_enable:
            matrix.copy_(torch.diag(matrix.diagonal().abs()))

    def effective_beta(self) -> Tensor:
        """The decays [hidden_size] as used: the matrix's diagonal, clamped to [0, 1].

        Raises:
            LayerError: the recurrent matrix is dense.
        """
        if self.weight_hh_enable:
            raise self._error("the recurrent matrix is dense; there is no decay of one neuron")
        return self.rnn.weight_hh_l0.diagonal().clamp(0, 1)

    @property
    def recurrence(self) -> Recurrence | None:
        """The dense feedback of h, or None: a decay is not a feedback."""
        return Recurrence("linear", self.rnn.weight_hh_l0) if self.weight_hh_enable else None

    def forward(self, input_: Tensor) -> Any:
        """Spikes, with ``output`` also h, for the input [T, (B,) input_size]."""
        if input_.dim() not in (2, 3) or not len(input_) or input_.shape[-1] != self.input_size:
            raise self._error(
                f"the input has shape {list(input_.shape)}; "
                f"it must be [T, B, {self.input_size}] with T ≥ 1, or the same without B"
            )
        unbatched = input_.dim() == 2
        h = self.membrane(input_[:, None] if unbatched else input_)
        spikes, _ = self._emit(functional.dropout(h, self.dropout, self.training))
        if unbatched:
            spikes, h = spikes[:, 0], h[:, 0]
        return (spikes, h) if self.output else spikes

    def membrane(self, input_: Tensor) -> Tensor:
        """h [T, B, hidden_size] for the input [T, B, input_size], before dropout."""
        rnn = self.rnn
        bias = rnn.bias_ih_l0 + rnn.bias_hh_l0 if rnn.bias else None
        current = functional.linear(input_, rnn.weight_ih_l0, bias)
        recurrence = self.recurrence or Recurrence("one_to_one", self.effective_beta())
        return run_rectified(current, recurrence)

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *args: Any) -> None:
        # snnTorch's has no reset mechanism to store.
        state_dict.setdefault(f"{prefix}reset_mechanism_val", self.reset_mechanism_val)
        super()._load_from_state_dict(state_dict, prefix, *args)

    def extra_repr(self) -> str:
        kind = "dense" if self.weight_hh_enable else "diagonal"
        return f"{self.input_size}, {self.hidden_size}, {kind}"
