"""Scan of a folder of images: its files by class, and each file's size and digests.

The first half of the audit: `audit.py` compares the files with each other and splits them.
"""

import dataclasses
import hashlib
import os
import pathlib
import unicodedata

import numpy as np
from PIL import Image, UnidentifiedImageError

from dtgan import images
from dtgan.config import NORMAL, ConfigError, nearest

_SILENT = ("thumbs.db", "desktop.ini")  # files of file managers, ignored like hidden files


@dataclasses.dataclass(frozen=True)
class Finding:
    """One fault: a path relative to the set, the kind of fault, and its details."""

    file: str
    reason: str
    detail: str = ""

    def __str__(self):
        return f"{self.file}: {self.reason}" + (f": {self.detail}" if self.detail else "")


@dataclasses.dataclass(frozen=True)
class Record:
    """One good image. Digests are of decoded pixels; `canonical` is equal under flips."""

    label: int
    class_name: str
    name: str  # file name, Unicode NFC
    image: pathlib.Path
    mask: pathlib.Path | None
    size: tuple = (0, 0)  # height, width
    channels: int = 0  # in the file: 1 or 3
    bits: int = 8  # in the file: 8 or 16
    digest: str = ""
    canonical: str = ""
    mask_digest: str = ""
    split: str = ""

    @property
    def id(self):
        """<class>/<filename>"""
        return f"{self.class_name}/{self.name}"


def list_files(root, shown):
    """List the set without decoding: (undecoded records, classes, has_masks, errors, warnings)."""
    if not (root / "images").is_dir():
        raise ConfigError(f"data.path={shown} has no folder images/; put images in images/<class>/")
    errors, warnings = [], []
    pictures = _class_files(root / "images", root, errors, warnings)
    masks = _class_files(root / "masks", root, errors, warnings)
    _check_classes(shown, pictures)
    classes = (NORMAL, *sorted(set(pictures) - {NORMAL}))
    entries = []
    for label, class_name in enumerate(classes):
        by_stem = {}
        for mask in masks.get(class_name, ()):
            if by_stem.setdefault(stem(mask), mask) is not mask:
                first = by_stem[stem(mask)].name
                errors.append(Finding(relative(root, mask), "second mask", f"beside {first}"))
        for file in pictures[class_name]:
            name = unicodedata.normalize("NFC", file.name)
            entries.append(Record(label, class_name, name, file, by_stem.get(stem(file))))
        for lone in by_stem.keys() - {stem(file) for file in pictures[class_name]}:
            errors.append(Finding(relative(root, by_stem[lone]), "mask without an image"))
    for class_name in masks.keys() - pictures.keys():
        for mask in masks[class_name]:
            detail = f"there is no images/{class_name}"
            errors.append(Finding(relative(root, mask), "unknown label", detail))
    return entries, classes, any(masks.values()), errors, warnings


def _class_files(folder, root, errors, warnings):
    """List {class: image files sorted by name} of a folder; other files become findings."""
    found = {}
    for child in _visible(folder):
        if child.is_dir():
            found[unicodedata.normalize("NFC", child.name)] = files = []
            for file in _visible(child):
                if file.is_file() and file.suffix.lower() in images.SUFFIXES:
                    files.append(file)
                    continue
                kind = "unsupported file type" if file.is_file() else "folder in a class folder"
                detail = f"ignored; read are {' '.join(images.SUFFIXES)} files"
                warnings.append(Finding(relative(root, file), kind, detail))
        elif child.suffix.lower() in images.SUFFIXES:
            detail = f"lies in no class folder; move it to {folder.name}/<class>/"
            errors.append(Finding(relative(root, child), "unknown label", detail))
    return found


def _check_classes(shown, pictures):
    """Raise ConfigError where no training is possible with these classes."""
    if NORMAL not in pictures:
        raise ConfigError(
            f"data.path={shown} has no class {NORMAL!r}{nearest(NORMAL, pictures)}; "
            f"put defect-free images in images/{NORMAL}/"
        )
    if len(pictures) < 2:
        raise ConfigError(
            f"data.path={shown} has no defect class; put defect images in images/<class>/"
        )
    for class_name in sorted(pictures):
        check_count(class_name, len(pictures[class_name]))


def check_count(class_name, number):
    """Raise ConfigError where a class has fewer than the two images that it needs."""
    if number < 2:
        raise ConfigError(
            f"class {class_name!r} has {number} image{'' if number == 1 else 's'}; every class "
            "needs at least 2, one to train and one to validate; add images or remove the class"
        )


