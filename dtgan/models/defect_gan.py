"""Networks of Defect-GAN (Zhang et al., WACV 2021) and StarGAN (Choi et al., CVPR 2018) below it.

The paper leaves numbers open; which were chosen is told in docs/defect_gan.md.
"""

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from dtgan.nn.norm import SPADE, InstanceNorm, nearest
from dtgan.nn.plain import Conv, ConvUp

M_START = -1.0  # added to what m is the sigmoid of: training starts near the given image


class Painted(NamedTuple):
    """What G makes of an image [N, R, R, C]: the new one, and where it painted, 0..1."""

    image: Any
    m: Any  # [N, R, R, 1]; None without layer-wise composition


class Unit(nn.Module):
    """A convolution, a normalisation and noise: [N, H, W, I] -> [N, H', W', features].

    kernel: 7 and 3 keep the size, 4 halves it, or doubles it where `up`. hidden: of SPADE on the
    class map; 0 = instance normalisation. noise: [N, H', W', 1] or None.
    """

    features: int
    kernel: int = 3
    up: bool = False
    act: bool = True  # ReLU after the normalisation
    hidden: int = 0
    noisy: bool = True
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, labels, noise):
        if self.up:
            x = ConvUp(self.features, dtype=self.dtype, name="conv")(x)
        else:
            size = {"pad": self.kernel // 2} if self.kernel % 2 else {"stride": 2, "pad": 1}
            how = size | {"bias": False, "dtype": self.dtype, "name": "conv"}
            x = Conv(self.features, self.kernel, **how)(x)
        if self.hidden:
            x = SPADE(self.hidden, self.dtype, name="norm")(x, labels)
        else:
            x = InstanceNorm(name="norm")(x)
        x = nn.relu(x) if self.act else x
        if self.noisy:
            strength = self.param("noise", nn.initializers.zeros, ())
            if noise is not None:
                x = x + (strength * noise).astype(x.dtype)
        return x


class Generator(nn.Module):
    """G: image x [N, R, R, C] and class map A -> Painted.

    A: [N, h, w, number of labels], or [N, 1, 1, ...] for the same everywhere. limit: [N, R, R, 1],
    0 where m shall be 0, or None.
      scc: A enters by SPADE where the image is made, in the second half of the residual blocks and
        both up-blocks; else it is concatenated to x
      ani: noise of a learned strength after every convolution
      lwc: x (1 - m) + f m instead of f
    """

    ch: int
    blocks: int = 6
    channels: int = 3
    scc: bool = True
    ani: bool = True
    lwc: bool = True
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, labels, noise=None, limit=None):
        ch, noise = self.ch, iter(noise or [None] * len(self.noise_sides(x.shape[1])))

        def unit(name, y, features, kernel=3, spade=False, **how):
            how |= {"hidden": 2 * ch if spade and self.scc else 0, "noisy": self.ani}
            layer = Unit(features, kernel, **how, dtype=self.dtype, name=name)
            return layer(y, labels, next(noise))

        y = x
        if not self.scc:
            shape = (*x.shape[:3], labels.shape[3])
            constant = labels.shape[1:3] == (1, 1)
            tiled = jnp.broadcast_to(labels, shape) if constant else nearest(labels, shape[1:3])
            y = jnp.concatenate([x, tiled.astype(x.dtype)], axis=-1)
        y = unit("e0", y, ch, kernel=7)
        y = unit("e1", y, 2 * ch, kernel=4)
        y = unit("e2", y, 4 * ch, kernel=4)
        for k in range(self.blocks):
            spade = k >= self.blocks // 2
            inner = unit(f"r{k}a", y, 4 * ch, spade=spade)
            y = y + unit(f"r{k}b", inner, 4 * ch, spade=spade, act=False)
        y = unit("d0", y, 2 * ch, kernel=4, spade=True, up=True)
        y = unit("d1", y, ch, kernel=4, spade=True, up=True)
        outputs = self.channels + self.lwc
        y = Conv(outputs, 7, pad=3, bias=self.lwc, dtype=self.dtype, name="head")(y)
        y = y.astype(x.dtype)
        if not self.lwc:
            return Painted(jnp.tanh(y), None)
        f, m = jnp.tanh(y[..., :-1]), nn.sigmoid(y[..., -1:] + M_START)
        m = m if limit is None else m * limit
        return Painted(x * (1.0 - m) + f * m, m)

    def noise_sides(self, res):
        """List the sides of the noise maps for an image of side `res`, in order."""
        return [res, res // 2, *[res // 4] * (1 + 2 * self.blocks), res // 2, res]

    def draw_noise(self, key, n, res):
        """Draw the noise of n images of side `res`: [n, side, side, 1] each; [] without noise."""
        sides = self.noise_sides(res) if self.ani else []
        keys = jax.random.split(key, len(sides))
        return [jax.random.normal(k, (n, s, s, 1)) for k, s in zip(keys, sides, strict=True)]


class Critic(nn.Module):
    """D: image [N, R, R, C] -> (D_src [N, h, w], real or fake; D_cls [N, labels], logits).

    StarGAN's: up to six strided convolutions, 2x2 scores at the end (4x4 at 256 px), leaky ReLU of
    slope 0.01, no normalisation.
    """

    ch: int
    num_labels: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x):
        count = min(6, x.shape[1].bit_length() - 2)
        for k in range(count):
            x = Conv(self.ch * 2**k, 4, stride=2, pad=1, dtype=self.dtype, name=f"conv{k}")(x)
            x = nn.leaky_relu(x, 0.01)
        heads = {"bias": False, "dtype": self.dtype}
        src = Conv(1, 3, pad=1, **heads, name="src")(x)[..., 0]
        cls = Conv(self.num_labels, x.shape[1], **heads, name="cls")(x)
        return src, cls[:, 0, 0]
