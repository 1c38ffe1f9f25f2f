"""The exact error of a defect transfer: x3 shall be the defect of x1 on the surface of x2.

Every figure is a ratio of sums over pairs. `measure` computes each pair's part of both sums,
`summarise` the ratios over all pairs and per class, with intervals over pairs.

A skill is 1 - error / error of doing nothing: 1 for the truth, 0 for the unchanged image, below 0
for anything worse.
"""

import numpy as np
from scipy import ndimage

from dtgan.config import ConfigError
from dtgan.images import paste
from dtgan.metrics import intervals, poisson

FIGURES = (
    "skill",
    "error",
    "background_mae",
    "removal_skill",
    "rec_mae_inside",
    "rec_mae_outside",
    "texture_mae",
    "texture_correlation",
    "rec_mask_iou",
    "mask_iou",
    "mask_precision",
    "mask_recall",
)
HIGH_PASS_SIGMA = 1.5  # pixels

# Energy of a high-passed flat image is rounding; one grey level in one pixel already gives 0.8.
_FLAT = 1e-6


def measure(pairs, drawn, radius=None, threshold=0.5):
    """Compute every pair's part of the sums behind the figures.

    pairs: uint8 [N, H, W, C] "image" x1, "normal" x2, "truth" of x3 and "clean" x1 without its
      defect (both None where unknown); "mask" uint8 [N, H, W, 1] in {0, 255} of the defect of x1;
      "has_mask" bool [N].
    drawn: uint8 "image" x3 and, where the method gives them, "clean" x4, "removed" x1a, "rec" x1r;
      "mask" [N, H, W, 1] in 0..1.
    radius: of the square that dilates the mask for the skills, so that pixels changed just beside
      the defect count; None is max(1, round(H / 32)) pixels.
    threshold: pixels of the model's mask above it are defect; see `choose_threshold`.

    Returns {name: float64 [N, 2]} of numerators and denominators for the names in FIGURES, both 0
    where a pair does not enter (no mask, no truth, no output), and [N] "background_max" and
    "has_mask". Differences are absolute and in grey levels 0..255; the names are explained in
    `summarise`.
    """
    x1, x2, truth, clean = (pairs[name] for name in ("image", "normal", "truth", "clean"))
    x3, has_mask = drawn["image"], np.asarray(pairs["has_mask"], bool)
    x4, x1a, x1r = (drawn.get(name) for name in ("clean", "removed", "rec"))
    inside = _defect(pairs)
    outside = ~inside & has_mask[:, None, None, None]
    if radius is None:
        radius = max(1, round(inside.shape[1] / 32))
    side = 2 * radius + 1
    near = ndimage.maximum_filter(inside, size=(1, side, side, 1), mode="constant")
    overlap, union, predicted, true = np.zeros((4, len(x3)))
    if "mask" in drawn:
        counts = mask_counts(drawn["mask"], pairs["mask"], threshold)
        overlap, union, predicted, true = (
            np.where(has_mask, counts[name], 0.0)
            for name in ("intersection", "union", "predicted", "true")
        )
    return {
        "skill": _gain(x3, x2, truth, near),
        "error": _difference(x3, truth),
        "background_mae": _difference(x3, x2, outside),
        "background_max": np.max(np.where(outside, _distance(x3, x2), 0), (1, 2, 3)) * 1.0,
        "removal_skill": _gain(x1a, x1, clean, near),
        "rec_mae_inside": _difference(x1r, x1, inside),
        "rec_mae_outside": _difference(x1r, x1, outside),
        "texture_mae": _difference(x4, x2),
        "texture_correlation": _texture_correlation(x4, x2),
        "rec_mask_iou": _reconstructed_mask(x1r, x1a, inside, has_mask, threshold),
        "mask_iou": np.stack([overlap, union], axis=-1),
        "mask_precision": np.stack([overlap, predicted], axis=-1),
        "mask_recall": np.stack([overlap, true], axis=-1),
        "has_mask": has_mask,
    }


