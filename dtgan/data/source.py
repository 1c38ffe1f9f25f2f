"""The contract of a source of images, and views on sources: several joined, a part of one."""

import hashlib

import numpy as np

from dtgan import images
from dtgan.config import NORMAL_LABEL, ConfigError, nearest
from dtgan.data import windows


class Source:
    """Random access to labelled images; a base class for the optional parts of the contract.

    classes: tuple of names, NORMAL first (label 0)
    labels: int32 [N], sizes: int32 [N, 2] (height, width), both without decoding an image
    fingerprint: 16 hexadecimal digits that change with the content
    source[i] -> {"image": uint8 [H, W, C], "mask": uint8 [H, W, 1] in {0, 255}, "has_mask":
                  np.bool_, "label": int, "id": str}; where has_mask is False, the mask is 0, or 255
                  in boxes that hold the defect

    Optional:
    families: int32 [N], the kind of surface of every image; None where it is not known
    groups: int64 [N], equal for images of one part, which are no independent evidence; None where
        each image stands for itself
    skipped: bad files that were left out
    warnings: what the audit of the files says of them, a line each
    has_truth: whether `transfer` and `clean` are there
    drawn: how masks came about that a model drew (data.drawn); None where there are none
    cropped: whether the records are fixed crops, so that nothing is left to scale
    """

    classes: tuple[str, ...]
    labels: np.ndarray
    sizes: np.ndarray
    fingerprint: str
    families: np.ndarray | None = None
    groups: np.ndarray | None = None
    skipped: int = 0
    warnings: tuple = ()
    has_truth: bool = False
    drawn: dict | None = None
    cropped: bool = False

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        """Return the record of an image; see above."""
        raise NotImplementedError

    def shown(self, index, data):
        """Tell what scaling and cropping leave of an image's defect: a `windows.Shown`.

        data: config.data.
        """
        size = tuple(int(side) for side in self.sizes[index])
        if not self.labels[index]:
            return windows.of_normal(size, data)
        if windows.scaled_size(size, data)[0] == size == (data.res, data.res):
            return windows.untouched(size, data)
        return windows.shown(self[index]["mask"], data)

    def transfer(self, i, j, other=None):
        """Render the defect of image i on the surface of image j, of `other` if given.

        Returns image uint8 [H, W, C] and mask uint8 [H, W, 1].
        """
        raise NotImplementedError

    def clean(self, index):
        """Render an image without its defect, uint8 [H, W, C]."""
        raise NotImplementedError

    def id(self, index):
        """Return the id of an image, where it can be without decoding it."""
        return self[index]["id"]

    def picture(self, index):
        """Return an image in the mode and depth that its file has: an `images.Picture`."""
        return images.Picture(images.as_pillow(self[index]["image"]), "PNG", False, 1, 1)

    def resolve(self, index):
        """Return (source, index in it) of an image: the source that holds it, behind all views."""
        return self, int(index)


def knows_truth(source, res):
    """Tell whether exact transfers are known and comparable: images of side `res` need no crop."""
    return source.has_truth and bool(np.all(source.sizes == res))


class View(Source):
    """Images of other sources; the subclass says where each is, by `resolve`."""

    def __getitem__(self, index):
        source, row = self.resolve(index)
        record = source[row]
        return {**record, "label": int(self.labels[index])}

    def shown(self, index, data):
        source, row = self.resolve(index)
        return source.shown(row, data)

    def transfer(self, i, j, other=None):
        source, row = self.resolve(i)
        target, column = (other or self).resolve(j)
        return source.transfer(row, column, target)

    def clean(self, index):
        source, row = self.resolve(index)
        return source.clean(row)

    def id(self, index):
        source, row = self.resolve(index)
        return source.id(row)

    def picture(self, index):
        source, row = self.resolve(index)
        return source.picture(row)


