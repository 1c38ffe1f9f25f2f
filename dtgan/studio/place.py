"""Geometry: where on a surface a defect is drawn, and a defect that is moved in its own picture."""

import numpy as np
from scipy import ndimage

from dtgan.generation import vary

_TOUCHING = np.ones((3, 3), bool)
_RIM, _BLUR = 2, 2.0  # pixels around a mask that are filled in with it; of the filling


def middle(mask):
    """Find the middle of a mask [H, W, 1] in pixels (y, x); of the picture where it is empty."""
    points = np.argwhere(mask[..., 0])
    return points.mean(axis=0) if len(points) else (np.array(mask.shape[:2]) - 1) / 2


def largest(mask):
    """Keep the largest part of a mask [H, W, 1], not empty: bool [H, W, 1]."""
    parts, _ = ndimage.label(mask[..., 0], _TOUCHING)
    return (parts == 1 + np.argmax(np.bincount(parts.reshape(-1))[1:]))[..., None]


def window(sides, res, own, target, move):
    """Choose the R x R pixels of a surface of these sides (height, width) that are drawn.

    own: (y, x) of the defect's middle in its own R x R picture, where the window keeps it if it
    can; target: of its middle on the surface, None for as if its picture lay in the surface's
    middle; move: added to that, in sides R. Returns (corner of the window, target), (y, x) each.
    """
    sides = np.array(sides)
    target = (sides - res) // 2 + own if target is None else target
    target = np.clip(target + np.multiply(move, res), 0, sides - 1)
    return np.clip(np.round(target - own), 0, sides - res).astype(int), target


def moved(image, mask, variation):
    """Apply a vary.Variation to image [R, R, C] and mask [R, R, 1], as `vary.warp`.

    But what the picture lacks is filled with its surface, the defect left out, and so never shows
    the defect again, wherever it goes. An empty mask: mirrored, as there.
    """
    warped, shape = vary.warp(image, mask, variation)
    around, _ = vary.warp(_without(image, mask), mask, variation)
    _, inside = vary.warp(image, np.full_like(mask, 255), variation, own=mask)
    return np.where(inside > 0, warped, around), shape


def _without(image, mask):
    """Fill the masked pixels of an image from those around."""
    marked = ndimage.binary_dilation(mask[..., 0] > 0, _TOUCHING, iterations=_RIM)
    if not marked.any() or marked.all():
        return image
    nearest = ndimage.distance_transform_edt(marked, return_distances=False, return_indices=True)
    filled = ndimage.gaussian_filter(image[tuple(nearest)].astype(np.float32), (_BLUR, _BLUR, 0))
    return np.where(marked[..., None], np.round(filled).astype(np.uint8), image)
