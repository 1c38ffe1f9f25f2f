"""Pictures to choose from: those that the run learnt of, and those that are uploaded."""

import pathlib
from typing import NamedTuple

import numpy as np

from dtgan import images
from dtgan.config import ConfigError
from dtgan.data import crops, pipeline, windows
from dtgan.data.folders import examine, masks
from dtgan.data.folders.scan import Findings
from dtgan.data.source import normals_of
from dtgan.generation.sources import open_trained

WIDEST = 4096  # pixels of a side, after scaling, that the page shows


class Surface(NamedTuple):
    """A picture without a defect, as the model is shown it.

    name: id in the run's data, or "upload:NAME". image: uint8 [H, W, C], of the run's scale. notes:
    what a person should know of it, a line each.
    """

    name: str
    image: np.ndarray
    notes: tuple = ()


class Defect(NamedTuple):
    """A picture with a defect: uint8 image [R, R, C]; mask [R, R, 1], None where it is not known.

    name, notes: as in `Surface`.
    """

    name: str
    image: np.ndarray
    mask: np.ndarray | None
    notes: tuple = ()


class Stock:
    """The pictures that a run learnt of; none, and why in `missing`, where they are not there.

    config: of the run, classes: names of all of them. whole: whether a surface is shown as a whole,
    else the middle that the model draws. Pictures are numbered by their index in the source.
    """

    def __init__(self, config, classes, whole):
        self.config, self._whole = config, whole
        self.missing, self._defects, self._surfaces = "", None, None
        try:
            self.trained = open_trained(config)
            found = tuple(self.trained.classes)
            if found != tuple(classes):
                raise ConfigError(
                    f"they have the classes {', '.join(found)}, the run has {', '.join(classes)}"
                )
        except ConfigError as error:
            self.missing, self.trained = f"The run's own pictures cannot be read: {error}", None
            return
        defects = crops.FixedWindows(self.trained, config)
        self._defects = crops.CachedSource.of(defects, config)
        self._names = defects
        self._normals = normals_of(self.trained)
        self._surfaces = crops.CachedSource.of(self._normals, config)

    def defects_of(self, label):
        """List the numbers of the defects of a class."""
        if self._defects is None:
            return []
        return np.flatnonzero(np.asarray(self._defects.labels) == label).tolist()

    def surfaces(self):
        """List the numbers of the surfaces."""
        return [] if self._surfaces is None else list(range(len(self._surfaces)))

    def defect(self, number):
        """Load a `Defect` by its number."""
        record = pipeline.load_records(self.config, self._defects, number)
        mask = record["mask"][0] if record["has_mask"][0] else None
        return Defect(self._names[number]["id"], record["image"][0], mask)

    def surface(self, number):
        """Load a `Surface` by its number."""
        record = self._surfaces[number]
        return self._fitted(str(record["id"]), record["image"], ())

    def upload_surface(self, path):
        """Read an uploaded surface. Raises ConfigError, in words for the page, for an unfit one."""
        name, image, notes, _ = self._uploaded(path)
        return self._fitted(name, image, notes)

    def upload_defect(self, path, mask_path=None):
        """Read an uploaded defect and perhaps its mask, and crop them to R x R.

        Raises ConfigError, in words for the page, for files that are unfit.
        """
        name, image, notes, size = self._uploaded(path)
        mask, res = np.zeros((*image.shape[:2], 1), np.uint8), self.config.data.res
        if mask_path:
            mask = self._mask(mask_path, size, image.shape[:2])
        y, x = windows.best_window(mask, res)
        if max(image.shape[:2]) > res:
            what = "of the mask" if mask_path else "in its middle"
            notes = (*notes, f"The {res} x {res} pixels {what} are used.")
        image, mask = (windows.cut(array, y, x, res).copy() for array in (image, mask))
        return Defect(name, image, mask if mask_path else None, notes)

    def _uploaded(self, path):
        """Read and scale a picture: (name, uint8 [H, W, C], notes, (height, width) in the file)."""
        path, data, found = pathlib.Path(path), self.config.data, Findings.none()
        read = examine.open_picture(path.parent, path, data, found)
        if read is None:
            raise ConfigError(f"{found.errors[0]}")
        picture, pixels = read
        (height, width), (rows, columns) = pixels.shape[:2], self._scaled(path.name, pixels)
        notes = _on_channels(picture, pixels, data.channels)
        if picture.pages > 1:
            notes.append(f"It has {picture.pages} pages; the first is used.")
        if (height, width) != (rows, columns):
            notes.append(
                f"It is scaled from {width} x {height} to {columns} x {rows} pixels, as the "
                "pictures that the run learnt of."
            )
        image = images.to_array(picture, data.channels, data.range)
        image = images.resize(image, (rows, columns))
        return f"upload:{path.name}", image, tuple(notes), (height, width)

    def _scaled(self, name, pixels):
        """Compute the size of a picture at the run's scale; raises ConfigError for an unfit one."""
        data, (height, width) = self.config.data, pixels.shape[:2]
        (rows, columns), enlarges = windows.scaled_size((height, width), data)
        if enlarges and not data.upscale:
            raise ConfigError(
                f"{name}: too small: {width} x {height} pixels; this run draws in pictures of at "
                f"least {windows.least_side(data)} pixels a side, give a larger one"
            )
        if max(rows, columns) > WIDEST:
            raise ConfigError(
                f"{name}: too wide: {width} x {height} pixels are {columns} x {rows} at the run's "
                f"scale, above the {WIDEST} that the page shows; cut it into shorter pieces"
            )
        return rows, columns

    def _mask(self, path, size, scaled):
        """Read an uploaded mask of a picture of this size, in the file and scaled."""
        path, data = pathlib.Path(path), self.config.data.copy_and_resolve_references()
        data.mask_values = ""
        try:
            mask = masks.read_mask(path, data)
        except Exception as error:  # decoders raise errors of any type on broken bytes
            raise ConfigError(f"{path.name}: unreadable: {' '.join(str(error).split())}") from None
        if fault := masks.fault(mask, data):
            raise ConfigError(f"{path.name}: {': '.join(fault)}; save it black and white")
        if mask.codes.shape != size:
            (height, width), (rows, columns) = size, mask.codes.shape
            raise ConfigError(
                f"{path.name}: {columns} x {rows} pixels for a picture of {width} x {height}; save "
                "it in that size"
            )
        marked = np.uint8(255) * masks.parts(mask, data)[""]
        if not marked.any():
            raise ConfigError(f"{path.name}: marks no pixel; paint the defect white")
        return images.resize_mask(marked[..., None], scaled)

    def _fitted(self, name, image, notes):
        """Make a Surface, cropped where the model draws no more than R x R pixels of it."""
        res = self.config.data.res
        if not self._whole and max(image.shape[:2]) > res:
            image = windows.cut(image, *((side - res) // 2 for side in image.shape[:2]), res)
            notes = (*notes, f"Its middle of {res} x {res} pixels is used: the method draws that.")
        return Surface(name, image, notes)


def _on_channels(picture, pixels, channels):
    """Say what is lost of a picture of another number of channels, a line each."""
    notes = []
    if picture.image.mode in ("RGBA", "LA", "PA") or "transparency" in picture.image.info:
        notes.append("Its transparency is left out.")
    if channels == 1 and pixels.shape[-1] == 3 and (pixels != pixels[..., :1]).any():
        notes.append("It is in colour; the run learnt of grey pictures, so its grey is used.")
    if channels == 3 and pixels.shape[-1] == 1:
        notes.append("It is grey; the run learnt of colour.")
    return notes
