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
    parameter LAST = WIDTH) (
  input wire clk,
  input wire valid,
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
  // Spikes: WORDS a timestep, in the last of which only LAST bits count.
  longint ones = 0;
  integer word = 0;
  always @(posedge clk) if (WORDS != 0 && valid) begin
    word <= word == WORDS - 1 ? 0 : word + 1;
    ones <= ones + longint'($countones(word == WORDS - 1 ? data[LAST-1:0] : data));
  end
  final begin
    if (file != 0) $fclose(file);
    if (WORDS != 0 && $value$plusargs("{COUNTS}=%s", folder)) begin
      file = $fopen({{folder, "/", FILE, ".count"}}, "wb");
      $fwrite(file, "%u", ones);
      $fclose(file);
    end
  end
endmodule
"""


def bind_file(design: Design) -> str:
    """The SystemVerilog text that binds a recorder to every probe of ``design``."""
    parts = [_RECORDER]
    sizes = {layer["name"]: layer["size"] for layer in design.manifest.get("layers", ())}
    for number, probe in enumerate(design.probes):
        counted = ""
        if probe.quantity == "spike":
            last = probe.lanes - -sizes.get(probe.node, 0) % probe.lanes
            counted = f", .WORDS({probe.words}), .LAST({last})"
        parts.append(
            f"bind \\{probe.module} reslif_recorder "
            f'#(.WIDTH({probe.width}), .FILE("{probe.name}.bin"){counted}) reslif_probe_{number} '
            f"(.clk(clk), .valid(\\{probe.valid} ), .data(\\{probe.data} ));\n"
        )
    return "\n".join(parts)


def read_records(folder: Path, probe: Probe, size: int, steps: int, samples: int) -> IntArray:
    """What ``probe`` recorded, as ``[T, B, n]`` integers (``steps``, ``samples``, ``size``).

    Raises :class:`SimulationError` if there are fewer or more records than that.
    """
    values = read_all_records(folder, probe)
    expected = steps * samples * probe.words
    if not expected <= len(values) <= expected + probe.ahead:
        raise SimulationError(
            f"probe {probe.name} recorded {len(values)} words, must be {expected}: "
            f"{probe.words} for each of {steps} timesteps of {samples} samples"
        )
    return arranged(values[:expected], probe, size, steps)


def read_count(folder: Path, probe: Probe) -> int:
    """The spikes that ``probe`` saw in a whole simulation."""
    path = folder / f"{probe.name}.bin.count"
    raw = np.fromfile(path, "<u8") if path.exists() else np.zeros(0)
    if len(raw) != 1:
        raise SimulationError(f"probe {probe.name} wrote no count of its spikes")
    return int(raw[0])


def read_all_records(folder: Path, probe: Probe) -> IntArray:
    """Every word that ``probe`` recorded, as ``[records, lanes]`` integers."""
    path = folder / f"{probe.name}.bin"
    if not path.exists():
        raise SimulationError(f"probe {probe.name} wrote no record file")
    raw = np.fromfile(path, np.uint8)
    bytes_each = -(-probe.width // 32) * 4
    if raw.size % bytes_each:
        raise SimulationError(f"record file of probe {probe.name} ends within a word")
    return unpack(raw.reshape(-1, bytes_each), probe)


def arranged(values: IntArray, probe: Probe, size: int, steps: int) -> IntArray:
    """``[records, lanes]`` of whole samples as ``[T, B, n]``; surplus lanes are dropped."""
    by_step = values.reshape(-1, steps, probe.words * probe.lanes)[:, :, :size]
    return by_step.transpose(1, 0, 2)


def unpack(raw: npt.NDArray[np.uint8], probe: Probe) -> IntArray:
    """``[records, bytes]`` as written to ``[records, lanes]`` integers of the probe's format."""
    width, lanes = probe.format.width, probe.lanes
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
    if probe.format.signed:
        result -= (result >> (width - 1)) << width
    return result