class Concatenated(View):
    """Sources of the same classes, one after the other, as one source."""

    def __init__(self, sources):
        """Raises ConfigError where the classes differ."""
        self._sources = list(sources)
        self.classes = self._sources[0].classes
        for source in self._sources[1:]:
            if tuple(source.classes) != tuple(self.classes):
                raise ConfigError(
                    f"joined splits differ in their classes: {', '.join(self.classes)} against "
                    f"{', '.join(source.classes)}"
                )
        self.labels = np.concatenate([source.labels for source in self._sources])
        self.sizes = np.concatenate([source.sizes for source in self._sources])
        self._ends = np.cumsum([len(source) for source in self._sources])
        self.fingerprint = digest("+".join(source.fingerprint for source in self._sources))
        self.skipped = sum(source.skipped for source in self._sources)
        self.warnings = sum((tuple(source.warnings) for source in self._sources), ())
        self.has_truth = all(source.has_truth for source in self._sources)

    @property
    def families(self):
        parts = [source.families for source in self._sources]
        return None if any(part is None for part in parts) else np.concatenate(parts)

    def resolve(self, index):
        index = _checked(index, len(self))
        part = int(np.searchsorted(self._ends, index, side="right"))
        return self._sources[part].resolve(index - (int(self._ends[part - 1]) if part else 0))


class Selected(View):
    """Some rows of a source, and perhaps some of its classes, as a source."""

    def __init__(self, source, rows, classes=None):
        """rows: indices; classes: names of the classes that are left, default all."""
        self._source, self._rows = source, np.asarray(rows, int)
        self.classes = tuple(classes or source.classes)
        numbers = {name: label for label, name in enumerate(self.classes)}
        kept = np.array([numbers.get(name, -1) for name in source.classes], np.int32)
        self.labels = kept[np.asarray(source.labels)[self._rows]]
        self.sizes = source.sizes[self._rows]
        self.groups = None if source.groups is None else source.groups[self._rows]
        self.fingerprint = source.fingerprint
        if self.classes != tuple(source.classes):
            self.fingerprint = digest(f"{source.fingerprint}/{self.classes}")
        self.skipped, self.warnings = source.skipped, source.warnings
        self.has_truth = source.has_truth

    @property
    def families(self):
        families = self._source.families
        return None if families is None else families[self._rows]

    def resolve(self, index):
        return self._source.resolve(self._rows[_checked(index, len(self))])


class Merged(View):
    """All defects of a source as one class, "defect"."""

    def __init__(self, source):
        self._source = source
        self.classes = (source.classes[NORMAL_LABEL], "defect")
        self.labels = (np.asarray(source.labels) != NORMAL_LABEL).astype(np.int32)
        self.sizes, self.groups, self.skipped = source.sizes, source.groups, source.skipped
        self.warnings, self.has_truth = source.warnings, source.has_truth
        self.fingerprint = digest(f"{source.fingerprint}/merged")

    @property
    def families(self):
        return self._source.families

    def resolve(self, index):
        return self._source.resolve(_checked(index, len(self)))


def of_classes(source, names):
    """Select the normals and the defects of some classes of a source, as a source.

    names: of defect classes; their labels follow the order of the source. Raises ConfigError for a
    name that is no defect class.
    """
    known = source.classes[1:]
    for name in names:
        if name not in known:
            raise ConfigError(
                f"data.classes={','.join(names)}: {name!r} is no defect class of these data"
                f"{nearest(name, known)}; known: {', '.join(known)}"
            )
    classes = (source.classes[0], *(name for name in known if name in names))
    wanted = [source.classes.index(name) for name in classes]
    return Selected(source, np.flatnonzero(np.isin(source.labels, wanted)), classes)


def normals_of(source):
    """Select the defect-free images of a source, as a source with its fingerprint."""
    return Selected(source, np.flatnonzero(np.asarray(source.labels) == 0))


def digest(text):
    """Hash a text to 16 hexadecimal digits."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _checked(index, number):
    """Check an index and map it to 0..number-1; negative ones count from the end."""
    if not -number <= index < number:
        raise IndexError(f"index {index} is outside a source of {number} images")
    return int(index) % number
