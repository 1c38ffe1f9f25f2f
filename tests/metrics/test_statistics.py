"""Pins the scores of feature sets: golden numbers, closed forms, intervals, and no NaN anywhere."""

import json
import math

import numpy as np
import pytest
import scipy.linalg
from numpy.testing import assert_allclose

from dtgan.config import ConfigError
from dtgan.metrics import statistics
from tests import goldens


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


@pytest.mark.parametrize("d, n, m", [(64, 500, 300), (256, 200, 100), (2048, 400, 64)])
def test_golden_fid_and_kid(d, n, m):
    g = np.random.Generator(np.random.PCG64(d))
    a = np.abs(g.standard_normal((n, d))) * 0.5
    b = np.abs(g.standard_normal((m, d)) * 0.6 + 0.05)
    expected = goldens.values("scores")
    assert_allclose(statistics.frechet_distance(a, b).value, expected[f"fid_{d}"], rtol=1e-6)
    few = min(n, m)
    assert_allclose(statistics.mmd2(a[:few], b[:few]), expected[f"kid_{d}"], rtol=0, atol=1e-12)


# Frechet distance


@pytest.mark.parametrize("n, m", [(40, 50), (40, 9), (9, 40), (9, 8)])
def test_fid_equals_the_matrix_square_root(n, m):
    """Sets larger and smaller than d = 12 take different ways."""
    x, y = normal(n, 12), normal(m, 12, seed=1) * np.linspace(0.5, 2, 12) + 0.3
    c1, c2 = (np.cov(z, rowvar=False) for z in (x, y))
    # As sqrt(C1) C2 sqrt(C1), which is symmetric: its root exists for singular covariances too.
    values, vectors = np.linalg.eigh(c1)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    middle = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ c2 @ root), 0)).sum()
    if min(n, m) > 12:
        assert_allclose(middle, np.trace(scipy.linalg.sqrtm(c1 @ c2)).real, rtol=1e-8)
    expected = np.sum((x.mean(0) - y.mean(0)) ** 2) + np.trace(c1) + np.trace(c2) - 2 * middle
    assert_allclose(statistics.frechet_distance(x, y).value, expected, rtol=1e-6)


@pytest.mark.parametrize("n, d", [(50, 8), (6, 30), (2, 3)])
def test_fid_of_a_shifted_and_of_a_scaled_set(n, d):
    x, shift = normal(n, d), normal(d, seed=1)
    assert_allclose(statistics.frechet_distance(x, x + shift).value, shift @ shift, rtol=1e-9)
    x -= x.mean(axis=0)
    trace = np.trace(np.cov(x, rowvar=False))  # (s - 1)^2 tr C
    assert_allclose(statistics.frechet_distance(x, 3 * x).value, 4 * trace, rtol=1e-9)


def test_fid_of_isotropic_sets():
    """The rows +-e_i have covariance 2 I / (2 d - 1): FID is d (s1 - s2)^2."""
    d = 5
    x = np.concatenate([np.eye(d), -np.eye(d)])
    deviation = math.sqrt(2 / (2 * d - 1))
    value = statistics.frechet_distance(4 * x, x).value
    assert_allclose(value, d * (3 * deviation) ** 2, rtol=1e-12)


