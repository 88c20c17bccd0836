"""The front door: verbs on one run folder, and one clear line for every mistake."""

import json
import os
import re
import shutil
import sys

import numpy as np
import pytest
from commands import refused, reslif
from data_folders import pictures, write_idx
from interruption import interrupt
from reslif.sw.data_files import FOLDER_VARIABLE
from reslif.sw.formats import Format
from reslif.sw.network import Dense, Edge, Input, Network, Readout
from reslif.sw.network_file import save_network
from safetensors.numpy import save

TINY = """
name = "tiny"
[train]
blocks = 1
width = 12
steps = 4
epochs = 6
qat_epochs = 3
bits = 8
[hardware]
lanes = 4
neuron_lanes = 2
[cosim]
harness = "native"
samples = 20
results = 60
idle = 0.2
stall = 0.2
"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run folder after all stages but the bitstream."""
    folder = tmp_path_factory.mktemp("tiny")
    recipe = folder / "tiny.toml"
    recipe.write_text(TINY)
    with pytest.MonkeyPatch.context() as monkeypatch:
        for verb in ("train", "quantise", "generate", "cosim", "report"):
            assert reslif(monkeypatch, verb, recipe, "--out", folder / "run") == 0
    return recipe, folder / "run"


def test_stages_leave_a_report(finished):
    _, run = finished
    report = json.loads((run / "report.json").read_text())
    assert report["accuracy"]["float"] > 0.5
    assert report["accuracy"]["golden"] > 0.5
    assert report["accuracy"]["hardware"] > 0.5
    assert report["cosim"]["mismatches"] == 0
    assert report["cosim"]["samples"] == 20
    assert report["cosim"]["spikes"] > 0
    results = report["cosim"]["results"]
    assert (results["samples"], results["mismatches"]) == (60, 0)
    assert results["spikes"] > 0
    # Of the same samples without pauses; nothing beats the cycles of its additions alone.
    assert report["cosim"]["cycles_per_sample"] == results["cycles_per_sample"]
    assert results["cycles_over_bound"] >= 1
    assert report["accuracy"]["hardware"] == results["accuracy"]
    assert report["network"]["digest"]
    assert report["seeds"] == {"train": 0, "data": 0, "cosim": 0}
    assert report["versions"]["torch"]
    for name in ("top.v", "manifest.json", "tb.v", "network.safetensors"):
        assert (run / name).is_file()
    assert not [path for path in run.rglob("*") if "tmp" in path.name]


def test_layers_that_take_turns_are_all_in_the_bound(finished, tmp_path, monkeypatch):
    """On the sequential engine the additions of all layers count, not of the slowest alone."""
    recipe, run = finished
    sequential = tmp_path / "tiny.toml"
    sequential.write_text(recipe.read_text().replace("neuron_lanes = 2", 'engine = "sequential"'))
    other = tmp_path / "run"
    other.mkdir()
    for name in ("train.json", "quantise.json", "network.safetensors"):
        shutil.copy(run / name, other)
    for verb in ("generate", "cosim"):
        assert reslif(monkeypatch, verb, sequential, "--out", other) == 0
    before, after = (json.loads((place / "cosim.json").read_text()) for place in (run, other))
    assert after["classes"] == before["classes"]
    bound = after["results"]["event_bound"]
    assert bound > before["results"]["event_bound"]
    # Beside its additions a layer of so few events pays for its start and for its timesteps' ends.
    assert 1 < after["results"]["cycles_over_bound"] < 2


def test_evaluate_agrees_with_the_report(finished, monkeypatch, capsys):
    _, run = finished
    assert reslif(monkeypatch, "evaluate", run / "network.safetensors", "--data", "digits") == 0
    report = json.loads((run / "report.json").read_text())
    out = capsys.readouterr().out
    assert f"accuracy {report['accuracy']['golden']:.2%} on 360 test samples of digits" in out
    assert report["data"]["digest"] in out
    assert report["network"]["digest"] in out
    rate = json.loads((run / "quantise.json").read_text())["spike_rate"]
    assert rate > 0
    assert f"4 timesteps, {rate:.4f} spikes" in out


