"""Whole pictures in their own size, depth and mode, as surfaces that defects are drawn on.

A defect is drawn at the training's scale in a window of a picture; what it changes there is scaled
back to the picture's own pixels and added in the picture's own range. Outside of the mask every
pixel stays as it is, bit for bit: the matte m, which tails off, is faded out towards the mask's
threshold t, to m clip((m / t - 1) / RIM, 0, 1), and what the defect changes with it. So a mask
says where its picture was changed, and no step shows at its rim.
"""

import collections
import contextlib
import pathlib
import threading
from typing import NamedTuple

import numpy as np
from PIL import Image

from dtgan import images
from dtgan.config import ConfigError

KEPT = 32e6  # bytes of decoded pictures that are kept; one that is larger is kept alone
RIM = 0.25  # of the threshold, above it: where a defect is faded out
LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601, as Pillow turns RGB to grey
DEEP = "I;16"
MODES = ("L", "LA", "RGB", "RGBA", DEEP)
LOSSLESS = (".png", ".tif", ".tiff")  # types that a picture is written in as it was read


class Mark(NamedTuple):
    """A defect in a window of a picture.

    corner: (y, x) in the picture; change: float32 [R, R, C], of the networks' range [-1, 1];
    matte: float32 [R, R], 0..1; box: (x, y, width, height) in the picture that it ends at, or None.
    """

    corner: tuple
    change: np.ndarray
    matte: np.ndarray
    box: tuple | None = None


