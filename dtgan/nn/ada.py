"""Adaptive discriminator augmentation (Karras et al., NeurIPS 2020), the transforms "bgc".

Every image is turned, moved, stretched and recoloured at random, each change with the chance p, and
p follows how often D calls real images real. All is differentiable, with static shapes. Turns and
colours leave no trace of what is up or how bright a surface is: for surfaces with a direction see
`nn.augment`.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dtgan.nn.resample import fir_matrix, upfirdn

# Low-pass filter of the wavelet sym6, normalised. Its middle lies on tap 5, half a pixel before
# that of its 12 taps.
SYM6 = np.array(
    [
        0.015404109327027373, 0.0034907120842174702, -0.11799011114819057, -0.048311742585633,
        0.4910559419267466, 0.787641141030194, 0.3379294217276218, -0.07263752278646252,
        -0.021060292512300564, 0.04472490177066578, 0.0017677118642428036, -0.007800708325034148,
    ]
)  # fmt: skip
SYM6 = SYM6 / SYM6.sum()
EXACT = jax.lax.Precision.HIGHEST


class Changes(NamedTuple):
    """What is done to each of N images, in this order; arrays [N], shifts [N, 2] (x, y)."""

    flip: jax.Array  # 1 mirrors left and right
    quarters: jax.Array  # turns by 90 degrees
    whole: jax.Array  # shift in shares of the sides, rounded to whole pixels
    scale: jax.Array  # of both sides
    before: jax.Array  # rotation before the stretch, radians
    stretch: jax.Array  # of the width; the height shrinks by it
    after: jax.Array  # rotation after the stretch
    part: jax.Array  # shift in shares of the sides
    brightness: jax.Array  # added
    contrast: jax.Array  # times
    negative: jax.Array  # 1 mirrors the brightness
    hue: jax.Array  # rotation about the grey axis, radians
    saturation: jax.Array  # of the distance from the grey axis


def unchanged(n):
    """Return the Changes that leave n images as they are."""
    zero, one, shift = jnp.zeros(n), jnp.ones(n), jnp.zeros((n, 2))
    return Changes(zero, zero, shift, one, zero, one, zero, shift, zero, one, zero, zero, one)


def draw(key, n, p):
    """Draw the Changes of n images, each with the chance p; above 1 as 1."""
    # All numbers of a kind in one call, each of which takes long to compile.
    key_uniform, key_normal, key_gate = jax.random.split(key, 3)
    uniforms = iter(jax.random.uniform(key_uniform, (8, n)))
    normals = iter(jax.random.normal(key_normal, (7, n)))

    def uniform(low, high):
        return low + (high - low) * next(uniforms)

    def normal(deviation):
        return deviation * next(normals)

    drawn = Changes(
        flip=jnp.floor(uniform(0.0, 2.0)),
        quarters=jnp.floor(uniform(0.0, 4.0)),
        whole=jnp.stack([uniform(-0.125, 0.125), uniform(-0.125, 0.125)], axis=-1),
        scale=jnp.exp2(normal(0.2)),
        before=uniform(-math.pi, math.pi),
        stretch=jnp.exp2(normal(0.2)),
        after=uniform(-math.pi, math.pi),
        part=jnp.stack([normal(0.125), normal(0.125)], axis=-1),
        brightness=normal(0.2),
        contrast=jnp.exp2(normal(0.5)),
        negative=jnp.floor(uniform(0.0, 2.0)),
        hue=uniform(-math.pi, math.pi),
        saturation=jnp.exp2(normal(1.0)),
    )
    gates = jax.random.uniform(key_gate, (len(Changes._fields), n))
    chances = {"before": rotation_chance(p), "after": rotation_chance(p)}

    def gated(name, value, same, gate):
        on = gate < chances.get(name, p)
        return jnp.where(on.reshape(n, *(1,) * (value.ndim - 1)), value, same)

    return Changes(*map(gated, Changes._fields, drawn, unchanged(n), gates))


def rotation_chance(p):
    """Compute the chance of each of two rotations, so that any happens with the chance p."""
    return 1.0 - jnp.sqrt(jnp.clip(1.0 - p, 0.0, 1.0))


def augment(key, x, p):
    """Change images x [N, H, W, 1 or 3] in [-1, 1] at random; p as in `draw`."""
    changes = draw(key, len(x), p)
    return recolour(warp(x, changes), changes)


def warp(x, changes):
    """Turn, move and stretch images [N, H, W, C], mirrored beyond their borders.

    The images are enlarged twice by SYM6, read off bilinearly and made small by SYM6 again.
    """
    h, w = x.shape[1:3]
    matrix, offset = (a.astype(x.dtype) for a in _affine(changes, h, w))
    # All that a mirror image can give, whatever is drawn: shapes are static.
    mirrored = [np.pad(np.eye(s), ((s - 1, s - 1), (0, 0)), mode="reflect") for s in (h, w)]
    enlarged = [2.0 * fir_matrix(len(m), SYM6, up=2, pad=(6, 5)) @ m for m in mirrored]
    canvas = upfirdn(x, *enlarged)
    # Coordinates of the large image's pixels from its centre; the filters put it half a pixel off.
    rows, columns = (np.arange(2 * (s + 6)) - (s + 6) + 1.0 for s in (h, w))
    at = jnp.stack(jnp.meshgrid(jnp.asarray(columns), jnp.asarray(rows)), axis=-1).astype(x.dtype)
    at = jnp.einsum("nij,hwj->nhwi", matrix, at, precision=EXACT) + 2.0 * offset[:, None, None]
    middle = jnp.array([canvas.shape[2], canvas.shape[1]], x.dtype) / 2.0 - 1.0
    y = bilinear(canvas, at + middle[None, None, None])
    return upfirdn(y, *(fir_matrix(2 * (s + 6), SYM6[::-1], down=2, pad=(-1, -1)) for s in (h, w)))


def _affine(changes, h, w):
    """Return matrix [N, 2, 2] and offset [N, 2] from places in the result to those in the image.

    Places are (x, y) in pixels from the centre. The changes are undone, the last one first.
    """
    zero, one = jnp.zeros_like(changes.scale), jnp.ones_like(changes.scale)

    def rows(a, b, c, d):
        return jnp.stack([jnp.stack([a, b], -1), jnp.stack([c, d], -1)], -2)

    def turned(angle):
        return rows(jnp.cos(angle), -jnp.sin(angle), jnp.sin(angle), jnp.cos(angle))

    def product(a, b):
        return jnp.matmul(a, b, precision=EXACT)

    stretched = rows(1.0 / changes.stretch, zero, zero, changes.stretch)
    inner = product(turned(changes.before), product(stretched, turned(changes.after)))
    inner = inner / changes.scale[:, None, None]
    mirrored = rows(1.0 - 2.0 * changes.flip, zero, zero, one)
    outer = product(mirrored, turned(0.5 * math.pi * changes.quarters))
    side = jnp.array([[w, h]], one.dtype)
    moved = product(inner, (changes.part * side)[..., None])
    moved = moved + jnp.round(changes.whole * side)[..., None]
    return product(outer, inner), -product(outer, moved)[..., 0]


def bilinear(x, at):
    """Read images x [N, H, W, C] at places [N, h, w, 2], (x, y) in pixels; zeros outside."""

    def read(image, at):
        return jax.scipy.ndimage.map_coordinates(image, [at[..., 1], at[..., 0]], order=1)

    return jax.vmap(jax.vmap(read, (2, None), 2))(x, at)


def recolour(x, changes):
    """Change the colours of images [N, H, W, 1 or 3] in [-1, 1]; grey ones have no hue.

    Colours split into a part on the grey axis and the rest: the first may turn negative, the rest
    is turned and stretched.
    """
    n, c = len(x), x.shape[-1]
    x = x + changes.brightness.reshape(n, 1, 1, 1)
    sign = 1.0 - 2.0 * changes.negative
    if c == 1:
        return x * (changes.contrast * sign).reshape(n, 1, 1, 1)
    grey = jnp.full((3, 3), 1.0 / 3.0, x.dtype)
    across = jnp.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]], x.dtype) / math.sqrt(3.0)
    cos, sin, sign, saturation, contrast = (
        value.reshape(n, 1, 1)
        for value in (
            jnp.cos(changes.hue), jnp.sin(changes.hue), sign, changes.saturation, changes.contrast
        )
    )  # fmt: skip
    turned = cos * (jnp.eye(3, dtype=x.dtype) - grey)[None] + sin * across[None]
    matrix = contrast * (sign * grey[None] + saturation * turned)
    return jnp.einsum("nij,nhwj->nhwi", matrix, x, precision=EXACT)


def adapt(p, signs, target, step):
    """Move the chance p by `step` where the mean sign of D's logits of real images is above target.

    signs: of all passes since the last call, those of the gradient penalty too. p falls by `step`
    below the target, and stays where the mean is at it; at least 0, and not limited above.
    """
    return jnp.maximum(p + step * jnp.sign(jnp.mean(signs) - target), 0.0)
