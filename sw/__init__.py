"""Software: formats, the network contract, the golden model, training, the front door.

The nouns and verbs of the Python API can be imported from here; what needs PyTorch is only loaded
when it is asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .formats import Format
from .network import Network, NetworkError
from .network_file import load_network, save_network

if TYPE_CHECKING:
    from .quantiser import QuantiseConfig, quantise
    from .tracing import from_torch

_LAZY = {"QuantiseConfig": "quantiser", "from_torch": "tracing", "quantise": "quantiser"}

__all__ = [
    "Format",
    "Network",
    "NetworkError",
    "QuantiseConfig",
    "from_torch",
    "load_network",
    "quantise",
    "save_network",
]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_LAZY[name]}", __name__), name)
