"""A generated design folder, read and checked: ``top.v`` and ``manifest.json``."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ..sw.formats import Format
from ..sw.golden import all_probes
from ..sw.network import Conv2d, Input, Join, Network, Neuron
from .encoding import Words
from .errors import SimulationError


@dataclass(frozen=True)
class Share:
    """Signals that show several nodes, one after the other in each sample.

    ``among`` words come for each timestep of a sample, ``before`` of them for nodes that come
    before; the timesteps of one word follow each other. A lane is ``stride`` bits wide. Spikes are
    counted by ``turn``, which the module's ``probe_turn`` shows.
    """

    before: int
    among: int
    stride: int
    turn: int


@dataclass(frozen=True)
class Probe:
    """Two signals of one Verilog module that show a quantity of a node.

    Whenever ``valid`` is high at a rising edge of the module's ``clk``, ``data`` holds ``lanes``
    values of ``format``, the first in the lowest bits; ``words`` such words make a timestep. Up to
    ``ahead`` more may follow a sample: they belong to the first timestep of the next.
    """

    node: str
    quantity: str
    module: str
    valid: str
    data: str
    lanes: int
    words: int
    ahead: int
    format: Format
    share: Share | None = None

    @classmethod
    def of(cls, entry: Mapping[str, Any]) -> Probe:
        """The probe of a manifest's entry."""
        values = {field.name: entry[field.name] for field in fields(cls) if field.name != "share"}
        values["format"] = Format.parse(entry["format"])
        if share := entry.get("share"):
            values["share"] = Share(**share)
        return cls(**values)

    @property
    def name(self) -> str:
        """Such as ``lif1.membrane``."""
        return f"{self.node}.{self.quantity}"

    @property
    def file(self) -> str:
        """Name of what is recorded: that of the probe, or of the signals that it shares."""
        return f"{self.module}.{self.data}.bin" if self.share else f"{self.name}.bin"

    @property
    def stride(self) -> int:
        """Bits of a lane."""
        return self.share.stride if self.share else self.format.width

    @property
    def width(self) -> int:
        """Bits of ``data``."""
        return self.lanes * self.stride

    def size_in(self, network: Network) -> int:
        """Values of one timestep: those of the node, of an LSTM's currents four times as many."""
        node = network.by_name[self.node]
        if isinstance(node, Neuron) and self.quantity == "current":
            return node.INPUTS * node.size
        return node.size


@dataclass(frozen=True)
class Streamed:
    """Weights in external memory: ``image`` is what that holds, a beat is ``bus_bytes``."""

    image: bytes
    bus_bytes: int


@dataclass(frozen=True)
class Design:
    """A design folder whose files belong together.

    ``streamed`` are its weights, if they are in external memory, ``loaded`` the words that the
    host sends before the first sample, if those are its weights.
    """

    folder: Path
    manifest: dict[str, Any]
    verilog: str
    probes: tuple[Probe, ...]
    streamed: Streamed | None = None
    loaded: Words | None = None

    @classmethod
    def read(cls, folder: Path) -> Design:
        """Read ``folder``.

        Raises :class:`SimulationError` for missing, foreign or altered files.
        """
        try:
            manifest = json.loads((folder / "manifest.json").read_text())
            verilog = (folder / "top.v").read_text()
        except FileNotFoundError as error:
            raise SimulationError(f"design folder {folder} has no {error.filename}") from None
        except ValueError as error:
            raise SimulationError(f"{folder / 'manifest.json'} is not JSON ({error})") from None
        try:
            probes = tuple(Probe.of(entry) for entry in manifest["probes"])
            expected = manifest["verilog_sha256"]
        except (KeyError, TypeError, ValueError) as error:
            raise SimulationError(
                f"{folder / 'manifest.json'} is not a manifest of this version ({error!r})"
            ) from None
        image, facts = _image(folder, manifest), manifest.get("weights", {})
        streamed = loaded = None
        if facts.get("source") == "stream":
            streamed = Streamed(image, facts["bus_bits"] // 8)
        if facts.get("source") == "loaded":
            loaded = np.frombuffer(image, "<u4").astype(np.uint32)
        design = cls(folder, manifest, verilog, probes, streamed, loaded)
        if design.verilog_sha256 != expected:
            raise SimulationError(
                f"{folder / 'top.v'} has SHA-256 {design.verilog_sha256[:16]}…, its manifest says "
                f"{expected[:16]}…: it was altered since it was generated"
            )
        return design

    @cached_property
    def verilog_sha256(self) -> str:
        """SHA-256 (hex) of ``top.v`` as it is simulated."""
        return hashlib.sha256(self.verilog.encode()).hexdigest()

    def check_network(self, network: Network) -> None:
        """Raise :class:`SimulationError` unless this is ``network``, with a probe at every node."""
        found = self.manifest["network"]["digest"]
        if found != network.digest:
            raise SimulationError(
                f"design {self.folder} was generated from network {found[:16]}…, "
                f"must be {network.digest[:16]}…"
            )
        known = set(all_probes(network))
        for probe in self.probes:
            if (probe.node, probe.quantity) not in known:
                raise SimulationError(f"probe {probe.name} does not exist in the network")
            size = probe.size_in(network)
            if probe.words != -(-size // probe.lanes):
                raise SimulationError(
                    f"probe {probe.name} has {probe.words} words of {probe.lanes} lanes, "
                    f"must be {-(-size // probe.lanes)} for {size} values"
                )
        probed = {probe.node for probe in self.probes}
        merged = set(self.manifest.get("merged", ()))
        for name in sorted(merged):
            self._check_merged(network, name, probed)
        for node in network.nodes:
            if node.name not in probed | merged and not isinstance(node, Input):
                quantities = ", ".join(node.quantities)
                raise SimulationError(
                    f"node '{node.name}' has no probe, must have at least one of: {quantities}"
                )

    def _check_merged(self, network: Network, name: str, probed: set[str]) -> None:
        """Only a convolution may go unprobed, if all of it shows in the sum that reads it."""
        edges = network.leaving(name) if name in network.by_name else ()
        joins = [network.by_name[edge.target] for edge in edges]
        allowed = (
            name not in probed
            and len(edges) == 1
            and isinstance(network.by_name[name], Conv2d)
            and isinstance(joins[0], Join)
            and joins[0].op == "add"
            and (edges[0].port, edges[0].delay) == ("branch", 0)
            and joins[0].name in probed
        )
        if not allowed:
            raise SimulationError(
                f"manifest merges '{name}' with its reader, must be a convolution without a probe "
                "that a probed sum alone reads as its branch"
            )


def _image(folder: Path, manifest: Mapping[str, Any]) -> bytes:
    """The weights that are not in ``top.v``."""
    facts = manifest.get("weights", {})
    if "file" not in facts:
        return b""
    path = folder / facts["file"]
    image = path.read_bytes() if path.exists() else b""
    found, expected = hashlib.sha256(image).hexdigest(), facts["sha256"]
    if found != expected:
        raise SimulationError(
            f"{path} has SHA-256 {found[:16]}…, its manifest says {expected[:16]}…: "
            "it was altered since it was generated"
        )
    return image
