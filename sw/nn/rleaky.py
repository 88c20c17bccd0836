"""Leaky integrate-and-fire neurons that hear their own spikes one step later."""

from __future__ import annotations

from typing import Any, Unpack

from torch import Tensor, nn

from .recurrence import Recurrence, recurrent_layer
from .recurrent_function import RecurrentState, run_recurrent
from .spiking_neuron import Options, SharedOptions, SpikeFunction, SpikingNeuron


class RecurrentOptions(Options, total=False):
    """Keyword-only options of RLeaky and RSynaptic that snnTorch does not have.

    ``learn_V`` is the documented name of what 1.0.0 calls ``learn_recurrent``; if given, it counts.
    """

    graded_spikes_factor: float | Tensor
    learn_graded_spikes_factor: bool
    learn_V: bool | None


class RecurrentNeuron(SpikingNeuron):
    """What RLeaky and RSynaptic share: a membrane and a feedback of the spikes sent.

    ``i = α·i + I + recurrence(s)`` with ``s`` what was sent one step earlier (RLeaky: α = 0, i is
    no state), ``v = β·u + i``, then a delayed reset subtracts ``r·θ`` or multiplies by ``1 − r``,
    this step's input included.
    """

    beta: Tensor
    V: Tensor
    recurrent: nn.Linear | nn.Conv2d

    def __init__(
        self,
        beta: float | Tensor,
        V: float | Tensor,
        all_to_all: bool,
        linear_features: int | None,
        conv2d_channels: int | None,
        kernel_size: int | tuple[int, int] | None,
        learn_beta: bool,
        learn_recurrent: bool,
        threshold: float | Tensor,
        options: RecurrentOptions,
        **shared: Unpack[SharedOptions],
    ) -> None:
        learn_V = options.pop("learn_V", None)
        super().__init__(threshold, **shared, **options)  # type: ignore[misc]
        self._store("beta", beta, learn_beta)
        self.all_to_all = all_to_all
        self.learn_recurrent = learn_recurrent if learn_V is None else learn_V
        self.linear_features, self.conv2d_channels = linear_features, conv2d_channels
        self.kernel_size = kernel_size
        if all_to_all:
            self.recurrent = recurrent_layer(
                type(self).__name__, linear_features, conv2d_channels, kernel_size
            )
            self.recurrent.requires_grad_(self.learn_recurrent)
        elif any(size is not None for size in (linear_features, conv2d_channels, kernel_size)):
            raise self._error(
                "all_to_all=False feeds back by V alone; linear_features, conv2d_channels and "
                "kernel_size must not be given"
            )
        else:
            self._store("V", V, self.learn_recurrent)

    @property
    def recurrence(self) -> Recurrence:
        """What is fed back, as kind and parameters."""
        if not self.all_to_all:
            return Recurrence("one_to_one", self.V)
        weight, bias = self.recurrent.weight, self.recurrent.bias
        if isinstance(self.recurrent, nn.Linear):
            return Recurrence("linear", weight, bias)
        height, width = (size // 2 for size in self.recurrent.kernel_size)
        return Recurrence("conv", weight, bias, (height, width))

    def _recurrence_for(self, step: Tensor) -> Recurrence:
        """The recurrence, checked to fit a step's input [B, ...]."""
        recurrence = self.recurrence
        if recurrence.kind == "one_to_one":
            return Recurrence("one_to_one", self._fit("V", self.V, step))
        n = recurrence.weight.shape[1]
        if recurrence.kind == "linear" and step.shape[-1] != n:
            raise self._error(
                f"a step of the input has shape {list(step.shape)}; "
                f"its last size must be linear_features, {n}"
            )
        if recurrence.kind == "conv" and (step.dim() != 4 or step.shape[1] != n):
            raise self._error(
                f"a step of the input has shape {list(step.shape)}; "
                f"it must be [B, {n}, height, width], {n} being conv2d_channels"
            )
        return recurrence

    def _alpha(self, step: Tensor) -> Tensor | None:
        """Decay of the synaptic current, None where it is no state."""
        return None

    def _step(self, input_: Tensor, states: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        spk, mem = states[0], states[-1]
        current = input_ + self._recurrence_for(input_)(spk)
        if (alpha := self._alpha(input_)) is not None:
            current = alpha * states[1] + current
        v = self._fit("beta", self.effective_beta(), input_) * mem + current
        if self.reset_delay and self.reset_mechanism == "subtract":
            theta = self._fit("threshold", self.effective_threshold(), input_)
            v = v - self.mem_reset(mem) * theta
        elif self.reset_delay and self.reset_mechanism == "zero":
            v = v * (1 - self.mem_reset(mem))
        spikes, mem = self._emit(self._quantised(v))
        synaptic = () if alpha is None else (self._quantised(current),)
        return spikes, spikes, *synaptic, mem

    def _over_time(self, inputs: Tensor, states: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        if not self.runs_as_one_function():
            return self._loop(inputs, states)
        step = inputs[0]
        alpha = self._alpha(step)
        trace = run_recurrent(
            inputs,
            RecurrentState(states[0], None if alpha is None else states[1], states[-1]),
            self._recurrence_for(step),
            alpha,
            self._fit("beta", self.effective_beta(), step),
            self._fit("threshold", self.effective_threshold(), step),
            self._factor(step),
            self.rule(reset_keeps_input=False),
        )
        return trace.sent, *(state for state in trace if state is not None)

    def _factor(self, step: Tensor) -> Tensor | None:
        """The value of a spike, None if it is 1 for good."""
        factor = self.graded_spikes_factor
        if not factor.requires_grad and bool((factor == 1).all()):
            return None
        return self._fit("graded_spikes_factor", factor, step)

    def _run(self, input_: Tensor, *given: Tensor | None) -> Any:
        # The spikes are a state themselves and come back once.
        results = super()._run(input_, *given)
        return results[1:] if isinstance(results, tuple) else results

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *args: Any) -> None:
        # snnTorch lists a learnable V twice.
        state_dict.pop(f"{prefix}recurrent.V", None)
        super()._load_from_state_dict(state_dict, prefix, *args)


class RLeaky(RecurrentNeuron):
    """snnTorch's ``RLeaky``: ``v = β·u + I + recurrence(s)``, minus ``r·θ`` or times ``1 − r``.

    ``forward(input_, spk=None, mem=None)`` returns ``(spk, mem)``: what was sent is a state.

    Args:
        beta: leak β, scalar or per neuron, used clamped to [0, 1].
        V: weight of a neuron's own spike, scalar or per neuron; with ``all_to_all=False``. Under a
            delayed reset to zero it changes nothing: the reset drops the very step it acts in.
        all_to_all: feed back through ``recurrent``, a dense layer or a convolution with bias; the
            bias counts in every step, the first included.
        linear_features: number of neurons of a dense feedback.
        conv2d_channels, kernel_size: of a convolution that keeps height and width; the kernel's
            sizes are odd.
        learn_beta, learn_recurrent: make β, and V or the weights of ``recurrent``, learnable.
        options: those of :class:`RecurrentOptions` and :class:`SpikingNeuron`.
        others: as in :class:`SpikingNeuron`.

    Raises:
        LayerError: as in :class:`SpikingNeuron`; sizes that do not describe one feedback.
    """

    state_names = ("spk", "mem")

    def __init__(
        self,
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

    def forward(self, input_: Tensor, spk: Tensor | None = None, mem: Tensor | None = None) -> Any:
        """Spikes, and states as :class:`SpikingNeuron` says, for a current [(T,) B, ...]."""
        return self._run(input_, spk, mem)

    def init_rleaky(self) -> tuple[Tensor, Tensor]:
        """:meth:`reset_mem` by its deprecated name."""
        return self.reset_mem()
