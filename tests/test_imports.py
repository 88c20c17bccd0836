"""Who may import whom: the rooms of the house, held by reading every module's source.

``sw`` holds the contract (formats, network, golden model), training and the front door; ``hw``
builds hardware from the contract; ``sim`` and ``bitstreams`` use ``hw``. No import runs the other
way, there are no cycles, and PyTorch is needed for training alone.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = ("sw", "hw", "sim", "bitstreams")

# The contract: ``network`` (made of ``nodes`` and ``neurons``), what it is counted in, and the file
# it travels in.
NETWORK = {"sw.formats", "sw.network", "sw.network_file"}
MAY_IMPORT = {
    "hw": {"hw", *NETWORK},
    "sim": {"sim", "hw", "sw.golden", *NETWORK},
    "bitstreams": {"bitstreams", "hw", *NETWORK},
    "sw": {"sw"},
}
CLI = "sw.cli"
FRONT_DOOR = {CLI, "sw.flow", "sw.recipe", "sw.studies.bench", "sw.studies.scaling"}
"""The command: it alone may import the other rooms, and only when a verb needs them."""

WITHOUT_TORCH = {
    "hw",
    "sim",
    "bitstreams",
    "sw.golden",
    "sw.nodes",
    "sw.values",
    "sw.neurons",
    *NETWORK,
    *FRONT_DOOR,
}
ORACLES = {"snntorch", "spikingjelly", "norse"}
"""They prove the product, so it must not be made of them."""


@dataclass(frozen=True)
class Import:
    """``target`` is a module of the tree without ``reslif.``, or a package from outside."""

    source: str
    target: str
    lazy: bool
    line: int


def belongs(module: str, group: set[str]) -> bool:
    """Whether ``module`` is of ``group``, or lies below one that is."""
    return any(module == name or module.startswith(f"{name}.") for name in group)


def modules(root: Path) -> dict[str, Path]:
    """All modules by name; a package is its ``__init__``."""
    result = {}
    for room in ROOMS:
        for path in sorted((root / room).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            result[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return result


def imports(root: Path) -> list[Import]:
    known = modules(root)
    return [
        Import(name, target, lazy, line)
        for name, path in known.items()
        for target, lazy, line in targets(name, path, known)
    ]


def targets(name: str, path: Path, known: dict[str, Path]) -> Iterator[tuple[str, bool, int]]:
    tree = ast.parse(path.read_text())
    package = name.split(".") if path.stem == "__init__" else name.split(".")[:-1]
    inside = {
        id(child)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        or (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
        for child in ast.walk(node)
    }
    for node in ast.walk(tree):
        lazy = id(node) in inside
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield internal(alias.name), lazy, node.lineno
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            source = internal(".".join([*base, *(node.module or "").split(".")]).strip("."))
            for alias in node.names:
                # A module of the package, or what the package itself defines.
                whole = f"{source}.{alias.name}"
                yield (whole if whole in known else source), lazy, node.lineno


def internal(name: str) -> str:
    return name.removeprefix("reslif.")


def room_of(module: str) -> str:
    return module.split(".")[0]


def violations(root: Path) -> list[str]:
    """Every import that breaks a rule, in words."""
    found, known = [], modules(root)
    all_imports = imports(root)
    for item in all_imports:
        source, target = item.source, item.target
        here = f"{source}:{item.line} imports {target}"
        if room_of(target) in ORACLES:
            found.append(f"{here}: only tests may")
        if target not in known:
            continue
        front = belongs(source, FRONT_DOOR)
        if not front and not belongs(target, MAY_IMPORT[room_of(source)]):
            found.append(f"{here}: {room_of(source)} may not")
        if front and room_of(target) != "sw" and not item.lazy:
            found.append(f"{here}: must be inside a function")
        if belongs(target, FRONT_DOOR) and (not front or target == CLI):
            found.append(f"{here}: nothing imports the front door")
    for name in known:
        if belongs(name, WITHOUT_TORCH) and (way := way_to_torch(name, all_imports)):
            found.append(f"{' -> '.join(way)}: {name} must import without torch")
    if cycle := first_cycle(known, all_imports):
        found.append(f"cycle: {' -> '.join(cycle)}")
    return found


def way_to_torch(name: str, all_imports: list[Import]) -> list[str]:
    """A chain of imports, made when ``name`` is imported, that ends at torch."""
    ways, seen = [[name]], {name}
    for way in ways:
        # With a module come the packages it lies in.
        parts = way[-1].split(".")
        sources = {".".join(parts[:n]) for n in range(1, len(parts) + 1)}
        for item in all_imports:
            if item.source in sources and not item.lazy:
                if room_of(item.target) == "torch":
                    return [*way, item.target]
                if item.target not in seen:
                    seen.add(item.target)
                    ways.append([*way, item.target])
    return []


def first_cycle(known: dict[str, Path], all_imports: list[Import]) -> list[str]:
    """Modules that import each other, lazily or not."""
    readers = {name: [i.target for i in all_imports if i.source == name] for name in known}
    done: set[str] = set()

    def visit(name: str, way: list[str]) -> list[str]:
        if name in way:
            return [*way[way.index(name) :], name]
        if name not in done:
            for target in readers[name]:
                if target in known and (cycle := visit(target, [*way, name])):
                    return cycle
            done.add(name)
        return []

    return next((cycle for name in known if (cycle := visit(name, []))), [])


def test_the_rules_hold():
    assert violations(ROOT) == []


def test_the_modules_are_found():
    found = imports(ROOT)
    assert {room_of(name) for name in modules(ROOT)} == set(ROOMS)
    plain = {(item.source, item.target, item.lazy) for item in found}
    assert ("hw.emit", "hw.top", False) in plain
    assert ("sim.cosim", "sw.golden", False) in plain
    assert ("sw.flow.hardware", "hw.emit", True) in plain
    assert way_to_torch("sw.train", found)


BAD = {
    "hw reads the golden model": (
        {"hw/x.py": "from ..sw.golden import run"},
        "hw.x:1 imports sw.golden: hw may not",
    ),
    "hw reads it in a function": (
        {"hw/x.py": "def f():\n    from ..sw import golden"},
        "hw.x:2 imports sw.golden: hw may not",
    ),
    "an absolute name": (
        {"hw/x.py": "import reslif.sim.y"},
        "hw.x:1 imports sim.y: hw may not",
    ),
    "the contract reads hardware": (
        {"sw/network.py": "from ..hw import x", "hw/x.py": ""},
        "sw.network:1 imports hw.x: sw may not",
    ),
    "sim reads bitstreams": (
        {"sim/y.py": "from ..bitstreams.z import a"},
        "sim.y:1 imports bitstreams.z: sim may not",
    ),
    "the front door is not lazy": (
        {"sw/cli.py": "from ..hw.x import a"},
        "sw.cli:1 imports hw.x: must be inside a function",
    ),
    "something reads the command": (
        {"sw/flow.py": "from . import cli"},
        "sw.flow:1 imports sw.cli: nothing imports the front door",
    ),
    "training reads the flow": (
        {"sw/train.py": "from .flow import a"},
        "sw.train:1 imports sw.flow: nothing imports the front door",
    ),
    "torch, a way off": (
        {"hw/x.py": "from ..sw.network import a", "sw/network.py": "from .train import a"},
        "hw.x -> sw.network -> sw.train -> torch: hw.x must import without torch",
    ),
    "torch in a package": (
        {"sw/__init__.py": "import torch.nn"},
        "sw.golden -> torch.nn: sw.golden must import without torch",
    ),
    "a cycle": (
        {"hw/x.py": "from . import v", "hw/v.py": "def f():\n    from .x import a"},
        "cycle: hw.x -> hw.v -> hw.x",
    ),
    "an oracle": ({"sw/train.py": "import snntorch as s"}, "sw.train:1 imports snntorch: only"),
}


@pytest.mark.parametrize("name", ["nothing", *BAD])
def test_each_rule_catches_what_it_is_for(name, tmp_path):
    files = {
        **{f"{room}/__init__.py": "" for room in ROOMS},
        **dict.fromkeys(["hw/x.py", "sim/y.py", "bitstreams/z.py", "sw/cli.py"], ""),
        "sw/golden.py": "from .network import a",
        "sw/network.py": "",
        "sw/train.py": "import torch",
        "sw/flow.py": "def f():\n    import torch\n    from ..hw import x",
    }
    planted, message = BAD.get(name, ({}, ""))
    for path, text in (files | planted).items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text)
    found = violations(tmp_path)
    assert any(line.startswith(message) for line in found) if message else found == []


BLOCKED = """
import importlib, sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "snntorch", "sklearn"):
            raise ImportError(f"{name} is blocked")
sys.meta_path.insert(0, Blocker())
for name in sys.argv[1:]:
    importlib.import_module(name)
"""


def import_blocked(names: list[str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", BLOCKED, *names]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_modules_import_without_torch():
    names = [f"reslif.{name}" for name in modules(ROOT) if belongs(name, WITHOUT_TORCH)]
    assert len(names) > 40
    outcome = import_blocked(names)
    assert outcome.returncode == 0, outcome.stderr


def test_training_does_not():
    outcome = import_blocked(["reslif.sw.train"])
    assert "torch is blocked" in outcome.stderr