class Pictures:
    """The whole pictures of a source, decoded when they are needed; the last ones are kept.

    source: a data source; data: config.data of the run that draws; scale: pixels of the training
    per pixel of a picture; threshold: of the mask, 0..1. `side`: pixels of a window in a picture.
    Safe to use from several threads, of which one has pictures in its hands at a time: large ones
    shall not add up.
    """

    def __init__(self, source, data, scale, threshold):
        """Raises ConfigError for pictures that are smaller than a window."""
        self.source, self._data, self._threshold = source, data, threshold
        self.side = max(1, round(data.res / scale))
        self._kept, self._lock = collections.OrderedDict(), threading.RLock()
        small = np.flatnonzero(np.min(source.sizes, axis=1) < self.side)
        if small.size:
            height, width = source.sizes[small[0]]
            raise ConfigError(
                f"--size=native: {source.id(small[0])} is {width}x{height}, smaller than the "
                f"window of {self.side} pixels that a defect is drawn in (data.res={data.res} at "
                f"{scale:.3g} of the pictures' scale), as {small.size} of {len(source)} pictures "
                "are; leave them out, or use --size=crop"
            )

    def size(self, index):
        """Return (height, width) of a picture."""
        return tuple(int(side) for side in self.source.sizes[index])

    def suffix(self, index):
        """Name the type of file that keeps a picture as it is: its own, or PNG."""
        own = pathlib.PurePath(self.source.id(index)).suffix.lower()
        return own if own in LOSSLESS else ".png"

    def crop(self, index, corner):
        """Read the window at (y, x) of a picture as the model sees it: uint8 [R, R, C]."""
        with self.open(index) as image:
            part = image.crop(self._box(corner))
        seen = images.Picture(part, "", part.mode == DEEP, 1, 1)
        seen = images.to_array(seen, self._data.channels, self._data.range)
        return images.resize(seen, (self._data.res, self._data.res))

    @contextlib.contextmanager
    def open(self, index):
        """Give a picture as Pillow decodes it, of one of MODES, to be left as it was.

        It is no array, which would be a second copy of its pixels.
        """
        with self._lock:
            image = self._kept.pop(index, None)
            if image is None:
                self.forget()
                image = self._decode(index)
            self._kept[index] = image
            yield image

    def forget(self, most=KEPT / 2):
        """Drop the pictures that were used longest ago, until the others have `most` bytes."""
        with self._lock:
            while self._kept and sum(map(_bytes, self._kept.values())) > most:
                self._kept.popitem(last=False)

    def _decode(self, index):
        """Decode a picture. Raises ConfigError for a mode that no defect can be drawn in."""
        picture = self.source.picture(index)
        image = picture.image
        if image.mode != DEEP and image.mode.startswith("I") and not picture.narrowed:
            image = Image.fromarray(np.asarray(image).astype(np.uint16))  # of another byte order
        if image.mode not in MODES or picture.narrowed:
            found = "16-bit colour" if picture.narrowed else f"mode {image.mode}"
            raise ConfigError(
                f"--size=native: {self.source.id(index)} has {found}, which would not be kept; "
                "save it as grey of 8 or 16 bit or as RGB of 8 bit, or use --size=crop"
            )
        return image

    def write(self, path, index, marks=()):
        """Write a picture with the defects of `Mark`s on it; the suffix names the type."""
        with self.open(index) as image:
            before = [image.crop(self._box(mark.corner)) for mark in marks]
            try:
                for mark in marks:
                    image.paste(self._drawn(image, mark), self._box(mark.corner))
                images.write_image(path, image)
            finally:
                for mark, part in zip(marks, before, strict=True):
                    image.paste(part, self._box(mark.corner))

    def write_mask(self, path, index, placed):
        """Write an empty mask of a picture's size with some parts: [(corner, uint8 [S, S])]."""
        height, width = self.size(index)
        with self._lock:
            self.forget(KEPT - height * width)
            mask = Image.new("L", (width, height))
            for corner, part in placed:
                there = np.asarray(mask.crop(self._box(corner)))
                mask.paste(Image.fromarray(np.maximum(there, part)), self._box(corner))
            images.write_image(path, mask)

    def _box(self, corner):
        """Return the window at (y, x) as Pillow says it: (left, upper, right, lower)."""
        y, x = corner
        return x, y, x + self.side, y + self.side

    def _drawn(self, image, mark):
        """Add what a defect changes to the pixels of its window, within its mask."""
        part = np.array(image.crop(self._box(mark.corner)))
        matte, inside = self._matte(mark), self.hard(mark)
        white = self._data.range if image.mode == DEEP else 255
        bands = 3 if image.mode in ("RGB", "RGBA") else 1  # alpha stays
        change = mark.change if mark.change.shape[-1] in (1, bands) else mark.change @ LUMA[:, None]
        change = (_resized(change, self.side) * self._fade(matte)[..., None])[inside]
        colours = part[..., None] if part.ndim == 2 else part
        drawn = np.rint(colours[inside][:, :bands] + change * (white / 2))
        colours[inside, :bands] = np.clip(drawn, 0, white).astype(part.dtype)
        return Image.fromarray(part)

    def soft(self, mark):
        """Return the matte of a mark in its window: uint8 [S, S], 255 where all is the defect."""
        matte = self._matte(mark)
        return np.ceil(255.0 * matte * self._fade(matte)).astype(np.uint8)  # 0 where nothing is

    def hard(self, mark):
        """Return the mask of a mark in its window: bool [S, S]."""
        return self._matte(mark) > self._threshold

    def _matte(self, mark):
        """Scale a matte to its window: float32 [S, S], 0..1."""
        matte = _resized(mark.matte[..., None], self.side, Image.Resampling.BILINEAR)[..., 0]
        if mark.box:  # to the pixel, which the model's own scale need not be
            (x, y, width, height), (top, left) = mark.box, mark.corner
            inside = np.zeros_like(matte)
            inside[y - top : y - top + height, x - left : x - left + width] = 1.0
            matte = matte * inside
        return np.clip(matte, 0.0, 1.0)

    def _fade(self, matte):
        """Compute what is left of a defect at a value of its matte, 0..1."""
        return np.clip((matte / self._threshold - 1.0) / RIM, 0.0, 1.0)


def _bytes(image):
    """Compute the bytes of a picture's pixels; Pillow takes four for a colour."""
    return image.width * image.height * {"L": 1, DEEP: 2}.get(image.mode, 4)


def _resized(array, side, how=images.RESIZE_FILTER):
    """Scale float32 [R, R, C] to [side, side, C]."""
    if array.shape[0] == side:
        return array
    planes = (
        Image.fromarray(plane).resize((side, side), how) for plane in np.moveaxis(array, -1, 0)
    )
    return np.stack([np.asarray(plane) for plane in planes], axis=-1)
