"""Values to spikes and back, under the names of ``snntorch.spikegen``.

Time comes first: static data [B, ...] becomes spikes [T, B, ...]. What is not random equals
snnTorch's numbers, roundings included (half to even), except where a docstring says otherwise;
what is random takes a ``generator``. Floating-point data keeps its dtype. Wrong arguments raise
:class:`~.errors.LayerError`. The ``decode_*`` functions are the ways back, which snnTorch lacks.
"""

from .spike_codes import (
    delta,
    latency,
    latency_code,
    latency_code_linear,
    latency_code_log,
    latency_interpolate,
    rate,
    rate_conv,
)
from .spike_decoders import decode_delta, decode_latency, decode_rate
from .spike_targets import (
    from_one_hot,
    rate_interpolate,
    target_rate_code,
    targets_convert,
    targets_latency,
    targets_rate,
    to_one_hot,
    to_one_hot_inverse,
)

__all__ = [
    "decode_delta",
    "decode_latency",
    "decode_rate",
    "delta",
    "from_one_hot",
    "latency",
    "latency_code",
    "latency_code_linear",
    "latency_code_log",
    "latency_interpolate",
    "rate",
    "rate_conv",
    "rate_interpolate",
    "target_rate_code",
    "targets_convert",
    "targets_latency",
    "targets_rate",
    "to_one_hot",
    "to_one_hot_inverse",
]
