"""The documentation says what the code says: its tables are compared, its examples are run."""

from __future__ import annotations

import re
from dataclasses import MISSING, fields
from pathlib import Path

import pytest
from reslif.hw.buffers import StepBuffer
from reslif.hw.joins import Join
from reslif.hw.models import MODELS
from reslif.hw.readout import Readout
from reslif.hw.registers import register_table
from reslif.sim.verilator import WAIVERS
from reslif.sw.flow import STAGES
from reslif.sw.network import NODE_TYPES, Edge, Neuron, Node
from reslif.sw.recipe import BuildRecipe, CosimRecipe, DataRecipe, HardwareRecipe, Recipe
from reslif.sw.train import TrainConfig

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "docs").glob("*.md"))
PYTHON = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def page(name: str) -> str:
    return (ROOT / "docs" / f"{name}.md").read_text()


def rows(text: str) -> list[list[str]]:
    """The cells of every table row in ``text``."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def blocks(text: str) -> list[tuple[int, str]]:
    """The Python examples of a page, each with the number of its first line."""
    return [(text.count("\n", 0, m.start(1)), m[1]) for m in PYTHON.finditer(text)]


@pytest.mark.parametrize("path", [p for p in PAGES if blocks(p.read_text())], ids=lambda p: p.stem)
def test_examples_run(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The examples of a page build on one another."""
    monkeypatch.chdir(tmp_path)
    scope: dict[str, object] = {"__name__": "__main__"}
    for line, source in blocks(path.read_text()):
        exec(compile("\n" * line + source, str(path), "exec"), scope)


def test_there_are_examples() -> None:
    pages = {p.stem for p in PAGES if blocks(p.read_text())}
    assert {"arithmetic", "network", "training"} <= pages


@pytest.mark.parametrize("path", PAGES, ids=lambda p: p.stem)
def test_links_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]*)(?:#[^)]*)?\)", path.read_text()):
        assert not target or (path.parent / target).is_file(), target


def test_register_table_is_the_generated_one() -> None:
    found = re.search(r"<!-- registers -->\n(.*?)<!-- /registers -->", page("hardware"), re.DOTALL)
    assert found is not None
    assert found[1] == register_table()


@pytest.mark.parametrize("component", [*MODELS.values(), Join, StepBuffer, Readout])
def test_latencies_are_those_of_the_components(component: type) -> None:
    (row,) = [row for row in rows(page("hardware")) if row[0] == f"`{component.__name__}`"]
    assert row[-1] == str(component.latency)  # pyright: ignore[reportAttributeAccessIssue]


def test_every_lint_waiver_is_listed_and_no_other() -> None:
    waived = set(re.findall(r"lint_off -rule (\w+)", WAIVERS.read_text()))
    lint = page("cosimulation").split("## Lint")[1]
    assert {row[0].strip("`").split("`")[0] for row in rows(lint)[2:]} == waived


@pytest.mark.parametrize("kind", NODE_TYPES, ids=lambda kind: kind.__name__)
def test_every_node_is_documented_with_all_its_fields(kind: type[Node]) -> None:
    nodes = page("network").split("## Nodes")[1].split("## Edges")[0]
    (row,) = [row for row in rows(nodes) if row[0] == f"`{kind.__name__}`"]
    _, listed, ports, _, probes = (re.findall(r"`(\w+)`", cell) for cell in row)
    names = [item.name for item in fields(kind)]  # pyright: ignore[reportArgumentType] - all are
    assert ["name", *listed] == names
    assert ports == list(kind.ports)
    quantities = ("current", *kind.STATES, "spike") if issubclass(kind, Neuron) else kind.quantities
    assert probes == list(quantities)


def test_every_field_of_an_edge_is_documented() -> None:
    (call,) = re.findall(r"`Edge\((.*)\)`\.", page("network"))
    assert [part.split("=")[0] for part in call.split(", ")] == [f.name for f in fields(Edge)]


SECTIONS = {
    "data": DataRecipe,
    "train": TrainConfig,
    "hardware": HardwareRecipe,
    "cosim": CosimRecipe,
    "build": BuildRecipe,
}


def toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return str(list(value))
    return f'"{value}"' if isinstance(value, str) else str(value)


@pytest.mark.parametrize("section", SECTIONS)
def test_every_key_of_a_recipe_is_documented(section: str) -> None:
    found = re.search(rf"### `\[{section}\]`\n(.*?)(?=\n##|\Z)", page("recipes"), re.DOTALL)
    assert found is not None
    documented = {row[0]: row[1] for row in rows(found[1])[2:]}
    expected = {
        f"`{item.name}`": "none" if item.default is MISSING else f"`{toml(item.default)}`"
        for item in fields(SECTIONS[section])
    }
    assert documented == expected


def test_every_section_and_stage_is_documented() -> None:
    assert set(SECTIONS) == {item.name for item in fields(Recipe)} - {"name"}
    verbs = {row[0].strip("`").split()[0] for row in rows(page("recipes").split("## Verbs")[1])}
    assert set(STAGES) <= verbs
