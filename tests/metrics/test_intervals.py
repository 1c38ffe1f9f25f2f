"""Pins the intervals: a textbook Wilson value, exact ratios, refusals, coverage."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from dtgan.metrics import intervals


def test_wilson_equals_published_values():
    """Newcombe 1998, table I, method 3: 81/263, 15/148, 0/20, 1/29."""
    assert_allclose(intervals.wilson(81, 263), (0.2553, 0.3662), atol=5e-5)
    assert_allclose(intervals.wilson(15, 148), (0.0624, 0.1605), atol=5e-5)
    assert_allclose(intervals.wilson(0, 20), (0.0, 0.1611), atol=5e-5)
    assert_allclose(intervals.wilson(1, 29), (0.0061, 0.1718), atol=5e-5)


def test_wilson_stays_inside_zero_and_one():
    for n in (1, 3, 7, 1000):
        for successes in (0, n):
            low, high = intervals.wilson(successes, n)
            assert 0 <= low < high <= 1
            assert (low == 0) == (successes == 0) and (high == 1) == (successes == n)


def ratio(above, below, seed=0, resamples=2000):
    pairs = np.stack([above, below], axis=1).astype(float)
    return intervals.ratio_interval(pairs, intervals.resampling(len(pairs), seed, resamples))


def test_ratio_is_of_the_sums_and_exact_where_pairs_agree():
    assert ratio([1, 3], [1, 1]).value == 2
    assert ratio([1, 0], [1, 3]).value == 0.25  # not the mean of ratios, 0.5
    value, (low, high) = ratio([2, 4, 8], [1, 2, 4])
    assert value == low == high == 2


def test_what_the_data_do_not_give_is_none():
    assert ratio([1, 2], [0, 0]) == (None, None)
    assert ratio([3], [2]) == (1.5, None)
    assert ratio([0, 1], [0, 2]) == (0.5, None)  # one pair alone has a denominator
    assert ratio([0, 1, 1], [0, 2, 2]) == (0.5, (0.5, 0.5))  # resamples without one are left out


def test_seed_decides():
    values, ones = np.random.default_rng(0).normal(size=30), np.ones(30)
    assert ratio(values, ones, 1) == ratio(values, ones, 1) != ratio(values, ones, 2)


@pytest.mark.parametrize("n", [15, 60])
def test_ratio_interval_covers(n):
    g = np.random.default_rng(n)
    hits = 0
    for seed in range(200):
        below = g.uniform(1, 3, n)
        low, high = ratio(0.4 * below + 0.3 * g.normal(size=n), below, seed, 300).ci95
        hits += low <= 0.4 <= high
    assert 0.88 <= hits / 200 <= 0.99


@pytest.mark.parametrize(
    ("wrong", "total", "percent"),
    [
        ((7, 2, 1, 5, 0), (9, 32, 9, 33, 83), "9.04"),
        ((4, 1, 1, 0, 3, 0), (35, 9, 32, 9, 33, 48), "5.42"),
    ],
)
def test_error_table_gives_the_errors_of_the_thesis(wrong, total, percent):
    names = "abcdef"[: len(total)]
    table = intervals.error_table(
        dict(zip(names, wrong, strict=True)), dict(zip(names, total, strict=True))
    )
    assert f"{100 * table['error']:.2f}" == percent and table["total"] == 166
    assert table["per_class"]["a"]["error"] == wrong[0] / total[0]
    assert table["per_class"][names[-1]]["error_ci95"][0] == 0
    assert intervals.error_table({"a": 0}, {"a": 0})["error"] is None
