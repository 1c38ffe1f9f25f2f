"""The instances of a mask: one rule for COCO, YOLO and the manifest."""

import numpy as np
from scipy import ndimage

HOW = ("parts", "whole")  # an instance each part of a mask, or one an image
MIN_PIXELS = 4  # of a part; a smaller one is a speck and no instance


def split(mask, how):
    """Split a mask [H, W], not empty, into its instances: a list of bool [H, W].

    how: "whole", the mask as it is, or "parts": pixels that touch, be it at a corner, are one part;
    specks are left out, or, where there is nothing else, all but the largest.
    """
    mask = mask != 0
    if how == "whole":
        return [mask]
    marked, _ = ndimage.label(mask, np.ones((3, 3)))
    areas = np.bincount(marked.reshape(-1))[1:]  # 0 is the rest
    kept = np.flatnonzero(areas >= MIN_PIXELS)
    return [marked == k + 1 for k in (kept if len(kept) else [areas.argmax()])]


def box(mask):
    """Compute the bounding box (x, y, width, height) in pixels of a mask [H, W], not empty."""
    ys, xs = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(xs[0]), int(ys[0]), int(xs[-1] - xs[0] + 1), int(ys[-1] - ys[0] + 1)


def measure(mask):
    """Measure a mask [H, W], not empty: its {"box", "area"}, in pixels."""
    return {"box": box(mask), "area": int(np.count_nonzero(mask))}
