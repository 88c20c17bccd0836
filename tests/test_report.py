"""The report's page: its figures are those of report.json, whatever stage a run has reached."""

import json
import re
import shutil

import pytest
from commands import refused, reslif
from report_runs import KEYS, ORDER, SECTIONS, Page, make_run, part_of, read_page, wrong_figures
from reslif.sw.flow.report import recipe_of
from reslif.sw.report.page import script


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The recipe and folder of a run after all stages, with its page."""
    recipe, run = make_run(tmp_path_factory.mktemp("report"))
    with pytest.MonkeyPatch.context() as monkeypatch:
        assert reslif(monkeypatch, "report", recipe, "--out", run) == 0
    return recipe, run


def content(run):
    return json.loads((run / "report.json").read_text())


def change(run, stage, **changes):
    path = run / f"{stage}.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_every_section_is_there_and_every_figure_is_that_of_report_json(whole):
    _, run = whole
    page, report = read_page(run), content(run)
    assert page.sections == list(SECTIONS)
    assert page.missing == {}
    assert set(KEYS) <= {key for key, *_ in page.figures}
    assert wrong_figures(page, report) == []
    assert report["accuracy"]["golden"] > 0.3  # a network that has learnt something
    assert "1,234" in page.text  # of 1234.5 cycles, rounded to even


@pytest.mark.parametrize("key", KEYS)
def test_a_wrong_number_is_found(whole, key):
    """The check above sees a text, and a value, that is not the report's."""
    _, run = whole
    html, report = (run / "report.html").read_text(), content(run)
    page = Page(html)
    _, form, value, text = next(figure for figure in page.figures if figure[0] == key)
    planted = text.replace(text[0], "9" if text[0] != "9" else "8", 1)
    of = f'data-key="{key}" data-form="{form}" data-value="{value}">'
    assert of + text in html
    assert wrong_figures(Page(html.replace(of + text, of + planted, 1)), report)
    other = f'data-key="{key}" data-form="{form}" data-value="77">'
    assert wrong_figures(Page(html.replace(of, other, 1)), report)


def test_the_confusion_matrix_adds_up_to_the_accuracy(whole):
    _, run = whole
    html, report = (run / "report.html").read_text(), content(run)
    table = html.split('<table class="confusion">')[1].split("</table>")[0]
    hits = [int(part.split(">")[1].split("<")[0] or 0) for part in table.split('class="hit')[1:]]
    misses = [int(part.split(">")[1].split("<")[0] or 0) for part in table.split('class="miss')[1:]]
    assert len(hits) == 10
    assert len(misses) == 90
    assert sum(hits) + sum(misses) == 360
    assert sum(hits) / 360 == report["accuracy"]["golden"]


def test_accuracies_say_of_how_many_samples(whole, tmp_path, monkeypatch):
    """Of fewer in hardware, what the golden model gets on the very same is beside it."""
    recipe, run = whole
    text = " ".join(read_page(run).text.split())
    found = re.search(
        r"360 test samples, in hardware the first 20, of which the golden .* gets", text
    )
    assert found
    share = float(text[found.end() :].split("%")[0])
    assert (share / 5).is_integer()  # of 20 samples
    assert "In hardware, its first 20 test samples." in text
    copy = shutil.copytree(run, tmp_path / "run")
    change(copy, "cosim", samples=360)
    assert reslif(monkeypatch, "report", recipe, "--out", copy) == 0
    text = " ".join(read_page(copy).text.split())
    assert "360 test samples." in text
    assert "n hardware" not in text


def test_a_page_needs_nothing_but_itself(whole):
    _, run = whole
    path = run / "report.html"
    assert path.stat().st_size < 500_000
    page = read_page(run)
    assert page.addresses
    for address in page.addresses:
        assert address.startswith(("data:", "#")), address
    styles = path.read_text().split("<style>")[1].split("</style>")[0]
    assert "url(" not in styles
    assert "@import" not in styles


def test_a_run_folder_makes_the_page_of_its_recipe(whole, tmp_path, monkeypatch):
    _, run = whole
    copy = shutil.copytree(run, tmp_path / "other")
    (copy / "report.html").unlink()
    assert reslif(monkeypatch, "report", copy) == 0
    assert (copy / "report.html").read_bytes() == (run / "report.html").read_bytes()
    assert content(copy) == content(run)
    # Without the earlier report the results tell as much of the data, and of the name the folder.
    (copy / "report.json").unlink()
    recipe = recipe_of(copy)
    assert (recipe.name, recipe.data.set, recipe.build.device) == ("other", "digits", "up5k")


