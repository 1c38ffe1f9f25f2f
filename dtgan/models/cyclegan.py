"""Networks of CycleGAN (Zhu et al., ICCV 2017): a ResNet generator, a discriminator of patches."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from dtgan.nn.layers import full
from dtgan.nn.norm import instance_norm
from dtgan.nn.plain import Conv, ConvUp, normal


def norm(x):
    """Normalise without learned parameters; float32 inside."""
    return instance_norm(full(x)).astype(x.dtype)


def mirrored(x, pad):
    """Pad an image [N, H, W, C] by its mirror image."""
    return jnp.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)), mode="reflect")


class ResNetGenerator(nn.Module):
    """G: image [N, R, R, C] -> image in -1..1. `blocks`: 6 up to 128 px, 9 above in the paper."""

    ch: int
    blocks: int
    channels: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x):
        how = {"init": normal, "dtype": self.dtype}
        y = Conv(self.ch, 7, **how, name="e0")(mirrored(x, 3))
        y = nn.relu(norm(y))
        for k in (1, 2):
            # The pixels before the first row and column are zeros; those after the last unseen.
            y = jnp.pad(y, ((0, 0), (1, 0), (1, 0), (0, 0)))
            y = nn.relu(norm(Conv(self.ch * 2**k, 3, 2, **how, name=f"e{k}")(y)))
        for k in range(self.blocks):
            inner = nn.relu(norm(Conv(4 * self.ch, 3, **how, name=f"r{k}a")(mirrored(y, 1))))
            y = y + norm(Conv(4 * self.ch, 3, **how, name=f"r{k}b")(mirrored(inner, 1)))
        for k in (0, 1):
            up = ConvUp(self.ch * 2 ** (1 - k), 3, bias=True, **how, name=f"d{k}")
            y = nn.relu(norm(up(y)))
        y = Conv(self.channels, 7, **how, name="head")(mirrored(y, 3))
        return jnp.tanh(y.astype(x.dtype))


class PatchCritic(nn.Module):
    """D: image [N, R, R, C] -> scores of patches of 70 pixels, [N, R/8 - 2, R/8 - 2]."""

    ch: int
    layers: int = 3
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x):
        how = {"pad": 1, "init": normal, "dtype": self.dtype}
        y = nn.leaky_relu(Conv(self.ch, 4, 2, **how, name="conv0")(x), 0.2)
        for k in range(1, self.layers + 1):
            stride = 2 if k < self.layers else 1
            y = Conv(self.ch * min(2**k, 8), 4, stride, **how, name=f"conv{k}")(y)
            y = nn.leaky_relu(norm(y), 0.2)
        return Conv(1, 4, 1, **how, name="out")(y)[..., 0].astype(x.dtype)
