"""Scaling, cropping and flipping of host images: NumPy functions, and grain transforms on them.

A record is what a source returns; its image and mask always change together.
"""

import grain
import numpy as np

from dtgan import images
from dtgan.config import ConfigError, flip_axes
from dtgan.data.catalog import scaled_size

# Uniform windows tried before one is placed over a mask pixel. If a quarter of all windows touch
# the defect, one of 8 tries does with probability 1 - 0.75^8 = 0.9: most crops are uniform among
# the windows that show the defect.
_CROP_TRIES = 8

NONE = -1  # in place of the index of an image that is not read (grain drops elements of None)


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
    """Draw the top-left (y, x) of a res x res window with `rng`.

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
    """Find the top-left (y, x) of the res x res window at the mask's centroid, else the centre."""
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
    """Return (image, mask) views of the res x res window at (y, x)."""
    window = (slice(y, y + res), slice(x, x + res))
    return record["image"][window], record["mask"][window]


def random_flip_axes(axes, rng):
    """Draw the subset of `axes` to reverse, each with probability 1/2."""
    return tuple(axis for axis in axes if rng.random() < 0.5)


class ReadPair(grain.transforms.Map):
    """((defect index, axes to reverse), normal index) -> (indices, axes, the scaled records).

    An index may be NONE; its record is then None.
    """

    def __init__(self, source):
        self._source = source

    def map(self, element):
        (index, axes), normal = element
        indices = index, normal
        return indices, tuple(axes), tuple(None if i == NONE else self._source[i] for i in indices)


class AugmentPair(grain.transforms.RandomMap):
    """Random crops and flips: the output of ReadPair -> one training example.

    x1 and x2 are drawn independently; image and mask of x1 change together.
    """

    def __init__(self, data, reads=()):
        """`data` is config.data; `reads`: the names that an example holds."""
        self._res, self._reads = data.res, tuple(reads)
        self._axes = flip_axes(data.flips, data.rolling)

    def random_map(self, element, rng):
        _, axes, (defect, normal) = element
        example = {}
        if defect is not None:
            image, mask = self._cut(defect, *self._place(defect, axes, rng))
            example |= {
                "image": image,
                "label": np.int32(defect["label"]),
                "mask": mask,
                "has_mask": np.bool_(defect["has_mask"]),
            }
        if normal is not None:
            example["normal"], _ = self._cut(normal, *self._place(normal, (), rng))
        return {name: example[name] for name in self._reads}

    def _place(self, record, axes, rng):
        """Draw a crop: (y, x, whether rows, whether columns are reversed)."""
        window = random_window(record["mask"], self._res, rng)
        also = random_flip_axes(self._axes, rng)
        return *window, *((axis in axes) != (axis in also) for axis in (0, 1))

    def _cut(self, record, y, x, *reverse):
        axes = tuple(axis for axis in (0, 1) if reverse[axis])
        return (np.flip(part, axes) for part in crop(record, y, x, self._res))


class PlacePair(AugmentPair):
    """The random numbers of AugmentPair, for images in device memory (training.resident).

    The output of ReadPair -> {"defect", "normal"}: int32 [5] each, the index in the source, y, x of
    the crop, and whether rows and columns are reversed; without what is not read.
    """

    def random_map(self, element, rng):
        (index, other), axes, (defect, normal) = element
        places = {}
        if defect is not None:
            places["defect"] = index, *self._place(defect, axes, rng)
        if normal is not None:
            places["normal"] = other, *self._place(normal, (), rng)
        return {name: np.array(place, np.int32) for name, place in places.items()}


def _window_over(pixel, starts, res, rng):
    """Draw a uniform start in [0, starts) of a window of `res` that covers `pixel`."""
    return int(rng.integers(max(0, pixel - res + 1), min(pixel, starts - 1) + 1))
