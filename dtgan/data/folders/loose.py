"""Sources of loose image files: a user's own surfaces, or defects to transfer to them."""

import collections
import dataclasses
import hashlib
import logging
import pathlib

from dtgan import images
from dtgan.config import NORMAL, ConfigError, nearest
from dtgan.data.folders import examine, masks, scan
from dtgan.data.folders.files import FileSource

log = logging.getLogger("dtgan")


def open_surfaces(path, classes, data, flag="--backgrounds"):
    """Open the defect-free images in `path`, or the normals of a data set there, as a FileSource.

    data: config.data, which says how they are read. Warnings about them are logged. Raises
    ConfigError, with `flag` in its message, where there are none and where one cannot be used.
    """
    root = pathlib.Path(path)
    inside, found = root / "images" / NORMAL, scan.Findings.none()
    listed = scan.list_files(inside if inside.is_dir() else root, root, found)
    if not listed.files:
        unread = f", but {scan.describe_unread(listed.unread)}" if listed.unread else ""
        raise ConfigError(
            f"{flag}={path} holds no images{unread}; put defect-free ones there, or in "
            f"images/{NORMAL}/ below it ({' '.join(images.SUFFIXES)})"
        )
    own = scan.list_files(root / "masks" / NORMAL, root, found)
    entries = scan.pair(root, NORMAL, listed.files, own.files, found)
    return _open(root, entries, classes, data, flag, found)


def open_labelled(path, classes, data, flag, normals=False):
    """Open the images in path/<class>/ or path/images/<class>/ as a FileSource.

    Masks are those in path/masks/<class>/. classes: the known ones, NORMAL first. data: of a
    config, which says how files are read. normals: whether to read NORMAL, too. Warnings are
    logged. Raises ConfigError, with `flag` in its message, for a class of another name, for a path
    without images, and for files that cannot be used.
    """
    root, found = pathlib.Path(path), scan.Findings.none()
    if (root / "images").is_dir():
        pictures = scan.list_classes(root / "images", root, found, found.errors)
    else:
        pictures = scan.list_classes(root, root, found, [], leave_out="masks")
    own = scan.list_classes(root / "masks", root, found, found.errors)
    wanted, entries, unread = classes if normals else classes[1:], [], collections.Counter()
    for folder, listed in pictures.items():
        unread += listed.unread
        if listed.files and (normals or folder != NORMAL):
            marked = own[folder].files if folder in own else []
            entries += scan.pair(root, folder, listed.files, marked, found)
    if not entries and not found.errors:
        lacking = f", but {scan.describe_unread(unread)}" if unread else ""
        raise ConfigError(
            f"{flag}={path} holds no {'images' if normals else 'defects'}{lacking}; put images in "
            f"one folder a class: {', '.join(wanted)}"
        )
    return _open(root, entries, classes, data, flag, found)


def _open(root, entries, classes, data, flag, listed):
    """Examine listed files and open them; an error among the findings is the user's to mend."""
    masks.check_fields(data)
    if not data.mask_values:
        _check_known({entry.class_name for entry in entries}, classes, flag, root)
    records, found = examine.examine_all(root, entries, data)
    errors = [*listed.errors, *found.errors]
    if errors:
        more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        raise ConfigError(f"{flag}={root}: {errors[0]}{more}; mend it or take it out")
    for warning in dict.fromkeys([*listed.warnings, *found.warnings]):
        log.warning("%s=%s: %s", flag, root, warning)
    _check_known({record.class_name for record in records}, classes, flag, root)
    records = [dataclasses.replace(r, label=classes.index(r.class_name)) for r in records]
    has_masks = any(record.mask for record in records)
    rows = [(r.class_name, r.name, r.digest, r.mask_digest) for r in records]
    described = hashlib.sha256(repr((tuple(classes), rows)).encode("utf-8", "surrogateescape"))
    ids = [f"{scan.relative(root, r.image)}{r.part}" for r in records]
    return FileSource(records, classes, data, has_masks, described.hexdigest()[:16], ids)


def _check_known(found, classes, flag, path):
    """Raise ConfigError for a class that is not among the known ones."""
    for name in sorted(found - set(classes)):
        raise ConfigError(
            f"{flag}={path} holds the class {name!r}, which is not known here"
            f"{nearest(name, classes)}; known: {', '.join(classes)}"
        )