def test_fid_error_is_the_derivative_by_the_weights_of_rows():
    """A row taken k times among K copies of the set changes FID by its influence."""
    x, y, copies = normal(7, 4), normal(6, 4, seed=1) + 0.5, 4000

    def influences(rows, score):
        base = score(rows, np.full(len(rows), copies))
        for i in range(len(rows)):
            weights = np.full(len(rows), copies)
            weights[i] += 1
            yield (score(rows, weights) - base) * copies * len(rows)

    def with_weights(rows, weights):
        """Two moments of the weighted rows in few: R^T R is their covariance with N - 1."""
        mean = np.average(rows, axis=0, weights=weights)
        centred = rows - mean
        scale = weights / weights.sum() * len(rows) / (len(rows) - 1)
        return mean, (centred * scale[:, None]).T @ centred

    def fid(first, second):
        (m1, c1), (m2, c2) = first, second
        middle = np.trace(scipy.linalg.sqrtm(c1 @ c2)).real
        return (m1 - m2) @ (m1 - m2) + np.trace(c1) + np.trace(c2) - 2 * middle

    other_x, other_y = ((z.mean(0), np.cov(z, rowvar=False)) for z in (x, y))
    of_x = list(influences(x, lambda z, w: fid(with_weights(z, w), other_y)))
    of_y = list(influences(y, lambda z, w: fid(other_x, with_weights(z, w))))
    error = math.sqrt(np.var(of_x, ddof=1) / len(x) + np.var(of_y, ddof=1) / len(y))
    value, (_, high) = statistics.frechet_distance(x, y)
    assert_allclose((high - value) / 1.959964, error, rtol=1e-3)


@pytest.mark.parametrize("n, m, d, shift", [(12, 40, 64, 0.0), (40, 40, 16, 0.3)])
def test_fid_and_kid_intervals_cover(n, m, d, shift):
    """The mean over many draws lies in about 95 % of the intervals, more for equal sets."""
    fids, kids = [], []
    g = np.random.default_rng(n)
    for _ in range(200):
        x, y = g.normal(size=(n, d)), g.normal(size=(m, d)) + shift
        fids.append(statistics.frechet_distance(x, y))
        kids.append(statistics.kid(x, y, subsets=20))
    for scores in (fids, kids):
        mean = np.mean([score.value for score in scores])
        inside = np.mean([score.ci95[0] <= mean <= score.ci95[1] for score in scores])
        assert inside >= 0.9
        width = np.mean([score.ci95[1] - score.ci95[0] for score in scores])
        assert width < 2 * 3.92 * np.std([score.value for score in scores])


# KID


def test_mmd2_equals_its_definition():
    x, y = normal(5, 3), normal(4, 3, seed=1)

    def k(a, b):
        return (a @ b / 3 + 1) ** 3

    within = [
        np.mean([k(z[i], z[j]) for i in range(len(z)) for j in range(len(z)) if i != j])
        for z in (x, y)
    ]
    cross = np.mean([k(a, b) for a in x for b in y])
    assert_allclose(statistics.mmd2(x, y), sum(within) - 2 * cross, rtol=1e-12)


def test_mmd2_of_equal_sets():
    constant = np.full((6, 8), 0.3)
    assert_allclose(statistics.mmd2(constant, constant), 0, atol=1e-12)
    x = normal(20, 8)
    assert statistics.mmd2(x, x) < 0


def test_kid_of_the_whole_set_is_mmd2_with_its_jackknife():
    x, y = normal(10, 6), normal(10, 6, seed=1) + 0.5
    result = statistics.kid(x, y, subsets=3)
    assert_allclose(result.value, 1e3 * statistics.mmd2(x, y), rtol=1e-12)
    variance = 0
    for values in (
        [statistics.mmd2(np.delete(x, i, axis=0), y) for i in range(10)],
        [statistics.mmd2(x, np.delete(y, i, axis=0)) for i in range(10)],
    ):
        variance += 9 / 10 * np.sum((values - np.mean(values)) ** 2)
    half = 1.959964e3 * math.sqrt(variance)
    assert_allclose(result.ci95, (result.value - half, result.value + half), rtol=1e-10)
    assert result[2:] == (10, "jackknife")


def test_kid_takes_subsets_of_the_size_it_reports():
    x, y = normal(60, 4), normal(70, 4, seed=1)
    assert statistics.kid(x, y, 1000, 3)[2:] == (60, "jackknife")
    assert statistics.kid(x, y, 31, 3)[2:] == (31, "jackknife")
    with pytest.raises(ConfigError, match="subset_size 1"):
        statistics.kid(x, y, 1)
    result = statistics.kid(x, y, 30, 50)
    assert result[2:] == (30, "subsets")
    assert result == statistics.kid(x, y, 30, 50) != statistics.kid(x, y, 30, 50, seed=1)
    # Two subsets of two rows, one by one.
    g = np.random.default_rng(3)
    chosen = [[g.choice(len(z), 2, replace=False) for _ in range(2)] for z in (x, y)]
    expected = [statistics.mmd2(x[i], y[j]) for i, j in zip(*chosen, strict=True)]
    assert_allclose(statistics.kid(x, y, 2, 2, seed=3).value, 1e3 * np.mean(expected), rtol=1e-9)


