"""Poisson image editing (Perez, Gangnet and Blake, SIGGRAPH 2003): seamless cloning, Laplace fill.

The guided interpolation of a source with boundary values of a target is the source plus the
harmonic function that carries (target - source) from the boundary inwards (their equations 5 and
6), so one Laplace solver serves both. Where a mask touches the image border, the condition there is
zero slope (Neumann); a mask over the whole image has no boundary, and the mean is used.
"""

import functools

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import splu


def seamless_clone(source, target, mask):
    """Clone the masked region of `source` into `target`: gradients of source, boundary of target.

    source, target: uint8 [H, W, C]. mask: uint8 [H, W, 1] in {0, 255}. Returns uint8 [H, W, C],
    equal to `target` outside the mask; under a full mask `source` shifted to the target's mean.
    """
    source = source.astype(np.float64)
    return _to_uint8(source + _harmonic(target - source, mask))


def membrane(image, mask):
    """Fill the masked region of `image` by the membrane over its surroundings, zero Laplacian.

    image: uint8 [H, W, C]. mask: uint8 [H, W, 1] in {0, 255}. Returns uint8 [H, W, C], equal to
    `image` outside the mask; under a full mask the mean of `image`.
    """
    return _to_uint8(_harmonic(image.astype(np.float64), mask))


def _harmonic(values, mask):
    """Solve Laplace's equation inside the mask: float64 [H, W, C], equal to `values` outside."""
    inside = np.flatnonzero(mask > 127)
    outside = np.flatnonzero(mask <= 127)
    if not outside.size:
        return np.broadcast_to(values.mean((0, 1)), values.shape)
    flat = values.reshape(-1, values.shape[-1]).copy()
    rows = _laplacian(*values.shape[:2])[inside]
    factors = splu(rows[:, inside].tocsc(), permc_spec="MMD_AT_PLUS_A")
    flat[inside] = factors.solve(-(rows[:, outside] @ flat[outside]))
    return flat.reshape(values.shape)


@functools.lru_cache(maxsize=4)
def _laplacian(height, width):
    """Build the graph Laplacian of the pixel grid, sparse [H W, H W].

    A row sums a pixel's value minus its neighbour's over its up to 4 neighbours.
    """
    lengths = height, width
    steps = (sparse.diags_array([-1.0, 1.0], offsets=[0, 1], shape=(n - 1, n)) for n in lengths)
    rows, columns = (step.T @ step for step in steps)
    return sparse.kronsum(columns, rows, format="csr")


def _to_uint8(values):
    return np.rint(np.clip(values, 0.0, 255.0)).astype(np.uint8)
