"""The labels of a finished set in the formats that others read: COCO, YOLO, MVTec AD.

All are made from the records of the manifest, see `dataset.py`.
"""

import json
import os
import shutil

import contourpy
import numpy as np
from pycocotools import mask as coco_mask

from dtgan import images
from dtgan.config import NORMAL

COCO, YOLO, MVTEC = "annotations/instances.json", "data.yaml", "mvtec"


def box(mask):
    """(x, y, width, height) in pixels of what is not 0 in [H, W]; the mask must not be empty."""
    ys, xs = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(xs[0]), int(ys[0]), int(xs[-1] - xs[0] + 1), int(ys[-1] - ys[0] + 1)


def rle(mask):
    """COCO's compressed run lengths of a mask [H, W], JSON-able."""
    encoded = coco_mask.encode(np.asfortranarray(mask != 0, np.uint8))
    return {"size": encoded["size"], "counts": encoded["counts"].decode()}


def polygons(mask):
    """The outlines of the parts of a mask [H, W], float [n, 2] each: (x, y) as fractions 0..1.

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


def write(out, records, classes, mvtec):
    """Write COCO and YOLO labels, and on request the MVTec tree, of a set below `out`.

    records: of the manifest, in order; classes: names of the defects, in the order of their labels.
    """
    defects = [record for record in records if record["class"] != NORMAL]
    masks = {r["file"]: images.read_image(out / r["mask"], 1)[..., 0] for r in defects}
    _write_text(out / COCO, json.dumps(_coco(records, classes, masks)))
    for record in records:
        lines = []
        if record["class"] != NORMAL:
            number = classes.index(record["class"])
            lines = [_yolo_line(number, outline) for outline in polygons(masks[record["file"]])]
        path = record["file"].replace("images/", "labels/", 1)
        _write_text((out / path).with_suffix(".txt"), "".join(lines))
    names = "".join(f"  {k}: {json.dumps(name)}\n" for k, name in enumerate(classes))
    folder = "images  # no held-out part: validate on real images"
    _write_text(out / YOLO, f"path: .\ntrain: {folder}\nval: {folder}\nnames:\n{names}")
    if mvtec:
        _mvtec(out, records)


def _coco(records, classes, masks):
    """The instances file: one image a record, one annotation a defect image."""
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


def _yolo_line(number, outline):
    """One object: its class and the corners of its outline."""
    return " ".join([str(number), *(f"{value:.6f}" for value in outline.reshape(-1))]) + "\n"


def _mvtec(out, records):
    """mvtec/train/good, mvtec/test/<class> and mvtec/ground_truth/<class>/*_mask.png."""
    for record in records:
        name = record["file"].rpartition("/")[2]
        if record["class"] == NORMAL:
            _link(out / record["file"], out / MVTEC / "train" / "good" / name)
            continue
        _link(out / record["file"], out / MVTEC / "test" / record["class"] / name)
        truth = out / MVTEC / "ground_truth" / record["class"]
        _link(out / record["mask"], truth / name.replace(".png", "_mask.png"))


def _link(source, target):
    """The same file under a second name, or a copy where the file system has no such links."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _write_text(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
