"""Pins equalised scaling and the activation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from dtgan.nn import layers
from dtgan.nn.layers import EqualConv, EqualDense, Head, bias_act


def test_outputs_of_equalised_layers_have_unit_scale():
    key = jax.random.key(0)
    x = jax.random.normal(key, (64, 8, 8, 32))
    for layer, y in ((EqualConv(64, pad=1, act=False), x), (EqualDense(64), x)):
        out = layer.apply(layer.init(key, y), y)
        assert 0.8 < float(jnp.std(out[:, 2:-2, 2:-2])) < 1.2
        weight = layer.init(key, y)["params"]["kernel"]
        assert 0.9 < float(jnp.std(weight)) < 1.1


def test_leaky_relu_has_slope_and_gain():
    assert_allclose(bias_act(jnp.array([-1.0, 1.0])), [-0.2 * np.sqrt(2), np.sqrt(2)], rtol=1e-6)


def test_sums_over_pixels_and_their_second_order_equal_the_plain_ones():
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(size=(3, 4, 5, 2)), jnp.float32)
    factors = jnp.asarray(rng.normal(size=(3, 2)), jnp.float32)
    bias = jnp.asarray(rng.normal(size=2), jnp.float32)

    def fast(x, factors, bias):
        return jnp.sum(jnp.sin(layers.add_bias(layers.scale(x, factors), bias)))

    def plain(x, factors, bias):
        return jnp.sum(jnp.sin(x * factors[:, None, None] + bias[None, None, None]))

    def r1(f):
        return lambda *args: sum(jnp.sum(jnp.square(g)) for g in jax.grad(f, (0, 1, 2))(*args))

    for ours, theirs in ((fast, plain), (r1(fast), r1(plain))):
        found, expected = (jax.grad(f, (0, 1, 2))(x, factors, bias) for f in (ours, theirs))
        for a, b in zip(found, expected, strict=True):
            assert_allclose(a, b, atol=1e-5 * float(jnp.abs(b).max()))
    assert_allclose(layers.pixel_sum(x), jnp.sum(x, (1, 2)), rtol=1e-5)


def test_biases_of_dense_layers_and_of_bfloat16():
    x, bias = jnp.ones((3, 2), jnp.bfloat16), jnp.zeros(2)
    y, back = jax.vjp(layers.add_bias, x, bias)
    assert y.dtype == jnp.bfloat16
    assert_array_equal(back(y)[1], [3.0, 3.0])
    image = jnp.ones((2, 32, 32, 2), jnp.bfloat16)
    y, back = jax.vjp(layers.add_bias, image, bias)
    assert_array_equal(back(y)[1], [2048.0, 2048.0])  # bfloat16 alone stops at 256


@pytest.mark.parametrize(("dtype", "bound"), [(jnp.float32, 0.0), (jnp.bfloat16, 0.02)])
def test_a_head_is_a_convolution_of_a_pixel_in_float32(dtype, bound):
    key = jax.random.key(0)
    x = jax.random.normal(key, (2, 4, 4, 8))
    params = Head(3).init(key, x)

    def total(layer, x):
        return jnp.sum(jnp.sin(layer.apply(params, x)))

    plain = EqualConv(3, 1, act=False)
    y, expected = Head(3).apply(params, x.astype(dtype)), plain.apply(params, x)
    assert y.dtype == jnp.float32
    assert_allclose(y, expected, atol=bound)
    ours = jax.grad(lambda x: total(Head(3), x))(x.astype(dtype))
    assert ours.dtype == dtype
    theirs = jax.grad(lambda x: total(plain, x))(x)
    assert_allclose(ours.astype(jnp.float32), theirs, atol=bound)
