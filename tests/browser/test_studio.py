"""Drives the studio in a browser, as a person would: from an upload to a labelled set."""

import json
import pathlib
import re
import signal

import numpy as np
import pytest
from PIL import Image

from dtgan import images
from dtgan.generation import dataset
from dtgan.studio import server
from dtgan.studio.__main__ import main

ROOT = pathlib.Path(__file__).resolve().parents[2]
WAIT = 90_000  # ms: the machine may be busy
REPORT = "<h1>The report</h1><script>document.querySelector('h1').textContent += ' runs'</script>"


@pytest.fixture(scope="module")
def run(run_main, tmp_path_factory):
    """The workdir of a toy model with all controls, which needs no training."""
    workdir = tmp_path_factory.mktemp("run")
    flags = ["main", "--config=tests/smoke.py:stamp", f"--workdir={workdir}"]
    process = run_main(*flags, module="tests.studio.stamp")
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    (workdir / "report.html").write_text(REPORT)
    return workdir


@pytest.fixture(scope="module")
def served(run, run_main, tmp_path_factory):
    """(address, directory of what is kept) of a studio; at its end nothing else is left."""
    out = tmp_path_factory.mktemp("studio") / "kept"
    flags = ["studio", f"--workdir={run}", f"--out={out}", "--port=0", "--compilation_cache="]
    process = run_main(*flags, module="tests.studio.stamp")
    said = []
    for line in process.stdout:
        said.append(line)
        if "the studio is open" in line:
            break
    address = re.search(r"http://127\.0\.0\.1:\d+", said[-1])
    assert address, "".join(said)
    yield address[0], out
    process.send_signal(signal.SIGINT)
    more, _ = process.communicate(timeout=60)
    assert "Traceback" not in more, more
    assert not (out / ".studio").exists() and not (ROOT / ".gradio").exists()


@pytest.fixture
def tab(chromium, served):
    """tab() -> a tab of its own; at the end none has asked for anything elsewhere or failed."""
    address, asked, failed, contexts = served[0], [], [], []

    def begin():
        contexts.append(chromium.new_context(viewport={"width": 1500, "height": 1000}))
        page = contexts[-1].new_page()
        page.set_default_timeout(WAIT)
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda m: failed.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda error: failed.append(str(error)))
        page.goto(address)
        page.wait_for_selector("#surface canvas")
        page.wait_for_selector("#surfaces img")
        return page

    yield begin
    for context in contexts:
        context.close()
    known = (address, "data:", "blob:")
    assert not [url for url in asked if not url.startswith(known)] and not failed


def says(page, words):
    """Wait until the page says something."""
    page.wait_for_function(
        "words => document.querySelector('#say').innerText.includes(words)", arg=words
    )


def upload(page, name, path, words):
    with page.expect_file_chooser() as chooser:
        page.click(f"#{name}")
    chooser.value.set_files(path)
    says(page, words)


def paint(page):
    """Paint a square in the middle of the surface."""
    box = page.locator("#surface canvas").first.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x - 30, y - 30)
    page.mouse.down()
    for step in range(-30, 31, 20):
        page.mouse.move(x - 30, y + step, steps=3)
        page.mouse.move(x + 30, y + step, steps=3)
    page.mouse.up()


def choose_class(page, name):
    page.click("#class input")
    page.get_by_role("option", name=name).click()
    says(page, f"class {name}")


def manifest(out):
    return [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]


def test_from_an_upload_to_a_labelled_set(tab, served, tmp_path):
    _, out = served
    strip = np.random.default_rng(0).integers(120, 180, (32, 64), np.uint8)
    Image.fromarray(strip).save(tmp_path / "strip.png")
    page, other = tab(), tab()
    upload(page, "upload_surface", tmp_path / "strip.png", "upload:strip.png, 64 x 32 pixels")
    choose_class(page, "tear")
    page.wait_for_timeout(500)  # the editor fades the surface in
    paint(page)
    for _ in range(2):  # what is painted holds for the next picture, too
        page.click("#draw")
        says(page, "Drawn in")
        page.wait_for_selector("#hybrid img")
        page.click("#keep")
        says(page, "Kept as images/tear/")
        page.locator("input[aria-label*='Right']").first.fill("5")
    first, second, surface = manifest(out)
    dataset.verify(out)
    assert first["studio"] and first["class"] == "tear" and first["surface"] == "upload:strip.png"
    assert np.array_equal(images.read_image(out / surface["file"], 1)[..., 0], strip)
    for record in (first, second):
        x, y, width, height = record["limit"]
        changed = images.read_image(out / record["file"], 1)[..., 0] != strip
        assert changed.any() and 0 < width < 32 and 0 < height < 32
        changed[y : y + height, x : x + width] = False
        assert not changed.any()

    other.click("#undo")
    says(other, "nothing to undo in this tab")
    other.click("#keep")
    says(other, "draw first")

    page.get_by_role("tab", name="Kept").click()
    page.locator("#kept button.thumbnail-item").first.click()
    says(page, f"{second['file']} is chosen")
    page.click("#remove")
    says(page, "is removed")
    assert [r["file"] for r in manifest(out) if r["synthetic"]] == [first["file"]]
    dataset.verify(out)
    page.click("#undo_there")
    says(page, "is kept again")
    assert [r["file"] for r in manifest(out)[:2]] == [first["file"], second["file"]]


def test_bad_uploads_are_told_in_words(tab, tmp_path):
    (tmp_path / "notes.png").write_text("no picture")
    Image.new("L", (20_000, 64)).save(tmp_path / "wide.png")
    colour = np.random.default_rng(0).integers(0, 256, (40, 40, 4), np.uint8)
    Image.fromarray(colour).save(tmp_path / "colour.png")
    page = tab()
    for name, words in {
        "notes.png": "notes.png: unreadable: whatever its suffix says, it is none of PNG",
        "wide.png": "wide.png: too wide: 20000 x 64 pixels",
        "colour.png": "It is in colour; the run learnt of grey pictures",
    }.items():
        upload(page, "upload_surface", tmp_path / name, words)
    upload(page, "upload_defect", tmp_path / "notes.png", "notes.png: unreadable")
    assert "Traceback" not in page.content()


def test_the_other_tabs_show_findings_and_report(tab):
    page = tab()
    page.get_by_role("tab", name="Data").click()
    page.click("#audit")
    page.wait_for_selector("#findings .say")
    assert "data.source=procedural" in page.inner_text("#findings")
    page.get_by_role("tab", name="Report").click()
    heading = page.frame_locator("iframe.report").locator("h1")
    heading.wait_for()
    assert heading.inner_text() == "The report runs"


def test_a_busy_port_is_one_line(run, capsys):
    taken = server.listen(0)
    port = taken.getsockname()[1]
    with taken:
        assert main([f"--workdir={run}", f"--port={port}", "--compilation_cache="]) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith(f"error: --port={port} of 127.0.0.1 is in use")
    assert "--port=0" in error
