"""Networks of DT-GAN: the swapping autoencoder's encoder and generator.

Topology: docs/dtgan.md, choice 1. Sizes follow from the image side `res` (a power of two, 32 to
256) and the width `ch`; the structure code is always 16 x 16 x 8.
"""

import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from dtgan.nn.blocks import ResBlock, StyledResBlock
from dtgan.nn.layers import EqualConv, EqualDense, Head, normal_init

CODE_SIDE, CODE_CHANNELS = 16, 8  # of the structure code z_s


class Encoder(nn.Module):
    """E: image [N, R, R, C] in [-1, 1] -> structure z_s [N, 16, 16, 8] and texture z_t [N, Z].

    Z = 4 ch R / 16. Neither code is normalised: zero must be a reachable structure code.
    """

    ch: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x):
        dtype, depth = self.dtype, int(math.log2(x.shape[1] // CODE_SIDE))
        x = EqualConv(self.ch, 1, dtype=dtype, name="stem")(x)
        for i in range(1, depth + 1):
            x = ResBlock(self.ch << i, reflect=True, dtype=dtype, name=f"down{i}")(x)
        top = self.ch << depth

        z_s = EqualConv(top, 1, dtype=dtype, name="structure0")(x)
        z_s = EqualConv(CODE_CHANNELS, 1, dtype=dtype, name="structure1")(z_s)

        for i, width in enumerate((2 * top, 4 * top)):
            x = EqualConv(width, down=True, dtype=dtype, name=f"texture{i}")(x)
        z_t = EqualDense(4 * top, act=True, name="texture2")(
            jnp.mean(x, axis=(1, 2), dtype=jnp.float32)
        )
        return z_s.astype(jnp.float32), z_t


class Generator(nn.Module):
    """G: z_s [N, 16, 16, 8], z_t [N, Z] -> image [N, R, R, channels]; linear, about [-1, 1].

    `anchor_input` is added to every z_s, so that z_s = 0 keeps its meaning and G knows positions:
    "zero" (the thesis), a "learned" constant, or a fixed "fourier" map (choice 2).
    """

    res: int
    ch: int
    channels: int = 1
    anchor_input: str = "zero"
    skip_gain: float = 4.0
    dtype: Any = jnp.float32

    def blocks(self):
        """Return (features, up, output side) of every block."""
        ups = {256: (16, 16, 8, 4), 128: (16, 8, 4), 64: (8, 4), 32: (4,)}
        plan = [(m * self.ch, False, CODE_SIDE) for m in (4, 8, 12, 16)]
        for i, m in enumerate(ups[self.res]):
            plan.append((m * self.ch, True, CODE_SIDE << (i + 1)))
        return plan

    def draw_noise(self, key, n):
        """Draw noise maps of N(0, 1) for n samples: a pair [n, H, W, 1] for every block."""
        keys = jax.random.split(key, 2 * len(self.blocks()))
        maps = [
            jax.random.normal(k, (n, side, side, 1))
            for k, (_, _, side) in zip(
                keys, [b for b in self.blocks() for _ in range(2)], strict=True
            )
        ]
        return list(zip(maps[::2], maps[1::2], strict=True))

    @nn.compact
    def __call__(self, z_s, z_t, noise=None):
        x = z_s
        if self.anchor_input == "learned":
            x = x + self.param("anchor", normal_init, (1, CODE_SIDE, CODE_SIDE, CODE_CHANNELS))
        elif self.anchor_input == "fourier":
            x = x + fourier_map()[None]
        plan = self.blocks()
        for i, (features, up, _) in enumerate(plan):
            pair = noise[i] if noise is not None else (None, None)
            block = StyledResBlock(features, up, self.skip_gain, dtype=self.dtype, name=f"block{i}")
            x = block(x, z_t, pair)
        return Head(self.channels, name="to_image")(x)


def fourier_map():
    """Return a fixed map of positions [16, 16, 8]: sines and cosines of 1 and 4 turns a side.

    Its variance is 1.
    """
    t = (jnp.arange(CODE_SIDE) + 0.5) / CODE_SIDE * 2 * jnp.pi
    waves = jnp.stack([f(k * t) for k in (1, 4) for f in (jnp.sin, jnp.cos)], axis=-1)
    rows = jnp.broadcast_to(waves[:, None], (CODE_SIDE, CODE_SIDE, 4))
    return math.sqrt(2.0) * jnp.concatenate([rows, rows.swapaxes(0, 1)], axis=-1)
