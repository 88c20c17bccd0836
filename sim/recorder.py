"""Recorders of a design's probes: the same under cocotb and under the bare C++ harness.

A generated ``bind`` file puts one recorder beside each probe. The simulation then writes every
valid word to one binary file per probe, and numpy reads them back: nothing crosses Python while
the clock runs, and ``top.v`` stays untouched. Where that is too much, spikes are counted only.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..sw.formats import IntArray
from .design import Design, Probe
from .errors import SimulationError

PLUSARG = "reslif_records"
"""Simulations take ``+reslif_records=<folder>``; without it nothing is recorded."""

COUNTS = "reslif_counts"
"""Simulations take ``+reslif_counts=<folder>``; at their end they write the numbers of spikes."""

_RECORDER = f"""\
module reslif_recorder #(parameter WIDTH = 1, parameter FILE = "", parameter WORDS = 0,
    parameter LAST = WIDTH, parameter TURNS = 1) (
  input wire clk,
  input wire valid,
  input wire [15:0] turn,
  input wire [WIDTH-1:0] data
);
  // Whole 32-bit words, as "%u" writes them; the lowest comes first.
  localparam PADDED = (WIDTH + 31) / 32 * 32;
  wire [PADDED-1:0] padded = PADDED'(data);
  string folder;
  integer file;
  initial begin
    file = 0;
    if ($value$plusargs("{PLUSARG}=%s", folder)) file = $fopen({{folder, "/", FILE}}, "wb");
  end
  always @(posedge clk) if (valid && file != 0) $fwrite(file, "%u", padded);
  // Spikes: WORDS a timestep, in the last of which only LAST bits count; for each turn.
  longint ones [TURNS];
  integer word = 0;
  initial for (int i = 0; i < TURNS; i++) ones[i] = 0;
  always @(posedge clk) if (WORDS != 0 && valid) begin
    word <= word == WORDS - 1 ? 0 : word + 1;
    ones[32'(turn)] <= ones[32'(turn)]
      + longint'($countones(word == WORDS - 1 ? data[LAST-1:0] : data));
  end
  final begin
    if (file != 0) $fclose(file);
    if (WORDS != 0 && $value$plusargs("{COUNTS}=%s", folder)) begin
      file = $fopen({{folder, "/", FILE, ".count"}}, "wb");
      for (int i = 0; i < TURNS; i++) $fwrite(file, "%u", ones[i]);
      $fclose(file);
    end
  end