def mask_counts(soft, true, threshold):
    """Count pixels per image, float64 [N]: "intersection", "union", "predicted", "true".

    soft: [N, H, W, 1] in 0..1, defect above `threshold`. true: uint8 [N, H, W, 1] in {0, 255}.
    """
    guess, true = soft > threshold, true > 127
    sets = {"intersection": guess & true, "union": guess | true, "predicted": guess, "true": true}
    return {name: np.sum(pixels, (1, 2, 3), dtype=np.float64) for name, pixels in sets.items()}


def choose_threshold(soft, true, labels):
    """Choose the threshold with the best IoU, pooled by class and averaged over classes: a float.

    To be chosen on validation pairs. Every class counts alike: else masks that fill an image would
    decide alone. soft, true: as in `mask_counts`, of pairs that have a mask; labels: int [N]. The
    candidates lie half-way between neighbouring values of `soft`, so that none is missed. Raises
    ConfigError without any defect.
    """
    if not np.any(true > 127):
        raise ConfigError("the masks show no defect; choose the threshold on pairs with masks")
    values = np.unique(soft).astype(np.float64)
    candidates = np.append(values[:-1] + np.diff(values) / 2, values[-1])
    total = np.zeros(len(candidates))
    for label in np.unique(labels):
        of_class = soft[labels == label]
        hits, of_class = (
            np.sort(of_class[true[labels == label] > 127]),
            np.sort(of_class, axis=None),
        )
        predicted = of_class.size - np.searchsorted(of_class, candidates, side="right")
        overlap = hits.size - np.searchsorted(hits, candidates, side="right")
        total += overlap / np.maximum(predicted + hits.size - overlap, 1)
    return float(candidates[np.argmax(total)])


def summarise(rows, labels, classes, seed=0):
    """Compute the figures of `measure`'s rows: {"overall": {...}, "per_class": {class: {...}}}.

    labels: int [N], the class of each defect; classes: names by label, of which those with pairs
    are reported. Each figure comes with `<name>_ci95` = [low, high], by percentile bootstrap over
    pairs (assumed independent: no defect or surface should repeat), None for fewer than two. A
    figure that is not defined is None, never NaN. Grey levels are 0..255, all else a fraction.
      skill: of x3 against the truth, inside the dilated mask
      error: mean |x3 - truth| over the image, grey levels
      background_mae, background_max: of |x3 - x2| outside the mask, grey levels
      removal_skill: of x1a against x1 without its defect, inside the dilated mask
      rec_mae_inside, rec_mae_outside: mean |x1r - x1| inside and outside the mask, grey levels
      rec_mask_iou: of the mask |x1r - x1a| / 255, the difference of reconstruction and removal
      texture_mae: mean |x4 - x2|, grey levels
      texture_correlation: mean normalised correlation of x4 and x2 after a Gaussian high-pass; 1
        where the pixels arrive, 0 where only the style does
      mask_iou, mask_precision, mask_recall: of the model's mask, pixels pooled over pairs
      mask_miou: mask_iou averaged over the classes, overall only
      num_pairs, num_masked: pairs, and those with a mask, which alone enter the masked figures
    """
    labels = np.asarray(labels)
    groups = {classes[label]: labels == label for label in np.unique(labels)}
    per_class = {
        name: _summary({key: row[where] for key, row in rows.items()}, seed)
        for name, where in groups.items()
    }
    known = [row["mask_iou"] for row in per_class.values() if row["mask_iou"] is not None]
    overall = _summary(rows, seed) | {"mask_miou": float(np.mean(known)) if known else None}
    return {"overall": overall, "per_class": per_class}


