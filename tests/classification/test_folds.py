"""Pins the verdict over folds: what is pooled, resumed and left out, and bad input."""

import json
import shutil

import numpy as np
import pytest

from dtgan.classification import report, runner, settings
from dtgan.config import ConfigError
from dtgan.images import write_image
from tests.classification import toys

CLASSES = ("normal", "dent", "scar")
PARTS = 12  # a class, of two pictures each
ARMS = (settings.BASELINE, "real+synthetic", settings.CHOSEN)
NAMES = ("first", "second")


def picture(level, seed):
    rng = np.random.default_rng(seed)
    return np.clip(rng.normal(80 * level + 45 + rng.normal(0, 25), 20, (32, 32, 1)), 0, 255)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A real set, and synthetic ones for three folds."""
    root = tmp_path_factory.mktemp("files")
    for level, name in enumerate(CLASSES):
        for k in range(2 * PARTS):
            path = root / f"real/images/{name}/{name}{k // 2:02d}_{k % 2}.png"
            write_image(path, picture(level, 100 * level + k).astype(np.uint8))
        for k in range(3 * 5 * bool(level)):
            path = root / f"set_{k % 3}/images/{name}/{k}.png"
            write_image(path, picture(level, 1000 + 100 * level + k).astype(np.uint8))
    return root


def config(files, **fields):
    c = settings.base_config()
    c.data.source, c.data.path, c.data.res = "folder", str(files / "real"), 32
    c.data.group, c.data.fractions = "^([a-z]+[0-9]+)", (0.5, 0.3, 0.2)
    c.arms, c.seeds, c.choose.least = ARMS, 2, 4
    c.update(fields)
    return c


@pytest.fixture(autouse=True)
def trainer(monkeypatch):
    toy = toys.Nearest()

    def make(config, *_):
        toy.config = config
        return toy

    monkeypatch.setattr(runner, "Trainer", make)
    monkeypatch.setattr(runner, "best_state", lambda trained: {"means": trained.variables})
    return toy


def test_every_real_image_is_tested_once_and_all_folds_are_pooled(files, trainer, tmp_path):
    found = runner.run(config(files), tmp_path, str(files / "set_{fold}"), folds=3)
    with np.load(tmp_path / "predictions.npz") as answers:
        answers = dict(answers)
    ids = [f"{c}/{c}{k // 2:02d}_{k % 2}.png" for c in CLASSES for k in range(2 * PARTS)]
    assert sorted(answers["ids"]) == sorted(ids)
    # The two pictures of a part are in one fold and in one group, of which there are 36.
    part = [name[:-6] for name in answers["ids"]]
    pairs = set(zip(part, answers["groups"], answers["fold"], strict=True))
    assert len(pairs) == len({group for _, group, _ in pairs}) == 3 * PARTS
    assert found["verdict"]["groups"] == 3 * PARTS
    assert found["verdict"]["arm"] == settings.CHOSEN and found["num_test"] == 6 * PARTS
    wrong = answers[settings.BASELINE] != answers["truth"]
    assert wrong.shape == (2, 6 * PARTS)
    assert found["arms"][settings.BASELINE]["error"]["mean"] == pytest.approx(wrong.mean())
    for k, fold in enumerate(found["folds"]):
        own = wrong[:, answers["fold"] == k].mean()
        assert fold["arms"][settings.BASELINE]["error"]["mean"] == pytest.approx(own)
        assert (tmp_path / f"fold_{k}/experiment.json").exists()
    assert [choice["runs"] for choice in found["choice"]] == [12] * 3
    lines = report.table(json.loads(json.dumps(found)))
    assert "72 test images in 3 folds, each of " in lines[0] and any(
        line.startswith("fold 2: choice:") for line in lines
    )
    assert report.picture(found).std() > 10
    # 3 folds of 2 arms and the chosen one from 2 seeds, and their searches; none of them again.
    assert trainer.trained == 3 * (3 * 2 + 12)
    again = runner.run(config(files), tmp_path, str(files / "set_{fold}"), folds=3)
    assert trainer.trained == 3 * (3 * 2 + 12)
    assert {**again, "seconds": 0} == json.loads(json.dumps({**found, "seconds": 0}))


def test_with_all_classes_left_out_the_chosen_arm_is_the_baseline(files, tmp_path, monkeypatch):
    monkeypatch.setattr(runner.choosing, "harms", lambda effect: True)
    c = config(files)
    c.data.fold = "0/3"
    found = runner.run(c, tmp_path, str(files / "set_0"))
    with np.load(tmp_path / "predictions.npz") as answers:
        assert np.array_equal(answers[settings.CHOSEN], answers[settings.BASELINE])
    assert found["choice"]["left_out"] == ["dent", "scar"]
    assert (found["verdict"]["delta"], found["verdict"]["word"]) == (0.0, "CANNOT TELL")


def test_leaks_are_refused_together_or_left_out_by_name(files, tmp_path):
    c = config(files, arms=(settings.BASELINE, "real+synthetic"))
    c.data.fold = "0/3"
    runner.run(c, tmp_path / "first", str(files / "set_0"))
    with np.load(tmp_path / "first/predictions.npz") as answers:
        dents = [name for name in answers["ids"] if name.startswith("dent")][:2]
    leaking = tmp_path / "set"
    shutil.copytree(files / "set_0", leaking)
    for k, name in enumerate(dents):
        shutil.copyfile(files / "real/images" / name, leaking / f"images/dent/copy{k}.png")
    with pytest.raises(ConfigError, match=r"2 of .* --drop_leaks") as error:
        runner.run(c, tmp_path / "second", str(leaking))
    assert all(name in str(error.value) for name in dents)
    found = runner.run(c, tmp_path / "second", str(leaking), drop_leaks=True)
    assert list(found["dropped"]) == dents and "the same pixels" in found["dropped"][dents[0]]
    with np.load(tmp_path / "second/predictions.npz") as answers:
        assert not set(dents) & set(answers["ids"]) and len(answers["ids"]) == found["num_test"]
    lines = report.table(found)
    assert lines[-3].startswith("left out of the test, 2") and dents[1] in lines[-1]


def test_another_set_takes_the_real_arms_of_an_experiment(files, trainer, tmp_path):
    c, sets = config(files, arms=ARMS[:2]), str(files / "set_{fold}")
    runner.run(c, tmp_path / "first", sets, folds=3)
    before = trainer.trained
    assert before == 3 * 2 * 2
    other = tmp_path / "sets/set_{fold}"
    for k in range(3):  # other images of the same numbers
        shutil.copytree(files / f"set_{(k + 1) % 3}", str(other).replace("{fold}", str(k)))
    c.train.synthetic_share, baseline = 0.3, str(tmp_path / "first")
    found = runner.run(c, tmp_path / "second", str(other), folds=3, baseline=baseline)
    assert trainer.trained == before + 3 * 2, "real+synthetic alone is trained"
    for fold in range(3):
        files_of = (tmp_path / name / f"fold_{fold}/arms/real+classic/0.npz" for name in NAMES)
        first, second = (file.read_bytes() for file in files_of)
        assert first == second
        classifier = tmp_path / f"second/fold_{fold}/classifiers/real+classic.safetensors"
        assert classifier.exists()
    assert found["arms"].keys() == set(ARMS[:2])


def test_a_baseline_of_other_images_or_settings_is_refused(files, trainer, tmp_path):
    c, set_0 = config(files, arms=ARMS[:2]), str(files / "set_0")
    c.data.fold = "0/3"
    runner.run(c, tmp_path / "first", set_0)
    before = trainer.trained

    def error(baseline="first", **fields):
        other = c.copy_and_resolve_references()
        other.update_from_flattened_dict(fields)
        with pytest.raises(ConfigError) as caught:
            runner.run(other, tmp_path / "second", set_0, baseline=str(tmp_path / baseline))
        shutil.rmtree(tmp_path / "second", ignore_errors=True)
        assert "\n" not in str(caught.value) and trainer.trained == before
        return str(caught.value)

    assert "holds no experiment; give the --out of" in error(baseline="none")
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn/experiment.json").write_text("{")
    assert "holds no experiment; give the --out of" in error(baseline="torn")
    assert (tmp_path / "torn/experiment.json").read_text() == "{", "another's file stays"
    assert "was trained with train.steps=600, this one has train.steps=9" in error(
        **{"train.steps": 9}
    )
    assert "was trained with data.fold=0/3, this one has data.fold=1/3" in error(
        **{"data.fold": "1/3"}
    )


def test_bad_folds_are_told_before_anything_is_trained(files, trainer, tmp_path):
    def error(synthetic="set_{fold}", test="", folds=3, **fields):
        c = config(files)
        c.data.update(fields)
        with pytest.raises(ConfigError) as caught:
            runner.run(c, tmp_path, str(files / synthetic), test, folds)
        assert "\n" not in str(caught.value) and trainer.trained == 0
        return str(caught.value)

    assert "set_3 does not exist" in error(folds=4)
    assert "takes a set a fold, named by {fold}" in error(synthetic="set_0")
    assert "without --folds write its number" in error(folds=0)
    assert "--folds=1 is not 2 or more" in error(folds=1)
    assert "leave out --test" in error(test=str(files))
    assert "leave out data.fold" in error(fold="0/3")
    c = config(files, arms=(settings.BASELINE,))
    with pytest.raises(ConfigError, match=r"data.fold=0/13: class 'normal' has 12 groups of"):
        runner.run(c, tmp_path, folds=13)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("shares", (0.5, 0.2), "is not two shares 0 < low < high < 1"),
        ("shares", (0.5,), "is not two shares"),
        ("level", 1.0, "choose.level=1.0 is not between 0 and 1"),
        ("least", 0, "choose.least=0 is not above 0"),
    ],
)
def test_impossible_settings_of_the_search_are_refused(field, value, message):
    c = settings.base_config()
    c.choose[field] = value
    with pytest.raises(ConfigError, match=message):
        settings.validate(c)