def test_evaluate_takes_the_first_samples(finished, monkeypatch, capsys):
    _, run = finished
    assert reslif(monkeypatch, "evaluate", run / "network.safetensors", "--samples", 20) == 0
    hardware = json.loads((run / "report.json").read_text())["accuracy"]["hardware"]
    captured = capsys.readouterr()
    assert f"accuracy {hardware:.2%} on 20 test samples" in captured.out
    assert "samples 20/20" in captured.err


IMAGES = """
name = "images"
[data]
set = "mnist"
{dir}
[train]
blocks = 1
width = 16
steps = 3
epochs = 4
qat_epochs = 2
augment = 0
"""


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """A recipe for a folder of small images, that folder, and the run after training."""
    folder = tmp_path_factory.mktemp("images")
    data = write_idx(folder / "idx", pictures(400, (1, 5, 7)), pictures(90, (1, 5, 7), seed=1))
    recipe = folder / "images.toml"
    recipe.write_text(IMAGES.format(dir=f"dir = '{data}'"))
    with pytest.MonkeyPatch.context() as monkeypatch:
        for verb in ("train", "quantise"):
            assert reslif(monkeypatch, verb, recipe, "--out", folder / "run") == 0
    return recipe, data, folder / "run"


def test_images_of_a_folder_are_trained_and_evaluated(images, monkeypatch, capsys):
    _, data, run = images
    network = run / "network.safetensors"
    found = json.loads((run / "quantise.json").read_text())["accuracy"]
    assert found > 0.8
    assert reslif(monkeypatch, "evaluate", network, "--data", "mnist", "--data-dir", data) == 0
    out = capsys.readouterr().out
    assert f"accuracy {found:.2%} on 90 test samples of mnist" in out
    assert json.loads((run / "train.json").read_text())["data"]["digest"] in out


def test_a_quick_try_takes_few_samples(images, tmp_path, monkeypatch, capsys):
    _, data, _ = images
    recipe = tmp_path / "images.toml"
    recipe.write_text(IMAGES.format(dir=f"dir = '{data}'\nsamples = 50"))
    assert reslif(monkeypatch, "train", recipe, "--out", tmp_path / "run") == 0
    assert "on 50 test samples" in capsys.readouterr().out
    recipe.write_text(IMAGES.format(dir=f"dir = '{data}'\nsamples = 60"))
    error = refused(monkeypatch, capsys, "train", recipe, "--out", tmp_path / "run")
    assert "belongs to a run of other settings (samples differ)" in error


def test_data_dir_takes_the_place_of_the_recipes(images, tmp_path, monkeypatch, capsys):
    _, data, run = images
    recipe = tmp_path / "images.toml"
    recipe.write_text(IMAGES.format(dir="dir = 'nowhere'"))
    copy = shutil.copytree(run, tmp_path / "run")
    error = refused(monkeypatch, capsys, "quantise", recipe, "--out", copy)
    assert "data set 'mnist' is missing" in error
    assert reslif(monkeypatch, "quantise", recipe, "--out", copy, "--data-dir", data) == 0


def test_evaluate_refuses_what_does_not_fit(images, finished, tmp_path, monkeypatch, capsys):
    _, data, run = images
    monkeypatch.delenv(FOLDER_VARIABLE, raising=False)
    network, digits = run / "network.safetensors", finished[1] / "network.safetensors"
    mnist = ("--data", "mnist", "--data-dir", data)
    nodes = (Input("input", 35), Dense("dense", np.ones((10, 35), int), Format(4)))
    readout = Readout("readout", "sum_current", 10)
    spikes = tmp_path / "spikes.safetensors"
    edges = (Edge("input", "dense"), Edge("dense", "readout"))
    save_network(Network((*nodes, readout), edges, 4), spikes)
    for arguments, expected in (
        ((digits, *mnist), "inputs of a timestep of mnist: 35, but 64 of the network"),
        ((spikes, *mnist), "input format of mnist: u8.8, but u1.0 of the network"),
        ((network,), "inputs of a timestep of digits: 64, but 35 of the network"),
        ((network, "--data", "mnist", "--data-dir", tmp_path), "data set 'mnist' is missing"),
        ((network, "--data", "cifar10"), "data set 'cifar10' is missing"),
        ((network, "--data", "mnist8"), "data set is 'mnist8', must be one of"),
        ((network, *mnist, "--split", "file_order"), "split is 'file_order', of mnist"),
        ((digits, "--samples", -1), "samples is -1, must be at least 0"),
        ((digits, "--seed", -1), "seed is -1, must be at least 0"),
        ((data, *mnist), "does not exist"),
    ):
        assert expected in refused(monkeypatch, capsys, "evaluate", *arguments)


