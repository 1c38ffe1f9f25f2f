"""Pins scores and the verdict: closed forms, planted effects, false alarms under the null."""

import numpy as np
import pytest
from scipy import stats

from dtgan.classification import report, verdict

CLASSES = ("normal", "crack", "spot")
TRUTH = np.array([0] * 6 + [1] * 3 + [2] * 1)


def test_scores_of_known_predictions():
    """Seed 1 is right; seed 2 calls two normals and one crack a spot."""
    second = TRUTH.copy()
    second[[0, 1, 6]] = 2
    scores = verdict.arm_scores(np.stack([TRUTH, second]), TRUTH, CLASSES)
    assert scores["error"]["mean"] == pytest.approx(0.15)
    assert scores["error"]["sd"] == pytest.approx(np.std([0, 0.3], ddof=1))
    half = stats.t.ppf(0.975, 1) * np.std([0, 0.3], ddof=1) / np.sqrt(2)
    assert scores["error"]["ci95"] == pytest.approx([0.15 - half, 0.15 + half])
    assert scores["balanced_error"]["mean"] == pytest.approx((1 / 3 + 1 / 3 + 0) / 3 / 2)
    assert scores["per_class_error"]["crack"]["mean"] == pytest.approx(1 / 6)
    assert scores["per_class_wilson"]["spot"] == pytest.approx([0, 0.7935], abs=1e-4)
    f1 = (2 * 4 / (6 + 4) + 2 * 2 / (3 + 2) + 2 * 1 / (1 + 4)) / 3
    assert scores["macro_f1"]["mean"] == pytest.approx((1 + f1) / 2)
    assert scores["confusion"] == [[10, 0, 2], [0, 5, 1], [0, 0, 2]]


def test_a_class_without_test_images_has_no_error():
    scores = verdict.arm_scores(np.zeros((2, 4), int), np.array([0, 0, 0, 2]), CLASSES)
    assert scores["per_class_error"]["crack"] is None
    assert scores["balanced_error"]["mean"] == 0.5
    assert scores["macro_f1"]["mean"] == pytest.approx((6 / 7 + 0) / 2)


def test_one_seed_has_no_interval():
    assert verdict.over_seeds([0.25]) == {"mean": 0.25, "sd": None, "ci95": None}


def errors(rng, chance, seeds=5):
    """bool [S, N]: an image is as hard for all seeds."""
    return rng.random((seeds, len(chance))) < chance


@pytest.mark.parametrize(
    ("gain", "word"), [(0.3, verdict.HELPS), (3.0, verdict.HARMS), (1.0, verdict.UNKNOWN)]
)
def test_planted_effects_are_told(gain, word):
    rng = np.random.default_rng(0)
    chance = rng.beta(0.4, 1.6, 300)
    found = verdict.compare(errors(rng, np.minimum(gain * chance, 1)), errors(rng, chance))
    assert found["word"] == word
    low, high = found["ci95"]
    assert low < found["delta"] < high and (found["delta"] < 0) == (gain < 1)


def test_equal_predictions_cannot_tell():
    wrong = errors(np.random.default_rng(0), np.full(50, 0.2))
    found = verdict.compare(wrong, wrong)
    assert (found["word"], found["delta"], found["p_mcnemar"]) == (verdict.UNKNOWN, 0.0, 1.0)
    assert found["needed_test_images"] is None and found["discordant"] == [0, 0]


def test_mcnemar_is_the_exact_binomial():
    """8 images that only the first errs on, 2 that only the other does."""
    first, other = np.zeros((3, 40), bool), np.zeros((3, 40), bool)
    first[:, :8], other[:, 8:10] = True, True
    first[0, 20:] = True  # one seed of three changes no majority
    found = verdict.compare(first, other)
    assert found["discordant"] == [8, 2]
    assert found["p_mcnemar"] == pytest.approx(
        2 * sum(stats.binom.pmf(k, 10, 0.5) for k in (0, 1, 2))
    )


def test_sign_flips_are_mcnemar_for_single_images_and_keep_groups_whole():
    for first, other in ((8, 2), (3, 3), (5, 0), (0, 0)):
        exact = stats.binomtest(first, first + other).pvalue if first + other else 1.0
        assert verdict.sign_flips([1] * first + [-1] * other) == pytest.approx(exact)
    # 3 - 1 = 2 of sums -4, -2, 2, 4, all of chance 1/4.
    assert verdict.sign_flips([3, -1, 0]) == pytest.approx(1.0)
    assert verdict.sign_flips([3, 1]) == pytest.approx(0.5)
    assert verdict.sign_flips([-2] * 6) == pytest.approx(2 / 2**6)


def test_a_group_counts_as_one_piece_of_evidence():
    """Each image five times over, in one group, tells as much as the image alone."""
    rng = np.random.default_rng(0)
    chance = rng.beta(0.4, 1.6, 60)
    once, other = errors(rng, 0.5 * chance), errors(rng, chance)
    alone = verdict.compare(once, other)
    groups = np.repeat(np.arange(60), 5)
    five = verdict.compare(np.repeat(once, 5, 1), np.repeat(other, 5, 1), groups)
    assert five["ci95"] == pytest.approx(alone["ci95"]) and five["groups"] == 60
    assert five["p_mcnemar"] == pytest.approx(alone["p_mcnemar"])
    assert five["needed_test_images"] == pytest.approx(5 * alone["needed_test_images"], abs=4)
    free = verdict.compare(np.repeat(once, 5, 1), np.repeat(other, 5, 1))
    assert np.ptp(free["ci95"]) < np.ptp(alone["ci95"]) and free["p_mcnemar"] < five["p_mcnemar"]


def test_false_help_is_rare_under_the_null():
    """200 pairs of arms of one error rate: at most 8 % are said to help."""
    rng, words = np.random.default_rng(0), []
    for _ in range(200):
        chance = rng.beta(0.4, 1.6, 120)
        words.append(verdict.compare(errors(rng, chance), errors(rng, chance))["word"])
    assert words.count(verdict.HELPS) <= 16 and words.count(verdict.HARMS) <= 16


def test_needed_images_give_the_promised_power():
    """Drawn that often, paired differences are significant in about POWER of the cases."""
    rng = np.random.default_rng(0)
    pilot = np.repeat([-1.0, 0.0, 1.0], [200, 700, 100])
    n = verdict.needed(pilot)
    draws = rng.choice([-1, 0, 1], (2000, n), p=[0.2, 0.7, 0.1])
    z = draws.mean(1) / (draws.std(1, ddof=1) / np.sqrt(n))
    assert abs(np.mean(z < -1.96) - verdict.POWER) < 0.06


def test_an_open_verdict_tells_whether_it_lacks_images_or_seeds():
    found = {"word": "CANNOT TELL", "needed_test_images": 393}
    assert verdict.enough_images(found, 502) and not verdict.enough_images(found, 392)
    assert not verdict.enough_images(found | {"word": "HELPS"}, 502)
    assert not verdict.enough_images(found | {"needed_test_images": None}, 502)
    told = found | {"arm": "a", "against": "b", "delta": -0.037, "ci95": [-0.075, 0.001]}
    told |= {"p_mcnemar": 0.008, "discordant": [13, 33]}
    assert report.verdict_line(told, 502).endswith("and here are 502: more seeds would tell")
    assert report.verdict_line(told, 392).endswith("shows in 393 test images")
