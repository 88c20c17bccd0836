"""Network files: one safetensors file, integer tensors plus a versioned JSON header."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from .formats import Format, FormatError
from .network import NODE_TYPES, Edge, Network, NetworkError
from .values import format_fields

VERSION = 1
NETWORK_FILE = "network.safetensors"
"""What a run folder calls its quantised network."""

_KEY = "reslif"
_KINDS = {kind.__name__: kind for kind in NODE_TYPES}


def write_atomically(path: Path, content: bytes) -> None:
    """Write ``content`` to ``path`` so that a reader sees all of it or the old file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def save_network(network: Network, path: Path) -> None:
    """Write ``network``; the same network gives the same bytes."""
    header, tensors = network.to_parts()
    header |= {"version": VERSION, "digest": network.digest, "notes": dict(network.notes)}
    compact = {name: np.ascontiguousarray(_narrowed(array)) for name, array in tensors.items()}
    write_atomically(path, save(compact, {_KEY: json.dumps(header, sort_keys=True)}))


def _narrowed(array: np.ndarray) -> np.ndarray:
    """``array`` in the smallest integer type that holds it."""
    for dtype in (np.int8, np.int16, np.int32):
        bounds = np.iinfo(dtype)
        if array.size == 0 or (array.min() >= bounds.min and array.max() <= bounds.max):
            return array.astype(dtype)
    return array


def load_network(path: Path) -> Network:
    """Read a network file.

    Raises :class:`NetworkError` for a file that is missing, truncated, foreign, of a newer
    version or inconsistent.
    """
    if not path.is_file():
        raise NetworkError(f"network file {path} does not exist")
    try:
        with safe_open(path, framework="numpy") as file:
            text = (file.metadata() or {}).get(_KEY)
            if text is None:
                raise NetworkError(f"{path} is a safetensors file, but not a reslif network")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise NetworkError(f"{path} is truncated or no safetensors file ({error})") from None
    try:
        header = json.loads(text)
        version = header["version"]
        if version != VERSION:
            raise NetworkError(f"{path} has version {version}, this reslif reads {VERSION}")
        network = Network(
            tuple(_node(entry, tensors) for entry in header["nodes"]),
            tuple(Edge(*edge) for edge in header["edges"]),
            header["max_steps"],
            dict(header["notes"]),
        )
        digest = header["digest"]
    except NetworkError as error:
        raise NetworkError(str(error) if str(path) in str(error) else f"{path}: {error}") from None
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise NetworkError(f"{path} has an inconsistent header ({error!r})") from None
    if network.digest != digest:
        raise NetworkError(f"{path} is corrupt: its content does not match its digest")
    return network


def _node(entry: dict[str, Any], tensors: dict[str, np.ndarray]) -> Any:
    arguments = dict(entry)
    kind = _KINDS.get(arguments.pop("type"))
    if kind is None:
        raise NetworkError(f"node '{entry.get('name')}' is of unknown type {entry['type']!r}")
    formats = format_fields(kind)
    for key, value in arguments.items():
        if value == "tensor" and key != "name":
            arguments[key] = tensors[f"{entry['name']}.{key}"]
        elif isinstance(value, list):
            arguments[key] = tuple(value)
        elif key in formats and value is not None:
            try:
                arguments[key] = Format.parse(value)
            except FormatError as error:
                raise NetworkError(f"node '{entry['name']}': {error}") from None
    return kind(**arguments)