def test_a_changed_design_is_not_reported(finished, tmp_path, monkeypatch, capsys):
    """Results of different Verilog must not stand in one report."""
    recipe, run = finished
    copy = shutil.copytree(run, tmp_path / "run")
    found = json.loads((copy / "cosim.json").read_text())
    found["verilog_sha256"] = "0" * 64
    (copy / "cosim.json").write_text(json.dumps(found))
    error = refused(monkeypatch, capsys, "report", recipe, "--out", copy)
    assert "disagree about top.v" in error
    found = json.loads((run / "quantise.json").read_text())
    found["digest"] = "0" * 64
    (copy / "quantise.json").write_text(json.dumps(found))
    shutil.copy(run / "cosim.json", copy)
    error = refused(monkeypatch, capsys, "report", recipe, "--out", copy)
    assert "disagree about the network" in error


def test_a_flipped_weight_is_named(finished, tmp_path, monkeypatch, capsys):
    recipe, run = finished
    copy = shutil.copytree(run, tmp_path / "run")
    from reslif.hw.emit import generate
    from reslif.hw.folding import Fold, Folding
    from reslif.sw.network_file import load_network

    network = load_network(copy / "network.safetensors")
    nodes = []
    for node in network.nodes:
        if isinstance(node, Dense) and node.name == "stem":
            weight = node.weight.copy()
            weight[3, 28] ^= 1
            node = Dense(node.name, weight, node.weight_format, node.bias)
        nodes.append(node)
    wrong = Network(tuple(nodes), network.edges, network.max_steps)
    generate(wrong, copy, Folding(Fold(4, 2)))
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["network"]["digest"] = network.digest
    (copy / "manifest.json").write_text(json.dumps(manifest))
    error = refused(monkeypatch, capsys, "cosim", recipe, "--out", copy)
    assert "node 'stem' current" in error
    assert "timestep 0, neuron 3" in error


RECIPES = {
    "unknown key": ("[train]\nepoch = 3", "[train]: unknown key 'epoch', must be one of"),
    "unknown section": ("[trian]\nepochs = 3", "unknown key 'trian', must be one of"),
    "wrong type": ("[train]\nepochs = 'many'", "epochs is 'many', must be int"),
    "not TOML": ("[train", "is no TOML file"),
    "bad name": ("name = '../up'", "name is '../up'"),
    "bad bits": ("[train]\nwidth = 0", "width is 0, must be at least 1"),
    "bad samples": ("[data]\nsamples = -1", "[data] samples is -1, must be at least 0"),
    "bad seed": ("[data]\nseed = -1", "[data] seed is -1, must be at least 0"),
    "not a table": ("[hardware]\nlayers = 5", "layers is 5, must be a table"),
    "not a list": ("[train]\nwidths = 16", "widths is 16, must be a list such as [16, 32, 64]"),
    "list of text": ("[train]\nwidths = ['a']", "widths is ['a'], must be a list such as"),
    "no folder": ("[data]\ndir = 3", "dir is 3, must be str"),
    "no data": ("[data]\nset = 'mnist'\ndir = 'none'", "data set 'mnist' is missing"),
    "bad data": ("[data]\nset = 'mnist8'", "data set is 'mnist8'"),
    "not a number": ("[train]\nweight_decay = nan", "weight_decay is nan, must be finite"),
    "infinite": ("[hardware]\ntarget_fps = inf", "target_fps is inf, must be finite"),
    "no int64": (f"[train]\nthreshold = {2**63}", "must be finite and below 2^63"),
    "large": ("[train]\nwidth = 1000000000", "width is 1000000000, must be at most 65536"),
    "negative": ("[train]\nweight_decay = -1", "weight_decay is -1, must be at least 0"),
    "seed of pauses": ("[cosim]\nseed = -1", "[cosim] seed is -1, must be at least 0"),
    "negative clock": ("[build]\nclock_mhz = -1", "[build] clock_mhz is -1, must be at least 0"),
    "before": ("[train.before]\nepochs = 'x'", "[train.before]: epochs is 'x', must be int"),
    "other before": ("[train.before]\nwidth = 3", "before makes another network"),
    "one step": (
        "[train]\nmodel = 'layers'\nneuron_options = { multi_step = false }",
        "has multi_step",
    ),
    "many frames": (
        "[data]\nset = 'moving_digits'\n[data.moving]\nframes = 5000",
        "frames is 5000, must be 1 to 4096",
    ),
}


