"""A self-checking plain-Verilog test bench with recorded vectors, for whoever takes ``top.v`` away.

It needs no Python: any Verilog simulator with ``$fatal`` runs it in the design folder.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..sw import golden
from ..sw.network import Network
from ..sw.network_file import write_atomically
from .design import Design
from .encoding import encode
from .errors import SimulationError

_TEXT = Path(__file__).parent / "tb.v"


def write_testbench(folder: Path, network: Network, samples: npt.ArrayLike) -> Path:
    """Write ``tb.v``, ``vectors.hex`` and ``expected.hex`` beside ``top.v``; returns ``tb.v``.

    ``samples`` (``[T, B, inputs]`` integers) are sent with random pauses on both streams; the
    scores and classes that come back must be those of the golden model.
    """
    design = Design.read(folder)
    design.check_network(network)
    if design.streamed is not None:
        raise SimulationError("tb.v has no memory for weights to be streamed from: use cosim")
    trace = golden.run(network, samples)
    # What comes before the samples needs no packet of its own.
    before = [] if design.loaded is None else [design.loaded]
    words = [*before, *encode(network, samples)]
    classes = network.readout.size
    results = np.column_stack([trace.scores, trace.classes]) & 0xFFFFFFFF
    _write_hex(folder / "vectors.hex", words)
    _write_hex(folder / "expected.hex", list(results))
    text = _TEXT.read_text()
    for name, value in (
        ("WORDS", sum(len(sample) for sample in words)),
        ("RESULTS", results.size),
        ("CLASSES", classes),
    ):
        text = text.replace(f"localparam {name} = 0;", f"localparam {name} = {value};")
    path = folder / "tb.v"
    write_atomically(path, text.encode())
    return path


def _write_hex(path: Path, packets: list[npt.NDArray]) -> None:
    """One line a word, 33 bits: TLAST, then the word."""
    lines = [
        f"{int(number == len(packet) - 1)}{int(word):08x}"
        for packet in packets
        for number, word in enumerate(packet)
    ]
    write_atomically(path, ("\n".join(lines) + "\n").encode())
