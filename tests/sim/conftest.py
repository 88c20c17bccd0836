"""A tiny hand-written design that obeys the top-level protocol: it tests the tools alone."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from reslif.sw.formats import Format
from reslif.sw.network import LIF, Dense, Edge, Input, Network, Readout

INPUTS, CLASSES = 6, 4


def toy_network(weight: np.ndarray, threshold: int = 5) -> Network:
    """Input → dense → LIF → count: what :func:`write_toy` builds."""
    return Network(
        (
            Input("x", INPUTS),
            Dense("fc", weight, Format(5, 0)),
            LIF(
                "lif1",
                CLASSES,
                Format(12, 0),
                np.array(7),
                3,
                np.array(threshold),
            ),
            Readout("out", "count", CLASSES),
        ),
        (Edge("x", "fc"), Edge("fc", "lif1"), Edge("lif1", "out")),
        max_steps=64,
    )


def _probe(node: str, quantity: str, module: str, lanes: int, words: int, form: str) -> dict:
    name = f"probe_{quantity}"
    return {
        "node": node,
        "quantity": quantity,
        "module": module,
        "valid": f"{name}_valid",
        "data": name,
        "lanes": lanes,
        "words": words,
        "ahead": 0,
        "format": form,
    }


PROBES = [
    _probe("fc", "current", "top.core.fc", 4, 1, "s9.0"),
    _probe("lif1", "membrane", "top.core.lif1", 3, 2, "s12.0"),
    _probe("lif1", "spike", "top.core.lif1", 3, 2, "u1.0"),
    _probe("out", "score", "top.core.out", 4, 1, "u7.0"),
]


def write_toy(folder: Path, network: Network, patch: tuple[str, str] | None = None) -> Path:
    """Write ``top.v`` and ``manifest.json``; ``patch`` replaces one text of the Verilog."""
    dense, lif = network.nodes_of(Dense)[0], network.nodes_of(LIF)[0]
    digest = network.digest
    weights = "\n".join(
        f"    w[{j * INPUTS + i}] = {int(dense.weight[j, i])};"
        for j in range(CLASSES)
        for i in range(INPUTS)
    )
    words = "\n".join(
        f"      8'h{0x30 + 4 * i:02x}: register = 32'h{digest[8 * i : 8 * i + 8]};"
        for i in range(8)
    )
    text = (Path(__file__).parent / "toy.v").read_text()
    text = text.replace("/*WEIGHTS*/", weights).replace("/*DIGEST*/", words)
    text = text.replace("/*THRESHOLD*/", str(int(lif.threshold)))
    if patch is not None:
        assert text.count(patch[0]) == 1, patch[0]
        text = text.replace(*patch)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "top.v").write_text(text)
    manifest = {
        "top": "top",
        "verilog_sha256": hashlib.sha256(text.encode()).hexdigest(),
        "network": {
            "digest": digest,
            "input": {"name": "x", "size": INPUTS, "format": "u1.0"},
            "readout": {"name": "out", "kind": "count", "classes": CLASSES, "format": "u7.0"},
            "max_steps": network.max_steps,
        },
        "probes": PROBES,
        "registers": [],
        "layers": [{"name": "lif1", "size": CLASSES}],
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


Toy = Callable[..., tuple[Path, Network]]


@pytest.fixture
def toy(tmp_path: Path) -> Toy:
    """Writes the toy design: ``toy(patch=(old, new))`` returns its folder and its network."""

    def write(patch: tuple[str, str] | None = None, threshold: int = 5) -> tuple[Path, Network]:
        weight = np.random.default_rng(1).integers(-6, 10, (CLASSES, INPUTS))
        network = toy_network(weight, threshold)
        return write_toy(tmp_path / "design", network, patch), network

    return write


@pytest.fixture
def samples() -> np.ndarray:
    """``[T, B, inputs]``: 5 timesteps, 7 samples."""
    return np.random.default_rng(2).integers(0, 2, (5, 7, INPUTS))
