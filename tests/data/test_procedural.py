"""Pins procedural steel: determinism, exact counterfactuals, tight masks, counts, options."""

import dataclasses
import itertools

import numpy as np
import pytest
from PIL import Image

from dtgan import images
from dtgan.data import procedural
from dtgan.data.procedural import (
    CLASSES,
    OWN_FAMILY,
    ProceduralSteel,
    contact_sheet,
    render,
    source,
)
from dtgan.data.procedural.defects import KINDS, random_defect
from dtgan.data.procedural.surfaces import FAMILIES, random_surface
from dtgan.data.splits import SPLITS


@pytest.fixture(scope="module")
def small():
    return ProceduralSteel(size=32, counts=dict.fromkeys(CLASSES, 3))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_render_is_deterministic_and_in_range(kind, channels):
    first, mask = render(random_surface(3), random_defect(kind, 4), 48, channels)
    again, mask_again = render(random_surface(3), random_defect(kind, 4), 48, channels)
    assert first.shape == (48, 48, channels) and first.dtype == np.float32
    assert mask.shape == (48, 48, 1) and mask.dtype == np.uint8 and set(np.unique(mask)) == {0, 255}
    assert first.min() >= -1 and first.max() <= 1
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(mask, mask_again)


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_changes_outside_the_mask(kind):
    for seed, family in enumerate(FAMILIES):
        surface = random_surface(seed, family)
        with_defect, mask = render(surface, random_defect(kind, seed))
        without, empty = render(surface)
        outside = mask[..., 0] == 0
        np.testing.assert_array_equal(with_defect[outside], without[outside])
        assert not empty.any()


@pytest.mark.parametrize("kind", KINDS)
def test_mask_is_of_the_defect_alone(kind):
    masks = [
        render(random_surface(i, f), random_defect(kind, 5))[1] for i, f in enumerate(FAMILIES)
    ]
    for other in masks[1:]:
        np.testing.assert_array_equal(masks[0], other)


@pytest.mark.parametrize("kind", KINDS)
def test_defects_are_visible_and_of_sane_area(kind):
    for seed in range(16):
        surface, defect = random_surface(seed), random_defect(kind, seed)
        image, mask = render(surface, defect)
        inside = mask[..., 0] > 0
        change = np.abs(image - render(surface)[0])[inside]
        assert 0.01 < inside.mean() < 0.35, (seed, inside.mean())
        assert change.mean() > 0.08, (seed, change.mean())
        assert np.quantile(change, 0.9) > 0.2, seed
        assert (change > 0).mean() > 0.9, seed  # the mask is tight


def test_light_of_the_surface_shades_the_defect():
    surface, defect = random_surface(0, "cold_rolled"), random_defect("mark", 0)
    from_left = render(dataclasses.replace(surface, light=np.pi, gradient=0.0), defect)[0]
    from_right = render(dataclasses.replace(surface, light=0.0, gradient=0.0), defect)[0]
    x = int(defect.x * 64)
    difference = (from_left - from_right)[..., 0]
    # Walls of a dent face the light on its far side.
    assert difference[:, x:].sum() > 1 and difference[:, :x].sum() < -1


@pytest.mark.parametrize("size", [32, 47, 128, 512])
def test_sizes_look_alike(size):
    surface, defect = random_surface(8), random_defect("shell", 8)
    image, mask = render(surface, defect, size)
    small, small_mask = render(surface, defect, 64)
    assert image.shape == (size, size, 1)
    assert mask.mean() == pytest.approx(small_mask.mean(), rel=0.6)
    blurred = [
        np.asarray(Image.fromarray(x[..., 0]).resize((8, 8), Image.Resampling.BOX))
        for x in (image, small)
    ]
    assert np.abs(blurred[0] - blurred[1]).max() < 0.25
    assert np.corrcoef(blurred[0].ravel(), blurred[1].ravel())[0, 1] > 0.8


