"""``reslif wave``: a run folder or a recipe, a sample and a window; or a line that says why not."""

from __future__ import annotations

import json
import shutil

import pytest
from reslif.sw import cli

TINY = """
name = "tiny"
[train]
blocks = 1
width = 8
steps = 4
epochs = 2
qat_epochs = 1
bits = 6
[hardware]
lanes = 4
neuron_lanes = 2
"""


def reslif(monkeypatch, *arguments):
    """Run the command; its exit status."""
    monkeypatch.setattr("sys.argv", ["reslif", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        cli.main()
    return end.value.code or 0


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A recipe, and its run folder with a design in it."""
    folder = tmp_path_factory.mktemp("tiny")
    recipe, run = folder / "tiny.toml", folder / "run"
    recipe.write_text(TINY)
    with pytest.MonkeyPatch.context() as monkeypatch:
        for verb in ("train", "quantise", "generate"):
            assert reslif(monkeypatch, verb, recipe, "--out", run) == 0
    return recipe, run


def test_recipe_and_run_folder_give_the_same(tiny, monkeypatch, capsys):
    recipe, run = tiny
    window = ("--sample", 7, "--from", 1, "--to", 2)
    assert reslif(monkeypatch, "wave", recipe, "--out", run, *window) == 0
    said = capsys.readouterr().out
    vcd = run / "waves" / "sample7_steps1-2.vcd"
    assert f"{vcd}: " in said
    assert "differs" not in said
    text = vcd.read_text()
    assert "$scope module layers $end" in text
    network = json.loads((run / "manifest.json").read_text())
    for probe in network["probes"]:
        assert f"$scope module {probe['node']} $end" in text
    for line in ("gtkwave", "surfer"):
        assert f"  {line} {vcd} " in said
    assert vcd.with_suffix(".gtkw").is_file()
    assert vcd.with_suffix(".sucl").is_file()
    vcd.unlink()
    assert reslif(monkeypatch, "wave", run, *window) == 0
    assert vcd.read_text() == text
    assert reslif(monkeypatch, "wave", run) == 0  # all of the first sample
    assert (run / "waves" / "sample0_steps0-3.vcd").is_file()


def test_one_line_says_what_is_wrong(tiny, tmp_path, monkeypatch, capsys):
    recipe, run = tiny
    empty = tmp_path / "empty"
    empty.mkdir()
    other = shutil.copytree(run, tmp_path / "other")
    trained = json.loads((other / "train.json").read_text())
    trained["data"]["digest"] = "0" * 64
    (other / "train.json").write_text(json.dumps(trained))
    for arguments, expected in (
        ((run, "--sample", 360), "sample is 360, must be from 0 to 359"),
        ((run, "--sample", -1), "sample is -1, must be from 0"),
        ((run, "--from", 2, "--to", 1), "window is timesteps 2 to 1, must end after it begins"),
        ((run, "--to", 4), "window is timesteps 0 to 4, must lie within 0 to 3"),
        ((run, "--from", 4), "window is timesteps 4 to 3, must lie within 0 to 3"),
        ((run, "--from", -1), "window is timesteps -1 to 3, must lie within 0 to 3"),
        ((tmp_path / "none",), "none does not exist, must be a run folder or a recipe"),
        ((empty,), "network.safetensors does not exist, run `reslif quantise` first"),
        ((recipe, "--out", empty), "network.safetensors does not exist, run `reslif quantise`"),
        ((run, "--out", empty), "is a run folder, with it --out must not be given"),
        ((other,), "was trained with another data set 'digits' than this"),
    ):
        assert reslif(monkeypatch, "wave", *arguments) == 2
        error = capsys.readouterr().err.strip()
        assert error.startswith("reslif: ")
        assert "\n" not in error
        assert expected in error
    (other / "train.json").write_text("[1]")
    assert reslif(monkeypatch, "wave", recipe, "--out", other) == 2
    assert "train.json holds [1], must be a table" in capsys.readouterr().err
    (other / "train.json").unlink()  # a network from elsewhere: nothing to compare
    (other / "top.v").unlink()
    assert reslif(monkeypatch, "wave", recipe, "--out", other) == 2
    assert "has no" in capsys.readouterr().err
