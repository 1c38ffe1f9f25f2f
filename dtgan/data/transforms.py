"""Scaling, cropping and flipping of host images: NumPy functions, and grain transforms on them.

A record is what a source returns; its image and mask always change together.
"""

import grain
import numpy as np

from dtgan import images
from dtgan.config import ConfigError, flip_axes
from dtgan.data.catalog import scaled_size

# Uniform windows tried before one is placed over a mask pixel. With 8, a defect that a quarter of
# the windows touch is found this way in 9 of 10 draws, so most crops are uniform among the fitting.
_CROP_TRIES = 8


def scale_record(record, data):
    """Scale image and mask of a record by the rule of `catalog.scaled_size`.

    `data` is config.data. Raises ConfigError where that would enlarge and data.upscale is off.
    """
    height, width = record["image"].shape[:2]
    size, enlarges = scaled_size((height, width), data)
    if size == (height, width):
        return record
    if enlarges and not data.upscale:
        raise ConfigError(
            f"image {record['id']} {height}x{width} is smaller than {min(size)} pixels; use a "
            "smaller data.res or --config.data.upscale=True"
        )
    return {
        **record,
        "image": images.resize(record["image"], size),
        "mask": images.resize_mask(record["mask"], size),
    }


def random_window(mask, res, rng):
    """Top-left (y, x) of a res x res window, drawn with `rng`.

    Uniform among the windows that contain part of the mask; where those are rare, uniform among
    the windows around a random mask pixel. `mask` is [H, W, 1] with H, W >= res; an empty mask
    gives a uniform window.
    """
    height, width = mask.shape[:2]
    rows, columns = height - res + 1, width - res + 1
    if rows == columns == 1:
        return 0, 0
    found = mask.any()
    for _ in range(_CROP_TRIES):
        y, x = int(rng.integers(rows)), int(rng.integers(columns))
        if not found or mask[y : y + res, x : x + res].any():
            return y, x
    pixels = np.flatnonzero(mask[..., 0])
    row, column = divmod(int(pixels[rng.integers(len(pixels))]), width)
    return _window_over(row, rows, res, rng), _window_over(column, columns, res, rng)


def centre_window(mask, res):
    """Top-left (y, x) of the res x res window at the mask's centroid, else the image's centre."""
    height, width = mask.shape[:2]
    rows, columns = height - res + 1, width - res + 1
    if rows == columns == 1:
        return 0, 0
    ys, xs = np.nonzero(mask[..., 0])
    if len(ys) == 0:
        return (height - res) // 2, (width - res) // 2
    y, x = round(float(ys.mean()) + 0.5 - res / 2), round(float(xs.mean()) + 0.5 - res / 2)
    return int(np.clip(y, 0, rows - 1)), int(np.clip(x, 0, columns - 1))


def crop(record, y, x, res):
    """(image, mask) views of the res x res window at (y, x)."""
    window = (slice(y, y + res), slice(x, x + res))
    return record["image"][window], record["mask"][window]


def random_flip_axes(axes, rng):
    """The subset of `axes` to reverse, each taken with probability 1/2."""
    return tuple(axis for axis in axes if rng.random() < 0.5)


class ReadPair(grain.transforms.Map):
    """((defect index, axes to reverse), normal index) -> (indices, axes, the scaled records)."""

    def __init__(self, source):
        self._source = source

    def map(self, element):
        (index, axes), normal = element
        return (index, normal), tuple(axes), (self._source[index], self._source[normal])


class AugmentPair(grain.transforms.RandomMap):
    """The output of ReadPair -> one training example, by random crops and flips.

    x1 and x2 are drawn independently; image and mask of x1 change together.
    """

    def __init__(self, data):
        """`data` is config.data."""
        self._res = data.res
        self._axes = flip_axes(data.flips, data.rolling)

    def random_map(self, element, rng):
        _, axes, (defect, normal) = element
        image, mask = self._cut(defect, *self._place(defect, axes, rng))
        other, _ = self._cut(normal, *self._place(normal, (), rng))
        return {
            "image": image,
            "label": np.int32(defect["label"]),
            "mask": mask,
            "has_mask": np.bool_(defect["has_mask"]),
            "normal": other,
        }

    def _place(self, record, axes, rng):
        """(y, x, whether rows, whether columns are reversed) of a crop."""
        window = random_window(record["mask"], self._res, rng)
        also = random_flip_axes(self._axes, rng)
        return *window, *((axis in axes) != (axis in also) for axis in (0, 1))

    def _cut(self, record, y, x, *reverse):
        axes = tuple(axis for axis in (0, 1) if reverse[axis])
        return (np.flip(part, axes) for part in crop(record, y, x, self._res))


class PlacePair(AugmentPair):
    """The same draws as numbers, for images that lie in device memory (resident.Resident).

    The output of ReadPair -> {"defect", "normal"}: int32 [5] each, the index in the source, y, x of
    the crop, and whether rows and columns are reversed.
    """

    def random_map(self, element, rng):
        (index, other), axes, (defect, normal) = element
        first = index, *self._place(defect, axes, rng)
        second = other, *self._place(normal, (), rng)
        return {"defect": np.array(first, np.int32), "normal": np.array(second, np.int32)}


def _window_over(pixel, starts, res, rng):
    """A uniform start in [0, starts) of a window of `res` that covers `pixel`."""
    return int(rng.integers(max(0, pixel - res + 1), min(pixel, starts - 1) + 1))
