"""Pins the transfer error: exact ends of the scale, hand-computed sums, what is left out."""

import json

import numpy as np
import pytest

from dtgan import images
from dtgan.config import ConfigError
from dtgan.data.procedural import CLASSES, ProceduralSteel, render
from dtgan.metrics import transfer
from tests import goldens

MASKED = ("skill", "background_mae", "background_max", "removal_skill", "rec_mae_inside")
MASKED += ("rec_mae_outside", "mask_iou", "mask_precision", "mask_recall")


@pytest.fixture(scope="module")
def steel():
    """Five pairs of each class of procedural steel, 32 px, with their truth."""
    source = ProceduralSteel("test", size=32, counts=dict.fromkeys(CLASSES, 30))
    i, j = np.arange(30, len(source), 6), np.arange(30)
    truth = [source.transfer(a, b)[0] for a, b in zip(i, j, strict=True)]
    clean = [images.to_uint8(render(source.spec(a)[0], None, 32)[0]) for a in i]
    return {
        "image": np.stack([source[a]["image"] for a in i]),
        "normal": np.stack([source[b]["image"] for b in j]),
        "mask": np.stack([source[a]["mask"] for a in i]),
        "has_mask": np.ones(len(i), bool),
        "label": source.labels[i],
        "truth": np.stack(truth),
        "clean": np.stack(clean),
    }


def noise(seed, n=4, size=16, channels=3):
    return goldens.images(seed, n, size, channels)


def made(n=4):
    """Pairs and a drawing of noise, [n, 16, 16, 3]; the defect is a 4 by 4 square."""
    mask = np.zeros((n, 16, 16, 1), np.uint8)
    mask[:, 6:10, 6:10] = 255
    names = ("image", "normal", "truth", "clean")
    pairs = {name: noise(k, n) for k, name in enumerate(names)}
    pairs |= {"mask": mask, "has_mask": np.ones(n, bool), "label": np.arange(n) % 2 + 1}
    drawn = {name: noise(9 + k, n) for k, name in enumerate(("image", "clean", "removed", "rec"))}
    return pairs, drawn | {"mask": np.random.default_rng(0).random((n, 16, 16, 1), np.float32)}


def overall(pairs, drawn, **options):
    rows = transfer.measure(pairs, drawn, **options)
    return transfer.summarise(rows, pairs["label"], ("normal", "a", "b"))["overall"]


def test_references_on_procedural_steel(steel):
    found = {
        name: transfer.summarise(transfer.measure(steel, drawn), steel["label"], CLASSES)
        for name, drawn in transfer.references(steel).items()
    }
    assert list(found) == ["oracle", "nothing", "paste", "poisson"]
    score = {name: summary["overall"] for name, summary in found.items()}
    exact = {"skill": 1.0, "removal_skill": 1.0, "mask_iou": 1.0, "error": 0.0}
    assert exact.items() <= score["oracle"].items()
    assert score["oracle"]["skill_ci95"] == [1.0, 1.0]
    exact = {"skill": 0.0, "removal_skill": 0.0, "mask_iou": 0.0, "mask_precision": None}
    assert exact.items() <= score["nothing"].items()
    for name in found:
        assert score[name]["background_mae"] == score[name]["background_max"] == 0.0
        assert score[name]["texture_mae"] == 0.0
        assert score[name]["texture_correlation"] == pytest.approx(1.0, abs=1e-12)
    for name in ("paste", "poisson"):
        assert 0.3 < score[name]["skill"] < 0.9
        assert 0.0 < score[name]["error"] < score["nothing"]["error"]
    assert score["paste"]["removal_skill"] == 0.0
    assert 0.5 < score["poisson"]["removal_skill"] < 1.0
    per_class = found["paste"]["per_class"]
    assert list(per_class) == list(CLASSES[1:])
    assert all(figures["num_pairs"] == 5 for figures in per_class.values())


