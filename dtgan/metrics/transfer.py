"""The exact error of a defect transfer: x3 shall be the defect of x1 on the surface of x2.

Every figure is a ratio of sums over pairs. `measure` gives each pair's part of both sums,
`summarise` forms the ratios over all pairs and per class, with intervals over pairs.

A skill is 1 - error / error of doing nothing: 1 is the truth, 0 is the image left as it was, and
below 0 is worse than that.
"""

import numpy as np
from scipy import ndimage

from dtgan.config import ConfigError
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
    """Every pair's part of the sums behind the figures.

    pairs: uint8 [N, H, W, C] "image" x1, "normal" x2, "truth" of x3 and "clean" x1 without its
      defect (both None where unknown); "mask" uint8 [N, H, W, 1] in {0, 255} of the defect of x1;
      "has_mask" bool [N].
    drawn: uint8 "image" x3, "clean" x4, "removed" x1a, "rec" x1r; "mask" [N, H, W, 1] in 0..1.
    radius: of the square that dilates the mask for the skills, so that what a model draws just
      beside the defect counts; None is max(1, round(H / 32)) pixels.
    threshold: a pixel of the drawn mask is defect above it; see `choose_threshold`.

    Returns {name: float64 [N, 2]} of numerators and denominators for the names in FIGURES, both 0
    where a pair does not enter (no mask, no truth), and [N] "background_max" and "has_mask".
    Differences are absolute and in grey levels 0..255; see `summarise` for what the names mean.
    """
    x1, x2, truth, clean = (pairs[name] for name in ("image", "normal", "truth", "clean"))
    x3, has_mask = drawn["image"], np.asarray(pairs["has_mask"], bool)
    inside = _defect(pairs)
    outside = ~inside & has_mask[:, None, None, None]
    if radius is None:
        radius = max(1, round(inside.shape[1] / 32))
    side = 2 * radius + 1
    near = ndimage.maximum_filter(inside, size=(1, side, side, 1), mode="constant")
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
        "removal_skill": _gain(drawn["removed"], x1, clean, near),
        "rec_mae_inside": _difference(drawn["rec"], x1, inside),
        "rec_mae_outside": _difference(drawn["rec"], x1, outside),
        "texture_mae": _difference(drawn["clean"], x2),
        "texture_correlation": _texture_correlation(drawn["clean"], x2),
        "rec_mask_iou": _reconstructed_mask(drawn, inside, has_mask, threshold),
        "mask_iou": np.stack([overlap, union], axis=-1),
        "mask_precision": np.stack([overlap, predicted], axis=-1),
        "mask_recall": np.stack([overlap, true], axis=-1),
        "has_mask": has_mask,
    }


def mask_counts(soft, true, threshold):
    """Pixels per image, float64 [N]: "intersection", "union", "predicted", "true".

    soft: [N, H, W, 1] in 0..1, defect above `threshold`. true: uint8 [N, H, W, 1] in {0, 255}.
    """
    guess, true = soft > threshold, true > 127
    sets = {"intersection": guess & true, "union": guess | true, "predicted": guess, "true": true}
    return {name: np.sum(pixels, (1, 2, 3), dtype=np.float64) for name, pixels in sets.items()}


