"""What a translation paints on held-out surfaces, keeps of them, and removes from defect images."""

import numpy as np

from dtgan import mattes
from dtgan.evaluation.fakes import render
from dtgan.metrics import intervals, transfer
from dtgan.sampling import requests
from dtgan.sampling.pairs import Pairs

PAINTED = mattes.DRAWN  # m above it counts as painted
BATCH = 64  # pairs measured at once


def translation_scores(context, sampler):
    """Measure a model that paints classes of defects on surfaces: (report or None, notes).

    Of `settings.num_pairs` pairs of a defect image d and a surface n, with 95 % intervals over
    pairs (bootstrap), None where it is not defined; grey levels are 0..255:
      change_mae: mean |d' - n|
      painted: share of pixels where m > PAINTED
      background_mae: mean |d' - n| where m is not above it
      removal_skill: of n' against d without its defect, as in `metrics.transfer`
    None for a model that carries defects (see `transfer`), or knows no surfaces.
    """
    method, settings = sampler.method, context.settings
    if method.transfers or "surface" not in method.needs:
        return None, {}
    images = context.split(settings.split)
    if not np.any(images.label == 0) or not np.any(images.label > 0):
        return None, {"translation": f"the split {settings.split!r} lacks normals or defects"}
    source = context.sources[settings.split]
    rows = {}
    pairs = Pairs(context.config, source, settings.num_pairs, BATCH, settings.seed, distinct=True)
    for number, batch in enumerate(pairs):
        request = requests.of_pairs(requests.in_full(method), context.classes, batch)
        drawn = render(sampler, request, settings.seed, f"{settings.split}/{number}")
        for name, values in _measure(batch, drawn).items():
            rows.setdefault(name, []).append(values)
    total = sum(len(part) for part in rows["change_mae"])
    draws, report = intervals.resampling(total, settings.seed), {}
    for name, parts in rows.items():
        value, ci95 = intervals.ratio_interval(np.concatenate(parts), draws)
        report |= {name: value, f"{name}_ci95": ci95 and list(ci95)}
    notes = {}
    if "mask" not in method.gives:
        notes["translation.painted"] = f"method={context.config.method} draws no mask"
    return report | {"num_pairs": total, "split": settings.split}, notes


def _measure(pairs, drawn):
    """Compute every pair's numerator and denominator of the figures: {name: float64 [N, 2]}."""
    change = np.abs(drawn["image"].astype(np.float64) - pairs["normal"])
    free = np.zeros(change.shape, bool)
    if "mask" in drawn:
        free = np.broadcast_to(drawn["mask"] <= PAINTED, change.shape)
    return {
        "change_mae": _ratio(change, np.ones(change.shape, bool)),
        "painted": _ratio(1.0 - free, np.full(change.shape, "mask" in drawn)),
        "background_mae": _ratio(change, free),
        "removal_skill": transfer.measure(pairs, drawn)["removal_skill"],
    }


def _ratio(values, where):
    """Sum the values `where`, and count them: [N, 2]."""
    axes = tuple(range(1, values.ndim))
    return np.stack([np.sum(values * where, axes), np.sum(where, axes, dtype=np.float64)], axis=-1)
