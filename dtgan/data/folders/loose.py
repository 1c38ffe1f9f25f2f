"""Sources of loose image files: a user's own surfaces, or defects to transfer to them."""

import hashlib
import pathlib

import numpy as np
from PIL import Image, UnidentifiedImageError

from dtgan import images
from dtgan.config import NORMAL, ConfigError, nearest
from dtgan.data.source import Source


class FileSource(Source):
    """Random access to image files with known labels and no masks.

    paths: image files below `root`. Sizes are read from the headers at once, so that a file that is
    no image is found before anything starts. Raises ConfigError for such a file.
    """

    def __init__(self, root, paths, labels, classes, channels):
        self._root, self._paths = pathlib.Path(root), [pathlib.Path(path) for path in paths]
        self._channels, self.classes = channels, tuple(classes)
        self.labels = np.asarray(labels, np.int32)
        self.sizes = np.asarray([_size(path) for path in self._paths], np.int32).reshape(-1, 2)
        described = hashlib.sha256(repr((self.classes, self.labels.tolist())).encode())
        for path in self._paths:
            described.update(path.read_bytes())
        self.fingerprint = described.hexdigest()[:16]

    def __len__(self):
        return len(self._paths)

    def __getitem__(self, index):
        path = self._paths[index]
        try:
            image = images.read_image(path, self._channels)
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"{path} cannot be read ({error}); repair it or take it out"
            ) from None
        return {
            "image": image,
            "mask": np.zeros((*image.shape[:2], 1), np.uint8),
            "has_mask": np.bool_(False),
            "label": int(self.labels[index]),
            "id": str(path.relative_to(self._root)),
        }


def open_surfaces(path, classes, channels):
    """Open the defect-free images in `path`, or the normals of a data set there, as a FileSource.

    Raises ConfigError where there are none.
    """
    root = pathlib.Path(path)
    inside = root / "images" / NORMAL
    paths = _images(inside if inside.is_dir() else root)
    if not paths:
        raise ConfigError(
            f"--backgrounds={path} holds no images; put defect-free ones there, or in "
            f"images/{NORMAL}/ below it ({' '.join(images.SUFFIXES)})"
        )
    return FileSource(root, paths, [0] * len(paths), classes, channels)


def open_labelled(path, classes, channels, flag, normals=False):
    """Open the images in path/<class>/ or path/images/<class>/ as a FileSource.

    classes: the known ones, NORMAL first. normals: whether to read NORMAL, too. Raises ConfigError,
    with `flag` in its message, for a folder of another name and for a path without images.
    """
    root = pathlib.Path(path)
    top = root / "images" if (root / "images").is_dir() else root
    paths, labels = [], []
    for folder in sorted(p for p in top.iterdir() if p.is_dir()) if top.is_dir() else ():
        found = _images(folder) if normals or folder.name != NORMAL else []
        if not found:
            continue
        if folder.name not in classes:
            raise ConfigError(
                f"{flag}={path} holds the class {folder.name!r}, which is not known here"
                f"{nearest(folder.name, classes)}; known: {', '.join(classes)}"
            )
        paths += found
        labels += [classes.index(folder.name)] * len(found)
    if not paths:
        raise ConfigError(
            f"{flag}={path} holds no {'images' if normals else 'defects'}; put images in one "
            f"folder a class: {', '.join(classes if normals else classes[1:])}"
        )
    return FileSource(root, paths, labels, classes, channels)


def _images(folder):
    """List the image files of a folder, sorted by name."""
    if not folder.is_dir():
        return []
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in images.SUFFIXES)


def _size(path):
    """Read (height, width) from the header."""
    try:
        with Image.open(path) as file:
            return file.height, file.width
    except (OSError, UnidentifiedImageError) as error:
        raise ConfigError(f"{path} is no image ({error}); take it out") from None
