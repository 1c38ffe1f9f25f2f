"""Pins masks that another run draws: what is drawn, told and kept, and what is refused."""

import json
import shutil

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from dtgan import mattes
from dtgan.config import ConfigError, base_config, shrink, validate
from dtgan.data import catalog
from dtgan.files import read_json
from dtgan.images import to_float
from dtgan.methods.registry import METHODS
from dtgan.methods.updates import masked_baseline, without_parameters
from dtgan.runs import checkpoints
from dtgan.sampling import sampler
from dtgan.training.loop import train_and_evaluate
from tests.data.folders import save
from tests.methods import toys

PLACE = slice(10, 20), slice(30, 44)  # of a bright defect in a picture of 32 x 64 pixels


def bright(config, classes):
    """A toy that takes for a defect what is bright in an image: the matte is its brightness."""

    def infer(ema, request, noise):
        x1, x2 = to_float(request["defect"]), to_float(request["surface"])
        matte = (jnp.mean(x1, axis=-1, keepdims=True) + 1.0) / 2.0
        return {"image": x2 + matte * (x1 - x2), "mask": matte, "clean": x2}

    needs, gives = ("defect", "surface"), ("image", "mask", "clean")
    return without_parameters(infer, needs=needs, gives=gives)


def counting(config, classes):
    """A toy that learns from masks: dots of the masks' mean, of the images that have one."""
    whole = toys.dots(config, classes)

    def step(state, batch):
        known = batch["has_mask"][:, None, None, None]
        return whole.phases[0].run(state, {"image": jnp.where(known, batch["mask"], 0)})

    phase = whole.phases[0]._replace(run=step)
    return whole._replace(reads=("image", "mask", "has_mask"), phases=(phase,))


@pytest.fixture(scope="module", autouse=True)
def with_toys():
    """The toys stand in the places, and have the fields, of three others."""
    with toys.registered():
        METHODS.update(square=bright, dots=counting)
        METHODS["tail"] = lambda config, classes: masked_baseline(bright(config, classes).infer)
        yield


def fill(root, masks=()):
    """A set of bright defects; the last two pits show nothing. masks: names of those with one."""
    rng = np.random.default_rng(0)
    for kind in ("normal", "pit", "rust"):
        for i in range(8):
            picture = rng.integers(40, 60, (32, 64), np.uint8)
            if kind != "normal" and not (kind == "pit" and i >= 6):
                picture[PLACE] += 160
            save(root / f"images/{kind}/{kind[0]}{i}.png", picture)
            if f"{kind[0]}{i}" in masks:
                mask = np.zeros_like(picture)
                mask[PLACE] = 255
                save(root / f"masks/{kind}/{kind[0]}{i}.png", mask)
    rows = [f"{f.parent.name}/{f.name}" for f in sorted((root / "images").glob("*/*"))]
    splits = {"0": "val", "1": "test"}
    lines = [f"{row},{splits.get(row[-5], 'train')}" for row in rows]
    (root / "splits.csv").write_text("\n".join(["file,split", *lines, ""]))
    return root


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return fill(tmp_path_factory.mktemp("data"))


def config_of(method, path, run="", **fields):
    config = base_config(method)
    shrink(config)
    config.data.batch_size = 8
    config.data.update(source="folder", path=str(path), masks_from=str(run), **fields)
    return config


@pytest.fixture(scope="module")
def donor(data, tmp_path_factory):
    """A run that finds bright defects."""
    workdir = tmp_path_factory.mktemp("donor")
    train_and_evaluate(config_of("square", data), workdir)
    return workdir


def given(config, workdir):
    """The training source with the masks that it is given."""
    source, _ = catalog.open_checked(config, config.data.split)
    return mattes.with_masks(config, source, workdir)


def records(source):
    return {record["id"]: record for record in map(source.__getitem__, range(len(source)))}


