"""Pins the search for classes and share: the design, its effects, what is left out and what not."""

import numpy as np
import pytest
from scipy import stats

from dtgan.classification import choosing, settings
from dtgan.classification.data import Experiment
from dtgan.classification.store import Seeds
from dtgan.data.records import Records
from tests.classification import toys

CLASSES = ("normal", "dent", "scar", "spot")


@pytest.mark.parametrize(("factors", "runs"), [(1, 12), (8, 12), (9, 20), (16, 20), (20, 24)])
def test_designs_are_orthogonal(factors, runs):
    made = choosing.design(factors)
    assert made.shape == (runs, factors) and set(np.unique(made)) == {-1, 1}
    assert np.array_equal(made.T @ made, runs * np.eye(factors))
    assert not made.sum(0).any()


def test_the_design_of_twelve_is_plackett_and_burmans():
    row = "".join("-+"[int(sign > 0)] for sign in choosing.design(8)[0])
    assert row == "++-+++---+-"[:8]


def data_of(per_class, group):
    """label, group of validation images."""
    label = np.repeat(np.arange(len(CLASSES)), per_class)
    return label, label * 1000 + np.tile(np.arange(per_class) // group, len(CLASSES))


def test_effects_of_known_errors():
    """Factor 1 switches half of the errors of class 1 on, factor 2 nothing."""
    label, groups = data_of(8, 1)
    runs = choosing.design(3)
    errors = np.zeros((12, len(label)), bool)
    wrong = np.flatnonzero(label == 1)[:4]
    errors[np.ix_(runs[:, 0] > 0, wrong)] = True
    found, share = choosing.judge(runs, errors, label, groups, [1, 2], 0.9)
    assert (found[1]["own"], found[1]["balanced"]) == (0.5, 0.125)
    assert found[2]["own"] == found[2]["balanced"] == share == pytest.approx(0)
    # No training differs from its fit; of the 8 images' effects the variance is 1/4.
    spread = np.sqrt(8 * (0.5 / 8) ** 2 * 8 / 7)
    assert found[1]["own_least"] == pytest.approx(0.5 - stats.t.ppf(0.9, 7) * spread)
    assert choosing.harms(found[1]) and not choosing.harms(found[2])


def test_noise_of_trainings_counts_although_all_images_agree():
    """One bad training of twelve raises the means, but proves nothing."""
    label, groups = data_of(20, 1)
    runs, errors = choosing.design(3), np.zeros((12, 80), bool)
    errors[np.flatnonzero(runs[:, 0] > 0)[0]] = True
    found, _ = choosing.judge(runs, errors, label, groups, [1, 2], 0.9)
    assert found[1]["balanced"] == pytest.approx(1 / 6) and found[1]["balanced_least"] < 0


def test_copies_of_an_image_add_no_confidence():
    rng = np.random.default_rng(0)
    label, groups = data_of(10, 1)
    runs, errors = choosing.design(3), rng.random((12, 40)) < 0.3
    once, _ = choosing.judge(runs, errors, label, groups, [1, 2], 0.9)
    four = [np.repeat(array, 4, -1) for array in (errors, label, groups)]
    again, _ = choosing.judge(runs, *four, [1, 2], 0.9)
    for key, value in once[1].items():
        assert again[1][key] == pytest.approx(value)


def drawn(rng, per_class, group, harm):
    """Errors of 12 trainings, 20 % in the mean, alike within images, groups and trainings."""
    label, groups = data_of(per_class, group)
    runs = choosing.design(4)
    hardness = rng.normal(0, 1.5, len(label)) + rng.normal(0, 1, groups.max() + 1)[groups]
    logit = -2.5 + hardness + rng.normal(0, 0.3, (12, 1)) + rng.normal(0, 0.3, (12, 4))[:, label]
    chance = 1 / (1 + np.exp(-logit))
    chance += harm * (1 - chance) * (runs[:, :1] > 0) * (label == 1)
    return runs, rng.random(chance.shape) < chance, label, groups


@pytest.mark.parametrize("group", [1, 3])
def test_harm_is_told_from_chance(group):
    """A class whose error is doubled, 33 to 60 %, is left out; of harmless ones about a tenth."""
    rng, caught, false = np.random.default_rng(0), 0, 0
    for _ in range(100):
        found, _ = choosing.judge(*drawn(rng, 12, group, 0.4), [1, 2, 3], 0.9)
        caught += choosing.harms(found[1])
        false += choosing.harms(found[2]) + choosing.harms(found[3])
    assert caught >= 90 and false <= 0.16 * 200


def records(per_class, seed):
    """Images that show their label as a grey level."""
    label = np.repeat(np.arange(len(CLASSES), dtype=np.int32), per_class)
    rng, number = np.random.default_rng(seed), len(label)
    image = np.clip(rng.normal(60 * label + 30, 12), 0, 255).astype(np.uint8)
    image = np.broadcast_to(image[:, None, None, None], (number, 4, 4, 1))
    ids = tuple(f"{seed}/{k}" for k in range(number))
    return Records(image, label, 0 * image, np.zeros(number, bool), np.arange(number), ids)


class Memory(dict):
    """In the place of a Store."""

    def load(self, arm, seeds):
        return self.get((arm, *seeds))

    def save(self, arm, seeds, result):
        self[(arm, *seeds)] = result


def experiment(per_class=12, harmful=2):
    """Synthetic images like the real ones; those of one class show the others."""
    synthetic = records(30, 7)
    synthetic = synthetic.take(synthetic.label > 0)
    shown = synthetic.label.copy()
    if harmful:
        others = np.flatnonzero(shown == 3)
        shown[shown == harmful] = 3
        label = synthetic.label
        image = synthetic.image.copy()
        image[label == harmful] = synthetic.image[others]
        synthetic = synthetic._replace(image=image)
    val, test = records(per_class, 1), records(5, 2)
    groups = np.arange(len(val.label))
    return Experiment(
        records(6, 0), val, test, synthetic, CLASSES, [], groups, np.arange(len(test.label)), {}
    )


def test_a_class_that_shows_others_is_left_out():
    trainer, store = toys.Nearest(), Memory()
    config = settings.base_config()
    choice = choosing.choose(config, store, trainer, experiment())
    assert choice["left_out"] == ["scar"] and choice["classes"] == ["dent", "spot"]
    assert choice["runs"] == trainer.trained == 12 and choice["share"] in config.choose.shares
    assert choosing.choose(config, store, trainer, experiment()) == choice
    assert trainer.trained == 12, "a stopped search goes on"
    told = choosing.lines(choice)
    assert told[0].startswith("left out: synthetic scar: +") and "dent, spot" in told[-1]
    kept = choosing.restrict(experiment(), choice["classes"]).synthetic
    assert set(kept.label) == {1, 3}


def test_doubt_counts_before_an_answer_is_wrong():
    """All trainings answer rightly, but are less sure of class 2 where they saw its images."""
    one, store = experiment(), Memory()
    right = np.eye(len(CLASSES))[one.val.label]
    for number, row in enumerate(choosing.design(4)):
        sure = np.where((one.val.label == 2) & (row[1] > 0), 1.0, 4.0)
        done = Seeds((right * sure[:, None])[None], *np.zeros((3, 1)))
        store.save(choosing.SEARCH, [number], done)
    choice = choosing.choose(settings.base_config(), store, toys.Nearest(), one)
    assert choice["val_errors"] == [0.0] * 12 and choice["left_out"] == ["scar"]
    wrong = 3 / (3 + np.exp([1.0, 4.0]))
    assert choice["effects"]["scar"]["own"] == pytest.approx(wrong[0] - wrong[1])


def test_the_test_images_are_never_read():
    blind = experiment()._replace(test=None, test_groups=None)
    choice = choosing.choose(settings.base_config(), Memory(), toys.Nearest(), blind)
    assert choice["left_out"] == ["scar"]


@pytest.mark.parametrize(
    ("per_class", "grouped", "why"),
    [(4, False, "4 validation images, it takes 5"), (12, True, "of one group")],
)
def test_too_few_validation_images_choose_nothing(per_class, grouped, why):
    one = experiment(per_class)
    if grouped:
        one = one._replace(val_groups=one.val.label)
    trainer = toys.Nearest()
    choice = choosing.choose(settings.base_config(), Memory(), trainer, one)
    assert choice["classes"] == list(CLASSES[1:]) and not choice["left_out"]
    assert choice["share"] == 0.5 and trainer.trained == 0
    told = choosing.lines(choice)
    assert len(told) == 4 and why in told[0] and "all classes, since too few" in told[-1]


def test_a_class_of_few_validation_images_is_used_and_said_so():
    one = experiment()
    kept = np.flatnonzero((one.val.label != 2) | (np.arange(len(one.val.label)) % 12 < 4))
    one = one._replace(val=one.val.take(kept), val_groups=one.val_groups[kept])
    choice = choosing.choose(settings.base_config(), Memory(), toys.Nearest(), one)
    assert "scar" in choice["classes"] and list(choice["not_judged"]) == ["scar"]
    assert set(choice["effects"]) == {"dent", "spot"}