def test_hand_computed_sums():
    zero = np.zeros((1, 4, 4, 1), np.uint8)
    mask = zero.copy()
    mask[0, :2, :2] = 255
    truth, drawn, soft = zero.copy() + 100, zero.copy() + 100, np.zeros((1, 4, 4, 1))
    truth[0, :2, :2] = 140  # x2 is 100: the defect adds 4 * 40
    drawn[0, 0, :2] = 150  # 10 too bright twice, and 40 missing twice: 100 of 160
    drawn[0, 3, 3] = 70  # background, too dark by 30
    removed = drawn.copy()
    removed[0, 2, 2] = 107  # beside the mask
    soft[0, 0, :3] = 0.9
    pairs = {"image": truth, "normal": zero + 100, "truth": truth, "clean": zero + 100}
    pairs |= {"mask": mask, "has_mask": np.array([True])}
    made = {"image": drawn, "clean": zero + 102, "removed": removed, "rec": drawn}
    made["mask"] = soft
    rows = transfer.measure(pairs, made)  # radius 1: 3 x 3 pixels
    wanted = {
        "skill": (60, 160),
        "error": (130, 16),
        "background_mae": (30, 12),
        "removal_skill": (160 - 107, 160),  # 50 twice, and the 7
        "rec_mae_inside": (100, 4),
        "rec_mae_outside": (30, 12),
        "texture_mae": (32, 16),
        "texture_correlation": (0, 0),  # x2 is flat
        "rec_mask_iou": (0, 4),  # one pixel differs, by 37 of 255: below the threshold
        "mask_iou": (2, 5),
        "mask_precision": (2, 3),
        "mask_recall": (2, 4),
    }
    assert tuple(wanted) == transfer.FIGURES
    for name, parts in wanted.items():
        assert rows[name].dtype == np.float64 and tuple(rows[name][0]) == parts, name
    assert rows["background_max"] == [30.0]
    np.testing.assert_array_equal(transfer.measure(pairs, made, radius=2)["skill"], [[30, 160]])


def test_default_radius_is_a_thirty_second_of_the_height():
    pairs, drawn = made()
    for times, radius in ((1, 1), (4, 2), (8, 4)):
        large, picture = (
            {k: v.repeat(times, 1).repeat(times, 2) if v.ndim == 4 else v for k, v in d.items()}
            for d in (pairs, drawn)
        )
        default, given = (transfer.measure(large, picture, r)["skill"] for r in (None, radius))
        np.testing.assert_array_equal(default, given)
        assert np.any(default != transfer.measure(large, picture, radius + 1)["skill"])


def test_pair_without_mask_enters_only_unmasked_figures():
    pairs, drawn = made()
    pairs["has_mask"][3] = False
    found = overall(pairs, drawn)
    assert found["num_pairs"] == 4 and found["num_masked"] == 3
    three = [{k: v[:3] for k, v in d.items()} for d in (pairs, drawn)]
    for name in MASKED:
        assert found[name] == overall(*three)[name], name
    for name in ("error", "texture_mae", "texture_correlation"):
        assert found[name] != overall(*three)[name], name
    references = transfer.references(pairs)
    np.testing.assert_array_equal(references["paste"]["image"][3], pairs["normal"][3])
    np.testing.assert_array_equal(references["poisson"]["image"][3], pairs["normal"][3])


def test_no_mask_at_all_leaves_no_masked_figure():
    pairs, drawn = made()
    found = overall(pairs | {"has_mask": np.zeros(4, bool)}, drawn)
    assert all(found[name] is None for name in MASKED)
    assert found["num_masked"] == 0 and found["error"] > 0


def test_without_truth_the_rest_stays():
    pairs, drawn = made()
    with_truth = overall(pairs, drawn)
    pairs |= {"truth": None, "clean": None}
    found = overall(pairs, drawn)
    for name in ("skill", "error", "removal_skill"):
        assert found[name] is None and found[f"{name}_ci95"] is None
    same = [name for name in found if not name.startswith(("skill", "error", "removal"))]
    assert [found[name] for name in same] == [with_truth[name] for name in same]
    assert list(transfer.references(pairs)) == ["nothing", "paste", "poisson"]


