"""COCO's instances file: boxes, areas and run lengths of masks."""

import json

import numpy as np
from pycocotools import mask as coco_mask

from dtgan.annotations import runs
from dtgan.annotations.instances import measure
from dtgan.files import write_atomic

FILE = "annotations/instances_train.json"  # readers take task and split from the name
ROOT = "images/"  # that its file names are relative to


class Table:
    """The content of the file, gathered picture by picture: an image each, an annotation an
    instance."""

    def __init__(self, classes):
        """classes: names of the defects, in the order of their labels."""
        self._numbers = {name: number for number, name in enumerate(classes, start=1)}
        self._images, self._found = [], []

    def add(self, record, parts):
        """Add the picture of a record. parts: its instances, [(class, `runs.Part`)]."""
        number, (height, width) = len(self._images) + 1, record["size"]
        name = record["file"].removeprefix(ROOT)
        self._images.append({"id": number, "file_name": name, "height": height, "width": width})
        for label, part in parts:
            measured = measure(part)
            self._found.append(
                {
                    "id": len(self._found) + 1,
                    "image_id": number,
                    "category_id": self._numbers[label],
                    "bbox": measured["box"],
                    "area": measured["area"],
                    "segmentation": rle(part, (height, width)),
                    "iscrowd": 0,
                }
            )

    def write(self, out):
        """Write the file of a set below `out`."""
        content = {
            "info": {"description": "synthetic defects, dtgan"},
            "images": self._images,
            "annotations": self._found,
            "categories": [{"id": k, "name": name} for name, k in self._numbers.items()],
        }
        path = out / FILE
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, json.dumps(content))


def rle(part, size):
    """Encode a `runs.Part` of a picture of `size` = (height, width) as COCO's compressed run
    lengths, JSON-able. They go down the columns."""
    height, width = size
    columns = runs.columns(part)
    starts, stops = (columns.rows * height + ends for ends in columns[1:])
    apart = starts[1:] != stops[:-1]  # else a run goes on at the top of the next column
    starts, stops = starts[np.r_[True, apart]], stops[np.r_[apart, True]]
    ends = np.stack([starts, stops], axis=1).reshape(-1)
    if ends[-1] < height * width:
        ends = np.append(ends, height * width)
    counts = np.diff(ends, prepend=0).tolist()
    encoded = coco_mask.frPyObjects({"size": [height, width], "counts": counts}, height, width)
    return {"size": encoded["size"], "counts": encoded["counts"].decode()}
