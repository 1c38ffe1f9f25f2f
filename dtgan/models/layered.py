"""Networks of the layered DT-GAN: a defect is a layer (material, matte) over the real surface.

Composition: Defect-GAN's equations 1-4 (docs/dtgan.md, "The layered model"). Images [N, R, R, C]
in [-1, 1]; mattes [N, R, R, 1] and reflectances [N, R, R, C] in about 0..1.
"""

import math
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from dtgan.models.surfaces import membrane, over, relief
from dtgan.nn.blocks import ResBlock, StyledResBlock
from dtgan.nn.layers import EqualConv, EqualDense, Head, scale
from dtgan.nn.resample import downsample, upsample

TOP_SIDE = 16  # of the encoder's deepest feature map
CODE_CHANNELS = 8  # of the structure code: a direction, and the amplitude last
DIRECTIONS = CODE_CHANNELS - 1


class LayerCodes(NamedTuple):
    """Codes of an image by E.

    z_s [N, S, S, 8]: structure, an amplitude a in 0..9 and a direction d in -2..2, as a (d, 1);
      exactly 0 where E sees no defect. z_t [N, Z]: texture, of mean square 1. presence
      [N, S, S, 1]: logits of "here is a defect", -8..8; the amplitude is max(0, 1 + presence).
    All are bounded: with unbounded codes and high learning rates, training diverged after some
    thousand steps.
    """

    z_s: jax.Array
    z_t: jax.Array
    presence: jax.Array


def reach(matte):
    """Widen a matte to the pixels that removal must replace: min(1, 3 m).

    The surface under a half-transparent layer is as unknown as that under an opaque one, so a
    pixel counts as fully covered from m = 1/3.
    """
    return jnp.minimum(1.0, 3.0 * matte)