def test_masks_are_where_the_run_finds_defects(data, donor, tmp_path, caplog):
    """Pictures of two windows and more, each at its own size; nothing but training defects."""
    config = config_of("dots", data, donor)
    with caplog.at_level("INFO", logger="dtgan"):
        source = given(config, tmp_path)
    made = sorted(str(p.relative_to(tmp_path / "masks")) for p in tmp_path.rglob("*.png"))
    assert made == [f"{kind}/{kind[0]}{i}.png" for kind in ("pit", "rust") for i in range(2, 8)]
    found = records(source)
    expected = np.zeros((32, 64), np.uint8)
    expected[PLACE] = 255
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "masks/rust/r2.png")), expected)
    np.testing.assert_array_equal(found["rust/r2.png"]["mask"][..., 0], expected)
    assert found["rust/r2.png"]["has_mask"] and not found["pit/p6.png"]["has_mask"]
    assert not found["normal/n2.png"]["mask"].any()
    record = read_json(tmp_path / "masks.json")
    assert record["classes"] == {"pit": {"drawn": 6, "empty": 2}, "rust": {"drawn": 6, "empty": 0}}
    assert record["empty"] == ["pit/p6.png", "pit/p7.png"] and record["own"] == 0
    assert (record["threshold"], record["chosen_on"]) == (0.5, None)  # no mask to choose it on
    assert record["checkpoint"] == checkpoints.step_digest(donor, 0)
    assert "step 0, above 0.5 (no masks to choose it on): pit 6, rust 6; 2 empty" in caplog.text


def test_a_mask_of_the_folder_wins_and_chooses_the_threshold(data, tmp_path):
    """On validation images, whose defects are 200 to 219 of 255 and all else below 60."""
    own = fill(tmp_path / "data", masks=("r0", "p0", "r2", "p6", "p1"))
    donor = tmp_path / "donor"
    train_and_evaluate(config_of("square", own), donor)
    source = given(config_of("dots", own, donor), tmp_path / "run")
    record = read_json(tmp_path / "run/masks.json")
    assert record["chosen_on"] == "val" and 60 / 255 < record["threshold"] < 200 / 255
    assert record["own"] == 2 and record["classes"]["pit"]["drawn"] == 5
    assert not (tmp_path / "run/masks/pit/p6.png").exists()
    found = records(source)
    assert found["pit/p6.png"]["has_mask"] and found["pit/p6.png"]["mask"].sum() == 140 * 255
    whole = fill(tmp_path / "whole", [f"{c}{i}" for c in "pr" for i in range(8)])
    source = given(config_of("dots", whole, donor), tmp_path / "other")
    assert source.drawn is None and not (tmp_path / "other").exists()


def test_scaled_pictures_have_masks_of_their_own_size(data, donor, tmp_path):
    large = tmp_path / "data"
    for file in (data / "images").glob("*/*"):
        twice = np.kron(np.asarray(Image.open(file)), np.ones((2, 2), np.uint8))
        save(large / file.relative_to(data), twice)
    shutil.copy(data / "splits.csv", large)
    mask = records(given(config_of("dots", large, donor), tmp_path / "run"))["rust/r2.png"]["mask"]
    small = records(given(config_of("dots", data, donor), tmp_path / "small"))["rust/r2.png"]
    assert mask.shape == (64, 128, 1)
    config = config_of("dots", data, donor, masks_above=0.99)  # nothing is as bright
    source = given(config, tmp_path / "small")  # drawn anew: it was of another threshold
    assert source.drawn["classes"]["rust"] == {"drawn": 6, "empty": 6}
    np.testing.assert_array_equal(mask[::2, ::2], small["mask"])


