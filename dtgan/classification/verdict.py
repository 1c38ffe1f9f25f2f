"""Scores of an arm, paired comparison of two arms on the same test images, and a verdict.

Predictions are int [S, N]: S seeds, N test images; truth int [N] in 0..K-1.
"""

import math

import numpy as np
from scipy import stats

from dtgan.metrics.intervals import wilson
from dtgan.reporting.seeds import over_seeds

HELPS, HARMS, UNKNOWN = "HELPS", "HARMS", "CANNOT TELL"
ALPHA = 0.05  # of the paired tests
POWER = 0.8  # of the test that `needed_test_images` plans
RESAMPLES = 2000


def arm_scores(predicted, truth, classes):
    """Score one arm, JSON-able: mean, sd and 95 % interval over seeds of each score.

    {"error", "balanced_error" (mean over the classes present), "macro_f1", "per_class_error":
    {class: ...}}; "per_class_wilson": {class: 95 % interval over test images of the mean error};
    and "confusion": [[...]] images by true class (rows) and prediction, summed over seeds. A class
    without test images has None.
    """
    confusions = np.stack([confusion(row, truth, len(classes)) for row in predicted])
    present = np.flatnonzero(confusions[0].sum(1))
    wrong = 1.0 - _diagonal(confusions) / np.maximum(confusions.sum(2), 1)
    return {
        "error": over_seeds(1.0 - _diagonal(confusions).sum(1) / len(truth)),
        "balanced_error": over_seeds(wrong[:, present].mean(1)),
        "macro_f1": over_seeds(_f1(confusions)[:, present].mean(1)),
        "per_class_error": {
            name: over_seeds(wrong[:, k]) if k in present else None
            for k, name in enumerate(classes)
        },
        "per_class_wilson": {
            name: list(wilson(wrong[:, k].mean() * count, count)) if count else None
            for k, (name, count) in enumerate(zip(classes, confusions[0].sum(1), strict=True))
        },
        "confusion": confusions.sum(0).tolist(),
    }


def confusion(predicted, truth, num_classes):
    """Count images by true class (rows) and predicted class: int [K, K]."""
    table = np.zeros((num_classes, num_classes), int)
    np.add.at(table, (truth, predicted), 1)
    return table


def compare(wrong, wrong_against, seed=0):
    """Compare an arm with another on the same images: bool [S, N] each, True for an error.

    {"word", "delta", "ci95", "relative", "p_mcnemar", "discordant", "needed_test_images"}:
      delta: difference of the mean errors, below 0 where the arm is better; ci95: bootstrap over
        test images, the same ones for both arms, and over the seeds of each; relative: delta as a
        share of the other's error
      p_mcnemar: exact test (McNemar 1947) of the images on which just one of the arms errs; an arm
        errs on an image where most of its seeds do. discordant: (arm alone, other alone)
      word: HELPS or HARMS where both the interval excludes 0 and p < ALPHA, else CANNOT TELL
      needed_test_images: number of images that would show a difference of this size with
        probability POWER; None where there is no difference
    """
    differences = wrong.mean(0) - wrong_against.mean(0)
    delta, rng = float(differences.mean()), np.random.default_rng(seed)
    low, high = _bootstrap(wrong, wrong_against, rng)
    alone = wrong.mean(0) > 0.5, wrong_against.mean(0) > 0.5
    counts = int(np.sum(alone[0] & ~alone[1])), int(np.sum(alone[1] & ~alone[0]))
    p = stats.binomtest(counts[0], sum(counts)).pvalue if sum(counts) else 1.0
    word = UNKNOWN
    if p < ALPHA and (low > 0 or high < 0):
        word = HARMS if delta > 0 else HELPS
    other = float(wrong_against.mean())
    return {
        "word": word,
        "delta": delta,
        "ci95": [low, high],
        "relative": delta / other if other else None,
        "p_mcnemar": float(p),
        "discordant": list(counts),
        "needed_test_images": needed(differences),
    }


def needed(differences):
    """Compute the number of images that shows the mean of paired differences [N]; None for 0."""
    mean, n = float(np.mean(differences)), len(differences)
    if n < 2 or abs(mean) < 1e-12:
        return None
    z = stats.norm.ppf(1 - ALPHA / 2) + stats.norm.ppf(POWER)
    return max(2, math.ceil(z * z * float(np.var(differences, ddof=1)) / mean**2))


def _bootstrap(wrong, against, rng):
    """Bootstrap the percentile interval of the difference of mean errors; images paired."""
    images = rng.multinomial(wrong.shape[1], np.full(wrong.shape[1], 1 / wrong.shape[1]), RESAMPLES)
    totals = []
    for arm in (wrong, against):
        seeds = rng.multinomial(len(arm), np.full(len(arm), 1 / len(arm)), RESAMPLES) / len(arm)
        totals.append(np.einsum("rs,sn,rn->r", seeds, arm.astype(float), images, optimize=True))
    low, high = np.quantile((totals[0] - totals[1]) / wrong.shape[1], [0.025, 0.975])
    return float(low), float(high)


def _diagonal(confusions):
    return np.diagonal(confusions, axis1=1, axis2=2)


def _f1(confusions):
    """Compute F1 by class, 0 where a class is neither present nor predicted."""
    hits = _diagonal(confusions)
    return 2 * hits / np.maximum(confusions.sum(1) + confusions.sum(2), 1)
