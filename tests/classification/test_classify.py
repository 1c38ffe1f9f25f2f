"""Pins the experiment end to end: arms, the report, leaks, and bad input."""

import json
import shutil

import numpy as np
import pytest

from configs import classifier as classifier_config
from dtgan import images
from dtgan.classification import data, leaks, report, results, runner, settings, training
from dtgan.config import ConfigError
from dtgan.data.procedural import CLASSES, ProceduralSteel
from dtgan.exporting import networks
from dtgan.images import write_image
from dtgan.metrics import copies
from dtgan.models import backbones
from dtgan.pages import read, verdict
from dtgan.weights import published


def config(**fields):
    c = settings.base_config()
    c.data.res, c.data.scale_counts, c.seeds = 32, 0.03, 2
    c.train.steps, c.train.batch_size, c.train.val_every = 2, 8, 1
    for name, value in fields.items():
        c[name] = value
    return c


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory):
    """True transfers of other defects: extra images, two a class."""
    out = tmp_path_factory.mktemp("synthetic")
    source = ProceduralSteel("train", 32, seed=9)
    normal = int(np.flatnonzero(source.labels == 0)[0])
    for label, name in enumerate(CLASSES[1:], start=1):
        for k, index in enumerate(np.flatnonzero(source.labels == label)[:2]):
            write_image(out / f"images/{name}/{k}.png", source.transfer(int(index), normal + k)[0])
    return out


ARMS = ("real+classic", "real+paste", "real+synthetic+classic", "synthetic")


@pytest.fixture(scope="module")
def experiment(synthetic, tmp_path_factory):
    """(directory, content of verdict.json) of a small experiment."""
    out = tmp_path_factory.mktemp("verdict")
    return out, runner.run(config(arms=ARMS), out, str(synthetic))


def test_the_whole_experiment(experiment):
    (out, found), arms = experiment, ARMS
    for arm in arms:
        file = out / "classifiers" / f"{arm}.safetensors"
        state, _ = published.read(file, "resnet18", published.metadata(file)["sha256"])
        assert state["fc.weight"].shape == (7, 64)
    with np.load(out / "predictions.npz") as predictions:
        wrong = predictions["synthetic"] != predictions["truth"]
        assert wrong.mean() == pytest.approx(found["arms"]["synthetic"]["error"]["mean"])
    found = json.loads(json.dumps(found))
    assert tuple(found["arms"]) == arms
    assert (
        found["classes"] == list(CLASSES) and found["seeds"] == 2 and found["num_synthetic"] == 12
    )
    for name, arm in found["arms"].items():
        assert 0 <= arm["error"]["mean"] <= 1 and len(arm["error"]["ci95"]) == 2
        assert np.sum(arm["confusion"]) == 2 * found["num_test"]
        shown = {kind: sum(by_class.values()) for kind, by_class in arm["exposure"].items()}
        assert sum(shown.values()) == pytest.approx(2 * 8)
        assert (shown["synthetic"] > 0) == (name != "real+classic")
    # Without real defects, each one shown is synthetic.
    assert {n for n, k in found["arms"]["synthetic"]["exposure"]["real"].items() if k} <= {"normal"}
    assert found["verdict"]["arm"] in ("real+synthetic+classic", "synthetic")
    assert found["verdict"]["word"] in ("HELPS", "HARMS", "CANNOT TELL")
    lines = report.table(found)
    assert any(line.startswith("real+paste") for line in lines)
    assert any(line.startswith(found["verdict"]["word"]) for line in lines)
    picture = report.picture(found)
    assert picture.dtype == np.uint8 and picture.std() > 10


def test_a_page_tells_arms_and_classes(experiment):
    out, found = experiment
    with np.load(out / "predictions.npz") as predictions:
        described = verdict.describe(read.Verdict(out, found, dict(predictions), []))
    assert [arm["name"] for arm in described["arms"]] == list(ARMS)
    (best,) = [arm for arm in described["arms"] if arm["name"] == described["best"]]
    assert best["delta"] == pytest.approx(100 * found["verdict"]["delta"])
    assert best["delta_ci95"] == pytest.approx([100 * x for x in found["verdict"]["ci95"]])
    tested = [
        name for name, error in found["arms"]["real+classic"]["per_class_error"].items() if error
    ]
    assert [row["name"] for row in described["classes"]] == tested