@pytest.mark.parametrize("case", RECIPES)
def test_bad_recipes(case, tmp_path, monkeypatch, capsys):
    text, expected = RECIPES[case]
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(text)
    assert expected in refused(monkeypatch, capsys, "train", recipe, "--out", tmp_path / "run")
    assert not (tmp_path / "run").exists()


LATE = {
    "bits": ("[train]\nbits = 1", "bits are 1, must be 2 to 16"),
    "harness": ("[cosim]\nharness = 'icarus'", "harness is 'icarus'"),
    "samples": ("[cosim]\nsamples = -3", "samples is -3"),
    "results": ("[cosim]\nresults = -1", "results is -1"),
    "stalls": ("[cosim]\nidle = 1.0", "idle is 1.0"),
    "lanes": ("[hardware]\nlanes = 0", "lanes is 0"),
    "device": ("[build]\ndevice = 'ecp5-25k'", "device is 'ecp5-25k'"),
    "clock": ("[build]\nclock_mhz = 81.3", "clock is 81.3 MHz, must be 25 · n / d MHz"),
    "neuron": (
        "[train]\nmodel = 'layers'\nneuron = 'Alpha'\n[hardware]\nengine = 'sequential'",
        "is of type Alpha, must be dense, LIF neurons or a join for the sequential engine",
    ),
    "SPRAM": (
        "[hardware]\nengine = 'sequential'\nweights = 'loaded'",
        "weights of the recipe are loaded into SPRAM, ecp5-85k has none",
    ),
    "streamed": (
        "[hardware]\nengine = 'sequential'\nweights = 'stream'",
        "flow --until cosim ends before the build",
    ),
}


@pytest.mark.parametrize("case", LATE)
def test_flow_refuses_before_it_trains(case, tmp_path, monkeypatch, capsys):
    text, expected = LATE[case]
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(text)
    assert expected in refused(monkeypatch, capsys, "flow", recipe, "--out", tmp_path / "run")
    assert not (tmp_path / "run").exists()


HARDWARE = {
    "lanes": ("[hardware]\nlanes = 6\nneuron_lanes = 4", "neuron_lanes is 4, must divide lanes"),
    "layer": ("[hardware.layers.stme]\nlanes = 4", "names layer 'stme', must be one of"),
    "engine": ("[hardware]\nengine = 'systolic'", "engine is 'systolic'"),
}


@pytest.mark.parametrize("case", HARDWARE)
def test_bad_hardware(case, finished, tmp_path, monkeypatch, capsys):
    _, run = finished
    text, expected = HARDWARE[case]
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(text)
    folder = tmp_path / "run"
    folder.mkdir()
    shutil.copy(run / "network.safetensors", folder)
    assert expected in refused(monkeypatch, capsys, "generate", recipe, "--out", folder)
    assert [path.name for path in folder.iterdir()] == ["network.safetensors"]


@pytest.mark.parametrize(("lanes", "fits"), [(4, True), (64, False)])
def test_generate_says_if_memory_will_not_do(lanes, fits, finished, tmp_path, monkeypatch, capsys):
    _, run = finished
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(
        f"[hardware]\nengine = 'sequential'\nlanes = {lanes}\n[build]\ndevice = 'up5k'"
    )
    shutil.copy(run / "network.safetensors", tmp_path)
    assert reslif(monkeypatch, "generate", recipe, "--out", tmp_path) == 0
    found = re.search(
        r"(\d+) of 29 block RAMs, beside the serial link's", out := capsys.readouterr().out
    )
    assert found is not None
    assert (int(found[1]) <= 29) == fits
    assert ("more block RAMs than up5k has" in out) == (not fits)
    assert "SPRAMs" not in out
    recipe.write_text("[hardware]\nengine = 'sequential'\nweights = 'loaded'")
    assert reslif(monkeypatch, "generate", recipe, "--out", tmp_path) == 0
    assert "more SPRAMs than ecp5-85k has: by this estimate" in capsys.readouterr().out


