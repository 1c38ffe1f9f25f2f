"""Surfaces, without parameters: their light, their grain, and what is laid over or spread in them.

Images [N, R, R, C] in [-1, 1]; mattes and what is known [N, R, R, 1] in 0..1.
"""

import math

import jax
import jax.numpy as jnp

from dtgan.nn.resample import downsample, upsample

SLOW = 16  # side of the map of slow light


def over(below, above, matte):
    """Lay `above` over `below`: below (1 - m) + above m. Bit-equal to `below` where m is 0."""
    return below * (1.0 - matte) + above * matte


def light(surface):
    """Estimate the slow illumination of a surface: [N, R, R, C] in [-1, 1] -> [N, R, R, 1].

    The image brightness on a 16 x 16 grid, smoothed and divided by its mean; so of mean about 1.
    """
    slow = _coarse(jnp.mean((surface + 1.0) / 2.0, axis=-1, keepdims=True))
    slow = slow / jnp.maximum(jnp.mean(slow, axis=(1, 2), keepdims=True), 1e-3)
    return _fine(slow, surface.shape[1])


def grain(surface):
    """Estimate the grain of images [N, R, R, C]: [N, 1, 1, 1], the root mean square of what a
    smoothed image lacks, and at least two grey levels."""
    fine = surface - _smooth(surface)
    return jnp.sqrt(jnp.mean(jnp.square(fine), axis=(1, 2, 3), keepdims=True) + (2 / 127.5) ** 2)


def relief(image):
    """Measure how far images [N, R, R, C] depart from their slow light, in units of 4 grains.

    A stroke that is hardly darker than a smooth strip is as large here as a black one on rough
    steel. Bounded by 2.
    """
    # Fixed: their gradients, of an image that G has drawn, are small and travel between chips.
    slow = jax.lax.stop_gradient(_fine(_coarse(image), image.shape[1]))
    return 2.0 * jnp.tanh((image - slow) / (8.0 * jax.lax.stop_gradient(grain(image))))


def paint(reflectance, surface):
    """Light a material of `reflectance` as `surface` is lit: the foreground f, in [-1, 1.1].

    So a bright material stands out on a dark strip and hardly on a bright one.
    """
    return 2.0 * jnp.minimum(reflectance * light(surface), 1.05) - 1.0


def membrane(image, known):
    """Spread the known pixels into the unknown: push and pull over a pyramid of weighted means.

    image [N, R, R, C], known [N, R, R, 1] in 0..1 -> [N, R, R, C]; equal to `image` where known is
    1, and 0 in an image of which nothing is known.
    """
    sums, weights = [image * known], [known]
    while sums[-1].shape[1] > 2:
        sums.append(downsample(sums[-1]))
        weights.append(downsample(weights[-1]))
    spread = sums[-1] / (weights[-1] + 1e-4)
    for total, weight in zip(sums[-2::-1], weights[-2::-1], strict=True):
        border = upsample(jnp.ones_like(spread[:1, ..., :1]))
        spread = over(upsample(spread) / border, total / (weight + 1e-4), jnp.minimum(weight, 1.0))
    return over(spread, image, known)


def _coarse(image):
    """Average images [N, R, R, C] over a grid of SLOW x SLOW cells, smoothed."""
    weight = jnp.ones_like(image[:1])
    for _ in range(int(math.log2(image.shape[1] // SLOW))):
        image, weight = downsample(image), downsample(weight)
    return _smooth(image / weight)


def _fine(slow, side):
    """Interpolate [N, SLOW, SLOW, C] to images of a side."""
    for _ in range(int(math.log2(side // SLOW))):
        slow = upsample(slow) / upsample(jnp.ones_like(slow[:1]))
    return slow


def _smooth(x):
    """Smooth [N, H, W, C] by [1, 2, 1] / 4 down and along, the border repeated."""
    for axis in (1, 2):
        n, widths = x.shape[axis], [(1, 1) if a == axis else (0, 0) for a in range(x.ndim)]
        x = jnp.pad(x, widths, mode="edge")
        a, b, c = (jax.lax.slice_in_dim(x, k, k + n, axis=axis) for k in range(3))
        x = (a + 2.0 * b + c) / 4.0
    return x
