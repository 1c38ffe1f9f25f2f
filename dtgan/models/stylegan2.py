"""Networks of StyleGAN2-ADA (Karras et al., CVPR 2020; NeurIPS 2020): mapping, synthesis, D.

Channels at side r are min(base / r, cap). Sides are powers of two from 4 up. With several classes
the label enters the mapping (an embedding beside z) and the discriminator (a projection).
"""

import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from dtgan.nn.blocks import ResBlock
from dtgan.nn.layers import EqualConv, EqualDense, full, minibatch_deviation, normal_init
from dtgan.nn.modulated import StyledConv, ToImage
from dtgan.nn.resample import upsample

CLAMP = 256.0  # of what convolutions give, so that half precision does not overflow


def auto_base(res):
    """Return the `base` of channels that the authors' "auto" settings take at `res` pixels."""
    return 32768 if res >= 512 else 16384


def sides(res):
    """List the sides of the blocks of an image of `res` pixels: 4, 8, ..., res."""
    return [4 << k for k in range(int(math.log2(res)) - 1)]


class Mapping(nn.Module):
    """f: latent z [N, Z] ~ N(0, 1), or None, and labels int [N] -> w [N, features].

    num_classes: 1 = labels are not read. Z is any number.
    """

    features: int
    layers: int
    num_classes: int = 1

    @nn.compact
    def __call__(self, z, label=None):
        seen = [] if z is None else [_unit(full(z))]
        if self.num_classes > 1:
            dtype = seen[0].dtype if seen else jnp.float32
            label = jax.nn.one_hot(label, self.num_classes, dtype=dtype)
            seen.append(_unit(EqualDense(self.features, dtype=dtype, name="embed")(label)))
        w = jnp.concatenate(seen, axis=-1)
        for k in range(self.layers):
            w = EqualDense(self.features, act=True, rate=0.01, dtype=w.dtype, name=f"fc{k}")(w)
        return w


def _unit(x):
    return x * jax.lax.rsqrt(jnp.mean(jnp.square(x), axis=-1, keepdims=True) + 1e-8)


class SynthesisBlock(nn.Module):
    """Styled convolutions: one that doubles the side, where `up`, and one that keeps it."""

    features: int
    up: bool = True
    clamp: float | None = CLAMP
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, ws, noise):
        """Compute [N, H', W', features]; ws [N, slots, W] from the block's first slot on."""
        how = {"equalised": False, "clamp": self.clamp, "dtype": self.dtype}
        if self.up:
            x = StyledConv(self.features, up=True, **how, name="conv0")(x, ws[:, 0], noise[0])
        last = 1 if self.up else 0
        return StyledConv(self.features, **how, name="conv1")(x, ws[:, last], noise[last])


