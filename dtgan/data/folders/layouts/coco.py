"""COCO's instances files: outlines, run lengths of both kinds, boxes.

data.path is such a file, or a folder with annotations/instances_*.json, *.json, or with a
_annotations.coco.json in each of its folders. Of several files each is a split, by its name; of one
file the split is drawn. Pictures without annotations are normal. A region that is a crowd (iscrowd)
marks defects as any other.
"""

import pathlib

import numpy as np

from dtgan.config import ConfigError
from dtgan.data.folders import shapes
from dtgan.data.folders.layouts import base
from dtgan.files import parse_object

_LISTS = ("images", "annotations", "categories")
_PATTERNS = (
    *("annotations/instances_*.json", "annotations/*.json"),
    *("*/_annotations.coco.json", "*.json"),
)
_SIDE = 2**24  # pixels of a picture's side at most


def places(data):
    """List the files that are read of the set."""
    root, files = _find(data)
    return [*files, *base.walk(root), *(base.walk(root / data.images) if data.images else ())]


def list_set(data):
    """List the set without decoding: Contents.

    Raises ConfigError for a file that is not of COCO, and where no training is possible.
    """
    root, files = _find(data)
    collector = base.Collector(root, data)
    for file in files:
        _File(collector, file, _split_of(file, files, data), data).read()
    base.tell_unlabelled(collector, files)
    return collector.contents()


def _find(data):
    """Find (the folder that names are relative to, the files of annotations)."""
    path = pathlib.Path(data.path)
    if path.is_file():
        beside = path.parent
        return (beside.parent if beside.name == "annotations" else beside), [path]
    for pattern in _PATTERNS:
        files = [file for file in sorted(path.glob(pattern)) if file.is_file()]
        if files:
            return path, files
    raise ConfigError(
        f"data.path={data.path} is not a file of COCO, nor a folder with {_PATTERNS[0]}; give the "
        "file: --config.data.path=DIR/annotations.json"
    )


def _split_of(file, files, data):
    """Tell which split a file of annotations is, "" where there is one file alone."""
    if len(files) == 1:
        return ""
    word = file.parent.name if file.name == "_annotations.coco.json" else file.stem.split("_")[-1]
    split = base.parse_split(word)
    if not split:
        raise ConfigError(
            f"data.path={data.path} holds {len(files)} files of annotations, and {file.name} does "
            "not end in train, val or test; rename it, or give one file"
        )
    return split


