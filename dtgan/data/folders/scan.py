"""Scan of a folder of images: its files by class, and each file's size and digests.

The first half of the audit: `audit.py` compares the files with each other and splits them.
"""

import collections
import dataclasses
import functools
import hashlib
import os
import pathlib
import re
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from PIL import UnidentifiedImageError

from dtgan import images
from dtgan.config import NORMAL, ConfigError, nearest
from dtgan.data import windows
from dtgan.data.folders import masks as masks_lib

_SILENT = ("thumbs.db", "desktop.ini", "__macosx")  # of file managers, ignored like hidden files
_MASK_SUFFIX = re.compile(r"[-_ .](masks?|gt|labels?|seg|segmentation)$", re.IGNORECASE)
_BITS = (8, 10, 12, 14, 16)  # of cameras
_LISTED = 6  # values in a message
_READ = f"read are {' '.join(images.SUFFIXES)} files"


@dataclasses.dataclass(frozen=True)
class Finding:
    """One fault: a path relative to the set, the kind of fault, and its details."""

    file: str
    reason: str
    detail: str = ""

    def __str__(self):
        return f"{self.file}: {self.reason}" + (f": {self.detail}" if self.detail else "")


class Findings(NamedTuple):
    """The faults found so far: those that refuse a file, and others."""

    errors: list
    warnings: list

    @classmethod
    def none(cls):
        """Make an empty collection."""
        return cls([], [])


@dataclasses.dataclass(frozen=True)
class Record:
    """One good image with the defect of one class. Digests are of decoded pixels.

    Where data.mask_values divides a mask, an image has a record for each of its classes.
    `canonical` is equal under flips.
    """

    class_name: str
    folder: str  # in which it lies: its class, unless data.mask_values says otherwise
    name: str  # file name, Unicode NFC
    image: pathlib.Path
    mask: pathlib.Path | None
    label: int = 0
    size: tuple = (0, 0)  # height, width
    channels: int = 0  # in the file: 1 or 3
    bits: int = 8  # in the file: 8 or 16
    greatest: int = 0  # value in a 16-bit file
    area: float = 0.0  # share of the picture that the mask marks, 0..1
    mask_value: str = ""  # the one that marks the defect in the file, "" where there are several
    digest: str = ""
    canonical: str = ""
    mask_digest: str = ""
    shown: windows.Shown | None = None  # what scaling and cropping leave of the mask
    split: str = ""

    @property
    def file(self):
        """<folder>/<filename>"""
        return f"{self.folder}/{self.name}"

    @property
    def part(self):
        """#<class> where the folder does not say the class, else an empty text."""
        return "" if self.class_name == self.folder else f"#{self.class_name}"

    @property
    def id(self):
        """<folder>/<filename>, and perhaps #<class>."""
        return self.file + self.part


class Listed(NamedTuple):
    """The files of a folder: those that are read, sorted by name, and the suffixes of others."""

    files: list
    unread: collections.Counter


def list_set(root, shown):
    """List the set without decoding: (records without contents, class folders, Findings).

    Raises ConfigError where no training is possible with these files.
    """
    if not (root / "images").is_dir():
        raise ConfigError(f"data.path={shown} has no folder images/; put images in images/<class>/")
    found = Findings.none()
    pictures = list_classes(root / "images", root, found, found.errors)
    masks = list_classes(root / "masks", root, found, found.errors)
    _check_classes(shown, pictures)
    entries = []
    for class_name in (NORMAL, *sorted(set(pictures) - {NORMAL})):
        own = masks.pop(class_name, Listed([], None))
        entries += pair(root, class_name, pictures[class_name].files, own.files, found)
    for class_name, listed in masks.items():
        for mask in listed.files:
            detail = f"there is no images/{class_name}"
            found.errors.append(Finding(relative(root, mask), "unknown label", detail))
    return entries, tuple(pictures), found


