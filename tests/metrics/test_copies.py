"""Pins that copies of training images are found and aligned, and real images are not called so.

Closed forms: regions, alignment of flips and shifts, the exact rate of the alarm.
Measured on procedural steel: planted copies, held-out images, defects on other surfaces.
"""

import json

import numpy as np
import pytest

from dtgan import images as pictures
from dtgan.config import ConfigError
from dtgan.data.procedural import CLASSES, ProceduralSteel
from dtgan.metrics import copies, correlation
from tests import goldens


def features_of(images):
    """A random projection of coarse pixels, float32 [N, 32]."""
    n, size, _, c = images.shape
    coarse = images.reshape(n, 8, size // 8, 8, size // 8, c).mean((2, 4, 5)).reshape(n, 64)
    return (coarse @ np.random.default_rng(0).standard_normal((64, 32))).astype(np.float32)


def steel(split, each, normal=0):
    source = ProceduralSteel(split, counts=dict.fromkeys(CLASSES, each) | {"normal": normal})
    records = [source[i] for i in range(len(source))]
    image, mask = (np.stack([record[name] for record in records]) for name in ("image", "mask"))
    return source, image, mask


@pytest.fixture(scope="module")
def train():
    return steel("train", each=10, normal=30)


@pytest.fixture(scope="module")
def reference(train):
    _, images, _ = train
    return copies.Reference(images[30:], features_of(images[30:]))


@pytest.fixture(scope="module")
def near(reference):
    return lambda images, masks: copies.nearest(reference, images, masks, features_of(images))


@pytest.fixture(scope="module")
def threshold(near):
    return copies.calibrate(near(*steel("val", each=34)[1:]))


def no_masks(images):
    return np.zeros((*images.shape[:3], 1), np.uint8)


def test_regions():
    masks = np.zeros((3, 64, 64, 1), np.uint8)
    masks[0, 10:20, 30:32] = 255
    masks[2] = 255
    inside, around = correlation.regions(masks)[0]
    assert inside.sum() == 20 and around.sum() == (10 + 16) * (2 + 16) - 20
    assert not (inside * around).any()
    np.testing.assert_array_equal(correlation.regions(masks)[1:], 1)  # no mask, no surroundings


def test_flipped_copies_are_laid_over_exactly(reference, near, train):
    images, masks = train[1][30:38], train[2][30:38]
    for number, (down, right) in enumerate(correlation.FLIPS):
        flipped = images[:, ::down, ::right]
        found = near(flipped, masks[:, ::down, ::right])
        np.testing.assert_array_equal(found.ncc_index, np.arange(8))
        np.testing.assert_array_equal(found.flip, number)
        np.testing.assert_allclose(found.window, [[1, 0, 0]] * 8, atol=1e-12)
        assert (found.ncc > 0.998).all() and (found.ncc < 1).all()
        laid = correlation.aligned(reference.images[0], number, found.window[0])
        np.testing.assert_array_equal(laid, flipped[0])
        if number == 0:
            np.testing.assert_array_equal(found.distance_index, np.arange(8))
            np.testing.assert_allclose(found.distance, 0, atol=1e-9)


@pytest.mark.parametrize("shift", [(3, 0), (-2, 2)])
def test_shift_is_found(near, train, shift):
    images, masks = (np.roll(x[40:48], shift, (1, 2)) for x in train[1:])
    found = near(images, masks)
    np.testing.assert_array_equal(found.ncc_index, np.arange(10, 18))
    assert (found.ncc > 0.9).all()
    # A pixel of the query shows the pixel `shift` before it: the middle, for any zoom near 1.
    middle = found.window[:, 1:] + found.window[:, :1] / 2 - 0.5
    np.testing.assert_allclose(middle * 64, -np.broadcast_to(shift, (8, 2)), atol=0.7)


def test_crop_is_laid_over(reference, near, train):
    windows = np.s_[:, 6:62, 2:58]
    images, masks = (x[50:58][windows] for x in train[1:])
    images = np.stack([pictures.resize(x, (64, 64)) for x in images])
    masks = np.stack([pictures.resize_mask(x, (64, 64)) for x in masks])
    found = near(images, masks)
    np.testing.assert_array_equal(found.ncc_index, np.arange(20, 28))
    np.testing.assert_allclose(found.window, [[56 / 64, 6 / 64, 2 / 64]] * 8, atol=0.02)
    for image, index, *place in zip(images, *found[1:4], strict=True):
        laid = correlation.aligned(reference.images[index], *place)
        assert np.abs(laid.astype(int) - image).mean() < 8


def test_the_correlation_is_that_of_the_whole_pictures(train):
    """Only what has weight is resampled: the same as all of it, to the last digits."""
    known, queries = correlation.normalise(train[1][30:]), correlation.normalise(train[1][30:42])
    queries = 0.5 * queries + 0.5 * np.roll(queries, (2, -1), (1, 2))
    weights = correlation.regions(train[2][30:42])
    match = correlation.search(correlation.Searched(known), queries, weights)
    for query, weight, ncc, index, flip, window in zip(queries, weights, *match, strict=True):
        zoom, *starts = window
        rows, columns = (
            correlation._sampling(np.array(start), np.array(zoom), 64, 64) for start in starts
        )
        y, x = correlation.FLIPS[flip]
        shown = (rows @ known[index] @ columns.T)[::y, ::x]
        floor = correlation._TINY * weight.sum((1, 2))
        product, own, other = (
            (weight * a).sum((1, 2)) for a in (query * shown, query * query, shown * shown)
        )
        least = (product / np.sqrt((own + floor) * (other + floor))).min()
        np.testing.assert_allclose(ncc, least, atol=1e-5)


def test_windows_that_are_not_kept_are_cut_again(train, monkeypatch):
    known, queries = correlation.normalise(train[1][30:]), correlation.normalise(train[1][:6])
    weights = correlation.regions(no_masks(train[1][:6]))
    kept = correlation.Searched(known)
    found = [correlation.search(kept, queries, weights) for _ in range(2)]
    monkeypatch.setattr(correlation, "_KEPT", 0)
    found.append(correlation.search(correlation.Searched(known), queries, weights))
    for other in found[1:]:
        for a, b in zip(found[0], other, strict=True):
            np.testing.assert_array_equal(a, b)


def test_defect_on_another_surface_is_no_copy():
    """Neither the shape alone nor the surface alone makes a copy; both together do."""
    source, images, masks = steel("train", each=3, normal=12)
    transfers = [source.transfer(12 + k, k) for k in range(12)]
    hybrids, shapes = (np.stack(part) for part in zip(*transfers, strict=True))
    known = copies.Reference(images, features_of(images))
    found = copies.nearest(known, hybrids, shapes, features_of(hybrids))
    again = copies.nearest(known, images[12:24], masks[12:24], features_of(images[12:24]))
    assert found.ncc.max() < 0.7 and again.ncc.min() > 0.99
    whole = copies.nearest(known, hybrids, no_masks(hybrids), features_of(hybrids))
    assert np.median(whole.ncc) > 0.8  # what the two regions are for
    assert (whole.ncc_index == np.arange(12)).mean() > 0.7


def test_planted_copies_are_flagged_and_real_images_are_not(near, train, reference, threshold):
    images, masks = (x[30:] for x in train[1:])
    plants = {kind: near(*copies.planted(images, masks, kind)) for kind in copies.KINDS}
    held_out = near(*steel("test", each=20)[1:])
    noise = goldens.images(0, 8, 64, 1)
    report = copies.report(reference, threshold, near(noise, no_masks(noise)), held_out, plants)
    assert report == json.loads(json.dumps(report))
    assert {kind: plant["rate"] for kind, plant in report["planted"].items()} == dict.fromkeys(
        copies.KINDS, 1.0
    )
    assert report["held_out_rate"] <= 0.03
    assert report["planted"]["exact"]["rate_ci95"] == pytest.approx([0.9398, 1], abs=1e-4)
    assert report["rate"] == 0 and report["flagged"] == []
    assert (report["alpha"], report["note"]) == (0.01, "")
    assert (report["num_reference"], report["num_calibration"]) == (60, 204)
    scores = copies.scores(plants["jpeg"], threshold)
    assert ((scores >= 0.99) & (scores < 1)).all()


def measured(ncc, distance):
    count = len(ncc)
    where = np.zeros(count, int), np.zeros(count, int), np.zeros((count, 3))
    ncc, distance = np.asarray(ncc, np.float32), np.asarray(distance, float)
    return copies.Nearest(ncc, *where, distance, where[0])


@pytest.mark.parametrize("alpha", [0.04, 0.1, 0.33])
@pytest.mark.parametrize("ties", [False, True])
def test_alarm_rate_is_exact(alpha, ties):
    """Of any n + 1 images, each judged by the others, at most alpha (n + 1) are flagged."""
    rng = np.random.default_rng(1)
    for total in (51, 100):
        values = rng.standard_normal((2, total))
        values = np.round(values, 1) if ties else values
        flags = []
        for k in range(total):
            others = np.delete(values, k, axis=1)
            threshold = copies.calibrate(measured(*others), alpha)
            new = measured(*values[:, [k]])
            assert threshold.note == ""
            flags.append([copies.flag(new, threshold)[0], copies.near_features(new, threshold)[0]])
        rates = np.mean(flags, axis=0)
        assert (rates <= alpha).all()
        assert ties or (rates > alpha - 1 / total).all()  # and no fewer than ranks allow


def test_scores_by_hand():
    threshold = copies.calibrate(measured([0.1, 0.2, 0.3, 0.4], [4, 3, 2, 1]), 0.4)
    new = measured([0.5, 0.35, 0.0, 0.4], [9, 0.5, 9, 9])
    # First: above all. Second: one is higher. Third: all are. Last: a tie counts as higher.
    np.testing.assert_allclose(copies.scores(new, threshold), [4 / 5, 3 / 5, 0, 3 / 5])
    np.testing.assert_array_equal(copies.flag(new, threshold), [1, 1, 0, 1])
    np.testing.assert_array_equal(copies.near_features(new, threshold), [0, 1, 0, 0])


def test_few_held_out_images_raise_alpha():
    held_out = measured(np.linspace(0, 0.5, 19), np.linspace(1, 2, 19))
    threshold = copies.calibrate(held_out, 0.01)
    assert threshold.alpha == pytest.approx(0.05)
    assert "raised from 0.01 to 0.05: 19" in threshold.note and "99" in threshold.note
    assert copies.flag(measured([0.6], [1.5]), threshold).all()
    assert not copies.flag(measured([0.49], [0.5]), threshold).any()
    with pytest.raises(ConfigError, match="0 held-out"):
        copies.calibrate(measured([], []))
    with pytest.raises(ConfigError, match="alpha=1"):
        copies.calibrate(held_out, 1.0)


@pytest.mark.filterwarnings("error")
def test_empty_and_constant_images(threshold, reference, near):
    flat = np.full((3, 64, 64, 1), 128, np.uint8)
    known = copies.Reference(flat, np.zeros((3, 4)))
    found = copies.nearest(known, flat[:2], no_masks(flat[:2]), np.zeros((2, 4)))
    np.testing.assert_array_equal(found.ncc, 0)
    np.testing.assert_array_equal(found.distance, 0)
    np.testing.assert_array_equal(found.ncc_index, 0)
    assert not copies.flag(found, copies.calibrate(found, 0.7)).any()  # ties speak against it
    nothing = near(reference.images[:0], no_masks(reference.images[:0]))
    assert len(copies.scores(nothing, threshold)) == 0
    report = copies.report(reference, threshold, nothing, nothing, {"exact": nothing})
    assert report["rate"] is report["held_out_rate_ci95"] is report["planted"]["exact"]["rate"]
    assert report["rate"] is None and report["num"] == 0
    sheet = copies.worst_pairs(reference.images[:0], reference, nothing, threshold)
    assert sheet.dtype == np.uint8


def test_result_does_not_depend_on_chunks(near, reference, train, monkeypatch):
    images, masks = copies.planted(train[1][30:45], train[2][30:45], "cropped", seed=2)
    expected = near(images, masks)
    for name, size in (("_QUERIES", 4), ("_BLOCK", 7)):
        monkeypatch.setattr(correlation, name, size)
    anew = copies.Reference(reference.images, reference.features)
    found = copies.nearest(anew, images, masks, features_of(images))
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_colour_and_large_images():
    images, masks = goldens.images(3, 6, 128), np.zeros((6, 128, 128, 1), np.uint8)
    masks[:, 40:90, 50:80] = 255
    known = copies.Reference(images, features_of(images))
    query = images[2:4, ::-1], masks[2:4, ::-1]
    found = copies.nearest(known, *query, features_of(query[0]))
    np.testing.assert_array_equal(found.ncc_index, [2, 3])
    np.testing.assert_array_equal(found.flip, correlation.FLIPS.index((-1, 1)))
    assert (found.ncc > 0.998).all()
    few = copies.calibrate(measured([0.1], [1.0]), 0.5)
    sheet = copies.worst_pairs(query[0], known, found, few, num=1, size=128)
    assert sheet.shape == (132 + 18, 4 * 130 + 2, 3)


def test_worst_pairs_shows_the_worst_first(reference, near, train, threshold):
    images, masks = (np.stack([x[35], x[30]]) for x in train[1:])
    images[0] = goldens.images(1, 1, 64, 1)[0]
    sheet = copies.worst_pairs(images, reference, near(images, masks), threshold, size=64)
    first = sheet[18 + 2 :][:64]
    np.testing.assert_array_equal(first[:, 2:66], train[1][30])
    np.testing.assert_array_equal(first[:, 68:132], train[1][30])
    np.testing.assert_array_equal(first[:, 134:198], 128)
    np.testing.assert_array_equal(sheet[18 + 68 :][:64, 2:66], images[0])


def test_planted(train):
    images, masks = train[1][30:40], train[2][30:40]
    for kind in copies.KINDS:
        ours = copies.planted(images, masks, kind, seed=1)
        assert [x.shape for x in ours] == [images.shape, masks.shape]
        for one, other in zip(ours, copies.planted(images, masks, kind, seed=1), strict=True):
            np.testing.assert_array_equal(one, other)
        same = (ours[0] == images).all((1, 2, 3))
        assert same.all() if kind == "exact" else not same.any()
        assert set(np.unique(ours[1])) == {0, 255}
        changed = (ours[1] != masks).any()
        assert changed == (kind in ("flipped", "cropped"))
    with pytest.raises(ConfigError, match="kind='rotated'"):
        copies.planted(images, masks, "rotated")


def test_unusable_input(reference):
    images, masks = reference.images[:2], no_masks(reference.images[:2])
    features = reference.features[:2]
    with pytest.raises(ConfigError, match="images of shape"):
        copies.nearest(reference, images[:, :32], masks[:, :32], features)
    with pytest.raises(ConfigError, match="masks of shape"):
        copies.nearest(reference, images, masks[:1], features)
    with pytest.raises(ConfigError, match="features of shape"):
        copies.nearest(reference, images, masks, features[:, :3])
    with pytest.raises(ConfigError, match="not all finite"):
        copies.nearest(reference, images, masks, features * np.nan)
    nothing = copies.Reference(images[:0], features[:0])
    with pytest.raises(ConfigError, match="no training image"):
        copies.nearest(nothing, images, masks, features)
