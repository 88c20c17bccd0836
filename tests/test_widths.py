"""`reslif widths`: accuracy by bits of the weights, in widths.json and on the page."""

import json
import shutil

import pytest
from commands import refused, reslif
from report_runs import Page, make_run, part_of, read_page, wrong_figures
from reslif.sw.data import load_dataset
from reslif.sw.fit import load_module
from reslif.sw.network_file import load_network
from reslif.sw.quantiser import QuantiseConfig, quantise
from reslif.sw.recipe import load_recipe
from reslif.sw.studies.widths import rounded
from reslif.sw.train import TrainConfig, build_model


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """A recipe and its run, trained and quantised, at 8 and 2 bits, trained on as well."""
    folder = tmp_path_factory.mktemp("widths")
    recipe, run = make_run(folder)
    with pytest.MonkeyPatch.context() as monkeypatch:
        assert (
            reslif(monkeypatch, "widths", recipe, "--out", run, "--bits", "2,8,8", "--train") == 0
        )
        assert reslif(monkeypatch, "report", recipe, "--out", run) == 0
    return recipe, run


def found(run):
    return json.loads((run / "widths.json").read_text())


def accuracy_of(network):
    from reslif.sw.evaluate import measure

    return measure(network, load_dataset("digits").test, network.max_steps).accuracy


def test_accuracies_are_those_of_the_networks(swept):
    recipe, run = swept
    content = found(run)
    assert list(content["bits"]) == ["8", "2"]
    assert content["samples"] == 360
    assert content["float"] == json.loads((run / "train.json").read_text())["accuracy"]
    for bits, row in content["bits"].items():
        network = load_network(run / f"widths/{bits}bit/network.safetensors")
        assert {node.weight_format.width for node in network.nodes if hasattr(node, "weight")} == {
            int(bits)
        }
        assert row["trained"] == accuracy_of(network)
    # Rounded is what the quantiser makes of the float network, at that width.
    config, data = TrainConfig(**load_recipe(recipe).train), load_dataset("digits")
    model = build_model(config, data)
    load_module(model, run / "float.safetensors")
    calibration = data.train[:256].over_time(config.steps)
    plain = quantise(model.eval(), calibration, QuantiseConfig(bits=2), data.format)
    assert rounded(config, data, model, 2).digest == plain.digest
    assert content["bits"]["2"]["rounded"] == accuracy_of(plain)
    assert content["bits"]["2"]["rounded"] != content["bits"]["8"]["rounded"]


def test_the_page_shows_them(swept, tmp_path, monkeypatch):
    recipe, run = swept
    page, report = read_page(run), json.loads((run / "report.json").read_text())
    assert report["widths"]["bits"] == found(run)["bits"]
    assert wrong_figures(page, report) == []
    keys = {f"widths.bits.{bits}.{what}" for bits in (8, 2) for what in ("rounded", "trained")}
    assert keys | {"widths.float", "widths.samples"} <= {key for key, *_ in page.figures}
    html = (run / "report.html").read_text()
    chart = html.split('aria-label="Accuracy by bits of the weights"')[1].split("</svg>")[0]
    assert chart.count("<circle") == 2 + 3  # trained on, the run's own 4 bits are a point too
    assert "as this run's own with 4 bits" in page.text
    assert "stroke-dasharray" in chart  # float
    other = part_of(run, tmp_path / "other", "quantise")
    assert reslif(monkeypatch, "report", "--compare", run, other, "--out", tmp_path) == 0
    html = (tmp_path / "compare.html").read_text()
    chart = html.split('aria-label="Accuracy by bits, rounded"')[1].split("</svg>")[0]
    assert chart.count("<circle") == 2
    assert reslif(monkeypatch, "report", "--compare", other, other, "--out", tmp_path) == 0
    assert "Accuracy by bits" not in (tmp_path / "compare.html").read_text()
    # A run without them has nothing of it; rounded alone, one column.
    copy = shutil.copytree(run, tmp_path / "run")
    content = found(copy)
    for row in content["bits"].values():
        row["trained"] = None
    (copy / "widths.json").write_text(json.dumps(content | {"samples": 100}))
    assert reslif(monkeypatch, "report", recipe, "--out", copy) == 0
    html = (copy / "report.html").read_text()
    chart = html.split('aria-label="Accuracy by bits of the weights"')[1].split("</svg>")[0]
    assert chart.count("<circle") == 2  # of other samples than the run's own
    assert not any(key.endswith("trained") for key, *_ in Page(html).figures)
    (copy / "widths.json").unlink()
    assert reslif(monkeypatch, "report", recipe, "--out", copy) == 0
    assert "Accuracy by bits" not in (copy / "report.html").read_text()


def test_of_fewer_samples_and_in_a_run_folder(swept, tmp_path, monkeypatch):
    _, run = swept
    part = part_of(run, tmp_path / "part", "train")
    assert reslif(monkeypatch, "widths", part, "--bits", "4", "--samples", 50) == 0
    content = found(part)
    assert content["samples"] == 50
    assert content["bits"]["4"]["trained"] is None
    assert (content["bits"]["4"]["rounded"] * 50) == pytest.approx(
        round(content["bits"]["4"]["rounded"] * 50)
    )
    assert not (part / "widths").exists()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--bits", ""), "bits is empty, must be widths such as 8,4,2"),
        (("--bits", "4,x"), "bits is '4,x', must be numbers"),
        (("--bits", "4,1"), "weight bits are 1, must be 2 to 16"),
        (("--samples", "-1"), "samples is -1, must be at least 0"),
    ],
)
def test_mistakes_are_one_line(swept, arguments, expected, tmp_path, monkeypatch, capsys):
    _, run = swept
    part = part_of(run, tmp_path / "part", "train")
    assert expected in refused(monkeypatch, capsys, "widths", part, *arguments)
    assert not (part / "widths.json").exists()
    (part / "float.safetensors").unlink()
    assert "run `reslif train` first" in refused(monkeypatch, capsys, "widths", part)


def test_those_of_another_network_are_refused(swept, tmp_path, monkeypatch, capsys):
    recipe, run = swept
    for changes, expected in (
        ({"float_sha256": "0" * 64}, "is of another float.safetensors, run `reslif widths` again"),
        ({"bits": {"8": {"rounded": 1.5}}}, "must be a table of accuracies by bits"),
        ({"bits": {"x": {"rounded": 0.5}}}, "must be a table of accuracies by bits"),
        ({"bits": {"8": {}}}, "must be a table of accuracies by bits"),
    ):
        copy = shutil.copytree(run, tmp_path / "run", dirs_exist_ok=True)
        (copy / "widths.json").write_text(json.dumps(found(run) | changes))
        assert expected in refused(monkeypatch, capsys, "report", recipe, "--out", copy)