def choose_threshold(soft, true, labels):
    """The threshold with the best IoU, pooled by class and averaged over the classes, a float.

    Choose it on validation pairs. Every class counts alike: masks that fill an image would else
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
    """The figures of `measure`'s rows: {"overall": {...}, "per_class": {class with pairs: {...}}}.

    labels: int [N], the class of each defect; classes: names by label. Each figure comes with
    `<name>_ci95` = [low, high], by percentile bootstrap over pairs (they are taken as independent,
    so let no defect or surface repeat), None for fewer than two. A figure that cannot be had is
    None, never NaN. Grey levels are 0..255, all else a fraction.
      skill: of x3 against the truth, inside the dilated mask
      error: mean |x3 - truth| over the image, grey levels
      background_mae, background_max: of |x3 - x2| outside the mask, grey levels
      removal_skill: of x1a against x1 without its defect, inside the dilated mask
      rec_mae_inside, rec_mae_outside: mean |x1r - x1| inside and outside the mask, grey levels
      rec_mask_iou: of the mask |x1r - x1a| / 255 that reconstruction and removal leave
      texture_mae: mean |x4 - x2|, grey levels
      texture_correlation: mean normalised correlation of x4 and x2 after a Gaussian high-pass; 1
        where the pixels arrive, 0 where only the style does
      mask_iou, mask_precision, mask_recall: of the drawn mask, pixels pooled over pairs
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
    """Predictions that need no model: {name: drawn}, as `measure` takes pairs and drawn.

    oracle: the truth, only where `pairs` has it. nothing: x2, no defect drawn or removed.
    paste: the masked pixels of x1 on x2. poisson: the masked region of x1 cloned into x2, and
    removed from x1 by a membrane. All have x4 = x2 and x1r = x1. They are given the mask of x1, so
    that, but for `nothing`, their mask_iou of 1 means nothing. A pair without mask stays x2.
    """
    x1, x2, inside = pairs["image"], pairs["normal"], _defect(pairs)
    mask = np.where(inside, np.uint8(255), np.uint8(0))
    clone = np.stack([poisson.seamless_clone(*t) for t in zip(x1, x2, mask, strict=True)])
    filled = np.stack([poisson.membrane(*t) for t in zip(x1, mask, strict=True)])
    common = {"clean": x2, "rec": x1, "removed": x1, "mask": inside.astype(np.float32)}
    drawn = {
        "nothing": common | {"image": x2, "mask": np.zeros(inside.shape, np.float32)},
        "paste": common | {"image": np.where(inside, x1, x2)},
        "poisson": common | {"image": clone, "removed": filled},
    }
    if pairs["truth"] is not None:
        removed = x1 if pairs["clean"] is None else pairs["clean"]
        drawn = {"oracle": common | {"image": pairs["truth"], "removed": removed}} | drawn
    return drawn


def _defect(pairs):
    """bool [N, H, W, 1]: the masks, empty where a pair has none."""
    return (pairs["mask"] > 127) & np.asarray(pairs["has_mask"], bool)[:, None, None, None]


def _distance(a, b):
    """|a - b| of uint8 arrays, as uint8."""
    return np.maximum(a, b) - np.minimum(a, b)


def _difference(image, goal, where=True):
    """[N, 2]: the sum of |image - goal| over the pixels `where`, and the number of values."""
    if goal is None:
        return np.zeros((len(image), 2))
    where = np.broadcast_to(where, goal.shape)
    total = np.sum(_distance(image, goal), (1, 2, 3), dtype=np.float64, where=where)
    return np.stack([total, np.sum(where, (1, 2, 3), dtype=np.float64)], axis=-1)


def _gain(made, start, goal, where):
    """[N, 2]: how much nearer to `goal` `made` is than `start`, and how far `start` is."""
    left, whole = (_difference(image, goal, where)[:, 0] for image in (made, start))
    return np.stack([whole - left, whole], axis=-1)


def _reconstructed_mask(drawn, inside, has_mask, threshold):
    """[N, 2]: intersection and union of |x1r - x1a| / 255 > threshold with the true mask."""
    soft = np.mean(_distance(drawn["rec"], drawn["removed"]), axis=-1, keepdims=True) / 255
    counts = mask_counts(soft, np.where(inside, np.uint8(255), np.uint8(0)), threshold)
    rows = np.stack([counts["intersection"], counts["union"]], axis=-1)
    return np.where(has_mask[:, None], rows, 0.0)


def _texture_correlation(drawn, real):
    """[N, 2]: correlation of the high-passed images, and 1; 0, 0 where `real` has no texture."""
    rows = np.zeros((len(real), 2))
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
    """The figures of one group of pairs."""
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
