"""Pins the binary: report, table, scalars, resume after a kill, damage, and bad input."""

import json
import math
import time
import types

import numpy as np
import pytest

from dtgan import evaluate, images, mattes
from dtgan import report as report_verb
from dtgan.data.procedural import source
from dtgan.evaluation import context, transfer
from dtgan.generation import plan
from dtgan.methods.registry import make_method
from dtgan.pages import pictures

KEYS = {"step", "method", "data", "extractor", "overall", "per_class", "floor", "transfer"}
KEYS |= {
    "probes",
    "copies",
    "findings",
    "seconds",
    "images_per_second",
    "notes",
    "control",
    "lpips",
}
PER_CLASS = {"fid", "fid_64", "kid_x1e3", "kid_ci95", "mean_distance", "clustered_lpips"}
PER_CLASS |= {"precision", "recall", "num_real", "num_fake"}
TRANSFER = {"skill", "skill_ci95", "paste_skill", "poisson_skill", "background_mae"}
TRANSFER |= {"background_max", "mask_iou", "removal_skill"}


@pytest.fixture(scope="module")
def arguments(smoke_run, domain_weights):
    return [
        *(f"--workdir={smoke_run}", f"--weights={domain_weights[0]}"),
        *("--num_fake=24", "--num_pairs=18", "--compilation_cache="),
    ]


@pytest.fixture(scope="module")
def report(arguments, tmp_path_factory):
    """(report of the newest step, its directory)."""
    out = tmp_path_factory.mktemp("eval")
    assert evaluate.main([*arguments, f"--out={out}"]) == 0
    return json.loads((out / "4.json").read_text()), out


def numbers(value, path=""):
    """{path: number} of a report, without its timing."""
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    else:
        return {path: value} if isinstance(value, int | float) else {}
    return {
        key: number
        for name, inner in items
        if name not in ("seconds", "images_per_second")
        for key, number in numbers(inner, f"{path}/{name}").items()
    }


def assert_same(a, b):
    a, b = numbers(a), numbers(b)
    assert a.keys() == b.keys()
    assert all(math.isclose(a[k], b[k], rel_tol=1e-6, abs_tol=1e-6) for k in a)


def test_report_has_the_promised_keys_and_no_nan(report):
    scores, out = report
    assert scores.keys() >= KEYS
    assert list(scores["per_class"]) == ["scratch", "shell", "mark", "scoring", "tear", "notching"]
    for part in (*scores["per_class"].values(), scores["overall"], *scores["floor"].values()):
        assert isinstance(part, str) or part.keys() >= PER_CLASS or "scratch" in part
    assert scores["transfer"].keys() >= TRANSFER
    assert scores["data"]["split"] == "test" and scores["data"]["num_fake"] == 24
    assert scores["extractor"]["name"] == "domain-resnet18"
    assert all(math.isfinite(value) for value in numbers(scores).values())
    missing = [k for k, v in scores["per_class"]["shell"].items() if v is None]
    assert all(f"shell.{key}" in scores["notes"] for key in missing)
    assert (out / "4-copies.png").stat().st_size > 0 and not list(out.glob("cache/step-*"))


def test_hybrids_of_every_class_are_drawn_from_the_best_to_the_worst(report):
    scores, out = report
    shown = scores["gallery"]
    assert shown["columns"] == ["defect", "surface", "image", "mask", "real"]
    sheet = images.read_image(out / "4-hybrids.png")
    cells = pictures.cells(sheet, shown["side"], len(shown["columns"]))
    assert len(cells) == len(shown["rows"]) > 0
    for name in scores["per_class"]:
        rows = [row for row in shown["rows"] if row["class"] == name]
        assert [row["rank"] for row in rows] == sorted(row["rank"] for row in rows)
        distances = [row["distance"] for row in rows]
        assert None in distances or distances == sorted(distances)


def test_a_page_shows_the_run_with_these_scores(report, smoke_run, tmp_path):
    page, (scores, out) = tmp_path / "report.html", report
    flags = [f"--workdir={smoke_run}", f"--eval={out}", f"--out={page}"]
    assert report_verb.main(flags) == 0
    text = page.read_text()
    assert f"{scores['transfer']['skill']:.2f}" in text and text.count("best, distance") > 1


def test_references_bracket_the_model(report):
    references = report[0]["transfer"]["references"]
    assert references["oracle"]["overall"]["skill"] == 1.0
    assert references["oracle"]["overall"]["mask_iou"] == 1.0
    assert references["nothing"]["overall"]["skill"] == 0.0
    assert report[0]["transfer"]["paste_skill"] == references["paste"]["overall"]["skill"]


