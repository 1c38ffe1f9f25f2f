"""LPIPS v0.1, the perceptual distance of Zhang et al. (2018), as a squared Euclidean distance.

    d(x, y) = sum_l 1/(h_l w_l) sum_ij sum_c w_lc (f_l(x)_ijc - f_l(y)_ijc)^2          (their eq. 1)

with f_l the feature map of tap l divided by its channel norm and w_l >= 0 learned weights. All taps
of an image times sqrt(w_lc / (h_l w_l)) are its embedding; d is then the squared distance of two
embeddings, so that all pairs of many images cost one pass of the network and a matrix product.

Backbones are torchvision's, cut after the last tap and named by its state dicts (dtgan.weights).
"""

import functools
import hashlib
import pathlib

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from dtgan import images
from dtgan.config import ConfigError, nearest
from dtgan.metrics.features import Extractor
from dtgan.weights import published

SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # of RGB in [-1, 1]
EPS = 1e-10  # added to the channel norm
LINEAR = pathlib.Path(__file__).with_name("lpips_v0.1.npz")  # "<net>.lin<tap>" -> float32 [C]


def _conv(x, name, features, kernel=3, stride=1, pad=1):
    """Apply convolution and ReLU in full float32 precision: GPUs would round factors to TF32."""
    conv = nn.Conv(
        features,
        (kernel, kernel),
        strides=stride,
        padding=pad,
        precision=jax.lax.Precision.HIGHEST,
        name=name,
    )
    return nn.relu(conv(x))


def ceil_pool(x):
    """Pool by 3x3 maxima of stride 2; the last window may hang over the edge (torch's ceil_mode).

    A side of n pixels becomes floor(n / 2): only for even n is a row or column missing.
    """
    over = [(0, 1 - side % 2) for side in x.shape[1:3]]
    return nn.max_pool(x, (3, 3), strides=(2, 2), padding=over)


class AlexNet(nn.Module):
    """Five ReLU maps of AlexNet; float32 [N, H, W, 3] -> tuple of [N, h, w, C]."""

    smallest = 31  # side in pixels that leaves the last map one pixel

    @nn.compact
    def __call__(self, x):
        pool = functools.partial(nn.max_pool, window_shape=(3, 3), strides=(2, 2))
        relu1 = _conv(x, "features.0", 64, kernel=11, stride=4, pad=2)
        relu2 = _conv(pool(relu1), "features.3", 192, kernel=5, pad=2)
        relu3 = _conv(pool(relu2), "features.6", 384)
        relu4 = _conv(relu3, "features.8", 256)
        relu5 = _conv(relu4, "features.10", 256)
        return relu1, relu2, relu3, relu4, relu5


class VGG16(nn.Module):
    """The last ReLU map of each of VGG16's five blocks; [N, H, W, 3] -> tuple of [N, h, w, C]."""

    smallest = 16

    @nn.compact
    def __call__(self, x):
        taps = []
        index = 0  # torchvision counts convolutions, ReLUs and poolings
        for features, convs in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
            if taps:
                x, index = nn.max_pool(x, (2, 2), strides=(2, 2)), index + 1
            for _ in range(convs):
                x, index = _conv(x, f"features.{index}", features), index + 2
            taps.append(x)
        return tuple(taps)


class Fire(nn.Module):
    """1x1 convolution to few channels, then a 1x1 and a 3x3 one side by side, `expand` each."""

    squeeze: int
    expand: int

    @nn.compact
    def __call__(self, x):
        x = _conv(x, "squeeze", self.squeeze, kernel=1, pad=0)
        one = _conv(x, "expand1x1", self.expand, kernel=1, pad=0)
        return jnp.concatenate([one, _conv(x, "expand3x3", self.expand)], axis=-1)


class SqueezeNet(nn.Module):
    """Seven maps of SqueezeNet 1.1; float32 [N, H, W, 3] -> tuple of [N, h, w, C]."""

    smallest = 17

    @nn.compact
    def __call__(self, x):
        relu1 = _conv(x, "features.0", 64, stride=2, pad=0)
        fire3 = Fire(16, 64, name="features.3")(ceil_pool(relu1))
        fire4 = Fire(16, 64, name="features.4")(fire3)
        fire6 = Fire(32, 128, name="features.6")(ceil_pool(fire4))
        fire7 = Fire(32, 128, name="features.7")(fire6)
        fire9 = Fire(48, 192, name="features.9")(ceil_pool(fire7))
        fire10 = Fire(48, 192, name="features.10")(fire9)
        fire11 = Fire(64, 256, name="features.11")(fire10)
        fire12 = Fire(64, 256, name="features.12")(fire11)
        return relu1, fire4, fire7, fire9, fire10, fire11, fire12