def test_items(small):
    assert len(small) == 21 and small.labels.dtype == np.int32
    assert small.sizes.dtype == np.int32 and small.sizes.tolist() == [[32, 32]] * 21
    assert np.bincount(small.labels).tolist() == [3] * 7
    ids = set()
    for i, label in enumerate(small.labels):
        item = small[i]
        assert set(item) == {"image", "mask", "has_mask", "label", "id"}
        assert item["image"].dtype == np.uint8 and item["image"].shape == (32, 32, 1)
        assert item["label"] == label and item["has_mask"] and item["mask"].any() == (label > 0)
        surface, defect = small.spec(i)
        assert (defect is None) == (label == 0) and (not label or defect.kind == CLASSES[label])
        np.testing.assert_array_equal(
            item["image"], images.to_uint8(render(surface, defect, 32)[0])
        )
        ids.add(item["id"])
    assert len(ids) == 21
    np.testing.assert_array_equal(small[-1]["image"], small[20]["image"])
    with pytest.raises(IndexError, match="21 items"):
        small[21]


def test_transfer_is_exact(small):
    for i in range(0, 21, 2):
        image, mask = small.transfer(i, i)
        np.testing.assert_array_equal(image, small[i]["image"])
        np.testing.assert_array_equal(mask, small[i]["mask"])
    image, mask = small.transfer(10, 0)
    outside = mask[..., 0] == 0
    np.testing.assert_array_equal(mask, small[10]["mask"])
    np.testing.assert_array_equal(image[outside], small[0]["image"][outside])
    assert (image != small[0]["image"]).any()
    healed, mask = small.transfer(0, 10)
    assert not mask.any()
    np.testing.assert_array_equal(healed[outside], small[10]["image"][outside])


def test_counts():
    assert ProceduralSteel().counts == procedural.TRAIN_COUNTS
    assert len(ProceduralSteel()) == 1255
    tiny = ProceduralSteel(scale_counts=0.01)
    assert tiny.counts == {
        name: max(2, round(n / 100)) for name, n in procedural.TRAIN_COUNTS.items()
    }
    splits = [procedural.CLASSIFIER_COUNTS[split] for split in SPLITS]
    for name in CLASSES[1:]:
        assert sum(counts[name] for counts in splits) == procedural.TRAIN_COUNTS[name]
    assert sum(splits[2].values()) == 166
    val = ProceduralSteel("val").counts
    assert val["normal"] == 242 and val["tear"] == 56 and val["shell"] == val["scoring"] == 12
    assert ProceduralSteel("test", scale_counts=0.001).counts["normal"] == 4
    one = ProceduralSteel(counts={"mark": 0}).counts
    assert one == {**procedural.TRAIN_COUNTS, "mark": 0}


def test_a_smaller_set_is_part_of_the_larger():
    full, part = ProceduralSteel(size=32), ProceduralSteel(size=32, scale_counts=0.1)
    by_id = {full.spec(i) for i in range(len(full))}
    assert all(part.spec(i) in by_id for i in range(len(part)))


def test_splits_share_nothing():
    sources = [ProceduralSteel(split) for split in SPLITS]
    specs = [s.spec(i) for s in sources for i in range(len(s))]
    surfaces = [surface.seed for surface, _ in specs]
    flaws = [defect.seed for _, defect in specs if defect is not None]
    assert len(set(surfaces)) == len(surfaces) and len(set(flaws)) == len(flaws)
    other = ProceduralSteel(seed=1)
    assert not {other.spec(i)[0].seed for i in range(len(other))} & set(surfaces)


def families(source, label=None):
    chosen = range(len(source)) if label is None else np.flatnonzero(source.labels == label)
    return [source.spec(int(i))[0].family for i in chosen]


def test_shortcut_ties_class_to_surface_in_train_only():
    counts = dict.fromkeys(CLASSES, 200)
    always = ProceduralSteel(shortcut=1.0, counts=counts)
    half = ProceduralSteel(shortcut=0.5, counts=counts)
    never = ProceduralSteel(shortcut=0.0, counts=counts)
    for label, name in enumerate(CLASSES[1:], 1):
        own = OWN_FAMILY[name]
        assert set(families(always, label)) == {own}
        assert 0.5 < np.mean([f == own for f in families(half, label)]) < 0.75  # 0.5 + 0.5 / 4
        assert 0.13 < np.mean([f == own for f in families(never, label)]) < 0.37
    assert families(always, 0) == families(never, 0)
    for i in range(200, len(always), 7):
        assert always.spec(i)[1] == never.spec(i)[1]  # the defects stay the same
    for split in ("val", "test"):
        assert families(ProceduralSteel(split, shortcut=1.0)) == families(ProceduralSteel(split))


