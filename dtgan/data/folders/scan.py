"""Records of a set, and the scan of folders: files by class, paired with masks, none decoded.

First of the audit, with `layouts`: `examine.py` decodes the files, `audit.py` compares and splits
them.
"""

import collections
import dataclasses
import hashlib
import os
import pathlib
import re
import unicodedata
from typing import NamedTuple

from dtgan import images
from dtgan.config import ConfigError
from dtgan.data import windows
from dtgan.data.folders.shapes import Annotated

_SILENT = ("thumbs.db", "desktop.ini", "__macosx")  # of file managers, ignored like hidden files
_MASK_SUFFIX = re.compile(r"[-_ .](masks?|gt|labels?|seg|segmentation)$", re.IGNORECASE)
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

    Where data.mask_values divides a mask, or annotations are of several classes, an image has a
    record for each of them. `canonical` is equal under flips.
    """

    class_name: str
    folder: str  # in which it lies, or all classes of its annotations: "a", "a+b"
    name: str  # file name, Unicode NFC
    image: pathlib.Path
    mask: pathlib.Path | Annotated | None
    boxed: bool = False  # the mask is of boxes that hold the defect
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
        """#<class> where `folder` is not the class, else an empty text."""
        return "" if self.class_name == self.folder else f"#{self.class_name}"

    @property
    def id(self):
        """<folder>/<filename>, and perhaps #<class>."""
        return self.file + self.part


class Listed(NamedTuple):
    """The files of a folder: those that are read, sorted by name, and the suffixes of others."""

    files: list
    unread: collections.Counter


def list_classes(folder, root, found, strays, leave_out=None):
    """List {class: Listed} of a folder; images beside the class folders become `strays`.

    Raises ConfigError where two folders have the same name in Unicode NFC.
    """
    classes = {}
    for child in inside(root, visible(folder), found):
        if child.name == leave_out:
            continue
        if child.is_dir():
            name = unicodedata.normalize("NFC", child.name)
            if name in classes:
                raise ConfigError(
                    f"{folder} holds two folders {name!r}, which differ in the Unicode form of "
                    "their names alone; join them"
                )
            classes[name] = list_files(child, root, found)
        elif child.suffix.lower() in images.SUFFIXES:
            detail = f"lies in no class folder; move it to {folder.name}/<class>/"
            strays.append(Finding(relative(root, child), "unknown label", detail))
    return classes


def list_files(folder, root, found):
    """List a class folder as Listed; what is not read becomes a warning in `found`."""
    listed = Listed([], collections.Counter())
    for file in inside(root, visible(folder), found):
        if file.is_file() and file.suffix.lower() in images.SUFFIXES:
            listed.files.append(file)
            continue
        kind = "folder in a class folder" if file.is_dir() else "not a regular file"
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


def signature(files):
    """Compute a digest of names, sizes and times: any change of one of the files changes it."""
    rows = []
    for file in files:
        try:
            stat = file.stat()
        except OSError:  # a link to nowhere
            continue
        rows.append((str(file.absolute()), stat.st_mtime_ns, stat.st_size))
    return hashlib.sha256(repr(sorted(rows)).encode("utf-8", "surrogateescape")).hexdigest()


def visible(folder):
    """List a folder's children by name, without hidden files and those of file managers."""
    if not folder.is_dir():
        return []
    children = sorted(folder.iterdir(), key=lambda path: unicodedata.normalize("NFC", path.name))
    return [c for c in children if c.name[0] != "." and c.name.lower() not in _SILENT]


def inside(root, children, found):
    """Leave out the links that lead out of the set, or nowhere, with a warning each in `found`."""
    kept = []
    for child in children:
        target = pathlib.Path(os.path.realpath(child)) if child.is_symlink() else None
        if target and not (target.exists() and target.is_relative_to(os.path.realpath(root))):
            detail = f"to {target}; not followed: copy what it leads to"
            found.warnings.append(Finding(relative(root, child), "link out of the set", detail))
        else:
            kept.append(child)
    return kept


def stem(path):
    """Return the file name without suffix, in Unicode NFC: the same on every file system."""
    return unicodedata.normalize("NFC", path.stem)


def relative(root, path):
    """Format `path` for messages: relative to the set if it is in it, with forward slashes."""
    path = path.relative_to(root) if path.is_relative_to(root) else path
    return unicodedata.normalize("NFC", path.as_posix())
