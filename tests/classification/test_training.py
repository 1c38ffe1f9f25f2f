"""Pins how arms are trained: sampling, reversal, augmentation, choice, seeds together or apart."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from dtgan.classification import augment, settings, training
from dtgan.classification.training import Examples
from dtgan.data import labels


def config(**fields):
    c = settings.base_config()
    c.data.res, c.train.steps, c.train.batch_size, c.train.val_every = 16, 72, 8, 24
    for name, value in fields.items():
        group, field = name.split("__")
        c[group][field] = value
    return c


def images(n=24, seed=0):
    """Class 1 has a bright square; half of its images count as synthetic."""
    rng = np.random.default_rng(seed)
    label = np.arange(n) % 2
    image = rng.integers(60, 120, (n, 16, 16, 1))
    image[label == 1, 4:12, 4:12] += 100
    return Examples(image.astype(np.uint8), label.astype(np.int32), np.arange(n) % 4 == 1)


def test_chances_give_synthetic_images_their_share_however_many():
    label = np.array([0] * 10 + [1] * 4 + [2] * 1 + [1] * 40 + [2] * 40)
    synthetic = np.arange(len(label)) >= 15
    for balance, expected in ((0.0, (10, 4, 1)), (1.0, (1, 1, 1)), (0.5, (10**0.5, 2, 1))):
        c = config(train__balance=balance, train__synthetic_share=0.25)
        chance = training.chances(label, synthetic, c.train)
        totals = np.array([chance[label == k].sum() for k in range(3)])
        assert_allclose(totals, np.array(expected) / sum(expected))
        for k in (1, 2):
            assert_allclose(chance[(label == k) & synthetic].sum() / totals[k], 0.25)


def test_a_class_with_synthetic_images_alone_keeps_its_weight():
    chance = training.chances(
        np.array([0, 0, 1, 1]), np.array([False, False, True, True]), config().train
    )
    assert_allclose(chance, 0.25)


def test_a_negative_share_takes_every_image_alike():
    label, synthetic = np.array([0, 0, 0, 1, 1, 1, 1]), np.arange(7) >= 4
    c = config(train__balance=0.0, train__synthetic_share=-1.0)
    assert_allclose(training.chances(label, synthetic, c.train), 1 / 7)


def test_reversal_turns_the_gradient_and_nothing_else():
    x = jnp.arange(4.0)
    assert_array_equal(training.reverse_gradient(x, 0.3), x)
    grad = jax.grad(lambda v: jnp.sum(training.reverse_gradient(v, 0.3) ** 2))(x)
    assert_allclose(grad, -0.3 * 2 * x, rtol=1e-6)
    assert_allclose(training.reversal(0.0), 0.0)
    assert_allclose(training.reversal(1.0), 2 / (1 + np.exp(-10)) - 1, rtol=1e-6)


def test_classic_augmentation_stays_in_range_and_can_be_switched_off():
    x = jax.random.uniform(jax.random.key(0), (16, 32, 32, 1), minval=-1.0)
    c = config()
    y = augment.classic(jax.random.key(1), x, c.augment, (1, 2))
    assert y.shape == x.shape and np.abs(y).max() <= 1
    assert np.abs(np.asarray(y - x)).mean() > 0.05
    for name in ("shift", "brightness", "contrast", "blur", "noise", "cutout"):
        c.augment[name] = 0.0
    c.augment.flip = False
    assert_allclose(augment.classic(jax.random.key(1), x, c.augment, (1, 2)), x, atol=1e-5)


def test_flips_keep_to_the_axes_that_the_data_allow():
    """Rows of one value, from dark to bright: an upside-down flip would be seen."""
    x = jnp.broadcast_to(jnp.linspace(-1, 1, 32)[None, :, None, None], (16, 32, 32, 1))
    c = config()
    for name in ("shift", "brightness", "contrast", "blur", "noise", "cutout"):
        c.augment[name] = 0.0
    assert_allclose(augment.classic(jax.random.key(1), x, c.augment, (2,)), x, atol=1e-5)
    flipped = augment.classic(jax.random.key(1), x, c.augment, (1,))
    assert 0 < np.mean(np.asarray(flipped[:, 0, 0, 0]) > 0) < 1


@pytest.fixture(scope="module")
def trained():
    """Two seeds trained together on an easy task."""
    trainer = training.Trainer(config(source__weight=0.1), ("normal", "spot"), augmented=True)
    train, val = images(), images(16, seed=1)
    return trainer, train, val, trainer.train(train, val, (0, 1))


def test_an_easy_task_is_learnt(trained):
    trainer, _, _, result = trained
    test = images(40, seed=2)
    predicted = trainer.decide(trainer.evaluate(result.variables, test.image))
    assert predicted.shape == (2, 40)
    assert np.mean(predicted != test.label) < 0.1
    assert np.all(result.val_error <= 0.1) and set(result.step) <= {24, 48, 72}


def test_what_was_shown_is_counted(trained):
    trainer, train, _, result = trained
    assert result.shown.sum() == pytest.approx(72 * 8)
    share = result.shown[train.synthetic].sum() / result.shown[train.label == 1].sum()
    asked = trainer.config.train
    assert share == pytest.approx(asked.synthetic_share * asked.synthetic_until, abs=0.1)


@pytest.mark.parametrize("until, share", [(0.0, 0.0), (0.5, 0.25), (1.0, 0.5)])
def test_synthetic_images_are_shown_until_their_share_of_the_steps(until, share):
    c = config(train__synthetic_until=until, train__balance=0.0, train__val_every=1000)
    trainer, sets = training.Trainer(c, ("normal", "spot"), augmented=False), images()
    shown = trainer.train(sets, sets, (0,)).shown
    of_class = shown[sets.label == 1].sum()
    assert shown[sets.synthetic].sum() / of_class == pytest.approx(share, abs=0.06)
    # The real images of the class take their place, as often as it is shown anyway.
    assert of_class / shown.sum() == pytest.approx(6 / 18, abs=0.05)


def test_seeds_train_alike_together_and_apart(trained):
    """A seed's step does not depend on its company, but for rounding."""
    trainer, train, _, _ = trained
    keys, rows = jax.random.split(jax.random.key(0), 2), np.arange(16).reshape(2, 8)
    batch = Examples(*(array[rows] for array in train))
    alone = Examples(*(array[1:] for array in batch))
    one = trainer._step(trainer._start(keys[1:]), alone, keys[1:], 0.5)
    both = trainer._step(trainer._start(keys), batch, keys, 0.5)
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(both), strict=True):
        # Adam divides by the size of the gradient: rounding shows where that is tiny.
        assert np.mean(np.abs(a[0] - b[1]) < 1e-4) > 0.99