class LayerEncoder(nn.Module):
    """E: image [N, R, R, C] -> LayerCodes, with z_s of side S = R / stride.

    The trunk is a swapping autoencoder's; the texture code is pooled from its deepest features,
    without those that see a defect. The structure code comes from a top-down path (Lin et al. 2017,
    FPN): defects are thinner than the cells of a 16 x 16 code, but only their surroundings tell
    them from grain.
    """

    ch: int
    stride: int = 1
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x):
        depth = int(math.log2(x.shape[1] // TOP_SIDE))
        x = jnp.concatenate([x, relief(x)], axis=-1)
        y = EqualConv(self.ch, 1, dtype=self.dtype, name="stem")(x)
        pyramid = [x]
        for i in range(1, depth + 1):
            y = ResBlock(self.ch << i, reflect=True, dtype=self.dtype, name=f"down{i}")(y)
            pyramid.append(y)
        top = self.ch << depth

        context = EqualConv(2 * top, down=True, dtype=self.dtype, name="context")
        y = self.top_down(context(y), pyramid)
        y = EqualConv(CODE_CHANNELS, 1, act=False, dtype=jnp.float32, name="structure")(y)
        presence = 8.0 * jnp.tanh(y[..., DIRECTIONS:] / 8.0)
        amplitude = nn.relu(1.0 + presence)
        direction = 2.0 * jnp.tanh(y[..., :DIRECTIONS] / 2.0)
        z_s = amplitude * jnp.concatenate([direction, jnp.ones_like(amplitude)], axis=-1)

        y = pyramid[-1]
        for i, width in enumerate((2 * top, 4 * top)):
            y = EqualConv(width, 1, dtype=self.dtype, name=f"texture{i}")(y)
        pooled = mean_without(y, jax.lax.stop_gradient(nn.sigmoid(presence)))
        z_t = EqualDense(4 * top, act=True, name="texture2")(pooled)
        z_t = z_t * jax.lax.rsqrt(jnp.mean(jnp.square(z_t), axis=-1, keepdims=True) + 1e-8)
        return LayerCodes(z_s, z_t, presence)

    def top_down(self, y, pyramid):
        """Upsample the coarsest features y to side R / stride, adding those of each level."""
        depth = len(pyramid) - 1
        for level in range(depth, int(math.log2(self.stride)) - 1, -1):
            width = max(16, (self.ch << level) // (1 if level == depth else 2))
            kernel = 1 if level else 3  # the lowest level is the image itself
            deep = EqualConv(width, 1, dtype=self.dtype, name=f"deep{level}")
            side = EqualConv(width, kernel, pad=kernel // 2, dtype=self.dtype, name=f"side{level}")
            y = upsample(deep(y)) + side(pyramid[level])
            y = EqualConv(width, 3, pad=1, dtype=self.dtype, name=f"merge{level}")(y)
        return y


class LayerGenerator(nn.Module):
    """G: z_s [N, S, S, 8], z_t [N, Z] -> reflectance [N, R, R, channels], matte [N, R, R, 1].

    The matte is 1 - exp(-a h): a the amplitude of z_s in the pixel's cell and h > 0 a density that
    depends, as the reflectance does, on the code's direction alone (Beer-Lambert). So it is
    exactly 0 where z_s is 0, and scaling z_s makes a defect fainter or stronger everywhere.
    """

    res: int
    ch: int
    channels: int = 1
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, z_s, z_t):
        direction, amplitude = split_code(z_s)
        stride = self.res // z_s.shape[1]
        x = direction
        for i in range(2 + int(math.log2(stride))):
            up = 0 < i <= int(math.log2(stride))
            block = StyledResBlock(2 * self.ch, up, noisy=False, dtype=self.dtype, name=f"block{i}")
            x = block(x, z_t)
        y = 2.0 * Head(self.channels + 1, name="layer")(x)
        reflectance = 1.1 * nn.sigmoid(y[..., :-1])
        density = nn.softplus(y[..., -1:] - 4.0)  # nearly clear at the start
        amplitude = jnp.repeat(jnp.repeat(amplitude, stride, axis=1), stride, axis=2)
        return reflectance, -jnp.expm1(-amplitude * density)


class Filler(nn.Module):
    """F: image [N, R, R, C], known [N, R, R, 1] in 0..1, z_t [N, Z] -> surface [N, R, R, C].

    The image is not read where `known` is 0. A U-Net corrects the membrane over the known pixels.
    """

    ch: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, image, known, z_t):
        base = membrane(image, known)
        x = jnp.concatenate([over(base, image, known), base, 1.0 - known], axis=-1)
        skips = []
        for i in range(2):
            width = 2 * self.ch << i
            x = EqualConv(width, 3, pad=1, dtype=self.dtype, name=f"down{i}")(x)
            skips.append(x)
            x = downsample(x)
        x = EqualConv(8 * self.ch, 3, pad=1, dtype=self.dtype, name="middle0")(x)
        style = EqualDense(8 * self.ch, bias_init=1.0, name="style")(z_t)
        x = scale(x, style)
        x = EqualConv(8 * self.ch, 3, pad=1, dtype=self.dtype, name="middle1")(x)
        for i in (1, 0):
            x = jnp.concatenate([upsample(x), skips[i]], axis=-1)
            x = EqualConv(2 * self.ch << i, 3, pad=1, dtype=self.dtype, name=f"up{i}")(x)
        return base + 0.3 * Head(image.shape[-1], name="to_image")(x)


def mean_without(features, presence):
    """Average the features [N, H, W, C] that see no defect -> [N, C].

    presence: [N, S, S, 1] in 0..1. A texture code pooled from all features would tell the class of
    the defect. A feature sees two cells beside its own in every direction.
    """
    n, side = features.shape[:2]
    cell = presence.shape[1] // side
    near = jnp.max(presence.reshape(n, side, cell, side, cell, 1), axis=(2, 4))
    near = jax.lax.reduce_window(near, 0.0, jax.lax.max, (1, 5, 5, 1), (1, 1, 1, 1), "SAME")
    # Power 16: presence 0.3, typical of a defect's rim, already weighs 0.003. Early in training
    # presence is about 0.5 everywhere; the 1e-4 then gives a plain mean instead of 0 / 0.
    free = (1.0 - near) ** 16 + 1e-4
    free = free / jnp.sum(free, axis=(1, 2), keepdims=True)
    return jnp.sum(features.astype(jnp.float32) * free, axis=(1, 2))


def split_code(z_s):
    """Split z_s = a (d, 1) into direction d (0 where a is 0) and amplitude a [N, S, S, 1]."""
    amplitude = jnp.maximum(z_s[..., DIRECTIONS:], 0.0)
    present = amplitude > 0
    direction = z_s[..., :DIRECTIONS] / jnp.where(present, amplitude, 1.0)
    return jnp.where(present, direction, 0.0), amplitude