endmodule
"""


def bind_file(design: Design) -> str:
    """The SystemVerilog text that binds a recorder to the signals of every probe of ``design``."""
    parts = [_RECORDER]
    sizes = {layer["name"]: layer["size"] for layer in design.manifest.get("layers", ())}
    turns = 1 + max((probe.share.turn for probe in design.probes if probe.share), default=0)
    recorded: set[str] = set()
    for number, probe in enumerate(design.probes):
        if probe.file in recorded:
            continue
        recorded.add(probe.file)
        counted, turn = "", "16'd0"
        if probe.quantity == "spike" and probe.share:
            # Lanes beyond the last neuron of a layer never spike.
            counted, turn = f", .WORDS(1), .TURNS({turns})", "16'(probe_turn)"
        elif probe.quantity == "spike":
            last = probe.lanes - -sizes.get(probe.node, 0) % probe.lanes
            counted = f", .WORDS({probe.words}), .LAST({last})"
        parts.append(
            f"bind \\{probe.module} reslif_recorder "
            f'#(.WIDTH({probe.width}), .FILE("{probe.file}"){counted}) reslif_probe_{number} '
            f"(.clk(clk), .valid(\\{probe.valid} ), .turn({turn}), .data(\\{probe.data} ));\n"
        )
    return "\n".join(parts)


def read_records(folder: Path, probe: Probe, size: int, steps: int, samples: int) -> IntArray:
    """What ``probe`` recorded, as ``[T, B, n]`` integers (``steps``, ``samples``, ``size``).

    Raises :class:`SimulationError` if there are fewer or more records than that.
    """
    raw = _records(folder, probe)
    words = probe.share.among if probe.share else probe.words
    expected = steps * samples * words
    if not expected <= len(raw) <= expected + probe.ahead:
        raise SimulationError(
            f"probe {probe.name} recorded {len(raw)} words, must be {expected}: "
            f"{words} for each of {steps} timesteps of {samples} samples"
        )
    return arranged(raw[:expected], probe, size, steps)


def read_count(folder: Path, probe: Probe) -> int:
    """The spikes that ``probe`` saw in a whole simulation."""
    path = folder / f"{probe.file}.count"
    raw = np.fromfile(path, "<u8") if path.exists() else np.zeros(0)
    turn = probe.share.turn if probe.share else 0
    if len(raw) <= turn:
        raise SimulationError(f"probe {probe.name} wrote no count of its spikes")
    return int(raw[turn])


def _records(folder: Path, probe: Probe) -> npt.NDArray[np.uint8]:
    """What was recorded of the probe's signals, ``[records, bytes]``; of large files no copy."""
    path = folder / probe.file
    if not path.exists():
        raise SimulationError(f"probe {probe.name} wrote no record file")
    bytes_each = -(-probe.width // 32) * 4
    if path.stat().st_size % bytes_each:
        raise SimulationError(f"record file of probe {probe.name} ends within a word")
    if not path.stat().st_size:  # which cannot be mapped
        return np.zeros((0, bytes_each), np.uint8)
    return np.memmap(path, np.uint8, "r").reshape(-1, bytes_each)


def read_some(folder: Path, probe: Probe, size: int, steps: int, samples: int) -> IntArray:
    """As :func:`read_records` of the first ``samples``, whatever was recorded after them."""
    words = probe.share.among if probe.share else probe.words
    return arranged(_records(folder, probe)[: samples * steps * words], probe, size, steps)


def arranged(raw: npt.NDArray[np.uint8], probe: Probe, size: int, steps: int) -> IntArray:
    """The records of whole samples, ``[records, bytes]``, as ``[T, B, n]`` integers of the probe;
    surplus lanes are dropped.
    """
    if probe.share:
        first = probe.share.before * steps
        raw = raw.reshape(-1, probe.share.among * steps, raw.shape[1])
        raw = raw[:, first : first + probe.words * steps]
        samples = len(raw)
        values = unpack(raw.reshape(-1, raw.shape[2]), probe)
        by_word = values.reshape(samples, probe.words, steps, probe.lanes)
        by_step = by_word.transpose(2, 0, 1, 3).reshape(steps, samples, -1)
        return by_step[:, :, :size]
    values = unpack(raw, probe)
    by_step = values.reshape(-1, steps, probe.words * probe.lanes)[:, :, :size]
    return by_step.transpose(1, 0, 2)


def unpack(raw: npt.NDArray[np.uint8], probe: Probe) -> IntArray:
    """``[records, bytes]`` as written to ``[records, lanes]`` integers of the probe's format.

    Shared signals are signed, and hold any of their formats.
    """
    width, lanes = probe.stride, probe.lanes
    result = np.empty((len(raw), lanes), np.int64)
    padded = np.pad(raw, ((0, 0), (0, 8)))
    for lane in range(lanes):
        first, shift = divmod(lane * width, 8)
        # Eight bytes hold the lane but for the bits that an odd start pushes into a ninth.
        low = np.ascontiguousarray(padded[:, first : first + 8]).view("<u8")[:, 0]
        value = low >> np.uint64(shift)
        if shift:
            value |= padded[:, first + 8].astype(np.uint64) << np.uint64(64 - shift)
        value &= np.uint64((1 << width) - 1)
        result[:, lane] = value.astype(np.int64)
    if probe.format.signed or (probe.share and width > probe.format.width):
        result -= (result >> (width - 1)) << width
    return result
