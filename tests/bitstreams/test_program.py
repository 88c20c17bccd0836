"""Loading a bitstream, with a stand-in for the loader."""

from __future__ import annotations

from pathlib import Path

import pytest
from reslif.bitstreams.devices import DEVICES, ECP5_85K
from reslif.bitstreams.errors import BuildError
from reslif.bitstreams.program import program


@pytest.fixture
def bitstream(tmp_path: Path) -> Path:
    path = tmp_path / "top.bit"
    path.write_bytes(b"bits")
    return path


def loader(folder: Path, status: int) -> Path:
    """A loader that writes down how it was called."""
    path = folder / "loader"
    path.write_text(f'#!/bin/sh\necho "$@" > {folder}/called\nexit {status}\n')
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("device", DEVICES.values(), ids=DEVICES)
def test_the_loader_is_told_board_and_file(device, bitstream, monkeypatch) -> None:
    monkeypatch.setenv("OPENFPGALOADER", str(loader(bitstream.parent, 0)))
    program(bitstream, device)
    called = (bitstream.parent / "called").read_text().split()
    assert called == ["--board", device.loader, str(bitstream)]


def test_a_loader_that_fails(bitstream, monkeypatch) -> None:
    monkeypatch.setenv("OPENFPGALOADER", str(loader(bitstream.parent, 3)))
    with pytest.raises(BuildError, match="failed with status 3: is ULX3S-85F plugged in"):
        program(bitstream, ECP5_85K)


def test_a_loader_that_is_not_installed(bitstream, monkeypatch) -> None:
    monkeypatch.setenv("OPENFPGALOADER", "no-such-loader")
    with pytest.raises(BuildError, match="'no-such-loader' is not installed: install openFPGA"):
        program(bitstream, ECP5_85K)


def test_a_bitstream_that_does_not_exist(tmp_path) -> None:
    with pytest.raises(BuildError, match=r"nothing\.bit does not exist: build the bitstream first"):
        program(tmp_path / "nothing.bit", ECP5_85K)
