"""Residual blocks of the swapping autoencoder and the trunk of its discriminators."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from dtgan.nn.layers import SQRT2, EqualConv
from dtgan.nn.modulated import StyledConv
from dtgan.nn.resample import upsample


class ResBlock(nn.Module):
    """conv 3x3 in -> out, conv 3x3 (stride 2 after a blur), 1x1 skip; (res + skip) / sqrt(2).

    late: the second convolution changes the number of channels (StyleGAN2), not the first.
    """

    features: int
    down: bool = True
    reflect: bool = False  # pad the first convolution by reflection (encoder) instead of zeros
    late: bool = False
    clamp: float | None = None  # bound of what the two convolutions give
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x):
        x, how = x.astype(self.dtype), {"clamp": self.clamp, "dtype": self.dtype}
        width = x.shape[-1] if self.late else self.features
        if self.reflect:
            y = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="reflect")
            y = EqualConv(width, **how, name="conv1")(y)
        else:
            y = EqualConv(width, pad=1, **how, name="conv1")(x)
        y = EqualConv(self.features, pad=1, down=self.down, **how, name="conv2")(y)
        skip = {"bias": False, "act": False, "dtype": self.dtype, "name": "skip"}
        return (y + EqualConv(self.features, 1, down=self.down, **skip)(x)) / SQRT2


class StyledResBlock(nn.Module):
    """Two styled convolutions and a 1x1 skip, optionally doubling the size; (res + skip) / sqrt(2).

    noise: a pair of maps for the two convolutions, or (None, None). `noisy`: whether the
    convolutions have a strength for noise.
    """

    features: int
    up: bool = False
    skip_gain: float = 4.0  # of the skip's up-blur: 4 keeps the mean; 1 is the base's quirk
    noisy: bool = True
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, z_t, noise=(None, None)):
        x, how = x.astype(self.dtype), {"noisy": self.noisy, "dtype": self.dtype}
        y = StyledConv(self.features, self.up, **how, name="conv1")(x, z_t, noise[0])
        y = StyledConv(self.features, **how, name="conv2")(y, z_t, noise[1])
        if self.up or x.shape[-1] != self.features:
            skip = EqualConv(self.features, 1, bias=False, act=False, dtype=self.dtype, name="skip")
            x = skip(x)
        if self.up:
            x = upsample(x, self.skip_gain)
        return (y + x) / SQRT2


class Trunk(nn.Module):
    """Image [N, R, R, C] -> features [N, 4, 4, channels(4)]: 1x1, ResBlocks to 4x4, 3x3.

    Channels at resolution r are min(base / r, cap).
    """

    base: int
    cap: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x):
        def channels(r):
            return min(self.base // r, self.cap)

        res = x.shape[1]
        x = EqualConv(channels(res), 1, dtype=self.dtype, name="stem")(x)
        while res > 4:
            res //= 2
            x = ResBlock(channels(res), dtype=self.dtype, name=f"block{res}")(x)
        return EqualConv(channels(res), pad=1, dtype=self.dtype, name="last")(x)
