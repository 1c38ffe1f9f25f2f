"""Poisson blending as a baseline: the gradients of x1 under its mask, the boundary of x2.

Perez, Gangnet and Blake, SIGGRAPH 2003: x3 = x1 + h inside the mask, h harmonic there and x2 - x1
on its border. `metrics.poisson` solves the same exactly, one image at a time, in float64.
"""

import jax
import jax.numpy as jnp
from jax.scipy.sparse.linalg import cg

from dtgan.images import to_float
from dtgan.methods.updates import masked_baseline

TOLERANCE = 1e-5  # of the residual, relative: below 0.01 grey levels
MAX_STEPS = 2000


def infer(ema, request, noise):
    """Clone x1 seamlessly, where its mask is set, into x2: image x3, the mask, and clean = x2."""
    del ema, noise
    x1, x2 = to_float(request["defect"]), to_float(request["surface"])
    inside = request["defect_mask"] > 127
    image = jax.vmap(clone)(x1, x2, inside)
    return {
        "image": jnp.clip(image, -1.0, 1.0),
        "mask": inside.astype(jnp.float32),
        "clean": x2,
    }


def clone(x1, x2, inside):
    """Clone one image: [R, R, C], [R, R, C], bool [R, R, 1] -> [R, R, C]; exactly x2 outside."""
    difference = jnp.where(inside, 0.0, x2 - x1)  # known on the border, sought inside
    known = jnp.where(inside, laplacian(difference), 0.0)

    def inner(h):
        return jnp.where(inside, laplacian(jnp.where(inside, h, 0.0)), h)

    h, _ = cg(inner, -known, tol=TOLERANCE, maxiter=MAX_STEPS)
    # Without a border nothing is known but the mean.
    h = jnp.where(jnp.all(inside), jnp.mean(x2 - x1, axis=(0, 1)), h)
    return jnp.where(inside, x1 + h, x2)


def laplacian(x):
    """Sum, over a pixel's two to four neighbours, its value minus theirs: [R, R, C]."""
    total = jnp.zeros_like(x)
    for axis in (0, 1):
        step = jnp.diff(x, axis=axis)
        before, after = ([(0, 0)] * x.ndim for _ in range(2))
        before[axis], after[axis] = (1, 0), (0, 1)
        total += jnp.pad(step, before) - jnp.pad(step, after)
    return total


def make(config, classes):
    """Make Poisson blending as a `Method`; neither argument matters."""
    del config, classes
    return masked_baseline(infer)
