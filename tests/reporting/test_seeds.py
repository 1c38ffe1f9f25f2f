"""Pins mean and Student's t-interval over seeds against quantiles in closed form."""

import math

import pytest

from dtgan.reporting.seeds import over_seeds


def test_two_seeds():
    """One degree of freedom is Cauchy's distribution: its 97.5 % quantile is tan(0.475 pi)."""
    found = over_seeds([1.0, 3.0])
    half = math.tan(0.475 * math.pi)  # sd / sqrt(2) is 1
    assert found["mean"] == 2.0
    assert found["sd"] == pytest.approx(math.sqrt(2))
    assert found["ci95"] == pytest.approx([2 - half, 2 + half])


def test_three_seeds():
    """Two degrees of freedom: the quantile of p is (2 p - 1) / sqrt(2 p (1 - p))."""
    found = over_seeds([0.0, 1.0, 2.0])
    half = 0.95 / math.sqrt(2 * 0.975 * 0.025) / math.sqrt(3)
    assert (found["mean"], found["sd"]) == (1.0, 1.0)
    assert found["ci95"] == pytest.approx([1 - half, 1 + half])


def test_equal_values_have_an_interval_of_width_0():
    assert over_seeds([0.25] * 4) == {"mean": 0.25, "sd": 0.0, "ci95": [0.25, 0.25]}


def test_one_seed_has_a_mean_alone_and_none_has_nothing():
    assert over_seeds([0.25]) == {"mean": 0.25, "sd": None, "ci95": None}
    assert over_seeds([]) == {"mean": None, "sd": None, "ci95": None}
