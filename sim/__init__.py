"""Simulation: a generated design on Verilator against the golden model, value by value."""

from .cosim import CosimResult, MismatchError, cosim, python_share
from .errors import SimulationError
from .job import Stalls
from .testbench import write_testbench
from .verilator import lint

__all__ = [
    "CosimResult",
    "MismatchError",
    "SimulationError",
    "Stalls",
    "cosim",
    "lint",
    "python_share",
    "write_testbench",
]
