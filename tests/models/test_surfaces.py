"""Pins surfaces: composition, light, grain, relief, what is spread in them."""

import jax
import jax.numpy as jnp
import numpy as np
from numpy.testing import assert_allclose, assert_array_equal

from dtgan.models import surfaces

light, paint, membrane = map(jax.jit, (surfaces.light, surfaces.paint, surfaces.membrane))
grain_of, relief = jax.jit(surfaces.grain), jax.jit(surfaces.relief)


def random(shape, low=-1.0, high=1.0, seed=0):
    return jax.random.uniform(jax.random.key(seed), shape, minval=low, maxval=high)


def test_composition_identities():
    """m = 0 is the image below, bit for bit; m = 1 the image above; in between both show."""
    below, above = random((2, 8, 8, 1)), random((2, 8, 8, 1), seed=1)
    zero, one = jnp.zeros((2, 8, 8, 1)), jnp.ones((2, 8, 8, 1))
    assert_array_equal(surfaces.over(below, above, zero), below)
    assert_array_equal(surfaces.over(below, above, one), above)
    assert_allclose(surfaces.over(below, above, 0.25 * one), 0.75 * below + 0.25 * above, atol=1e-6)
    # A cycle through an empty layer loses nothing: L_rec = 0.
    assert_array_equal(surfaces.over(surfaces.over(below, above, zero), above, zero), below)


def test_light_is_the_slow_relative_brightness():
    flat = jnp.full((1, 64, 64, 1), 0.2)
    assert_allclose(light(flat), 1.0, atol=1e-5)
    ramp = jnp.broadcast_to(jnp.linspace(-0.5, 0.5, 64).reshape(1, 1, 64, 1), (1, 64, 64, 1))
    lit = np.asarray(light(ramp))
    assert_allclose(lit.mean(), 1.0, atol=0.01)
    assert_allclose(lit[0, 32, 8:56, 0], (np.asarray(ramp)[0, 0, 8:56, 0] + 1), atol=0.02)
    grain = 0.2 * (-1.0) ** np.indices((64, 64)).sum(0)[None, ..., None]
    assert_allclose(light(flat + grain), 1.0, atol=0.02)  # grain is no light
    assert np.all(np.isfinite(light(jnp.full((1, 64, 64, 1), -1.0))))  # black


def test_paint_shows_a_material_in_the_surface_light():
    """The same bright material: a strong contrast on dark strip, a weak one on bright strip."""
    material = jnp.full((1, 32, 32, 1), 0.9)
    dark, bright = jnp.full((1, 32, 32, 1), -0.5), jnp.full((1, 32, 32, 1), 0.6)
    on_dark, on_bright = (paint(material, s) for s in (dark, bright))
    assert_allclose(on_dark, 0.8, atol=1e-5)
    assert_allclose(on_bright, 0.8, atol=1e-5)
    assert np.mean(on_dark - dark) > 4 * np.mean(on_bright - bright)


def test_membrane_keeps_what_is_known_and_spans_the_rest():
    y, x = np.mgrid[:64, :64] / 64.0
    plane = jnp.asarray((x + y - 1.0)[None, ..., None], jnp.float32)
    known = jnp.ones((1, 64, 64, 1)).at[:, 24:40, 20:44].set(0.0)
    spoiled = jnp.where(known > 0, plane, 9.0)
    filled = membrane(spoiled, known)
    assert_allclose(filled[known > 0], plane[known > 0], atol=1e-6)
    assert np.abs(np.asarray(filled - plane)).max() < 0.12  # 9 never shows, the slope goes on
    assert np.all(np.isfinite(membrane(plane, jnp.zeros_like(known))))


def noisy(contrast, level, grain, seed=0):
    """Grey strips with a stroke two pixels wide; contrast, level and grain in grey levels."""
    rng = np.random.default_rng(seed)
    grey = level + grain * rng.standard_normal((2, 64, 64, 1))
    grey[:, 10:50, 30:32] += contrast
    return jnp.asarray(grey / 127.5 - 1.0, jnp.float32)


def test_grain_is_the_deviation_from_the_neighbours_and_the_floor():
    """White noise departs from its smoothed self by the norm of (identity - kernel)."""
    kernel = np.outer([1, 2, 1], [1, 2, 1]) / 16.0
    kernel[1, 1] -= 1.0
    share = np.sqrt(np.sum(kernel**2))
    for deviation in (0.0, 4.0, 20.0):
        found = 127.5 * np.asarray(grain_of(noisy(0.0, 100.0, deviation)))
        assert found.shape == (2, 1, 1, 1)
        assert_allclose(found, np.hypot(share * deviation, 2.0), rtol=0.03)


def test_relief_is_large_where_the_grain_is_small():
    """A stroke of ten levels stands out of smooth strip, dark or bright, and drowns in rough."""
    assert_allclose(relief(jnp.full((1, 64, 64, 1), 0.3)), 0.0, atol=1e-5)
    dark, bright, rough = (
        np.asarray(relief(noisy(-10.0, level, grain)))
        for level, grain in ((50.0, 1.0), (200.0, 1.0), (128.0, 20.0))
    )
    assert_allclose(dark, bright, atol=0.02)
    stroke = np.s_[:, 16:44, 30:32]
    assert np.all(dark[stroke] < -0.5) and np.abs(rough[stroke].mean()) < 0.2
    assert np.all(np.abs(rough) <= 2.0)
