"""Pins what benchmarks compute themselves: recovery, and how the null experiments draw."""

import datetime
import json
import re
import types

import numpy as np
import pytest

from benchmarks import choosing as bench
from benchmarks import few_shot, folds, record
from dtgan.classification import choosing, runner, settings, verdict
from dtgan.config import base_config
from dtgan.data import catalog
from dtgan.data.procedural import CLASSES, ProceduralSteel, files
from tests.classification import toys


def test_a_result_tells_how_it_came_about(tmp_path, monkeypatch):
    words = ["a/benchmarks/copies.py", "--res=32", f"--out={tmp_path}/a b", "--ways=x y"]
    monkeypatch.setattr("sys.argv", words)
    record.write(tmp_path / "results/copies.json", {"rows": 3})
    told = json.loads((tmp_path / "results/copies.json").read_text())
    asked = "launch/run.sh python -m benchmarks.copies --res=32 --out='DIR/a b' --ways='x y'"
    assert told["rows"] == 3 and told["run"]["commands"] == [asked]
    assert re.fullmatch(r"[0-9a-f]{7,}(-dirty)?|unknown", told["run"]["commit"])
    assert datetime.date.fromisoformat(told["run"]["date"])
    assert record.commit(tmp_path) == "unknown"  # no clone; the result is written all the same


def test_recovery_is_the_share_of_the_oracles_gain():
    """Errors on 40, 30 and 20 of 100 images, the same in all seeds: half of the gain."""
    wrong = [np.tile(np.arange(100) < number, (3, 1)) for number in (40, 30, 20)]
    found = few_shot.recovery(*wrong)
    assert found["value"] == pytest.approx(0.5) and found["undefined"] == 0
    # Of m ~ Binomial(k, 1/2) images of the k that the oracle gains: 20 +- 4 of 100.
    low, high = found["ci95"]
    assert 0.2 < low < 0.35 and 0.65 < high < 0.8
    assert few_shot.recovery(wrong[0], wrong[2], wrong[2])["ci95"] == pytest.approx([1, 1])
    assert few_shot.recovery(wrong[0], wrong[0], wrong[2])["ci95"] == pytest.approx([0, 0])


def test_there_is_no_recovery_where_the_oracle_gains_nothing():
    wrong = np.tile(np.arange(50) < 10, (2, 1))
    found = few_shot.recovery(wrong, wrong, wrong)
    assert found == {"value": None, "ci95": None, "undefined": 1.0}


def test_the_learning_curve_is_a_table():
    error = {"error": {"mean": 0.25, "ci95": [0.2, 0.3]}}
    rows = {
        12: {
            "errors": dict.fromkeys(few_shot.CURVES, error),
            "recovery": {"value": 0.5, "ci95": [0.25, 0.75], "undefined": 0.0},
        }
    }
    assert few_shot.table(rows)[-1] == "| 12 | 25.0 | 25.0 | 25.0 | 0.50 [0.25, 0.75] |"


def test_a_fold_tells_its_refusals_and_masks(tmp_path):
    def drawn(name, **refused):
        return json.dumps(
            {"synthetic": True, "class": name, "recognised": None, "refused": refused}
        )

    model, images = tmp_path / "gan_0", tmp_path / "set_0"
    images.mkdir()
    normal = json.dumps({"synthetic": False, "class": "normal"})
    lines = drawn("crack", cut=1), drawn("crack", cut=2, empty=1), drawn("break"), normal
    (images / "manifest.jsonl").write_text("\n".join(lines) + "\n")
    found = folds.fold(model, images)
    assert list(found) == ["refused"] and set(found["refused"]) == {"crack", "break"}
    assert {k: n for k, n in found["refused"]["crack"].items() if n} == {"cut": 3, "empty": 1}

    (model / "eval").mkdir(parents=True)
    masks = dict.fromkeys(folds.MASK, 0.5)
    scores = masks | {"mask_threshold": 0.1, "mask_miou": 0.25, "per_class": {"crack": masks}}
    (model / "eval/20.json").write_text(json.dumps({"step": 20, "transfer": scores}))
    found = folds.fold(model, images)
    assert found["all"] == found["per_class"]["crack"] == masks and found["mask_miou"] == 0.25


@pytest.mark.parametrize("name", folds.EXPERIMENTS)
def test_results_in_folds_are_those_of_the_settings_here(name):
    experiment = folds.EXPERIMENTS[name]
    file = record.ROOT / "benchmarks/results" / experiment.file
    assert json.loads(file.read_text())["run"]["commands"] == folds.told(name, experiment)


def test_groups_are_drawn_whole_and_count_anew():
    groups = np.array([0, 0, 0, 1, 2, 2])
    rows, drawn = bench.resample(groups, np.random.default_rng(1))
    assert len(set(drawn)) == 3
    for number in range(3):
        own = rows[drawn == number]
        assert np.array_equal(np.flatnonzero(groups == groups[own[0]]), own)


