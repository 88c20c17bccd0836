"""The tutorials do what they say: their Verilog is compiled, their commands are run."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from reslif.sim.verilator import environment

DOCS = Path(__file__).parents[1] / "docs"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(name: str) -> list[tuple[str, str]]:
    """Language and text of every block of a page, in order."""
    return [(m[1], m[2]) for m in BLOCK.finditer((DOCS / f"{name}.md").read_text())]


SIGNALS = {
    "s_axis_tvalid": "s_tvalid", "s_axis_tready": "s_tready", "s_axis_tlast": "s_tlast",
    "m_axis_tvalid": "m_tvalid", "m_axis_tlast": "m_tlast", "s_axi_arvalid": "arvalid",
    "s_axi_arready": "arready", "s_axi_rvalid": "rvalid",
}  # fmt: skip
"""What the timing diagrams call the signals of the tutorial's host."""
TRACED = f"""\
  always @(posedge aclk) if (aresetn)
    $display("TRACE {"%b" * len(SIGNALS)}", {", ".join(SIGNALS.values())});
"""


def diagrams(text: str) -> list[dict[str, str]]:
    """The levels of each signal at the rising edges, of every timing diagram of a page."""
    found = []
    for block in re.findall(r"^rising edge .*\n((?:[a-z].*\n)+)", text, re.MULTILINE):
        lines = {line.split()[0]: line[15:] for line in block.splitlines()}
        levels = {name: line[2::4] for name, line in lines.items() if name in SIGNALS}
        found.append({name: re.sub("‾", "1", re.sub("_", "0", x)) for name, x in levels.items()})
    return found


def seen_in(diagram: dict[str, str], log: str) -> bool:
    """Whether the levels of ``diagram`` follow one another in the log of a traced host."""
    rows = [line.split()[1] for line in log.splitlines() if line.startswith("TRACE")]
    traces = dict(zip(SIGNALS, map("".join, zip(*rows, strict=True)), strict=True))
    edges = min(map(len, diagram.values()))
    return any(
        all(traces[name][at : at + edges] == level[:edges] for name, level in diagram.items())
        for at in range(len(rows) - edges + 1)
    )


def run(text: str, folder: Path) -> None:
    """The commands of a block, each of which must succeed."""
    command = ["bash", "-e", "-o", "pipefail", "-c", text.replace("-CFLAGS", "-CFLAGS -O0 -CFLAGS")]
    done = subprocess.run(
        command, cwd=folder, env=environment(), capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"


def test_integrating_top(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python makes the design; its files and commands are for the folder of the design."""
    monkeypatch.chdir(tmp_path)
    scope: dict[str, object] = {"__name__": "__main__"}
    design, done = tmp_path / "design", []
    for language, text in blocks("tutorial-rtl"):
        if language == "python":
            exec(text, scope)
        elif language == "verilog":
            name = re.match(r"// file: (\S+)\n", text)
            assert name is not None
            (design / name[1]).write_text(text.replace("  initial", f"{TRACED}  initial", 1))
        elif language == "sh":
            run(text, design)
        done.append(language)
    assert done == ["python", "sh", "console", "python", "verilog", "sh", "python", "console"]
    scores = scope["trace"].scores[0].tolist()  # pyright: ignore[reportAttributeAccessIssue]
    assert max(scores) > 0
    lines = (design / "host.log").read_text().splitlines()
    assert [int(line.split()[1]) for line in lines if line.startswith("score")] == scores
    drawn = diagrams((DOCS / "tutorial-rtl.md").read_text())
    log = (design / "host.log").read_text()
    assert [len(diagram) for diagram in drawn] == [3, 3, 2, 3]
    for diagram in drawn:
        assert min(map(len, diagram.values())) >= 5
        assert seen_in(diagram, log), diagram
        for name, level in diagram.items():  # any other level would be noticed
            for at, bit in enumerate(level[:5]):
                other = level[:at] + ("1" if bit == "0" else "0") + level[at + 1 :]
                assert not seen_in({**diagram, name: other}, log), (name, at)
    # The commands notice another answer, of the recorded vectors and of the host.
    expected = design / "expected.hex"
    wrong = expected.read_text().replace("0", "1")
    expected.write_text(wrong)
    log = (design / "host.log").read_text()
    (design / "host.log").write_text(log.replace("class 1", "class 2"))
    checks = [
        line
        for language, text in blocks("tutorial-rtl")
        if language == "sh"
        for line in text.splitlines()
        if "grep" in line
    ]
    assert len(checks) == 4
    refused = []
    for line in checks:
        try:
            run(line, design)
        except AssertionError:
            refused.append(line)
    assert refused == [checks[0], checks[2]]


@pytest.mark.slow
def test_from_a_model_to_a_bitstream(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the build, which :mod:`test_docs` leaves out."""
    monkeypatch.chdir(tmp_path)
    scope: dict[str, object] = {"__name__": "__main__"}
    found = blocks("tutorial-snntorch")
    assert [language for language, _ in found].count("py") == 1
    for language, text in found:
        if language in ("python", "py"):
            exec(text, scope)
    assert scope["built"].bitstream.is_file()  # pyright: ignore[reportAttributeAccessIssue]


def test_the_glossary_has_one_sentence_a_word_in_both_directions() -> None:
    text = (DOCS / "glossary.md").read_text()
    tables = [part.splitlines()[4:] for part in text.split("\n## ")[1:]]
    assert len(tables) == 2
    for lines in tables:
        rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
        assert len(rows) > 25
        words = [word.strip() for row in rows for word in row[0].split(",")]
        assert len(set(words)) == len(words)
        for word, meaning in rows:
            assert word
            assert meaning.endswith(".")
            assert meaning.count(". ") == 0
    both = {"membrane", "threshold", "timestep", "LUT, logic cell", "fmax", "lanes"}
    assert all(f"| {word}" in text for word in both)
