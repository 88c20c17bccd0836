"""Loading a bitstream into a board."""

from __future__ import annotations

import subprocess
from pathlib import Path

from .devices import Device
from .errors import BuildError
from .tools import find


def program(bitstream: Path, device: Device) -> None:
    """Load ``bitstream`` into the board that carries ``device``, by openFPGALoader.

    What the loader says goes to the terminal. Raises :class:`BuildError` if the file is missing,
    the loader is not installed, or it fails.
    """
    if not bitstream.is_file():
        raise BuildError(f"{bitstream} does not exist: build the bitstream first")
    command = [find("OPENFPGALOADER"), "--board", device.loader, str(bitstream)]
    status = subprocess.run(command, check=False).returncode
    if status:
        raise BuildError(
            f"openFPGALoader failed with status {status}: is {device.board} plugged in?"
        )
