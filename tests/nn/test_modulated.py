"""Pins that scaling inputs and outputs equals a kernel of its own for every sample."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

from dtgan.nn.modulated import modulated_conv
from dtgan.nn.resample import blur

DIMS = ("NHWC", "HWIO", "NHWC")


def per_sample(x, kernel, style, up, demodulate):
    w = kernel[None] * style[:, None, None, :, None]
    if demodulate:
        w = w * jax.lax.rsqrt(jnp.sum(jnp.square(w), axis=(1, 2, 3), keepdims=True) + 1e-8)
    if up:
        out = [
            jax.lax.conv_general_dilated(
                x[i : i + 1], w[i], (1, 1), ((2, 2), (2, 2)), lhs_dilation=(2, 2),
                dimension_numbers=DIMS,
            )
            for i in range(len(x))
        ]  # fmt: skip
        return blur(jnp.concatenate(out), (1, 1), gain=4.0)
    out = [
        jax.lax.conv_general_dilated(x[i : i + 1], w[i], (1, 1), "SAME", dimension_numbers=DIMS)
        for i in range(len(x))
    ]
    return jnp.concatenate(out)


@pytest.mark.parametrize("up", [False, True])
@pytest.mark.parametrize("demodulate", [False, True])
def test_equals_per_sample_weights(up, demodulate):
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(size=(3, 8, 8, 5)), jnp.float32)
    kernel = jnp.asarray(rng.normal(size=(3, 3, 5, 4)), jnp.float32) / np.sqrt(45)
    style = jnp.asarray(1 + 0.3 * rng.normal(size=(3, 5)), jnp.float32)
    ours = modulated_conv(x, kernel, style, "up" if up else None, demodulate)
    assert ours.shape == (3, 16, 16, 4) if up else (3, 8, 8, 4)
    assert_allclose(ours, per_sample(x, kernel, style, up, demodulate), atol=1e-4)
