"""Pins StackGAN++'s networks: their sizes, which are the authors', and their shapes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from dtgan.models import stackgan as models

KEY, Z, CODE = jax.random.key(0), jnp.zeros((1, 100)), jnp.zeros((1, 128))


def count(tree):
    return sum(x.size for x in jax.tree.leaves(tree["params"]))


def test_parameter_counts():
    g = models.Generator(128, 64, 64, 3)
    assert count(jax.eval_shape(g.init, KEY, Z)) == 16_330_656
    conditioning = jax.eval_shape(models.Conditioning(128).init, KEY, jnp.zeros((1, 6)))
    assert count(jax.eval_shape(g.init, KEY, Z, CODE)) + count(conditioning) == 20_560_800


@pytest.mark.parametrize(
    ("side", "plain", "conditional"),
    [(64, 2_765_569, 5_723_906), (128, 15_875_841, 18_834_178)],
)
def test_parameter_counts_of_discriminators(side, plain, conditional):
    d, x = models.Discriminator(64), jnp.zeros((1, side, side, 3))
    assert count(jax.eval_shape(d.init, KEY, x)) == plain
    assert count(jax.eval_shape(d.init, KEY, x, (CODE,))) == conditional


def test_codes_of_labels_differ_from_the_start():
    labels = jnp.eye(6)
    module = models.Conditioning(128)
    mean, log_variance = module.apply(module.init(KEY, labels), labels)
    assert mean.shape == log_variance.shape == (6, 128)
    apart = np.sqrt(np.mean(np.square(np.asarray(mean)[:, None] - np.asarray(mean)), axis=-1))
    assert np.all(apart[~np.eye(6, dtype=bool)] > 0.4) and np.abs(log_variance).max() < 4


def test_scales_of_pictures():
    assert models.sides(64, 256) == [64, 128, 256] and models.sides(64, 32) == [32]
    g = models.Generator(128, 32, 4, 1)
    pictures, _ = jax.eval_shape(lambda z: g.init_with_output(KEY, z), jnp.zeros((2, 5)))
    assert [x.shape for x in pictures] == [(2, 32, 32, 1), (2, 64, 64, 1), (2, 128, 128, 1)]


def test_a_gated_unit_halves_the_channels():
    x = jnp.array([[1.0, -2.0, 0.0, 100.0]])
    assert_allclose(models.glu(x), [[0.5, -2.0]])


def test_doubling_repeats_and_the_pyramid_undoes_it():
    x = jnp.arange(8.0).reshape(1, 2, 2, 2)
    twice = models.double(x)
    assert_array_equal(twice[0, :, :, 0], np.kron([[0, 2], [4, 6]], np.ones((2, 2))))
    half, same = models.pyramid(twice, [2, 4])
    assert_array_equal(half, x)
    assert_array_equal(same, twice)
    (mean,) = models.pyramid(x, [1])
    assert_allclose(mean[0, 0, 0], [3.0, 4.0])