def test_a_run_keeps_its_masks(data, donor, tmp_path, caplog):
    """They are in the account and in the checkpoint, and a resumed run reads the same."""
    copy, run = tmp_path / "donor", tmp_path / "run"
    shutil.copytree(donor, copy)
    config = config_of("dots", data, copy, classes="rust")
    state = train_and_evaluate(config, run)
    assert np.abs(np.asarray(state.nets["G"].params["mean"])).max() > 0
    account = json.loads((run / "data.json").read_text())
    assert account["drawn"]["train"] == read_json(run / "masks.json")
    assert account["accounts"]["train"]["rust"]["with_mask"] == 6
    files = account["drawn"]["train"]["files"]
    assert checkpoints.read_json_item(run, 4, "data")["masks"] == files
    sampler.load(run)  # needs neither the masks nor who drew them

    config.train.duration = "6steps"
    shutil.rmtree(copy)
    with caplog.at_level("INFO", logger="dtgan"):
        assert int(train_and_evaluate(config, run).step) == 6
    assert "is gone; its masks stay" in caplog.text

    config.train.duration = "8steps"
    shutil.copytree(donor, copy)
    (copy / "checkpoints/0/checksums.json").write_text("{}")
    with pytest.raises(ConfigError, match="has changed: step 0 is another one than drew the masks"):
        train_and_evaluate(config, run)
    shutil.rmtree(copy)
    (run / "masks/rust/r2.png").rename(run / "masks/rust/r9.png")
    with pytest.raises(ConfigError, match="changed since they were drawn"):
        train_and_evaluate(config, run)
    shutil.rmtree(run / "masks")
    (run / "masks.json").unlink()
    with pytest.raises(ConfigError, match=r"masks\.json, which tells of the masks .* is missing"):
        train_and_evaluate(config, run)
    other = tmp_path / "data"
    shutil.copytree(data, other)
    config.data.masks_from, config.data.path = "", str(other)
    source, _ = catalog.open_checked(config, "train")
    with pytest.raises(ConfigError, match=r"not those that this run began with; restore masks and"):
        mattes.check_resumed(source, {"masks": files}, run)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"masks_from": "nowhere"}, "masks_from=nowhere is not a directory"),
        ({"masks_from": "EMPTY"}, "holds no checkpoint"),
        ({"masks_from": "PASTE"}, "method=tail, which finds no defect in a given image"),
        ({"classes": "pit"}, None),
        ({"res": 64, "upscale": True}, "has data.res=32, this run 64; use a run with the same"),
        ({"channels": 3}, "has data.channels=1, this run 3"),
        ({"path": "OTHER"}, "does not know the class 'scab', only pit, rust"),
    ],
)
def test_what_cannot_be_drawn_is_refused_in_one_line(data, donor, tmp_path, fields, message):
    paste, other = tmp_path / "paste", tmp_path / "other"
    if fields.get("masks_from") == "PASTE":
        config = config_of("tail", data)
        train_and_evaluate(config, paste)
    if fields.get("path") == "OTHER":
        shutil.copytree(data, other)
        (other / "images/pit").rename(other / "images/scab")
        table = (other / "splits.csv").read_text()
        (other / "splits.csv").write_text(table.replace("pit/", "scab/"))
    (tmp_path / "empty").mkdir()
    places = {"PASTE": paste, "OTHER": other, "EMPTY": tmp_path / "empty"}
    fields = {
        name: str(places.get(value, value)) if isinstance(value, str) else value
        for name, value in fields.items()
    }
    config = config_of("dots", data, donor)
    config.data.update(fields)
    if message is None:  # fewer classes than the run knows are as good
        assert given(config, tmp_path / "run").drawn["classes"] == {"pit": {"drawn": 6, "empty": 2}}
        return
    with pytest.raises(ConfigError, match=message) as error:
        given(config, tmp_path / "run")
    assert "\n" not in str(error.value) and not (tmp_path / "run").exists()


def test_masks_are_drawn_for_folders_alone(donor):
    config = base_config("dots")
    config.data.masks_from = str(donor)
    with pytest.raises(ConfigError, match=r"for pictures in files, not for data\.source=proced"):
        validate(config)
    config.data.source, config.data.path, config.data.masks_above = "folder", "x", 1.5
    with pytest.raises(ConfigError, match=r"data\.masks_above=1\.5 is not in \[0, 1\); try 0\.2"):
        validate(config)
