"""Pins the FIR constants of [1, 3, 3, 1] resampling and its plain definition."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

from dtgan.nn.blocks import StyledResBlock
from dtgan.nn.convolution import conv_transpose
from dtgan.nn.resample import blur, depthwise, downsample, upsample

TAPS = np.outer([1, 3, 3, 1], [1, 3, 3, 1]) / 64


def plain(x, before, after, up=1, down=1, gain=1.0):
    """Zero insertion, padding, correlation, decimation, by definition; x [H, W]."""
    h, w = x.shape
    wide = np.zeros((h * up, w * up))
    wide[::up, ::up] = x
    wide = np.pad(wide, ((before, after), (before, after)))
    n, m = wide.shape[0] - 3, wide.shape[1] - 3
    out = sum(TAPS[i, j] * wide[i : i + n, j : j + m] for i in range(4) for j in range(4))
    return gain * out[::down, ::down]


def one(f, x, **kwargs):
    return np.asarray(f(jnp.asarray(x, jnp.float32)[None, :, :, None], **kwargs))[0, :, :, 0]


def test_constants_on_ones():
    up, down = one(upsample, np.ones((8, 8))), one(downsample, np.ones((8, 8)))
    assert up.shape == (16, 16) and down.shape == (4, 4)
    assert_allclose([up[0, 0], up[8, 8]], [0.5625, 1.0])
    assert_allclose([down[0, 0], down[1, 2]], [0.765625, 1.0])


def test_constants_on_an_impulse():
    impulse = np.zeros((8, 8))
    impulse[3, 3] = 1
    rows = one(upsample, impulse).sum(axis=1)
    assert_allclose(rows[5:9], [0.5, 1.5, 1.5, 0.5])
    assert_allclose(rows.sum(), 4)
    down = one(downsample, impulse)
    expected = np.zeros((4, 4))
    expected[1, 1], expected[1, 2], expected[2, 1], expected[2, 2] = 9 / 64, 3 / 64, 3 / 64, 1 / 64
    assert_allclose(down, expected)


def test_equal_to_the_definition():
    x = np.random.default_rng(0).normal(size=(6, 6))
    assert_allclose(one(upsample, x), plain(x, 2, 1, up=2, gain=4), atol=1e-6)
    assert_allclose(one(downsample, x), plain(x, 1, 1, down=2), atol=1e-6)
    assert_allclose(one(blur, x, pad=(2, 2)), plain(x, 2, 2), atol=1e-6)
    assert_allclose(one(blur, x, pad=(1, 1), gain=4.0), plain(x, 1, 1, gain=4), atol=1e-6)


@pytest.mark.parametrize(
    ("operator", "arguments"),
    [
        (functools.partial(blur, pad=(2, 2), gain=4.0), ((2, 2), 4 / 64)),
        (functools.partial(blur, pad=(0, 1)), ((0, 1), 1 / 64)),
        (downsample, ((1, 1), 1 / 64, 1, 2)),
        (upsample, ((2, 2), 4 / 64, 2, 1)),
    ],
)
def test_a_depthwise_convolution_does_the_same(operator, arguments):
    """As on TPUs."""
    x = jnp.asarray(np.random.default_rng(0).normal(size=(2, 6, 8, 3)), jnp.float32)
    assert_allclose(depthwise(x, *arguments), operator(x), atol=1e-6)


@pytest.mark.parametrize(
    ("operator", "options"),
    [
        (blur, {"pad": (2, 2)}),
        (blur, {"pad": (1, 1), "gain": 4.0}),
        (blur, {"pad": (0, 1)}),
        (downsample, {}),
        (upsample, {}),
        (upsample, {"gain": 1.0}),
    ],
)
def test_gradients_are_those_of_the_definition(operator, options):
    """First and second order, through a nonlinearity, against the operator as one matrix."""
    x = jnp.asarray(np.random.default_rng(0).normal(size=(2, 6, 6, 1)), jnp.float32)
    basis = jnp.eye(36, dtype=jnp.float32).reshape(36, 6, 6, 1)
    matrix = operator(basis, **options).reshape(36, -1)

    def plain(x):
        return jnp.tanh(x).reshape(-1, 36) @ matrix

    def loss(f, x):
        return jnp.sum(jnp.sin(f(x)))

    def ours(x):
        return operator(jnp.tanh(x), **options).reshape(len(x), -1)

    def penalty(f, x):  # as R1
        return jnp.sum(jnp.square(jax.grad(functools.partial(loss, f))(x)))

    for measure in (loss, penalty):
        a, b = (jax.grad(functools.partial(measure, f))(x) for f in (ours, plain))
        assert_allclose(a, b, atol=1e-5 * float(jnp.abs(b).max()) + 1e-6)


def test_transposed_convolution_equals_the_dilated_one():
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(size=(2, 5, 5, 3)), jnp.float32)
    kernel = jnp.asarray(rng.normal(size=(3, 3, 3, 4)), jnp.float32)
    dilated = jax.lax.conv_general_dilated(
        x, kernel, (1, 1), ((2, 2), (2, 2)), lhs_dilation=(2, 2),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )  # fmt: skip
    assert_allclose(conv_transpose(x, kernel), dilated, atol=1e-5)


def test_gain_of_the_up_sampled_skip():
    """The base attenuates the skip to 0.25; the default keeps its mean."""
    for gain, interior in ((4.0, 1.0), (1.0, 0.25)):
        block = StyledResBlock(2, up=True, skip_gain=gain)
        x, z_t = jnp.ones((1, 8, 8, 2)), jnp.zeros((1, 4))
        params = block.init(jax.random.key(0), x, z_t, (None, None))
        params = jax.tree.map(jnp.zeros_like, params)
        params["params"]["skip"]["kernel"] = jnp.eye(2)[None, None] * np.sqrt(2)  # fan_in 2
        out = block.apply(params, x, z_t, (None, None)) * np.sqrt(2)  # residual sums / sqrt 2
        assert_allclose(out[0, 8, 8], [interior, interior], rtol=1e-6)
