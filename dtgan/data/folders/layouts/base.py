"""What every layout of a set comes down to: pictures, each with its classes and annotations.

A layout is a module with two functions of config.data:

places(data)    the files that it reads, whose change is a change of the set
list_set(data)  Contents: what there is, none of the pictures decoded
"""

import collections
import dataclasses
import os
import pathlib
import unicodedata
from typing import NamedTuple

from dtgan import images
from dtgan.config import NORMAL, ConfigError
from dtgan.data import labels
from dtgan.data.folders import scan
from dtgan.data.folders.shapes import Annotated
from dtgan.data.names import check_names
from dtgan.data.splits import SPLITS

_LONGEST = 300  # characters of a text in a message
_SPLITS = {name: name for name in SPLITS} | {
    **{"training": "train", "valid": "val", "validation": "val", "testing": "test"},
}


class Contents(NamedTuple):
    """A set before its pictures are decoded.

    root: folder that messages name files in; entries: `scan.Record`s without contents, with their
    split where the layout divides the set; classes: names, any order; found: `scan.Findings`.
    """

    root: pathlib.Path
    entries: list
    classes: tuple
    found: scan.Findings


@dataclasses.dataclass
class Picture:
    """A picture that annotations are being collected for."""

    path: pathlib.Path
    split: str = ""
    size: tuple | None = None  # height, width as the annotations have it
    file: pathlib.Path | None = None  # of its annotations
    names: set = dataclasses.field(default_factory=set)  # defects that it is said to show
    normal: bool = False  # is said to show none
    shapes: list = dataclasses.field(default_factory=list)
    bad: bool = False  # has a fault, and is no record


class Collector:
    """Collects the pictures of a set from its annotations, and what is wrong with them.

    root: folder that messages name files in; data: config.data.
    """

    def __init__(self, root, data):
        self.root, self.found, self._data = root, scan.Findings.none(), data
        self.pictures = {}  # by path

    def fault(self, file, where, reason, detail, picture=None):
        """Note a fault at a place of a file; the picture, if there is one, is left out."""
        name = f"{scan.relative(self.root, file)}{where}"
        self.found.errors.append(scan.Finding(one_line(name), reason, one_line(detail)))
        if picture:
            picture.bad = True

    def add(self, path, split, file):
        """Return the Picture at `path`, made at its first mention."""
        return self.pictures.setdefault(path, Picture(path, split, file=file))

    def contents(self):
        """Make the Contents. Raises ConfigError where no training is possible with them."""
        pictures = [picture for picture in self.pictures.values() if not picture.bad]
        named = {name for picture in self.pictures.values() for name in _classes(picture)}
        classes = tuple(sorted(named))
        check_names(classes, f"data.path={self._data.path}")
        if not self.found.errors:  # else the audit lists them
            _check(pictures, classes, self._data)
        return Contents(self.root, _entries(self.root, pictures), (NORMAL, *classes), self.found)


def one_line(text):
    """Bring a text with a stranger's names in it to one line of a bearable length."""
    text = " ".join(str(text).split())
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def is_normal(name):
    """Tell whether a class of annotations is that without defects: normal, good or OK."""
    return name.lower() in (NORMAL, "good", "ok")


def parse_split(word):
    """Return the split that a word such as "valid" or "train2017" means, "" for another word."""
    return _SPLITS.get(word.strip().lower().rstrip("0123456789"), "")


def find_picture(collector, base, name, file, where):
    """Find the picture that annotations name: its path, None with a fault noted.

    base: folder that names are relative to; nothing outside of it is read. file, where: of the
    annotations that name it.
    """
    name = name.replace("\\", "/")
    path, of = base / name, f"{scan.relative(collector.root, file)}{where} names it"
    if not name or not os.path.isfile(path):
        collector.fault(path, "", "missing picture", of)
    elif not is_inside(path, base):
        collector.fault(path, "", "picture out of the set", f"{of}; copy it into {base}")
    else:
        return path
    return None


def is_inside(path, folder):
    """Tell whether a path stays in a folder, whatever links and dots it goes through."""
    return pathlib.Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))


