"""Pins the binary: a complete labelled set, the same bytes however made, and bad input."""

import errno
import json
import shutil

import numpy as np
import pytest
from pycocotools.coco import COCO

from dtgan import generate, images
from dtgan.config import ConfigError, base_config
from dtgan.data import catalog, pipeline
from dtgan.data.folders.folder import FolderSource
from dtgan.generation import checks, dataset, runner, tally
from tests import smoke

STRONG = "--strength=60"  # the smoke run has hardly been trained: its mattes are nearly clear


pytestmark = pytest.mark.usefixtures("small_blocks")


@pytest.fixture(scope="module")
def arguments(smoke_run):
    return [f"--workdir={smoke_run}", "--num_per_class=3", STRONG, "--compilation_cache="]


@pytest.fixture(scope="module")
def whole(arguments, tmp_path_factory):
    """A complete set."""
    out = tmp_path_factory.mktemp("set") / "whole"
    assert generate.main([*arguments, f"--out={out}", "--mvtec"]) == 0
    return out


def contents(out):
    return {
        str(path.relative_to(out)): path.read_bytes()
        for path in sorted(out.rglob("*"))
        if path.is_file()
    }


def folder(path):
    data = base_config().data
    data.path = str(path)
    return FolderSource(data)


def manifest(out):
    return [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]


def test_records_say_what_the_files_are(whole):
    fakes = [record for record in manifest(whole) if record["synthetic"]]
    assert [r["number"] for r in fakes] == list(range(18))
    assert {r["class"] for r in fakes} == set(folder(whole).classes) - {"normal"}
    for r in fakes:
        mask = images.read_image(whole / r["mask"], 1)
        x3, x4 = (images.read_image(whole / r[name], 1).astype(int) for name in ("file", "twin"))
        soft = images.read_image(whole / r["soft_mask"], 1)
        assert r["area"] == (mask > 0).sum() >= 4
        x, y, width, height = r["box"]
        assert (mask[y : y + height, x : x + width] > 0).sum() == r["area"]
        assert np.all((x3 == x4)[soft == 0]) and np.any(x3 != x4)
        surface = whole / f"images/normal/normal_{r['surface_index']:06d}.png"
        np.testing.assert_array_equal(x4, images.read_image(surface, 1))
        assert 0 <= r["copy_score"] < 1 and len(r["checkpoint"]) == 64
        assert r["contrast"] >= 1.0 and r["recognised"] in (True, False)
        assert set(r["refused"]) == set(tally.REASONS)
        assert 0.85 <= r["varied"]["scale"][0] <= 1.18 and -4 <= r["varied"]["rotate"] <= 4
        assert r["defect"].split("/")[1] == r["class"]
    surfaces = {r["surface_index"] for r in manifest(whole) if not r["synthetic"]}
    assert surfaces == {r["surface_index"] for r in fakes}


def test_other_readers_read_the_set(whole):
    coco = COCO(whole / "annotations/instances_train.json")
    records = {r["file"].removeprefix("images/"): r for r in manifest(whole)}
    pictures = coco.loadImgs(coco.getImgIds())
    assert [picture["file_name"] for picture in pictures] == list(records)
    for picture in pictures:
        file, found = picture["file_name"], coco.loadAnns(coco.getAnnIds([picture["id"]]))
        named = [{"box": annotation["bbox"], "area": annotation["area"]} for annotation in found]
        assert named == records[file].get("instances", [])
        label = (whole / "labels" / file).with_suffix(".txt")
        numbers = [int(line.split()[0]) + 1 for line in label.read_text().splitlines()]
        assert numbers == [annotation["category_id"] for annotation in found]
        if records[file]["synthetic"]:
            mask = images.read_image(whole / records[file]["mask"], 1)[..., 0]
            drawn = np.any([coco.annToMask(annotation) for annotation in found], axis=0)
            assert len(found) and not drawn[mask == 0].any()
            (category,) = coco.loadCats({annotation["category_id"] for annotation in found})
            assert category["name"] == records[file]["class"]
    source = folder(whole)
    assert all(source[i]["mask"].any() == (source[i]["label"] > 0) for i in range(len(source)))


