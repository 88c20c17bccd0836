"""The alpha-function neuron, with snnTorch's names."""

from __future__ import annotations

from typing import Any, ClassVar, Unpack

from torch import Tensor

from .alpha_function import AlphaNumbers, run_alpha
from .neuron_options import MoreOptions, SpikeFunction
from .spiking_neuron import SpikingNeuron


class Alpha(SpikingNeuron):
    """snnTorch's ``Alpha``: a slow excitatory current less a fast inhibitory one.

    ``e = α·e + I``, ``h = β·h − I``, ``v = g·(e + h)`` with the gain
    ``g = ln α/(ln β − ln α) + 1``. The membrane is no memory: it follows from e and h, so the
    reset acts on these. Delayed, with ``r`` as in :class:`SpikingNeuron`: to zero clears e, h
    and v; by subtraction ``e − r·θ``, ``(1 − r)·h`` and ``v + r·h_before``, as in snnTorch.
    Immediate (not in snnTorch): to zero clears all three after the spike; by subtraction it
    would act on nothing and is refused.

    Args:
        alpha: decay α of the excitatory current, in (β, 1], scalar or per neuron.
        beta: decay β of the inhibitory current, in (0, 1).
        learn_alpha, learn_beta: make them parameters; used clamped to [0, 1]. Nothing keeps
            learning from bringing them together, where the gain has no limit.
        others: as in :class:`SpikingNeuron`. ``state_quant`` acts on all three states.

    Raises:
        LayerError: also if α ≤ β.
    """

    state_names: ClassVar[tuple[str, ...]] = ("syn_exc", "syn_inh", "mem")

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
        reset_mechanism: str = "zero",
        state_quant: SpikeFunction | bool | None = False,
        output: bool = False,
        **options: Unpack[MoreOptions],
    ) -> None:
        super().__init__(
            threshold, spike_grad, surrogate_disable, init_hidden, inhibition, learn_threshold,
            reset_mechanism, state_quant, output, **options,
        )  # fmt: skip
        self._store("alpha", alpha, learn_alpha)
        self._store("beta", beta, learn_beta)
        a, b = self.alpha, self.beta
        if not bool(((b > 0) & (b < a) & (a <= 1)).all()):
            raise self._error(
                f"alpha is {alpha} and beta {beta}; they must satisfy 0 < beta < alpha <= 1"
            )
        self._check_reset()

    def _check_reset(self) -> None:
        # Also before each call, since the mechanism may be set after construction.
        if self.reset_mechanism == "subtract" and not self.reset_delay:
            raise self._error(
                "an immediate reset by subtraction acts on the membrane, which is no memory "
                'here; use reset_mechanism="zero" or reset_delay=True'
            )

    def forward(
        self,
        input_: Tensor,
        syn_exc: Tensor | None = None,
        syn_inh: Tensor | None = None,
        mem: Tensor | None = None,
    ) -> Any:
        """Spikes, and states as :class:`SpikingNeuron` says, for a current [(T,) B, ...]."""
        self._check_reset()
        return self._run(input_, syn_exc, syn_inh, mem)

    def effective_membrane_gain(self) -> Tensor:
        """g, the membrane's factor on e + h: ln α/(ln β − ln α) + 1."""
        log_alpha, log_beta = self.effective_alpha().log(), self.effective_beta().log()
        return log_alpha / (log_beta - log_alpha) + 1

    def init_alpha(self) -> tuple[Tensor, Tensor, Tensor]:
        """:meth:`reset_mem` by its deprecated name."""
        return self.reset_mem()

    def _numbers(self, step: Tensor) -> AlphaNumbers:
        return AlphaNumbers(
            self._fit("alpha", self.effective_alpha(), step),
            self._fit("beta", self.effective_beta(), step),
            self._fit("threshold", self.effective_threshold(), step),
            self._fit("the gain", self.effective_membrane_gain(), step),
        )

    def _step(self, input_: Tensor, states: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        exc, inh, mem = states
        numbers = self._numbers(input_)
        new_exc, new_inh = numbers.alpha * exc + input_, numbers.beta * inh - input_
        v = numbers.gain * (new_exc + new_inh)
        if self.reset_delay and self.reset_mechanism != "none":
            r = self.mem_reset(mem)
            kept = 1 - r
            if self.reset_mechanism == "zero":
                new_exc, new_inh, v = kept * new_exc, kept * new_inh, kept * v
            else:
                new_exc = new_exc - r * numbers.threshold
                new_inh, v = kept * new_inh, v + r * inh
        new_exc, new_inh, v = (self._quantised(state) for state in (new_exc, new_inh, v))
        spikes, mem, fired = self._emit_with_decision(v)
        if not self.reset_delay and self.reset_mechanism == "zero":
            r = fired.detach() if self.detach_reset else fired
            new_exc, new_inh = (1 - r) * new_exc, (1 - r) * new_inh
        return spikes, new_exc, new_inh, mem

    def _over_time(self, inputs: Tensor, states: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        if not self.runs_as_one_function():
            return self._loop(inputs, states)
        spikes, exc, inh, mem = run_alpha(inputs, states, self._numbers(inputs[0]), self.rule())
        return self._graded(spikes), exc, inh, mem