def test_a_stopped_experiment_goes_on(experiment, synthetic, tmp_path, monkeypatch):
    """Killed after three of eight trainings: these are not done again, the outcome is the same."""
    out, expected = experiment
    train, calls = training.Trainer.train, []

    def dying(self, *args):
        calls.append(args)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return train(self, *args)

    monkeypatch.setattr(training.Trainer, "train", dying)
    with pytest.raises(KeyboardInterrupt):
        runner.run(config(arms=ARMS), tmp_path, str(synthetic))
    found = runner.run(config(arms=ARMS), tmp_path, str(synthetic))
    assert len(calls) == 4 + 8 - 3
    assert {**found, "seconds": 0} == {**expected, "seconds": 0}
    for arm in ARMS:
        file = f"classifiers/{arm}.safetensors"
        assert published.metadata(tmp_path / file) == published.metadata(out / file)  # with digests
    more = runner.run(config(arms=ARMS[:2], seeds=3), tmp_path, str(synthetic))
    assert len(calls) == 4 + 8 - 3 + 2 and more["seeds"] == 3
    other = config(arms=ARMS)
    other.optim.lr = 0.5
    with pytest.raises(ConfigError, match=r"holds an experiment with optim.lr=0.001"):
        runner.run(other, tmp_path, str(synthetic))


def test_sets_of_labels_are_scored_label_by_label(tmp_path):
    """A folder "dent+scar" shows both."""
    rng, lines = np.random.default_rng(0), ["file,split"]
    for name in ("normal", "dent", "scar", "dent+scar"):
        for k in range(6):
            image = rng.integers(0, 255, (32, 32, 1), np.uint8)
            images.write_image(tmp_path / f"data/images/{name}/{k}.png", image)
            lines.append(f"{name}/{k}.png,{('train', 'val', 'test')[k % 3]}")
    (tmp_path / "data/splits.csv").write_text("\n".join(lines) + "\n")
    c = config(arms=("real+classic",), multi_label=True, seeds=1)
    c.data.source, c.data.path = "folder", str(tmp_path / "data")
    found = runner.run(c, tmp_path / "out")
    assert found["classes"] == ["normal", "dent", "dent+scar", "scar", "another set"]
    arm = found["arms"]["real+classic"]
    assert arm["per_label_error"].keys() == {"normal", "dent", "scar"}
    assert np.shape(arm["confusion"]) == (5, 5) and arm["per_class_error"]["another set"] is None
    assert report.picture(found).std() > 10 and report.table(found)
    network = networks.load(tmp_path / "out", "classifier")
    assert network.about["classes"] == ["normal", "dent", "scar"] and network.about["multi_label"]


def test_no_verdict_without_a_synthetic_arm():
    wrong = {"real+classic": np.zeros((1, 3), bool)}
    found = results.judge([], wrong, np.zeros(3, int), np.arange(3))
    assert found is None and "no verdict" in report.verdict_line(found, 3)


def test_the_arm_is_chosen_by_validation_not_by_the_test_set():
    def part(**val_errors):
        arms = {
            name: results.Arm(None, np.array([error]), None, {}, 0)
            for name, error in val_errors.items()
        }
        return results.Part(None, arms, {}, None)

    names = "real+classic", "synthetic", "real+synthetic"
    first, second = (
        part(**dict(zip(names, errors, strict=True))) for errors in ((0, 0.1, 0.2), (0, 0.2, 0.1))
    )
    wrong = {name: np.zeros((2, 20), bool) for name in names}
    wrong["synthetic"][:, :10] = True
    fold = np.zeros(20, int)
    found = results.judge([first], wrong, fold, np.arange(20))
    assert (found["arm"], found["delta"]) == ("synthetic", 0.5)
    fold[5:] = 1  # where another arm is better on the validation images
    found = results.judge([first, second], wrong, fold, np.arange(20))
    assert (found["arm"], found["delta"]) == (["synthetic", "real+synthetic"], 0.25)
    assert "(synthetic, real+synthetic)" in report.verdict_line(found, 20)