@pytest.mark.parametrize(("number", "expected"), [(64, 0.175), (63, 0.1), (0, None)])
def test_few_masks_do_not_choose_a_threshold(number, expected, monkeypatch):
    """Mattes are 0.3 on the defect and 0.05 beside it; generate's threshold stands in."""
    mask = np.zeros((64, 8, 8, 1), np.uint8)
    mask[:, 2:5, 2:5] = 255
    has_mask = np.arange(64) < number
    batch = {"mask": mask, "has_mask": has_mask, "label": np.ones(64, int)}
    soft = np.where(mask > 0, np.float32(0.3), np.float32(0.05))
    monkeypatch.setattr(transfer, "_pairs", lambda *_: [batch])
    monkeypatch.setattr(transfer, "_render", lambda *_: {"mask": soft})
    sampler = types.SimpleNamespace(method=types.SimpleNamespace(gives=("mask",)))
    held_out = types.SimpleNamespace(held_out="val")
    threshold, notes = transfer.mask_threshold(held_out, sampler)
    assert threshold == (expected and pytest.approx(expected))
    assert len(notes) == (number < 64)
    assert plan.Settings(1).mask_threshold == mattes.DRAWN == 0.1


def test_planted_collapse_and_planted_copies_are_exposed(report):
    scores, _ = report
    collapse = scores["control"]["collapse"]
    assert collapse["recall"] == 0 and collapse["clustered_lpips"] == 0
    assert scores["copies"]["planted"]["exact"]["rate"] == 1.0


def test_table_and_scalars(report, arguments, capsys):
    assert evaluate.main([*arguments, f"--out={report[1]}"]) == 0  # told again from the report
    table = capsys.readouterr().out
    for words in (
        "domain-resnet18",
        "scratch",
        "(oracle)",
        "(collapse)",
        "anchor:",
        "flagged as copies",
    ):
        assert words in table
    (events,) = report[1].glob("events.*")
    assert b"eval/overall/fid" in events.read_bytes()


def test_killed_job_gives_the_same_numbers(report, arguments, tmp_path, run_main):
    out = tmp_path / "eval"
    process = run_main(*arguments, f"--out={out}", module="dtgan.evaluate", devices=8)
    while not list(out.glob("cache/step-4/*.cache")) and process.poll() is None:
        time.sleep(0.01)
    process.kill()
    text, _ = process.communicate()
    assert not (out / "4.json").exists(), text
    assert evaluate.main([*arguments, f"--out={out}"]) == 0
    assert_same(json.loads((out / "4.json").read_text()), report[0])


def test_damaged_cache_is_rebuilt(report, arguments, caplog):
    scores, out = report
    for entry in (out / "cache" / "real").glob("*.cache"):
        data = bytearray(entry.read_bytes())
        data[len(data) // 2] ^= 255
        entry.write_bytes(data)
    assert evaluate.main([*arguments, f"--out={out}", "--force"]) == 0
    assert_same(json.loads((out / "4.json").read_text()), scores)


def test_watch_scores_every_step_and_ends_with_the_run(arguments, tmp_path, capsys):
    assert evaluate.main([*arguments, f"--out={tmp_path}", "--watch"]) == 0
    assert {path.name for path in tmp_path.glob("*.json")} == {"2.json", "4.json"}


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--workdir=nowhere"], "--workdir=nowhere does not exist"),
        (["--step=3"], "has no good checkpoint 3; good steps: 2, 4"),
        (["--step=last"], "--step=last is not latest, best, all or a number"),
        (["--extractor=inceptoin"], "--extractor=inceptoin is not one of domain, inception"),
        (["--extractor=inception", "--weights="], "nothing is downloaded: get pt_inception"),
        (["--extractor=inception"], "are of network 'domain-resnet18 32 px"),
        (["--lpips_weights=x"], "--lpips_weights goes with --lpips=alex, vgg, squeeze"),
        (["--watch", "--step=4"], "--watch scores every step; leave out --step"),
        (["--step=\u00b2"], "--step=\u00b2 is not latest"),
        (["--lpips=alex"], "nothing is downloaded: get alexnet-owt-7be5be79.pth"),
        (["--weights_sha256=12"], "asked for was 12"),
        (["--split=tset"], "--split=tset is not one of train, val, test"),
        (["--num_fake=0"], "--num_fake=0 is below 1"),
        (["--seed=-1"], "--seed=-1 is below 0"),
    ],
)
def test_bad_input_gets_one_line(arguments, flags, message, tmp_path, capsys):
    code = evaluate.main([*arguments, f"--out={tmp_path}", *flags])
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert code == 1 and error.startswith("error: ") and message in error


def test_other_data_than_those_of_the_run_are_refused(arguments, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(source, "VERSION", 2)
    assert evaluate.main([*arguments, f"--out={tmp_path}"]) == 1
    assert "the data in procedural are not those of the run" in capsys.readouterr().err


def test_a_run_that_draws_no_defects_is_refused_before_a_classifier_is_trained(
    smoke_run, tmp_path, monkeypatch, capsys
):
    def of_normals(*of):
        return make_method(*of)._replace(reads=("normal",))

    monkeypatch.setattr(context, "make_method", of_normals)
    monkeypatch.setattr(context.domain, "train", pytest.fail)
    assert evaluate.main([f"--workdir={smoke_run}", f"--out={tmp_path}"]) == 1
    assert "has learnt defect-free images in this run, it draws no" in capsys.readouterr().err


def test_other_question_does_not_overwrite_a_report(report, arguments, capsys):
    assert evaluate.main([*arguments, f"--out={report[1]}", "--num_fake=30"]) == 1
    assert "was made with other data and settings; use another --out" in capsys.readouterr().err