def test_all_families_appear():
    assert len(FAMILIES) >= 4
    assert set(families(ProceduralSteel("val"))) == set(FAMILIES)
    for family, other in itertools.combinations(FAMILIES, 2):
        pair = [render(random_surface(1, name))[0] for name in (family, other)]
        assert np.abs(pair[0] - pair[1]).mean() > 0.03


def test_fingerprint_follows_every_option():
    base = ProceduralSteel()
    assert base.fingerprint == ProceduralSteel().fingerprint and len(base.fingerprint) == 16
    int(base.fingerprint, 16)
    changes = [
        {"split": "val"},
        {"size": 128},
        {"channels": 3},
        {"seed": 1},
        {"shortcut": 0.5},
        {"scale_counts": 0.5},
        {"counts": {"mark": 7}},
    ]
    prints = {ProceduralSteel(**change).fingerprint for change in changes}
    assert len(prints | {base.fingerprint}) == len(changes) + 1


def test_fingerprint_follows_the_version(monkeypatch):
    before = ProceduralSteel().fingerprint
    monkeypatch.setattr(source, "VERSION", source.VERSION + 1)
    assert ProceduralSteel().fingerprint != before


@pytest.mark.parametrize(
    "change, message",
    [
        ({"size": 31}, r"size=31 is outside 32\.\.512 pixels; .*resize"),
        ({"size": 513}, r"size=513 is outside"),
        ({"channels": 2}, r"channels=2 .*use 1 or 3"),
        ({"split": "training"}, r"split='training' .*train, val, test"),
        ({"shortcut": 1.1}, r"shortcut=1\.1 is outside 0\.\.1"),
        ({"shortcut": float("nan")}, r"shortcut=nan is outside 0\.\.1"),
        ({"seed": -1}, r"seed=-1 is negative; use 0 or more"),
        ({"scale_counts": 0.0}, r"scale_counts=0\.0 is not above 0"),
        ({"counts": {"scratches": 1}}, r"'scratches'; the classes are normal, scratch"),
        ({"counts": {"mark": -1}}, r"counts\['mark'\]=-1"),
    ],
)
def test_errors_name_value_rule_and_remedy(change, message):
    with pytest.raises(ValueError, match=message):
        ProceduralSteel(**change)


def test_unknown_names():
    with pytest.raises(ValueError, match="use one of cold_rolled"):
        random_surface(0, "chrome")
    with pytest.raises(ValueError, match="use one of scratch"):
        random_defect("hole", 0)
    with pytest.raises(ValueError, match="size=16"):
        render(random_surface(0), size=16)


def test_contact_sheet(tmp_path):
    sheet = contact_sheet(size=32)
    assert sheet.dtype == np.uint8 and sheet.ndim == 3 and sheet.shape[-1] == 1
    source.main([f"--out={tmp_path / 'sheet.png'}", "--size=32"])
    np.testing.assert_array_equal(images.read_image(tmp_path / "sheet.png"), sheet)


# (mean, standard deviation, mask pixels): another value means another data set, so raise VERSION.
GOLDEN = {
    "scratch": (0.3338, 0.1679, 156),
    "shell": (0.2854, 0.2230, 471),
    "mark": (0.3205, 0.1919, 333),
    "scoring": (0.3142, 0.1990, 629),
    "tear": (0.3178, 0.2148, 199),
    "notching": (0.3214, 0.2225, 177),
}


@pytest.mark.parametrize("kind", KINDS)
def test_golden_numbers_of_version_1(kind):
    assert source.VERSION == 1
    image, mask = render(random_surface(11), random_defect(kind, 11))
    mean, deviation, pixels = GOLDEN[kind]
    assert image.mean() == pytest.approx(mean, abs=2e-4)
    assert image.std() == pytest.approx(deviation, abs=2e-4)
    assert abs(int((mask > 0).sum()) - pixels) <= 1


def test_clean_is_the_surface_without_its_defect(small):
    for index in range(len(small)):
        record, clean = small[index], small.clean(index)
        assert np.array_equal(clean, record["image"]) == (small.labels[index] == 0)
        outside = np.broadcast_to(record["mask"] == 0, clean.shape)
        assert np.array_equal(clean[outside], record["image"][outside])
        assert FAMILIES[small.families[index]] == small.spec(index)[0].family
