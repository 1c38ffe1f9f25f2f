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
from dtgan.nn.platforms import by_platform
from dtgan.nn.resample import convolve

SQRT2 = math.sqrt(2.0)
normal_init = nn.initializers.normal(1.0)


def full(x):
    """Return x in float32, or in float64 where it is that already: for sums that need precision."""
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def bias_act(x, bias=None, act=True, gain=None, clamp=None):
    """Compute act(x + bias) gain, kept within +-clamp.

    act: True, leaky ReLU with slope 0.2 (gain: sqrt(2)), False, none (gain: 1), or a function.
    clamp: a bound of the result, gain included; None for none.
    """
    x = x if bias is None else add_bias(x, bias)
    if callable(act):
        x = act(x)
    elif act:
        x, gain = nn.leaky_relu(x, 0.2), SQRT2 if gain is None else gain
    x = x if gain is None else x * gain
    if clamp is None:
        return x
    # Not jnp.clip, whose gradient divides at ties and keeps two arrays of x's size for that.
    low, high = (jnp.asarray(bound, x.dtype) for bound in (-clamp, clamp))
    return jax.lax.clamp(low, x, high)


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

    return by_platform(x, cpu=rows_first, default=plain)


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
    pad: int = 0  # zeros on each side; pad x itself for anything else
    down: bool = False  # halve the size by blurring and a stride of 2, padded for that
    bias: bool = True
    act: bool = True  # leaky ReLU after the bias
    clamp: float | None = None  # bound of what comes out
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x):
        shape = (self.kernel, self.kernel, x.shape[-1], self.features)
        scale = 1.0 / math.sqrt(math.prod(shape[:3]))
        kernel = (self.param("kernel", normal_init, shape) * scale).astype(self.dtype)
        x = x.astype(self.dtype)
        x = convolve(x, kernel, "down") if self.down else conv(x, kernel, pad=self.pad)
        bias = self.param("bias", nn.initializers.zeros, (self.features,)) if self.bias else None
        return bias_act(x, bias, self.act, clamp=self.clamp)


class Head(nn.Module):
    """Equalised 1x1 convolution [N, H, W, I] -> float32 [N, H, W, features], without activation.

    Products are of x's type and sums in float32: a float32 copy of a map in full size would be one
    of the largest buffers that a step of low precision moves.
    """

    features: int

    @nn.compact
    def __call__(self, x):
        shape = (1, 1, x.shape[-1], self.features)
        kernel = self.param("kernel", normal_init, shape) * (1.0 / math.sqrt(x.shape[-1]))
        kernel, exact = kernel[0, 0].astype(x.dtype), jnp.promote_types(x.dtype, jnp.float32)
        # Not flattened: a TPU would copy the map for that.
        y = jnp.einsum("nhwi,io->nhwo", x, kernel, preferred_element_type=exact)
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        return bias_act(y, bias, act=False)


class EqualDense(nn.Module):
    """Equalised dense layer [..., I] -> [..., features]."""

    features: int
    bias_init: float = 0.0
    act: bool = False
    rate: float = 1.0  # its learning rate, as a part of the network's
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x):
        draw = nn.initializers.normal(1.0 / self.rate)
        kernel = self.param("kernel", draw, (x.shape[-1], self.features))
        start = nn.initializers.constant(self.bias_init / self.rate)
        bias = self.param("bias", start, (self.features,))
        kernel = kernel * (self.rate / math.sqrt(x.shape[-1]))
        bias = bias if self.rate == 1.0 else bias * self.rate
        return bias_act(x.astype(self.dtype) @ kernel.astype(self.dtype), bias, self.act)


def minibatch_deviation(x, group=4, features=1):
    """Append how much a group of images differs to x [N, H, W, C] -> [N, H, W, C + features].

    Images n, n + N / group, ... are a group. The deviation (biased) of every number over the group
    is averaged over pixels and over each of `features` runs of channels (Karras et al. 2018).
    A batch smaller than `group` is one group. float32 inside.
    """
    n, h, w, c = x.shape
    group = min(group, n)
    y = full(x).reshape(group, n // group, h, w, features, c // features)
    variance = jnp.mean(jnp.square(y - jnp.mean(y, axis=0)[None]), axis=0)
    y = jnp.mean(jnp.sqrt(variance + 1e-8), axis=(1, 2, 4))
    y = jnp.tile(y, (group, 1)).astype(x.dtype)
    return jnp.concatenate([x, jnp.broadcast_to(y[:, None, None], (n, h, w, features))], axis=-1)
