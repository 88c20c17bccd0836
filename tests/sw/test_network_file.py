import json
import re
import struct
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from neuron_cases import CASES
from random_networks import random_network
from reslif.sw.formats import Format
from reslif.sw.network import Dense, Edge, Input, Network, NetworkError, Readout
from reslif.sw.network_file import load_network, save_network
from safetensors.numpy import save

FAMILIES = ("LIF", "Synaptic", "Alpha", "Adaptive", "LSTM")


@pytest.fixture
def network() -> Network:
    return replace(random_network(7), notes={"seed": 7})


def rewrite_header(path: Path, change) -> None:
    """Change the JSON of the contract inside a network file."""
    content = path.read_bytes()
    (size,) = struct.unpack("<Q", content[:8])
    outer = json.loads(content[8 : 8 + size])
    inner = json.loads(outer["__metadata__"]["reslif"])
    change(inner)
    outer["__metadata__"]["reslif"] = json.dumps(inner)
    text = json.dumps(outer).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + content[8 + size :])


def test_round_trip(tmp_path: Path) -> None:
    for seed in range(30):
        net = random_network(seed)
        save_network(net, tmp_path / "a")
        loaded = load_network(tmp_path / "a")
        assert loaded.digest == net.digest
        save_network(loaded, tmp_path / "b")
        assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_notes_and_wide_integers_survive(tmp_path: Path, network: Network) -> None:
    from reslif.sw.formats import Format
    from reslif.sw.network import LIF

    nodes = tuple(
        replace(n, membrane=Format(50, n.membrane.frac), threshold=np.full(n.size, 1 << 40))
        if isinstance(n, LIF)
        else n
        for n in network.nodes
    )
    net = Network(nodes, network.edges, network.max_steps, network.notes)
    save_network(net, tmp_path / "net")
    loaded = load_network(tmp_path / "net")
    assert loaded.digest == net.digest
    assert loaded.notes == {"seed": 7}


def test_every_truncation_is_one_clear_error(tmp_path: Path, network: Network) -> None:
    path = tmp_path / "net"
    save_network(network, path)
    content = path.read_bytes()
    for length in (0, 4, 8, 100, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:length])
        with pytest.raises(NetworkError, match="truncated"):
            load_network(path)


def test_a_flipped_bit_is_found(tmp_path: Path, network: Network) -> None:
    path = tmp_path / "net"
    save_network(network, path)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(NetworkError, match=r"must lie within|corrupt"):
        load_network(path)


def test_a_newer_version_is_refused(tmp_path: Path, network: Network) -> None:
    path = tmp_path / "net"
    save_network(network, path)
    rewrite_header(path, lambda header: header.update(version=2))
    with pytest.raises(NetworkError, match="has version 2, this reslif reads 1"):
        load_network(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda h: h["nodes"][0].update(format="s0.0"), "node 'input': format width is 0 bits"),
        (lambda h: h["nodes"][0].update(type="Conv9"), "unknown type 'Conv9'"),
        (lambda h: h["nodes"][0].update(size=99), "weight expects|joins|has .* neurons"),
        (lambda h: h["nodes"][0].pop("size"), "inconsistent header"),
        (lambda h: h["nodes"][0].update(colour="red"), "inconsistent header"),
        (lambda h: h.pop("edges"), "inconsistent header"),
        (lambda h: h.pop("version"), "inconsistent header"),
        (lambda h: h.pop("digest"), "inconsistent header"),
        (lambda h: h.update(notes=7), "inconsistent header"),
        (lambda h: h["edges"].append(["a", "b", "input", 0]), "node 'a' does not exist"),
        (lambda h: h.update(max_steps=3), "does not match its digest"),
    ],
)
def test_inconsistent_headers_are_refused(
    tmp_path: Path, network: Network, change, message: str
) -> None:
    path = tmp_path / "net"
    save_network(network, path)
    rewrite_header(path, change)
    with pytest.raises(NetworkError, match=message) as error:
        load_network(path)
    assert "\n" not in str(error.value)


def entries(content: object, path: tuple = ()) -> Iterator[tuple]:
    """The path to everything inside a JSON value."""
    items = content.items() if isinstance(content, dict) else ()
    items = enumerate(content) if isinstance(content, list) else items
    for key, value in items:
        yield (*path, key)
        yield from entries(value, (*path, key))


@pytest.mark.parametrize("family", FAMILIES)
def test_no_entry_may_be_anything_else(tmp_path: Path, family: str) -> None:
    """Whatever an entry is replaced by: one clear error, and never another network."""
    case = next(c for c in CASES if c.family == family and c.per_neuron)
    net, path = case.network(), tmp_path / "net"
    save_network(net, path)
    good, header = path.read_bytes(), {}
    rewrite_header(path, header.update)
    for place in entries(header):
        for value in (None, True, 1.5, 10**30, "tensor", []):

            def change(inner: Any, place: tuple = place, value: object = value) -> None:
                for key in place[:-1]:
                    inner = inner[key]
                inner[place[-1]] = value

            path.write_bytes(good)
            rewrite_header(path, change)
            try:
                found = load_network(path).digest
            except NetworkError as error:
                found = str(error)
            assert found == net.digest or re.fullmatch(f"{path}.+", found), (place, value)


def test_float_weights_are_refused(tmp_path: Path, network: Network) -> None:
    """A foreign writer's NaN never becomes an integer."""
    header, tensors = network.to_parts()
    name = next(name for name in tensors if name.endswith(".weight"))
    tensors = {**tensors, name: np.full(tensors[name].shape, np.nan)}
    header |= {"version": 1, "digest": "", "notes": {}}
    path = tmp_path / "net"
    path.write_bytes(save(tensors, {"reslif": json.dumps(header)}))
    with pytest.raises(NetworkError, match="weight holds NaN"):
        load_network(path)


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(NetworkError, match="does not exist"):
        load_network(tmp_path / "missing")
    (tmp_path / "text").write_text("hello, this is no network")
    with pytest.raises(NetworkError, match="no safetensors file"):
        load_network(tmp_path / "text")
    (tmp_path / "other").write_bytes(save({"a": np.zeros(3)}))
    with pytest.raises(NetworkError, match="not a reslif network"):
        load_network(tmp_path / "other")


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, network: Network, monkeypatch) -> None:
    path = tmp_path / "net"
    save_network(network, path)
    before = path.read_bytes()

    def fail(self: Path, content: bytes) -> int:
        del content
        self.touch()
        raise OSError("disk full")

    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(OSError, match="disk full"):
        save_network(replace(network, max_steps=9), path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["net"]


def test_a_node_may_be_called_tensor(tmp_path: Path) -> None:
    weight = np.ones((2, 3), int)
    nodes = (Input("x", 3), Dense("tensor", weight, Format(2)), Readout("out", "count", 2))
    net = Network(nodes, (Edge("x", "tensor"), Edge("tensor", "out")), 1)
    save_network(net, tmp_path / "net")
    assert load_network(tmp_path / "net").digest == net.digest