def list_classes(folder, root, found, strays, leave_out=None):
    """List {class: Listed} of a folder; images beside the class folders become `strays`."""
    classes = {}
    for child in _visible(folder):
        if child.name == leave_out:
            continue
        if child.is_dir():
            classes[unicodedata.normalize("NFC", child.name)] = list_files(child, root, found)
        elif child.suffix.lower() in images.SUFFIXES:
            detail = f"lies in no class folder; move it to {folder.name}/<class>/"
            strays.append(Finding(relative(root, child), "unknown label", detail))
    return classes


def list_files(folder, root, found):
    """List a class folder as Listed; what is not read becomes a warning in `found`."""
    listed = Listed([], collections.Counter())
    for file in _visible(folder):
        if file.is_file() and file.suffix.lower() in images.SUFFIXES:
            listed.files.append(file)
            continue
        kind = "folder in a class folder"
        if file.is_file():
            kind = "unsupported file type"
            listed.unread[file.suffix.lower() or "no suffix"] += 1
        found.warnings.append(Finding(relative(root, file), kind, f"ignored; {_READ}"))
    return listed


def pair(root, class_name, pictures, masks, found):
    """Pair the pictures of a class with their masks: records without contents.

    A mask has its picture's stem or, where none has, that and an ending such as _mask or _GT.
    Masks among the pictures, and masks without one, become errors in `found`.
    """
    stems = {}
    for file in pictures:
        stems.setdefault(stem(file), file)
    by_stem = {stem(mask): mask for mask in reversed(masks) if stem(mask) in stems}
    for mask in masks:
        own = stem(mask)
        if own not in stems:
            own = _MASK_SUFFIX.sub("", own)
        if own not in stems:
            found.errors.append(Finding(relative(root, mask), "mask without an image"))
        elif by_stem.setdefault(own, mask) is not mask:
            detail = f"beside {by_stem[own].name}"
            found.errors.append(Finding(relative(root, mask), "second mask", detail))
    entries = []
    for file in pictures:
        own = stem(file)
        of = stems.get(_MASK_SUFFIX.sub("", own))
        if of and of is not file and _MASK_SUFFIX.search(own):
            detail = f"of {of.name}; move it to masks/{class_name}/, or rename it"
            found.errors.append(Finding(relative(root, file), "looks like a mask", detail))
            continue
        name = unicodedata.normalize("NFC", file.name)
        entries.append(Record(class_name, class_name, name, file, by_stem.get(own)))
    return entries


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
    for class_name, listed in sorted(pictures.items()):
        if "," in class_name:
            raise ConfigError(
                f"the class {class_name!r} has a comma in its name, which divides names in "
                "data.classes and --classes; rename the folder"
            )
        check_count(class_name, len(listed.files), listed.unread)


def check_count(class_name, number, unread=()):
    """Raise ConfigError where a class has fewer than the two images that it needs.

    unread: Counter of the suffixes of its files that are of a type that is not read.
    """
    if number >= 2:
        return
    have = f"{number} image{'' if number == 1 else 's'}"
    remedy = "add images or remove the class"
    if unread:
        have = f"{have} and " if number else ""
        have += f"{describe_unread(unread)}; {_READ}"
        remedy = "convert them"
    raise ConfigError(
        f"class {class_name!r} has {have}; every class needs at least 2 images, one to train and "
        f"one to validate; {remedy}"
    )


def describe_unread(unread):
    """Format a Counter of suffixes: "6 files of a type that is not read (.xyz)"."""
    number = unread.total()
    kinds = ", ".join(sorted(unread))
    return f"{number} file{'' if number == 1 else 's'} of a type that is not read ({kinds})"


def examine_all(root, entries, data):
    """Decode all files of a set: (records with contents, Findings).

    `data` is config.data, which says how they are read. Findings are of each file, and of what
    shows in all of them together alone.
    """
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = list(pool.map(functools.partial(examine, root, data=data), entries))
    records, found = [], Findings.none()
    has_masks = any(entry.mask for entry in entries)
    for entry, (own, errors, warnings) in zip(entries, results, strict=True):
        records += own
        found.errors.extend(errors)
        found.warnings.extend(warnings)
        if has_masks and entry.class_name != NORMAL and not entry.mask:
            detail = "reads has_mask=False"
            found.warnings.append(Finding(relative(root, entry.image), "no mask", detail))
    for check in (_check_range, _check_mask_values, _check_mask_area):
        found.warnings.extend(check(records, data))
    return records, found


