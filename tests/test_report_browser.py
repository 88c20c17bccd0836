"""The report in a real browser: no error, every section, and clicks that change what is shown.

Needs Debian's ``chromium`` and ``chromium-driver``: ``make test-browser``.
"""

from __future__ import annotations

import json
import os
import shutil
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
from commands import reslif
from data_folders import pictures, write_idx
from report_runs import SECTIONS, make_run, part_of, wrong_figures
from report_runs import Page as Read

pytestmark = pytest.mark.browser

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--hide-scrollbars",
)  # fmt: skip


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """A folder with the page of a run, of one that has only been trained, and of two compared."""
    folder = tmp_path_factory.mktemp("browser")
    _, run = make_run(folder)
    part = part_of(run, folder / "part", "train")
    other = shutil.copytree(run, folder / "other")
    changed = json.loads((other / "cosim.json").read_text()) | {"cycles_per_sample": 1000.0}
    changed["accuracy"] = 0.5
    (other / "cosim.json").write_text(json.dumps(changed))
    with pytest.MonkeyPatch.context() as monkeypatch:
        for one in (run, part):
            assert reslif(monkeypatch, "report", one) == 0
        assert reslif(monkeypatch, "report", "--compare", run, other, "--out", folder) == 0
    return folder


CLIPS = """
name = "clips"
[data]
set = "moving_digits"
samples = 60
cache = "{cache}"
[data.moving]
frame = 12
frames = 6
scale = 1
[train]
model = "rsnn"
readout = "count"
width = 16
steps = 6
epochs = 1
qat_epochs = 1
bits = 8
guard_bits = 4
"""


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """The page of a run on clips, by a recurrent network."""
    folder = tmp_path_factory.mktemp("clips")
    recipe = folder / "clips.toml"
    recipe.write_text(CLIPS.format(cache=folder / "cache"))
    with pytest.MonkeyPatch.context() as monkeypatch:
        for verb in ("train", "quantise", "report"):
            assert reslif(monkeypatch, verb, recipe, "--out", folder / "run") == 0
    return folder / "run/report.html"


IMAGES = """
name = "images"
[data]
set = "mnist"
dir = "{folder}"
[train]
model = "ms_resnet"
widths = [4, 6]
blocks = 1
stem_stride = 2
steps = 2
epochs = 1
qat_epochs = 1
batch = 50
[hardware]
lanes = 4
neuron_lanes = 2
"""
DEEP = """
name = "deep"
[train]
blocks = 60
width = 8
steps = 2
epochs = 1
qat_epochs = 1
batch = 128
branch_power = 1.0
scaled_lr = true
[hardware]
engine = "sequential"
lanes = 4
"""


@pytest.fixture(scope="module")
def kinds(tmp_path_factory, clips):
    """Pages of small runs of other kinds, by kind: clips, images, many layers on one engine."""
    folder, found = tmp_path_factory.mktemp("kinds"), {"clips": clips}
    shape = (1, 28, 28)
    files = write_idx(folder / "files", pictures(1100, shape), pictures(100, shape, 1))
    for kind, text in (("images", IMAGES.format(folder=files)), ("deep", DEEP)):
        recipe = folder / f"{kind}.toml"
        recipe.write_text(text)
        with pytest.MonkeyPatch.context() as monkeypatch:
            for verb in ("train", "quantise", "generate", "report"):
                assert reslif(monkeypatch, verb, recipe, "--out", folder / kind) == 0
        found[kind] = folder / kind / "report.html"
    return found


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    # Named, so that Selenium does not look for a driver in the network.
    driver = shutil.which("chromedriver")
    assert driver, "chromedriver is missing: apt-get install chromium chromium-driver"
    found = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield found
    found.quit()


def show(browser, path, width=1280, scheme="light"):
    """Open a page from disk in a window of that width, and take its errors."""
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600},
    )
    browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia",
        {"features": [{"name": "prefers-color-scheme", "value": scheme}]},
    )
    browser.get(path.as_uri())
    return browser.get_log("browser")


def report_of(page):
    return page.with_name("report.json").read_text()


def figures_of(browser):
    """The figures that the open page shows, folded parts unfolded."""
    for details in all_of(browser, "details"):
        browser.execute_script("arguments[0].open = true", details)
    shown = Read("")
    for figure in all_of(browser, ".figure"):
        have = [figure.get_attribute(f"data-{what}") for what in ("key", "form", "value")]
        shown.figures.append((*have, figure.text))
    return shown