class Synthesis(nn.Module):
    """g: ws [N, 2 x blocks, W], a style for every layer -> image [N, R, R, channels], linear.

    noise: as `draw_noise` gives it; None for none. residual: function of (side, x) that returns
    what is added to the block's output, or None; x: what the block is given. Features and images
    of all blocks are sown into "intermediates" as "side8" and the like.
    """

    res: int
    channels: int
    base: int
    cap: int = 512
    clamp: float | None = CLAMP
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, ws, noise=None, residual=None):
        const = self.param("const", normal_init, (1, 4, 4, min(self.base // 4, self.cap)))
        x, image = jnp.broadcast_to(const, (ws.shape[0], *const.shape[1:])), None
        how = self.clamp, self.dtype
        for k, side in enumerate(sides(self.res)):
            # A layer that reads the image shares its style with the next block's first one.
            slot, up = max(0, 2 * k - 1), k > 0
            maps = noise[k] if noise else (None, None)
            added = residual(side, x) if residual else None
            block = SynthesisBlock(min(self.base // side, self.cap), up, *how, name=f"b{side}")
            x = block(x, ws[:, slot:], maps)
            x = x if added is None else x + added
            rgb = ToImage(self.channels, self.clamp, name=f"rgb{side}")(x, ws[:, 2 * k + 1])
            image = rgb if image is None else upsample(image) + rgb
            self.sow("intermediates", f"side{side}", (x, image))
        return image


def draw_noise(key, n, sides):
    """Draw noise maps [n, H, W, 1] of N(0, 1) for blocks of these sides, a tuple for each.

    One map is for all images where n = 1.
    """
    shapes = [(n, side, side, 1) for side in sides for _ in range(1 if side == 4 else 2)]
    # All in one call, each of which takes long to compile.
    ends = np.cumsum([shape[1] ** 2 for shape in shapes])
    parts = jnp.split(jax.random.normal(key, (n, ends[-1])), ends[:-1], axis=1)
    maps = iter(part.reshape(shape) for part, shape in zip(parts, shapes, strict=True))
    return [tuple(next(maps) for _ in range(1 if side == 4 else 2)) for side in sides]


class Generator(nn.Module):
    """G: z [N, Z] -> image [N, R, R, channels]; linear, about [-1, 1].

    layers: of the mapping network, 2 in the authors' "auto" settings. w has `latent` numbers.
    """

    res: int
    channels: int
    base: int
    cap: int = 512
    latent: int = 512
    layers: int = 2
    num_classes: int = 1
    clamp: float | None = CLAMP
    dtype: Any = jnp.float32

    def setup(self):
        self.mapping = Mapping(self.latent, self.layers, self.num_classes)
        how = (self.channels, self.base, self.cap, self.clamp, self.dtype)
        self.synthesis = Synthesis(self.res, *how)

    def __call__(self, z, label=None, noise=None):
        """Compute images [N, R, R, channels] with one style for all layers."""
        return self.draw(repeat_slots(self.style(z, label), self.slots), noise)

    @property
    def slots(self):
        """The number of styles of an image."""
        return 2 * len(sides(self.res))

    def style(self, z, label=None):
        """Compute w [N, latent] of z [N, Z] and labels int [N]."""
        return self.mapping(z, label)

    def draw(self, ws, noise=None):
        """Compute images of styles ws [N, slots, latent]."""
        return self.synthesis(ws, noise)


class Discriminator(nn.Module):
    """D: image [N, R, R, C] -> logits [N]; labels int [N] are read where there are classes.

    group: of the minibatch deviation.
    """

    base: int
    cap: int = 512
    num_classes: int = 1
    group: int = 4
    clamp: float | None = CLAMP
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, label=None):
        def width(side):
            return min(self.base // side, self.cap)

        side, how = x.shape[1], {"clamp": self.clamp, "dtype": self.dtype}
        x = EqualConv(width(side), 1, **how, name="stem")(x)
        while side > 4:
            x = ResBlock(width(side // 2), late=True, **how, name=f"b{side}")(x)
            side //= 2
        x = minibatch_deviation(full(x), self.group)
        how = {"clamp": self.clamp, "dtype": x.dtype}
        x = EqualConv(width(side), pad=1, **how, name="last")(x)
        x = x.reshape(len(x), -1)
        x = EqualDense(width(side), act=True, dtype=x.dtype, name="fc")(x)
        if self.num_classes == 1:
            return EqualDense(1, dtype=x.dtype, name="out")(x)[:, 0]
        x = EqualDense(width(side), dtype=x.dtype, name="out")(x)
        wanted = Mapping(width(side), 8, self.num_classes, name="mapping")(None, label)
        return jnp.sum(x * wanted, axis=-1) / math.sqrt(width(side))


def repeat_slots(w, slots):
    """Give w [N, W] to every layer: [N, slots, W]."""
    return jnp.repeat(w[:, None], slots, axis=1)


def draw_cutoff(key, slots, prob):
    """Draw the slot from which on the style is another one: 1..slots-1 with `prob`, else slots."""
    on, at = jax.random.split(key)
    cutoff = jax.random.randint(at, (), 1, slots)
    return jnp.where(jax.random.uniform(on) < prob, cutoff, slots)


def mix(ws, others, cutoff):
    """Take the slots from `cutoff` on from the other styles; ws, others [N, slots, W]."""
    return jnp.where(jnp.arange(ws.shape[1])[None, :, None] < cutoff, ws, others)


def truncate(ws, mean, psi, slots=None):
    """Move the first `slots` slots (None: all) of ws [N, slots, W] to mean [N or 1, W]; psi of the
    way, a number or [N, 1, 1], is left."""
    near = mean[:, None] + psi * (ws - mean[:, None])
    return near if slots is None else mix(near, ws, slots)