def examine(root, entry, data):
    """Decode one image and its mask: (records with contents, errors, warnings).

    `data` is config.data. There is one record, or with data.mask_values one for each class in the
    mask; none where there are errors. A mask without any defect is a missing label, so the record
    drops it, with a warning.
    """
    found = Findings.none()
    measured = _picture(root, entry, data, found)
    if not measured:
        return [], *found
    record, orientation = measured
    records = [record]
    if entry.mask is not None:
        records = _masked(root, record, orientation, data, found)
    return [] if found.errors else records, *found


def _picture(root, entry, data, found):
    """Decode the image of an entry: (its record, its EXIF orientation), None where it does not."""
    name = relative(root, entry.image)
    decoded = _attempt(root, entry.image, found, _read, data)
    if not decoded:
        return None
    picture, pixels = decoded
    if min(pixels.shape[:2]) < 2:
        detail = f"{pixels.shape[1]}x{pixels.shape[0]} pixels"
        found.errors.append(Finding(name, "zero area", detail))
    if picture.pages > 1:
        detail = f"{picture.pages} of them, of which the first is read; save each as its own file"
        found.warnings.append(Finding(name, "several pages", detail))
    record = _measured(entry, picture, pixels)
    _check_white(name, picture, record.greatest, data.range, found)
    return record, picture.orientation


def _read(path, data):
    """Decode an image file: (images.Picture, its pixels uint8 [H, W, C])."""
    picture = images.decode(path, data.max_megapixels)
    return picture, images.to_array(picture, None, data.range)


def _attempt(root, path, found, read, data):
    """Return read(path, data), or None with an error in `found` where the file does not decode."""
    try:
        if path.stat().st_size:
            return read(path, data)
        reason, detail = "empty file", "0 bytes"
    except images.TooLarge as error:
        reason, detail = "too large", str(error)
    except UnidentifiedImageError:
        reason, detail = "unreadable", "not an image, whatever its suffix says"
    except Exception as error:  # decoders raise errors of any type on broken bytes
        reason, detail = "unreadable", " ".join(str(error).split()) or type(error).__name__
    found.errors.append(Finding(relative(root, path), reason, detail))
    return None


def _measured(entry, picture, pixels):
    """Make the record of a decoded image, without what its mask says."""
    height, width, channels = pixels.shape
    if channels == 3 and (pixels == pixels[..., :1]).all():
        pixels = pixels[..., :1]  # a grey picture stored as RGB is still the same picture
    greatest = 0
    if picture.wide:
        greatest = int(np.max(np.asarray(picture.image)))
        greatest = greatest << 8 | 255 if picture.narrowed else greatest
    return dataclasses.replace(
        entry,
        size=(height, width),
        channels=channels,
        bits=16 if picture.wide else 8,
        greatest=greatest,
        digest=_digest(pixels.shape, pixels.tobytes()),
        canonical=_canonical(pixels),
    )