def find_images(folder, data, beside):
    """Find the folder of pictures: data.images, relative to `folder`, else images/ in it or itself.

    beside: the file that names the pictures. Raises ConfigError where data.images is no folder.
    """
    if not data.images:
        return folder / "images" if (folder / "images").is_dir() else folder
    if not os.path.isdir(folder / data.images):
        raise ConfigError(
            f"data.images={data.images} is not a folder in {folder}; give that of the pictures of "
            f"{beside}, relative to there, or its whole path"
        )
    return folder / data.images


def holding(folders, names, file):
    """Return the first of some folders in which a picture is, of the names that a file gives.

    Raises ConfigError where there is none: the folder is not the right one.
    """
    names = list(dict.fromkeys(name.replace("\\", "/") for name in names if name))
    if not names:
        raise ConfigError(f"{file} names no picture")
    for folder in folders:
        if any(os.path.isfile(folder / name) for name in names):
            return folder
    looked = " or ".join(dict.fromkeys(str(f) for f in folders if f.is_dir())) or folders[0]
    raise ConfigError(
        f"none of the {len(names)} pictures that {file} names, such as {names[0][:60]!r}, is in "
        f"{looked}; give their folder, relative to that of the set: --config.data.images=DIR"
    )


def tell_unlabelled(collector, files):
    """Warn of pictures beside those of a set that no annotation names."""
    folders = dict.fromkeys(path.parent for path in collector.pictures)
    for folder in folders:
        own = [path for path in folder.iterdir() if path.suffix.lower() in images.SUFFIXES]
        left = sorted(path for path in own if path not in collector.pictures)
        if left:
            names = ", ".join(file.name for file in files)
            detail = f"{len(left)}, such as {left[0].name}, are not in {names}; left out"
            place = f"{scan.relative(collector.root, folder)}/"
            collector.found.warnings.append(scan.Finding(place, "pictures without a label", detail))


def pictures_in(folder, found):
    """List the pictures in a folder and below, sorted; links out of it are told in `found`."""
    listed = []
    for where, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name[0] != "."]
        own = (pathlib.Path(where, name) for name in names if name[0] != ".")
        listed += [path for path in own if path.suffix.lower() in images.SUFFIXES]
    return scan.inside(folder, sorted(listed), found)


def walk(folder):
    """List all files in a folder and below."""
    return [pathlib.Path(where, name) for where, _, names in os.walk(folder) for name in names]


def _classes(picture):
    """List the classes that a picture shows."""
    return sorted({shape.class_name for shape in picture.shapes} | picture.names)


def _entries(root, pictures):
    """Make the entries of pictures."""
    entries = []
    for picture in pictures:
        folder, marks = labels.SEPARATOR.join(_classes(picture)) or NORMAL, None
        if picture.shapes:
            marks = Annotated(picture.file, tuple(picture.shapes), picture.size)
        name = unicodedata.normalize("NFC", picture.path.name)
        entry = scan.Record(folder, folder, name, picture.path, marks, split=picture.split)
        boxed = not any(shape.form.exact for shape in picture.shapes)
        entries.append(dataclasses.replace(entry, boxed=boxed))
    return in_order(root, entries)


def in_order(root, entries):
    """Sort entries by class, normal ones first, and name, and tell equal names apart.

    Where pictures of a class have one name, as 000.png in train and in test, it is led by folders.
    """
    used = collections.Counter(entry.file for entry in entries)
    named = []
    for entry in entries:
        if used[entry.file] > 1:
            name = scan.relative(root, entry.image).replace("/", "_")
            entry = dataclasses.replace(entry, name=name)
        named.append(entry)
    return sorted(named, key=lambda entry: (entry.folder != NORMAL, entry.folder, entry.name))


def _check(pictures, classes, data):
    """Raise ConfigError where no training is possible with these pictures."""
    counts = collections.Counter(name for picture in pictures for name in _classes(picture))
    where, normals = f"data.path={data.path}", sum(not _classes(picture) for picture in pictures)
    if not classes:
        raise ConfigError(f"{where} has no defect class: none of {normals} pictures shows a defect")
    if not normals:
        raise ConfigError(
            f"{where} has no picture without a defect; training needs some: pictures without "
            f"annotations, or of a class called {NORMAL}, good or OK"
        )
    for name in classes:
        scan.check_count(name, counts[name])
    scan.check_count(NORMAL, normals)
