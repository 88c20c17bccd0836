"""From top.v to bitstream: real tools on small designs, and every way to fail."""

from __future__ import annotations

import hashlib
import json
import re
from itertools import pairwise
from pathlib import Path

import pytest
from reslif.bitstreams import flow, tools
from reslif.bitstreams.devices import ECP5_85K, UP5K
from reslif.bitstreams.errors import BuildError
from reslif.bitstreams.flow import build, measure


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def check_build(design: Path, device, least_mhz: float) -> None:
    before = digest(design / "top.v")
    stages: list[str] = []
    result = build(design, device, progress=lambda stage, _: stages.append(stage))
    assert result.clock_mhz == device.clock_mhz >= least_mhz
    assert result.fmax_mhz >= result.clock_mhz
    assert 100 < result.luts < 2000
    assert 100 < result.ffs < 2000
    assert 1 <= result.brams <= 10
    assert result.dsps == 0
    assert result.bitstream.stat().st_size > 50_000
    assert result.bitstream_sha256 == digest(result.bitstream)
    assert result.verilog_sha256 == before == digest(design / "top.v")
    assert list(result.seconds) == ["synthesis", "place-and-route", "pack"]
    assert list(dict.fromkeys(stages)) == list(result.seconds)
    assert set(result.versions) == {"yosys", "nextpnr"}
    assert all(re.match(r"\d", version) for version in result.versions.values())
    saved = json.loads((design / device.name / "build.json").read_text())
    assert saved == result.to_json()


def test_build_for_up5k(design) -> None:
    check_build(design, UP5K, 20.0)


@pytest.mark.slow
def test_build_for_ecp5(design) -> None:
    check_build(design, ECP5_85K, 80.0)


@pytest.mark.slow
def test_a_build_repeats_bit_for_bit(design) -> None:
    assert build(design, UP5K).bitstream_sha256 == build(design, UP5K).bitstream_sha256


def test_measure_the_bare_design(design) -> None:
    usage = measure(design, ECP5_85K)
    assert 100 < usage.luts < 2000
    assert usage.fmax_mhz > 50
    assert usage.verilog_sha256 == digest(design / "top.v")
    assert not list(design.rglob("*.bit"))


def test_measure_needs_pins(design) -> None:
    with pytest.raises(BuildError, match="up5k has too few pins for a bare design"):
        measure(design, UP5K)


PORTS = """
module top(input aclk, aresetn, s_axis_tvalid, s_axis_tlast, m_axis_tready,
  input [31:0] s_axis_tdata, output s_axis_tready, m_axis_tvalid, output [31:0] m_axis_tdata,
  input [7:0] s_axi_awaddr, s_axi_araddr, input [2:0] s_axi_awprot, s_axi_arprot,
  input s_axi_awvalid, s_axi_wvalid, s_axi_bready, s_axi_arvalid, s_axi_rready,
  input [31:0] s_axi_wdata, input [3:0] s_axi_wstrb);
"""


ECHO = """
assign s_axis_tready = m_axis_tready, m_axis_tvalid = s_axis_tvalid, m_axis_tdata = s_axis_tdata;
endmodule
"""

FORTY_RAMS = """
(* no_rw_check *) reg [639:0] memory [0:255];
reg [639:0] word;
always @(posedge aclk) begin
  if (s_axis_tvalid) memory[s_axis_tdata[7:0]] <= {20{s_axis_tdata}};
  word <= memory[s_axis_tdata[15:8]];
end
assign m_axis_tvalid = ^word;
endmodule
"""


def test_a_clock_that_is_too_fast_is_tried_with_other_seeds(tmp_path, monkeypatch) -> None:
    seeds: list[str] = []

    def spy(stage, command, *others):
        seeds.extend(after for flag, after in pairwise(command) if flag == "--seed")
        return tools.run(stage, command, *others)

    monkeypatch.setattr(flow, "run", spy)
    (tmp_path / "top.v").write_text(PORTS + ECHO)
    message = r"up5k: reaches \d+\.\d+ MHz, its clock is 96 MHz: choose a slower clock"
    with pytest.raises(BuildError, match=message):
        build(tmp_path, UP5K, clock_mhz=96.0, attempts=2)
    assert seeds == ["1", "2"]
    assert not list(tmp_path.rglob("top.bin"))
    assert not list(tmp_path.rglob("build.json"))


def test_a_design_that_does_not_fit_names_the_resource(tmp_path) -> None:
    """The serial link needs one block RAM more."""
    (tmp_path / "top.v").write_text(PORTS + FORTY_RAMS)
    message = "design does not fit up5k: it needs 41 ICESTORM_RAM, there are 30$"
    with pytest.raises(BuildError, match=message):
        build(tmp_path, UP5K)
    assert not list(tmp_path.rglob("top.bin"))


def test_verilog_that_is_none(tmp_path) -> None:
    (tmp_path / "top.v").write_text("module top(; endmodule\n")
    with pytest.raises(BuildError, match=r"^synthesis failed: \.\./top\.v:1: syntax error.*\(all"):
        build(tmp_path, UP5K)


def test_a_folder_without_a_design(tmp_path) -> None:
    with pytest.raises(BuildError, match=r"holds no top\.v: generate the design first"):
        build(tmp_path / "nothing", UP5K)
    assert not (tmp_path / "nothing").exists()


@pytest.mark.parametrize("variable", ["YOSYS", "NEXTPNR_ICE40", "ICEPACK"])
def test_a_missing_tool(variable, design, monkeypatch) -> None:
    monkeypatch.setenv(variable, "no-such-tool")
    message = rf"^'no-such-tool' is not installed: .*reslif\[fpga\].*\${variable}$"
    with pytest.raises(BuildError, match=message):
        build(design, UP5K)
    assert not (design / "up5k").exists()