def all_of(browser, css):
    return browser.find_elements("css selector", css)


def one(browser, css):
    (found,) = all_of(browser, css)
    return found


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 420])
@pytest.mark.parametrize("name", ["run/report.html", "part/report.html", "compare.html"])
def test_pages_open_from_disk_without_an_error(browser, pages, name, width, scheme):
    assert show(browser, pages / name, width, scheme) == []
    sizes = "return [document.documentElement.scrollWidth, innerWidth]"
    wide, window = browser.execute_script(sizes)
    assert wide <= window == width
    sections = [section.get_attribute("id") for section in all_of(browser, "main section")]
    assert sections == (["runs", "curves"] if name == "compare.html" else list(SECTIONS))
    ground = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
    bright = int(ground.split("(")[1].split(",")[0])
    assert bright > 200 if scheme == "light" else bright < 60
    # Headings are not cut off, which pictures of a page without height would be.
    assert all(section.size["height"] > 60 for section in all_of(browser, "main section"))


@pytest.mark.parametrize("width", [1280, 420])
@pytest.mark.parametrize("kind", ["clips", "images", "deep"])
def test_pages_of_every_kind_of_run(browser, kinds, kind, width):
    """Frames, convolutions, folded blocks: no error, all sections, figures, chooser and layers."""
    assert show(browser, kinds[kind], width) == []
    wide = browser.execute_script("return document.documentElement.scrollWidth")
    assert wide <= width
    assert [part.get_attribute("id") for part in all_of(browser, "main section")] == list(SECTIONS)
    assert wrong_figures(figures_of(browser), json.loads(report_of(kinds[kind]))) == []
    data = json.loads(one(browser, "#samples-data").get_attribute("textContent"))
    assert len(data["layers"]) == {"clips": 2, "images": 5, "deep": 121}[kind]
    one(browser, "#earlier").click()  # from the first to the last
    assert f"{data['layers'][-1]['size']:,} neurons" in one(browser, "#about").text
    for button, sample in zip(all_of(browser, ".sample"), data["samples"], strict=True):
        button.click()
        assert f"expected {sample['label']}, predicted" in one(browser, "#verdict").text
        spikes = sum(data["layers"][-1]["counts"][data["samples"].index(sample)])
        assert f"{spikes:,} spikes on this sample" in one(browser, "#about").text
    cells = all_of(browser, "#heat rect[data-layer]")
    assert len(cells) == len(data["layers"]) * data["steps"]
    strong = [float(cell.get_attribute("fill-opacity")) for cell in cells]
    assert max(strong) == 1  # of the highest rate, whatever it is
    assert one(browser, "#most").text not in ("", "0.0 %")
    assert bool(all_of(browser, ".block")) == (kind == "deep")


def test_an_error_would_be_seen(browser, tmp_path):
    page = tmp_path / "page.html"
    page.write_text("<!doctype html><script>missing()</script>")
    assert "missing is not defined" in show(browser, page)[0]["message"]


def test_figures_that_the_browser_shows_are_those_of_report_json(browser, pages):
    show(browser, pages / "run/report.html")
    report = json.loads(report_of(pages / "run/report.html"))
    shown = figures_of(browser)
    assert len(shown.figures) > 30
    assert wrong_figures(shown, report) == []


def test_the_chooser_works_by_clicking(browser, pages):
    show(browser, pages / "run/report.html")
    data = json.loads(one(browser, "#samples-data").get_attribute("textContent"))
    buttons = all_of(browser, ".sample")
    assert len(buttons) == len(data["samples"]) >= 10
    drawn = set()
    for button, sample in zip(buttons, data["samples"], strict=True):
        button.click()
        verdict = one(browser, "#verdict")
        assert f"test sample {sample['index']}:" in verdict.text
        assert f"expected {sample['label']}, predicted {sample['predicted']}" in verdict.text
        assert one(browser, "#input").get_attribute("src") == sample["frames"][0]
        selected = [b for b in buttons if b.get_attribute("aria-selected") == "true"]
        assert selected == [button]
        scores = [int(b.text.replace(",", "")) for b in all_of(browser, "#scores b")]
        assert scores == sample["scores"]
        drawn.add(one(browser, "#raster path.spikes").get_attribute("d"))
    assert len(drawn) > 3  # samples differ in what they make fire
    assert any(drawn)


