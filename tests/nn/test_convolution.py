"""Pins that convolutions written for speed equal the plain ones, to second order."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

from dtgan.nn import platforms
from dtgan.nn.convolution import (
    conv,
    conv_double,
    conv_down,
    conv_transpose,
    materialise,
    outer,
    product,
)


def plain_conv(x, kernel, stride=1, pad=0, dilation=1):
    return jax.lax.conv_general_dilated(
        x, kernel, (stride, stride), ((pad, pad), (pad, pad)), lhs_dilation=(dilation, dilation),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )  # fmt: skip


def values_and_gradients(f, x, kernel):
    """f(x, kernel), the gradients of a scalar of it, and those of an R1 penalty on it."""

    def score(x, kernel):
        return jnp.sum(jnp.sin(f(x, kernel)))

    def r1(x, kernel):
        return jnp.sum(jnp.square(jax.grad(score)(x, kernel)))

    return f(x, kernel), *(jax.grad(g, (0, 1))(x, kernel) for g in (score, r1))


@pytest.mark.parametrize(
    ("fast", "plain", "shape"),
    [
        (conv_down, lambda x, k: plain_conv(x, k, stride=2), (2, 9, 13, 3)),
        (conv_transpose, lambda x, k: plain_conv(x, k, pad=2, dilation=2), (2, 4, 6, 3)),
        (lambda x, k: conv(x, k, pad=1), lambda x, k: plain_conv(x, k, pad=1), (2, 5, 7, 3)),
        (lambda x, k: conv(x, k, pad=1), lambda x, k: plain_conv(x, k, pad=1), (2, 5, 6, 3)),
        (lambda x, k: conv(x, k, pad=1), lambda x, k: plain_conv(x, k, pad=1), (2, 5, 8, 3)),
        (conv, plain_conv, (2, 8, 10, 3)),
        (lambda x, k: conv(x, k, 2), lambda x, k: plain_conv(x, k, 2), (2, 8, 9, 3)),
    ],
    ids=["stride 2", "transposed", "one", "two", "four", "no padding", "stride 2 of even sides"],
)
@pytest.mark.parametrize("channels", [5, 20])
def test_convolutions_equal_the_plain_ones_to_second_order(fast, plain, shape, channels):
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(size=shape), jnp.float32)
    kernel = jnp.asarray(rng.normal(size=(3, 3, 3, channels)), jnp.float32)
    ours, theirs = (values_and_gradients(f, x, kernel) for f in (fast, plain))
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        assert_allclose(a, b, atol=1e-5 * float(jnp.abs(b).max()))


@pytest.mark.parametrize(
    ("fast", "plain", "shape"),
    [
        (lambda x, k: conv(x, k, 2, 1), lambda x, k: plain_conv(x, k, 2, 1), (2, 8, 10, 3)),
        (lambda x, k: conv(x, k, 2, 1), lambda x, k: plain_conv(x, k, 2, 1), (2, 4, 4, 3)),
        (
            conv_double,
            lambda x, k: plain_conv(x, k[::-1, ::-1], pad=2, dilation=2),
            (2, 4, 6, 3),
        ),
    ],
    ids=["halved", "halved to 2x2", "doubled"],
)
def test_convolutions_of_four_pixels_equal_the_plain_ones_to_second_order(fast, plain, shape):
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(size=shape), jnp.float32)
    kernel = jnp.asarray(rng.normal(size=(4, 4, 3, 5)), jnp.float32)
    ours, theirs = (values_and_gradients(f, x, kernel) for f in (fast, plain))
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        assert_allclose(a, b, atol=1e-5 * float(jnp.abs(b).max()))


@pytest.mark.parametrize(("form", "channels"), [(product, 3), (product, 1), (outer, 1)])
def test_convolutions_of_a_pixel_equal_the_plain_ones_to_second_order(form, channels):
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(size=(2, 4, 6, channels)), jnp.float32)
    kernel = jnp.asarray(rng.normal(size=(1, 1, channels, 5)), jnp.float32)
    ours = values_and_gradients(lambda x, k: form(x, k[0, 0]), x, kernel)
    theirs = values_and_gradients(plain_conv, x, kernel)
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        assert_allclose(a, b, atol=1e-5 * float(jnp.abs(b).max()))


def lowered(f, platform, *inputs):
    """The text of a program for a platform, and of one that was traced for it alone."""
    for target in (None, platform):
        with platforms.target(target):
            traced = jax.jit(lambda *inputs: f(*inputs)).trace(*inputs)
        yield traced.lower(lowering_platforms=(platform,)).as_text()


@pytest.mark.parametrize("platform", ["cpu", "tpu", "cuda"])
def test_one_channel_is_mapped_without_a_product_of_matrices_on_tpu(platform):
    for text in lowered(conv, platform, jnp.ones((1, 4, 4, 1)), jnp.ones((1, 1, 1, 2))):
        assert ("stablehlo.dot_general" in text) == (platform != "tpu")


@pytest.mark.parametrize("platform", ["cpu", "tpu", "cuda"])
def test_platforms_get_what_suits_them(platform):
    def both(x, k):
        return conv(conv_transpose(x, k), k, stride=2)

    for text in lowered(both, platform, jnp.ones((1, 8, 8, 2)), jnp.ones((3, 3, 2, 2))):
        assert ("optimization_barrier" in text) == (platform == "cpu")
        assert text.count("stablehlo.convolution") == {"tpu": 2, "cpu": 3, "cuda": 5}[platform]


def test_the_gradient_is_kept_in_memory_as_well():
    gradient = jax.jit(jax.grad(lambda x: jnp.sum(materialise(x) ** 2)))
    assert gradient.lower(jnp.ones(3)).as_text().count("stablehlo.optimization_barrier") == 2


@pytest.mark.parametrize(("channels", "count"), [(8, 4), (16, 2), (32, 1)])
def test_few_channels_of_neighbours_are_convolved_at_once_on_cpu(channels, count):
    inputs = jnp.ones((1, 8, 8, 4)), jnp.ones((3, 3, 4, channels))
    for platform, n in (("cpu", count), ("tpu", 1), ("cuda", 1)):
        for text in lowered(lambda x, k: conv(x, k, pad=1), platform, *inputs):
            assert f"tensor<3x{2 + n}x4x{n * channels}xf32>" in text


@pytest.mark.parametrize(("side", "k", "stride", "pad"), [(2, 3, 1, 1), (5, 3, 2, 0), (2, 2, 1, 0)])
def test_small_outputs_equal_the_convolution(side, k, stride, pad):
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(size=(3, side, side, 4)), jnp.float32)
    kernel = jnp.asarray(rng.normal(size=(k, k, 4, 6)), jnp.float32)
    assert_allclose(conv(x, kernel, stride, pad), plain_conv(x, kernel, stride, pad), atol=1e-5)