DRAWN = {  # what the figures of an array need: all of them are None without it
    "clean": {"texture_mae", "texture_correlation"},
    "removed": {"removal_skill", "rec_mask_iou"},
    "rec": {"rec_mae_inside", "rec_mae_outside", "rec_mask_iou"},
    "mask": {"mask_iou", "mask_precision", "mask_recall"},
}


@pytest.mark.parametrize("left_out", [("clean",), ("removed",), ("rec",), ("mask",), tuple(DRAWN)])
def test_what_is_not_drawn_has_no_figure_and_the_rest_stays(left_out):
    pairs, drawn = made()
    everything = overall(pairs, drawn)
    found = overall(pairs, {name: x for name, x in drawn.items() if name not in left_out})
    lacking = set.union(*(DRAWN[name] for name in left_out))
    lacking |= {f"{name}_ci95" for name in lacking}
    if "mask" in left_out:
        lacking.add("mask_miou")
    assert found.keys() == everything.keys()
    assert {name for name, value in found.items() if value is None} == lacking
    same = found.keys() - lacking
    assert {name: found[name] for name in same} == {name: everything[name] for name in same}


def test_texture_correlation_tells_pixels_from_style():
    real, other = np.random.default_rng(0).integers(0, 128, (2, 4, 64, 64, 1), np.uint8)
    pairs, drawn = made()
    pairs |= dict.fromkeys(("image", "truth"), real) | {"normal": real, "clean": None}
    pairs["mask"], drawn["mask"] = (np.zeros((4, 64, 64, 1), np.uint8) for _ in range(2))

    def correlation(x4):
        shown = drawn | dict.fromkeys(("image", "removed", "rec"), real) | {"clean": x4}
        return overall(pairs, shown)["texture_correlation"]

    assert correlation(real) == pytest.approx(1.0, abs=1e-12)
    assert correlation(real + np.uint8(90)) == pytest.approx(1.0, abs=1e-12)
    assert correlation(255 - real) == pytest.approx(-1.0, abs=1e-12)
    assert abs(correlation(other)) < 0.05
    assert correlation(np.full_like(real, 77)) == 0.0
    pixel = np.full_like(real, 77)
    pixel[:, 20, 20] += 1
    assert correlation(pixel) != 0.0  # the least texture there is


def test_threshold_is_the_best_of_all():
    g = np.random.default_rng(0)
    true = np.where(g.random((3, 16, 16, 1)) < 0.2, np.uint8(255), np.uint8(0))
    soft = (true / 255 * 0.3 + g.random(true.shape)).astype(np.float32)

    def iou(threshold):
        counts = transfer.mask_counts(soft, true, threshold)
        return counts["intersection"].sum() / counts["union"].sum()

    found = transfer.choose_threshold(soft, true, np.zeros(3, int))
    assert iou(found) == max(iou(value) for value in np.unique(soft)) > iou(0.5)


def test_threshold_lies_between_the_two_sides():
    true = np.array([0, 0, 255, 255], np.uint8).reshape(1, 2, 2, 1)
    soft = np.array([0.0, 0.1, 0.2, 0.9], np.float32).reshape(true.shape)
    assert transfer.choose_threshold(soft, true, [1]) == pytest.approx(0.15)
    assert transfer.choose_threshold(np.full_like(soft, 0.3), true, [1]) == pytest.approx(0.3)
    with pytest.raises(ConfigError, match="no defect"):
        transfer.choose_threshold(soft, 0 * true, [1])


def test_a_class_of_large_masks_does_not_choose_the_threshold_alone():
    """Two images of small defects, drawn at 0.8 over 0.2, and one that is all defect, drawn as
    0.1: pooled, the threshold would be below 0.1."""
    true, soft = np.zeros((3, 16, 16, 1), np.uint8), np.full((3, 16, 16, 1), 0.2, np.float32)
    true[:2, :3, :3], soft[:2, :3, :3] = 255, 0.8
    true[2], soft[2] = 255, 0.1
    soft[2, 0, 0] = 0.0
    assert transfer.choose_threshold(soft, true, np.array([1, 2, 3])) == pytest.approx(0.5)
    assert transfer.choose_threshold(soft, true, np.array([1, 1, 1])) == pytest.approx(0.05)