def test_the_mvtec_tree_tests_on_surfaces_that_it_does_not_train_on(whole):
    parts = {"train": set(), "test": set()}
    for r in manifest(whole):
        name = r["file"].rpartition("/")[2]
        folder = r["class"] if r["synthetic"] else "good"
        for part, surfaces in parts.items():
            linked = whole / "mvtec" / part / folder / name
            if linked.exists():
                surfaces.add((folder == "good", r["surface_index"]))
                assert linked.read_bytes() == (whole / r["file"]).read_bytes()
        truth = whole / "mvtec/ground_truth" / folder / name.replace(".png", "_mask.png")
        assert truth.exists() == (whole / "mvtec/test" / folder / name).exists() & r["synthetic"]
    train, test = ({index for _, index in part} for part in parts.values())
    assert not train & test and 0 <= len(test) - len(train) <= 1
    assert {index for good, index in parts["test"] if good} == test  # test/good has all of them
    assert all(good for good, _ in parts["train"])


def test_the_whole_mask_may_be_the_instance(arguments, tmp_path, capsys):
    arguments = [*arguments, "--classes=tear", f"--out={tmp_path / 'set'}"]
    assert generate.main([*arguments, "--instances=whole"]) == 0
    for r in manifest(tmp_path / "set"):
        if r["synthetic"]:
            assert r["instances"] == [{"box": r["box"], "area": r["area"]}]
    assert generate.main(arguments) == 1
    assert "instances=whole, this one has instances=parts" in capsys.readouterr().err


def test_a_run_trains_on_the_set(whole, run_main, tmp_path):
    data = ["--config.data.source=folder", f"--config.data.path={whole}"]
    share = (
        "--config.data.fractions=(0.34,0.33,0.33)"  # of three images a class, one for each split
    )
    config = "--config=tests/smoke.py"
    run = run_main(config, *data, share, "--config.train.duration=1steps", f"--workdir={tmp_path}")
    output, _ = run.communicate(timeout=300)
    assert run.returncode == 0, output
    assert "tear 1" in output and "done" in output


def test_a_complete_set_notices_what_is_gone_or_changed(whole, arguments, tmp_path, capsys):
    out = shutil.copytree(whole, tmp_path / "set")
    again = [*arguments, f"--out={out}", "--mvtec"]
    assert generate.main(again) == 0
    assert "waits for" not in capsys.readouterr().out  # it is finished, and does not wait
    assert generate.main([f"--out={out}", "--verify"]) == 0
    victim = next((out / "images/tear").iterdir())
    victim.write_bytes(victim.read_bytes()[:-1])
    for command in (again, [f"--out={out}", "--verify"]):
        assert generate.main(command) == 1
        error = capsys.readouterr().err
        assert f"is not as it was made: images/tear/{victim.name} has changed; " in error
    victim.unlink()
    (out / "manifest.jsonl").unlink()
    assert generate.main([f"--out={out}", "--verify"]) == 1
    assert "is missing (and 1 more)" in capsys.readouterr().err
    (out / "_SUCCESS").unlink()
    assert generate.main([f"--out={out}", "--verify"]) == 1
    assert "is not complete" in capsys.readouterr().err


def test_changed_data_are_refused(arguments, tmp_path, monkeypatch, capsys):
    known = runner.checkpoints.read_json_item

    def other(workdir, step, item):
        found = known(workdir, step, item)
        return found | {"fingerprint": "0123"} if item == "data" else found

    monkeypatch.setattr(runner.checkpoints, "read_json_item", other)
    assert generate.main([*arguments, f"--out={tmp_path / 'set'}"]) == 1
    error = capsys.readouterr().err
    assert "are not those of the run (fingerprint 0123, now " in error and "--data_path" in error


