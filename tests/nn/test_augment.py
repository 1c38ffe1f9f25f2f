"""Pins augmentation: off, range, one change a sample, flips only where allowed, gradients."""

import jax
import jax.numpy as jnp
import numpy as np
from numpy.testing import assert_allclose, assert_array_equal

from dtgan.nn.augment import augment

KEY = jax.random.key(0)


def ramp(n=6, size=16):
    y, x = np.mgrid[:size, :size] / size - 0.5
    return jnp.asarray(np.broadcast_to((x + 2 * y)[None, ..., None] / 2, (n, size, size, 1)))


def test_off_changes_nothing():
    assert_array_equal(augment(KEY, ramp(), 0.0, (1, 2)), ramp())


def test_images_of_one_sample_change_alike_and_samples_differently():
    pair = jnp.stack([ramp(), -ramp()], axis=1)
    x = np.asarray(augment(KEY, pair, 1.0, (1, 2), brightness=0.0))
    assert_allclose(x[:, 0], -x[:, 1], atol=1e-6)
    assert np.abs(x[0, 0] - x[1, 0]).max() > 0.05
    patched = ramp().at[:, 2:6, 2:6].set(1.0)  # as a defect: the rest must stay equal
    x = np.asarray(augment(KEY, jnp.stack([ramp(), patched], axis=1), 1.0, (1, 2)))
    assert (np.abs(x[:, 0] - x[:, 1]) > 1e-6).mean() < 0.08


def test_flips_only_allowed_axes():
    """A ramp flips its slope: across rows by axis 1 only."""
    for axes in ((), (1,), (2,), (1, 2)):
        keys = jax.random.split(KEY, 16)
        quiet = {"brightness": 0.0, "contrast": 0.0, "shift": 0.0}
        x = np.concatenate([augment(k, ramp(), 1.0, axes, **quiet) for k in keys])
        down, right = (x[:, -1, 0, 0] < x[:, 0, 0, 0]), (x[:, 0, -1, 0] < x[:, 0, 0, 0])
        assert down.any() == (1 in axes) and right.any() == (2 in axes)
        assert not down.all() and not right.all()


def test_shift_moves_whole_pixels_and_fills_with_zeros():
    point = jnp.zeros((32, 16, 16, 1)).at[:, 8, 8].set(1.0)
    x = np.asarray(augment(KEY, point, 1.0, brightness=0.0, contrast=0.0, shift=0.25))
    assert_array_equal(np.sort(np.unique(x)), [0.0, 1.0])
    where = np.argwhere(x > 0)[:, 1:3]
    assert len(where) == 32 and np.abs(where - 8).max() == 4 and len(np.unique(where, axis=0)) > 10


def test_gradients_pass():
    gradient = jax.grad(lambda x: jnp.sum(jnp.square(augment(KEY, x, 1.0, (1, 2)))))(ramp())
    assert np.all(np.isfinite(gradient)) and np.abs(np.asarray(gradient)).mean() > 0.01