@pytest.mark.parametrize("last", ORDER)
def test_a_page_of_every_stage(whole, last, tmp_path, monkeypatch):
    """What is missing says which command fills it, what is there is shown."""
    recipe, run = whole
    part = part_of(run, tmp_path / "run", last)
    assert reslif(monkeypatch, "report", recipe, "--out", part) == 0
    page = read_page(part)
    assert page.sections == list(SECTIONS)
    assert wrong_figures(page, content(part)) == []
    empty = {
        "train": {
            "network": "reslif quantise", "samples": "reslif quantise",
            "accuracy": "reslif quantise", "weights": "reslif quantise",
            "quantisation": "reslif quantise", "cosim": "reslif cosim",
            "hardware": "reslif generate",
        },
        "quantise": {"cosim": "reslif cosim", "hardware": "reslif generate"},
        "generate": {"cosim": "reslif cosim", "hardware": "reslif cosim"},
        "cosim": {"hardware": "reslif build"},
        "build": {},
    }[last]  # fmt: skip
    assert set(page.missing) == set(empty)
    for section, command in empty.items():
        assert command in page.missing[section]
    if last == "generate":
        assert "reslif build" in page.missing["hardware"]


FOREIGN = {
    "no JSON": ("cosim.json", "{", "cosim.json is no JSON file, run `reslif cosim` again"),
    "a list": ("train.json", "[1]", "train.json holds [1], must be a table"),
    "a text": ("train.json", '{"accuracy": "<b>"}', "accuracy is '<b>', must be a number from 0"),
    "above 1": ("quantise.json", '{"accuracy": 1.5}', "accuracy is 1.5, must be a number from 0"),
    "not a number": ("quantise.json", '{"accuracy": NaN}', "accuracy is nan, must be a number"),
    "a fraction": ("build.json", '{"luts": 1.5}', "luts is 1.5, must be an integer"),
    "a digest": ("build.json", '{"verilog_sha256": 5}', "verilog_sha256 is 5, must be text"),
    "spikes": ("cosim.json", '{"spikes": [1]}', "spikes is [1], must be a table of counts"),
    "manifest": ("manifest.json", "[]", "manifest.json is no manifest of a design"),
    "nextpnr": ("up5k/report.json", '{"utilization": 3}', "is no report of nextpnr"),
    "netlist": ("up5k/netlist.json", '{"modules": 3}', "is no netlist of Yosys"),
    "epochs": ("float.state.safetensors", "GIF89a", "is no readable training state"),
    "weights": ("float.safetensors", "GIF89a", "does not hold the parameters of this model"),
    "network": ("network.safetensors", "GIF89a", "truncated or no safetensors file"),
}


@pytest.mark.parametrize("case", FOREIGN)
def test_foreign_files_are_one_line(whole, case, tmp_path, monkeypatch, capsys):
    name, text, expected = FOREIGN[case]
    recipe, run = whole
    copy = shutil.copytree(run, tmp_path / "run")
    (copy / name).write_text(text)
    error = refused(monkeypatch, capsys, "report", recipe, "--out", copy)
    assert expected in error
    assert name.split("/")[-1] in error


@pytest.mark.parametrize(
    "text", ["{", "[1]", '{"recipe": 3}', '{"recipe": "x", "settings": 3}',
             '{"recipe": "x", "settings": {"data": [1]}}'],
)  # fmt: skip
def test_an_earlier_report_that_is_none_is_one_line(whole, text, tmp_path, monkeypatch, capsys):
    """A folder's recipe is in there: it may be deleted, or the recipe itself be named."""
    recipe, run = whole
    copy = shutil.copytree(run, tmp_path / "run")
    (copy / "report.json").write_text(text)
    error = refused(monkeypatch, capsys, "report", copy)
    assert "report.json is no report of a run, delete it or name the recipe instead" in error
    assert reslif(monkeypatch, "report", recipe, "--out", copy) == 0


def test_results_of_another_network_are_refused(whole, tmp_path, monkeypatch, capsys):
    recipe, run = whole
    copy = shutil.copytree(run, tmp_path / "run")
    change(copy, "quantise", accuracy=0.9999)
    error = refused(monkeypatch, capsys, "report", recipe, "--out", copy)
    assert "quantise.json has accuracy 99.9900%, but the golden model now gets" in error
    digest = "0" * 64
    for stage, key in (("quantise", "digest"), ("generate", "network_digest"),
                       ("cosim", "network_digest")):  # fmt: skip
        change(copy, stage, **{key: digest})
    error = refused(monkeypatch, capsys, "report", recipe, "--out", copy)
    assert "but quantise.json is of 000000000000" in error


