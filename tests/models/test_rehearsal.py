"""Pins the drawn layers: ranges, variety, the same layer for the same key."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

from dtgan.models.rehearsal import FAINTEST, draw_layer, fainter, visible


def drawn(n=64, res=64, channels=1, seed=0, vertical=False):
    draw = jax.jit(draw_layer, static_argnums=(1, 2, 3, 4))
    return [np.asarray(x) for x in draw(jax.random.key(seed), n, res, channels, vertical)]


def test_ranges_and_shapes():
    tone, matte = drawn(8, 32, 3)
    assert tone.shape == (8, 32, 32, 3) and matte.shape == (8, 32, 32, 1)
    assert matte.min() >= 0 and matte.max() <= 1 and tone.min() >= 0 and tone.max() <= 1.05


def test_layers_are_small_varied_and_rarely_empty():
    tone, matte = drawn()
    area = (matte > 0.1).mean((1, 2, 3))
    assert 0.02 < np.median(area) < 0.3 and area.max() < 0.9
    assert (area > 0).mean() > 0.9
    shown = (tone * matte).sum((1, 2, 3)) / matte.sum((1, 2, 3)).clip(1e-3)
    assert (shown < 0.4).mean() > 0.2 and (shown > 0.6).mean() > 0.2  # dark ones and bright ones
    touches = (matte[:, [0, -1]] > 0.1).any((1, 2, 3)) | (matte[:, :, [0, -1]] > 0.1).any((1, 2, 3))
    assert 0.1 < touches.mean() < 0.9  # some bite a border, some do not
    assert np.abs(matte[0] - matte[1]).max() > 0.3


def test_a_key_is_a_layer():
    for a, b in zip(drawn(4), drawn(4), strict=True):
        np.testing.assert_array_equal(a, b)
    assert np.abs(drawn(4)[1] - drawn(4, seed=1)[1]).max() > 0.3


def test_strokes_follow_the_rolling_direction():
    for across, along in zip(drawn(4, vertical=True), drawn(4), strict=True):
        np.testing.assert_allclose(np.swapaxes(across, 1, 2), along, atol=1e-5)


def test_what_would_not_be_seen_is_not_drawn():
    surface = jnp.full((2, 32, 32, 1), 0.2)  # a reflectance of 0.6
    tone = jnp.stack([jnp.full((32, 32, 1), 0.6), jnp.full((32, 32, 1), 0.1)])
    matte = jnp.zeros((2, 32, 32, 1)).at[:, 8:20, 8:20].set(1.0)
    seen = jax.jit(visible)(tone, matte, surface)
    assert float(seen[0].max()) < 0.05
    assert_allclose(seen[1], matte[1], atol=1e-6)
    dark = jax.jit(visible)(tone * 0.25, matte, (surface + 1.0) * 0.25 - 1.0)
    assert_allclose(dark, seen, rtol=0.05, atol=1e-3)  # on dark strip as on bright


def test_what_is_below_two_grains_is_drawn_fainter():
    """A smooth surface has a grain of 2 levels: 4 keep the matte, 1 leaves a quarter."""
    surface, matte = jnp.zeros((2, 32, 32, 1)), jnp.zeros((2, 32, 32, 1)).at[:, 8:20, 8:20].set(1.0)
    levels = jnp.array([4.0, 1.0]).reshape(2, 1, 1, 1)
    seen = jax.jit(visible)(0.5 + levels / 255.0 * jnp.ones_like(surface), matte, surface)
    assert_allclose(seen, matte * jnp.array([1.0, 0.25]).reshape(2, 1, 1, 1), atol=1e-3)


def test_half_of_the_layers_are_more_transparent():
    found = jax.jit(fainter)(jnp.full((2000, 8, 8, 1), 0.8), jax.random.key(0))
    factor = np.asarray(found)[:, 0, 0, 0] / 0.8
    assert factor.min() >= FAINTEST - 1e-6 and factor.max() <= 1.0 + 1e-6
    assert np.mean(factor > 1.0 - 1e-6) == pytest.approx(0.5, abs=0.05)
    less = np.log(factor[factor < 1.0 - 1e-6])  # uniform from log FAINTEST to 0
    assert np.mean(less) == pytest.approx(0.5 * np.log(FAINTEST), rel=0.05)
