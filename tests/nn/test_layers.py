"""Pins equalised scaling and the activation."""

import jax
import jax.numpy as jnp
import numpy as np
from numpy.testing import assert_allclose

from dtgan.nn.layers import EqualConv, EqualDense, lrelu


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