def examine(root, entry):
    """Decode one image and its mask: (record with sizes and digests, errors, warnings).

    A mask without any defect is a missing label, so the record drops it, with a warning.
    """
    pixels, fault = _decode(root, entry.image, None)
    if fault:
        return entry, [fault], []
    with Image.open(entry.image) as file:
        # Pillow narrows 16-bit RGB while decoding: only the raw mode tells.
        wide = file.mode.startswith("I") or any(";16" in str(tile[3]) for tile in file.tile)
    height, width, channels = pixels.shape
    if channels == 3 and (pixels == pixels[..., :1]).all():
        pixels = pixels[..., :1]  # a grey picture stored as RGB is still the same picture
    record = dataclasses.replace(
        entry,
        size=(height, width),
        channels=channels,
        bits=16 if wide else 8,
        digest=_digest(pixels.shape, pixels.tobytes()),
        canonical=_canonical(pixels),
    )
    if entry.mask is None:
        return record, [], []
    mask, fault = _decode(root, entry.mask, 1)
    fault = fault or _mask_fault(relative(root, entry.mask), entry, mask, (height, width))
    if fault:
        return record, [fault], []
    if entry.label and not mask.any():
        detail = "marks no pixel; ignored, so this defect reads has_mask=False"
        lack = Finding(relative(root, entry.mask), "zero-area mask", detail)
        return dataclasses.replace(record, mask=None), [], [lack]
    digest = _digest(mask.shape, np.packbits(mask > 127).tobytes())
    return dataclasses.replace(record, mask_digest=digest), [], []


def _mask_fault(name, entry, mask, size):
    """Check a decoded mask uint8 [H, W, 1] for an image of `size`: an error Finding, or None."""
    defect = mask > 127
    if mask.shape[:2] != size:
        detail = f"{mask.shape[1]}x{mask.shape[0]} for an image of {size[1]}x{size[0]}"
        return Finding(name, "wrong-size mask", detail)
    if entry.label and mask.any() and not defect.any():
        detail = f"its greatest value is {mask.max()}, and only pixels above 127 mark a defect"
        return Finding(name, "wrong mask values", f"{detail}; write 255")
    if not entry.label and defect.any():
        detail = f"{int(defect.sum())} defect pixels in an image of class {NORMAL}"
        return Finding(name, "mask on a normal image", detail)
    return None


def _decode(root, path, channels):
    """Decode a file: (pixels, None), or (None, Finding) where it cannot be used."""
    name = relative(root, path)
    try:
        if path.stat().st_size == 0:
            return None, Finding(name, "empty file", "0 bytes")
        pixels = images.read_image(path, channels)
    except UnidentifiedImageError:
        return None, Finding(name, "unreadable", "not an image, whatever its suffix says")
    except Exception as error:  # decoders raise errors of any type on broken bytes
        detail = " ".join(str(error).split()) or type(error).__name__
        return None, Finding(name, "unreadable", detail)
    if min(pixels.shape[:2]) < 2:
        detail = f"{pixels.shape[1]}x{pixels.shape[0]} pixels"
        return None, Finding(name, "zero area", detail)
    return pixels, None


def _digest(shape, data):
    return hashlib.sha256(repr(tuple(shape)).encode() + data).hexdigest()


def _canonical(pixels):
    """Compute a digest that a picture and its mirror images share."""
    flips = (pixels, pixels[::-1], pixels[:, ::-1], pixels[::-1, ::-1])
    return _digest(pixels.shape, min(flip.tobytes() for flip in flips))


def signature(root):
    """Compute a digest of names, sizes and times: any change of a file of the set changes it."""
    rows = []
    for folder, _, names in os.walk(root, followlinks=True):
        for name in names:
            path = os.path.join(folder, name)
            if os.path.exists(path):
                stat = os.stat(path)
                rows.append((os.path.relpath(path, root), stat.st_mtime_ns, stat.st_size))
    return hashlib.sha256(repr(sorted(rows)).encode("utf-8", "surrogateescape")).hexdigest()


def _visible(folder):
    """List a folder's children by name, without hidden files and those of file managers."""
    if not folder.is_dir():
        return []
    children = sorted(folder.iterdir(), key=lambda path: unicodedata.normalize("NFC", path.name))
    return [c for c in children if c.name[0] != "." and c.name.lower() not in _SILENT]


def stem(path):
    """Return the file name without suffix, in Unicode NFC: the same on every file system."""
    return unicodedata.normalize("NFC", path.stem)


def relative(root, path):
    """Format `path` for messages: relative to the set, with forward slashes."""
    return unicodedata.normalize("NFC", path.relative_to(root).as_posix())
