"""Pins on which regions copies are looked for: those that a model's images can be judged by."""

from types import SimpleNamespace

import numpy as np
import pytest

from dtgan.data import pipeline
from dtgan.data.procedural import CLASSES, ProceduralSteel
from dtgan.data.records import Records
from dtgan.evaluation.copying import copy_scores
from dtgan.evaluation.fakes import Fakes
from tests import smoke


def records_of(split, seed=0):
    source = ProceduralSteel(split, 32, seed=seed, counts=dict.fromkeys(CLASSES, 4))
    rows = np.arange(len(source))
    return Records(**pipeline.load_records(smoke.get_config(), source, rows))


def without_masks(records):
    return records._replace(
        mask=np.zeros_like(records.mask), has_mask=np.zeros_like(records.has_mask)
    )


def context(train, val, test):
    """What `copy_scores` needs of a Context; features are the pixels."""
    return SimpleNamespace(
        train=train,
        held_out="val",
        split={"val": val, "test": test}.get,
        settings=SimpleNamespace(split="test", seed=0),
        features=lambda images, cache=None: {"pool": images.reshape(len(images), -1) / 255.0},
    )


@pytest.fixture(scope="module")
def real():
    """Training, calibration and held-out images, all with masks."""
    return [records_of(split) for split in ("train", "val", "test")]


@pytest.fixture(scope="module")
def fakes(real):
    """Other images of no mask, and a copy of the first training defect."""
    made = without_masks(records_of("train", seed=5).defects)
    image = np.concatenate([real[0].defects.image[:1], made.image[1:]])
    return Fakes(made._replace(image=image, index=np.full(len(image), -1)), None, None)


def test_images_without_masks_are_judged_as_if_no_image_had_one(real, fakes):
    method = SimpleNamespace(needs=("labels",), transfers=False)
    found, _ = copy_scores(context(*real), method, fakes, None, None)
    bare, _ = copy_scores(context(*map(without_masks, real)), method, fakes, None, None)
    assert found == bare
    assert 0 in found["flagged"] and found["planted"]["exact"]["rate"] == 1.0
    assert found["references"] == {}


def test_images_with_masks_are_judged_by_them(real, fakes):
    method = SimpleNamespace(needs=("labels",), transfers=False)
    masked = records_of("train", seed=5).defects
    fakes = fakes._replace(records=fakes.records._replace(mask=masked.mask))
    found, _ = copy_scores(context(*real), method, fakes, 0.5, None)
    bare, _ = copy_scores(context(*map(without_masks, real)), method, fakes, 0.5, None)
    assert found != bare
