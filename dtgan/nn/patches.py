"""Random square crops resized to one size, as two small matrix products per crop.

Per-pixel gathers would cost as much as the rest of a step on CPU, and XLA has no dynamic shapes.
"""

import jax
import jax.numpy as jnp


def bilinear_rows(offset, side, out, size):
    """Compute weights [N, K, out, size] that resize pixels offset..offset+side to `out` pixels.

    offset [N, K], side [1, K], float. Bilinear with half-pixel centres (align_corners false);
    samples never leave the crop.
    """
    side = side[..., None]
    centre = (jnp.arange(out).reshape(1, 1, out) + 0.5) * (side / out) - 0.5
    source = offset[..., None] + jnp.clip(centre, 0.0, side - 1.0)
    pixels = jnp.arange(size, dtype=jnp.float32).reshape(1, 1, 1, size)
    distance = jnp.abs(source[..., None] - pixels)
    return jnp.maximum(0.0, 1.0 - distance)


def random_crops(key, images, count, out, min_side, max_side):
    """Crop every image [N, S, S, C] `count` times -> [N, count, out, out, C].

    Sides are whole pixels, uniform in [min_side, max_side] of S, one for each of the `count` crops,
    the same for all images; offsets are whole pixels, independent for every crop of every image.
    """
    n, size = images.shape[:2]
    key_side, key_offset = jax.random.split(key)
    side = jax.random.uniform(key_side, (1, count), minval=min_side, maxval=max_side)
    side = jnp.maximum(1.0, jnp.floor(side * size))
    offset = jnp.floor(jax.random.uniform(key_offset, (2, n, count)) * (size - side + 1.0)[None])
    rows = bilinear_rows(offset[0], side, out, size)
    columns = bilinear_rows(offset[1], side, out, size)
    exact = jax.lax.Precision.HIGHEST
    crops = jnp.einsum("nkis,nstc->nkitc", rows, images, precision=exact)
    return jnp.einsum("nkjt,nkitc->nkijc", columns, crops, precision=exact)
