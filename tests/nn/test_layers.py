"""Pins equalised scaling and that small outputs, computed as one product, equal a convolution."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

from dtgan.nn.layers import EqualConv, EqualDense, conv, lrelu


@pytest.mark.parametrize(("side", "k", "stride", "pad"), [(2, 3, 1, 1), (5, 3, 2, 0), (2, 2, 1, 0)])
def test_small_outputs_equal_the_convolution(side, k, stride, pad):
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(size=(3, side, side, 4)), jnp.float32)
    kernel = jnp.asarray(rng.normal(size=(k, k, 4, 6)), jnp.float32)
    plain = jax.lax.conv_general_dilated(
        x, kernel, (stride, stride), ((pad, pad), (pad, pad)),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )  # fmt: skip
    assert_allclose(conv(x, kernel, stride, pad), plain, atol=1e-5)


def test_outputs_of_equalised_layers_have_unit_scale():
    key = jax.random.key(0)
    x = jax.random.normal(key, (64, 8, 8, 32))
    for layer, y in ((EqualConv(64, pad=1, act=False), x), (EqualDense(64), x)):
        out = layer.apply(layer.init(key, y), y)
        assert 0.8 < float(jnp.std(out[:, 2:-2, 2:-2])) < 1.2
        weight = layer.init(key, y)["params"]["kernel"]
        assert 0.9 < float(jnp.std(weight)) < 1.1


def test_leaky_relu_has_slope_and_gain():
    assert_allclose(lrelu(jnp.array([-1.0, 1.0])), [-0.2 * np.sqrt(2), np.sqrt(2)], rtol=1e-6)
