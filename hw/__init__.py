"""Hardware: a network as Amaranth components, and as Verilog."""

from .emit import generate
from .folding import Fold, Folding

__all__ = ["Fold", "Folding", "generate"]
