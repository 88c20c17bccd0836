"""A small run folder for the report, and a reader of the figures on its page.

Training, quantisation and Verilog are real; what Verilator and the FPGA tools would take a minute
for is written as they write it.
"""

from __future__ import annotations

import json
import shutil
from html.parser import HTMLParser
from pathlib import Path

from reslif.sw.flow import STAGES, Run
from reslif.sw.flow.report import PAGE
from reslif.sw.network import Neuron
from reslif.sw.recipe import load_recipe

RECIPE = """
name = "small"
[train]
blocks = 1
width = 12
steps = 4
epochs = 3
qat_epochs = 2
[hardware]
lanes = 4
neuron_lanes = 2
[build]
device = "up5k"
"""
SECTIONS = (
    "summary", "network", "samples", "training", "accuracy", "weights", "quantisation", "cosim",
    "hardware",
)  # fmt: skip
ORDER = ("train", "quantise", "generate", "cosim", "build")
FILES = {
    "train": ("train.json", "float.safetensors", "float.state.safetensors"),
    "quantise": ("quantise.json", "network.safetensors", "quantised.state.safetensors"),
    "generate": ("generate.json", "manifest.json", "top.v"),
    "cosim": ("cosim.json",),
    "build": ("build.json", "up5k"),
}
KEYS = (
    "accuracy.float", "accuracy.golden", "accuracy.hardware", "cosim.cycles_per_sample",
    "cosim.samples", "cosim.comparisons", "cosim.mismatches", "cosim.spikes", "build.luts",
    "build.ffs", "build.brams", "build.dsps", "build.fmax_mhz", "build.clock_mhz", "bits",
)  # fmt: skip
"""Figures that no page of a whole run lacks."""


def make_run(folder: Path) -> tuple[Path, Path]:
    """A recipe in ``folder``, and its run folder after all stages."""
    folder.mkdir(parents=True, exist_ok=True)
    recipe = folder / "small.toml"
    recipe.write_text(RECIPE)
    run = Run(load_recipe(recipe), folder / "run", lambda text: None)
    for stage in ("train", "quantise", "generate"):
        STAGES[stage](run)
    network = run.network
    simulated = {
        "harness": "native", "samples": 20, "steps": 4, "probes": 13, "comparisons": 123_456,
        "mismatches": 0, "spikes": {n.name: 1000 + k for k, n in
                                    enumerate(network.nodes_of(Neuron))},
        "accuracy": 0.85, "cycles_per_sample": 1234.5, "idle": 0.0, "stall": 0.0, "seconds": 7.25,
    }  # fmt: skip
    sha = run.read("generate")["verilog_sha256"]
    run.write("cosim", simulated | {"verilog_sha256": sha, "network_digest": network.digest})
    run.write("build", {
        "device": "up5k", "luts": 3278, "ffs": 1785, "brams": 22, "sprams": 0, "dsps": 3,
        "fmax_mhz": 37.4, "clock_mhz": 20.25, "bitstream": "top.bin", "seconds": 59.0,
        "verilog_sha256": sha,
    })  # fmt: skip
    tools = run.folder / "up5k"
    tools.mkdir()
    (tools / "report.json").write_text(json.dumps(PLACED))
    (tools / "netlist.json").write_text(json.dumps(NETLIST))
    return recipe, run.folder


def _hop(kind: str, ns: float, cell: str) -> dict:
    return {"type": kind, "delay": ns, "from": {"cell": "x"}, "to": {"cell": cell}}


PLACED = {
    "fmax": {"clk": {"achieved": 37.4, "constraint": 20.25}},
    "utilization": {
        "ICESTORM_LC": {"used": 3278, "available": 5280},
        "ICESTORM_RAM": {"used": 22, "available": 30},
        "ICESTORM_DSP": {"used": 3, "available": 8},
        "OTHER": {"used": 1, "available": 0},
    },
    "critical_paths": [
        {"from": "<async>", "to": "posedge clk", "path": [_hop("routing", 99.0, "pin")]},
        {"from": "posedge clk", "to": "posedge clk", "path": [
            _hop("clk-to-q", 1.5, "top.core.stem.sums"), _hop("routing", 4.0, "middle"),
            _hop("logic", 1.25, "middle"), _hop("routing", 3.0, "top_core_stem_total"),
            _hop("setup", 0.25, "top_core_stem_total"),
        ]},
    ],
}  # fmt: skip

