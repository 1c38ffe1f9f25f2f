"""Does a mask of noise lie where a picture departs from its twin, the same without a defect?"""

import numpy as np

from dtgan.evaluation.fakes import render
from dtgan.metrics import intervals
from dtgan.sampling import requests

INSIDE = 0.5  # a mask above it is inside


def twin_scores(context, sampler):
    """Measure a model that draws picture, mask and twin of noise: report or None.

    Of `settings.num_pairs` pictures, in equal numbers of every class, with 95 % intervals over
    pictures (bootstrap), None where it is not defined; grey levels are 0..255:
      masked: share of pixels inside the mask
      inside_mae, outside_mae: mean |picture - twin| inside the mask, outside of it
      mask_iou: of the mask and the pixels with |picture - twin| above `threshold`
    threshold: Otsu's, of the differences of all pictures. empty: how many masks are empty;
    empty_changed: how many pictures of those differ from their twin.
    None for a model that does not draw all three, or that takes given images.
    """
    method, settings = sampler.method, context.settings
    given = {"defect", "surface"} & set(method.needs)
    if given or not {"mask", "clean"} <= set(method.gives):
        return None
    label = (1 + np.arange(settings.num_pairs) % (len(context.classes) - 1)).astype(np.int32)
    request = requests.of_pairs(method.needs, context.classes, {"label": label})
    drawn = render(sampler, request, settings.seed, "twins", len(label))
    return compare(drawn, settings.seed)


def compare(drawn, seed=0):
    """Compare "image" with "clean", uint8 [N, H, W, C], and "mask" [N, H, W, 1], see above."""
    change = np.abs(drawn["image"].astype(int) - drawn["clean"]).max(axis=-1)
    inside = drawn["mask"][..., 0] > INSIDE
    threshold = otsu(change)
    moved = change > threshold
    figures = {
        "masked": (inside, np.ones_like(inside)),
        "inside_mae": (change * inside, inside),
        "outside_mae": (change * ~inside, ~inside),
        "mask_iou": (moved & inside, moved | inside),
    }
    report = {"num": len(change), "threshold": threshold}
    draws = intervals.resampling(len(change), seed)
    for name, parts in figures.items():
        pairs = np.stack([part.sum(axis=(1, 2), dtype=np.float64) for part in parts], axis=-1)
        value, ci95 = intervals.ratio_interval(pairs, draws)
        report |= {name: value, f"{name}_ci95": ci95 and list(ci95)}
    empty = ~inside.any(axis=(1, 2))
    changed = change.any(axis=(1, 2))
    return report | {"empty": int(empty.sum()), "empty_changed": int((empty & changed).sum())}


def otsu(levels):
    """Find the level of 0..255 that divides integer levels best (Otsu 1979): above it, and not.

    The one of greatest variance between the two classes, the lowest of several.
    """
    counts = np.bincount(levels.ravel(), minlength=256).astype(np.float64)
    below, total = np.cumsum(counts), counts.sum()
    sums = np.cumsum(counts * np.arange(len(counts)))
    spread = (sums[-1] * below - sums * total) ** 2
    both = below * (total - below)
    return int(np.argmax(np.divide(spread, both, out=np.zeros_like(spread), where=both > 0)))
