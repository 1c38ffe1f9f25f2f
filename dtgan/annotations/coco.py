"""COCO's instances file: boxes, areas and run lengths of masks."""

import json

import numpy as np
from pycocotools import mask as coco_mask

from dtgan.config import NORMAL
from dtgan.files import write_atomic

FILE = "annotations/instances.json"


def write(out, records, classes, masks):
    """Write the file of a set below `out`; see `dtgan.annotations.write`."""
    path = out / FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, json.dumps(_instances(records, classes, masks)))


def box(mask):
    """Compute the bounding box (x, y, width, height) in pixels of a mask [H, W], not empty."""
    ys, xs = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(xs[0]), int(ys[0]), int(xs[-1] - xs[0] + 1), int(ys[-1] - ys[0] + 1)


def rle(mask):
    """Encode a mask [H, W] as COCO's compressed run lengths, JSON-able."""
    encoded = coco_mask.encode(np.asfortranarray(mask != 0, np.uint8))
    return {"size": encoded["size"], "counts": encoded["counts"].decode()}


def _instances(records, classes, masks):
    """Make the content of the instances file: an image a record, an annotation a defect image."""
    pictures, found = [], []
    for number, record in enumerate(records, start=1):
        height, width = record["size"]
        pictures.append(
            {"id": number, "file_name": record["file"], "height": height, "width": width}
        )
        if record["class"] == NORMAL:
            continue
        found.append(
            {
                "id": len(found) + 1,
                "image_id": number,
                "category_id": classes.index(record["class"]) + 1,
                "bbox": record["box"],
                "area": record["area"],
                "segmentation": rle(masks[record["file"]]),
                "iscrowd": 0,
            }
        )
    categories = [{"id": k, "name": name} for k, name in enumerate(classes, start=1)]
    return {
        "info": {"description": "synthetic defects, dtgan"},
        "images": pictures,
        "annotations": found,
        "categories": categories,
    }
