"""Losses and accuracies on outputs over time, under the names of ``snntorch.functional``.

Losses are objects: make one with its options, call it with outputs [T, B, N] (spikes or membranes)
and targets (class labels [B] unless a docstring says otherwise). Each has ``accuracy(outputs,
targets)``, that of the readout which it trains. Values and gradients are snnTorch's, but scalars
have no dimension and float64 stays float64; what differs is said at each loss. Wrong arguments
raise :class:`~.errors.LayerError`.
"""

from . import quant
from .losses import (
    accuracy_membrane,
    accuracy_rate,
    ce_count_loss,
    ce_max_membrane_loss,
    ce_rate_loss,
    l1_rate_sparsity,
    mse_count_loss,
    mse_membrane_loss,
)
from .temporal_losses import (
    accuracy_temporal,
    ce_temporal_loss,
    mse_temporal_loss,
    spike_times,
)

__all__ = [
    "accuracy_membrane",
    "accuracy_rate",
    "accuracy_temporal",
    "ce_count_loss",
    "ce_max_membrane_loss",
    "ce_rate_loss",
    "ce_temporal_loss",
    "l1_rate_sparsity",
    "mse_count_loss",
    "mse_membrane_loss",
    "mse_temporal_loss",
    "quant",
    "spike_times",
]
