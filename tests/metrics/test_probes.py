"""Pins the linear probe against normal equations and known cases, and collapse where planted."""

import numpy as np
import pytest

from dtgan.config import ConfigError
from dtgan.metrics import probes
from dtgan.metrics.probes import anchor_collapse, linear_probe


def clusters(seed, number, width, spread=0.1, num_classes=3):
    """Features [N, d] around one far point per class, and labels [N]."""
    g = np.random.default_rng(seed)
    centers = np.random.default_rng(99).standard_normal((num_classes, width))
    labels = g.integers(0, num_classes, number)
    return centers[labels] + spread * g.standard_normal((number, width)), labels


@pytest.mark.parametrize("width", [8, 200])  # primal and dual
def test_separable_classes_are_read_without_error(width):
    found = linear_probe(*(clusters(seed, 60, width) for seed in range(3)), num_classes=3)
    assert found["accuracy"] == found["balanced_accuracy"] == 1.0
    np.testing.assert_allclose(found["accuracy_ci95"], [0.939828, 1.0], atol=1e-6)
    assert found["num_train"] == found["num_test"] == 60
    assert found["chance_balanced"] == 1 / 3


@pytest.mark.parametrize("width", [8, 200])
def test_random_labels_are_read_at_chance(width):
    g = np.random.default_rng(0)
    sets = [(g.standard_normal((400, width)), g.integers(0, 4, 400)) for _ in range(3)]
    found = linear_probe(*sets, num_classes=4)
    assert found["accuracy_ci95"][0] < 0.25 < found["accuracy_ci95"][1]
    assert abs(found["balanced_accuracy"] - found["chance_balanced"]) < 0.07


@pytest.mark.parametrize("width", [5, 40])
def test_scores_solve_the_weighted_ridge_problem(width):
    (x, labels), (query, _) = clusters(0, 30, width, 2.0), clusters(1, 7, width, 2.0)
    labels[:12] = 0  # unequal classes
    shares = 1 / (3 * np.bincount(labels)[labels])
    root = np.sqrt(shares)[:, None]
    scaled, scaled_query = (z / x.std(0) for z in (x, query))
    center, mean = shares @ scaled, shares @ np.eye(3)[labels]
    a, b = root * (scaled - center), root * (np.eye(3)[labels] - mean)
    found = list(probes._ridge_scores((x, labels), [query], 3))
    unit = np.sum(a * a) / min(a.shape)
    for ridge, (scores,) in zip(probes.RIDGES * unit, found, strict=True):
        solution = np.linalg.solve(a.T @ a + ridge * np.eye(width), a.T @ b)
        np.testing.assert_allclose(scores, (scaled_query - center) @ solution + mean, atol=1e-7)


def test_ridge_is_the_strongest_of_the_best_on_validation():
    train, test = clusters(0, 60, 50, 4.0), clusters(2, 60, 50, 4.0)
    val = tuple(part[:8] for part in clusters(1, 60, 50, 4.0))
    scores = probes._ridge_scores(train, [val[0], test[0]], 3)
    guesses = [[np.argmax(score, -1) for score in pair] for pair in scores]
    on_val = [np.mean([np.mean(g[val[1] == c] == c) for c in range(3)]) for g, _ in guesses]
    on_test = [np.mean(g == test[1]) for _, g in guesses]
    best = np.flatnonzero(on_val == np.max(on_val))
    assert len(best) < len(on_val) and on_test[best[0]] != on_test[best[-1]]  # it matters
    assert linear_probe(train, val, test, 3)["accuracy"] == on_test[best[0]]


def test_rare_class_weighs_as_much_as_a_frequent_one():
    g = np.random.default_rng(0)
    labels = np.repeat([0, 1], [1900, 100])
    sets = [(labels[:, None] * 2.0 + g.standard_normal((2000, 1)), labels) for _ in range(3)]
    found = linear_probe(*sets, num_classes=2)
    assert found["chance"] == 0.95 and found["chance_balanced"] == 0.5
    assert found["balanced_accuracy"] == pytest.approx(0.841, abs=0.03)  # normal law below +1


@pytest.mark.parametrize("value", [0.5, 0.1])  # the mean of many 0.1 is not 0.1
@pytest.mark.parametrize("width", [3, 50])
def test_constant_features_read_nothing(width, value):
    g = np.random.default_rng(0)
    sets = [(np.full((30, width), value), g.permutation(np.arange(30) % 3)) for _ in range(3)]
    with np.errstate(all="raise"):
        found = linear_probe(*sets, num_classes=3)
    assert found["accuracy"] == found["balanced_accuracy"] == found["chance"] == 1 / 3


def test_a_constant_feature_changes_nothing():
    sets = [clusters(seed, 60, 50, 4.0) for seed in range(3)]
    more = [(np.pad(x, ((0, 0), (0, 50)), constant_values=0.1), labels) for x, labels in sets]
    found = linear_probe(*sets, num_classes=3)
    assert found == linear_probe(*more, num_classes=3) and found["accuracy"] < 1  # primal, dual


def test_class_absent_from_the_test_set_is_not_counted():
    train, val, (x, labels) = (clusters(seed, 60, 8) for seed in range(3))
    found = linear_probe(train, val, (x[labels > 0], labels[labels > 0]), num_classes=3)
    assert found["balanced_accuracy"] == 1.0 and found["chance_balanced"] == 0.5


def test_empty_set_is_named():
    data = clusters(0, 20, 4)
    with pytest.raises(ConfigError, match="val set has no images"):
        linear_probe(data, (np.zeros((0, 4)), np.zeros(0, int)), data, 3)


def test_true_anchors_do_not_collapse():
    x2 = np.random.default_rng(0).standard_normal((10, 30)).astype(np.float32)
    found = anchor_collapse(x2 + 0.1, x2)
    assert found["collapse"] == 0.0 and found["num"] == 10
    assert found["chance"] == 0.9 and found["largest_share"] == 0.1
    np.testing.assert_allclose(found["collapse_ci95"], [0.0, 0.277533], atol=1e-6)


def test_planted_collapse_is_reported():
    x2 = np.random.default_rng(0).standard_normal((10, 30))
    found = anchor_collapse(np.repeat(x2[3:4], 10, axis=0), x2)
    assert found["collapse"] == 0.9 and found["largest_share"] == 1.0
    two = np.where(np.arange(10)[:, None] < 8, x2, x2[0])  # the last two became image 0
    found = anchor_collapse(two, x2)
    assert found["collapse"] == 0.2 and found["largest_share"] == 0.3
    np.testing.assert_allclose(found["collapse_ci95"], [0.056682, 0.509838], atol=1e-6)


def test_distance_is_euclidean():
    x4 = np.array([[0.0, 0.0], [3.0, 0.0]])
    x2 = np.array([[2.0, 2.0], [3.0, 0.0]])  # from the first: 8 and 9 squared, 4 and 3 in steps
    assert anchor_collapse(x4, x2)["collapse"] == 0.0


def test_unrelated_anchors_are_at_chance():
    x4, x2 = np.random.default_rng(0).standard_normal((2, 100, 30))
    found = anchor_collapse(x4, x2)
    assert found["collapse_ci95"][0] < found["chance"] < found["collapse_ci95"][1]


def test_equal_normals_tie_and_do_not_count():
    x2 = np.random.default_rng(0).standard_normal((5, 3000)).astype(np.float32).repeat(2, axis=0)
    found = anchor_collapse(x2 + np.float32(0.1), x2)
    assert found["collapse"] == 0.0 and found["largest_share"] == 0.1