@pytest.fixture(scope="module")
def records():
    c = config()
    return data.load(c)


def test_pasted_defects_are_those_of_the_masks(records):
    train = records.train
    pasted = data.paste(train, 5, seed=0)
    assert np.bincount(pasted.label).tolist() == [0, 5, 5, 5, 5, 5, 5]
    normals = train.image[train.label == 0]
    for image, mask in zip(pasted.image, pasted.mask, strict=True):
        outside = mask[None] == 0
        assert np.any(np.all(np.where(outside, normals == image, True), axis=(1, 2, 3)))
    assert data.paste(train._replace(has_mask=np.zeros_like(train.has_mask)), 5, 0) is None


def test_rare_classes_are_flipped_and_synthetic_images_counted(records, synthetic):
    train = records.train
    label, at_most = int(np.argmin(train.counts)), int(train.counts.min())
    more = data.oversample(train, at_most)
    assert more.counts[label] == 3 * at_most and len(more.ids) == len(more.label)
    first = int(np.flatnonzero(train.label == label)[0])
    flips = more.image[len(train.label) :]
    for flipped in (train.image[first][::-1], train.image[first][:, ::-1]):
        assert np.any(np.all(flips == flipped, axis=(1, 2, 3)))
    fakes = data.load(config(synthetic_counts="tear=2,mark=1"), str(synthetic)).synthetic
    assert fakes.counts.tolist() == [0, 0, 0, 1, 0, 2]
    for text, message in (
        ("tear=3", "holds 2"),
        ("tearr=1", "'tearr=1' is not"),
        ("tear", "'tear'"),
    ):
        with pytest.raises(ConfigError, match=message):
            data.limit(fakes, CLASSES, text)


@pytest.mark.parametrize("kind", ["exact", "flipped", "cropped"])
def test_leaks_are_found_and_named(records, kind):
    assert not leaks.find(records.test, records.train, "the training")
    stolen, _ = copies.planted(records.train.image[3:4], records.train.mask[3:4], kind, seed=2)
    test = records.test._replace(image=np.concatenate([stolen, records.test.image[1:]]))
    found = leaks.find(test, records.train, "the training")
    assert list(found) == [0] and records.train.ids[3] in found[0]
    with pytest.raises(
        ConfigError, match=r"1 of .* known from training; .* --drop_leaks\n"
    ) as error:
        leaks.refuse(found, test.ids)
    assert records.test.ids[0] in str(error.value)
    kept = records.without(found)
    assert len(kept.test.label) == len(kept.test_groups) == len(test.label) - 1
    assert list(kept.dropped) == [records.test.ids[0]] and records.test.ids[0] not in kept.test.ids


def test_all_leaks_are_listed_up_to_a_number():
    found, ids = dict.fromkeys(range(30), "why"), [f"{k}.png" for k in range(40)]
    with pytest.raises(ConfigError, match="30 of 40 test images") as error:
        leaks.refuse(found, ids)
    lines = str(error.value).split("\n")
    assert len(lines) == 1 + leaks.LISTED + 1 and lines[-1].strip() == "... and 10 more"
    assert "19.png: why" in lines[-2]


def test_a_set_made_from_test_images_is_refused(records, tmp_path):
    line = {"file": "x", "defect": records.test.ids[5], "surface": "train/normal/0"}
    (tmp_path / "manifest.jsonl").write_text(json.dumps(line) + "\n")
    found = leaks.find_sources(records.test, data.manifest_sources(tmp_path), "set")
    assert found == {5: "set was made from it"}


