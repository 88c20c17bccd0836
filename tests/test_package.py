"""What is installed: every folder and file of the rooms is in the package that pip builds.

In this checkout everything is importable anyway, so a folder that pyproject.toml forgets would be
missed by who installs it first.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
ROOMS = ("sw", "hw", "sim", "bitstreams")


def left_out(root: Path, setuptools: dict[str, Any]) -> list[str]:
    """Files of the rooms that setuptools would not install, as ``sw/report/templates/page.js``."""
    folders = setuptools["package-dir"]
    listed = {folders[package]: package for package in setuptools["packages"]}
    out = []
    for path in sorted(path for room in ROOMS for path in (root / room).rglob("*")):
        if path.is_dir() or "__pycache__" in path.parts:
            continue
        # A file belongs to the innermost folder that is a package.
        home = next(above for above in path.parents if (above / "__init__.py").exists())
        package = listed.get(home.relative_to(root).as_posix())
        data = setuptools["package-data"].get(package, [])
        module = path.suffix == ".py" and path.parent == home
        if package is None or not (module or any(path in home.glob(each) for each in data)):
            out.append(path.relative_to(root).as_posix())
    return out


def settings() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]


def test_everything_is_installed() -> None:
    assert left_out(ROOT, settings()) == []


def test_a_forgotten_folder_and_a_forgotten_file_are_named() -> None:
    without = settings()
    without["packages"].remove("reslif.sw.studies")
    without["package-data"]["reslif.sim"].remove("*.cpp")
    missing = left_out(ROOT, without)
    assert "sw/studies/depth.py" in missing
    assert "sim/harness.cpp" in missing
    assert all(name.startswith(("sw/studies/", "sim/")) for name in missing)