def references(pairs):
    """Make predictions that need no model: {name: drawn}; pairs, drawn as in `measure`.

    oracle: the truth, only where `pairs` has it. nothing: x2, no defect added or removed.
    paste: the masked pixels of x1 on x2. poisson: the masked region of x1 cloned into x2, and
    removed from x1 by a membrane. All have x4 = x2 and x1r = x1. All but `nothing` are given the
    mask of x1, so their mask_iou of 1 says nothing. A pair without mask stays x2.
    """
    x1, x2, inside = pairs["image"], pairs["normal"], _defect(pairs)
    mask = np.where(inside, np.uint8(255), np.uint8(0))
    clone = np.stack([poisson.seamless_clone(*t) for t in zip(x1, x2, mask, strict=True)])
    filled = np.stack([poisson.membrane(*t) for t in zip(x1, mask, strict=True)])
    common = {"clean": x2, "rec": x1, "removed": x1, "mask": inside.astype(np.float32)}
    drawn = {
        "nothing": common | {"image": x2, "mask": np.zeros(inside.shape, np.float32)},
        "paste": common | {"image": paste(x1, mask, x2)},
        "poisson": common | {"image": clone, "removed": filled},
    }
    if pairs["truth"] is not None:
        removed = x1 if pairs["clean"] is None else pairs["clean"]
        drawn = {"oracle": common | {"image": pairs["truth"], "removed": removed}} | drawn
    return drawn


def _defect(pairs):
    """Return the masks as bool [N, H, W, 1], empty where a pair has none."""
    return (pairs["mask"] > 127) & np.asarray(pairs["has_mask"], bool)[:, None, None, None]


def _distance(a, b):
    """Compute |a - b| of uint8 arrays, as uint8."""
    return np.maximum(a, b) - np.minimum(a, b)


def _difference(image, goal, where=True):
    """Compute the sum of |image - goal| over the pixels `where`, and the number of values: [N, 2].

    Zeros where one of them is None, that is, not known or not given by the method.
    """
    if image is None or goal is None:
        return np.zeros((len(goal if image is None else image), 2))
    where = np.broadcast_to(where, goal.shape)
    total = np.sum(_distance(image, goal), (1, 2, 3), dtype=np.float64, where=where)
    return np.stack([total, np.sum(where, (1, 2, 3), dtype=np.float64)], axis=-1)


def _gain(made, start, goal, where):
    """Compute by how much `made` is nearer to `goal` than `start`, and `start`'s error: [N, 2]."""
    if made is None or goal is None:
        return np.zeros((len(start), 2))
    left, whole = (_difference(image, goal, where)[:, 0] for image in (made, start))
    return np.stack([whole - left, whole], axis=-1)


def _reconstructed_mask(x1r, x1a, inside, has_mask, threshold):
    """Count intersection and union of |x1r - x1a| / 255 > threshold and the true mask: [N, 2]."""
    if x1r is None or x1a is None:
        return np.zeros((len(inside), 2))
    soft = np.mean(_distance(x1r, x1a), axis=-1, keepdims=True) / 255
    counts = mask_counts(soft, np.where(inside, np.uint8(255), np.uint8(0)), threshold)
    rows = np.stack([counts["intersection"], counts["union"]], axis=-1)
    return np.where(has_mask[:, None], rows, 0.0)


def _texture_correlation(drawn, real):
    """Correlate the high-passed images: [N, 2] of correlation and 1; zeros if `real` is flat."""
    rows = np.zeros((len(real), 2))
    if drawn is None:
        return rows
    for row, images in zip(rows, zip(drawn, real, strict=True), strict=True):
        a, b = (_high_pass(image.astype(np.float64)) for image in images)
        energy_a, energy_b = np.sum(a * a), np.sum(b * b)
        row[1] = energy_b > _FLAT
        if min(energy_a, energy_b) > _FLAT:
            row[0] = np.sum(a * b) / np.sqrt(energy_a * energy_b)
    return rows


def _high_pass(image):
    return image - ndimage.gaussian_filter(image, (HIGH_PASS_SIGMA, HIGH_PASS_SIGMA, 0))


def _summary(rows, seed):
    """Compute the figures of one group of pairs."""
    number = len(rows["has_mask"])
    draws, summary = intervals.resampling(number, seed), {}
    for name in FIGURES:
        value, ci95 = intervals.ratio_interval(rows[name], draws)
        summary |= {name: value, f"{name}_ci95": ci95 and list(ci95)}
    counted = rows["background_mae"][:, 1] > 0
    largest = rows["background_max"][counted]
    summary["background_max"] = float(largest.max()) if largest.size else None
    summary["num_pairs"] = number
    summary["num_masked"] = int(np.sum(rows["has_mask"]))
    return summary