def test_threshold_decides_the_mask_figures():
    pairs, drawn = made()
    low, high = (overall(pairs, drawn, threshold=t) for t in (0.1, 0.9))
    assert low["mask_recall"] > high["mask_recall"] > 0
    assert low["skill"] == high["skill"]


def test_figures_are_ratios_of_sums_per_class_and_over_all():
    pairs, drawn = made(6)
    rows = transfer.measure(pairs, drawn)
    rows["skill"] = np.array([[1, 2], [3, 10], [5, 6], [0, 0], [0, 0], [2, 10]], np.float64)
    summary = transfer.summarise(rows, pairs["label"], ("normal", "a", "b", "unused"))
    assert summary["overall"]["skill"] == 11 / 28
    assert set(summary["per_class"]) == {"a", "b"}  # labels 1, 2, 1, 2, 1, 2
    assert summary["per_class"]["a"]["skill"] == 6 / 8
    assert summary["per_class"]["b"]["skill"] == 5 / 20
    assert summary["per_class"]["a"]["background_max"] == rows["background_max"][::2].max()


def test_interval_of_a_mean_is_that_of_the_normal_law():
    values = np.random.default_rng(0).normal(10.0, 2.0, 400)
    pairs, drawn = made(1)
    rows = {key: row.repeat(400, axis=0) for key, row in transfer.measure(pairs, drawn).items()}
    rows["error"] = np.stack([values, np.ones(400)], axis=-1)
    found = transfer.summarise(rows, np.ones(400, int), ("normal", "a"), seed=1)["overall"]
    half = 1.96 * values.std() / 20
    np.testing.assert_allclose(
        found["error_ci95"], values.mean() + half * np.array([-1, 1]), atol=0.02
    )
    again = transfer.summarise(rows, np.ones(400, int), ("normal", "a"), seed=1)["overall"]
    assert again == found
    other = transfer.summarise(rows, np.ones(400, int), ("normal", "a"), seed=2)["overall"]
    assert other["error_ci95"] != found["error_ci95"] and other["error"] == found["error"]


def test_summary_is_json_without_nan_and_one_pair_has_no_interval():
    pairs, drawn = made(1)
    pairs |= {"mask": np.full((1, 16, 16, 1), 255, np.uint8)}  # no background
    found = overall(pairs, drawn | {"mask": np.zeros((1, 16, 16, 1), np.float32)})
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    for name in ("background_mae", "background_max", "rec_mae_outside", "mask_precision"):
        assert found[name] is None
    assert found["skill"] is not None and found["skill_ci95"] is None


def test_reconstructed_mask_is_where_removal_changes_the_reconstruction():
    mask = np.zeros((2, 8, 8, 1), np.uint8)
    mask[:, 2:4, 2:6] = 255
    x1 = np.full((2, 8, 8, 1), 100, np.uint8)
    removed = np.where(mask > 0, np.uint8(180), x1)
    removed[1] = x1[1]
    removed[1, 2:4, 2:4] = 180  # half of the defect
    pairs = {"image": x1, "normal": x1, "mask": mask, "truth": None, "clean": None}
    pairs["has_mask"] = np.ones(2, bool)
    drawn = {"image": x1, "clean": x1, "rec": x1, "removed": removed}
    rows = transfer.measure(pairs, drawn | {"mask": np.zeros((2, 8, 8, 1), np.float32)}, None, 0.2)
    np.testing.assert_array_equal(rows["rec_mask_iou"], [[8, 8], [4, 8]])
    pairs["has_mask"] = np.array([False, True])
    rows = transfer.measure(pairs, drawn | {"mask": np.zeros((2, 8, 8, 1), np.float32)}, None, 0.2)
    np.testing.assert_array_equal(rows["rec_mask_iou"][0], [0, 0])
