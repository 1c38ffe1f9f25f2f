"""Instance and batch normalisation, and SPADE, which paints a map in (Park et al., CVPR 2019)."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from dtgan.nn.layers import add_bias, full, pixel_sum, scale
from dtgan.nn.plain import Conv

EPS = 1e-5
REACH = 2  # pixels from the border within which two 3x3 convolutions see the zeros outside


@jax.custom_vjp
def standardise(x):
    """Give every channel of every image [N, H, W, C] the mean 0 and the variance 1.

    Returns (y, means [N, C], variances [N, C]); gradients reach x through y alone.
    """
    mean = _mean(x)
    y = x - mean
    variance = _mean(jnp.square(y))[:, 0, 0]
    return scale(y, jax.lax.rsqrt(variance + EPS)), mean[:, 0, 0], variance


def _mean(x):
    """Average over pixels: [N, H, W, C] -> [N, 1, 1, C]."""
    return pixel_sum(x)[:, None, None] / (x.shape[1] * x.shape[2])


def _forward(x):
    y, mean, variance = standardise(x)
    return (y, mean, variance), (y, jax.lax.rsqrt(variance + EPS))


def _backward(kept, gradients):
    y, factor = kept
    g = gradients[0]
    return (scale(g - _mean(g) - y * _mean(g * y), factor),)


standardise.defvjp(_forward, _backward)


def instance_norm(x):
    """Give every channel of every image [N, H, W, C] the mean 0 and the variance 1."""
    return standardise(x)[0]


class BatchNorm(nn.Module):
    """Batch normalisation (Ioffe and Szegedy 2015) with torch's numbers; float32 inside.

    With train the statistics are those of the whole batch, and "batch_stats" follow them: 1 -
    momentum of the new value each time, all of it for callers that average themselves. The running
    variance is of the biased kind, as always in Flax; torch multiplies by n / (n - 1). Variables
    are named as in `flax.linen.BatchNorm`, which takes 2.5 times as long on CPU, gradients
    included.
    """

    train: bool
    dtype: Any = jnp.float32
    momentum: float = 0.9

    @nn.compact
    def __call__(self, x):
        n, h, w, c = x.shape
        gain = self.param("scale", nn.initializers.ones, (c,))
        bias = self.param("bias", nn.initializers.zeros, (c,))
        mean = self.variable("batch_stats", "mean", jnp.zeros, (c,))
        variance = self.variable("batch_stats", "var", jnp.ones, (c,))
        y = full(x).reshape(1, n * h, w, c)
        if self.train:
            y, now, spread = standardise(y)
            if not self.is_initializing():
                old, new = self.momentum, 1.0 - self.momentum
                mean.value = old * mean.value + new * now[0]
                variance.value = old * variance.value + new * spread[0]
        else:
            factor = jax.lax.rsqrt(variance.value + EPS)
            y, gain = add_bias(y, -mean.value), gain * factor
        return add_bias(scale(y, gain[None]), bias).reshape(x.shape).astype(self.dtype)


class InstanceNorm(nn.Module):
    """Instance normalisation with a learned scale and bias for each channel; float32 inside."""

    @nn.compact
    def __call__(self, x):
        y = instance_norm(full(x))
        gain = self.param("scale", nn.initializers.ones, (x.shape[-1],))
        bias = self.param("bias", nn.initializers.zeros, (x.shape[-1],))
        gain = jnp.broadcast_to(gain, (x.shape[0], x.shape[-1]))
        return add_bias(scale(y, gain), bias).astype(x.dtype)


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
