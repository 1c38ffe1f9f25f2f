"""Pins: which source a config opens, joined splits, DataInfo, and the check of sizes."""

import subprocess
import sys

import numpy as np
import pytest

from dtgan import images
from dtgan.config import ConfigError, base_config
from dtgan.data import catalog, windows


class Sizes:
    """As much of a source as the check of sizes needs."""

    def __init__(self, *sizes):
        self.sizes = np.array(sizes, np.int32)

    def __len__(self):
        return len(self.sizes)

    def __getitem__(self, index):
        return {"id": f"tear/{index}.png"}


def config_of(**data):
    config = base_config()
    config.data.scale_counts = 0.05
    config.data.update(data)
    return config


def test_joined_splits_are_the_splits_in_order():
    config = config_of(res=32)
    train, val = (catalog.open_source(config, split) for split in ("train", "val"))
    both = catalog.open_source(config, "train+val")
    assert len(both) == len(train) + len(val) == len(both.labels) == len(both.sizes)
    assert both[0]["id"] == train[0]["id"]
    assert both[len(train)]["id"] == val[0]["id"]
    assert both[-1]["id"] == both[len(both) - 1]["id"] == val[len(val) - 1]["id"]
    assert all(both[i]["label"] == both.labels[i] for i in range(0, len(both), 7))
    assert len({train.fingerprint, val.fingerprint, both.fingerprint}) == 3
    with pytest.raises(IndexError):
        both[len(both)]


def test_concatenated_sources_need_the_same_classes():
    source = catalog.open_source(config_of(res=32), "val")
    other = catalog.Concatenated([source])
    other.classes = ("normal", "dent")
    with pytest.raises(ConfigError, match="differ in their classes"):
        catalog.Concatenated([source, other])


def test_describe_counts_the_classes():
    info = catalog.describe(catalog.open_source(config_of(res=32, channels=3), "train"))
    assert info.classes[0] == "normal" and len(info.classes) == 7
    assert info.num_normals == info.counts["normal"] == 36
    assert info.num_defects == sum(info.counts.values()) - 36
    assert len(info.fingerprint) == 16


def test_the_data_do_not_depend_on_the_training_seed():
    one, two = config_of(res=32), config_of(res=32)
    two.seed = 7
    one, two = (catalog.open_source(config, "val") for config in (one, two))
    assert one.fingerprint == two.fingerprint
    assert np.array_equal(one[3]["image"], two[3]["image"])


def test_a_folder_is_opened_with_its_fields(tmp_path):
    for name in ("normal", "tear"):
        for i in range(8):
            pixels = np.random.default_rng(i + 8 * (name == "tear")).integers(0, 256, (40, 40, 1))
            images.write_image(tmp_path / "images" / name / f"{i}.png", pixels.astype(np.uint8))
    config = config_of(
        source="folder", path=str(tmp_path), channels=3, fractions=(0.5, 0.25, 0.25), res=32
    )
    source = catalog.open_source(config, "train+val")
    parts = [catalog.open_source(config, split) for split in ("train", "val", "test")]
    assert [len(part) for part in parts] == [8, 4, 4] and len(source) == 12
    assert source[0]["image"].shape == (40, 40, 3)
    catalog.check_sizes(source, config)


@pytest.mark.parametrize(
    ("data", "split", "message"),
    [
        ({}, "trian", "did you mean 'train'"),
        ({}, "train+train", "twice"),
        ({"source": "foldr", "path": "x"}, "train", "did you mean 'folder'"),
        ({"scale_to": 4096}, "train", "data.source=procedural: size=4096"),
    ],
)
def test_wrong_sources_are_named(data, split, message):
    with pytest.raises(ConfigError, match=message):
        catalog.open_source(config_of(**data), split)


@pytest.mark.parametrize(
    ("size", "data", "want", "enlarges"),
    [
        ((100, 150), {"res": 64}, (64, 96), False),
        ((150, 100), {"res": 64}, (96, 64), False),
        ((100, 150), {"res": 64, "scale_to": 80}, (80, 120), False),
        ((100, 150), {"res": 64, "scale_to": -1}, (100, 150), False),
        ((50, 100), {"res": 64, "scale_to": -1}, (64, 128), True),
        ((64, 64), {"res": 64}, (64, 64), False),
        ((63, 64), {"res": 64}, (64, 65), True),
        ((256, 1600), {"res": 64, "scale": 0.5}, (128, 800), False),
        ((127, 300), {"res": 64, "scale": 0.5}, (64, 150), False),
        ((126, 300), {"res": 64, "scale": 0.5}, (64, 152), True),
        ((100, 150), {"res": 64, "scale": 1.0}, (100, 150), False),
        ((100, 150), {"res": 128, "scale": 1.3}, (130, 195), False),
    ],
)
def test_scaled_size(size, data, want, enlarges):
    data = config_of(**data).data
    assert windows.scaled_size(size, data) == (want, enlarges)
    assert enlarges == (min(size) < windows.least_side(data))
    factor = windows.scale_of(size, data)
    assert np.abs(np.array(size) * factor - want).max() <= 0.5
    assert factor == data.scale or enlarges or not data.scale


def test_small_images_are_reported_at_once():
    source = Sizes((64, 64), (200, 40), (63, 500))
    message = r"2 of 3 images .* data.res=64, the smallest tear/1.png 200x40; .*upscale=True"
    with pytest.raises(ConfigError, match=message):
        catalog.check_sizes(source, config_of(res=64))
    with pytest.raises(ConfigError, match=r"3 of 3 .* data.scale_to=80"):
        catalog.check_sizes(source, config_of(res=64, scale_to=80))
    with pytest.raises(ConfigError, match=r"scale_to=50 is below data.res=64"):
        catalog.check_sizes(source, config_of(res=64, scale_to=50))
    with pytest.raises(ConfigError, match="is not -1, 0"):
        catalog.check_sizes(source, config_of(res=64, scale_to=-2))
    message = r"3 of 3 .* than 127 pixels .data.res=64 at data.scale=0.5., .* tear/1.png 200x40; "
    with pytest.raises(ConfigError, match=message + "use data.scale=1.6 or more, a smaller"):
        catalog.check_sizes(source, config_of(res=64, scale=0.5))
    with pytest.raises(ConfigError, match=r"data.scale=1 and data.scale_to=80 both say how"):
        catalog.check_sizes(source, config_of(res=64, scale=1.0, scale_to=80))
    catalog.check_sizes(source, config_of(res=64, scale=1.6))
    catalog.check_sizes(source, config_of(res=64, upscale=True))
    catalog.check_sizes(source, config_of(res=32))


def test_importing_the_catalog_is_light():
    code = (
        "import sys, dtgan.data.catalog; "
        "print([m for m in ('jax', 'tensorflow', 'tensorflow_datasets', 'grain')"
        " if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]" and out.stderr == ""


def test_only_folders_have_folds():
    config = base_config()
    config.data.fold = "0/3"
    with pytest.raises(ConfigError, match=r"data.fold=0/3: data.source=procedural has no folds"):
        catalog.open_source(config, "test")