NETLIST = {"modules": {"board": {"cells": {
    "top_core": {"type": "$scopeinfo", "attributes": {"module": "top.core"}},
    "top_core_stem": {"type": "$scopeinfo", "attributes": {"module": "top.core.stem"}},
    "top_core_stem_a_SB_LUT4": {"type": "SB_LUT4", "attributes": {}},
    "top.core.stem.b_SB_DFFE": {"type": "SB_DFFE", "attributes": {}},
    "top_core_stemma_SB_LUT4": {"type": "SB_LUT4", "attributes": {}},
    "elsewhere_SB_LUT4": {"type": "SB_LUT4", "attributes": {}},
    "top.core.stem.memory.0": {"type": "SB_RAM40_4K", "attributes": {}},
}}}}  # fmt: skip


def part_of(run: Path, copy: Path, last: str) -> Path:
    """The run folder as it was after the stage ``last``."""
    copy.mkdir(parents=True)
    for stage in ORDER[: ORDER.index(last) + 1]:
        for name in FILES[stage]:
            source = run / name
            (shutil.copytree if source.is_dir() else shutil.copy2)(source, copy / name)
    return copy


class Page(HTMLParser):
    """What stands on a page: its ``figures`` (key, form, value, text), the ids of its sections,
    all addresses that it refers to, and its text outside scripts and styles.
    """

    def __init__(self, html: str) -> None:
        super().__init__()
        self.figures: list[tuple[str, str, str, str]] = []
        self.sections: list[str] = []
        self.missing: dict[str, str] = {}
        self.addresses: list[str] = []
        self.text = ""
        self._figure: list[str] | None = None
        self._missing = self._silent = False
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        have = dict(attrs)
        self._silent = tag in ("script", "style")
        if tag == "section":
            self.sections.append(have["id"])
        if tag == "p" and have.get("class") == "missing":
            self._missing = True
        self.addresses += [have[name] for name in ("src", "href", "xlink:href") if name in have]
        if have.get("class") == "figure" and tag == "span":
            self._figure = [have["data-key"], have["data-form"], have["data-value"], ""]

    def handle_endtag(self, tag):
        self._silent = self._silent and tag not in ("script", "style")
        if tag == "p":
            self._missing = False
        if tag == "span" and self._figure is not None:
            self.figures.append(tuple(self._figure))
            self._figure = None

    def handle_data(self, data):
        if self._figure is not None:
            self._figure[3] += data
        if self._missing and self.sections:
            last = self.sections[-1]
            self.missing[last] = self.missing.get(last, "") + data
        if not self._silent:
            self.text += data


def read_page(folder: Path) -> Page:
    return Page((folder / PAGE).read_text())


def wrong_figures(page: Page, report: dict) -> list[str]:
    """Every figure of the page that is not that of ``report.json``, in words.

    Numbers are read back from the text that a person sees.
    """
    found = []
    for key, form, value, text in page.figures:
        wanted = report
        for part in key.split("."):
            wanted = wanted.get(part) if isinstance(wanted, dict) else None
        if json.loads(value) != wanted:
            found.append(f"{key}: holds {value}, report.json has {wanted}")
        if wanted is None:
            good = text == "–"
        elif form in ("text", "digest"):
            good = bool(text) and str(wanted).startswith(text)
        elif form == "seconds":
            units = {"h": 3600.0, "min": 60.0, "s": 1.0}
            words = text.split()
            shown = sum(float(n) * units[u] for n, u in zip(words[::2], words[1::2], strict=True))
            good = abs(shown - wanted) <= (60 if "h" in words else 1 if "min" in words else 0.051)
        else:
            scale, half = {"share": (100, 0.005), "count": (1, 0.5), "mhz": (1, 0.005),
                           "times": (1, 0.0005)}[form]  # fmt: skip
            number = float(text.removesuffix(" MHz").removesuffix(" %").replace(",", ""))
            good = abs(number - scale * wanted) <= half * 1.001
        if not good:
            found.append(f"{key}: shows {text}, report.json has {wanted}")
    return found
