"""Networks of StackGAN++ (Zhang et al., TPAMI 2018), which draws a picture at several scales.

With sides of 64 and 128 pixels and ch=64 they have the parameters of the authors' networks, to the
last one. What we added: scales other than 64, 128, 256, by the same rules.
"""

import functools
import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from dtgan.nn.norm import BatchNorm
from dtgan.nn.plain import Conv, orthogonal

norm = functools.partial(BatchNorm, momentum=0.0)  # the method averages what it keeps


def glu(x):
    """Gate the first half of the channels by the sigmoid of the second (gated linear unit)."""
    kept, gate = jnp.split(x, 2, axis=-1)
    return kept * nn.sigmoid(gate)


def double(x):
    """Repeat every pixel of [N, H, W, C] twice along both axes."""
    n, h, w, c = x.shape
    return jnp.broadcast_to(x[:, :, None, :, None], (n, h, 2, w, 2, c)).reshape(n, 2 * h, 2 * w, c)


def beside(x, code):
    """Append a code [N, E] to every pixel of x [N, H, W, C]."""
    code = jnp.broadcast_to(code[:, None, None], (*x.shape[:3], code.shape[-1]))
    return jnp.concatenate([x, code.astype(x.dtype)], axis=-1)


def sides(first, res):
    """List the sides of the pictures, from the coarsest, min(first, res), to res."""
    found = [min(first, res)]
    while found[-1] < res:
        found.append(2 * found[-1])
    return found


def pyramid(x, scales):
    """Shrink images [N, R, R, C] to each of `scales` by averaging pixels: a list."""
    found = []
    for side in scales:
        n, k = x.shape[0], x.shape[1] // side
        found.append(jnp.mean(x.reshape(n, side, k, side, k, -1), axis=(2, 4)))
    return found


class Conditioning(nn.Module):
    """Conditioning augmentation: labels [N, A] -> mean and log variance [N, size] of the code.

    Ours is where it starts: a label's numbers are about 1, so that codes of labels differ by as
    much as their noise. An embedded sentence has such a norm, a single 1 has not.
    """

    size: int

    @nn.compact
    def __call__(self, labels):
        start = nn.initializers.orthogonal(math.sqrt(4 * self.size))
        x = nn.Dense(4 * self.size, kernel_init=start, name="fc")(labels)
        return jnp.split(glu(x), 2, axis=-1)


class Unit(nn.Module):
    """A 3x3 convolution, batch normalisation and, where `gated`, a GLU: -> [N, H, W, features].

    train: by the statistics of the batch, which "batch_stats" then hold; else by those held there.
    """

    features: int
    gated: bool = True
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, train):
        features = self.features * (2 if self.gated else 1)
        how = {"pad": 1, "bias": False, "init": orthogonal, "dtype": self.dtype}
        x = norm(train, self.dtype, name="norm")(Conv(features, **how, name="conv")(x))
        return glu(x) if self.gated else x


class Generator(nn.Module):
    """G: noise z [N, Z] and code c [N, E] -> pictures of all scales [N, S, S, channels] in -1..1.

    c: None without conditions; z then takes its place in the later stages. ch: width at `first`,
    the side of the coarsest picture; it halves with each later scale. train: as in `Unit`.
    """

    res: int
    first: int
    ch: int
    channels: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, z, code=None, train=True):
        def unit(name, x, features, gated=True):
            return Unit(features, gated, self.dtype, name=name)(x, train)

        def head(x):
            how = {"pad": 1, "bias": False, "init": orthogonal, "dtype": self.dtype}
            x = Conv(self.channels, **how, name=f"head{x.shape[1]}")(x)
            return jnp.tanh(x.astype(z.dtype))

        scales = sides(self.first, self.res)
        seen = z if code is None else jnp.concatenate([code, z], axis=-1)
        code, width = z if code is None else code, self.ch * scales[0] // 4
        start = {"use_bias": False, "kernel_init": nn.initializers.orthogonal()}
        x = nn.Dense(16 * 2 * width, **start, dtype=self.dtype, name="fc")(seen)
        x = glu(norm(train, self.dtype, name="fc_norm")(x[:, None, None]))
        x = x.reshape(-1, 4, 4, width)
        while x.shape[1] < scales[0]:
            width //= 2
            x = unit(f"up{2 * x.shape[1]}", double(x), width)
        pictures = [head(x)]
        for side in scales[1:]:
            x = unit(f"joint{side}", beside(x, code), width)
            for k in range(2):
                inner = unit(f"res{side}_{k}a", x, width)
                x = x + unit(f"res{side}_{k}b", inner, width, gated=False)
            width //= 2
            x = unit(f"up{side}", double(x), width)
            pictures.append(head(x))
        return pictures


class Discriminator(nn.Module):
    """D of one scale: picture [N, S, S, C], codes [N, E] each -> (logits [N], a list of them).

    The first say whether the picture is real, those of the list whether it is real and shows what
    a code says. Features: 4x4 pixels, at most 8 ch wide. Its statistics are always the batch's.
    """

    ch: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, codes=()):
        how = {"init": orthogonal, "dtype": self.dtype}

        def act(x, name=""):
            x = norm(True, self.dtype, name=name)(x) if name else x
            return nn.leaky_relu(x, 0.2)

        def conv(name, width, *size):
            return Conv(width, *size, bias=False, **how, name=name)

        width, k = self.ch, 0
        x, dtype = act(conv("conv0", width, 4, 2, 1)(x)), x.dtype
        while x.shape[1] > 4:
            k, width = k + 1, 2 * width
            x = act(conv(f"conv{k}", width, 4, 2, 1)(x), f"norm{k}")
        while width > 8 * self.ch:
            k, width = k + 1, width // 2
            x = act(conv(f"conv{k}", width, 3, 1, 1)(x), f"norm{k}")

        def score(name):
            out = Conv(1, 4, **how, name=name)
            return lambda x: out(x)[:, 0, 0, 0].astype(dtype)

        real = score("out")(x)
        if not codes:
            return real, []
        joint, joint_norm = conv("joint", width, 3, 1, 1), norm(True, self.dtype, name="joint_norm")
        fits = score("joint_out")
        return real, [fits(act(joint_norm(joint(beside(x, code))))) for code in codes]


def sample(mean, log_variance, noise):
    """Draw a code: mean + deviation x noise, [N, E] each."""
    return mean + jnp.exp(0.5 * log_variance) * noise


def draw_noise(key, n, size, code):
    """Draw the noise of n pictures: {"z": [n, size]} and, unless code is 0, {"c": [n, code]}."""
    keys = jax.random.split(key)
    noise = {"z": jax.random.normal(keys[0], (n, size))}
    return noise | ({"c": jax.random.normal(keys[1], (n, code))} if code else {})