def test_stages_out_of_order(tmp_path, monkeypatch, capsys):
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(TINY)
    for verb, hint in (
        ("quantise", "run `reslif train` first"),
        ("generate", "run `reslif quantise` first"),
        ("report", "run `reslif flow` first"),
    ):
        error = refused(monkeypatch, capsys, verb, recipe, "--out", tmp_path / "run")
        assert hint in error


def test_folders_and_files_in_each_others_place(tmp_path, monkeypatch, capsys):
    """What cannot be read or written is named before anything is trained."""
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(TINY)
    before = sorted(tmp_path.iterdir())
    error = refused(monkeypatch, capsys, "train", tmp_path, "--out", tmp_path / "run")
    assert error == f"reslif: recipe {tmp_path} cannot be read: Is a directory"
    for out in (recipe, recipe / "run"):
        error = refused(monkeypatch, capsys, "train", recipe, "--out", out)
        assert error == f"reslif: {out} cannot be a folder for results: {recipe} is a file"
    for verb in (["depth", recipe], ["depth-accuracy", recipe], ["bench"], ["scaling"]):
        assert f"{recipe} is a file" in refused(monkeypatch, capsys, *verb, "--out", recipe)
    assert "is a file" in refused(
        monkeypatch, capsys, "report", "--compare", recipe, "--out", recipe
    )
    # As for a user who may read alone; root may write anywhere.
    monkeypatch.setattr(os, "access", lambda _path, mode, **_: mode == os.R_OK)
    error = refused(monkeypatch, capsys, "train", recipe, "--out", tmp_path / "run")
    assert f"{tmp_path} cannot be written to" in error
    assert sorted(tmp_path.iterdir()) == before


def test_what_the_operating_system_refuses_is_one_line(finished, tmp_path, monkeypatch, capsys):
    recipe, run = finished
    copy = shutil.copytree(run, tmp_path / "run")
    (copy / "report.json").unlink()
    (copy / "report.json").mkdir()
    error = refused(monkeypatch, capsys, "report", recipe, "--out", copy)
    assert "report.json" in error
    assert "Is a directory" in error


FOREIGN = {
    "no results": ("build.json", "[]", "program", "build.json holds [], must be a table"),
    "other results": ("build.json", "{}", "program", "build.json lacks device, run `reslif build`"),
    "no JSON": ("build.json", "{", "program", "build.json is no JSON file, run `reslif build`"),
    "broken manifest": ("manifest.json", "{", "build", "manifest.json is no manifest of a design"),
    "foreign manifest": ("manifest.json", "[]", "build", "manifest.json is no manifest of a d"),
}


@pytest.mark.parametrize("case", FOREIGN)
def test_foreign_files_in_a_run_folder(case, finished, tmp_path, monkeypatch, capsys):
    recipe, run = finished
    name, content, verb, expected = FOREIGN[case]
    copy = shutil.copytree(run, tmp_path / "run")
    (copy / name).write_text(content)
    assert expected in refused(monkeypatch, capsys, verb, recipe, "--out", copy)
    assert not list(copy.glob("ecp5-85k*"))


@pytest.mark.parametrize("fps", ["nan", "-1"])
def test_speeds_that_cannot_be_are_refused(fps, finished, monkeypatch, capsys):
    recipe, run = finished
    error = refused(monkeypatch, capsys, "generate", recipe, "--out", run, "--target-fps", fps)
    assert f"target_fps is {float(fps)}, must be at least 0" in error


