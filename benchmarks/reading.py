"""One reader reads a set: PYTHON benchmarks/reading.py READER SET FILE

`benchmarks.readers` starts it, with a Python that has the readers and maybe not dtgan. FILE is an
.npz: "told", JSON {"version", "numbers": {stem of a picture: its number}}, and the arrays of each
picture, their names followed by its number.
"""

import importlib.metadata
import json
import pathlib
import sys
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

COCO = "annotations/instances_train.json"
ANY = "a defect"  # the label of a reader that does not tell one class from another


class Reader(NamedTuple):
    """A package, how it is called and of what, whether it has a mask's outer line alone, and the
    function that does it."""

    package: str
    call: str
    reads: str
    outlines: bool
    run: Callable


def main(name, root, file):
    """Read the set below `root` with the reader of a name, write what it gave."""
    reader, numbers, arrays = READERS[name], {}, {}
    for number, (path, picture) in enumerate(reader.run(pathlib.Path(root))):
        numbers[pathlib.Path(path).stem] = number
        if (found := picture.pop("instances", None)) is not None:
            labels, boxes, masks = zip(*found, strict=True) if found else ((), (), ())
            picture |= {"labels": np.array(labels, str), "boxes": boxes}
            picture |= {"masks": np.array(masks, bool)}
        arrays |= {f"{key}{number}": np.asarray(value) for key, value in picture.items()}
    told = {"version": importlib.metadata.version(reader.package), "numbers": numbers}
    np.savez_compressed(file, told=np.array(json.dumps(told)), **arrays)


# Each function yields (path, {"image": array, "label": class of the whole picture, "mask": of all
# of its defects, "instances": [(class, (x, y, width, height), mask)]}), as far as its reader knows.


def supervision_coco(root):
    import supervision

    files = {"images_directory_path": root / "images", "annotations_path": root / COCO}
    files = {key: str(path) for key, path in files.items()}
    return _detections(supervision.DetectionDataset.from_coco(**files, force_masks=True))


def supervision_yolo(root):
    import supervision

    for folder in sorted((root / "images").iterdir()):  # it reads one folder at a time
        yield from _detections(
            supervision.DetectionDataset.from_yolo(
                images_directory_path=str(folder),
                annotations_directory_path=str(root / "labels" / folder.name),
                data_yaml_path=str(root / "data.yaml"),
                force_masks=True,
            )
        )


def _detections(data):
    for path, image, found in data:
        masks = found.mask if len(found) else ()
        yield (
            path,
            {
                "image": image,
                "instances": [
                    (data.classes[k], (x, y, right - x, low - y), mask)
                    for k, (x, y, right, low), mask in zip(
                        found.class_id, found.xyxy, masks, strict=True
                    )
                ],
            },
        )


def ultralytics_segment(root):
    from ultralytics.data.dataset import YOLODataset
    from ultralytics.data.utils import check_det_dataset, polygons2masks
    from ultralytics.utils.patches import imread

    data = check_det_dataset(str(root / "data.yaml"), autodownload=False)
    for label in YOLODataset(img_path=data["train"], data=data, task="segment").labels:
        height, width = label["shape"]
        boxes = label["bboxes"] * (width, height, width, height)
        boxes[:, :2] -= boxes[:, 2:] / 2  # they are told by their centres
        outlines = [outline * (width, height) for outline in label["segments"]]
        masks = polygons2masks((height, width), outlines, color=1) if outlines else []
        names = [data["names"][int(k)] for k in label["cls"][:, 0]]
        found = list(zip(names, boxes, masks, strict=True))
        yield label["im_file"], {"image": imread(label["im_file"]), "instances": found}


def datumaro_coco(root):
    from datumaro import AnnotationType, Dataset

    data = Dataset.import_from(str(root), "coco_instances")
    names = data.categories()[AnnotationType.label]
    for item in data:
        # A mask and a box of one number are one instance.
        of_kind = {kind: {} for kind in (AnnotationType.mask, AnnotationType.bbox)}
        for found in item.annotations:
            of_kind[found.type][found.id] = found
        masks, boxes = of_kind.values()
        instances = [
            (names[boxes[k].label].name, boxes[k].get_bbox(), masks[k].image) for k in boxes
        ]
        yield item.media.path, {"image": item.media.data, "instances": instances}