def test_mismatches_and_silence_are_not_called_equal(whole, tmp_path, monkeypatch):
    recipe, run = whole
    agree = "agree, bit by bit"
    assert agree in read_page(run).text
    for changes, said in (
        ({"mismatches": 3}, "3 mismatches: Verilog and golden model differ"),
        ({"spikes": {"stack_blocks_0_lif1": 0}}, "Nothing fired"),
    ):
        copy = shutil.copytree(run, tmp_path / said[:3])
        change(copy, "cosim", **changes)
        assert reslif(monkeypatch, "report", recipe, "--out", copy) == 0
        text = read_page(copy).text
        assert said in text
        assert agree not in text


def test_windows_of_mismatches_are_named(whole, tmp_path, monkeypatch):
    recipe, run = whole
    window = "mismatch_stem_sample3.vcd"
    for last in ("generate", "cosim"):
        part = part_of(run, tmp_path / last, last)
        assert reslif(monkeypatch, "report", recipe, "--out", part) == 0
        assert window not in read_page(part).text
        (part / window).write_text("")
        assert reslif(monkeypatch, "report", recipe, "--out", part) == 0
        assert window in read_page(part).text


def test_what_a_file_says_stays_text(whole, tmp_path, monkeypatch):
    recipe, run = whole
    copy = shutil.copytree(run, tmp_path / "run")
    evil = "<script>alert('1')</script>"
    change(copy, "build", device="up5k")
    change(copy, "cosim", harness=evil)
    assert reslif(monkeypatch, "report", recipe, "--out", copy) == 0
    html = (copy / "report.html").read_text()
    assert evil not in html
    assert evil in Page(html).text
    assert (
        str(script({"a": "</script><b>&"})) == '{"a":"\\u003c/script\\u003e\\u003cb\\u003e\\u0026"}'
    )


def test_data_that_is_not_here_leaves_a_page(whole, tmp_path, monkeypatch):
    """Sections that need samples say so; all others, and all figures, stay."""
    recipe, run = whole
    copy = shutil.copytree(run, tmp_path / "run")
    other = tmp_path / "small.toml"
    other.write_text(recipe.read_text() + '[data]\nset = "mnist"\ndir = "none"\n')
    assert reslif(monkeypatch, "report", other, "--out", copy) == 0
    page = read_page(copy)
    assert page.sections == list(SECTIONS)
    assert wrong_figures(page, content(copy)) == []
    assert set(page.missing) == {"samples", "accuracy", "weights", "quantisation", "hardware"}
    assert "data set 'mnist' is missing" in page.missing["samples"]
    # Data of another digest are not those of the run.
    other.write_text(recipe.read_text() + '[data]\nset = "digits"\nseed = 5\n')
    change(copy, "train", data={"set": "digits", "digest": "0" * 64})
    assert reslif(monkeypatch, "report", other, "--out", copy) == 0
    assert "is not the one that the run was trained on" in read_page(copy).missing["samples"]


def test_runs_side_by_side(whole, tmp_path, monkeypatch, capsys):
    recipe, run = whole
    other = shutil.copytree(run, tmp_path / "other")
    change(other, "cosim", cycles_per_sample=1000.0)
    part = part_of(run, tmp_path / "part", "train")
    assert reslif(monkeypatch, "report", "--compare", run, other, part, "--out", tmp_path) == 0
    page = Page((tmp_path / "compare.html").read_text())
    assert page.sections == ["runs", "curves"]
    cycles = [value for key, _, value, _ in page.figures if key == "cosim.cycles_per_sample"]
    assert cycles == ["1234.5", "1000.0", "null"]
    reports = [content(run), content(run), {"accuracy": content(run)["accuracy"]}]
    reports[1]["cosim"]["cycles_per_sample"] = 1000.0
    float_accuracies = [float(v) for key, _, v, _ in page.figures if key == "accuracy.float"]
    assert float_accuracies == [report["accuracy"]["float"] for report in reports]
    for arguments, expected in (
        (("--compare", run), "1 run is given, to compare it takes at least 2"),
        ((run, other), "2 runs are given, must be 1, or more with --compare"),
        ((run, "--out", tmp_path), "is a run folder, with it --out must not be given"),
        ((tmp_path / "none",), "does not exist"),
        ((tmp_path / "empty",), "holds no results"),
    ):
        (tmp_path / "empty").mkdir(exist_ok=True)
        assert expected in refused(monkeypatch, capsys, "report", *arguments)
    assert recipe.is_file()