def test_procedural_folders_are_read_as_they_were_written(tmp_path):
    files.write_real(tmp_path, 32, {"train": 2, "val": 1, "test": 1}, seed=3)
    config = base_config()
    config.data.update(source="folder", path=str(tmp_path), res=32)
    source = catalog.open_source(config, "train")
    assert np.bincount(source.labels).tolist() == [6] + [2] * 6
    assert sorted(source.classes) == sorted(CLASSES)
    counts = dict.fromkeys(CLASSES, 2) | {"normal": 6}
    made = ProceduralSteel("train", 32, seed=3, counts=counts)
    assert np.array_equal(source[0]["image"], made[0]["image"])
    files.write_set(tmp_path / "set", made, [("tear", 7), ("mark", 8)])
    found = sorted(path.relative_to(tmp_path / "set") for path in tmp_path.glob("set/*/*/*"))
    assert [str(path) for path in found] == ["images/mark/0008.png", "images/tear/0007.png"]


@pytest.fixture
def trainer(monkeypatch):
    toy = toys.Nearest()
    toy.config = settings.base_config()
    monkeypatch.setattr(runner, "Trainer", lambda *_: toy)
    monkeypatch.setattr(runner, "best_state", lambda trained: {"means": trained.variables})
    return toy


def test_the_learning_curve_compares_three_arms(trainer, tmp_path):
    files.write_real(tmp_path / "real", 32, {"train": 2, "val": 2, "test": 3})
    for name, seed in (("oracle", 1), ("synthetic", 2)):
        counts = dict.fromkeys(CLASSES, 3)
        made = ProceduralSteel("train", 32, seed=seed, counts=counts)
        shown = [(CLASSES[label], k) for k, label in enumerate(made.labels) if label]
        files.write_set(tmp_path / name, made, shown)
    args = types.SimpleNamespace(res=32, steps=2, seeds=2, choose=False)
    row = few_shot.compare(tmp_path, args)
    assert row["errors"].keys() == few_shot.CURVES.keys() and row["verdict"]["arm"] == few_shot.ARM
    assert trainer.trained == 2 * 3  # the baseline once for both
    assert few_shot.compare(tmp_path, args) == row and trainer.trained == 2 * 3
    assert few_shot.table({2: row})[-1].startswith("| 2 | ")


def test_planted_sets_and_nulls_run_and_go_on(trainer, tmp_path, monkeypatch):
    for name, value in {
        "TRAIN": 2,
        "VAL": 5,
        "EXTRA": 4,
        "PARTS": 9,
        "SEEDS": 2,
        "NULLS": 3,
    }.items():
        monkeypatch.setattr(bench, name, value)
    config = settings.base_config()
    config.data.source, config.data.res = "folder", 32
    found = bench.planted(config, tmp_path / "set", 1, trainer)
    assert found["harmful"] == CLASSES[2] and found["runs"] == trainer.trained == 12
    shown = sorted(
        path.name for path in (tmp_path / f"set/synthetic/images/{CLASSES[2]}").iterdir()
    )
    others = {path.name for path in tmp_path.glob("set/synthetic/images/*/*")}
    assert len(shown) == 4 and set(shown) < others
    assert bench.planted(config, tmp_path / "set", 1, trainer) == found and trainer.trained == 12
    told = bench.null(config, tmp_path / "null", trainer)
    assert told["simulations"] == 3 and told["groups"] == 9 and told["test_images"] == 63
    assert trainer.trained == 12 + 3 * 4


def simulated(rng, chance, parts, seeds):
    """bool [seeds, N] errors: images of a part, and all of a training, are alike."""
    label, hardness = chance
    noise = rng.normal(0, 0.3, (seeds, 1)) + rng.normal(0, 0.3, (seeds, 4))[:, label]
    noise = noise + rng.normal(0, 0.5, (seeds, parts.max() + 1))[:, parts]
    return rng.random(noise.shape) < 1 / (1 + np.exp(-(hardness - 2.5 + noise)))


def test_false_help_is_rare_with_folds_groups_and_a_search(monkeypatch):
    """200 experiments of three folds, 12 parts of 4 images each, in which nothing helps.

    Each fold's search leaves out what chance makes look harmful, and all classes left out make the
    chosen arm the baseline.
    """
    monkeypatch.setattr(verdict, "RESAMPLES", 400)
    rng, words, left_out = np.random.default_rng(0), [], []
    parts = np.repeat(np.arange(12), 4)
    label = np.tile(np.arange(4), 12)
    runs = choosing.design(4)
    for number in range(200):
        arm, other = [], []
        for _ in range(3):
            chance = label, rng.normal(0, 1.5, 48) + rng.normal(0, 1, 12)[parts]
            seen = label, rng.normal(0, 1.5, 48) + rng.normal(0, 1, 12)[parts]
            errors = simulated(rng, seen, parts, len(runs))
            found, _ = choosing.judge(runs, errors, label, parts, [1, 2, 3], 0.9)
            left_out.append(sum(map(choosing.harms, found.values())))
            other.append(simulated(rng, chance, parts, 5))
            arm.append(other[-1] if left_out[-1] == 3 else simulated(rng, chance, parts, 5))
        groups = np.concatenate([parts + 12 * fold for fold in range(3)])
        told = verdict.compare(np.concatenate(arm, 1), np.concatenate(other, 1), groups, number)
        words.append(told["word"])
    assert words.count(verdict.HELPS) <= 10 and words.count(verdict.HARMS) <= 10
    assert np.mean(left_out) / 3 < 0.16
