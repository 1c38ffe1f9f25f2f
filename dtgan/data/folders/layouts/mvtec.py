"""The tree of MVTec AD and of MVTec AD 2, with one product in it; "good" is the normal class.

MVTec AD    train/good, test/<class>, ground_truth/<class>/NAME_mask.png
MVTec AD 2  train/good, validation/good, test_public/{good,bad},
            test_public/ground_truth/bad/NAME_mask.png

All of its pictures are divided anew: the tree's own training part holds no defect to learn.
"""

import pathlib

from dtgan.config import NORMAL, ConfigError
from dtgan.data.folders import scan
from dtgan.data.folders.layouts import base
from dtgan.data.names import check_names

GOOD = "good"
_TRUTH = "ground_truth"
# Folders of pictures, and of their masks; the masks of a folder that is not there are none.
_PARTS = {
    "train": _TRUTH,
    "validation": _TRUTH,
    "test": _TRUTH,
    "test_public": f"test_public/{_TRUTH}",
}
_BLIND = ("test_private", "test_private_mixed")  # pictures without labels


def matches(root):
    """Tell whether a folder is such a tree, and no folder of images/."""
    own = (root / "images").is_dir()
    return not own and any((root / part / GOOD).is_dir() for part in _PARTS)


def products(root):
    """List the folders of a folder that are such trees."""
    return [folder.name for folder in scan.visible(root) if folder.is_dir() and matches(folder)]


def places(data):
    """List the files that are read of the set."""
    root = pathlib.Path(data.path)
    files = [file for part in _PARTS for file in base.walk(root / part)]
    return [root / "splits.csv", *files, *base.walk(root / _TRUTH)]


def list_set(data):
    """List the set without decoding: Contents.

    Raises ConfigError where no training is possible with these files.
    """
    root, found, entries = pathlib.Path(data.path), scan.Findings.none(), []
    for part, truth in _PARTS.items():
        if not (root / part).is_dir():
            continue
        pictures = scan.list_classes(root / part, root, found, found.errors, leave_out=_TRUTH)
        masks = {}
        if part.startswith("test"):
            masks = scan.list_classes(root / truth, root, found, found.errors)
        for folder, listed in pictures.items():
            class_name = NORMAL if folder == GOOD else folder
            own = masks.pop(folder, scan.Listed([], None)).files
            entries += scan.pair(root, class_name, listed.files, own, found)
        for folder, listed in masks.items():
            for mask in listed.files:
                name, detail = scan.relative(root, mask), f"there is no {part}/{folder}"
                found.errors.append(scan.Finding(name, "unknown label", detail))
    for name in _BLIND:
        if (root / name).is_dir():
            detail = "it does not say what its pictures show"
            found.warnings.append(scan.Finding(f"{name}/", "not read", detail))
    classes = {entry.class_name for entry in entries}
    check_names(classes, f"data.path={data.path}")
    if not classes - {NORMAL}:
        raise ConfigError(
            f"data.path={data.path} has no defect class; put defect images in test/<class>/"
        )
    for name in sorted(classes):
        scan.check_count(name, sum(entry.class_name == name for entry in entries))
    return base.Contents(root, base.in_order(root, entries), tuple(classes), found)
