"""Where defects shall be: class maps from a user's masks and boxes."""

import numpy as np

from dtgan.config import NORMAL, ConfigError, nearest
from dtgan.data import labels


def fields(where, classes, num, res):
    """Make the fields "labels" and "where" of a request for `num` images of side `res`.

    where: {label: mask or boxes}, the same for all images, or a mask for each. A mask is bool or
    uint8, True or 255 where the label shall show, [R, R] or [num, R, R, 1]; boxes are a list of
    (x, y, width, height) in pixels. Labels are those of `data.labels`: "crack" and "spot" of a
    class "crack+spot"; where two lie on each other, both show.
    Instead of a dict, a mask alone: "where" then holds it for all labels, and "labels" is left out.
    Raises ConfigError for unknown labels and impossible places.
    """
    known = labels.names(classes)
    if not isinstance(where, dict):
        mask = of_mask("where", np.asarray(where), num, res)
        return {"where": np.repeat(mask, len(known), axis=-1)}
    shown = np.zeros((num, len(known)), np.float32)
    planes = np.zeros((num, res, res, len(known)), np.uint8)
    for name, place in where.items():
        if name not in known or name == NORMAL:
            defects = [label for label in known if label != NORMAL]
            raise ConfigError(
                f"where: {name!r} is no defect label of this run{nearest(name, defects)}; known: "
                f"{', '.join(defects)}"
            )
        k, place = known.index(name), np.asarray(place)
        boxes = place.ndim == 2 and place.shape[1] == 4 and place.shape != (res, res)
        mask = of_boxes(place, res)[None] if boxes else of_mask("where", place, num, res)
        planes[..., k], shown[:, k] = mask[..., 0], 1.0
    return {"labels": shown, "where": planes}


def of_boxes(boxes, res):
    """Fill boxes (x, y, width, height), whole pixels: uint8 [R, R, 1], 255 inside.

    Raises ConfigError for a box that is empty or leaves the image.
    """
    mask = np.zeros((res, res, 1), np.uint8)
    for box in boxes:
        x, y, width, height = (int(v) for v in box)
        fits = 0 <= x < x + width <= res and 0 <= y < y + height <= res
        if not fits or np.any(box != np.round(box)):
            raise ConfigError(
                f"where: the box (x, y, width, height) = {tuple(box.tolist())} does not lie within "
                f"the {res} x {res} pixels of an image"
            )
        mask[y : y + height, x : x + width] = 255
    return mask


def of_mask(name, value, num, res):
    """Convert a user's mask to uint8 [num, R, R, 1]; True or 255 is where something may be."""
    if value.dtype == bool:
        value = value * np.uint8(255)
    if not np.issubdtype(value.dtype, np.integer) or value.min() < 0 or value.max() > 255:
        raise ConfigError(
            f"{name} is {value.dtype}; give bool, or uint8 with 255 = a defect may be"
        )
    value = value[None, ..., None] if value.ndim == 2 else value
    if value.shape not in ((1, res, res, 1), (num, res, res, 1)):
        raise ConfigError(
            f"{name} has the shape {value.shape}; use ({res}, {res}) or ({num}, {res}, {res}, 1)"
        )
    return np.ascontiguousarray(np.broadcast_to(value.astype(np.uint8), (num, res, res, 1)))
