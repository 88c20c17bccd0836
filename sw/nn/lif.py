"""The leaky integrate-and-fire (LIF) layer."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from .errors import LayerError
from .lif_function import NeuronRule, run_lif, winner_mask
from .surrogate import ATan, Surrogate

# A learnable threshold must stay positive: it divides the surrogate's argument, and hardware
# refuses θ ≤ 0.
MIN_LEARNABLE_THRESHOLD = 1e-3


class LIFState(NamedTuple):
    """What a LIF carries from one step to the next, both [B, ...]."""

    membrane: Tensor
    fired: Tensor


class LIF(nn.Module):
    """Leaky integrate-and-fire neurons, a whole [T, B, ...] block at a time.

    With ``L = β·u`` and ``r`` the (unmasked) fire decision of the step before, each step computes

    =========  =======================  ================================================
    reset      delayed                  immediate (``v = L + I`` always)
    =========  =======================  ================================================
    subtract   ``v = L + I − r·θ``      ``u = v − f·θ``
    zero       ``v = (r ? 0 : L) + I``  ``u = f ? 0 : v``
    none       ``v = L + I``            ``u = v``
    =========  =======================  ================================================

    then fires ``f = v > θ``. Delayed resets store ``u = v``. With ``reset_keeps_input=False`` a
    delayed reset to zero also drops the current input: ``v = r ? 0 : L + I``. State starts at 0
    in each call unless ``stateful`` is set.

    Args:
        beta: leak β, scalar or per neuron (broadcastable to the shape after [T, B]); used
            clamped to [0, 1]. Numbers are stored in torch's default dtype; pass a float64 tensor
            where 0.9 must mean 0.9 in float64.
        threshold: θ > 0, scalar or per neuron.
        learn_beta, learn_threshold: make them parameters (else they are buffers). A learnable
            threshold is used clamped to at least 0.001.
        reset_mechanism: ``"subtract"``, ``"zero"`` or ``"none"``; settable afterwards.
        reset_delay: the reset of step t lands in step t+1 (snnTorch's convention); False is
            the immediate reset of most textbooks.
        reset_keeps_input: a delayed reset to zero keeps this step's current (snnTorch's
            ``Leaky``); False drops it too (``RLeaky``, ``Synaptic``, ``Lapicque``).
        detach_reset: no gradient through the reset's fire decision (snnTorch's convention).
        strict: fire at ``v > θ``; False is ``v ≥ θ``, for imported models.
        surrogate: stand-in derivative of the spike; default atan(2).
        normalise_surrogate: the surrogate sees ``(v − θ)/θ``, so that its width follows the
            threshold; False is snnTorch's ``v − θ``.
        inhibition: only the neuron with the largest v − θ along the last dimension may emit
            (lowest index on ties); the others reset all the same.

    Raises:
        LayerError: bad argument, input of fewer than two dimensions or of no step, or, while
            ``stateful``, a shape that differs from the stored state's.
    """

    beta: Tensor
    threshold: Tensor

    def __init__(
        self,
        beta: float | Tensor = 15 / 16,
        threshold: float | Tensor = 1.0,
        *,
        learn_beta: bool = False,
        learn_threshold: bool = False,
        reset_mechanism: str = "subtract",
        reset_delay: bool = True,
        reset_keeps_input: bool = True,
        detach_reset: bool = True,
        strict: bool = True,
        surrogate: Surrogate | None = None,
        normalise_surrogate: bool = True,
        inhibition: bool = False,
    ) -> None:
        super().__init__()
        self.learn_beta, self.learn_threshold = learn_beta, learn_threshold
        self._store("beta", beta, learn_beta)
        self._store("threshold", threshold, learn_threshold)
        if not bool((self.threshold > 0).all()):
            raise LayerError(f"LIF: threshold is {threshold}; it must be above 0")
        self.reset_mechanism = reset_mechanism
        self.reset_delay = reset_delay
        self.reset_keeps_input = reset_keeps_input
        self.detach_reset = detach_reset
        self.strict = strict
        self.surrogate: Surrogate = ATan() if surrogate is None else surrogate
        self.normalise_surrogate = normalise_surrogate
        self.inhibition = inhibition
        self.stateful = False
        self.state: LIFState | None = None
        self.rule()  # checks the options now rather than in the first forward pass

    def _store(self, name: str, value: float | Tensor, learn: bool) -> None:
        tensor = torch.as_tensor(value)
        if not tensor.is_floating_point():
            tensor = tensor.to(torch.get_default_dtype())
        if not bool(torch.isfinite(tensor).all()):
            raise LayerError(f"LIF: {name} is {value}; it must be finite")
        # A copy, so that two layers built from one tensor never share it.
        tensor = tensor.detach().clone()
        if learn:
            self.register_parameter(name, nn.Parameter(tensor))
        else:
            self.register_buffer(name, tensor)

    def rule(self) -> NeuronRule:
        """The step's options as one frozen value."""
        return NeuronRule(
            surrogate=self.surrogate,
            reset_mechanism=self.reset_mechanism,
            reset_delay=self.reset_delay,
            reset_keeps_input=self.reset_keeps_input,
            detach_reset=self.detach_reset,
            strict=self.strict,
            normalise_surrogate=self.normalise_surrogate,
            inhibition=self.inhibition,
        )

    def effective_beta(self) -> Tensor:
        """β as used: clamped to [0, 1]."""
        return self.beta.clamp(0, 1)

    def effective_threshold(self) -> Tensor:
        """θ as used: a learnable threshold is kept at 0.001 or more."""
        if self.learn_threshold:
            return self.threshold.clamp(min=MIN_LEARNABLE_THRESHOLD)
        return self.threshold

    def forward(
        self, x: Tensor, return_membrane: bool = False, known: Tensor | None = None
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Spikes [T, B, ...] for the input current x [T, B, ...].

        With ``return_membrane`` also the membrane u as stored after each step, [T, B, ...]: what
        the golden model calls ``membrane``. Gradients flow through both. ``known`` are these
        spikes where a block has computed them already; they are passed on, to forward hooks.
        """
        if known is not None:
            return known
        if x.dim() < 2 or x.shape[0] == 0:
            raise LayerError(
                f"LIF: the input has shape {list(x.shape)}; it must be [T, B, ...] with T ≥ 1"
            )
        if self.stateful:
            spikes, membrane = self._continue(x)
        else:
            beta, threshold = self.numbers(x[0])
            spikes, membrane = run_lif(x, beta, threshold, self.rule())
        return (spikes, membrane) if return_membrane else spikes

    def numbers(self, step_input: Tensor) -> tuple[Tensor, Tensor]:
        """(β, θ) as used on one step's input [B, ...], in its dtype."""
        beta = self.effective_beta().to(step_input.dtype)
        threshold = self.effective_threshold().to(step_input.dtype)
        for name, value in (("beta", beta), ("threshold", threshold)):
            if not _broadcasts(value.shape, step_input.shape[1:]):
                raise LayerError(
                    f"LIF: {name} has shape {list(value.shape)}; it must be a scalar or "
                    f"broadcast to the neurons' shape {list(step_input.shape[1:])}"
                )
        return beta, threshold

    def step(self, x: Tensor, state: LIFState | None = None) -> tuple[Tensor, LIFState]:
        """One timestep, in plain differentiable operations.

        Args:
            x: [B, ...] input current.
            state: what the previous step returned; None is rest.

        Returns:
            (spikes [B, ...], state). Running T steps gives the numbers of one ``forward`` call.
        """
        beta, theta = self.numbers(x)
        rule = self.rule()
        u, r = LIFState(torch.zeros_like(x), torch.zeros_like(x)) if state is None else state
        if rule.detach_reset:
            r = r.detach()
        leak = beta * u
        if not rule.reset_delay or rule.reset_mechanism == "none":
            v = leak + x
        elif rule.reset_mechanism == "subtract":
            v = leak + x - r * theta
        elif rule.reset_keeps_input:
            v = (1 - r) * leak + x
        else:
            v = (1 - r) * (leak + x)
        distance = v - theta
        argument = distance / theta if rule.normalise_surrogate else distance
        fired = rule.surrogate(argument, rule.strict)
        u = v
        if not rule.reset_delay:
            f = fired.detach() if rule.detach_reset else fired
            if rule.reset_mechanism == "subtract":
                u = v - f * theta
            elif rule.reset_mechanism == "zero":
                u = v * (1 - f)
        spikes = fired * winner_mask(distance) if rule.inhibition else fired
        return spikes, LIFState(u, fired)

    def _continue(self, x: Tensor) -> tuple[Tensor, Tensor]:
        if self.state is not None and self.state.membrane.shape != x.shape[1:]:
            raise LayerError(
                f"LIF: the input's steps have shape {list(x.shape[1:])}, the stored state has "
                f"{list(self.state.membrane.shape)}; call reset() before another shape"
            )
        spikes, membranes = [], []
        for current in x:
            spike, self.state = self.step(current, self.state)
            spikes.append(spike)
            membranes.append(self.state.membrane)
        return torch.stack(spikes), torch.stack(membranes)

    def reset(self) -> None:
        """Forget the stored state (it is kept between calls only while ``stateful``)."""
        self.state = None

    def extra_repr(self) -> str:
        def show(value: Tensor) -> str:
            return f"{value.item():.6g}" if value.numel() == 1 else f"{list(value.shape)}"

        when = "delayed" if self.reset_delay else "immediate"
        return (
            f"beta={show(self.beta)}, threshold={show(self.threshold)}, "
            f"reset={self.reset_mechanism} {when}, surrogate={self.surrogate}"
        )


def _broadcasts(shape: torch.Size, target: torch.Size) -> bool:
    return len(shape) <= len(target) and all(
        a in (1, b) for a, b in zip(reversed(shape), reversed(target), strict=False)
    )
