"""Pins pages of runs that are not whole, advice and its reasons, and bad input in one line."""

import base64
import io
import json

import numpy as np
import pytest
from PIL import Image

from dtgan import images, report
from dtgan.pages import advice, pictures, plots, read, verdict
from tests.pages import made_up


@pytest.fixture
def run(tmp_path):
    return made_up.run(tmp_path / "run")


def told(run, **parts):
    """The advice for a run, {what: why}."""
    return {one.what: one.why for one in advice.advise(read.run(run), **parts)}


def page(run, *flags):
    """The text of a run's page."""
    out = run / "report.html"
    assert report.main([f"--workdir={run}", f"--out={out}", *flags]) == 0
    return out.read_text()


@pytest.mark.parametrize("family", ["paste", "stackgan"])
def test_a_run_that_has_logged_nothing(family, tmp_path):
    run = made_up.run(tmp_path / "run", family=family)
    (run / "metrics.jsonl").unlink()
    for grid in (run / "samples").iterdir():
        grid.unlink()
    assert "There is nothing to show: this method has no parameters" in page(run)


def test_a_run_that_still_trains(tmp_path):
    run = made_up.run(tmp_path / "run", ended=False)
    assert "This run has not ended: what follows is its state at step 400" in page(run)
    assert "Let the training end" in told(run)


def test_data_that_are_gone_and_files_that_are_damaged(run):
    made_up.evaluation(run)
    (run.parent / "run-data/images").rename(run.parent / "elsewhere")
    (run / "summary.json").write_text("{")
    (run / "samples/400.png").write_text("no picture")
    (run / "eval/400-hybrids.png").unlink()
    text = page(run)
    assert "The data could not be opened" in text and "summary.json cannot be read" in text
    assert "Samples at step 300" in text and "Samples at step 400" not in text
    assert "This evaluation holds no pictures of hybrids" in text


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--workdir={root}/none"], "--workdir={root}/none does not exist"),
        (["--workdir={root}"], "--workdir={root} holds no run (config.json is missing)"),
        (["--set={root}"], "--set={root} holds no set"),
        (["--verdict={root}"], "--verdict={root} holds no verdict"),
        (["--workdir={root}/run", "--eval={root}/x"], "--eval={root}/x does not exist"),
        (["--workdir={root}/run", "--workdir={root}/run", "--set={root}"], "--set goes with one"),
        ([], "there is nothing to report on"),
        (["--workdir={root}/run", "--out={root}/run"], "--out={root}/run is a directory"),
    ],
)
def test_bad_input_is_one_line(run, flags, message, capsys):
    root = run.parent
    flags = ["--out=report.html", *(flag.format(root=root) for flag in flags)]
    assert report.main(flags) == 1
    (error,) = [x for x in capsys.readouterr().err.splitlines() if "reading folder" not in x]
    assert error.startswith("error: ") and message.format(root=root) in error


def test_an_evaluation_of_another_version_is_one_line(run, capsys):
    made_up.evaluation(run)
    (run / "eval/400.json").write_text(json.dumps({"overall": {"fid_matched": "many"}}))
    assert report.main([f"--workdir={run}", f"--out={run / 'x.html'}"]) == 1
    assert "400.json is not of this version of dtgan" in capsys.readouterr().err


def test_advice_follows_the_numbers(run):
    before = told(run)
    assert before["Train longer"].startswith("The validation score still fell by 25 %")
    assert "Score the model" in before and "Ask whether it helps" not in before
    made_up.evaluation(run, step=200, skill=0.05)
    after = told(run)
    assert "the run is at 400" in after["Score the newest checkpoint"]
    assert "0.05 [-0.05, 0.15]" in after["Train longer, or choose the layered model"]
    assert "share 40 %" in after["Check the masks before you use them as labels"]
    weak = next(what for what in after if "out of sets" in what)
    assert made_up.EVIL in weak and "Filter copies when you generate" in after


def test_a_verdict_by_class(tmp_path):
    found = read.verdict(made_up.verdict(tmp_path))
    described = verdict.describe(found)
    kinds = {row["name"]: row["kind"] for row in described["classes"]}
    assert kinds == dict(zip(made_up.CLASSES, ("open", "good", "bad"), strict=True))
    assert described["word"] == found.content["verdict"]["word"] == "CANNOT TELL"
    (arm,) = [arm for arm in described["arms"] if arm["name"] == "real+synthetic"]
    assert arm["delta"] == pytest.approx(100 * found.content["verdict"]["delta"])
    whats = [one.what for one in advice.advise(told=found, described=described)]
    assert whats == [f"Leave synthetic images of {made_up.CLASSES[2]} out", "Test on more images"]
    found.content["verdict"]["needed_test_images"] = found.content["num_test"]
    (*_, seeds) = advice.advise(told=found, described=described)
    assert seeds.what == "Train more seeds" and "--seeds=6" in seeds.command
    found.content["arms"]["real+classic"]["balanced_error"]["mean"] = 0.65  # guessing: 0.67
    advised = advice.advise(told=found, described=described)
    assert advised[-1].what == "Train the classifiers longer"
    (tmp_path / "predictions.npz").unlink()
    without = read.verdict(tmp_path)
    assert without.notes and verdict.describe(without)["arms"][1]["delta"] is None


def test_plots_read_no_mathematics_and_have_ids_of_their_own():
    rows = [{"step": 1, "loss/$x^": 1.0}, {"step": 2, "loss/$x^": float("nan")}]
    first, second = (plots.curves(name, rows, {"$x^ <b>": "loss/$x^"}) for name in "ab")
    assert "$x^ &lt;b&gt;" in first and 'clip-path="url(#' in first
    assert not {x for x in first.split('"') if x.startswith("url(#")} & set(second.split('"'))
    assert plots.curves("c", rows, {"other": "loss/other"}) is None
    assert plots.forest("d", [("t", 0.0, [plots.Estimate("a", None)])]) is None


def test_cells_are_what_was_tiled():
    cells = np.random.default_rng(0).integers(0, 256, (6, 5, 5, 1), np.uint8)
    found = pictures.cells(images.tile(cells, 3), 5, 3)
    assert np.array_equal(found.reshape(cells.shape), cells)
    with pytest.raises(ValueError, match="holds no 4 columns"):
        pictures.cells(images.tile(cells, 3), 5, 4)


def test_thumbnails_keep_their_shape_and_stay_small():
    def size(uri):
        return Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))).size

    assert size(pictures.thumbnail(np.zeros((100, 800, 1), np.uint8))) == (192, 24)
    assert size(pictures.thumbnail(np.zeros((1, 1000, 3), np.uint8))) == (192, 1)
    assert size(pictures.thumbnail(np.zeros((64, 64, 1), np.uint8))) == (64, 64)