def _masked(root, record, orientation, data, found):
    """Read the mask of a record: the records with it; what is wrong with it goes to `found`."""
    name, normal = relative(root, record.mask), record.class_name == NORMAL
    mask = _attempt(root, record.mask, found, masks_lib.read_mask, data)
    if mask is None:
        return []
    if mask.codes.shape != record.size:
        (height, width), (rows, columns) = mask.codes.shape, record.size
        detail = f"{width}x{height} for an image of {columns}x{rows}"
        if orientation > 4:
            detail += f", which its EXIF orientation {orientation} turns"
        found.errors.append(Finding(name, "wrong-size mask", detail))
        return []
    fault = masks_lib.fault(mask, data)
    if fault:
        found.errors.append(Finding(name, *fault))
        return []
    parts = {kind: marked for kind, marked in masks_lib.parts(mask, data).items() if marked.any()}
    if normal and "" in parts:
        detail = f"{int(parts[''].sum())} defect pixels in an image of class {NORMAL}"
        found.errors.append(Finding(name, "mask on a normal image", detail))
    if not parts and not normal:
        if data.mask_values:
            detail = f"has no defect of data.mask_values; move its image to images/{NORMAL}/"
            found.errors.append(Finding(name, "zero-area mask", detail))
        detail = "marks no pixel; ignored, so this defect reads has_mask=False"
        found.warnings.append(Finding(name, "zero-area mask", detail))
        return [dataclasses.replace(record, mask=None)]
    return [
        dataclasses.replace(
            record,
            class_name=kind or record.class_name,
            area=float(marked.mean()),
            mask_value=masks_lib.only_value(mask),
            mask_digest=_digest((*marked.shape, 1), np.packbits(marked).tobytes()),
            shown=windows.shown(np.uint8(255) * marked[..., None], data),
        )
        for kind, marked in sorted((parts or {"": np.zeros(record.size, bool)}).items())
    ]


def _check_white(name, picture, greatest, white, found):
    """Find what data.range does not fit: values above it, and colours that it does not scale."""
    if not picture.wide:
        return
    if picture.narrowed and white != images.WHITE:
        detail = f"only its upper 8 bits are read, which data.range={white} does not fit"
        found.errors.append(Finding(name, "16-bit colour", f"{detail}; convert it to 8 bit"))
    elif np.min(np.asarray(picture.image)) < 0:
        detail = "a value is below 0; convert it to 16 bit without sign"
        found.errors.append(Finding(name, "value out of range", detail))
    elif greatest > white:
        detail = f"{greatest}, above data.range={white}; "
        if greatest > images.WHITE:
            detail += "convert it to 16 bit"
        else:
            detail += f"--config.data.range={_white(greatest)}, or write the file in that range"
        found.errors.append(Finding(name, "value out of range", detail))


def _white(greatest):
    """Return the white of the camera with the least bits that has a value."""
    return next(2**bits - 1 for bits in _BITS if greatest < 2**bits)


def _check_range(records, data):
    """Find a set whose 16-bit files use a fraction of data.range: nearly black pictures."""
    wide = [record for record in records if record.bits == 16]
    greatest = max((record.greatest for record in wide), default=0)
    if not wide or 4 * greatest >= data.range:
        return []
    detail = f"{len(wide)} 16-bit pictures use 0..{greatest} of 0..{data.range}"
    white = _white(greatest)
    remedy = f"a {white.bit_length()}-bit camera? --config.data.range={white}"
    if any(record.channels == 3 for record in wide):
        remedy = "16-bit colour is read by its upper 8 bits; stretch it and convert it to 8 bit"
    return [Finding("images/", "nearly black", f"{detail}; {remedy}")]


def _check_mask_values(records, data):
    """Find a set whose masks mark defects with different values, perhaps of different kinds."""
    files = {record.mask: record.mask_value for record in records if record.mask_value}
    values = collections.Counter(files.values()).most_common()
    if len(values) < 2 or data.mask_values:
        return []
    detail = ", ".join(f"{value} in {number} files" for value, number in values[:_LISTED])
    detail += "; all read as defect; if they are kinds, name them: "
    detail += masks_lib.suggest([value for value, _ in values[:_LISTED]])
    return [Finding("masks/", "different values", detail)]


def _check_mask_area(records, data):
    """Find a set most of whose masks cover more than half of the picture."""
    areas = [record.area for record in records if record.area]
    if not areas or np.median(areas) <= 0.5:
        return []
    share = f"{100 * np.median(areas):.0f} % of the picture (median of {len(areas)})"
    remedy = f"is the defect black? --config.data.mask_invert={not data.mask_invert}"
    if data.mask_values:
        remedy = f"is one of data.mask_values the background? name it {NORMAL}"
    return [Finding("masks/", "large masks", f"masks cover {share}: {remedy}")]


def _digest(shape, data):
    digest = hashlib.sha256(repr(tuple(shape)).encode())
    digest.update(data)  # not joined first: a strip's pixels are large
    return digest.hexdigest()


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