def test_shards_and_a_kill_make_the_same_bytes(whole, arguments, tmp_path, monkeypatch, capsys):
    out = tmp_path / "set"
    arguments = [*arguments, f"--out={out}", "--mvtec"]
    assert generate.main([*arguments, "--shard=1/2"]) == 0
    assert "waits for the others" in capsys.readouterr().out
    assert not (out / "_SUCCESS").exists()

    # Killed while the second block of this shard was written: one file is missing, no part says so.
    write, seen = images.write_image, []

    def dying(path, image, **how):
        seen.append(path)
        if len(seen) > 30:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.with_name(f".{path.name}.9999999.part").write_bytes(b"half")
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        write(path, image, **how)

    monkeypatch.setattr(images, "write_image", dying)
    assert generate.main([*arguments, "--shard=0/2"]) == 1
    error = capsys.readouterr().err
    assert "cannot be written (No space left on device)" in error and "free some space" in error
    assert error.partition("error: ")[2].count("\n") == 1 and not (out / "_SUCCESS").exists()
    monkeypatch.setattr(images, "write_image", write)
    assert generate.main([*arguments, "--shard=0/2"]) == 0
    assert contents(out) == contents(whole)
    assert generate.main(arguments) == 0  # complete already
    assert contents(out) == contents(whole)


@pytest.mark.parametrize("at_once", [1, 2, 4])
def test_blocks_come_in_their_order_until_one_fails(at_once):
    def work(number):
        if number == 5:
            raise ConfigError("no more")
        return number

    assert list(runner._ahead(work, range(5), at_once)) == list(range(5))
    seen = []
    with pytest.raises(ConfigError, match="no more"):
        for number in runner._ahead(work, range(9), at_once):
            seen.append(number)
    assert seen == list(range(5))


def test_a_block_counts_once_its_files_are_on_disk(tmp_path, monkeypatch):
    waited = []
    monkeypatch.setattr(dataset, "sync_all", lambda paths: waited.append(sorted(paths)))
    made = dataset.Dataset(tmp_path / "set", {})
    finish = made.write(0, [{"file": "images/a/0.png"}], {"images/a/0.png": np.zeros((4, 4, 1))})
    assert not made.has(0) and not waited
    finish()
    assert made.has(0) and waited == [[tmp_path / "set/images/a/0.png"]]


def test_another_request_in_the_same_place_is_refused(whole, arguments, capsys):
    assert generate.main([*arguments, f"--out={whole}", "--mvtec", "--seed=1"]) == 1
    assert "holds a set with seed=0, this one has seed=1" in capsys.readouterr().err


def test_own_surfaces_and_defects(whole, arguments, tmp_path):
    surfaces, defects = tmp_path / "surfaces", tmp_path / "defects"
    shutil.copytree(whole / "images/normal", surfaces)
    shutil.copytree(whole / "images/tear", defects / "tear")
    out = tmp_path / "set"
    own = [f"--backgrounds={surfaces}", f"--references={defects}", "--classes=tear"]
    assert generate.main([*arguments, *own, f"--out={out}"]) == 0
    fakes = [r for r in manifest(out) if r["synthetic"]]
    assert len(fakes) == 3
    assert all((defects / r["defect"]).exists() for r in fakes)
    assert all((surfaces / r["surface"]).exists() for r in fakes)


def test_copies_are_replaced_and_counted(arguments, tmp_path, monkeypatch):
    calls = []

    def check(self, image, mask):
        calls.append(len(image))
        flagged = np.zeros(len(image), bool)
        flagged[0] = len(calls) == 1  # the first image of the first attempt
        return np.where(flagged, 0.995, 0.5), flagged

    monkeypatch.setattr(checks.CopyCheck, "__call__", check)
    arguments = [*arguments, "--classes=tear,mark", "--copy_filter", f"--out={tmp_path / 'set'}"]
    assert generate.main(arguments) == 0
    fakes = [r for r in manifest(tmp_path / "set") if r["synthetic"]]
    assert calls[0] <= 8 and all(number <= 8 for number in calls)
    assert [r["refused"]["copied"] for r in fakes] == [1, 0, 0, 0, 0, 0]
    assert all(r["copy_score"] == 0.5 for r in fakes)


def test_what_does_not_show_is_drawn_anew_and_counted(arguments, tmp_path, monkeypatch, capsys):
    """Whatever is measured first is called invisible; surfaces are drawn by likeness."""
    measure, calls = checks.Visibility.__call__, []

    def check(self, image, clean, mask, labels):
        calls.append(len(image))
        values, visible = measure(self, image, clean, mask, labels)
        return values, visible & (len(calls) > 1)

    monkeypatch.setattr(checks.Visibility, "__call__", check)
    out, flags = tmp_path / "set", ["--classes=tear,mark", "--surfaces=like", "--vary=strong"]
    assert generate.main([*arguments, *flags, f"--out={out}"]) == 0
    fakes = [r for r in manifest(out) if r["synthetic"]]
    assert len(fakes) == 6 and all(sum(r["refused"].values()) >= 1 for r in fakes)
    invisible = sum(r["refused"]["invisible"] for r in fakes)
    assert invisible >= 1 and f"{invisible} invisible" in capsys.readouterr().out


