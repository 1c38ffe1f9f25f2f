"""Batch and instance normalisation; SPADE paints a class map into the latter (Park et al. 2019)."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from dtgan.nn.layers import add_bias, full, pixel_sum, scale
from dtgan.nn.plain import Conv

EPS = 1e-5
STATISTICS = "batch_stats"  # the collection of kept means and variances
REACH = 2  # pixels from the border within which two 3x3 convolutions see the zeros outside


@jax.custom_vjp
def instance_norm(x):
    """Give every channel of every image [N, H, W, C] the mean 0 and the variance 1."""
    return _normalise(x)[0]


def _normalise(x):
    x = x - _mean(x)
    factor = jax.lax.rsqrt(_mean(jnp.square(x)) + EPS)[:, 0, 0]
    return scale(x, factor), factor


def _mean(x):
    """Average over pixels: [N, H, W, C] -> [N, 1, 1, C]."""
    return pixel_sum(x)[:, None, None] / (x.shape[1] * x.shape[2])


def _forward(x):
    y, factor = _normalise(x)
    return y, (y, factor)


def _backward(kept, g):
    y, factor = kept
    return (scale(g - _mean(g) - y * _mean(g * y), factor),)


instance_norm.defvjp(_forward, _backward)


class InstanceNorm(nn.Module):
    """Instance normalisation with a learned scale and bias for each channel; float32 inside."""

    @nn.compact
    def __call__(self, x):
        y = instance_norm(full(x))
        gain = self.param("scale", nn.initializers.ones, (x.shape[-1],))
        bias = self.param("bias", nn.initializers.zeros, (x.shape[-1],))
        gain = jnp.broadcast_to(gain, (x.shape[0], x.shape[-1]))
        return add_bias(scale(y, gain), bias).astype(x.dtype)


class BatchNorm(nn.Module):
    """Batch normalisation of x [N, H, W, C] (Ioffe and Szegedy 2015), learned scale and bias.

    running=False: by the mean and the (biased) variance of the global batch. Where the collection
    "batch_stats" may be written, they are put there as they are, for the caller to average;
    running=True: by those that are there, so that an image depends on itself alone.
    float32 inside.
    """

    @nn.compact
    def __call__(self, x, running=False):
        channels, y = x.shape[-1:], full(x)
        gain = self.param("scale", nn.initializers.ones, channels)
        bias = self.param("bias", nn.initializers.zeros, channels)
        if running or self.is_mutable_collection(STATISTICS):
            mean = self.variable(STATISTICS, "mean", jnp.zeros, channels)
            variance = self.variable(STATISTICS, "variance", jnp.ones, channels)
        if running:
            factor = gain * jax.lax.rsqrt(variance.value + EPS)
            y = add_bias(y * factor[None, None, None], bias - mean.value * factor)
            return y.astype(x.dtype)
        tall = y.reshape(1, -1, *y.shape[2:])  # the batch as one image, its pictures stacked
        if self.is_mutable_collection(STATISTICS) and not self.is_initializing():
            mean.value = _mean(tall)[0, 0, 0]
            variance.value = _mean(jnp.square(tall - _mean(tall)))[0, 0, 0]
        y = add_bias(scale(instance_norm(tall), gain[None]), bias)
        return y.reshape(x.shape).astype(x.dtype)


class SPADE(nn.Module):
    """Spatially adaptive normalisation: instance_norm(x) (1 + gamma) + beta; float32 inside.

    x [N, H, W, C], labels [N, h, w, A], a class map. gamma and beta, [N, H, W, C], are read off the
    map by two layers of 3x3 convolutions, the first of `hidden` channels. A map [N, 1, 1, A] says
    the same everywhere: gamma and beta then differ within REACH of the border only, and are
    computed on a map that small.
    """

    hidden: int = 128
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, labels):
        side = x.shape[1:3]
        if labels.shape[1:3] == (1, 1):
            small = (min(size, 2 * REACH + 1) for size in side)
            labels = jnp.broadcast_to(labels, (labels.shape[0], *small, labels.shape[3]))
        else:
            labels = nearest(labels, side)
        seen = nn.relu(Conv(self.hidden, pad=1, dtype=self.dtype, name="shared")(labels))
        gamma, beta = (
            stretch(Conv(x.shape[-1], pad=1, dtype=self.dtype, name=name)(seen), side)
            for name in ("gamma", "beta")
        )
        y = instance_norm(full(x))
        return (y * (1.0 + gamma) + beta).astype(x.dtype)


def stretch(x, side):
    """Repeat the middle row and column of [N, h, w, C] until it has the height and width `side`."""
    for axis, size in zip((1, 2), side, strict=True):
        if (missing := size - x.shape[axis]) > 0:
            before, middle, after = jnp.split(x, (REACH, REACH + 1), axis)
            middle = jnp.repeat(middle, missing + 1, axis)
            x = jnp.concatenate([before, middle, after], axis)
    return x


def nearest(x, side):
    """Resize [N, h, w, C] to the height and width `side` as PyTorch does: from floor(i in / out).

    `jax.image.resize` takes the nearest of half-pixel centres instead, another one in general.
    """
    for axis, size in zip((1, 2), side, strict=True):
        have = x.shape[axis]
        if have % size == 0:
            x = jax.lax.slice_in_dim(x, 0, have, have // size, axis)
        else:
            x = jnp.take(x, np.arange(size) * have // size, axis)
    return x
