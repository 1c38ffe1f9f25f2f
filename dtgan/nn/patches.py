"""Random square crops resized to one size, as two small matrix products per crop.

Per-pixel gathers would cost as much as the rest of a step on CPU, and XLA has no dynamic shapes.
"""

import jax
import jax.numpy as jnp


def draw_side(key, size, min_side, max_side):
    """Crop side in pixels (int32 scalar), uniform in [min_side, max_side] of the image side."""
    fraction = jax.random.uniform(key, (), minval=min_side, maxval=max_side)
    return jnp.maximum(1, jnp.floor(fraction * size)).astype(jnp.int32)


def bilinear_rows(offset, side, out, size):
    """Weights [..., out, size] that resize pixels offset..offset+side of an axis to `out` pixels.

    Bilinear with half-pixel centres (align_corners false); samples never leave the crop.
    """
    centre = jnp.clip((jnp.arange(out) + 0.5) * (side / out) - 0.5, 0.0, side - 1.0)
    lead = (1,) * offset.ndim
    source = offset[..., None, None] + centre.reshape(*lead, out, 1)
    distance = jnp.abs(source - jnp.arange(size, dtype=jnp.float32).reshape(*lead, 1, size))
    return jnp.maximum(0.0, 1.0 - distance)


def random_crops(key, images, count, side, out):
    """Crop every image [N, S, S, C] `count` times at integer offsets -> [N, count, out, out, C]."""
    n, size = images.shape[:2]
    uniform = jax.random.uniform(key, (2, n, count))
    offset = jnp.floor(uniform * (size - side + 1).astype(jnp.float32))
    rows = bilinear_rows(offset[0], side.astype(jnp.float32), out, size)
    columns = bilinear_rows(offset[1], side.astype(jnp.float32), out, size)
    exact = jax.lax.Precision.HIGHEST
    crops = jnp.einsum("nkis,nstc->nkitc", rows, images, precision=exact)
    return jnp.einsum("nkjt,nkitc->nkijc", columns, crops, precision=exact)