def test_copies_of_a_model_without_masks_are_judged_by_whole_images():
    """As if the held-out defects that calibrate the alarm had no masks either."""
    config = smoke.get_config()
    trained, held_out, other = (
        pipeline.load_records(config, source, np.flatnonzero(source.labels)[::4])
        for source in (catalog.open_source(config, split) for split in ("train", "val", "test"))
    )
    image, mask = other["image"], other["mask"]
    found = checks.CopyCheck(trained, held_out, masked=False)(image, mask)
    bare = held_out | {"has_mask": np.zeros_like(held_out["has_mask"])}
    expected = checks.CopyCheck(trained, bare)(image, mask)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(found[0], checks.CopyCheck(trained, held_out)(image, mask)[0])


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--classes=tea"], "'tea' is no defect class"),
        (["--backgrounds=EMPTY"], "holds no images"),
        (["--references=EMPTY"], "holds no defects"),
        (["--references=UNKNOWN"], "the class 'dent', which is not known here"),
        (["--backgrounds=BROKEN"], "broken.png: unreadable: whatever its suffix says"),
        (["--backgrounds=LARGE", "--max_megapixels=0.001"], "and studio --max_megapixels=0.002"),
        (["--references=UNLIKE"], "masks/tear/a.png: several values: 100 (512 pixels), 200"),
        (["--shard=2/2"], "not i/n"),
        (["--instances=pieces"], "--instances=pieces is not one of parts, whole"),
        (["--mvtec", "--backgrounds=ONE"], "--mvtec: the set stands on 1 surfaces"),
        (["--strength=1e-6"], "hybrids in a row were refused (60 empty"),
        (["--min_contrast=999"], "hybrids in a row were refused ("),
        (["--min_contrast=-1"], "--min_contrast=-1.0 is not 0 or more"),
        (["--min_contrast=2", "--no_visibility"], "does not go with --no_visibility"),
        (["--vary=wild"], "--vary=wild is not one of none, mild, strong"),
        (["--vary_scale=2,1"], "--vary_scale=2,1 is upside down"),
        (["--surfaces=same"], "--surfaces=same is not one of any, like"),
        (["--surface_temperature=0"], "--surface_temperature=0.0 is not above 0"),
        (["--limits=EMPTY"], "EMPTY holds no masks; put one there for each surface"),
        (["--out=FULL"], "is not empty and holds no such set"),
        (["--workdir=EMPTY"], "EMPTY holds no checkpoint; give the one that python -m dtgan.main"),
        (["--workdir=NOWHERE"], "NOWHERE does not exist; give the one that python -m dtgan.main"),
    ],
)
def test_bad_input_is_one_line(arguments, flags, message, tmp_path, capsys):
    for name in ("EMPTY", "UNKNOWN/dent", "BROKEN", "FULL", "ONE"):
        (tmp_path / name).mkdir(parents=True)
    images.write_image(tmp_path / "ONE/a.png", np.zeros((32, 32, 1), np.uint8))
    images.write_image(tmp_path / "UNKNOWN/dent/a.png", np.zeros((32, 32, 1), np.uint8))
    images.write_image(tmp_path / "LARGE/a.png", np.zeros((40, 40, 1), np.uint8))
    levels = np.repeat(np.array([100, 200], np.uint8), 16)[:, None, None].repeat(32, 1)
    for folder in ("images", "masks"):
        images.write_image(tmp_path / f"UNLIKE/{folder}/tear/a.png", levels)
    (tmp_path / "BROKEN/broken.png").write_text("text")
    (tmp_path / "FULL/letter.txt").write_text("text")
    flags = [
        f"{name}={tmp_path / value}" if value.isupper() else flag
        for flag in flags
        for name, _, value in [flag.partition("=")]
    ]
    assert generate.main([*arguments, f"--out={tmp_path / 'set'}", *flags]) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: ") and message in error
    assert not (tmp_path / "set" / "_SUCCESS").exists()
