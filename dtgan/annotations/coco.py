"""COCO's instances file: boxes, areas and run lengths of masks."""

import json

import numpy as np
from pycocotools import mask as coco_mask

from dtgan.annotations.instances import measure
from dtgan.files import write_atomic

FILE = "annotations/instances_train.json"  # readers take task and split from the name
ROOT = "images/"  # that its file names are relative to


def write(out, records, classes, parts):
    """Write the file of a set below `out`; see `dtgan.annotations.write`.

    parts: record -> its instances, a list of bool [H, W].
    """
    path = out / FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, json.dumps(_content(records, classes, parts)))


def rle(mask):
    """Encode a mask [H, W] as COCO's compressed run lengths, JSON-able."""
    encoded = coco_mask.encode(np.asfortranarray(mask != 0, np.uint8))
    return {"size": encoded["size"], "counts": encoded["counts"].decode()}


def _content(records, classes, parts):
    """Make the content of the file: an image a record, an annotation an instance."""
    pictures, found = [], []
    for number, record in enumerate(records, start=1):
        height, width = record["size"]
        name = record["file"].removeprefix(ROOT)
        pictures.append({"id": number, "file_name": name, "height": height, "width": width})
        for part in parts(record):
            measured = measure(part)
            found.append(
                {
                    "id": len(found) + 1,
                    "image_id": number,
                    "category_id": classes.index(record["class"]) + 1,
                    "bbox": measured["box"],
                    "area": measured["area"],
                    "segmentation": rle(part),
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
