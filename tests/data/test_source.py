"""Pins views on sources: joined and selected images keep their records, truths and surfaces."""

import numpy as np
import pytest

from dtgan.config import ConfigError, base_config
from dtgan.data import catalog
from dtgan.data.procedural import CLASSES, ProceduralSteel
from dtgan.data.source import (
    Concatenated,
    Merged,
    Selected,
    Source,
    knows_truth,
    normals_of,
    of_classes,
)


@pytest.fixture(scope="module")
def steel():
    """(train, val) of procedural steel, 32 px, three images a class."""
    counts = dict.fromkeys(CLASSES, 3)
    return tuple(ProceduralSteel(split, 32, counts=counts) for split in ("train", "val"))


def assert_same_item(a, b):
    assert a.keys() == b.keys()
    assert all(np.array_equal(a[name], b[name]) for name in a)


def assert_same_truth(found, expected):
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)


def config_of(**data):
    config = base_config()
    config.data.update({"res": 32, "scale_counts": 0.02, **data})
    return config


def test_joined_splits_know_the_truth_across_them(steel):
    train, val = steel
    both, start = Concatenated(steel), len(train)
    assert both.has_truth and knows_truth(both, 32) and not knows_truth(both, 64)
    defect, surface = 4, 1
    assert_same_truth(both.transfer(defect, surface), train.transfer(defect, surface))
    assert_same_truth(both.transfer(defect, start + surface), train.transfer(defect, surface, val))
    assert_same_truth(both.transfer(start + defect, surface), val.transfer(defect, surface, train))
    np.testing.assert_array_equal(both.clean(start + defect), val.clean(defect))
    np.testing.assert_array_equal(both.families, np.concatenate([train.families, val.families]))
    assert both.resolve(start + 2) == (val, 2) and both.resolve(-1) == (val, len(val) - 1)


def test_selected_rows_keep_their_truth(steel):
    train, val = steel
    rows = [20, 0, 7]
    part = Selected(train, rows)
    assert len(part) == 3 and part.has_truth
    assert part.labels.tolist() == train.labels[rows].tolist()
    assert part.fingerprint == train.fingerprint
    assert_same_item(part[0], train[20])
    assert_same_item(part[-1], train[7])
    assert_same_truth(part.transfer(0, 1), train.transfer(20, 0))
    assert_same_truth(part.transfer(0, 2, val), train.transfer(20, 2, val))
    assert_same_truth(train.transfer(20, 2, val), part.transfer(0, 1, Selected(val, [5, 2])))
    np.testing.assert_array_equal(part.clean(2), train.clean(7))
    np.testing.assert_array_equal(part.families, train.families[rows])
    with pytest.raises(IndexError, match="3 is outside a source of 3 images"):
        part[3]


def test_views_of_views_end_at_the_source_that_holds_the_image(steel):
    train, val = steel
    both = Concatenated(steel)
    part = Selected(both, [len(train) + 4, 1])
    again = Concatenated([Selected(part, [1]), Selected(part, [0])])
    assert again.resolve(0) == (train, 1) and again.resolve(1) == (val, 4)
    assert_same_truth(again.transfer(1, 0), val.transfer(4, 1, train))
    np.testing.assert_array_equal(again.families, [train.families[1], val.families[4]])


def test_truth_and_families_are_known_only_where_all_know_them(steel):
    class Photographs(Source):
        classes, fingerprint, skipped = CLASSES, "f" * 16, 2
        labels, sizes = np.zeros(2, np.int32), np.full((2, 2), 32, np.int32)

    both = Concatenated([steel[0], Photographs()])
    assert not both.has_truth and both.families is None and both.skipped == 2
    part = Selected(Photographs(), [1])
    assert not part.has_truth and part.families is None and part.skipped == 2


def test_classes_are_renumbered_in_the_order_of_the_source(steel):
    train, _ = steel
    part = of_classes(train, ("tear", "mark"))
    assert part.classes == ("normal", "mark", "tear")
    assert np.bincount(part.labels).tolist() == [3, 3, 3]
    assert len(part) == 9 and part.labels.dtype == np.int32
    for index, label in enumerate(part.labels):
        item = part[index]
        assert item["label"] == label
        assert item["id"].split("/")[1] == part.classes[label]
    again = of_classes(train, ("mark", "tear"))
    assert again.fingerprint == part.fingerprint != train.fingerprint
    assert of_classes(train, ("mark",)).fingerprint != part.fingerprint
    assert of_classes(train, CLASSES[1:]).fingerprint == train.fingerprint
    tear = int(np.flatnonzero(part.labels == 2)[0])
    assert_same_truth(part.transfer(tear, 0), train.transfer(train.labels.tolist().index(5), 0))


def test_normals_are_the_surfaces_alone(steel):
    part = normals_of(steel[0])
    assert len(part) == 3 and not part.labels.any()
    assert part.classes == CLASSES and part.fingerprint == steel[0].fingerprint


def test_chosen_classes_of_a_config_are_what_is_opened():
    whole = catalog.open_source(config_of(), "train+val")
    part = catalog.open_source(config_of(classes="tear, mark"), "train+val")
    assert part.classes == ("normal", "mark", "tear")
    for name in part.classes:
        wanted = np.sum(whole.labels == whole.classes.index(name))
        assert np.sum(part.labels == part.classes.index(name)) == wanted
    assert part.fingerprint != whole.fingerprint and part.has_truth


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ("teer", r"'teer' is no defect class of these data \(did you mean 'tear'\?\); known: scr"),
        ("tear,normal", "'normal' is no defect class"),
        ("tear,mark,tear", "does not name each class once"),
        ("tear,", "does not name each class once"),
    ],
)
def test_classes_that_are_none_are_refused(classes, message):
    with pytest.raises(ConfigError, match=message):
        catalog.open_source(config_of(classes=classes), "train")


def test_merged_defects_are_one_class(steel):
    train, _ = steel
    merged = Merged(train)
    assert merged.classes == ("normal", "defect") and merged.fingerprint != train.fingerprint
    assert merged.labels.tolist() == [int(label > 0) for label in train.labels]
    assert_same_item(merged[7], {**train[7], "label": 1})
    assert_same_truth(merged.transfer(4, 1), train.transfer(4, 1))
    one = catalog.open_source(config_of(merged=True, classes="tear"), "train")
    assert one.classes == ("normal", "tear")  # keeps its name
    several = catalog.open_source(config_of(merged=True, classes="tear,mark"), "train")
    assert several.classes == merged.classes
    assert 0 < np.sum(several.labels) < np.sum(catalog.open_source(config_of(), "train").labels > 0)
