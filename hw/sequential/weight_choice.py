"""Which source of weights a sequential engine has, and what goes with it beside the Verilog."""

from __future__ import annotations

import hashlib
from typing import Any

from ..streams import words_of
from .weight_load import LoadedWeights, load_image
from .weight_source import OnChipWeights
from .weight_stream import StreamedWeights, StreamLayout
from .words import ProgramWords

WEIGHTS_FILE = "weights.bin"


def weight_source(words: ProgramWords) -> OnChipWeights | StreamedWeights | LoadedWeights:
    """The source that the program's sequence asks for."""
    if words.program.sequence.weights == "stream":
        return StreamedWeights(stream_layout(words), words.lanes, words.shapes.weight)
    if words.program.sequence.weights == "loaded":
        return LoadedWeights(len(words.rows.weights), words.lanes, words.shapes.weight)
    return OnChipWeights(words.rows.weights, words.lanes, words.shapes.weight)


def stream_layout(words: ProgramWords) -> StreamLayout:
    """The rows of all operations in external memory."""
    return StreamLayout(
        words.lanes * words.shapes.weight.width,
        tuple(
            words_of(op.dense.size, words.lanes) * op.dense.inputs
            for op in words.program.operations
        ),
    )


def block_rows(words: ProgramWords) -> int:
    """How many rows of weights block RAM holds at once."""
    sequence = words.program.sequence
    if sequence.weights == "stream":
        return stream_layout(words).depth
    return 0 if sequence.weights == "loaded" else len(words.rows.weights)


def weight_image(words: ProgramWords) -> bytes | None:
    """What ``weights.bin`` holds; None if all weights are in the Verilog."""
    if words.program.sequence.weights == "stream":
        return stream_layout(words).image(words.rows.weights)
    if words.program.sequence.weights == "loaded":
        return load_image(words.rows.weights, words.lanes * words.shapes.weight.width)
    return None


def weight_facts(words: ProgramWords) -> dict[str, Any]:
    """The manifest's entry on weights."""
    facts: dict[str, Any] = {
        "source": words.program.sequence.weights,
        "rows": len(words.rows.weights),
        "row_bits": words.lanes * words.shapes.weight.width,
    }
    image = weight_image(words)
    if image is not None:
        digest = hashlib.sha256(image).hexdigest()
        facts |= {"file": WEIGHTS_FILE, "bytes": len(image), "sha256": digest}
    if words.program.sequence.weights == "stream":
        layout = stream_layout(words)
        facts |= {
            "bus_bits": layout.bus_bits,
            "ring_rows": layout.depth,
            "burst_beats": layout.burst_rows * layout.beats,
        }
    return facts
