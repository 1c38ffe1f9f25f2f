"""One small set of pictures with defects, written in every layout that is read."""

import csv
import json
import pathlib

import numpy as np
import yaml
from pycocotools import mask as coco_mask

from dtgan.annotations.runs import find
from dtgan.annotations.yolo import polygon
from tests.data.folders import data_of, picture, save

SIZE = 20, 24  # height, width


def mask_of(seed, size=SIZE):
    """Draw an ellipse and a bar, bool [H, W]."""
    rng = np.random.default_rng(seed)
    height, width = size
    y, x = np.mgrid[:height, :width]
    centre, radius = rng.uniform(0.3, 0.7, 2) * size, rng.uniform(0.1, 0.25, 2) * size
    mask = (((y - centre[0]) / radius[0]) ** 2 + ((x - centre[1]) / radius[1]) ** 2) < 1
    mask[height - 4 : height - 2, 2 : 3 + int(rng.integers(3, width // 2))] = True
    return mask


class Set:
    """Pictures by class: {"crack/c0.png": mask}, None for normal ones."""

    def __init__(self, normal=8, defects=6, size=SIZE):
        names = [f"normal/n{k}.png" for k in range(normal)]
        self.masks = dict.fromkeys(names)
        for number, name in enumerate(("crack", "spot")):
            for k in range(defects):
                self.masks[f"{name}/{name[0]}{k}.png"] = mask_of(100 * number + k, size)
        self.pictures = {name: picture(k, size) for k, name in enumerate(self.masks)}
        self.classes, self.size = ("crack", "spot"), size

    def flat(self, folder):
        """Write all pictures into one folder."""
        for name, pixels in self.pictures.items():
            save(folder / name.rpartition("/")[2], pixels)

    def items(self):
        """List (class, file name, mask)."""
        return [(*name.split("/"), mask) for name, mask in self.masks.items()]


def folder(made, root):
    for name, mask in made.masks.items():
        save(root / "images" / name, made.pictures[name])
        if mask is not None:
            save(root / "masks" / name, np.uint8(255) * mask)
    return data_of(root)


def mvtec(made, root):
    for number, (class_name, name, mask) in enumerate(made.items()):
        pixels, stem = made.pictures[f"{class_name}/{name}"], name.removesuffix(".png")
        if mask is None:
            save(root / ("train", "test")[number % 2] / "good" / name, pixels)
        else:
            save(root / "test" / class_name / name, pixels)
            save(root / "ground_truth" / class_name / f"{stem}_mask.png", np.uint8(255) * mask)
    return data_of(root)


def mvtec_2(made, root):
    """Its one class of defects is "bad"."""
    for number, (class_name, name, mask) in enumerate(made.items()):
        pixels, stem = made.pictures[f"{class_name}/{name}"], name.removesuffix(".png")
        if mask is None:
            part = ("train", "validation", "test_public")[number % 3]
            save(root / part / "good" / name, pixels)
        else:
            save(root / "test_public" / "bad" / name, pixels)
            truth = root / "test_public" / "ground_truth" / "bad"
            save(truth / f"{stem}_mask.png", np.uint8(255) * mask)
    return data_of(root)


def outline(mask):
    """Trace a mask: [x1, y1, ...] in pixels."""
    return (polygon(find(mask), mask.shape) * mask.shape[::-1]).round(2).reshape(-1).tolist()


def compressed(mask):
    found = coco_mask.encode(np.asfortranarray(mask, np.uint8))
    return {"size": list(mask.shape), "counts": found["counts"].decode()}


def uncompressed(mask):
    columns = mask.T.reshape(-1)
    ends = np.flatnonzero(np.diff(columns, prepend=False)).tolist()
    return {"size": list(mask.shape), "counts": np.diff([0, *ends, mask.size]).tolist()}


def coco_content(made, segment):
    """Make the content of an instances file; segment: mask -> segmentation."""
    found = {"images": [], "annotations": [], "categories": []}
    found["categories"] = [{"id": 7 + k, "name": name} for k, name in enumerate(made.classes)]
    for number, (class_name, name, mask) in enumerate(made.items()):
        height, width = made.size
        image = {"id": number, "file_name": name, "height": height, "width": width}
        found["images"].append(image)
        if mask is not None:
            category = 7 + made.classes.index(class_name)
            one = {"id": number, "image_id": number, "category_id": category, "iscrowd": 0}
            found["annotations"].append(one | {"segmentation": segment(mask)})
    return found


def coco(made, root, segment=compressed):
    made.flat(root / "images")
    (root / "annotations").mkdir()
    file = root / "annotations" / "instances_all.json"
    file.write_text(json.dumps(coco_content(made, segment)))
    return data_of(root, source="coco")


def coco_outlines(made, root):
    return coco(made, root, lambda mask: [outline(mask)])


def coco_counts(made, root):
    return coco(made, root, uncompressed)


def yolo(made, root):
    made.flat(root / "images")
    (root / "labels").mkdir()
    for class_name, name, mask in made.items():
        if mask is not None:
            corners = polygon(find(mask), mask.shape).reshape(-1)
            corners = " ".join(f"{value:.6f}" for value in corners)
            file = (root / "labels" / name).with_suffix(".txt")
            file.write_text(f"{made.classes.index(class_name)} {corners}\n")
    content = {"train": "images", "val": "images", "names": dict(enumerate(made.classes))}
    (root / "data.yaml").write_text(yaml.safe_dump(content))
    return data_of(root, source="yolo")


def runs(mask):
    """Write Severstal's run lengths of a mask."""
    columns = np.pad(mask.T.reshape(-1), 1)
    ends = np.flatnonzero(columns[1:] != columns[:-1]) + 1
    ends[1::2] -= ends[::2]
    return " ".join(map(str, ends))


def severstal(made, root):
    made.flat(root / "train_images")
    with open(root / "train.csv", "w", newline="") as file:
        table = csv.writer(file)
        table.writerow(("ImageId", "ClassId", "EncodedPixels"))
        for class_name, name, mask in made.items():
            if mask is not None:
                table.writerow((name, class_name, runs(mask)))
    columns = "file:ImageId,class:ClassId,rle:EncodedPixels"
    return data_of(root / "train.csv", source="csv", images="train_images", csv_columns=columns)


EXACT = (folder, mvtec, coco, coco_counts, severstal)  # nothing is lost
OUTLINED = (coco_outlines, yolo)


def write(made, layout, root):
    """Write a set in a layout: config.data that reads it."""
    root = pathlib.Path(root)
    root.mkdir(parents=True, exist_ok=True)
    return layout(made, root)
