"""YOLO's segmentation labels: a text file of outlines an image, and data.yaml."""

import json

import contourpy
import numpy as np

from dtgan.files import write_atomic

FILE = "data.yaml"
LEVEL = 0.4999  # below a half, so that pixels that touch at a corner have one outline


def write(out, records, classes, parts):
    """Write the labels of a set below `out`; see `dtgan.annotations.write`.

    parts: record -> its instances, a list of bool [H, W].
    """
    for record in records:
        found = parts(record)
        lines = "".join(
            _line(classes.index(record["class"]), polygon(part)) for part in found
        ).encode()
        path = (out / record["file"].replace("images/", "labels/", 1)).with_suffix(".txt")
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_bytes() != lines:  # most of a set that grows are there
            write_atomic(path, lines)
    names = "".join(f"  {k}: {json.dumps(name)}\n" for k, name in enumerate(classes))
    folder = "images  # no held-out part: validate on real images"
    # Without a key `path` folders are relative to this file; with `.` to where the reader runs.
    write_atomic(out / FILE, f"train: {folder}\nval: {folder}\nnames:\n{names}")


def polygon(mask):
    """Trace the outline of a mask [H, W], not empty: float [n, 2], (x, y) in 0..1.

    Lines pass half a pixel outside the centres of the mask's pixels; holes are filled, since YOLO
    has none. Where the mask is in pieces, bridges without width join them.
    """
    height, width = mask.shape
    padded = np.pad((mask != 0).astype(np.float32), 1)
    fill = contourpy.FillType.OuterOffset
    points, offsets = contourpy.contour_generator(z=padded, fill_type=fill).filled(LEVEL, 2.0)
    # The last point of an outline repeats its first; what comes after it are holes.
    outer = [part[: offset[1] - 1] for part, offset in zip(points, offsets, strict=True)]
    whole = outer[0]
    for piece in outer[1:]:
        whole = _bridged(whole, piece)
    return np.clip((whole - 0.5) / (width, height), 0.0, 1.0)


def _bridged(a, b):
    """Go around outline a, over to b where they are nearest, around b and back: one outline."""
    distance = ((a[:, None] - b) ** 2).sum(axis=-1)
    i, j = np.unravel_index(distance.argmin(), distance.shape)
    return np.concatenate([a[: i + 1], b[j:], b[: j + 1], a[i:]])


def _line(number, outline):
    """Format the line of an object: its class and the corners of its outline."""
    return " ".join([str(number), *(f"{value:.6f}" for value in outline.reshape(-1))]) + "\n"
