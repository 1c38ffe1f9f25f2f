"""YOLO's segmentation labels: a text file of outlines an image, and data.yaml."""

import json

import contourpy
import numpy as np

from dtgan.config import NORMAL
from dtgan.files import write_atomic

FILE = "data.yaml"


def write(out, records, classes, masks):
    """Write the labels of a set below `out`; see `dtgan.annotations.write`."""
    for record in records:
        lines = []
        if record["class"] != NORMAL:
            number = classes.index(record["class"])
            lines = [_line(number, outline) for outline in polygons(masks[record["file"]])]
        path = (out / record["file"].replace("images/", "labels/", 1)).with_suffix(".txt")
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, "".join(lines))
    names = "".join(f"  {k}: {json.dumps(name)}\n" for k, name in enumerate(classes))
    folder = "images  # no held-out part: validate on real images"
    write_atomic(out / FILE, f"path: .\ntrain: {folder}\nval: {folder}\nnames:\n{names}")


def polygons(mask):
    """Trace the outlines of the parts of a mask [H, W]: float [n, 2] each, (x, y) in 0..1.

    Lines pass half a pixel outside the centres of the mask's pixels; holes are filled, since YOLO
    has none.
    """
    height, width = mask.shape
    padded = np.pad((mask != 0).astype(np.float32), 1)
    fill = contourpy.FillType.OuterOffset
    points, offsets = contourpy.contour_generator(z=padded, fill_type=fill).filled(0.5, 2.0)
    found = []
    for part, offset in zip(points, offsets, strict=True):
        outer = part[: offset[1] - 1]  # the last point repeats the first
        found.append(np.clip((outer - 0.5) / (width, height), 0.0, 1.0))
    return found


def _line(number, outline):
    """Format the line of an object: its class and the corners of its outline."""
    return " ".join([str(number), *(f"{value:.6f}" for value in outline.reshape(-1))]) + "\n"