class _File:
    """Reads one file into a `base.Collector`, as pictures of a split."""

    def __init__(self, collector, file, split, data):
        self._to, self._file, self._split, self._data = collector, file, split, data
        self._pictures = {}  # by id; None for one that is not there

    def read(self):
        """Read images, categories and annotations."""
        content = self._parse()
        names = self._categories(content["categories"])
        self._base = self._folder([one.get("file_name") for one in content["images"]])
        for number, one in enumerate(content["images"]):
            self._image(number, one)
        for number, one in enumerate(content["annotations"]):
            where = f" annotation {_shown(one.get('id', f'number {number + 1}'))}"
            self._annotation(where, one, names)

    def _parse(self):
        """Parse the file: {"images", "annotations", "categories"}, lists of objects."""
        try:
            content = parse_object(self._file.read_bytes())
        except (OSError, ValueError, RecursionError) as error:
            raise ConfigError(f"{self._file} cannot be read as COCO ({error})") from None
        for name in _LISTS:
            value = content.get(name)
            if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
                raise ConfigError(
                    f"{self._file} has no list {name!r} of objects, as COCO's instances have; give "
                    "a file with images, annotations and categories"
                )
        return content

    def _categories(self, listed):
        """List {id: name}."""
        names = {}
        for one in listed:
            number, name = one.get("id"), one.get("name")
            if not _is_id(number) or not isinstance(name, str) or number in names:
                raise ConfigError(
                    f"{self._file}: the category {_shown(one)} has no id of its own and a name"
                )
            names[number] = name.strip()
        return names

    def _folder(self, names):
        """Find the folder that the file's names are relative to: the first with one of them."""
        root, beside = self._to.root, self._file.parent
        word = self._file.stem.split("_")[-1]
        folders = [root / "images", root / "images" / word, root / word, root, beside]
        if self._data.images:
            folders = [base.find_images(root, self._data, self._file.name)]
        names = [name.replace("\\", "/") for name in names if isinstance(name, str)]
        return base.holding(folders, names, self._file)

    def _image(self, number, one):
        """Take in an image."""
        own, name = one.get("id"), one.get("file_name")
        where = f" image {_shown(own if 'id' in one else f'number {number + 1}')}"
        if not _is_id(own) or not isinstance(name, str):
            self._to.fault(self._file, where, "wrong image", "it needs an id and a file_name")
            return
        if own in self._pictures:
            self._to.fault(self._file, where, "image named twice", "its id is another's")
            return
        self._pictures[own] = None
        path = base.find_picture(self._to, self._base, name, self._file, where)
        if not path:
            return
        if path in self._to.pictures:
            detail = f"{name} is there already; name each picture once"
            self._to.fault(self._file, where, "image named twice", detail, self._to.pictures[path])
            return
        picture = self._to.add(path, self._split, self._file)
        size = one.get("height"), one.get("width")
        if size != (None, None):
            if not all(isinstance(side, int) and 0 < side < _SIDE for side in size):
                detail = f"its height and width are {_shown(size)}"
                self._to.fault(self._file, where, "wrong image", detail, picture)
            picture.size = size
        self._pictures[own] = picture

    def _annotation(self, where, one, names):
        """Take in an annotation."""
        number, category = one.get("image_id"), one.get("category_id")
        if not _is_id(number) or number not in self._pictures:
            detail = f"image_id {_shown(number)} is none of images"
            self._to.fault(self._file, where, "unknown image", detail)
            return
        picture = self._pictures[number]
        if not picture:
            return  # missing, which is told
        if not _is_id(category) or category not in names:
            detail = f"category_id {_shown(category)} is none of categories"
            self._to.fault(self._file, where, "unknown category", detail, picture)
            return
        try:
            form = _form(one)
        except ValueError as error:
            self._to.fault(self._file, where, "wrong annotation", str(error), picture)
            return
        if not base.is_normal(names[category]):
            picture.shapes.append(shapes.Shape(names[category], where, form))


def _form(one):
    """Parse what an annotation marks. Raises ValueError where that is nothing."""
    marked = one.get("segmentation")
    if isinstance(marked, dict):
        return _counts(marked)
    if not marked:
        if "bbox" not in one:
            raise ValueError("it has neither a segmentation nor a bbox")
        return shapes.parse_box(one["bbox"])
    if not isinstance(marked, list):
        raise ValueError("its segmentation is neither outlines nor run lengths")
    return shapes.Outline(tuple(map(shapes.parse_ring, marked)))


def _counts(marked):
    """Parse run lengths of either form."""
    size, counts = marked.get("size"), marked.get("counts")
    if not isinstance(size, list) or len(size) != 2 or not all(map(_is_count, size)):
        raise ValueError("its run lengths have no size [height, width]")
    if isinstance(counts, str):
        return shapes.Counts(tuple(size), counts.encode("ascii", "replace"))
    if not isinstance(counts, list) or not all(map(_is_count, counts)):
        raise ValueError("its run lengths are neither a text nor whole numbers from 0 on")
    return shapes.Counts(tuple(size), np.asarray(counts, np.int64))


def _is_id(value):
    return isinstance(value, int | str)


def _is_count(value):
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**40


def _shown(value):
    """Format a value of a stranger's file for a message."""
    text = repr(value) if not isinstance(value, str | int) else str(value)
    text = " ".join(text.split())
    return text if len(text) <= 40 else text[:40] + "..."
