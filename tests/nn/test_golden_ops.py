"""Pins the operations of StyleGAN2 against numbers of the authors' code, with their gradients."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dtgan.nn.layers import EqualDense, bias_act, minibatch_deviation
from dtgan.nn.modulated import modulated_conv
from dtgan.nn.resample import blur, convolve, downsample, fir_matrix, upfirdn, upsample
from tests import goldens

STORED = goldens.values("sg2_ops")
F4, F3, F2D = np.array([1, 3, 3, 1]) / 8, np.array([1, 2, 1]) / 4, [[1, 2], [3, 4], [5, 7]]
SYM6 = STORED["sym6_taps"]


@pytest.fixture(params=["float32", "float64"], name="dtype")
def precision(request):
    with jax.enable_x64(request.param == "float64"):
        yield request.param


def nhwc(x, dtype):
    return jnp.asarray(x.transpose(0, 2, 3, 1), dtype)


def drawn(key, shape, dtype):
    return nhwc(goldens.drawn(f"ops/{key}", shape), dtype)


def check(found, name):
    found = found.transpose(0, 3, 1, 2) if found.ndim == 4 else found
    tolerance = 1e-10 if found.dtype == jnp.float64 else 2e-5
    goldens.assert_golden(found, STORED, name, tolerance)


@pytest.mark.parametrize(
    ("name", "rows", "columns", "up", "down", "pad", "gain"),
    [  # up, down: (x, y); pad: (left, right, top, bottom); a filter that is not flipped is reversed
        ("blur", F4, F4, (1, 1), (1, 1), (2, 1, 2, 1), 1),
        ("asym", F4, F4, (1, 1), (1, 1), (2, 1, 1, 2), 1),
        ("up", F4, F4, (2, 2), (1, 1), (2, 1, 2, 1), 4),
        ("down", F4, F4, (1, 1), (2, 2), (1, 1, 1, 1), 1),
        ("blur3", F3, F3, (1, 1), (1, 1), (1, 1, 1, 1), 1),
        ("crop", F4, F4, (2, 2), (1, 1), (-1, 0, 2, -2), 1),
        ("nofilter", [1], [1], (2, 2), (1, 1), (1, 0, 0, 1), 1),
        ("sym6up", SYM6, SYM6, (2, 2), (1, 1), (6, 5, 6, 5), 4),
        ("sym6down", SYM6[::-1], SYM6[::-1], (1, 1), (2, 2), (5, 5, 5, 5), 1),
    ],
)
def test_upfirdn(dtype, name, rows, columns, up, down, pad, gain):
    x = drawn("upfirdn/x", (1, 2, 7, 6), dtype)
    rows = fir_matrix(7, rows, up[1], down[1], pad[2:])
    columns = fir_matrix(6, columns, up[0], down[0], pad[:2])
    check(gain * upfirdn(x, rows, columns), f"upfirdn.{name}")


@pytest.mark.parametrize("flip", [False, True])
def test_a_filter_that_is_no_product_is_a_sum_of_products(dtype, flip):
    x, filters = drawn("upfirdn/x", (1, 2, 7, 6), dtype), np.array(F2D) / np.sum(F2D)
    filters, ones = filters[::-1, ::-1] if flip else filters, np.eye(3)
    parts = (
        upfirdn(x, fir_matrix(7, ones[i], 3, 2, (1, 4)), fir_matrix(6, filters[i], 2, 3, (3, 2)))
        for i in range(3)
    )
    check(2.5 * sum(parts), "upfirdn.mixedflip" if flip else "upfirdn.mixed")


def test_resampling_by_shifts(dtype):
    x = drawn("upfirdn/x", (1, 2, 7, 6), dtype)
    check(upsample(x), "wrap.upsample2d")
    check(downsample(x), "wrap.downsample2d")
    check(blur(x, (2, 1)), "wrap.filter2d")


@pytest.mark.parametrize(
    ("name", "act", "gain", "clamp"),
    [
        ("linear", False, None, None),
        ("relu", nn.relu, np.sqrt(2), None),
        ("lrelu", True, None, None),
        ("tanh", jnp.tanh, None, None),
        ("sigmoid", nn.sigmoid, None, None),
        ("swish", nn.swish, np.sqrt(2), None),
        ("lrelu_a0.1_g2_c0.7", functools.partial(nn.leaky_relu, negative_slope=0.1), 2.0, 0.7),
        ("linear_g0.5_c0.3", False, 0.5, 0.3),
    ],
)
def test_bias_act(dtype, name, act, gain, clamp):
    x = goldens.drawn("ops/bias_act/x", (2, 3, 4)).swapaxes(1, 2)
    b = goldens.drawn("ops/bias_act/b", (3,))
    gain = None if gain is None else float(gain)
    y = bias_act(jnp.asarray(x, dtype), jnp.asarray(b, dtype), act, gain, clamp)
    check(y.swapaxes(1, 2), f"bias_act.{name}")


@pytest.mark.parametrize(
    ("name", "act", "rate", "sizes"),
    [("linear", False, 1.0, (1, 0.1)), ("lrelu_lrmul", True, 0.01, (100, 10))],
)
def test_dense(dtype, name, act, rate, sizes):
    weight, bias = (
        np.float32(size) * goldens.drawn(f"ops/fc/{key}", shape)
        for size, key, shape in zip(sizes, ("weight", "bias"), ((4, 5), (4,)), strict=True)
    )
    layer = EqualDense(4, act=act, rate=rate, dtype=dtype)
    params = {"kernel": jnp.asarray(weight.T, dtype), "bias": jnp.asarray(bias, dtype)}
    x = jnp.asarray(goldens.drawn("ops/fc/x", (3, 5)), dtype)
    check(layer.apply({"params": params}, x), f"fc.{name}")


@pytest.mark.parametrize(
    ("name", "side", "sampling", "act", "clamp"),
    [
        ("k3", 3, None, True, None),
        ("k3up", 3, "up", True, None),
        ("k3down", 3, "down", True, 0.9),
        ("k1", 1, None, True, None),
        ("k1down", 1, "down", False, None),
        ("k1up", 1, "up", False, None),
    ],
)
def test_equalised_convolutions(dtype, name, side, sampling, act, clamp):
    x = drawn("conv/x", (2, 4, 6, 8), dtype)
    kernel = goldens.drawn(f"ops/conv_{name}/weight", (3, 4, side, side)).transpose(2, 3, 1, 0)
    kernel = kernel[::-1, ::-1] if sampling == "up" else kernel
    kernel = jnp.asarray(kernel, dtype) / np.sqrt(4.0 * side * side).astype(dtype)
    bias = np.float32(0.1) * goldens.drawn(f"ops/conv_{name}/bias", (3,))
    y = convolve(x, kernel, sampling)
    bias = jnp.asarray(bias, dtype) if act else None
    check(bias_act(y, bias, act, clamp=clamp), f"conv.{name}")
    half = 0.5**0.5
    gain, clamp = half * (2**0.5 if act else 1), clamp and half * clamp
    check(bias_act(y, bias, act, gain, clamp), f"conv.{name}_gain")


@pytest.mark.parametrize("demodulate", [False, True])
@pytest.mark.parametrize(
    ("name", "side", "sampling"),
    [("plain", 3, None), ("up", 3, "up"), ("down", 3, "down"), ("k1", 1, None)],
)
def test_modulated_convolution(dtype, name, side, sampling, demodulate):
    x = drawn("modconv/x", (2, 4, 5, 6), dtype)
    kernel = goldens.drawn(f"ops/modconv/w{side}", (3, 4, side, side)).transpose(2, 3, 1, 0)
    style = np.float32(1) + np.float32(0.5) * goldens.drawn("ops/modconv/s", (2, 4))
    turned = slice(None, None, -1 if sampling == "up" else 1)
    kernel, style = jnp.asarray(kernel[turned, turned], dtype), jnp.asarray(style, dtype)
    y, pullback = jax.vjp(
        lambda *inputs: modulated_conv(*inputs, sampling, demodulate), x, kernel, style
    )
    name = f"modconv.{name}.{'demod' if demodulate else 'nodemod'}"
    check(y, name)
    n, h, w, c = y.shape
    dx, dw, ds = pullback(drawn(f"modconv/r_{name.split('.')[1]}", (n, c, h, w), dtype))
    check(dx, f"{name}.dx")
    check(dw[turned, turned].transpose(3, 2, 0, 1).transpose(0, 2, 3, 1), f"{name}.dw")
    check(ds, f"{name}.ds")


def test_minibatch_deviation(dtype):
    x = drawn("mbstd/x", (8, 3, 2, 2), dtype)
    check(minibatch_deviation(x)[..., 3], "mbstd.g4n8")
    check(minibatch_deviation(x[:2])[..., 3], "mbstd.g4n2")
    check(minibatch_deviation(x, features=3)[:, 0, 0, 3:], "mbstd.g4n8_f3")