def test_blocks_do_not_change_a_score(monkeypatch):
    x, y = normal(30, 4), normal(25, 4, seed=1)
    kid, covered = statistics.kid(x, y), statistics.precision_recall(x, y)
    monkeypatch.setattr(statistics, "BLOCK", 7)
    assert_allclose(statistics.kid(x, y).value, kid.value, rtol=1e-9)
    assert statistics.precision_recall(x, y) == covered


# Precision and recall, clustered LPIPS, mean distance


def test_precision_and_recall_of_equal_far_and_nested_sets():
    x = normal(30, 5)
    for score in statistics.precision_recall(x, x):
        assert score.value == 1 and 0.8 < score.ci95[0] < 1 == score.ci95[1]
    for score in statistics.precision_recall(x, x + 100):
        assert score.value == 0 == score.ci95[0] < score.ci95[1] < 0.2
    constant = np.full((6, 5), 0.1)
    assert [score.value for score in statistics.precision_recall(constant, constant)] == [1, 1]


def test_precision_and_recall_by_hand():
    real = np.arange(10.0)[:, None]  # balls of radius 1: they hold the fakes below 50
    fake = np.array([[0.0], [0.1], [0.2], [0.3], [50.0], [50.1]])  # of 0.1: they hold the real 0
    precision, recall = statistics.precision_recall(real, fake, k=1)
    assert (precision.value, recall.value) == (4 / 6, 1 / 10)
    # With a lone fake at 50 the ball around it reaches all reals.
    assert statistics.precision_recall(real, fake[:5], k=1)[1].value == 1


def test_mean_distance_is_between_means():
    x = normal(9, 4)
    assert_allclose(statistics.mean_distance(x, x + 2), 16, rtol=1e-12)
    assert statistics.mean_distance(x[:1], x[:1]) == 0


def test_clustered_lpips_by_hand():
    reals = np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 90.0]])
    fakes = np.array([[0, 1], [1, 0], [0, 0], [9, 0], [10, 2]], np.float32)
    # Squared distances 2, 1, 1 in the first cluster, 5 in the second, none in the third.
    expected = ((2 + 1 + 1) / 3 + 5) / 3
    result = statistics.clustered_lpips(fakes, reals)
    assert_allclose(result.mean, expected, rtol=1e-12)
    assert_allclose(result.mean_nonzero, 1.5 * expected, rtol=1e-12)
    assert result.clusters == 2


def test_clustered_lpips_of_copies_is_zero():
    reals = normal(6, 40).astype(np.float32)
    assert statistics.clustered_lpips(reals, reals) == (0.0, None, 6)
    constant = np.repeat(normal(1, 40, seed=1).astype(np.float32), 50, axis=0)
    assert statistics.clustered_lpips(constant, reals) == (0.0, None, 1)


def test_clustered_lpips_repo_keeps_the_first_200():
    reals = np.zeros((1, 2), np.float32)
    fakes = np.repeat(np.float32([[0, 0], [1, 0]]), [200, 50], axis=0)
    assert statistics.clustered_lpips(fakes, reals, "repo").mean == 0
    # 200 * 50 unequal pairs at distance 1 of 250 * 249 / 2.
    paper = statistics.clustered_lpips(fakes, reals, "paper").mean
    assert_allclose(paper, 200 * 50 / (250 * 249 / 2), rtol=1e-12)
    with pytest.raises(ConfigError, match="'cdc'"):
        statistics.clustered_lpips(fakes, reals, "cdc")


# All scores of two sets


