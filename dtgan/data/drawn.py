"""Masks that a model drew for defects without one, beside the masks that a source has."""

import hashlib
import pathlib

import numpy as np

from dtgan import images
from dtgan.config import ConfigError
from dtgan.data import windows
from dtgan.data.source import Source


class DrawnMasks(Source):
    """A source whose defects without a mask have those of a folder, as far as there are any.

    folder: holds `file_of(id)` for them, of the size of the image. record, JSON-able: how they came
    about, with the `digest` of the folder; the account of the data keeps it ("drawn"). Classes,
    labels and fingerprint stay those of the source. A drawn mask that marks nothing counts as none.
    Raises ConfigError where the folder's files are not those of the record.
    """

    def __init__(self, source, folder, record):
        found = digest(folder)
        if found != record["files"]:
            raise ConfigError(
                f"the masks in {folder} changed since they were drawn (digest {record['files']}, "
                f"now {found}); restore them, or use another workdir"
            )
        self._source, self._folder, self.drawn = source, pathlib.Path(folder), record
        self.classes, self.labels, self.sizes = source.classes, source.labels, source.sizes
        self.fingerprint, self.families = source.fingerprint, source.families
        self.groups, self.skipped = source.groups, source.skipped
        self.warnings = source.warnings

    def __getitem__(self, index):
        record = self._source[index]
        file = self._folder / file_of(record["id"])
        if not record["label"] or record["has_mask"] or not file.exists():
            return record
        mask = images.read_image(file, 1)
        return {**record, "mask": mask, "has_mask": np.bool_(mask.any())}

    def shown(self, index, data):
        if not self.labels[index]:
            return windows.of_normal(self.sizes[index], data)
        return windows.shown(self[index]["mask"], data)


def file_of(name):
    """Name the file of the mask of an image: of its id, as a PNG file."""
    path = pathlib.PurePosixPath(name)
    kind = path.suffix.partition("#")[2]  # of several classes in one image
    return str(path.with_name(f"{path.stem}#{kind}.png") if kind else path.with_suffix(".png"))


def digest(folder):
    """Hash the names and bytes of the PNG files of a folder to 16 hexadecimal digits."""
    folder, found = pathlib.Path(folder), hashlib.sha256()
    for file in sorted(folder.rglob("*.png")):
        found.update(f"{file.relative_to(folder).as_posix()}\0".encode("utf-8", "surrogateescape"))
        found.update(hashlib.sha256(file.read_bytes()).digest())
    return found.hexdigest()[:16]
