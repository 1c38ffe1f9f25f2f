"""Pins which images are compared: class mix, floor, matched numbers, planted collapse, gaps."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from dtgan.data.records import Records
from dtgan.evaluation import distribution as distribution_lib
from dtgan.evaluation.distribution import distribution

CLASSES = ("normal", "dent", "scratch")


def make_images(counts, seed):
    label = np.repeat(np.arange(len(counts)), counts)
    g = np.random.default_rng(seed)
    image = g.integers(0, 256, (len(label), 4, 4, 1)).astype(np.uint8)
    empty = np.zeros((len(label), 4, 4, 1), np.uint8)
    return Records(image, label, empty, np.ones(len(label), bool), np.arange(len(label)))


def context(test, val, both=True):
    """What `distribution` needs of a Context; features are the pixels, `both` from one network."""

    def features(images, cache=None):
        flat = images.reshape(len(images), 16).astype(np.float32) / 100
        logits = np.stack([np.zeros(len(flat)), flat[:, 0], np.full(len(flat), -1.0)], axis=1)
        return {"pool": flat, "tap64": flat[:, :8], "logits": logits}

    return SimpleNamespace(
        classes=CLASSES,
        held_out="val",
        settings=SimpleNamespace(split="test", seed=0),
        split={"test": make_images(test, 0), "val": make_images(val, 1)}.get,
        embedded_features=lambda images, cache=None: (
            (features(images), features(images)["pool"] if both else None)
        ),
        embed=lambda images: features(images)["pool"],
        embed_raw=lambda images: None,
        lpips_limit=lambda: 1000,
    )


def test_overall_has_the_class_mix_of_real_images():
    report = distribution(context((9, 30, 10), (9, 20, 20)), make_images((0, 60, 60), 2), None)
    assert report["overall"]["num_real"] == 40  # without normals
    assert report["overall"]["num_fake"] == 60 + 20
    assert report["per_class"]["scratch"]["num_fake"] == 60
    assert report["floor"]["overall"]["num_fake"] == 20 + 6
    # Of the mixed classes as many as the floor has: the mix is kept within one image.
    assert report["per_class"]["dent"]["fid_matched"] != report["per_class"]["dent"]["fid"]


def test_embeddings_that_came_with_the_features_are_those_made_later(monkeypatch):
    monkeypatch.setattr(distribution_lib, "CLUSTERED", 12)
    reports = [
        distribution(context((9, 30, 10), (9, 20, 20), both), make_images((0, 60, 60), 2), None)
        for both in (True, False)
    ]
    assert reports[0] == reports[1]
    assert reports[0]["per_class"]["dent"]["num_clustered"] == 12


def test_floor_is_below_what_other_images_get_and_collapse_is_exposed():
    others = make_images((0, 60, 60), 2)
    others = others._replace(image=others.image // 2)
    report = distribution(context((9, 40, 40), (9, 40, 40)), others, None)
    assert report["overall"]["fid"] > 2 * report["floor"]["overall"]["fid"]
    assert report["overall"]["kid_x1e3"] > 5 * abs(report["floor"]["overall"]["kid_x1e3"])
    collapse = report["control"]["collapse"]
    assert collapse["clustered_lpips"] == 0 and collapse["recall"] == 0
    assert 0 < report["overall"]["recognised"] < 1


@pytest.mark.parametrize(
    ("test", "val", "fake"),
    [
        ((9, 30, 10), (9, 20, 20), (0, 60, 0)),  # a class without synthetic images
        ((9, 30, 10), (9, 0, 0), (0, 60, 60)),  # nothing for the floor
        ((9, 1, 2), (9, 1, 1), (0, 1, 3)),  # far too few of everything
        ((9, 30, 0), (9, 20, 0), (0, 60, 60)),  # a class without real images
    ],
)
def test_gaps_are_told_not_hidden(test, val, fake):
    report = distribution(context(test, val), make_images(fake, 2), None)
    json.dumps(report, allow_nan=False)
    for name, scores in {**report["per_class"], "overall": report["overall"]}.items():
        missing = {f"{name}.{key}" for key, value in scores.items() if value is None}
        assert missing - {f"{name}.recognised"} <= report["notes"].keys()
