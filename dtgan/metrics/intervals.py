"""Estimates with 95 % intervals: counts, means and ratios of sums. NumPy only, seeded."""

import math
from typing import NamedTuple

import numpy as np

Z95 = 1.959964  # 97.5 % quantile of the normal distribution


class Estimate(NamedTuple):
    """A number and its 95 % interval (low, high); None where the data do not give it."""

    value: float | None
    ci95: tuple[float, float] | None


def normal(value, error, z=Z95):
    """Compute the interval (low, high) = value -+ z error; error: standard error of the value."""
    return value - z * error, value + z * error


def wilson(successes, n, z=Z95):
    """Compute Wilson's score interval (low, high) of a proportion, inside [0, 1] (1927); n >= 1.

    Unlike value -+ z error it does not shrink to a point at 0 and n successes.
    """
    rate, spread = successes / n, z * z / n
    centre = rate + spread / 2
    half = z * math.sqrt(rate * (1 - rate) / n + spread / (4 * n))
    # 0 and n successes reach 0 and 1 exactly, rounding does not.
    low = 0.0 if successes == 0 else (centre - half) / (1 + spread)
    high = 1.0 if successes == n else (centre + half) / (1 + spread)
    return low, high


def resampling(n, seed=0, resamples=2000):
    """Draw bootstrap resamples: how often each of n pairs is taken, float64 [resamples, n]."""
    draws = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), resamples)
    return draws.astype(np.float64)


def ratio_interval(pairs, draws):
    """Estimate sum(a) / sum(b) over N independent pairs (a, b), [N, 2].

    Percentile bootstrap over the pairs (Efron & Tibshirani 1993, chapter 13), with the counts of
    `resampling`. For fewer than about 15 pairs it is too narrow. The value is None where the
    denominators sum to 0; the interval for fewer than two pairs with a denominator. Resamples
    whose denominators sum to 0 are left out.
    """
    above, below = pairs.sum(axis=0)
    value = float(above / below) if below > 0 else None
    if np.count_nonzero(pairs[:, 1]) < 2:
        return Estimate(value, None)
    above, below = (draws @ pairs).T
    low, high = np.quantile((above[below > 0] / below[below > 0]), [0.025, 0.975])
    return Estimate(value, (float(low), float(high)))


def error_table(wrong, total):
    """Tabulate a classifier's errors by class and over all, with Wilson intervals; JSON-able.

    wrong, total: {class: number of images}. Returns {"error", "error_ci95", "wrong", "total",
    "per_class": {class: the same four}}; errors are fractions, None for a class without images.
    """

    def row(wrong, total):
        return {
            "error": wrong / total if total else None,
            "error_ci95": list(wilson(wrong, total)) if total else None,
            "wrong": wrong,
            "total": total,
        }

    per_class = {name: row(wrong[name], total[name]) for name in total}
    return {**row(sum(wrong.values()), sum(total.values())), "per_class": per_class}
