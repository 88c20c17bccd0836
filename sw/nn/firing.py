"""The fire decision and the reset of a block, as the hand-written backward passes need them."""

from __future__ import annotations

import torch
from torch import Tensor

from .lif_function import NeuronRule


def fire_decision(v: Tensor, threshold: Tensor, rule: NeuronRule) -> Tensor:
    """f of a membrane of any leading shape: 1 where it is above θ (or at it, if not strict)."""
    # Into a float at once: a tensor of bools costs several times as much.
    fire = torch.gt if rule.strict else torch.ge
    return fire(v, threshold, out=torch.empty_like(v))


def stored_membrane(v: Tensor, threshold: Tensor, rule: NeuronRule) -> Tensor:
    """u after the step: v itself, or v with an immediate reset applied. Any leading shape."""
    if rule.reset_delay or rule.reset_mechanism == "none":
        return v
    fired = fire_decision(v, threshold, rule)
    return v - fired * threshold if rule.reset_mechanism == "subtract" else v * (1 - fired)


def spike_slopes(v: Tensor, threshold: Tensor, rule: NeuronRule) -> tuple[Tensor, Tensor]:
    """(∂f/∂v, −∂f/∂θ) by the surrogate, whose argument is v − θ, or v/θ − 1."""
    if not rule.normalise_surrogate:
        slope = rule.surrogate.derivative(v - threshold)
        return slope, slope
    slope = rule.surrogate.derivative((v / threshold).sub_(1)) / threshold
    return slope, slope * v / threshold