def test_layers_are_chosen_by_list_arrows_and_picture(browser, pages):
    from selenium.webdriver.support.ui import Select

    show(browser, pages / "run/report.html")
    data = json.loads(one(browser, "#samples-data").get_attribute("textContent"))
    layers = data["layers"]
    assert len(layers) == 3

    def check(number):
        layer = layers[number]
        assert Select(one(browser, "#layer")).first_selected_option.text == layer["name"]
        spikes = sum(layer["counts"][0])
        assert f"{spikes:,} spikes on this sample" in one(browser, "#about").text
        assert len(all_of(browser, "#membranes svg")) == len(layer["traced"]) > 0
        assert len(all_of(browser, "#membranes .threshold")) == len(layer["traced"])
        strokes = one(browser, "#raster path.spikes").get_attribute("d").count("M")
        assert strokes == spikes  # all neurons of so small a layer are shown

    check(0)
    Select(one(browser, "#layer")).select_by_index(2)
    check(2)
    one(browser, "#earlier").click()
    check(1)
    one(browser, "#later").click()
    check(2)
    one(browser, "#later").click()
    check(0)
    cell = one(browser, '#heat rect[data-layer="1"]:nth-of-type(5)')
    cell.click()
    check(1)


def test_clips_play(browser, clips):
    from selenium.webdriver.support.ui import WebDriverWait

    assert show(browser, clips) == []
    data = json.loads(one(browser, "#samples-data").get_attribute("textContent"))
    all_of(browser, ".sample")[1].click()
    frames = data["samples"][1]["frames"]
    assert len(frames) == 6
    assert len(set(frames)) > 2
    source = partial(one(browser, "#input").get_attribute, "src")
    shown = set()

    def all_shown(_):
        shown.add(source())
        return shown == set(frames)

    WebDriverWait(browser, 20, 0.05).until(all_shown)
    play = one(browser, "#play")
    play.click()
    assert play.text == "play"
    still = source()
    browser.execute_async_script("setTimeout(arguments[0], 500)")
    assert source() == still
    play.click()
    WebDriverWait(browser, 20, 0.05).until(lambda _: source() != still)
    assert len(all_of(browser, ".edges .delayed")) == 2  # both layers hear themselves


def test_runs_are_compared_by_clicking(browser, pages):
    show(browser, pages / "compare.html")

    def row(title):
        (found,) = [r for r in all_of(browser, "tr[data-better]") if title in r.text]
        return found

    cells = row("cycles a sample").find_elements("css selector", "td")
    assert [cell.text.split("\n") for cell in cells] == [["1,234"], ["1,000", "−234"]] or [
        cell.text.split("\n") for cell in cells
    ] == [["1,234"], ["1,000", "−235"]]
    delta = cells[1].find_element("css selector", ".delta")
    assert "better" in delta.get_attribute("class")
    one(browser, 'input[name="reference"][value="1"]').click()
    assert cells[1].text == "1,000"
    assert cells[0].text.split("\n")[1] in ("+234", "+235")
    worse = cells[0].find_element("css selector", ".delta")
    assert "worse" in worse.get_attribute("class")
    # Accuracies are better or worse on the same data only.
    deltas = row("accuracy, hardware").find_elements("css selector", ".delta")
    assert "better" in deltas[0].get_attribute("class")
    for value, css in (("other", "delta"), ("digits", "delta better")):
        browser.execute_script(
            "document.querySelector('td.run-0 [data-key=\"data.set\"]').dataset.value = "
            f"'\"{value}\"'"
        )
        one(browser, 'input[name="reference"][value="0"]').click()
        one(browser, 'input[name="reference"][value="1"]').click()
        assert deltas[0].get_attribute("class") == css
    one(browser, '[data-show="0"]').click()
    assert not cells[0].is_displayed()
    assert cells[1].is_displayed()
    assert not any(line.is_displayed() for line in all_of(browser, "svg .run-0"))
    one(browser, '[data-show="0"]').click()
    assert cells[0].is_displayed()


def test_a_page_asks_the_network_for_nothing(browser, pages):
    """Served rather than opened, the one request is for the page itself."""
    asked = []

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *arguments):
            asked.append(self.path)

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=os.fspath(pages))) as at:
        thread = threading.Thread(target=at.serve_forever)
        thread.start()
        browser.get(f"http://127.0.0.1:{at.server_port}/run/report.html")
        all_of(browser, ".sample")[3].click()
        names = browser.execute_script(
            "return performance.getEntriesByType('resource').map((entry) => entry.name)"
        )
        at.shutdown()
        thread.join()
    assert asked == ["/run/report.html"]
    assert [name for name in names if not name.startswith("data:")] == []
