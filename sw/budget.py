"""What a model will take as hardware, before it is trained: its sizes and formats, not its weights.

State memory, not weights, is the limit of small FPGAs: better known before hours of training.
"""

from __future__ import annotations

import torch

from .data import Dataset
from .models import TrainConfig, build_model, image_of, seen
from .network import Network
from .quantiser import QuantiseConfig, plan
from .tracing import from_torch

SAMPLES = 2
"""Training samples by which an untrained model is quantised."""


def untrained_network(config: TrainConfig, data: Dataset) -> Network:
    """The network of ``config`` as it would be quantised with the weights it begins with."""
    calibration = data.train[:SAMPLES].over_time(config.steps)
    sample = torch.tensor(calibration, dtype=torch.float64)
    real = seen(sample, data.format.step, image_of(config, data))
    graph = from_torch(build_model(config, data).eval(), real, data.format)
    settings = QuantiseConfig(bits=config.bits, guard_bits=config.guard_bits)
    return plan(graph, calibration, settings).network
