"""The waveform of a window of one sample, with every layer's values under the layer's name."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..sw import golden
from ..sw.formats import IntArray
from ..sw.network import Network
from . import native
from .design import Design, Probe
from .encoding import END_OF_STEP, Words, encode
from .errors import SimulationError
from .job import Job, Stalls
from .recorder import PLUSARG, read_records
from .verdict import Mismatch, first_mismatch
from .verilator import TOP, build
from .wave_file import Track, gtkwave_list, surfer_list, write_vcd

CYCLES = "reslif_cycles"
"""Simulations take ``+reslif_cycles=<folder>``: for every word of a probe, its clock cycle."""

INPUT = "input.cycles"
OUTPUT = "output.cycles"

_CYCLES = f"""\
module reslif_cycles #(parameter FILE = "") (input wire clk, input wire valid);
  string folder;
  integer file = 0;
  bit [31:0] cycle = 0;
  initial if ($value$plusargs("{CYCLES}=%s", folder)) file = $fopen({{folder, "/", FILE}}, "wb");
  always @(posedge clk) begin
    cycle <= cycle + 1;
    if (valid && file != 0) $fwrite(file, "%u", cycle);
  end
  final if (file != 0) $fclose(file);
endmodule
"""

Cycles = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Wave:
    """What was written: ``vcd``, and the lists of its signals for GTKWave and for Surfer.

    The waveform has the clock cycles ``first`` to ``last``. ``mismatch`` is the first value of the
    whole sample in which hardware and golden model differ, if there is one.
    """

    vcd: Path
    gtkwave: Path
    surfer: Path
    first: int
    last: int
    mismatch: Mismatch | None


def wave(
    folder: Path, network: Network, sample: npt.ArrayLike, window: tuple[int, int], vcd: Path
) -> Wave:
    """Run ``sample`` (``[T, inputs]`` integers) alone through the design in ``folder``, and write
    the waveform of the timesteps ``window``, first and last, to ``vcd``.

    Layers work on different timesteps at the same time, so the waveform begins with the first word
    of the window at the input or at any probe, and ends with the last. What a layer does before
    and after is there as the design's own signals show it; under the layer's name are the values
    of the window and no others. Raises :class:`SimulationError` for a window that does not exist,
    and for everything that :func:`reslif.sim.cosim.cosim` refuses but a value that differs.
    """
    design = Design.read(folder)
    design.check_network(network)
    data = golden.checked_samples(network, np.asarray(sample)[:, None])
    steps, (first, last) = len(data), window
    if not (0 <= first < steps and 0 <= last < steps):
        raise SimulationError(
            f"window is timesteps {first} to {last}, must lie within 0 to {steps - 1}"
        )
    if first > last:
        raise SimulationError(f"window is timesteps {first} to {last}, must end after it begins")
    job = Job(encode(network, data), "event", Stalls(), 0, 200_000)
    recipe = native.recipe(design, fast=False, trace=True)
    recipe = replace(recipe, sources={**recipe.sources, "cycles.sv": _bind_file(design)})
    program = build(recipe) / TOP
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        plusargs = [f"+{PLUSARG}={place}", f"+{CYCLES}={place}"]
        native.execute(design, program, job, place, plusargs)
        recorded = {
            (probe.node, probe.quantity): read_records(
                place, probe, probe.size_in(network), steps, 1
            )
            for probe in design.probes
        }
        tracks = [_input_track(design, network, job.words[0], place, steps)]
        for probe in design.probes:
            values = recorded[probe.node, probe.quantity][:, 0]
            tracks.append(_track(probe, values, place, steps))
        rank = {node.name: number for number, node in enumerate(network.order)}
        tracks.sort(key=lambda track: rank[track.node])
        begin = min(int(track.cycles[track.steps == first].min()) for track in tracks)
        end = max(int(track.cycles[track.steps == last].max()) for track in tracks)
        if last == steps - 1:  # up to the class
            end = max(end, int(_read_cycles(place / OUTPUT).max()))
        raw = place / "raw.vcd"
        limits = [f"waves={raw}", f"wave_from={begin}", f"wave_to={end}"]
        native.execute(design, program, job, place, limits)
        shown = [track.within(first, last) for track in tracks]
        vcd.parent.mkdir(parents=True, exist_ok=True)
        scopes = write_vcd(raw, vcd, shown, begin, end)
    lists = vcd.with_suffix(".gtkw"), vcd.with_suffix(".sucl")
    lists[0].write_text(gtkwave_list(vcd.name, shown, scopes, begin))
    lists[1].write_text(surfer_list(shown, scopes))
    trace = golden.run(network, data, set(recorded))
    mismatch = first_mismatch(network, recorded, trace)
    return Wave(vcd, *lists, first=begin, last=end, mismatch=mismatch)


def _bind_file(design: Design) -> str:
    """The SystemVerilog text that records when words pass: of probes, and of both streams."""
    signals = {
        f"{probe.file}.cycles": (probe.module, "clk", f"\\{probe.valid} ")
        for probe in design.probes
    }
    signals |= {
        file: (TOP, "aclk", f"{port}_tvalid && {port}_tready")
        for file, port in ((INPUT, "s_axis"), (OUTPUT, "m_axis"))
    }
    binds = [
        f'bind \\{module} reslif_cycles #(.FILE("{file}")) reslif_cycles_{number} '
        f"(.clk({clock}), .valid({valid}));"
        for number, (file, (module, clock, valid)) in enumerate(signals.items())
    ]
    return "\n".join([_CYCLES, *binds, ""])


def _read_cycles(path: Path) -> Cycles:
    return np.fromfile(path, "<u4").astype(np.int64)


def _input_track(design: Design, network: Network, words: Words, place: Path, steps: int) -> Track:
    """The words of the sample, as they are taken."""
    before = 0 if design.loaded is None else len(design.loaded)
    cycles = _read_cycles(place / INPUT)[before:]
    marks = words & END_OF_STEP != 0
    step = np.concatenate([[0], np.cumsum(marks)[:-1]]).astype(np.int64)
    number = np.arange(len(words)) - np.searchsorted(step, step)
    name = network.input.name
    return Track(name, "word", 32, False, step, number, cycles, words[:, None].astype(np.int64))


def _track(probe: Probe, values: IntArray, place: Path, steps: int) -> Track:
    """The words of ``probe`` in the order in which they came; ``values`` are ``[T, n]``."""
    cycles = _read_cycles(place / f"{probe.file}.cycles")
    padded = np.full((steps, probe.words * probe.lanes), Track.NOTHING, np.int64)
    padded[:, : values.shape[1]] = values
    lanes = padded.reshape(steps * probe.words, probe.lanes)
    step, word = (part.reshape(-1) for part in np.indices((steps, probe.words)))
    if probe.share:  # the timesteps of a word follow each other
        here = cycles[probe.share.before * steps :][: steps * probe.words]
        order = np.lexsort((step, word))
    else:
        here, order = cycles[: steps * probe.words], np.arange(steps * probe.words)
    form = probe.format
    return Track(
        probe.node,
        probe.quantity,
        form.width,
        form.signed,
        step[order],
        word[order],
        here,
        lanes[order],
        probe.module,
    )