def test_bad_input_is_told_before_anything_is_trained(synthetic, tmp_path):
    def error(arms=("synthetic",), **sets):
        with pytest.raises(ConfigError) as caught:
            runner.run(config(arms=arms), tmp_path / "out", **sets)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    assert "needs --synthetic=DIR" in error()
    assert "does not exist" in error(synthetic=str(tmp_path / "none"))
    unknown = tmp_path / "unknown"
    shutil.copytree(synthetic, unknown)
    (unknown / "images/tear").rename(unknown / "images/tearr")
    assert "'tearr', which is not known here (did you mean 'tear'" in error(synthetic=str(unknown))
    test = str(unknown / "images")
    assert "--test" in error(synthetic=str(synthetic), test=test)
    (unknown / "plan.json").write_text("{}")
    assert "is not complete" in error(synthetic=str(unknown))
    assert "arm 'sythetic' does not exist (did you mean 'synthetic'" in error(arms=("sythetic",))


def test_a_class_absent_from_validation_is_refused(tmp_path):
    rng = np.random.default_rng(0)
    lines = ["file,split"]
    for name, splits in (("normal", ("train", "val", "test")), ("dent", ("train", "test", "test"))):
        for k, split in enumerate(splits):
            path = f"images/{name}/{k}.png"
            images.write_image(tmp_path / path, rng.integers(0, 255, (32, 32, 1), np.uint8))
            lines.append(f"{name}/{k}.png,{split}")
    (tmp_path / "splits.csv").write_text("\n".join(lines) + "\n")
    c = config()
    c.data.source, c.data.path = "folder", str(tmp_path)
    with pytest.raises(ConfigError, match="the val split holds no image of class 'dent'"):
        data.load(c)
    table = tmp_path / "splits.csv"
    table.write_text(table.read_text().replace("dent/1.png,test", "dent/1.png,val"))
    table.write_text(table.read_text().replace("dent/2.png,test", "dent/2.png,val"))
    with pytest.raises(ConfigError, match=r"the test split .* class 'dent'; .* \(--test=DIR\)"):
        data.load(c)
    table.write_text(table.read_text().replace(",test", ",val"))
    with pytest.raises(ConfigError, match=r"the test split of .* holds no images; .* --test=DIR"):
        data.load(c)


def test_generated_masks_are_read_whatever_those_of_the_data_mean(synthetic, tmp_path):
    shutil.copytree(synthetic, tmp_path, dirs_exist_ok=True)
    mask = np.zeros((32, 32, 1), np.uint8)
    mask[4:9, 4:9] = 255
    write_image(tmp_path / "masks/tear/0.png", mask)
    c = config()
    c.data.mask_values = "100:tear"
    made = data.load(c, str(tmp_path)).synthetic
    assert made.mask[list(made.ids).index("images/tear/0.png")].sum() == mask.sum()
    c.data.scale_to = 48  # of the real pictures: generated crops are scaled already
    scaled = data.load(c, str(tmp_path)).synthetic
    assert np.array_equal(scaled.image, made.image)


@pytest.mark.parametrize("arg", ["", "quick", "thesis", "dfmgan", "defect_gan"])
def test_every_config_is_valid(arg):
    c = classifier_config.get_config(arg)
    settings.validate(c)
    assert c.net in backbones.BACKBONES
    with pytest.raises(ConfigError, match="momentun"):
        classifier_config.get_config("momentun")


def test_the_protocols_of_papers_show_synthetic_images_to_the_end():
    for arg in ("thesis", "defect_gan"):
        assert classifier_config.get_config(arg).train.synthetic_until == 1.0


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("net", "resnet19", "net='resnet19' is not one of"),
        ("seeds", 0, "seeds=0 is not above 0"),
        ("arms", ("real", "real"), "name each arm once"),
    ],
)
def test_impossible_settings_are_refused(name, value, message):
    with pytest.raises(ConfigError, match=message):
        settings.validate(config(**{name: value}))


def test_masks_of_a_run_are_not_for_classifiers():
    c = settings.base_config()
    c.data.masks_from = "runs/layered"
    with pytest.raises(
        ConfigError, match=r"copy the masks of such a run into masks/ of the folder"
    ):
        settings.validate(c)
