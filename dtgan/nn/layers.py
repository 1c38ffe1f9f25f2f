"""Equalised-learning-rate convolution and dense layers, leaky ReLU (Karras et al. 2018, 2020).

A parameter is drawn from N(0, 1) and used as w / sqrt(fan_in): all layers learn at one rate.
All tensors are NHWC, kernels HWIO. `dtype` is the compute type; parameters are float32.
"""

import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from dtgan.nn.convolution import conv, materialise

SQRT2 = math.sqrt(2.0)
normal_init = nn.initializers.normal(1.0)


def lrelu(x):
    """Apply leaky ReLU with slope 0.2 and gain sqrt(2), after the bias."""
    return nn.leaky_relu(x, 0.2) * SQRT2


def add_bias(x, bias):
    """Add bias [C] to x [..., C], in x's type."""
    return _add(x, bias.astype(x.dtype))


@jax.custom_vjp
def _add(x, bias):
    return x + bias.reshape((1,) * (x.ndim - 1) + (-1,))


@jax.custom_vjp
def scale(x, factors):
    """Multiply x [N, H, W, C] by factors [N, C], in x's type."""
    return x * factors.astype(x.dtype)[:, None, None, :]


def pixel_sum(x):
    """Sum over pixels: [N, H, W, C] -> [N, C].

    On CPU over the rows first, as vectors of W C numbers: XLA:CPU would sum channel by channel.
    """

    def rows_first(x):
        n, h, w, c = x.shape
        x = materialise(x)
        exact = jnp.promote_types(x.dtype, jnp.float32)
        rows = jnp.sum(x.reshape(n, h, w * c), axis=1, dtype=exact)
        return jnp.sum(rows.reshape(n, w, c), axis=1).astype(x.dtype)

    def plain(x):
        return jnp.sum(x, axis=(1, 2))

    return jax.lax.platform_dependent(x, cpu=rows_first, default=plain)


def _bias_gradient(_, g):
    if g.ndim == 4:
        return g, pixel_sum(g.reshape(1, -1, *g.shape[2:]))[0]
    return g, jnp.sum(g, axis=tuple(range(g.ndim - 1)))


def _scale_gradients(inputs, g):
    x, factors = inputs
    return scale(g, factors), pixel_sum(g * x).astype(factors.dtype)


_add.defvjp(lambda x, bias: (_add(x, bias), None), _bias_gradient)
scale.defvjp(lambda x, factors: (scale(x, factors), (x, factors)), _scale_gradients)


class EqualConv(nn.Module):
    """Equalised convolution [N, H, W, I] -> [N, H', W', features]."""

    features: int
    kernel: int = 3
    stride: int = 1
    pad: int = 0  # zeros on each side; pad x itself for anything else
    bias: bool = True
    act: bool = True  # leaky ReLU after the bias
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x):
        shape = (self.kernel, self.kernel, x.shape[-1], self.features)
        scale = 1.0 / math.sqrt(math.prod(shape[:3]))
        kernel = self.param("kernel", normal_init, shape) * scale
        x = conv(x.astype(self.dtype), kernel.astype(self.dtype), self.stride, self.pad)
        if self.bias:
            x = add_bias(x, self.param("bias", nn.initializers.zeros, (self.features,)))
        return lrelu(x) if self.act else x


class EqualDense(nn.Module):
    """Equalised dense layer [..., I] -> [..., features]."""

    features: int
    bias_init: float = 0.0
    act: bool = False
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x):
        kernel = self.param("kernel", normal_init, (x.shape[-1], self.features))
        bias = self.param("bias", nn.initializers.constant(self.bias_init), (self.features,))
        kernel = kernel * (1.0 / math.sqrt(x.shape[-1]))
        x = add_bias(x.astype(self.dtype) @ kernel.astype(self.dtype), bias)
        return lrelu(x) if self.act else x