def torchvision_folder(root):
    from torchvision.datasets import ImageFolder

    data = ImageFolder(root / "images")
    for (image, label), (path, _) in zip(data, data.samples, strict=True):
        yield path, {"image": image, "label": data.classes[label]}


def torchvision_coco(root):
    from torchvision.datasets import CocoDetection

    data = CocoDetection(root / "images", root / COCO)
    for k, (image, found) in zip(data.ids, data, strict=True):
        names = [data.coco.cats[a["category_id"]]["name"] for a in found]
        masks = [data.coco.annToMask(a) for a in found]
        instances = zip(names, [a["bbox"] for a in found], masks, strict=True)
        path = data.coco.imgs[k]["file_name"]
        yield path, {"image": image, "instances": list(instances)}


def anomalib_mvtec(root):
    from anomalib.data.datasets.image.mvtecad import MVTecADDataset

    for split in ("train", "test"):
        yield from _anomalies(MVTecADDataset(root=root, category="mvtec", split=split))


def anomalib_folder(root):
    from anomalib.data.datasets.image.folder import FolderDataset

    classes = sorted(path.name for path in (root / "masks").iterdir())
    yield from _anomalies(
        FolderDataset(
            name="set",
            root=root,
            normal_dir="images/normal",
            abnormal_dir=[f"images/{name}" for name in classes],
            mask_dir=[f"masks/{name}" for name in classes],
        )
    )


def _anomalies(data):
    for item in data:
        picture = {"image": np.moveaxis(np.asarray(item.image), 0, -1)}
        if bool(item.gt_label):
            picture |= {"label": ANY, "mask": item.gt_mask}
        else:
            picture["label"] = "normal"
        yield item.image_path, picture


def fiftyone_coco(root):
    import cv2
    from fiftyone.utils.coco import COCODetectionDatasetImporter

    reader = COCODetectionDatasetImporter(
        data_path=str(root / "images"),
        labels_path=str(root / COCO),
        label_types="segmentations",
        include_id=False,
    )
    with reader:
        for path, about, label in reader:
            size = about.height, about.width
            found = [_of_fiftyone(one, size) for one in (label.detections if label else ())]
            yield path, {"image": cv2.imread(path), "instances": found}


def _of_fiftyone(detection, size):
    """Its boxes are shares of the picture, its masks those of the boxes."""
    height, width = size
    x, y, wide, high = detection.bounding_box
    mask = np.zeros(size, bool)
    top, left = round(y * height), round(x * width)
    mask[top : top + len(detection.mask), left : left + detection.mask.shape[1]] = detection.mask
    return detection.label, (x * width, y * height, wide * width, high * height), mask


DATUMARO = '`import_from(..., "coco_instances")`'
SET, YOLO = "`annotations/`, `images/`", "`data.yaml`, `labels/`, `images/`"
READERS = {
    "supervision_coco": Reader("supervision", "`from_coco`", SET, False, supervision_coco),
    "supervision_yolo": Reader(
        "supervision", "`from_yolo`, a class at a time", YOLO, True, supervision_yolo
    ),
    "ultralytics": Reader("ultralytics", "`YOLODataset`", YOLO, True, ultralytics_segment),
    "datumaro": Reader(
        "datumaro", '`import_from(..., "coco_instances")`', SET, False, datumaro_coco
    ),
    "fiftyone": Reader(
        "fiftyone", "its COCO importer, without a database", SET, False, fiftyone_coco
    ),
    "torchvision_coco": Reader("torchvision", "`CocoDetection`", SET, False, torchvision_coco),
    "torchvision_folder": Reader(
        "torchvision", "`ImageFolder`", "`images/`", False, torchvision_folder
    ),
    "anomalib_mvtec": Reader(
        "anomalib", "`MVTecADDataset`", "`mvtec/` as a category", False, anomalib_mvtec
    ),
    "anomalib_folder": Reader(
        "anomalib", "`FolderDataset`", "`images/`, `masks/`", False, anomalib_folder
    ),
}

if __name__ == "__main__":
    main(*sys.argv[1:])
