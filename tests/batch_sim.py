"""Several generated designs in one Verilator build: compiling is what small designs spend on.

The designs lie side by side in one top of the usual ports; each run wakes one of them, by the
last two characters of the folder that its records go to. All others have no clock.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from reslif.hw.emit import to_verilog
from reslif.hw.folding import Folding
from reslif.sim import native
from reslif.sim.design import Design, Probe
from reslif.sim.encoding import Mode, decode, encode
from reslif.sim.job import Job, Stalls
from reslif.sim.recorder import PLUSARG, read_records
from reslif.sim.verdict import (
    check_alive,
    check_outputs,
    check_registers,
    first_mismatch,
    spikes,
)
from reslif.sw import golden
from reslif.sw.network import Network

INPUTS = {
    "aclk": 1, "aresetn": 1,
    "s_axis_tdata": 32, "s_axis_tvalid": 1, "s_axis_tlast": 1, "m_axis_tready": 1,
    "s_axi_awaddr": 8, "s_axi_awprot": 3, "s_axi_awvalid": 1, "s_axi_wdata": 32,
    "s_axi_wstrb": 4, "s_axi_wvalid": 1, "s_axi_bready": 1, "s_axi_araddr": 8,
    "s_axi_arprot": 3, "s_axi_arvalid": 1, "s_axi_rready": 1,
}  # fmt: skip
OUTPUTS = {
    "s_axis_tready": 1, "m_axis_tdata": 32, "m_axis_tvalid": 1, "m_axis_tlast": 1,
    "s_axi_awready": 1, "s_axi_wready": 1, "s_axi_bresp": 2, "s_axi_bvalid": 1,
    "s_axi_arready": 1, "s_axi_rdata": 32, "s_axi_rresp": 2, "s_axi_rvalid": 1,
}  # fmt: skip


@dataclass(frozen=True)
class BatchRun:
    """One run, whose ``mismatches`` with ``trace`` over all probes are 0, else it had raised;
    ``cycles`` from first word to class.
    """

    trace: golden.Trace
    cycles: int
    comparisons: int
    mismatches: int


class Batch:
    """``designs`` maps a name to a network and its folding; all are generated at once."""

    def __init__(self, designs: Mapping[str, tuple[Network, Folding]]) -> None:
        self.names: list[str] = []
        self.networks: dict[str, Network] = {}
        self.texts: dict[str, str] = {}
        self.manifests: dict[str, dict[str, Any]] = {}
        for name, (network, folding) in designs.items():
            self.add(name, network, folding)

    def add(self, name: str, network: Network, folding: Folding) -> None:
        """Generate one more design; its text may be altered before the first run."""
        module = f"g{len(self.names)}"
        self.names.append(name)
        self.networks[name] = network
        self.texts[name], self.manifests[name] = to_verilog(network, folding, module)

    @cached_property
    def design(self) -> Design:
        """All designs as one, with the probes of all."""
        text = _top(len(self.names)) + "".join(self.texts.values())
        probes = tuple(p for name in self.names for p in self.probes(name).values())
        return Design(Path(), {}, text, probes)

    def probes(self, name: str) -> dict[golden.Probe, Probe]:
        """The probes of one design, each with a record file of its own."""
        entries = [Probe.of(entry) for entry in self.manifests[name]["probes"]]
        number = self.names.index(name)
        return {(p.node, p.quantity): replace(p, node=f"g{number}.{p.node}") for p in entries}

    def records(self, name: str, folder: str) -> Path:
        """The folder in ``folder`` that selects design ``name``."""
        path = Path(folder) / f"{self.names.index(name):02}"
        path.mkdir()
        return path

    def run(
        self,
        name: str,
        samples: np.ndarray,
        *,
        mode: Mode = "event",
        stalls: Stalls | None = None,
        seed: int = 0,
        alive: bool = True,
    ) -> BatchRun:
        """Compare every probe, score, class and register of one design with the golden model."""
        network, probes = self.networks[name], self.probes(name)
        entries = [Probe.of(entry) for entry in self.manifests[name]["probes"]]
        sizes = {(p.node, p.quantity): p.size_in(network) for p in entries}
        missing = {n.name for n in network.nodes} - {node for node, _ in probes}
        assert missing == {network.input.name, *self.manifests[name]["merged"]}
        job = Job(encode(network, samples, mode), mode, stalls or Stalls(), seed, 200_000)
        trace = golden.run(network, samples, None)
        if alive:
            check_alive(network, spikes(network, trace))
        steps, batch = samples.shape[:2]
        with tempfile.TemporaryDirectory() as folder:
            records = self.records(name, folder)
            outcome = native.run(self.design, job, records, fast=False)
            recorded = {
                key: read_records(records, probe, sizes[key], steps, batch)
                for key, probe in probes.items()
            }
        mismatch = first_mismatch(network, recorded, trace)
        assert mismatch is None, f"{name}: {mismatch}"
        scores, classes = decode(outcome.outputs, network.readout.size)
        check_outputs(scores, classes, trace)
        check_registers(network, outcome.registers, trace)
        compared = sum(values.size for values in recorded.values())
        different = sum(int((v != trace[key]).sum()) for key, v in recorded.items())
        return BatchRun(trace, outcome.cycles, compared, different)


def _top(count: int) -> str:
    """A module ``top`` around ``g0``, ``g1``…"""

    def declared(direction: str, ports: Mapping[str, int]) -> list[str]:
        return [f"  {direction} [{width - 1}:0] {name}" for name, width in ports.items()]

    text = "module top(\n" + ",\n".join(declared("input wire", INPUTS))
    text += ",\n" + ",\n".join(declared("output wire", OUTPUTS)) + "\n);\n"
    text += f"""\
  string folder;
  integer chosen = 0;
  initial if ($value$plusargs("{PLUSARG}=%s", folder)) begin
    folder = folder.substr(folder.len() - 2, folder.len() - 1);
    chosen = folder.atoi();
  end
"""
    for number in range(count):
        wires = "".join(
            f"  wire [{width - 1}:0] {name}_{number};\n" for name, width in OUTPUTS.items()
        )
        ports = [f".aclk(aclk & (chosen == {number}))"]
        ports += [f".{name}({name})" for name in INPUTS if name != "aclk"]
        ports += [f".{name}({name}_{number})" for name in OUTPUTS]
        text += f"{wires}  g{number} design_{number} ({', '.join(ports)});\n"
    for name in OUTPUTS:
        parts = [f"chosen == {number} ? {name}_{number} :" for number in range(count)]
        text += f"  assign {name} = {' '.join(parts)} 0;\n"
    return text + "endmodule\n"