def features(n, seed=0, d=24):
    g = np.random.default_rng(seed)
    draw = {"pool": (n, d), "tap64": (n, 8), "lpips": (n, 50), "lpips_raw": (n, 50)}
    return {name: np.abs(g.normal(size=s)).astype(np.float32) for name, s in draw.items()}


def constant(n):
    return {name: np.full_like(value, 0.37) for name, value in features(n).items()}


def check(values, notes):
    """Finite and JSON-able, a reason for every None, a value for every note."""
    assert json.loads(json.dumps(values, allow_nan=False)) == values
    assert set(notes) <= set(values)
    assert {key for key, value in values.items() if value is None} <= set(notes)
    for value in values.values():
        assert value is None or type(value) in (float, int, list)
    for key in ("fid", "kid", "precision"):
        value, ci = values["kid_x1e3" if key == "kid" else key], values[f"{key}_ci95"]
        assert (value is None and ci is None) or ci[0] <= value <= ci[1]


SETS = {
    "usual": (features(40), features(30, 1)),
    "fewer than dimensions": (features(5), features(30, 1)),
    "same": (features(12), features(12)),
    "constant": (constant(9), constant(7)),
    "constant fakes": (features(9), constant(7)),
    "one fake": (features(9), features(1)),
    "two": (features(2), features(2, 1)),
    "three": (features(3), features(3, 1)),
    "no fakes": (features(9), features(0)),
    "no reals": (features(0), features(9)),
    "nothing": (features(0), features(0)),
}


@pytest.mark.parametrize("name", SETS)
def test_compare_is_finite_or_says_why(name):
    real, fake = SETS[name]
    values, notes = statistics.compare(real, fake)
    check(values, notes)
    assert (values["num_real"], values["num_fake"]) == (len(real["pool"]), len(fake["pool"]))
    fewest = min(len(real["pool"]), len(fake["pool"]))
    expected = {"mean_distance": 1, "clustered_lpips": 1, "fid": 2, "kid_x1e3": 3, "recall": 4}
    for key, least in expected.items():
        assert (values[key] is not None) == (fewest >= least), key


def test_compare_warns_of_what_is_biased():
    real, fake = features(100), features(120, 1)
    assert "fid" not in statistics.compare(real, fake)[1]
    values, notes = statistics.compare(real, features(24, 1))
    assert "24 images do not span 24 dimensions" in notes["fid"]
    assert "fid_64" not in notes
    assert "jackknife" in notes["kid_x1e3"] and values["kid_subset_size"] == 24
    values, notes = statistics.compare(real, features(1, 1))
    assert notes["fid_ci95"] == "FID needs at least 2 real and 2 fake images, here are 100 and 1"


def test_compare_without_some_features():
    real, fake = features(9), features(9, 1)
    del real["lpips_raw"], fake["tap64"]
    values, notes = statistics.compare(real, fake)
    check(values, notes)
    assert notes["clustered_lpips_repo"] == "there are no 'lpips_raw' features of real images"
    assert notes["fid_64"] == "there are no 'tap64' features of fake images"
    assert values["clustered_lpips"] is not None


def test_compare_does_not_depend_on_the_order_of_images():
    real, fake = features(17), features(25, 1)
    g = np.random.default_rng(5)
    orders = g.permutation(17), g.permutation(25)
    mixed = [
        {name: value[order] for name, value in s.items()}
        for s, order in zip((real, fake), orders, strict=True)
    ]
    first, second = statistics.compare(real, fake)[0], statistics.compare(*mixed)[0]
    for key, value in first.items():
        if not key.startswith("kid"):
            assert_allclose(second[key], value, rtol=1e-9, atol=1e-9, err_msg=key)
    assert_allclose(
        np.diff(second["kid_ci95"]), np.diff(first["kid_ci95"]), rtol=1e-9
    )  # the jackknife takes all images, the value subsets
    assert statistics.compare(real, fake) == statistics.compare(real, fake)
    assert statistics.compare(real, fake, seed=1)[0]["kid_x1e3"] != first["kid_x1e3"]
