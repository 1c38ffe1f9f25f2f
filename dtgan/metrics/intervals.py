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
    """The interval (low, high) = value -+ z error, of an estimate with standard error `error`."""
    return value - z * error, value + z * error


def wilson(successes, n, z=Z95):
    """Score interval (low, high) of a proportion, inside [0, 1] (Wilson 1927). Needs n >= 1.

    Unlike value -+ z error it does not shrink to a point at 0 and n successes.
    """
    rate, spread = successes / n, z * z / n
    centre = rate + spread / 2
    half = z * math.sqrt(rate * (1 - rate) / n + spread / (4 * n))
    # 0 and n successes reach 0 and 1 exactly, rounding does not.
    low = 0.0 if successes == 0 else (centre - half) / (1 + spread)
    high = 1.0 if successes == n else (centre + half) / (1 + spread)
    return low, high


def ratio_interval(numerators, denominators, seed=0, resamples=2000):
    """Estimate of sum(numerators) / sum(denominators), both [N], over N independent pairs.

    Percentile bootstrap over the pairs (Efron & Tibshirani 1993, chapter 13). For fewer than about
    15 pairs it is too narrow. The value is None where the denominators sum to 0; the interval is
    None there, for N < 2, and where the denominators of a resample sum to 0.
    """
    pairs = np.stack([numerators, denominators], axis=1).astype(np.float64)
    n = len(pairs)
    above, below = pairs.sum(axis=0)
    if below == 0:
        return Estimate(None, None)
    value = float(above / below)
    if n < 2:
        return Estimate(value, None)
    g = np.random.default_rng(seed)
    sums = np.stack([pairs[g.integers(n, size=n)].sum(axis=0) for _ in range(resamples)])
    if not sums[:, 1].all():
        return Estimate(value, None)
    low, high = np.quantile(sums[:, 0] / sums[:, 1], [0.025, 0.975])
    return Estimate(value, (float(low), float(high)))


def bootstrap_mean(values, seed=0, resamples=2000):
    """Estimate of the mean of `values` [N], as in `ratio_interval`; both None for N = 0."""
    return ratio_interval(values, np.ones(len(values)), seed, resamples)
