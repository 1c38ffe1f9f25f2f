"""The layout of dtgan's own: images/<class>/*, masks/<class>/* with the same stem, splits.csv."""

import pathlib

from dtgan.config import NORMAL, ConfigError, nearest
from dtgan.data.folders import scan
from dtgan.data.folders.layouts.base import Contents
from dtgan.data.names import check_names


def places(data):
    """List what is read of the set: files where it looks for them, and no deeper.

    So links cannot lead it in a circle.
    """
    root = pathlib.Path(data.path)
    parts = [folder for name in ("images", "masks") for folder in scan.visible(root / name)]
    return [root / "splits.csv", *parts, *(file for part in parts for file in scan.visible(part))]


def list_set(data):
    """List the set without decoding: Contents.

    Raises ConfigError where no training is possible with these files.
    """
    root, shown = pathlib.Path(data.path), data.path
    if not (root / "images").is_dir():
        raise ConfigError(
            f"data.path={shown} has no folder images/; put images in images/<class>/, or say how "
            "they are labelled: --config.data.source=coco, yolo or csv"
        )
    found = scan.Findings.none()
    for name in ("images", "masks", "splits.csv"):
        if not scan.inside(root, [root / name], found):
            raise ConfigError(f"data.path={shown}: {found.warnings[-1]}, or give its own folder")
    pictures = scan.list_classes(root / "images", root, found, found.errors)
    masks = scan.list_classes(root / "masks", root, found, found.errors)
    _check_classes(shown, pictures)
    entries = []
    for class_name in (NORMAL, *sorted(set(pictures) - {NORMAL})):
        own = masks.pop(class_name, scan.Listed([], None))
        entries += scan.pair(root, class_name, pictures[class_name].files, own.files, found)
    for class_name, listed in masks.items():
        for mask in listed.files:
            detail = f"there is no images/{class_name}"
            found.errors.append(scan.Finding(scan.relative(root, mask), "unknown label", detail))
    return Contents(root, entries, tuple(pictures), found)


def _check_classes(shown, pictures):
    """Raise ConfigError where no training is possible with these classes."""
    check_names(pictures, f"data.path={shown}")
    if NORMAL not in pictures:
        raise ConfigError(
            f"data.path={shown} has no class {NORMAL!r}{nearest(NORMAL, pictures)}; "
            f"put defect-free images in images/{NORMAL}/"
        )
    if len(pictures) < 2:
        raise ConfigError(
            f"data.path={shown} has no defect class; put defect images in images/<class>/"
        )
    for class_name, listed in sorted(pictures.items()):
        scan.check_count(class_name, len(listed.files), listed.unread)
