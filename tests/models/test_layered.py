"""Pins the layer: zero code, strength, removal, shapes, gradients."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from dtgan.models import layered, surfaces
from dtgan.models.layered import CODE_CHANNELS, Filler, LayerEncoder, LayerGenerator

KEY = jax.random.key(0)
paint = jax.jit(surfaces.paint)


def random(shape, low=-1.0, high=1.0, seed=0):
    return jax.random.uniform(jax.random.key(seed), shape, minval=low, maxval=high)


def coded(n=2, side=32, seed=0):
    """A structure code a (d, 1) with empty cells in its upper half."""
    direction = jax.random.normal(jax.random.key(seed), (n, side, side, CODE_CHANNELS - 1))
    amplitude = random((n, side, side, 1), 0.5, 3.0, seed + 1).at[:, : side // 2].set(0.0)
    return amplitude * jnp.concatenate([direction, jnp.ones_like(amplitude)], axis=-1)


@pytest.fixture(scope="module")
def generator():
    module = LayerGenerator(32, 2)
    z_s, z_t = coded(), random((2, 16))
    params = jax.jit(module.init)(KEY, z_s, z_t)
    return jax.jit(lambda z_s, z_t: module.apply(params, z_s, z_t)), z_s, z_t


def test_matte_is_zero_exactly_where_and_when_the_code_is(generator):
    draw, z_s, z_t = generator
    f, m = draw(z_s, z_t)
    assert np.all(np.isfinite(f)) and f.min() >= 0 and m.max() <= 1
    assert_array_equal(m[:, :16], 0.0)
    assert np.all(np.asarray(m[:, 16:]) > 0)
    assert_array_equal(draw(jnp.zeros_like(z_s), z_t)[1], 0.0)


@pytest.mark.parametrize("stride", [1, 2, 4])
def test_matte_follows_cells_of_any_stride(stride):
    module, side = LayerGenerator(32, 2), 32 // stride
    z_s, z_t = coded(side=side), random((2, 16))
    f, m = jax.jit(lambda *z: module.apply(module.init(KEY, *z), *z))(z_s, z_t)
    assert f.shape == m.shape == (2, 32, 32, 1)
    assert_array_equal(m[:, :16], 0.0)
    assert np.all(np.asarray(m[:, 16:]) > 0)


def test_strength_is_monotone_in_every_pixel(generator):
    """Scaling z_s leaves the material and moves the matte one way, up to 1."""
    draw, z_s, z_t = generator
    mattes, materials = [], []
    for strength in (0.0, 0.25, 0.5, 1.0, 2.0, 40.0):
        f, m = draw(strength * z_s, z_t)
        mattes.append(np.asarray(m[:, 16:]))
        materials.append(np.asarray(f))
    for weak, strong in itertools.pairwise(mattes):
        assert np.all(weak <= strong) and weak.mean() < strong.mean()
    for f in materials[2:]:
        assert_allclose(f, materials[1], atol=1e-5)
    assert mattes[-1].mean() > 0.5


def test_gradient_reaches_the_matte_from_the_image(generator):
    draw, z_s, z_t = generator
    surface = random((2, 32, 32, 1))

    def brightness(z_s):
        f, m = draw(z_s, z_t)
        return jnp.mean(surfaces.over(surface, paint(f, surface), m))

    gradient = jax.jit(jax.grad(brightness))(z_s)
    assert np.all(np.isfinite(gradient))
    assert np.all(np.abs(np.asarray(gradient[:, 16:, :, -1])) > 0)  # of the amplitude
    assert np.abs(np.asarray(gradient[:, 16:, :, :-1])).max() > 0  # of the direction


def test_reach_takes_a_thin_shadow_for_present():
    assert_allclose(layered.reach(jnp.array([0.0, 0.1, 0.5, 1.0])), [0.0, 0.3, 1.0, 1.0], atol=1e-6)


def test_texture_is_pooled_where_no_defect_is_seen():
    """Features in cells with a defect, or two beside one, do not move the mean; without defects,
    and with defects all over, it is the plain one."""
    features, presence = np.array(random((1, 16, 16, 3))), np.zeros((1, 32, 32, 1), np.float32)
    presence[0, 13, 6] = 1.0  # in cell (6, 3)
    pooled = layered.mean_without(features, presence)
    changed = features.copy()
    changed[0, 4:9, 1:6] = 5.0
    assert_allclose(layered.mean_without(changed, presence), pooled, atol=1e-4)
    changed[0, 9, 6] = 50.0
    assert np.abs(layered.mean_without(changed, presence) - pooled).max() > 0.1
    plain = features.mean(axis=(1, 2))
    for everywhere in (0.0, 0.7, 1.0):
        level = np.full_like(presence, everywhere)
        assert_allclose(layered.mean_without(features, level), plain, rtol=1e-4, atol=1e-6)


def test_filler_reads_nothing_that_is_hidden():
    module = Filler(2)
    image, known = random((2, 32, 32, 1)), jnp.ones((2, 32, 32, 1)).at[:, 8:20, 8:20].set(0.0)
    z_t = random((2, 16))
    params = jax.jit(module.init)(KEY, image, known, z_t)
    fill = jax.jit(module.apply)
    other = jnp.where(known > 0, image, 5.0)
    assert_allclose(fill(params, image, known, z_t), fill(params, other, known, z_t), atol=1e-6)


@pytest.mark.parametrize(("res", "channels", "stride"), [(32, 1, 1), (64, 3, 2), (128, 1, 4)])
def test_shapes(res, channels, stride):
    ch, image = 2, jnp.zeros((3, res, res, channels))
    encoder, generator = LayerEncoder(ch, stride), LayerGenerator(res, ch, channels)

    def both(key):
        z = encoder.apply(encoder.init(key, image), image)
        drawn = generator.apply(generator.init(key, z.z_s, z.z_t), z.z_s, z.z_t)
        filler = Filler(ch)
        known = image[..., :1]
        return z, drawn, filler.apply(filler.init(key, image, known, z.z_t), image, known, z.z_t)

    z, (f, m), b = jax.eval_shape(both, KEY)
    side = res // stride
    assert z.z_s.shape == (3, side, side, CODE_CHANNELS) and z.z_t.shape == (3, ch * res // 4)
    assert z.presence.shape == (3, side, side, 1)
    assert f.shape == b.shape == image.shape and m.shape == (3, res, res, 1)