BACKBONES = {"alex": AlexNet, "vgg": VGG16, "squeeze": SqueezeNet}


def extractor(net, path, sha256="", scaled=True):
    """Build the Extractor of LPIPS embeddings: uint8 [B, H, W, C] -> {"lpips": float32 [B, D]}.

    net: "alex", "vgg" or "squeeze"; path, sha256: its backbone, as in `published.read`.
    scaled: False feeds 0..255 in place of [-1, 1], as one public implementation of clustered LPIPS
        does to its real images; such numbers compare with nothing but themselves.
    Grey images are repeated to three channels. D grows with H W. Raises ConfigError for an unknown
    net, wrong weights and, when traced, for images with a side below the backbone's `smallest`.
    """
    if net not in BACKBONES:
        raise ConfigError(
            f"LPIPS network {net!r} is not one of {', '.join(BACKBONES)}{nearest(net, BACKBONES)}"
        )
    backbone = BACKBONES[net]()
    state, found = published.read(path, net, sha256)
    rgb = jax.ShapeDtypeStruct((1, backbone.smallest, backbone.smallest, 3), jnp.float32)
    variables = published.to_variables(state, jax.eval_shape(backbone.init, jax.random.key(0), rgb))
    linear = linear_weights(net)

    def apply(image):
        side = min(image.shape[1:3])
        if side < backbone.smallest:
            raise ConfigError(
                f"images with a side of {side} pixels are too small for lpips-{net}; "
                f"use {backbone.smallest} or more"
            )
        x = images.to_float(image) if scaled else image.astype(jnp.float32)
        x = jnp.broadcast_to(x, (*x.shape[:3], 3))
        x = (x - _per_channel(SHIFT)) / _per_channel(SCALE)
        return {"lpips": embedding(backbone.apply(variables, x), linear)}

    both = f"{found} {published.digest(dict(enumerate(linear)))}"
    return Extractor(
        name=f"lpips-{net}" if scaled else f"lpips-{net}-raw",
        sha256=hashlib.sha256(both.encode()).hexdigest(),
        resize="none",
        apply=apply,
    )


def linear_weights(net):
    """Read the learned weights of every tap, a list of float32 [C].

    Raises ConfigError for negative ones: they would give no distance, and their square roots NaN.
    """
    with np.load(LINEAR) as file:
        linear = [file[name] for name in sorted(file.files) if name.startswith(f"{net}.")]
    lowest = min(weight.min() for weight in linear)
    if lowest < 0:
        raise ConfigError(
            f"linear weights of {net!r} in {LINEAR} reach {lowest:.3g}, below 0; "
            "use the published ones of LPIPS v0.1"
        )
    return linear


def embedding(taps, linear=None):
    """Embed feature maps as float32 [N, D] whose squared distances are LPIPS.

    taps: sequence of [N, h, w, c], of any network; linear: as many [c] >= 0, or None for ones (the
    unlearned baseline of Zhang et al.).
    """
    parts = []
    for tap, weight in zip(taps, linear or [1.0] * len(taps), strict=True):
        tap = tap.astype(jnp.float32)
        unit = tap / (jnp.linalg.norm(tap, axis=-1, keepdims=True) + EPS)
        share = _per_channel(weight) / (tap.shape[1] * tap.shape[2])
        parts.append((unit * jnp.sqrt(share)).reshape(len(tap), -1))
    return jnp.concatenate(parts, axis=1)


def distance(a, b):
    """Compute LPIPS of paired embeddings [N, D]: float64 [N], exactly 0 for equal ones."""
    pairs = zip(np.asarray(a, np.float32), np.asarray(b, np.float32), strict=True)
    return np.array([np.sum(np.square(x.astype(np.float64) - y)) for x, y in pairs])


def _per_channel(value):
    return jnp.asarray(value, jnp.float32).reshape(1, 1, 1, -1)
