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


def compare(wrong, wrong_against, groups=None, seed=0):
    """Compare an arm with another on the same images: bool [S, N] each, True for an error.

    groups: int [N], equal for images of one part or picture, whose errors are no independent
    evidence; by default each image is its own group. With d_i the difference of the two arms' mean
    errors on image i, D_g and n_g its sum over group g and the group's size, returns {"word",
    "delta", "ci95", "relative", "p_mcnemar", "discordant", "groups", "needed_test_images"}:
      delta: sum_g D_g / sum_g n_g, below 0 where the arm is better; ci95: percentile bootstrap of
        this ratio over groups drawn with replacement, the same ones for both arms, and over the
        seeds of each; relative: delta as a share of the other's error
      p_mcnemar: exact test (McNemar 1947) of the images on which just one of the arms errs; an arm
        errs on an image where most of its seeds do; see `sign_flips` for groups. discordant: (arm
        alone, other alone)
      word: HELPS or HARMS where both the interval excludes 0 and p < ALPHA, else CANNOT TELL
      groups: their number
      needed_test_images: number of images, in groups like these, that would show a difference of
        this size with probability POWER; None where there is no difference
    """
    number = wrong.shape[1]
    groups = np.unique(np.arange(number) if groups is None else groups, return_inverse=True)[1]
    differences = wrong.mean(0) - wrong_against.mean(0)
    delta, rng = float(differences.mean()), np.random.default_rng(seed)
    low, high = _bootstrap(wrong, wrong_against, groups, rng)
    alone = wrong.mean(0) > 0.5, wrong_against.mean(0) > 0.5
    only = alone[0] & ~alone[1], alone[1] & ~alone[0]
    counts = [int(np.sum(rows)) for rows in only]
    p = sign_flips(np.bincount(groups, only[0].astype(int) - only[1].astype(int)))
    word = UNKNOWN
    if p < ALPHA and (low > 0 or high < 0):
        word = HARMS if delta > 0 else HELPS
    other = float(wrong_against.mean())
    return {
        "word": word,
        "delta": delta,
        "ci95": [low, high],
        "relative": delta / other if other else None,
        "p_mcnemar": p,
        "discordant": counts,
        "groups": int(groups.max()) + 1,
        "needed_test_images": needed(differences, groups),
    }


def sign_flips(differences):
    """Compute the exact two-sided p of integer `differences` [G] that are as likely as negated.

    P(|sum_g s_g D_g| >= |sum_g D_g|) over independent fair signs s_g (Fisher 1935). Where each is
    -1, 0 or 1 this is McNemar's exact test; of clustered pairs it is the one that keeps a cluster
    whole, as Durkalski et al. (2003) do asymptotically.
    """
    steps = np.abs(np.asarray(differences, int))
    chance = np.ones(1)  # of the sums -n, -n + 1, ..., n
    for step in steps[steps > 0]:
        chance = (np.pad(chance, (0, 2 * step)) + np.pad(chance, (2 * step, 0))) / 2
    sums = np.abs(np.arange(len(chance)) - len(chance) // 2)
    return float(min(1.0, chance[sums >= abs(int(np.sum(differences)))].sum()))


def needed(differences, groups=None):
    """Compute the number of images that shows the mean of paired differences [N]; None for 0.

    The variance of the mean is that between groups, sum_g (D_g - n_g mean)^2 G / (G - 1) / N^2.
    """
    groups = np.arange(len(differences)) if groups is None else groups
    mean, n, sizes = float(np.mean(differences)), len(differences), np.bincount(groups)
    if len(sizes) < 2 or abs(mean) < 1e-12:
        return None
    z = stats.norm.ppf(1 - ALPHA / 2) + stats.norm.ppf(POWER)
    between = np.bincount(groups, differences) - mean * sizes
    variance = float(np.sum(between**2)) * len(sizes) / (len(sizes) - 1) / n  # of an image
    return max(2, math.ceil(z * z * variance / mean**2))


def enough_images(found, num_test):
    """Tell whether what `compare` found is open for the spread of the seeds, not for want of test
    images, of which there are num_test."""
    needed = found["needed_test_images"]
    return found["word"] == UNKNOWN and needed is not None and needed <= num_test


def _bootstrap(wrong, against, groups, rng):
    """Bootstrap the percentile interval of the difference of mean errors; groups int [N] paired."""
    sizes = np.bincount(groups)
    drawn = rng.multinomial(len(sizes), np.full(len(sizes), 1 / len(sizes)), RESAMPLES)
    totals = []
    for arm in (wrong, against):
        held = np.stack([np.bincount(groups, row) for row in arm])
        seeds = rng.multinomial(len(arm), np.full(len(arm), 1 / len(arm)), RESAMPLES) / len(arm)
        totals.append(np.einsum("rs,sg,rg->r", seeds, held, drawn, optimize=True))
    low, high = np.quantile((totals[0] - totals[1]) / (drawn @ sizes), [0.025, 0.975])
    return float(low), float(high)


def _diagonal(confusions):
    return np.diagonal(confusions, axis1=1, axis2=2)


def _f1(confusions):
    """Compute F1 by class, 0 where a class is neither present nor predicted."""
    hits = _diagonal(confusions)
    return 2 * hits / np.maximum(confusions.sum(1) + confusions.sum(2), 1)