def test_several_labels_an_image_are_told_by_their_own_sigmoids():
    """A bright square left, another right: classes are sets of the two, right is exact match."""
    c = config()
    c.multi_label = True
    classes = ("normal", "left", "right", "left+right")
    label = np.arange(32) % 4
    image = np.random.default_rng(0).integers(60, 120, (32, 16, 16, 1))
    image[(label == 1) | (label == 3), 4:12, 1:7] += 100
    image[(label == 2) | (label == 3), 4:12, 9:15] += 100
    sets = Examples(image.astype(np.uint8), label.astype(np.int32), np.zeros(32, bool))
    trainer = training.Trainer(c, classes, augmented=False)
    result = trainer.train(sets, sets, (0,))
    logits = trainer.evaluate(result.variables, sets.image)
    assert logits.shape == (1, 32, 3)
    assert np.mean(trainer.decide(logits) == label) > 0.9
    assert np.all(trainer.label_errors(logits, label) < 0.1)
    y = jnp.array([0, 3])
    expected = -np.log([[0.5, 0.5, 0.5], [1 - 0.8, 0.8, 0.8]]).sum(1)
    given = jnp.log(jnp.array([[1.0, 1, 1], [4, 4, 4]]))
    assert_allclose(trainer.cross_entropy(given, y), expected, rtol=1e-5)


def test_exact_match():
    table = labels.targets(("normal", "a", "a+b"))
    assert labels.names(("normal", "a", "a+b")) == ("normal", "a", "b")
    decisions = np.array([[1, 0, 0], [0, 1, 1], [0, 0, 1], [1, 1, 0], [0, 0, 0]], bool)
    assert labels.exact_match(decisions, table).tolist() == [0, 2, 3, 3, 3]


def test_training_is_a_function_of_the_seed(trained):
    trainer, train, val, result = trained
    again = trainer.train(train, val, (0, 1))
    for a, b in zip(
        jax.tree.leaves(again.variables), jax.tree.leaves(result.variables), strict=True
    ):
        assert_array_equal(a, b)


def test_published_weights_reach_all_but_the_head(trained, tmp_path, monkeypatch):
    from dtgan.weights import published

    c = config()
    c.weights = str(tmp_path / "net.safetensors")
    trainer = training.Trainer(c, ("normal", "spot"), augmented=False)
    state = trainer._start(jax.random.split(jax.random.key(0), 2))
    flat = {"params": state[0]["params"]["net"], "batch_stats": state[0]["batch_stats"]}
    one = published.from_variables(jax.tree.map(lambda x: x[1], flat))
    one["fc.weight"] = np.zeros((1000, 64), np.float32)
    one["fc.bias"] = np.zeros(1000, np.float32)
    monkeypatch.setattr(published, "read", lambda path, network: (one, ""))
    adopted = trainer.adopt(state[0])["params"]["net"]
    before = state[0]["params"]["net"]
    for k in (0, 1):
        assert_array_equal(adopted["conv1"]["kernel"][k], before["conv1"]["kernel"][1])
        assert_array_equal(adopted["fc"]["kernel"][k], before["fc"]["kernel"][k])