def test_what_has_not_run_is_null(finished, tmp_path, monkeypatch):
    """Not 0 spikes, which a simulation could have seen."""
    recipe, run = finished
    copy = shutil.copytree(run, tmp_path / "run", ignore=shutil.ignore_patterns("cosim.json"))
    assert reslif(monkeypatch, "report", recipe, "--out", copy) == 0
    found = json.loads((copy / "report.json").read_text())["cosim"]
    assert found.pop("spikes_by_layer") == {}
    assert set(found.values()) == {None}


def test_missing_recipe_and_unknown_device(finished, tmp_path, monkeypatch, capsys):
    error = refused(monkeypatch, capsys, "flow", tmp_path / "none.toml")
    assert "does not exist" in error
    recipe = tmp_path / "recipe.toml"
    recipe.write_text("[build]\ndevice = 'ecp5-25k'")
    _, run = finished
    error = refused(monkeypatch, capsys, "build", recipe, "--out", run)
    assert "device is 'ecp5-25k', must be one of" in error


def network_bytes(tmp_path):
    network = Network(
        (
            Input("input", 2),
            Dense("dense", np.ones((3, 2), int), Format(4)),
            Readout("readout", "sum_current", 3),
        ),
        (Edge("input", "dense"), Edge("dense", "readout")),
        4,
    )
    path = tmp_path / "good.safetensors"
    save_network(network, path)
    return path.read_bytes()


FILES = {
    "truncated": (lambda good: good[:-9], "truncated"),
    "foreign": (lambda _: b"GIF89a" * 20, "truncated or no safetensors file"),
    "other tensors": (lambda _: save({"x": np.zeros(3)}), "not a reslif network"),
    "newer": (
        lambda good: good.replace(b'\\"version\\": 1', b'\\"version\\": 9'),
        "has version 9, this reslif reads 1",
    ),
    "flipped bit": (lambda good: good[:-1] + bytes([good[-1] ^ 1]), "match its digest"),
}


@pytest.mark.parametrize("case", FILES)
def test_bad_network_files(case, tmp_path, monkeypatch, capsys):
    change, expected = FILES[case]
    path = tmp_path / "bad.safetensors"
    path.write_bytes(change(network_bytes(tmp_path)))
    error = refused(monkeypatch, capsys, "evaluate", path)
    assert expected in error
    assert str(path) in error


def test_a_lost_result_is_trained_again(finished, tmp_path, monkeypatch):
    """The training state alone, without the parameters that it led to, resumes nothing."""
    recipe, run = finished
    copy = shutil.copytree(run, tmp_path / "run")
    (copy / "float.safetensors").unlink()
    assert reslif(monkeypatch, "train", recipe, "--out", copy) == 0
    assert (copy / "float.safetensors").read_bytes() == (run / "float.safetensors").read_bytes()


@pytest.mark.parametrize(
    ("stage", "following", "label"),
    [("train", "quantise", "float"), ("quantise", "generate", "quantised")],
)
def test_what_was_interrupted_is_not_built_on(
    finished, stage, following, label, tmp_path, monkeypatch, capsys
):
    recipe, run = finished
    copy = shutil.copytree(run, tmp_path / "run")
    (copy / f"{label}.state.safetensors").unlink()
    with monkeypatch.context() as patch:
        interrupt(patch, 1)
        assert reslif(monkeypatch, stage, recipe, "--out", copy) == 130
    assert f"{stage} interrupted, the same command resumes" in capsys.readouterr().err
    error = refused(monkeypatch, capsys, following, recipe, "--out", copy)
    assert f"{label}.state.safetensors ends after 1 of " in error
    assert f"run `reslif {stage}` to finish it" in error
    assert reslif(monkeypatch, stage, recipe, "--out", copy) == 0
    assert reslif(monkeypatch, following, recipe, "--out", copy) == 0


def test_a_missing_package_is_named(tmp_path, monkeypatch, capsys):
    class NoTorch:
        """An import system in which PyTorch is not installed."""

        def find_spec(self, name, path=None, target=None):
            if name.split(".")[0] == "torch":
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    for name in [n for n in sys.modules if n.split(".")[0] == "torch" or n == "reslif.sw.train"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [NoTorch(), *sys.meta_path])
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(TINY)
    error = refused(monkeypatch, capsys, "train", recipe, "--out", tmp_path / "run")
    assert "Python package 'torch' is missing, install it with: pip install" in error
